"""The snapshot process on a store that is appended to meanwhile."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import psycopg
import pytest

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.codec import decode
from nexustrade.kernel.bootstrap import make_stage
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.runtime import Runtime, restore
from nexustrade.matching.messages import DefineInstrument, OpenSession
from nexustrade.orders import messages as m

KEEP_S = 600
QTY = 100_000_000
SNAPSHOTS = 3
SHARDS = ("orders-0", "matching-0")


class Writer:
    """A runtime that two accounts trade through for ever."""

    def __init__(self, dsn: str) -> None:
        self.clock = VirtualClock()
        self.store = PostgresEventStore(dsn)
        routing = Routing(1, 1)
        self.runtime = Runtime(
            self.store,
            MemoryLog(),
            self.clock,
            routing,
            lambda shard: make_stage(shard, KEEP_S),
            routing.shards(),
        )
        self.orders = 0
        self._halt = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.runtime.start()
        fields = {"tick_size": 100, "lot_size": QTY, "reference_px": 1_000_000}
        for command in (
            DefineInstrument("AAPL", **fields),  # type: ignore[arg-type]
            OpenSession("day 1"),
            m.OpenAccount("alice", "CASH", cash=100_000_000),
            m.OpenAccount("bob", "CASH", cash=100_000_000),
            m.AdjustPosition("bob", "AAPL", 10_000 * QTY),
        ):
            await self.runtime.submit(command)
        self._task = asyncio.create_task(self._trade())

    async def _trade(self) -> None:
        while not self._halt:
            self.orders += 1
            sells = self.orders % 2
            order = m.SubmitOrder(
                "bob" if sells else "alice",
                f"o{self.orders}",
                f"o{self.orders}",
                "AAPL",
                "SELL" if sells else "BUY",
                "LIMIT",
                "GTC",
                QTY,
                limit_px=1_000_000,
            )
            await self.runtime.submit(order)

    async def wait_orders(self, count: int) -> None:
        upto = self.orders + count
        async with asyncio.timeout(60):
            while self.orders < upto:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._halt = True
        if self._task is not None:
            await self._task
        await self.runtime.stop()


@pytest.fixture
async def writer(trading_dsn: str) -> AsyncIterator[Writer]:
    made = Writer(trading_dsn)
    await made.start()
    yield made
    await made.stop()
    await made.store.close()


async def write_snapshots(dsn: str) -> None:
    """As the venue starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nexustrade.kernel.snapshotter",
        str(KEEP_S),
        *SHARDS,
        env=os.environ | {"NEXUSTRADE_TRADING_DSN": dsn},
        stdin=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0


async def folded_state(store: PostgresEventStore, shard: str, upto_seq: int) -> bytes:
    """The state that the events alone give."""
    stage = make_stage(shard, KEEP_S)
    async for rows in store.read(shard, 0, upto_seq):
        for row in rows:
            stage.replay(row.seq, row.ts_us, decode(row.event_type, row.payload))
    assert stage.seq == upto_seq
    return stage.dump()


async def test_snapshots_of_a_live_store_are_what_the_events_fold_to(
    writer: Writer, trading_dsn: str
) -> None:
    seqs: dict[str, list[int]] = {shard: [] for shard in SHARDS}
    for _ in range(SNAPSHOTS):
        await writer.wait_orders(20)
        before = writer.orders
        await write_snapshots(trading_dsn)
        assert writer.orders > before, "the live venue paused"
        for shard in SHARDS:
            snapshot = await writer.store.latest_snapshot(shard)
            assert snapshot is not None
            assert snapshot.state == await folded_state(writer.store, shard, snapshot.seq)
            seqs[shard].append(snapshot.seq)
    for found in seqs.values():
        assert found == sorted(set(found)), "each is of a later head"
    assert not writer.runtime.failed


async def test_a_start_from_a_snapshot_and_later_events_is_the_live_state(
    writer: Writer, trading_dsn: str
) -> None:
    await writer.wait_orders(20)
    await write_snapshots(trading_dsn)
    await writer.wait_orders(20)
    writer._halt = True
    assert writer._task is not None
    await writer._task
    for shard in SHARDS:
        stage = make_stage(shard, KEEP_S)
        await restore(writer.store, stage)
        live = writer.runtime.stages[shard]
        assert (stage.seq, stage.dump()) == (live.seq, live.dump())


@pytest.mark.parametrize(
    "spoil",
    [
        "SET state = set_byte(state, length(state) / 2, 255 - get_byte(state, length(state) / 2))",
        "SET state = substr(state, 1, length(state) / 2)",
        "SET state = ''",
        "SET state_hash = sha256(state)",
    ],
)
async def test_a_corrupt_snapshot_is_ignored(writer: Writer, trading_dsn: str, spoil: str) -> None:
    """The older one is used, or with all of them spoilt the events alone."""
    for _ in range(2):
        await writer.wait_orders(10)
        await write_snapshots(trading_dsn)
    kept = await writer.store.latest_snapshot("orders-0")
    assert kept is not None
    newest = "WHERE shard = 'orders-0' AND seq = %s"
    with psycopg.connect(trading_dsn, autocommit=True) as connection:
        connection.execute(f"UPDATE es_snapshot {spoil} {newest}".encode(), (kept.seq,))
        older = await writer.store.latest_snapshot("orders-0")
        assert older is not None
        assert older.seq < kept.seq
        connection.execute(f"UPDATE es_snapshot {spoil} {newest}".encode(), (older.seq,))
    assert await writer.store.latest_snapshot("orders-0") is None
    stage = make_stage("orders-0", KEEP_S)
    await restore(writer.store, stage, kept.seq)
    assert stage.dump() == kept.state
