"""The order history on a real database: exactly once, whatever happens on the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.event_store import MemoryDatabase, MemoryEventStore
from nexustrade.adapters.postgres.embedded import SUPERUSER, EmbeddedServer
from nexustrade.adapters.system import SystemClock
from nexustrade.core.codec import Message, canonical, decode, encode
from nexustrade.core.errors import InvariantError, StoreUnavailable
from nexustrade.core.time import to_datetime
from nexustrade.kernel.chain import GENESIS, seal
from nexustrade.kernel.ports import Append, EventStore, LogEntry, StoredEvent
from nexustrade.orders import store as module
from nexustrade.orders.messages import (
    AccountRecord,
    FillRecord,
    OrderFilled,
    OrderRecord,
    TradeBusted,
)
from nexustrade.orders.service import OrdersView, order_record
from nexustrade.orders.store import History, HistoryLimits, HistoryWriter
from tests.group_steps import Trader

NO_LINGER = HistoryLimits(linger_s=0, retry_first_s=0.01, retry_max_s=0.05)
SMALL = NO_LINGER._replace(
    buffer_len_max=60, batch_len_max=25, read_len_max=7, slice_len=4, rows_max=3
)
FAR_AWAY_S = 60


class Source:
    """A venue of two orders partitions whose events reach an event store, and from it a log."""

    def __init__(self, seed: int) -> None:
        self.trader = Trader(Random(seed))
        self.venue = self.trader.venue
        self.shards = list(self.venue.routing.orders_shards)
        self.database = MemoryDatabase()
        self.store = MemoryEventStore(self.database)
        self.view = OrdersView(self.venue.orders, self.venue.routing.orders_of)
        self._kept = 0
        self._links = dict.fromkeys(self.shards, GENESIS)

    async def trade(self, count: int) -> list[LogEntry]:
        """Run that many steps; their orders events, which are in the store then."""
        for _ in range(count):
            self.trader.step()
        return await self.keep()

    async def keep(self) -> list[LogEntry]:
        new = [entry for entry in self.venue.log[self._kept :] if entry[0] in self.shards]
        self._kept = len(self.venue.log)
        entries = [LogEntry(s, r.seq, r.ts_us, r.cause, r.event) for s, r in new]
        for shard in self.shards:
            state = await self.store.claim(shard)
            rows: list[StoredEvent] = []
            for e in entries:
                if e.shard == shard:
                    rows.append(seal(self._links[shard], shard, e.seq, e.ts_us, e.cause, e.event))
                    self._links[shard] = rows[-1].hash
            if rows:
                await self.store.append([Append(shard, state.epoch, state.last_seq, rows)], {})
        return entries

    def writer(self, dsn: str, limits: HistoryLimits = SMALL) -> HistoryWriter:
        return HistoryWriter(dsn, self.shards, self.store, self.view, SystemClock(), limits)

    # ------------------------------------------------------------ what the tables must say

    def closed_orders(self) -> dict[str, OrderRecord]:
        return {o.order_id: order_record(o) for stage in self.venue.orders for o in stage.closed}

    def open_orders(self) -> set[str]:
        accounts = [a for stage in self.venue.orders for a in stage.accounts.values()]
        return {order_id for account in accounts for order_id in account.open}

    def fills(self) -> list[tuple[str, int, int, str, bool]]:
        """Each fill's order, trade, time and settlement date, and whether it was undone."""
        busted = {(e.symbol, e.trade_id) for e, _ in self.busts()}
        return sorted(
            (e.order_id, e.trade_id, r.ts_us, e.settle_date, (e.symbol, e.trade_id) in busted)
            for _, r in self.venue.log
            if isinstance(e := r.event, OrderFilled)
        )

    def busts(self) -> list[tuple[TradeBusted, int]]:
        return [(r.event, r.ts_us) for _, r in self.venue.log if isinstance(r.event, TradeBusted)]


@contextlib.asynccontextmanager
async def running(writer: HistoryWriter) -> AsyncIterator[HistoryWriter]:
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def drained(writer: HistoryWriter) -> None:
    async with asyncio.timeout(FAR_AWAY_S):
        await writer.drain()


async def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    async with await AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def assert_exact(dsn: str, source: Source) -> None:
    """The tables hold what the stages say: all of it, once."""
    closed = source.closed_orders()
    found = {}
    for order_id, record, is_closed in await rows(
        dsn, "SELECT order_id, record::text, closed_at IS NOT NULL FROM order_history"
    ):
        assert is_closed == (order_id in closed)
        if is_closed:
            found[order_id] = decode("OrderRecord", record)
        else:
            assert order_id in source.open_orders()
    assert found == closed
    total = await rows(dsn, "SELECT count(*) FROM order_history")
    assert total == [(len(closed) + len(source.open_orders()),)]
    fills = [
        decode("FillRecord", record)
        for (record,) in await rows(dsn, "SELECT record::text FROM fills")
    ]
    assert sorted(map(told_of, fills)) == source.fills()
    await _assert_columns(dsn)
    await _assert_cash(dsn, source)
    checkpoints = await rows(dsn, "SELECT shard, last_seq FROM projection_checkpoint")
    assert dict(checkpoints) == {s: source.venue.stages[s].seq for s in source.shards}


def told_of(fill: Message) -> tuple[str, int, int, str, bool]:
    assert isinstance(fill, FillRecord)
    return fill.order_id, fill.trade_id, fill.ts_event_us, fill.settle_date, fill.busted


async def _assert_columns(dsn: str) -> None:
    """The columns of an order repeat what its record says, and those of a fill what its says."""
    wrong = await rows(
        dsn,
        """
        SELECT order_id FROM order_history WHERE order_id != record->>'order_id'
            OR account_id != record->>'account_id' OR ord_status != record->>'ord_status'
            OR cum_qty != (record->>'cum_qty')::numeric
            OR leaves_qty != (record->>'leaves_qty')::numeric
            OR order_qty != (record->>'order_qty')::numeric
            OR limit_px != (record->>'limit_px')::numeric
            OR notional != (record->>'notional')::numeric
            OR abs(cost_e12 / 1e12 / nullif(cum_qty, 0) - (record->>'avg_px')::numeric) > 0.00005
            OR (extract(epoch FROM submitted_at) * 1000000)::bigint
                != (record->>'submitted_us')::bigint
            OR (extract(epoch FROM updated_at) * 1000000)::bigint
                != (record->>'updated_us')::bigint
            OR stop_px != coalesce(record->>'stop_px', '0')::numeric
            OR trail_px != coalesce(record->>'trail_px', '0')::numeric
            OR trail_ppm != coalesce(record->>'trail_ppm', '0')::integer
            OR hwm_px != coalesce(record->>'hwm_px', '0')::numeric
            OR order_class != coalesce(record->>'order_class', '')
            OR group_id != coalesce(record->>'group_id', '')
            OR role != coalesce(record->>'role', '')
            OR (extract(epoch FROM triggered_at) * 1000000)::bigint
                IS DISTINCT FROM (record->>'triggered_us')::bigint
        """,
    )
    assert wrong == []
    wrong = await rows(
        dsn,
        """
        SELECT order_id FROM fills WHERE settle_date::text != record->>'settle_date'
            OR trade_date IS NULL OR settle_date - trade_date != 2
            OR busted_at IS NOT NULL != coalesce(record->>'busted', 'false')::boolean
        """,
    )
    assert wrong == []


async def _assert_cash(dsn: str, source: Source) -> None:
    """The money columns alone give every account's cash, to the cent."""
    told = await rows(
        dsn,
        """
        SELECT account_id, (sum(amount) * 100)::bigint FROM (
            SELECT account_id, amount FROM cash_movements
            UNION ALL SELECT account_id, CASE side WHEN 'BUY' THEN -notional ELSE notional END
            FROM fills WHERE busted_at IS NULL
        ) AS moved GROUP BY account_id
        """,
    )
    accounts = [a for stage in source.venue.orders for a in stage.accounts.values()]
    assert dict(told) == {a.account_id: a.cash for a in accounts}
    listed = await rows(dsn, "SELECT account_id, account_type FROM accounts")
    assert dict(listed) == {a.account_id: a.account_type for a in accounts}


# ---------------------------------------------------------------- exactly once


async def test_the_tables_say_what_the_stages_say(accounts_dsn: str) -> None:
    source = Source(1)
    async with running(source.writer(accounts_dsn, NO_LINGER)) as writer:
        for _ in range(12):
            await writer.receive(await source.trade(40))
        await drained(writer)
    await assert_exact(accounts_dsn, source)
    listed = await rows(accounts_dsn, "SELECT symbol, rules::text FROM instruments")
    definitions = source.venue.orders[0].definitions
    assert {symbol: canonical(rules) for symbol, rules in listed} == {
        symbol: encode(rules) for symbol, rules in definitions.items()
    }


async def test_batches_that_come_again_or_late_or_in_part_change_nothing(accounts_dsn: str) -> None:
    source = Source(2)
    random = Random(2)
    given: list[LogEntry] = []
    async with running(source.writer(accounts_dsn)) as writer:
        for _ in range(40):
            new = await source.trade(8)
            given += new
            await writer.receive(new)
            start = random.randrange(len(given))
            await writer.receive(given[start : start + random.randrange(30)])
            if random.random() < 0.5:
                await drained(writer)
                await writer.receive(given[-random.randrange(1, 30) :])
        await drained(writer)
    await assert_exact(accounts_dsn, source)


async def test_what_was_not_delivered_is_read_from_the_store(accounts_dsn: str) -> None:
    source = Source(3)
    random = Random(3)
    async with running(source.writer(accounts_dsn)) as writer:
        for _ in range(60):
            new = await source.trade(3)
            if random.random() < 0.6:
                await writer.receive(new[random.randrange(len(new)) :])
            if random.random() < 0.2:
                await drained(writer)
        await source.trade(8)
        await writer.receive(await source.trade(8))
        await drained(writer)
        # The other partition may have had its last events lost: a start looks them up.
    async with running(source.writer(accounts_dsn)) as writer:
        await drained(writer)
    await assert_exact(accounts_dsn, source)


async def test_memory_is_bounded_and_what_did_not_fit_is_read_again(accounts_dsn: str) -> None:
    source = Source(4)
    writer = source.writer(accounts_dsn)
    for _ in range(50):
        await writer.receive(await source.trade(8))
        for stream in writer._streams.values():
            assert len(stream.waiting) <= SMALL.buffer_len_max // 2
    assert writer.lag > SMALL.buffer_len_max
    async with running(writer):
        await drained(writer)
        assert writer.lag == 0
        assert len(writer._fold._rows) <= SMALL.rows_max
    await assert_exact(accounts_dsn, source)


async def test_a_new_writer_goes_on_where_the_last_one_stopped(accounts_dsn: str) -> None:
    source = Source(5)
    for turn in range(8):
        async with running(source.writer(accounts_dsn)) as writer:
            await writer.receive(await source.trade(30))
            if turn % 2:
                await drained(writer)
        await source.trade(10)
    async with running(source.writer(accounts_dsn)) as writer:
        await drained(writer)
    await assert_exact(accounts_dsn, source)


async def test_each_event_in_a_transaction_of_its_own_with_nothing_in_memory(
    accounts_dsn: str,
) -> None:
    source = Source(14)
    limits = NO_LINGER._replace(batch_len_max=1, rows_max=0)
    async with running(source.writer(accounts_dsn, limits)) as writer:
        await writer.receive(await source.trade(150))
        await drained(writer)
    await assert_exact(accounts_dsn, source)


async def test_two_writers_at_once_write_everything_once(accounts_dsn: str) -> None:
    source = Source(6)
    async with (
        running(source.writer(accounts_dsn)) as one,
        running(source.writer(accounts_dsn)) as other,
    ):
        for _ in range(30):
            new = await source.trade(8)
            await one.receive(new)
            await other.receive(new)
            await asyncio.sleep(0)
        await drained(one)
        await drained(other)
    await assert_exact(accounts_dsn, source)


# ---------------------------------------------------------------- faults


@contextlib.asynccontextmanager
async def stopped_in_a_transaction(
    dsn: str, writer: HistoryWriter, new: list[LogEntry]
) -> AsyncIterator[int]:
    """The writer got events and waits in the middle of a transaction; its server process."""
    async with await AsyncConnection.connect(dsn) as holder:
        await holder.execute("LOCK TABLE fills IN SHARE MODE")
        await writer.receive(new)
        async with (
            asyncio.timeout(FAR_AWAY_S),
            await AsyncConnection.connect(dsn, autocommit=True) as watcher,
        ):
            while True:
                cursor = await watcher.execute(
                    "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'fills'::regclass"
                )
                if (row := await cursor.fetchone()) is not None:
                    break
        yield row[0]


async def test_a_connection_killed_in_the_middle_of_a_transaction(accounts_dsn: str) -> None:
    source = Source(7)
    async with running(source.writer(accounts_dsn, NO_LINGER)) as writer:
        for _ in range(4):
            new = await source.trade(60)
            async with stopped_in_a_transaction(accounts_dsn, writer, new) as pid:
                await rows(accounts_dsn, f"SELECT pg_terminate_backend({pid}, 10000)")
            await drained(writer)
            await assert_exact(accounts_dsn, source)


async def test_a_writer_cancelled_in_the_middle_of_a_transaction(accounts_dsn: str) -> None:
    source = Source(8)
    writer = source.writer(accounts_dsn, NO_LINGER)
    for _ in range(4):
        async with running(writer):
            new = await source.trade(60)
            async with stopped_in_a_transaction(accounts_dsn, writer, new):
                assert writer.lag > 0
    async with running(writer):
        await drained(writer)
    await assert_exact(accounts_dsn, source)


class Unanswered(HistoryWriter):
    """Loses the connection right after every second commit, before its answer."""

    commits = 0

    async def _advance(self, connection: Any, stream: Any) -> None:
        written_seq = stream.written_seq
        await super()._advance(connection, stream)
        self.commits += 1
        if self.commits % 2 == 0:
            stream.written_seq = written_seq
            raise psycopg.OperationalError("the connection is lost")


@pytest.mark.parametrize(
    ("limits", "steps"),
    [(SMALL, 20), (SMALL._replace(batch_len_max=1, rows_max=0, retry_first_s=0.001), 4)],
    ids=["many events", "each event"],
)
async def test_a_commit_whose_answer_is_lost_is_not_repeated(
    accounts_dsn: str, limits: HistoryLimits, steps: int
) -> None:
    source = Source(9)
    writer = Unanswered(
        accounts_dsn, source.shards, source.store, source.view, SystemClock(), limits
    )
    async with running(writer):
        for _ in range(10):
            await writer.receive(await source.trade(steps))
            await drained(writer)
    assert writer.commits > 10
    await assert_exact(accounts_dsn, source)


@contextlib.contextmanager
def away(server: EmbeddedServer, dsn: str) -> Any:
    """Nobody can connect to the database, and whoever was connected is cut off."""
    name = conninfo_to_dict(dsn)["dbname"]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format
    admin = server._conninfo("postgres", SUPERUSER)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(allow(sql.Identifier(str(name)), sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
            (name,),
        )
        try:
            yield
        finally:
            connection.execute(allow(sql.Identifier(str(name)), sql.SQL("true")))


async def test_the_database_away_and_back(
    accounts_dsn: str, postgres_server: EmbeddedServer
) -> None:
    source = Source(10)
    async with running(source.writer(accounts_dsn)) as writer:
        for _ in range(3):
            await writer.receive(await source.trade(40))
            await asyncio.sleep(0)
            with away(postgres_server, accounts_dsn):
                for _ in range(10):
                    await writer.receive(await source.trade(8))
                    await asyncio.sleep(0.005)
                assert writer.lag > 0
            await drained(writer)
            await assert_exact(accounts_dsn, source)


async def test_the_event_store_away_and_back(accounts_dsn: str) -> None:
    source = Source(11)
    await source.trade(100)
    source.store.down = True
    async with running(source.writer(accounts_dsn)) as writer:
        await asyncio.sleep(0.05)
        source.store.down = False
        new = await source.trade(40)
        await writer.receive(new[-1:])
        source.store.down = True
        await asyncio.sleep(0.02)
        source.store.down = False
        await drained(writer)
    await assert_exact(accounts_dsn, source)


async def test_databases_that_do_not_belong_together_are_refused(accounts_dsn: str) -> None:
    source = Source(12)
    async with running(source.writer(accounts_dsn)) as writer:
        await writer.receive(await source.trade(40))
        await drained(writer)
    empty = MemoryEventStore()
    writer = HistoryWriter(accounts_dsn, source.shards, empty, source.view, SystemClock(), SMALL)
    with pytest.raises(ExceptionGroup) as caught:
        await writer.run()
    assert caught.group_contains(InvariantError, match="do not belong together")


async def test_a_long_run_leaves_the_loop_free(accounts_dsn: str) -> None:
    """Between two slices of work everybody else has a turn."""
    source = Source(13)
    entries = await source.trade(500)
    writer = source.writer(accounts_dsn, NO_LINGER._replace(slice_len=20))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with running(writer):
        await writer.receive(entries)
        await drained(writer)
    counting.cancel()
    assert turns > len(entries) // 20


# ---------------------------------------------------------------- reading


@contextlib.asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[History]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        dsn, min_size=1, max_size=2, open=False, timeout=1
    )
    await pool.open()
    try:
        yield History(pool)
    finally:
        await pool.close()


async def written(dsn: str, seed: int, steps: int) -> Source:
    source = Source(seed)
    async with running(source.writer(dsn, NO_LINGER)) as writer:
        await writer.receive(await source.trade(steps))
        await drained(writer)
    return source


async def test_closed_orders_are_found(accounts_dsn: str) -> None:
    source = await written(accounts_dsn, 20, 250)
    closed = source.closed_orders()
    async with reading(accounts_dsn) as history:
        for record in closed.values():
            account = record.account_id
            assert await history.order(account, record.order_id) == record
            assert await history.order_by_cl_ord_id(account, record.cl_ord_id) == record
            assert await history.order(account + "x", record.order_id) is None
        for order_id in source.open_orders():
            account_id = next(
                a.account_id
                for stage in source.venue.orders
                for a in stage.accounts.values()
                if order_id in a.open
            )
            assert await history.order(account_id, order_id) is None
        for hostile in ("", "no-such-order", "a\0b", "\ud800", "' OR 1=1 --"):
            assert await history.order("cash-1", hostile) is None
            assert await history.order_by_cl_ord_id("cash-1", hostile) is None
            assert await history.orders("cash-1", symbols=[hostile]) == []


def by_submission(record: OrderRecord) -> tuple[int, str]:
    return record.submitted_us, record.order_id


async def test_orders_are_listed_as_asked_for(accounts_dsn: str) -> None:
    source = await written(accounts_dsn, 21, 300)
    mine = [r for r in source.closed_orders().values() if r.account_id == "margin-1"]
    mine.sort(key=by_submission)
    first_us, last_us = mine[2].submitted_us, mine[-3].submitted_us
    async with reading(accounts_dsn) as history:
        assert await history.orders("margin-1") == mine[::-1]
        assert await history.orders("margin-1", descending=False) == mine
        assert await history.orders("margin-1", descending=False, limit=4) == mine[:4]
        assert await history.orders("margin-1", limit=4) == mine[:-5:-1]
        assert await history.orders("margin-1", limit=-1) == []
        between = await history.orders(
            "margin-1", after_us=first_us, until_us=last_us, descending=False
        )
        assert between == [r for r in mine if first_us < r.submitted_us < last_us]
        bought = await history.orders(
            "margin-1", symbols=["AAPL", "NONE"], side="BUY", descending=False
        )
        assert bought == [r for r in mine if (r.symbol, r.side) == ("AAPL", "BUY")]
        assert bought
        assert await history.orders("margin-1", after_us=2**70, until_us=-5) == []
        assert await history.orders("nobody") == []


async def test_fills_and_cash_movements_are_listed_as_asked_for(accounts_dsn: str) -> None:
    source = await written(accounts_dsn, 22, 300)
    async with reading(accounts_dsn) as history:
        for account_id in ("margin-1", "cash-1"):
            fills = await history.fills(account_id, descending=False, limit=10_000)
            times = [f.ts_event_us for f in fills]
            assert times == sorted(set(times))
            told = [f for f in source.fills() if f[0] in {r.order_id for r in fills}]
            assert sorted(map(told_of, fills)) == told
            assert await history.fills(account_id, limit=3) == fills[:-4:-1]
            page = await history.fills(account_id, after_us=times[0], until_us=times[2])
            assert page == [fills[1]]
            moved = await history.cash_movements(account_id, descending=False, limit=10_000)
            assert moved[0].activity_type == "CSD"
            assert moved[0].description == "opening cash"
            assert await history.cash_movements(account_id) == moved[: -len(moved) - 1 : -1][:100]
            fees = sorted((m.ts_event_us, -m.amount) for m in moved if m.activity_type == "FEE")
            mine = [(e, ts_us) for e, ts_us in source.busts() if e.account_id == account_id]
            assert fees == sorted(
                [(f.ts_event_us, f.fee) for f in fills if f.fee]
                + [(ts_us, -e.fee) for e, ts_us in mine if e.fee]
            )
            assert len({m.activity_id for m in moved}) == len(moved)


async def test_the_orders_of_groups_are_found_together(accounts_dsn: str) -> None:
    source = await written(accounts_dsn, 24, 300)
    closed = source.closed_orders().values()
    groups: dict[str, dict[str, list[OrderRecord]]] = {}
    for one in closed:
        if one.group_id:
            groups.setdefault(one.account_id, {}).setdefault(one.group_id, []).append(one)
    assert any(len(orders) > 3 for of in groups.values() for orders in of.values())
    async with reading(accounts_dsn) as history:
        for account_id, of in groups.items():
            found = await history.orders_of_groups(account_id, [*of, "", "no-such-group", "a\0b"])
            assert found == []
            found = await history.orders_of_groups(account_id, [*of, "", "no-such-group"])
            assert found == sorted((o for orders in of.values() for o in orders), key=by_submission)
            first = next(iter(of))
            alone = await history.orders_of_groups(account_id, [first])
            assert alone == sorted(of[first], key=by_submission)
            assert await history.orders_of_groups(account_id + "x", list(of)) == []
        assert await history.orders_of_groups("cash-1", []) == []


async def test_both_sides_of_a_trade_are_found_and_say_that_it_was_undone(
    accounts_dsn: str,
) -> None:
    source = await written(accounts_dsn, 25, 300)
    trades: dict[tuple[str, int], list[Any]] = {}
    for _, r in source.venue.log:
        if isinstance(e := r.event, OrderFilled):
            trades.setdefault((e.symbol, e.trade_id), []).append((e.account_id, e.order_id, e.fee))
    undone = {(e.symbol, e.trade_id) for e, _ in source.busts()}
    assert undone
    assert len(trades) > len(undone)
    async with reading(accounts_dsn) as history:
        for (symbol, trade_id), sides in trades.items():
            found = await history.trade(symbol, trade_id)
            assert sorted((f.account_id, f.order_id, f.fee) for f in found) == sorted(sides)
            assert {f.side for f in found} == {"BUY", "SELL"}
            assert {f.busted for f in found} == {(symbol, trade_id) in undone}
        for symbol, trade_id in (("NONE", 1), ("AAPL", 10**9), ("AAPL", 2**80), ("a\0b", 1)):
            assert await history.trade(symbol, trade_id) == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_trade_may_be_undone_in_the_batch_of_its_fills_or_long_after(
    accounts_dsn: str, at_once: bool
) -> None:
    source = Source(26)
    async with running(source.writer(accounts_dsn, NO_LINGER)) as writer:
        entries = await source.trade(60)
        if not at_once:
            await writer.receive(entries)
            await drained(writer)
        for command in source.trader.undo():
            source.venue.run(command)
        await writer.receive([*(entries if at_once else []), *await source.keep()])
        await drained(writer)
    await assert_exact(accounts_dsn, source)
    assert source.busts()


async def test_an_answer_is_never_without_bound(
    accounts_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(accounts_dsn, 23, 400)
    monkeypatch.setattr(module, "ROWS_MAX", 5)
    async with reading(accounts_dsn) as history:
        assert len(await history.orders("margin-1", limit=10**9)) == 5
        assert len(await history.fills("margin-1", limit=10**9)) == 5
        groups = [f"order-{number}" for number in range(401)]
        assert len(await history.orders_of_groups("margin-1", groups)) == 5


async def test_reading_says_when_the_database_is_away(
    accounts_dsn: str, postgres_server: EmbeddedServer
) -> None:
    async with reading(accounts_dsn) as history:
        with away(postgres_server, accounts_dsn), pytest.raises(StoreUnavailable):
            await history.orders("cash-1")


# ---------------------------------------------------------------- equity


class Valued:
    """Accounts whose equity is set by the test, in cents."""

    def __init__(self, equities: dict[str, int]) -> None:
        self.equities = equities
        self._source = Source(0)

    def account_ids(self) -> Sequence[str]:
        return [*self.equities, "gone"]

    def account(self, account_id: str) -> AccountRecord | None:
        if account_id not in self.equities:
            return None
        template = self._source.view.account("cash-1")
        assert template is not None
        values = {name: getattr(template, name) for name in template.__struct_fields__}
        return AccountRecord(
            **(values | {"account_id": account_id, "equity": self.equities[account_id]})
        )


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(FAR_AWAY_S):
        while not await condition():
            await asyncio.sleep(0.001)


async def test_equity_is_sampled_at_start_and_every_minute(accounts_dsn: str) -> None:
    start_us = 1_795_000_000_000_000
    old_us = start_us - 401 * module.US_PER_DAY
    kept_us = start_us - 399 * module.US_PER_DAY
    async with await AsyncConnection.connect(accounts_dsn) as connection:
        for ts_us in (old_us, kept_us):
            await connection.execute(
                "INSERT INTO account_equity VALUES ('a', %s, 1)", (to_datetime(ts_us),)
            )
    clock = VirtualClock(start_us)
    view = Valued({"a": 1_000_01, "b": -5})
    store: EventStore = MemoryEventStore()
    writer = HistoryWriter(accounts_dsn, [], store, view, clock, SMALL)

    def sampled(count: int) -> Callable[[], Any]:
        async def there() -> bool:
            found = await rows(accounts_dsn, "SELECT count(*) FROM account_equity")
            return bool(found == [(count,)]) and len(clock._sleepers) == 1

        return there

    async with running(writer), reading(accounts_dsn) as history:
        await until(sampled(3))
        view.equities["a"] = 2_000_00
        await clock.advance(59)
        await clock.advance(1)
        await until(sampled(5))
        samples = await history.equity("a", 0, 0)
        assert [(s.ts_us, s.equity) for s in samples] == [
            (kept_us, 100), (start_us, 1_000_01), (start_us + 60_000_000, 2_000_00),
        ]  # fmt: skip
        samples = await history.equity("b", start_us, start_us + 60_000_001)
        assert [(s.account_id, s.ts_us, s.equity) for s in samples] == [
            ("b", start_us + 60_000_000, -5)
        ]
        assert await history.equity("b", start_us, start_us + 60_000_000) == []


async def test_a_long_equity_curve_is_thinned_out(
    accounts_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await AsyncConnection.connect(accounts_dsn) as connection:
        await connection.execute(
            "INSERT INTO account_equity SELECT 'a', to_timestamp(60 * n), n"
            " FROM generate_series(1, 1000) AS n"
        )
    async with reading(accounts_dsn) as history:
        full = await history.equity("a", 0, 0)
        assert [s.ts_us for s in full] == [60_000_000 * n for n in range(1, 1001)]
        monkeypatch.setattr(module, "EQUITY_SAMPLES_MAX", 100)
        thin = await history.equity("a", 0, 0)
        assert 90 <= len(thin) <= 100
        assert thin[-1] == full[-1]
        assert set(thin) <= set(full)
        few = await history.equity("a", 60_000_000 * 900, 0)
        assert few == full[900:]
