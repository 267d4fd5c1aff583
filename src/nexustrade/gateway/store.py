"""The gateway's tables in the `accounts` database: API keys and watchlists.

A key is looked up in a cache of the whole table, so that an order costs no query and an unknown
key costs none either. The cache asks the table at most once a second whether anything changed,
hence a revoked key is dead within about a second.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from nexustrade.core.errors import InputError, StoreUnavailable
from nexustrade.core.time import from_datetime, to_datetime
from nexustrade.gateway.auth import SCOPES, ApiKey, matches, new_credentials, secret_hash
from nexustrade.kernel.ports import Clock

log: Final = logging.getLogger("nexustrade.gateway")

FRESH_NS_MAX: Final = 1_000_000_000
"""How old the cache of keys may be before the table is asked again."""
STALE_NS_MAX: Final = 60 * 1_000_000_000
"""How long the cache serves while the table cannot be asked; nobody can revoke meanwhile either."""

REFRESH_WAIT_S: Final = 0.25
"""How long a request waits for the table before an older cache serves it."""
FIRST_WAIT_S: Final = 5.0
"""How long it waits when there is no cache that may serve it."""

Pool = AsyncConnectionPool[Any]


class KeyCache(ABC):
    """Keys by id, as fresh as `FRESH_NS_MAX`. A subclass gives the table."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._fingerprint: object = None
        self._checked_ns = -STALE_NS_MAX - 1
        self._tried_ns = self._checked_ns
        self._refreshing: asyncio.Task[None] | None = None

    async def authenticate(self, key_id: str, secret: str, now_us: int) -> ApiKey | None:
        """The key, when it exists, the secret is its own, and it is neither expired nor revoked."""
        now_ns = self._clock.monotonic_ns()
        age_ns = now_ns - self._checked_ns
        # While the table cannot be asked, one request a second finds that out for all.
        if age_ns > STALE_NS_MAX:
            await self._refresh_within(FIRST_WAIT_S)
        elif age_ns > FRESH_NS_MAX and now_ns - self._tried_ns > FRESH_NS_MAX:
            await self._refresh_within(REFRESH_WAIT_S)
        key = self._keys.get(key_id)
        return key if matches(key, secret, now_us) else None

    async def refresh(self) -> None:
        """Bring the cache up to date; all who wait share one look at the table."""
        await asyncio.shield(self._refresh_task())

    def _refresh_task(self) -> asyncio.Task[None]:
        task = self._refreshing
        if task is None or task.done():
            task = self._refreshing = asyncio.create_task(self._refresh())
            # Nobody may be waiting any more when it fails.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _refresh_within(self, seconds: float) -> None:
        """As `refresh`, but a table that does not answer is not waited for."""
        task = self._refresh_task()
        await asyncio.wait([task], timeout=seconds)
        self._tried_ns = self._clock.monotonic_ns()
        if task.done():
            task.result()
        elif self._tried_ns - self._checked_ns > STALE_NS_MAX:
            raise StoreUnavailable("accounts database: it does not answer")

    async def _refresh(self) -> None:
        asked_ns = self._clock.monotonic_ns()
        try:
            fingerprint = await self._table_fingerprint()
            if fingerprint != self._fingerprint:
                self._keys = {key.key_id: key for key in await self._table_rows("")}
                self._fingerprint = fingerprint
        except StoreUnavailable:
            if asked_ns - self._checked_ns > STALE_NS_MAX:
                raise
            return
        self._checked_ns = asked_ns

    def expire(self) -> None:
        """Look at the table again before the next answer."""
        stale_ns = self._clock.monotonic_ns() - FRESH_NS_MAX - 1
        self._checked_ns = min(self._checked_ns, stale_ns)
        self._tried_ns = min(self._tried_ns, stale_ns)

    @abstractmethod
    async def _table_fingerprint(self) -> object:
        """A value that changes whenever any row does."""

    @abstractmethod
    async def _table_rows(self, account_id: str) -> Sequence[ApiKey]:
        """The rows of an account, or all for "", oldest first."""


@asynccontextmanager
async def _connection(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection for one transaction; `StoreUnavailable` when the database is away."""
    try:
        async with pool.connection() as connection:
            yield connection
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise StoreUnavailable(f"accounts database: {error}") from error


_KEY_COLUMNS: Final = (
    "key_id, secret_sha256, account_id, scopes, label, created_at, expires_at, revoked_at"
)


class KeyStore(KeyCache):
    """The table `api_keys`."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        super().__init__(clock)
        self._pool = pool

    async def create(
        self, account_id: str, scopes: Sequence[str], label: str, expires_us: int, now_us: int
    ) -> tuple[ApiKey, str]:
        """Make a key; its secret is in no other answer ever after."""
        async with _connection(self._pool) as connection:
            key, secret = await _insert_key(
                connection, account_id, scopes, label, expires_us, now_us, *new_credentials()
            )
        self.expire()
        return key, secret

    async def revoke(self, key_id: str, now_us: int) -> bool:
        """End a key within about a second, at once here; False when there is no such key."""
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                "update api_keys set revoked_at = coalesce(revoked_at, %s) where key_id = %s",
                (to_datetime(now_us), key_id),
            )
        self.expire()
        return cursor.rowcount == 1

    async def list(self, account_id: str) -> Sequence[ApiKey]:
        """The keys of an account, or all for "", oldest first."""
        return await self._table_rows(account_id)

    async def _table_fingerprint(self) -> object:
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                "select count(*), bit_xor(hashtextextended(k::text, 0)) from api_keys k"
            )
            return await cursor.fetchone()

    async def _table_rows(self, account_id: str) -> Sequence[ApiKey]:
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                f"select {_KEY_COLUMNS} from api_keys"  # noqa: S608 - a constant
                " where %(account)s = '' or account_id = %(account)s order by created_at, key_id",
                {"account": account_id},
            )
            return [_key(row) async for row in cursor]


async def create_key(
    connection: psycopg.AsyncConnection[Any],
    account_id: str,
    scopes: Sequence[str],
    now_us: int,
    label: str = "",
    expires_us: int = 0,
    key_id: str = "",
    secret: str = "",
) -> tuple[str, str]:
    """Make an API key and return (key id, secret); for the CLI and for the configuration.

    With a given `key_id` and `secret` it is made or changed, so that a configured key can be put
    at every start; a revoked key stays revoked. `InputError` when a scope is not known.
    """
    if not key_id or not secret:
        made_id, made_secret = new_credentials()
        key_id, secret = key_id or made_id, secret or made_secret
    await _insert_key(connection, account_id, scopes, label, expires_us, now_us, key_id, secret)
    return key_id, secret


async def _insert_key(
    connection: psycopg.AsyncConnection[Any],
    account_id: str,
    scopes: Sequence[str],
    label: str,
    expires_us: int,
    now_us: int,
    key_id: str,
    secret: str,
) -> tuple[ApiKey, str]:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise InputError("scopes", ",".join(unknown), f"scopes are of {', '.join(SCOPES)}")
    key = ApiKey(
        key_id, secret_hash(secret), account_id, frozenset(scopes), label, now_us, expires_us
    )
    await connection.execute(
        f"insert into api_keys ({_KEY_COLUMNS})"  # noqa: S608 - a constant
        " values (%s, %s, %s, %s, %s, %s, %s, null)"
        " on conflict (key_id) do update set secret_sha256 = excluded.secret_sha256,"
        " account_id = excluded.account_id, scopes = excluded.scopes, label = excluded.label,"
        " expires_at = excluded.expires_at",
        (
            key_id,
            key.secret_sha256,
            account_id,
            sorted(key.scopes),
            label,
            to_datetime(now_us),
            to_datetime(expires_us) if expires_us else None,
        ),
    )
    return key, secret


def _us(at: datetime | None) -> int:
    return from_datetime(at) if at is not None else 0


def _key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        row[0],
        bytes(row[1]),
        row[2],
        frozenset(row[3]),
        row[4],
        _us(row[5]),
        _us(row[6]),
        _us(row[7]),
    )


# ---------------------------------------------------------------- watchlists


class WatchlistRow(NamedTuple):
    """One watchlist as stored."""

    id: str
    account_id: str
    name: str
    symbols: tuple[str, ...]
    created_us: int
    updated_us: int


class NameTaken(Exception):
    """The account already has a watchlist of that name."""


_LIST_COLUMNS: Final = "id, account_id, name, symbols, created_at, updated_at"


class WatchlistStore:
    """The table `watchlists`. Every method sees the lists of one account alone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self, account_id: str) -> Sequence[WatchlistRow]:
        """The account's lists, oldest first."""
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                f"select {_LIST_COLUMNS} from watchlists"  # noqa: S608 - a constant
                " where account_id = %s order by created_at, id",
                (account_id,),
            )
            return [_watchlist(row) async for row in cursor]

    async def get(self, account_id: str, list_id: str) -> WatchlistRow | None:
        """One list; None when the account has none with that id."""
        if not _is_uuid(list_id):
            return None
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                f"select {_LIST_COLUMNS} from watchlists"  # noqa: S608 - a constant
                " where account_id = %s and id = %s",
                (account_id, list_id),
            )
            row = await cursor.fetchone()
        return _watchlist(row) if row is not None else None

    async def create(
        self, account_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow:
        """Make a list; `NameTaken` when the account has one of that name."""
        row = WatchlistRow(str(uuid4()), account_id, name, tuple(symbols), now_us, now_us)
        at = to_datetime(now_us)
        try:
            async with _connection(self._pool) as connection:
                await connection.execute(
                    f"insert into watchlists ({_LIST_COLUMNS})"  # noqa: S608 - a constant
                    " values (%s, %s, %s, %s, %s, %s)",
                    (row.id, account_id, name, list(symbols), at, at),
                )
        except errors.UniqueViolation:
            raise NameTaken from None
        return row

    async def update(
        self, account_id: str, list_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow | None:
        """Change a list as a whole; None when it is not there."""
        if not _is_uuid(list_id):
            return None
        try:
            async with _connection(self._pool) as connection:
                cursor = await connection.execute(
                    "update watchlists set name = %s, symbols = %s, updated_at = %s"  # noqa: S608
                    f" where account_id = %s and id = %s returning {_LIST_COLUMNS}",
                    (name, list(symbols), to_datetime(now_us), account_id, list_id),
                )
                row = await cursor.fetchone()
        except errors.UniqueViolation:
            raise NameTaken from None
        return _watchlist(row) if row is not None else None

    async def delete(self, account_id: str, list_id: str) -> bool:
        """Take a list away; False when it was not there."""
        if not _is_uuid(list_id):
            return False
        async with _connection(self._pool) as connection:
            cursor = await connection.execute(
                "delete from watchlists where account_id = %s and id = %s", (account_id, list_id)
            )
        return cursor.rowcount == 1


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _watchlist(row: Sequence[Any]) -> WatchlistRow:
    return WatchlistRow(str(row[0]), row[1], row[2], tuple(row[3]), _us(row[4]), _us(row[5]))
