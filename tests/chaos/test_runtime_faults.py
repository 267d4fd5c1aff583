"""The runtime while its store fails in every way at every append, without any process or disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import pytest

from nexustrade.adapters.memory import Fault, MemoryEventStore
from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.event_store import MemoryDatabase
from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.core.codec import Message, decode
from nexustrade.core.errors import Fenced, OutcomeUnknown, StoreUnavailable
from nexustrade.kernel.ports import Append, LogEntry, ShardState
from nexustrade.kernel.routing import MATCHING_TOPIC, ORDERS_TOPIC, Routing
from nexustrade.kernel.runtime import Limits, Runtime
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import DefineInstrument, OpenSession
from nexustrade.matching.service import BooksView
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.service import OrdersView
from tests.two_stages import make_stage

QTY = 100_000_000
LIMITS = Limits(batch_len_max=8, queue_len_max=100, commit_deadline_s=2.0, outcome_wait_s=60.0)
STEP_S = 0.1


class Store(MemoryEventStore):
    """A store in memory that counts its appends and can act at a chosen one."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        super().__init__(database)
        self.appends = 0
        self.before_append: Callable[[int], None] = lambda _: None
        self.dies_after_append = False
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        self.appends += 1
        self.before_append(self.appends)
        self.entered.set()
        await self.go.wait()
        try:
            await super().append(appends, watermarks)
        finally:
            self.down = self.down or self.dies_after_append


class Told(NamedTuple):
    """What became of each command, by order id."""

    answered: dict[str, Sequence[LogEntry]]
    refused: set[str]
    unknown: set[str]


class World:
    """A runtime with its readers over a store in memory, on a clock that stands still."""

    def __init__(self, store: Store | None = None, redeliver_every: int = 2) -> None:
        self.clock = VirtualClock()
        self.store = store or Store()
        self.log = MemoryLog(redeliver_every, kept_len_max=1_000)
        self.routing = Routing(1, 1)
        self.runtime = Runtime(
            self.store,
            self.log,
            self.clock,
            self.routing,
            make_stage,
            self.routing.shards(),
            LIMITS,
        )
        self.failures: list[BaseException] = []
        self.runtime.on_failure = self.failures.append
        self.published: list[LogEntry] = []
        self.told = Told({}, set(), set())
        self.orders: OrdersView
        self.books: BooksView
        self._sent = 0

    async def start(self) -> "World":
        await self.runtime.start()
        orders, matching = (self._replica(shard) for shard in self.routing.shards())
        assert isinstance(orders, OrdersStage)
        assert isinstance(matching, MatchingStage)
        self.replicas = (orders, matching)
        self.orders = OrdersView([orders], self.routing.orders_of)
        self.books = BooksView([matching], self.routing.matching_of)
        for topic, receive in (
            (ORDERS_TOPIC, self.orders.receive),
            (MATCHING_TOPIC, self.books.receive),
        ):
            await self.log.subscribe(topic, self._durable)
            await self.log.subscribe(topic, receive)
        return self

    def _replica(self, shard: str) -> object:
        stage = self.runtime.stages[shard]
        twin = make_stage(shard)
        twin.load(stage.dump(), stage.seq, stage.ts_us)
        return twin

    async def _durable(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            # A subscriber that sees an event finds it in the store, whatever happens next.
            stored = self.store.database.rows[entry.shard][entry.seq - 1]
            assert stored.payload == entry.payload
            self.published.append(entry)

    async def declare(self) -> "World":
        fields = {"tick_size": 100, "lot_size": QTY, "reference_px": 1_000_000}
        commands: list[Message] = [
            DefineInstrument("AAPL", **fields),  # type: ignore[arg-type]
            OpenSession("day 1"),
            m.OpenAccount("alice", "CASH", cash=100_000_000),
            m.OpenAccount("bob", "CASH", cash=100_000_000),
            m.AdjustPosition("bob", "AAPL", 1_000 * QTY),
        ]
        for command in commands:
            await self.runtime.submit(command)
        return self

    # -- clients

    def order(self, side: str, price: int = 1_000_000) -> m.SubmitOrder:
        self._sent += 1
        account = "alice" if side == "BUY" else "bob"
        order_id = f"o{self._sent}"
        return m.SubmitOrder(
            account, order_id, order_id, "AAPL", side, "LIMIT", "GTC", QTY, limit_px=price
        )

    def send(self, command: m.SubmitOrder) -> asyncio.Task[None]:
        """Submit an order as a client of its own; what it is told is written down."""
        return asyncio.create_task(self._send(command))

    async def _send(self, command: m.SubmitOrder) -> None:
        try:
            self.told.answered[command.order_id] = await self.runtime.submit(command)
        except StoreUnavailable:
            self.told.refused.add(command.order_id)
        except OutcomeUnknown:
            self.told.unknown.add(command.order_id)

    async def finish(self, *tasks: asyncio.Task[None], within_s: float = 120.0) -> None:
        """Let time pass until the clients have been told something."""
        passed_s = 0.0
        while not all(task.done() for task in tasks):
            await self.clock.advance(STEP_S)
            passed_s += STEP_S
            assert passed_s < within_s, "a client was told nothing"

    async def until_available(self) -> None:
        for _ in range(100):
            if self.runtime.available:
                return
            await self.clock.advance(STEP_S)
        raise AssertionError("service did not resume")

    # -- what must hold

    def check(self) -> None:
        """No client was told what is not so, and all three copies of the state are equal."""
        kept = self.kept()
        for order_id, entries in self.told.answered.items():
            assert order_id in kept, f"{order_id} was answered and is gone"
            for entry in entries:
                stored = self.store.database.rows[entry.shard][entry.seq - 1]
                assert decode(stored.event_type, stored.payload) == entry.event
        for order_id in self.told.refused:
            assert order_id not in kept, f"{order_id} was refused and is there"
        for replica, shard in zip(self.replicas, self.routing.shards(), strict=True):
            live = self.runtime.stages[shard]
            fresh = make_stage(shard)
            for row in self.store.database.rows[shard]:
                fresh.replay(row.seq, row.ts_us, decode(row.event_type, row.payload))
            live.verify()
            assert (live.seq, live.dump()) == (fresh.seq, fresh.dump())
            assert (replica.seq, replica.dump()) == (fresh.seq, fresh.dump())
            marks = self.store.database.marks
            other = next(one for one in self.routing.shards() if one != shard)
            assert marks[other, shard] == live.seq
        orders = self.replicas[0]
        assert orders.imbalance() == 0

    def kept(self) -> list[str]:
        rows = self.store.database.rows["orders-0"]
        events = [decode(r.event_type, r.payload) for r in rows if r.event_type == "OrderAccepted"]
        kept = [event.order_id for event in events if isinstance(event, m.OrderAccepted)]
        assert len(set(kept)) == len(kept)
        return kept


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await (await World().start()).declare()
    yield made
    made.store.dies_after_append = made.store.down = False
    made.store.go.set()
    await made.finish(asyncio.create_task(made.runtime.stop()))


FAULTS = {
    "away": (Fault.UNAVAILABLE,),
    "answer lost, applied": (Fault.UNKNOWN_APPLIED,),
    "answer lost, not applied": (Fault.UNKNOWN_LOST,),
    "lost, then lost again, then applied unheard": (
        Fault.UNKNOWN_LOST,
        Fault.UNAVAILABLE,
        Fault.UNKNOWN_LOST,
        Fault.UNKNOWN_APPLIED,
    ),
}


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_at_any_append_within_the_deadline_is_not_seen(
    world: World, faults: tuple[Fault, ...], at: int
) -> None:
    first = world.store.appends

    def act(number: int) -> None:
        if number == first + at:
            world.store.faults.extend(faults)

    world.store.before_append = act
    for number in range(8):
        await world.finish(world.send(world.order("BUY" if number % 2 else "SELL")))
        await world.until_available()
    assert len(world.told.answered) == 8
    assert not world.told.refused
    world.check()


@pytest.mark.parametrize("at", range(1, 9))
async def test_an_outage_beyond_the_deadline_refuses_for_good(world: World, at: int) -> None:
    first = world.store.appends

    def act(number: int) -> None:
        world.store.down = number == first + at or world.store.down

    world.store.before_append = act
    for number in range(8):
        await world.finish(world.send(world.order("BUY" if number % 2 else "SELL")))
        if world.store.down:
            world.store.down = False
            await world.until_available()
    assert len(world.told.refused) == 1
    assert len(world.told.answered) == 7
    world.check()


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_answer_waits_for_the_store_to_tell(world: World, applied: bool) -> None:
    """However long it is away within the limit: the batch is answered or refused as it came out."""
    fault = Fault.UNKNOWN_APPLIED if applied else Fault.UNKNOWN_LOST
    world.store.faults.append(fault)
    world.store.dies_after_append = True

    client = world.send(world.order("SELL"))
    await world.clock.advance(30.0)
    assert not client.done(), "nobody can know yet"
    world.store.dies_after_append = world.store.down = False
    await world.finish(client)
    await world.until_available()
    assert len(world.told.answered) == (1 if applied else 0)
    assert len(world.told.refused) == (0 if applied else 1)
    world.check()


@pytest.mark.parametrize("applied", [True, False])
async def test_after_the_limit_the_outcome_is_unknown_and_the_state_still_right(
    world: World, applied: bool
) -> None:
    world.store.faults.append(Fault.UNKNOWN_APPLIED if applied else Fault.UNKNOWN_LOST)
    world.store.dies_after_append = True

    client = world.send(world.order("SELL"))
    await world.finish(client, within_s=LIMITS.outcome_wait_s + 1)
    assert len(world.told.unknown) == 1
    world.store.dies_after_append = world.store.down = False
    await world.until_available()
    await world.finish(world.send(world.order("SELL")))
    assert len(world.kept()) == (2 if applied else 1)
    world.check()


async def test_while_the_store_is_away_commands_are_refused_at_once(world: World) -> None:
    world.store.go.clear()
    world.store.entered.clear()
    committing = world.send(world.order("SELL"))
    await world.store.entered.wait()
    waiting = [world.send(world.order("SELL")) for _ in range(20)]
    await asyncio.sleep(0)
    world.store.down = True
    world.store.go.set()
    # No time passes: whatever is not in a batch by now is refused, and whatever comes.
    await world.clock.advance(0)
    assert world.runtime.queue_len == 0
    assert len(world.told.refused) >= len(waiting) - LIMITS.batch_len_max
    refused = len(world.told.refused)
    late = world.send(world.order("SELL"))
    await late
    assert len(world.told.refused) == refused + 1
    assert not committing.done()
    world.store.down = False
    await world.finish(committing, *waiting)
    assert "o1" in world.told.answered
    assert len(world.told.answered) + len(world.told.refused) == 22
    world.check()


@pytest.mark.parametrize("longer", [False, True])
async def test_a_store_that_hangs_is_away(world: World, longer: bool) -> None:
    """An append without an answer: past the deadline nobody else has to wait for it."""
    world.store.go.clear()
    world.store.entered.clear()
    committing = world.send(world.order("SELL"))
    await world.store.entered.wait()
    waiting = [world.send(world.order("SELL")) for _ in range(5)]
    await world.clock.advance(LIMITS.commit_deadline_s * (1.5 if longer else 0.5))
    assert all(task.done() for task in waiting) == longer
    assert not committing.done()
    world.store.go.set()
    await world.finish(committing, *waiting)
    assert len(world.told.refused) == (5 if longer else 0)
    await world.finish(world.send(world.order("BUY")))
    world.check()


async def test_a_fenced_append_stops_the_runtime_and_accepts_nothing() -> None:
    world = await (await World().start()).declare()
    published = len(world.published)
    # Another venue has claimed the streams, as after a lost connection.
    for shard in world.routing.shards():
        row = world.store.database.shards[shard]
        world.store.database.shards[shard] = row._replace(epoch=row.epoch + 1)
    client = world.send(world.order("SELL"))
    await world.clock.advance(1.0)
    assert len(world.failures) == 1
    assert isinstance(world.failures[0], Fenced)
    assert client.done()
    assert len(world.told.unknown) == 1
    assert len(world.published) == published
    after = world.send(world.order("SELL"))
    await after
    assert len(world.told.refused) == 1
    assert not world.kept()
    await world.runtime.stop()
    assert not world.store.database.snapshots


async def test_a_reader_that_fails_after_the_commit_does_not_undo_it() -> None:
    """Even when what it raises says that a store is away: the batch is durable."""
    world = await (await World().start()).declare()

    async def fail(_: Sequence[LogEntry]) -> None:
        raise StoreUnavailable("the reader's own database is away")

    await world.log.subscribe(ORDERS_TOPIC, fail)
    await world.finish(world.send(world.order("SELL")))
    assert len(world.kept()) == 1
    assert len(world.told.unknown) == 1
    assert len(world.failures) == 1
    await world.runtime.stop()


async def test_a_reader_that_fails_does_not_undo_the_commit_behind_it_either() -> None:
    world = await (await World().start()).declare()

    async def fail(_: Sequence[LogEntry]) -> None:
        raise StoreUnavailable("the reader's own database is away")

    await world.log.subscribe(ORDERS_TOPIC, fail)
    world.store.go.clear()
    world.store.entered.clear()
    first = world.send(world.order("SELL"))
    await world.store.entered.wait()
    second = world.send(world.order("SELL"))
    await world.clock.advance(STEP_S)
    world.store.go.set()
    await world.finish(first, second)
    assert world.kept() == ["o1", "o2"]
    assert world.told.unknown == {"o1", "o2"}
    assert len(world.failures) == 1
    await world.runtime.stop()


async def test_the_next_commit_begins_before_clients_are_answered(world: World) -> None:
    happened: list[str] = []
    world.store.before_append = lambda _: happened.append("append")
    world.store.go.clear()
    world.store.entered.clear()
    clients = [world.send(world.order("SELL")) for _ in range(LIMITS.batch_len_max)]
    await world.store.entered.wait()
    clients += [world.send(world.order("SELL")) for _ in range(3)]
    for client in clients:
        client.add_done_callback(lambda _: happened.append("answer"))
    await world.clock.advance(STEP_S)
    world.store.go.set()
    await world.finish(*clients)
    assert happened == ["append", "append", *["answer"] * len(clients)]
    world.check()


async def test_a_takeover_found_after_a_lost_answer_stops_the_runtime() -> None:
    world = await (await World().start()).declare()
    world.store.faults.append(Fault.UNKNOWN_LOST)

    def taken_over() -> None:
        # The new owner's own events look, by their number, as if ours were there.
        row = world.store.database.shards["orders-0"]
        world.store.database.shards["orders-0"] = row._replace(
            epoch=row.epoch + 1, last_seq=row.last_seq + 10
        )

    head = world.store.head

    async def head_after_takeover(shard: str) -> ShardState:
        taken_over()
        return await head(shard)

    world.store.head = head_after_takeover  # type: ignore[method-assign]
    client = world.send(world.order("SELL"))
    await world.clock.advance(1.0)
    assert [type(failure) for failure in world.failures] == [Fenced]
    assert client.done()
    assert len(world.told.unknown) == 1
    await world.runtime.stop()


async def test_a_state_that_is_dropped_and_rebuilt_is_the_stored_one(world: World) -> None:
    """The refused batch leaves no trace: not in ids, not in reservations, not in the book."""
    await world.finish(world.send(world.order("SELL", 1_010_000)))
    before = [stage.dump() for stage in world.runtime.stages.values()]
    world.store.down = True
    clients = [world.send(world.order("BUY", 1_010_000)) for _ in range(5)]
    await world.finish(*clients)
    assert len(world.told.refused) == 5
    world.store.down = False
    await world.until_available()
    assert [stage.dump() for stage in world.runtime.stages.values()] == before
    world.check()


async def test_replicas_take_everything_once_however_often_it_comes(world: World) -> None:
    for number in range(20):
        await world.finish(world.send(world.order("BUY" if number % 2 else "SELL")))
        if number % 5 == 0:
            for topic in (ORDERS_TOPIC, MATCHING_TOPIC):
                await world.log.redeliver(topic, 7)
    assert len(world.published) > sum(len(r) for r in world.store.database.rows.values()) - 20
    world.check()


async def test_a_stop_while_the_store_is_away_ends_and_a_start_goes_on(world: World) -> None:
    await world.finish(world.send(world.order("SELL")))
    world.store.down = True
    client = world.send(world.order("SELL"))
    await world.finish(client)
    stop = asyncio.create_task(world.runtime.stop())
    await world.finish(stop)
    world.store.down = False
    await world.store.close()
    again = await World(Store(world.store.database)).start()
    again._sent = 100
    await again.finish(again.send(again.order("BUY")))
    again.check()
    assert len(world.told.refused) == 1
    await again.runtime.stop()


async def test_a_stop_whose_commit_stays_unknown_ends_in_bounded_time(world: World) -> None:
    """The store never comes back: the venue ends all the same, and its client is told so."""
    world.store.faults.append(Fault.UNKNOWN_APPLIED)
    world.store.dies_after_append = True

    client = world.send(world.order("SELL"))
    await world.clock.advance(1.0)
    stop = asyncio.create_task(world.runtime.stop())
    await world.finish(client, stop)
    assert len(world.told.unknown) == 1


async def test_a_fault_in_the_wait_for_the_outcome_is_no_answer(world: World) -> None:
    """The store comes and goes while it is asked: only what it says counts."""
    world.store.faults.extend([Fault.UNKNOWN_APPLIED])
    answers = iter([True, False, True, False, False])
    head = world.store.head

    async def flaky(shard: str) -> ShardState:
        if next(answers, True):
            raise StoreUnavailable("gone again")
        return await head(shard)

    world.store.head = flaky  # type: ignore[method-assign]
    await world.finish(world.send(world.order("SELL")))
    assert len(world.told.answered) == 1
    world.store.head = head  # type: ignore[method-assign]
    world.check()
