"""The event store on PostgreSQL: gap-free streams with a fence, appended in group commits.

Each stream is a shard: a row of `es_shard` is its counter, its head and its fence in one. An
append is one transaction that moves that row from exactly the head and epoch its writer believes
in, sets the input watermarks and copies the rows. It either happens as a whole or not at all.
"""

import asyncio
import os
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection

from nexustrade.adapters.postgres.rows import COLUMNS, copy_lines
from nexustrade.adapters.postgres.wire import Wire
from nexustrade.core.codec import canonical
from nexustrade.core.errors import Fenced, StoreUnavailable, check
from nexustrade.core.time import from_datetime, to_datetime
from nexustrade.kernel.chain import GENESIS
from nexustrade.kernel.ports import Append, ShardState, Snapshot, StoredEvent

READ_LEN_MAX: Final = 5_000
"""Most events of one batch that `read` gives."""
SNAPSHOTS_KEPT: Final = 2
"""Snapshots kept of each stream."""
READERS_MAX: Final = 4
"""Most connections that read at the same time."""
CONNECT_TIMEOUT_S: Final = 3
APPEND_TIMEOUT_S: Final = 10.0
"""Longest wait for an append; after it the connection is cut."""
STATEMENT_TIMEOUT_MS: Final = 8_000
"""Longest the server works on one statement of ours; below the client's own limit."""
READ_TIMEOUT_S: Final = 30.0
"""Longest wait for a batch of rows or a snapshot."""
CLAIM_WAIT_S: Final = 3.0
"""How long a claim waits for the last owner's connection to end, as after a crash."""
CLAIM_POLL_S: Final = 0.05

Pair = tuple[str, str]
"""An account_id and one of its cl_ord_ids."""

_SESSION: Final = f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET timezone = 'UTC'"
_PREPARE: Final = (
    "SET synchronous_commit = on;"
    " PREPARE nexus_fence (text, bigint, bigint, bigint, timestamptz, bytea) AS"
    " UPDATE es_shard SET last_seq = $4, last_time = $5, last_hash = $6"
    " WHERE shard = $1 AND role = 'primary' AND epoch = $2 AND last_seq = $3;"
    " PREPARE nexus_stay (text, bigint, bigint) AS UPDATE es_shard SET last_seq = last_seq"
    " WHERE shard = $1 AND role = 'primary' AND epoch = $2 AND last_seq = $3;"
    " PREPARE nexus_mark (text, text, bigint) AS INSERT INTO es_watermark VALUES ($1, $2, $3)"
    " ON CONFLICT (consumer, source) DO UPDATE SET last_seq = excluded.last_seq"
)
_COPY: Final = f"COPY order_events ({COLUMNS}) FROM STDIN; COMMIT"

_CLAIM: Final = """
    INSERT INTO es_shard (shard, last_seq, last_time, epoch, role, last_hash)
    VALUES (%s, 0, to_timestamp(0), 1, 'primary', %s)
    ON CONFLICT (shard) DO UPDATE SET epoch = es_shard.epoch + 1 WHERE es_shard.role = 'primary'
    RETURNING last_seq, last_time, epoch, role, last_hash
"""
# FOR SHARE waits for an append that is still in the air: its outcome is settled before we answer.
_HEAD: Final = """
    SELECT last_seq, last_time, epoch, role, last_hash FROM es_shard WHERE shard = %s FOR SHARE
"""
_READ: Final = """
    SELECT seq, (extract(epoch FROM event_time) * 1000000)::bigint, event_type, cause,
        payload::text, prev_hash, hash
    FROM order_events WHERE shard = %s AND seq > %s AND seq <= %s ORDER BY seq LIMIT %s
"""
# A group has up to three: its parent's (its entry, or the take-profit of an OCO) and its legs'.
_FIND_CL_ORD_IDS: Final = """
    WITH wanted AS (SELECT * FROM unnest(%s::text[], %s::text[]) AS w (a, c)), since AS (SELECT %s)
    SELECT a, c, order_id, event_time FROM wanted
    JOIN order_events ON account_id = a AND cl_ord_id = c AND cl_ord_id IS NOT NULL
        AND event_type IN ('OrderAccepted', 'ReplaceRequested')
        AND event_time >= (TABLE since)
    UNION ALL SELECT a, c, group_id, event_time FROM wanted
    JOIN order_events ON account_id = a AND cl_ord_id = c AND cl_ord_id IS NOT NULL
        AND event_type = 'GroupAccepted' AND event_time >= (TABLE since)
    UNION ALL SELECT a, c, payload->>'tp_order_id', event_time FROM wanted
    JOIN order_events ON account_id = a AND payload->>'tp_cl_ord_id' = c
        AND event_type = 'GroupAccepted' AND event_time >= (TABLE since)
    UNION ALL SELECT a, c, payload->>'sl_order_id', event_time FROM wanted
    JOIN order_events ON account_id = a AND payload->>'sl_cl_ord_id' = c
        AND event_type = 'GroupAccepted' AND event_time >= (TABLE since)
    ORDER BY event_time
"""
_SAVE_SNAPSHOT: Final = """
    INSERT INTO es_snapshot (shard, seq, event_time, last_hash, state, state_hash)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (shard, seq) DO UPDATE SET event_time = excluded.event_time,
        last_hash = excluded.last_hash, state = excluded.state, state_hash = excluded.state_hash
"""
_DROP_SNAPSHOTS: Final = """
    DELETE FROM es_snapshot WHERE shard = %s AND seq NOT IN
        (SELECT seq FROM es_snapshot WHERE shard = %s ORDER BY seq DESC LIMIT %s)
"""
_SNAPSHOTS: Final = """
    SELECT seq, event_time, last_hash, state, state_hash
    FROM es_snapshot WHERE shard = %s ORDER BY seq DESC LIMIT %s
"""
_SEQ_MAX: Final = 2**63 - 1
_KEEPALIVES: Final[dict[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Notice within about ten seconds that a server elsewhere is gone (milliseconds, seconds)."""

Answer = TypeVar("Answer")


class PostgresEventStore:
    """Streams in the `trading` database.

    One connection appends and holds an advisory lock per claimed stream, so that a second venue
    on the same database is told at once; should that connection be lost, it is made again with
    the next call, and the epoch goes on guarding every append. Up to `READERS_MAX` connections
    read. Connections are made when they are first needed; `close` ends them.
    """

    def __init__(self, dsn: str, *, append_timeout_s: float = APPEND_TIMEOUT_S) -> None:
        self._dsn = dsn
        self._append_timeout_s = append_timeout_s
        self._readers = Readers(dsn)
        self._wire: Wire | None = None
        self._turn = asyncio.Lock()
        self._claimed: set[str] = set()
        self._locked: set[str] = set()  # of the claimed ones, on the connection there is now
        self._old_pid = 0
        self._closed = False

    async def claim(self, shard: str) -> ShardState:
        """Become the owner of a stream (made when new): its epoch rises, older owners are fenced.

        `Fenced` when another running venue has the stream, or it lives in another database.
        """
        return await asyncio.shield(asyncio.ensure_future(self._claim(shard)))

    async def head(self, shard: str) -> ShardState:
        """The stream's row once every append before has ended; epoch 0, no role: there is none."""
        rows = await self._readers.rows(_HEAD, (shard,))
        if not rows:
            return ShardState(shard, 0, 0, 0, "", GENESIS)
        return _shard_state(shard, rows[0])

    async def append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        """Append to any number of streams and set watermarks, all in one transaction or not at all.

        A caller that is cancelled does not stop the transaction; the next one waits for its end.
        """
        if not appends and not watermarks:
            return
        await asyncio.shield(asyncio.ensure_future(self._append(appends, watermarks)))

    async def read(
        self, shard: str, after_seq: int, upto_seq: int | None = None
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        """The events of a stream after `after_seq`, in order, in batches of `READ_LEN_MAX`."""
        upto = _SEQ_MAX if upto_seq is None else upto_seq
        seq = after_seq
        while seq < upto:
            rows = await self._readers.rows(_READ, (shard, seq, upto, READ_LEN_MAX))
            events = [_stored(shard, row) for row in rows]
            for event in events:
                seq += 1
                check(event.seq == seq, f"{shard}: event {seq} is missing from the store")
            if events:
                yield events
            if len(events) < READ_LEN_MAX:
                return

    async def watermarks(self, consumer: str) -> dict[str, int]:
        """Source stream -> highest seq the consumer has applied."""
        select = "SELECT source, last_seq FROM es_watermark WHERE consumer = %s"
        return dict(await self._readers.rows(select, (consumer,)))

    async def find_cl_ord_ids(self, pairs: Sequence[Pair], since_us: int) -> dict[Pair, str]:
        """(account_id, cl_ord_id) -> order_id of those that orders and groups used since then."""
        if not pairs:
            return {}
        accounts = [account_id for account_id, _ in pairs]
        cl_ord_ids = [cl_ord_id for _, cl_ord_id in pairs]
        wanted = (accounts, cl_ord_ids, to_datetime(since_us))
        rows = await self._readers.rows(_FIND_CL_ORD_IDS, wanted)
        return {(account_id, cl_ord_id): order_id for account_id, cl_ord_id, order_id, _ in rows}

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, compressed; all but the newest two of its stream go."""
        state, digest = await asyncio.to_thread(_packed, snapshot.state)
        values = (
            snapshot.shard,
            snapshot.seq,
            to_datetime(snapshot.ts_us),
            snapshot.last_hash,
            state,
            digest,
        )

        async def save(connection: AsyncConnection) -> None:
            async with connection.transaction():
                await connection.execute(_SAVE_SNAPSHOT, values)
                kept = (snapshot.shard, snapshot.shard, SNAPSHOTS_KEPT)
                await connection.execute(_DROP_SNAPSHOTS, kept)

        await self._readers.use(save)

    async def latest_snapshot(self, shard: str) -> Snapshot | None:
        """The newest snapshot of a stream that is whole, or None: then the events alone tell."""
        rows = await self._readers.rows(_SNAPSHOTS, (shard, SNAPSHOTS_KEPT))
        for seq, event_time, last_hash, packed, digest in rows:
            state = await asyncio.to_thread(_unpacked, packed, digest)
            if state is not None:
                return Snapshot(shard, seq, from_datetime(event_time), last_hash, state)
        return None

    async def close(self) -> None:
        """Give up all connections, and with them the streams."""
        self._closed = True
        async with self._turn:
            if self._wire is not None:
                await self._wire.connection.close()
                self._wire = None
        await self._readers.close()

    async def _append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        statement, rows = _transaction(appends, watermarks)
        async with self._turn:
            wire = await self._connected()
            await wire.transact(statement, len(appends), rows, self._append_timeout_s)

    async def _claim(self, shard: str) -> ShardState:
        async with self._turn:
            wire = await self._connected()
            try:
                async with asyncio.timeout(self._append_timeout_s):
                    await self._lock(wire, shard)
                    cursor = await wire.connection.execute(_CLAIM, (shard, GENESIS))
                    row = await cursor.fetchone()
            except (psycopg.Error, OSError, TimeoutError) as error:
                await wire.connection.close()
                raise StoreUnavailable(f"the event store is away: {error}") from error
            if row is None:
                raise Fenced(f"stream {shard} is not written in this database (it was moved)")
            self._claimed.add(shard)
            return _shard_state(shard, row)

    async def _lock(self, wire: Wire, shard: str) -> None:
        """Take the stream's advisory lock, or raise `Fenced`; held until the connection ends."""
        if shard in self._locked:
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + CLAIM_WAIT_S
        while not await _try_lock(wire.connection, shard):
            if clock() > deadline:
                raise Fenced(f"stream {shard} is owned by another running venue")
            await asyncio.sleep(CLAIM_POLL_S)
        self._locked.add(shard)

    async def _connected(self) -> Wire:
        """The connection for appending, made anew when it was lost."""
        if self._closed:
            raise StoreUnavailable("the event store is closed")
        if self._wire is not None and not self._wire.broken():
            return self._wire
        connection = await _connect(self._dsn, _PREPARE)
        self._locked = set()
        try:
            async with asyncio.timeout(self._append_timeout_s):
                for shard in sorted(self._claimed):
                    await self._lock_again(connection, shard)
        except (psycopg.Error, OSError, TimeoutError) as error:
            await connection.close()
            raise StoreUnavailable(f"the event store is away: {error}") from error
        self._old_pid = connection.info.backend_pid
        self._wire = Wire(connection)
        return self._wire

    async def _lock_again(self, connection: AsyncConnection, shard: str) -> None:
        """Take a claimed stream's lock on a new connection.

        The server may not have noticed yet that the old connection is gone: then its session is
        ended. If another venue holds the lock by now, so does it the epoch, and appends are fenced.
        """
        locked = await _try_lock(connection, shard)
        if not locked:
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 1000) FROM pg_locks WHERE granted AND pid = %s"
                " AND locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = %s",
                (self._old_pid, _lock_key(shard)),
            )
            locked = await _try_lock(connection, shard)
        if locked:
            self._locked.add(shard)


class Readers:
    """A few connections for reading, kept open; a broken one is replaced, once per call."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._idle: list[AsyncConnection] = []
        self._free = asyncio.Semaphore(READERS_MAX)
        self._closed = False

    async def rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a query, as one statement of its own."""

        async def run(connection: AsyncConnection) -> list[tuple[Any, ...]]:
            cursor = connection.cursor(binary=True)
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()

        return await self.use(run)

    async def use(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """Run `work` on a connection; one that died while it was idle is replaced, once.

        `work` may therefore run twice, and must not mind.
        """
        if self._closed:
            raise StoreUnavailable("the event store is closed")
        async with self._free:
            while self._idle:
                connection = self._idle.pop()
                try:
                    return await self._run(connection, work)
                except StoreUnavailable:
                    # Whatever ended this one ended all that were idle as long.
                    if not connection.closed:
                        raise
            return await self._run(await _connect(self._dsn), work)

    async def close(self) -> None:
        """End the connections that are not in use; the others end after their use."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _run(
        self, connection: AsyncConnection, work: Callable[[AsyncConnection], Awaitable[Answer]]
    ) -> Answer:
        whole = False
        # Not a cancellation: psycopg would ask the server to stop and wait until it says so.
        timer = asyncio.get_running_loop().call_later(READ_TIMEOUT_S, _cut, connection)
        try:
            answer = await work(connection)
            whole = True
            return answer
        except (psycopg.Error, OSError) as error:
            raise StoreUnavailable(f"the event store is away: {error}") from error
        finally:
            timer.cancel()
            if whole and not self._closed:
                self._idle.append(connection)
            else:
                await connection.close()


def _transaction(
    appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
) -> tuple[str, bytes]:
    """The statement and the rows of one append transaction; streams in a fixed order."""
    parts = ["BEGIN"]
    rows: list[bytes] = []
    for append in sorted(appends):
        place = f"{_quoted(append.shard)}, {append.epoch}, {append.last_seq}"
        if not append.events:
            parts.append(f"EXECUTE nexus_stay ({place})")
            continue
        rows.append(copy_lines(append.shard, append.last_seq, append.events))
        last = append.events[-1]
        parts.append(
            f"EXECUTE nexus_fence ({place}, {last.seq}, '{to_datetime(last.ts_us)}',"
            f" '\\x{last.hash.hex()}')"
        )
    for (consumer, source), seq in sorted(watermarks.items()):
        parts.append(f"EXECUTE nexus_mark ({_quoted(consumer)}, {_quoted(source)}, {seq})")
    parts.append(_COPY)
    return "; ".join(parts), b"".join(rows)


def _quoted(text: str) -> str:
    """Text as an SQL literal (`standard_conforming_strings` is on, as by default)."""
    return "'" + text.replace("'", "''") + "'"


async def _connect(dsn: str, *statements: str) -> AsyncConnection:
    try:
        connection = await AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, **_KEEPALIVES
        )
    except (psycopg.Error, OSError) as error:
        raise StoreUnavailable(f"the event store is away: {error}") from error
    try:
        for statement in (_SESSION, *statements):
            await connection.execute(statement.encode())
    except (psycopg.Error, OSError) as error:
        await connection.close()
        raise StoreUnavailable(f"the event store is away: {error}") from error
    return connection


def _cut(connection: AsyncConnection) -> None:
    """End a connection under whoever waits for its server, who then gets an error at once."""
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as same:
            same.shutdown(socket.SHUT_RDWR)


async def _try_lock(connection: AsyncConnection, shard: str) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_lock_key(shard),))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _lock_key(shard: str) -> int:
    """The advisory lock of a stream: 63 bits of a hash of its name."""
    digest = sha256(f"nexustrade stream {shard}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _shard_state(shard: str, row: Sequence[Any]) -> ShardState:
    last_seq, last_time, epoch, role, last_hash = row
    return ShardState(shard, last_seq, from_datetime(last_time), epoch, role, bytes(last_hash))


def _stored(shard: str, row: Sequence[Any]) -> StoredEvent:
    seq, ts_us, event_type, cause, payload, prev_hash, hash_ = row
    return StoredEvent(shard, seq, ts_us, event_type, cause, canonical(payload), prev_hash, hash_)


def _packed(state: bytes) -> tuple[bytes, bytes]:
    """The state compressed, and the hash of what it was."""
    return zlib.compress(state, 1), sha256(state).digest()


def _unpacked(packed: bytes, digest: bytes) -> bytes | None:
    """The state, or None when it is not what was kept."""
    try:
        state = zlib.decompress(packed)
    except zlib.error:
        return None
    return state if sha256(state).digest() == digest else None
