"""The audit of a stream in the database: every row is what its writer wrote, and none is missing.

It finds any change of any column of any row, a row that is missing, added or moved, and a head
that does not fit the last row. What it cannot see is a whole tail that was cut off together with
a head that was set back to match: for that, keep head hashes somewhere else and give one here.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor

from nexustrade.adapters.postgres.rows import columns
from nexustrade.core.codec import canonical, decode
from nexustrade.core.errors import InputError, StoreUnavailable
from nexustrade.core.time import from_datetime
from nexustrade.kernel.chain import ChainCheck
from nexustrade.kernel.ports import StoredEvent

BATCH_LEN_MAX: Final = 2_000
"""Rows looked at in one go."""
CONNECT_TIMEOUT_S: Final = 5

_NAMES: Final = (
    "symbol",
    "account_id",
    "order_id",
    "group_id",
    "cl_ord_id",
    "side",
    "price",
    "quantity",
)
# Prices and quantities come as scaled integers, exactly; anything finer is a fraction and differs.
_ROWS: Final = """
    SELECT shard, seq, (extract(epoch FROM event_time) * 1000000)::bigint, event_type, cause,
        payload::text, prev_hash, hash, symbol, account_id, order_id, group_id, cl_ord_id, side,
        trim_scale(price * 1e4)::text, trim_scale(quantity * 1e8)::text
    FROM order_events WHERE shard = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4
"""
_BOUNDS: Final = """
    SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM order_events WHERE shard = $1
"""
_HEAD: Final = "SELECT last_seq, last_time, last_hash FROM es_shard WHERE shard = $1"
_SEQ_MAX: Final = 2**63 - 1
_SHARDS: Final = "SELECT shard FROM es_shard UNION SELECT DISTINCT shard FROM order_events"


class Audited:
    """What an audit has looked at so far; give one to `verify` to follow its progress."""

    def __init__(self) -> None:
        self.events: int = 0
        self.last_seq: int = 0
        self.last_hash: bytes = b""


async def shards(dsn: str) -> list[str]:
    """Every stream the database has a head or an event of."""
    async with await _connection(dsn) as connection:
        return sorted(row[0] for row in await _rows(connection, _SHARDS, ()))


async def verify(
    dsn: str, shard: str, known: tuple[int, bytes] | None = None, audited: Audited | None = None
) -> AsyncIterator[str]:
    """Each problem of a stream, as a sentence; none when it is whole. Appends may go on meanwhile.

    `known` is the (seq, hash) of an event, kept elsewhere: the stream must still have it.
    """
    seen = audited or Audited()
    chain = ChainCheck(shard)
    found_known = known is None
    async with await _connection(dsn) as connection:
        heads = await _rows(connection, _HEAD, (shard,))
        head_seq = heads[0][0] if heads else _SEQ_MAX
        bounds = await _rows(connection, _BOUNDS, (shard,))
        at = min(0, bounds[0][0] - 1)
        while rows := await _rows(connection, _ROWS, (shard, at, head_seq, BATCH_LEN_MAX)):
            for row in rows:
                stored = _stored(row)
                for problem in (*chain.problems(stored), *_column_problems(stored, row[8:])):
                    yield f"{shard} event {stored.seq}: {problem}"
                found_known = found_known or known == (stored.seq, stored.hash)
            at = rows[-1][1]
            seen.events += len(rows)
            seen.last_seq, seen.last_hash = chain.seq, chain.last_hash
        for problem in await _head_problems(connection, chain, heads):
            yield f"{shard}: {problem}"
    if not found_known and known is not None:
        yield f"{shard}: it no longer has event {known[0]} with the hash that was kept"


async def _head_problems(
    connection: AsyncConnection, chain: ChainCheck, heads: Sequence[Sequence[Any]]
) -> list[str]:
    """What does not fit between the rows and the head, as it was before they were read."""
    if not heads:
        return ["there is no head for its events"] if chain.seq else []
    last_seq, last_time, last_hash = heads[0]
    found = chain.head_problems(last_seq, from_datetime(last_time), last_hash)
    # Rows are never there before the head is: ones beyond a head read later are not the writer's.
    bounds = await _rows(connection, _BOUNDS, (chain.shard,))
    now = await _rows(connection, _HEAD, (chain.shard,))
    if bounds[0][1] > now[0][0]:
        found.append(f"there are events after its head, up to {bounds[0][1]}")
    return found


def _stored(row: Sequence[Any]) -> StoredEvent:
    shard, seq, ts_us, event_type, cause, payload, prev_hash, hash_ = row[:8]
    return StoredEvent(shard, seq, ts_us, event_type, cause, canonical(payload), prev_hash, hash_)


def _column_problems(stored: StoredEvent, found: Sequence[Any]) -> list[str]:
    """The columns that do not say what the payload says."""
    try:
        told = columns(decode(stored.event_type, stored.payload))
    except InputError as error:
        return [f"its content cannot be read: {error}"]
    texts = [value if isinstance(value, str | None) else str(value) for value in told]
    pairs = zip(_NAMES, texts, found, strict=True)
    return [f"its column {name} is not its content's" for name, told, has in pairs if told != has]


async def _connection(dsn: str) -> AsyncConnection:
    try:
        connection = await AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        await connection.execute("SET timezone = 'UTC'")
    except (psycopg.Error, OSError) as error:
        raise StoreUnavailable(f"the event store is away: {error}") from error
    return connection


async def _rows(
    connection: AsyncConnection, query: str, values: Sequence[Any]
) -> list[tuple[Any, ...]]:
    try:
        cursor = AsyncRawCursor(connection)
        cursor.format = psycopg.pq.Format.BINARY
        await cursor.execute(query.encode(), values)
        return await cursor.fetchall()
    except (psycopg.Error, OSError) as error:
        raise StoreUnavailable(f"the event store is away: {error}") from error
