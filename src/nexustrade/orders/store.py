"""The order history in the `accounts` database: written from the orders streams, and read.

`HistoryWriter` follows committed events and writes what follows from them exactly once: the rows
and how far their stream was read change in one transaction. `History` answers `HistoryQuery`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString, NamedTuple, Protocol, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from nexustrade.core.codec import decode, encode
from nexustrade.core.errors import StoreUnavailable, check
from nexustrade.core.money import USD_DECIMALS, unscaled, usd_text
from nexustrade.core.time import to_datetime
from nexustrade.kernel.ports import Clock, EventStore, LogEntry
from nexustrade.orders.history import Changes, Fold, Lines, stored_row
from nexustrade.orders.messages import (
    AccountRecord,
    CashMovement,
    EquitySample,
    FillRecord,
    OrderRecord,
)

PROJECTION: Final = "history"
"""Its name in `projection_checkpoint`."""
NS_PER_S: Final = 1_000_000_000
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
"""Longest the server works on one statement of the writer."""
ROWS_MAX: Final = 10_000
"""Most rows of one answer."""
SIDES: Final = 2
"""A trade has a buyer and a seller."""
EQUITY_SAMPLES_MAX: Final = 10_000
"""Most equity samples of one answer, about a week of minutes; a longer time is thinned out."""
US_PER_S: Final = 1_000_000
US_PER_DAY: Final = 86_400 * US_PER_S
_US_MAX: Final = 253_402_300_799_999_999  # the end of the year 9999

log = structlog.get_logger()

Pool = AsyncConnectionPool[Any]
Connection = AsyncConnection[Any]
Row = TypeVar("Row")


class HistoryLimits(NamedTuple):
    """Limits of the writer. `_len` counts events, `rows` orders."""

    buffer_len_max: int = 50_000
    """Events that wait in memory; beyond, they are read from the event store again."""
    batch_len_max: int = 4_000
    """Events of one transaction."""
    read_len_max: int = 250
    """Events read at once from the event store."""
    slice_len: int = 100
    """Events folded, or rows written out, before others on the loop have their turn."""
    rows_max: int = 20_000
    """Open orders kept in memory between transactions; the others are read when they change."""
    linger_s: float = 0.25
    """How long a transaction waits for more events to share it."""
    busy_events_per_s: int = 3_000
    """From this rate on the venue is busy, and the history leaves it the machine."""
    defer_s_max: float = 60.0
    """Longest time for which it does; orders stay in memory for much longer than that."""
    retry_first_s: float = 0.05
    retry_max_s: float = 5.0
    transaction_s: float = 60.0
    """Longest wait for one transaction; after it the connection is cut."""
    equity_every_s: float = 60.0
    equity_keep_days: int = 400


class Accounts(Protocol):
    """What the equity samples are taken from: `OrdersQuery` has it."""

    def account(self, account_id: str) -> AccountRecord | None: ...

    def account_ids(self) -> Sequence[str]: ...


class _Moved(Exception):
    """The checkpoint in the database is not the one we know: read it again and go on there."""


class _Stream:
    """One orders stream: how far it is written, how far it is known to go, and what waits.

    `waiting` has no gaps. What is not in it and not written is in the event store.
    """

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.written_seq = 0
        self.last_seq = 0
        self.waiting: deque[LogEntry] = deque()

    @property
    def behind(self) -> bool:
        return self.written_seq < self.last_seq

    def take_in(self, entry: LogEntry, len_max: int) -> None:
        """Note a delivered event; events that come again are dropped."""
        waiting = self.waiting
        if waiting and entry.seq <= waiting[-1].seq:
            return
        if waiting and (entry.seq != waiting[-1].seq + 1 or len(waiting) >= len_max):
            waiting.clear()
        waiting.append(entry)
        if entry.seq > self.last_seq:
            self.last_seq = entry.seq

    def next_waiting(self, count: int) -> list[LogEntry]:
        """At most `count` events right after what is written; none when they are not in memory."""
        waiting = self.waiting
        while waiting and waiting[0].seq <= self.written_seq:
            waiting.popleft()
        if not waiting or waiting[0].seq != self.written_seq + 1:
            return []
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def missing_upto(self) -> int:
        """The last event that only the event store has."""
        return self.waiting[0].seq - 1 if self.waiting else self.last_seq


class HistoryWriter:
    """Follows the orders streams into the `accounts` database.

    `receive` is subscribed to the topic of the orders events and never waits; `run` does the work
    until it is cancelled, and may be run again. What could not be written yet, for whatever
    reason, is read from the event store later: nothing is lost and nothing comes twice.
    """

    def __init__(
        self,
        dsn: str,
        shards: Sequence[str],
        store: EventStore,
        view: Accounts,
        clock: Clock,
        limits: HistoryLimits | None = None,
    ) -> None:
        self._dsn = dsn
        self._store = store
        self._view = view
        self._clock = clock
        self._limits = limits or HistoryLimits()
        self._streams = {shard: _Stream(shard) for shard in shards}
        self._waiting_max = max(1, self._limits.buffer_len_max // max(1, len(shards)))
        self._fold = Fold(self._limits.rows_max)
        self._lines = Lines()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._positioned = False
        self._caught_up_ns = clock.monotonic_ns()
        self._retry_s = self._limits.retry_first_s

    async def receive(self, entries: Sequence[LogEntry]) -> None:
        """Take in a batch of the log; it is written in the background."""
        for entry in entries:
            stream = self._streams.get(entry.shard)
            if stream is not None:
                stream.take_in(entry, self._waiting_max)
        self._wake.set()

    @property
    def lag(self) -> int:
        """How many known events are not written yet."""
        return sum(max(0, s.last_seq - s.written_seq) for s in self._streams.values())

    async def drain(self) -> None:
        """Return once everything that is known of the streams is written; `run` must be running."""
        while not self._positioned or self._behind():
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Write the history, and sample the accounts' equity, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_always(), name="order history")
            tasks.create_task(self._sample_always(), name="equity samples")

    # ------------------------------------------------------------ following the streams

    async def _follow_always(self) -> None:
        while True:
            try:
                await self._follow()
            except _Moved:
                log.warning("order history goes on from the checkpoint in the database")
            except (StoreUnavailable, psycopg.OperationalError, OSError, TimeoutError) as error:
                log.warning("order history waits", error=str(error), lag=self.lag)
                await self._clock.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, self._limits.retry_max_s)
            finally:
                self._positioned = False

    async def _follow(self) -> None:
        """Write until something fails; the state in memory begins anew with each connection."""
        async with _connected(self._dsn) as connection:
            self._fold = Fold(self._limits.rows_max)
            for stream in self._streams.values():
                await self._position(connection, stream)
            self._positioned = True
            self._progress.set()
            while True:
                await self._await_events()
                for stream in self._streams.values():
                    if stream.behind:
                        await self._advance(connection, stream)

    async def _position(self, connection: Connection, stream: _Stream) -> None:
        """Find out how far a stream is written, and how far it goes."""
        named = (PROJECTION, stream.shard)
        await connection.execute(_FIRST_CHECKPOINT, named)
        cursor = await connection.execute(_CHECKPOINT, named)
        row = await cursor.fetchone()
        stream.written_seq = int(row[0]) if row is not None else 0
        head = await self._store.head(stream.shard)
        stream.last_seq = max(stream.last_seq, head.last_seq)
        check(
            stream.written_seq <= stream.last_seq,
            f"the order history has read {stream.shard} up to event {stream.written_seq},"
            f" but the event store ends at {stream.last_seq}: the databases do not belong together",
        )

    def _behind(self) -> bool:
        return any(stream.behind for stream in self._streams.values())

    async def _await_events(self) -> None:
        """Return when there is something to write, a little later when it is little."""
        while not self._behind():
            self._wake.clear()
            await self._wake.wait()
        if self.lag < self._limits.batch_len_max:
            await self._clock.sleep(self._limits.linger_s)
        await self._defer()

    async def _defer(self) -> None:
        """Wait while the venue is busy: who trades comes before who reads what is long closed."""
        limits = self._limits
        busy_events = max(1, int(limits.busy_events_per_s * limits.linger_s))
        until_ns = self._caught_up_ns + int(limits.defer_s_max * NS_PER_S)
        while self._clock.monotonic_ns() < until_ns:
            before = sum(stream.last_seq for stream in self._streams.values())
            await self._clock.sleep(limits.linger_s)
            if sum(stream.last_seq for stream in self._streams.values()) - before < busy_events:
                return

    async def _advance(self, connection: Connection, stream: _Stream) -> None:
        """Write the next events of a stream, in one transaction."""
        entries = stream.next_waiting(self._limits.batch_len_max)
        if not entries:
            entries = await self._read(stream)
        async with asyncio.timeout(self._limits.transaction_s), connection.transaction():
            await self._move_checkpoint(connection, stream, entries)
            for part in _slices(entries, self._limits.slice_len):
                await self._learn(connection, part)
                for entry in part:
                    self._fold.apply(entry.shard, entry.seq, entry.ts_us, entry.event)
                await asyncio.sleep(0)
            changes = self._fold.take()
            await self._write(connection, changes)
        self._fold.settle(changes)
        stream.written_seq = entries[-1].seq
        self._retry_s = self._limits.retry_first_s
        if not self._behind():
            self._caught_up_ns = self._clock.monotonic_ns()
        self._progress.set()

    async def _read(self, stream: _Stream) -> list[LogEntry]:
        """The next events from the event store, little by little."""
        entries: list[LogEntry] = []
        last = min(stream.missing_upto(), stream.written_seq + self._limits.batch_len_max)
        seq = stream.written_seq
        while seq < last:
            upto = min(last, seq + self._limits.read_len_max)
            async for rows in self._store.read(stream.shard, seq, upto):
                for r in rows:
                    event = decode(r.event_type, r.payload)
                    entries.append(LogEntry(r.shard, r.seq, r.ts_us, r.cause, event))
            seq = upto
            await asyncio.sleep(0)
        return entries

    async def _move_checkpoint(
        self, connection: Connection, stream: _Stream, entries: Sequence[LogEntry]
    ) -> None:
        # Comes first: it keeps a second writer out until this transaction has ended.
        first, last = stream.written_seq + 1, stream.written_seq + len(entries)
        check(
            bool(entries) and [entry.seq for entry in entries] == list(range(first, last + 1)),
            f"{stream.shard}: events from {first} on are written without gaps",
        )
        values = (last, PROJECTION, stream.shard, stream.written_seq)
        cursor = await connection.execute(_MOVE_CHECKPOINT, values)
        if cursor.rowcount != 1:
            raise _Moved

    async def _learn(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
        """Read the rows of orders that change and are not in memory."""
        missing = self._fold.missing([entry.event for entry in entries])
        if missing:
            cursor = await connection.execute(_ROWS, (missing,))
            rows = await cursor.fetchall()
            self._fold.learn([stored_row(r[0], int(r[1]), r[2], r[3]) for r in rows])

    # ------------------------------------------------------------ writing

    async def _write(self, connection: Connection, changes: Changes) -> None:
        lines = self._lines
        rows = changes.rows.values()
        added = [row for row in rows if not row.stored]
        changed = [row for row in rows if row.stored]
        await self._copy(connection, _COPY_ORDERS, added, lines.order)
        if changed:
            await self._copy(connection, _COPY_CHANGED, changed, lines.order)
            await connection.execute(_UPDATE_ORDERS, prepare=False)
        await self._copy(connection, _COPY_FILLS, changes.fills, lambda fill: lines.fill(*fill))
        for e, ts_us in changes.busts:
            bust = (to_datetime(ts_us), e.symbol, e.trade_id, e.account_id, e.order_id)
            await connection.execute(_BUST, bust)
        await self._copy(connection, _COPY_MOVEMENTS, changes.movements, lines.movement)
        for opened, ts_us in changes.accounts.values():
            account = (opened.account_id, opened.account_type, to_datetime(ts_us))
            await connection.execute(_PUT_ACCOUNT, account)
        for rules, ts_us in changes.instruments.values():
            instrument = (rules.symbol, encode(rules).decode(), to_datetime(ts_us))
            await connection.execute(_PUT_INSTRUMENT, instrument)

    async def _copy(
        self, connection: Connection, into: str, rows: Sequence[Row], line: Callable[[Row], str]
    ) -> None:
        if not rows:
            return
        async with connection.cursor() as cursor, cursor.copy(into) as copy:
            for part in _slices(rows, self._limits.slice_len):
                await copy.write("".join([line(row) for row in part]))
                await asyncio.sleep(0)

    # ------------------------------------------------------------ equity

    async def _sample_always(self) -> None:
        pruned_us = 0
        while True:
            now_us = self._clock.now_us()
            try:
                async with _connected(self._dsn) as connection:
                    await self._sample(connection, now_us)
                    if now_us - pruned_us >= US_PER_DAY:
                        await self._prune(connection, now_us)
                        pruned_us = now_us
            except (StoreUnavailable, psycopg.OperationalError, OSError, TimeoutError) as error:
                log.warning("equity is not sampled", error=str(error))
                await self._clock.sleep(self._limits.retry_max_s)
            else:
                await self._clock.sleep(self._limits.equity_every_s)

    async def _sample(self, connection: Connection, now_us: int) -> None:
        at = to_datetime(now_us)
        for ids in _slices(self._view.account_ids(), self._limits.slice_len):
            found = [self._view.account(account_id) for account_id in ids]
            accounts = [account for account in found if account is not None]
            names = [account.account_id for account in accounts]
            equities = [usd_text(account.equity) for account in accounts]
            await connection.execute(_PUT_EQUITY, (at, names, equities))

    async def _prune(self, connection: Connection, now_us: int) -> None:
        oldest = to_datetime(now_us - self._limits.equity_keep_days * US_PER_DAY)
        for ids in _slices(self._view.account_ids(), self._limits.slice_len):
            await connection.execute(_PRUNE_EQUITY, (list(ids), oldest))


def _slices(rows: Sequence[Row], slice_len: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), slice_len):
        yield rows[start : start + slice_len]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    """A connection of the writer's own, closed at the end whatever the transaction's state."""
    connection = await AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, **_KEEPALIVES
    )
    try:
        await connection.execute(_SESSION)
        yield connection
    finally:
        await connection.close()


# A commit that a crash of the server takes back takes the checkpoint back with it: no need to wait
# for the disk. The planner must use the key for the few rows that change, also before it has seen
# how large the table is.
_SESSION: Final = f"""
    SET synchronous_commit = off; SET timezone = 'UTC';
    SET statement_timeout = {STATEMENT_TIMEOUT_MS};
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
    CREATE TEMP TABLE order_changed (LIKE order_history) ON COMMIT DELETE ROWS
"""
_KEEPALIVES: Final[dict[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Notice within about ten seconds that a server elsewhere is gone (seconds, milliseconds)."""

_FIRST_CHECKPOINT: Final = """
    INSERT INTO projection_checkpoint (name, shard, last_seq) VALUES (%s, %s, 0)
    ON CONFLICT DO NOTHING
"""
_CHECKPOINT: Final = "SELECT last_seq FROM projection_checkpoint WHERE name = %s AND shard = %s"
_MOVE_CHECKPOINT: Final = """
    UPDATE projection_checkpoint SET last_seq = %s WHERE name = %s AND shard = %s AND last_seq = %s
"""
_ROWS: Final = """
    SELECT record::text, cost_e12::text, closed_at IS NOT NULL, pending::text
    FROM order_history WHERE order_id = ANY(%s)
"""
_ORDER_COLUMNS: Final = (
    "order_id, account_id, cl_ord_id, symbol, side, ord_type, time_in_force, ord_status,"
    " order_qty, notional, limit_px, cum_qty, leaves_qty, cost_e12,"
    " submitted_at, updated_at, closed_at, record, pending,"
    " stop_px, trail_px, trail_ppm, hwm_px, order_class, group_id, role, triggered_at"
)
_COPY_ORDERS: Final = f"COPY order_history ({_ORDER_COLUMNS}) FROM STDIN"
_COPY_CHANGED: Final = f"COPY order_changed ({_ORDER_COLUMNS}) FROM STDIN"
_UPDATE_ORDERS: Final = """
    UPDATE order_history o
    SET ord_status = c.ord_status, order_qty = c.order_qty, limit_px = c.limit_px,
        cum_qty = c.cum_qty, leaves_qty = c.leaves_qty, cost_e12 = c.cost_e12,
        updated_at = c.updated_at, closed_at = c.closed_at, record = c.record,
        pending = c.pending, stop_px = c.stop_px, trail_px = c.trail_px, hwm_px = c.hwm_px,
        triggered_at = c.triggered_at
    FROM order_changed c WHERE o.order_id = c.order_id
"""
_COPY_FILLS: Final = (
    "COPY fills (account_id, ts_event, order_id, symbol, side, last_px, last_qty, notional, fee,"
    " liquidity, trade_id, record, trade_date, settle_date) FROM STDIN"
)
_BUST: Final = """
    UPDATE fills SET busted_at = %s, record = record || '{"busted": true}'
    WHERE symbol = %s AND trade_id = %s AND account_id = %s AND order_id = %s
"""
_COPY_MOVEMENTS: Final = (
    "COPY cash_movements (activity_id, account_id, activity_type, amount, description, ts_event)"
    " FROM STDIN"
)
_PUT_ACCOUNT: Final = """
    INSERT INTO accounts (account_id, account_type, created_at) VALUES (%s, %s, %s)
    ON CONFLICT (account_id) DO UPDATE
    SET account_type = excluded.account_type, created_at = excluded.created_at
"""
# Every partition tells of an instrument: the newest word counts.
_PUT_INSTRUMENT: Final = """
    INSERT INTO instruments (symbol, rules, updated_at) VALUES (%s, %s, %s)
    ON CONFLICT (symbol) DO UPDATE SET rules = excluded.rules, updated_at = excluded.updated_at
    WHERE excluded.updated_at >= instruments.updated_at
"""
_PUT_EQUITY: Final = """
    INSERT INTO account_equity (account_id, ts, equity)
    SELECT a, %s, e::numeric FROM unnest(%s::text[], %s::text[]) AS sample (a, e)
    ON CONFLICT DO NOTHING
"""
_PRUNE_EQUITY: Final = "DELETE FROM account_equity WHERE account_id = ANY(%s) AND ts < %s"


# ---------------------------------------------------------------- reading

_FIND_ORDERS: Final = sql.SQL("""
    SELECT record::text FROM order_history WHERE {where} AND closed_at IS NOT NULL
    ORDER BY submitted_at {direction} LIMIT %s
""")
_FIND_FILLS: Final = sql.SQL("""
    SELECT record::text FROM fills WHERE {where} ORDER BY ts_event {direction} LIMIT %s
""")
_FIND_TRADE: Final = _FIND_FILLS.format(
    where=sql.SQL("symbol = %s AND trade_id = %s"), direction=sql.SQL("ASC")
)
_FIND_MOVEMENTS: Final = sql.SQL("""
    SELECT activity_id, activity_type, amount::text, description,
        (extract(epoch FROM ts_event) * 1000000)::bigint
    FROM cash_movements WHERE {where} ORDER BY ts_event {direction} LIMIT %s
""")
_EQUITY_ENDS: Final = sql.SQL("""
    SELECT (extract(epoch FROM min(ts)) * 1000000)::bigint,
        (extract(epoch FROM max(ts)) * 1000000)::bigint, count(*)
    FROM account_equity WHERE {where}
""")
_FIND_EQUITY: Final = sql.SQL("""
    SELECT DISTINCT ON (span) us, equity::text FROM (
        SELECT us, equity, (us - %s) / %s AS span FROM (
            SELECT (extract(epoch FROM ts) * 1000000)::bigint AS us, equity
            FROM account_equity WHERE {where}
        ) AS timed
    ) AS spanned
    ORDER BY span, us DESC LIMIT %s
""")


class History:
    """`HistoryQuery` over the `accounts` database. `StoreUnavailable` when that is away.

    Of the orders only closed ones are told: open ones are the orders stage's.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, account_id: str, order_id: str) -> OrderRecord | None:
        """A closed order of the account."""
        found = await self._orders(_Where(account_id).and_("order_id = %s", order_id), limit=1)
        return found[0] if found else None

    async def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> OrderRecord | None:
        """The account's latest closed order with that client order id."""
        found = await self._orders(_Where(account_id).and_("cl_ord_id = %s", cl_ord_id), limit=1)
        return found[0] if found else None

    async def orders(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        symbols: Sequence[str] = (),
        side: str = "",
        descending: bool = True,
        limit: int = 500,
    ) -> Sequence[OrderRecord]:
        """Closed orders by submitted_us, both bounds exclusive, 0 for none."""
        where = _Where(account_id).between("submitted_at", after_us, until_us)
        if symbols:
            where.and_("symbol = ANY(%s)", list(symbols))
        if side:
            where.and_("side = %s", side)
        return await self._orders(where, descending=descending, limit=limit)

    async def orders_of_groups(
        self, account_id: str, group_ids: Sequence[str]
    ) -> Sequence[OrderRecord]:
        """The closed orders of these groups, those that were replaced included, oldest first."""
        # The index has the orders of groups alone, and is found by the words of its condition.
        where = _Where(account_id).and_("group_id = ANY(%s) AND group_id <> ''", list(group_ids))
        return await self._orders(where, descending=False, limit=ROWS_MAX)

    async def trade(self, symbol: str, trade_id: int) -> Sequence[FillRecord]:
        """The two sides of a trade, of whatever accounts; empty when there is no such trade."""
        return _fill_records(await self._fetch(_FIND_TRADE, [symbol, trade_id, SIDES]))

    async def fills(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[FillRecord]:
        """Fills by ts_event_us, both bounds exclusive, 0 for none."""
        where = _Where(account_id).between("ts_event", after_us, until_us)
        return _fill_records(
            await self._rows(_FIND_FILLS, where, descending=descending, limit=limit)
        )

    async def cash_movements(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[CashMovement]:
        """Deposits, withdrawals and fees (those given back included) by ts_event_us.

        Both bounds are exclusive, 0 for none.
        """
        where = _Where(account_id).between("ts_event", after_us, until_us)
        rows = await self._rows(_FIND_MOVEMENTS, where, descending=descending, limit=limit)
        return [
            CashMovement(account_id, r[0], r[1], unscaled("amount", r[2], USD_DECIMALS), r[3], r[4])
            for r in rows
        ]

    async def equity(self, account_id: str, after_us: int, until_us: int) -> Sequence[EquitySample]:
        """Samples in rising time, both bounds exclusive, 0 for none.

        A time with more than `EQUITY_SAMPLES_MAX` of them is cut in as many equal spans, and of
        each the last sample is told.
        """
        where = _Where(account_id).between("ts", after_us, until_us)
        ends = await self._fetch(where.into(_EQUITY_ENDS), where.values)
        if not ends or not ends[0][2]:
            return []
        first_us, last_us, count = ends[0]
        many = count > EQUITY_SAMPLES_MAX
        span_us = (last_us - first_us) // EQUITY_SAMPLES_MAX + 1 if many else 1
        values = [first_us, span_us, *where.values, EQUITY_SAMPLES_MAX]
        return [
            EquitySample(account_id, ts_us, unscaled("equity", text, USD_DECIMALS))
            for ts_us, text in await self._fetch(where.into(_FIND_EQUITY), values)
        ]

    async def _orders(
        self, where: "_Where", *, descending: bool = True, limit: int
    ) -> list[OrderRecord]:
        rows = await self._rows(_FIND_ORDERS, where, descending=descending, limit=limit)
        records = (decode("OrderRecord", row[0]) for row in rows)
        return [record for record in records if isinstance(record, OrderRecord)]

    async def _rows(
        self, query: sql.SQL, where: "_Where", *, descending: bool, limit: int
    ) -> list[tuple[Any, ...]]:
        direction = sql.SQL("DESC" if descending else "ASC")
        bounded = min(max(limit, 0), ROWS_MAX)
        return await self._fetch(where.into(query, direction=direction), [*where.values, bounded])

    async def _fetch(self, query: sql.Composed, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not all(_storable(value) for value in values):
            return []
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(query, values)
                rows: list[tuple[Any, ...]] = await cursor.fetchall()
                return rows
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise StoreUnavailable(f"accounts database: {error}") from error


def _fill_records(rows: Sequence[tuple[Any, ...]]) -> list[FillRecord]:
    records = (decode("FillRecord", row[0]) for row in rows)
    return [record for record in records if isinstance(record, FillRecord)]


class _Where:
    """The condition of a query over an account's rows, with its values."""

    def __init__(self, account_id: str) -> None:
        self.conditions = [sql.SQL("account_id = %s")]
        self.values: list[Any] = [account_id]

    def and_(self, condition: LiteralString, value: object) -> "_Where":
        self.conditions.append(sql.SQL(condition))
        self.values.append(value)
        return self

    def between(self, column: LiteralString, after_us: int, until_us: int) -> "_Where":
        """Both bounds are exclusive; 0 stands for none."""
        if after_us:
            self.and_(column + " > %s", to_datetime(min(max(after_us, 0), _US_MAX)))
        if until_us:
            self.and_(column + " < %s", to_datetime(min(max(until_us, 0), _US_MAX)))
        return self

    def into(self, query: sql.SQL, **parts: sql.SQL) -> sql.Composed:
        return query.format(where=sql.SQL(" AND ").join(self.conditions), **parts)


def _storable(value: object) -> bool:
    """Whether a value could be in the database at all: text without NUL and lone surrogates."""
    if isinstance(value, list):
        return all(_storable(one) for one in value)
    if not isinstance(value, str):
        return True
    return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
