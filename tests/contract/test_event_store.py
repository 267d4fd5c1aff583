"""What every event store promises, in memory and on PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from nexustrade.adapters.memory import MemoryDatabase, MemoryEventStore
from nexustrade.adapters.memory import event_store as memory_module
from nexustrade.adapters.postgres import event_store as postgres_module
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.errors import Fenced, InvariantError, StoreUnavailable
from nexustrade.kernel.chain import GENESIS
from nexustrade.kernel.ports import EventStore, ShardState, Snapshot
from nexustrade.matching.messages import Traded
from nexustrade.orders.messages import GroupAccepted, OrderRejected, ReplaceRequested
from tests.contract.streams import Stream, bare, cash, order, read_all

HOSTILE = (
    "'; DROP TABLE order_events; -- \\ \\. \\N \t\n\r \x01 \x7f \x85 \u2028"
    ' " {"a":1} é漢🜚 %s %(a)s $1'
)


@dataclass
class Stores:
    """Opens stores on one database, as processes would."""

    open: Callable[[], MemoryEventStore | PostgresEventStore]


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    opened: list[MemoryEventStore | PostgresEventStore] = []
    database = MemoryDatabase()
    dsn = request.getfixturevalue("trading_dsn") if request.param == "postgres" else ""

    def make() -> MemoryEventStore | PostgresEventStore:
        opened.append(PostgresEventStore(dsn) if dsn else MemoryEventStore(database))
        return opened[-1]

    yield Stores(make)
    for store in opened:
        await store.close()


@pytest.fixture
def store(stores: Stores) -> MemoryEventStore | PostgresEventStore:
    return stores.open()


async def test_a_new_stream_starts_empty(store: EventStore) -> None:
    assert await store.head("orders-0") == ShardState("orders-0", 0, 0, 0, "", GENESIS)
    state = await store.claim("orders-0")
    assert state == ShardState("orders-0", 0, 0, 1, "primary", GENESIS)
    assert await store.head("orders-0") == state
    assert await read_all(store, "orders-0") == []


async def test_what_is_appended_is_read_back(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    await stream.write(store, order(1), cash(-250), order(2))
    await stream.write(store, order(3))
    assert await read_all(store, "orders-0") == bare(stream.written)
    assert await store.head("orders-0") == stream.state


async def test_hostile_text_comes_back_as_it_was(store: EventStore) -> None:
    shard = f"orders-{HOSTILE}"
    stream = await Stream.claimed(store, shard)
    rejected = OrderRejected(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, "BUY", "LIMIT", "R", HOSTILE, facts={HOSTILE: HOSTILE}
    )
    append = stream.next(rejected, cash(1, HOSTILE), cause=HOSTILE)
    await store.append([append], {(HOSTILE, "a'b"): 7})
    assert await read_all(store, shard) == bare(append.events)
    assert await store.watermarks(HOSTILE) == {"a'b": 7}


async def test_a_wrong_place_is_fenced_and_keeps_nothing(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    await stream.write(store, order(1), order(2))
    good = stream.next(order(3))
    behind = Stream(stream.state._replace(last_seq=1)).next(order(3))
    ahead = Stream(stream.state._replace(last_seq=5)).next(order(3))
    for wrong in (behind, ahead, good._replace(epoch=0), good._replace(epoch=2)):
        with pytest.raises(Fenced):
            await store.append([wrong], {("orders-0", "matching-0"): 9})
    assert await read_all(store, "orders-0") == bare(stream.written)
    assert await store.watermarks("orders-0") == {}
    await stream.write(store, order(3))


async def test_a_stream_without_an_owner_is_fenced(store: EventStore) -> None:
    with pytest.raises(Fenced):
        await store.append([Stream(await store.head("orders-0")).next(order(1))], {})


async def test_events_with_a_gap_are_a_broken_invariant(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    append = stream.next(order(1), order(2), order(3))
    for events in (append.events[1:], append.events[::2], append.events[::-1]):
        with pytest.raises(InvariantError):
            await store.append([append._replace(events=events)], {})
    other = Stream(stream.state._replace(shard="orders-1")).next(order(1))
    with pytest.raises(InvariantError):
        await store.append([append._replace(events=other.events)], {})
    assert await read_all(store, "orders-0") == []


async def test_two_streams_are_appended_as_one(store: EventStore) -> None:
    orders = await Stream.claimed(store, "orders-0")
    matching = await Stream.claimed(store, "matching-0")
    traded = Traded(1, "AAPL", "BUY", 1_000_000, 10**8, "m", "acc-2", 0, "t", "acc-1", True)
    both = [orders.next(order(1)), matching.next(traded)]
    await store.append(both, {})
    for stream, append in zip((orders, matching), both, strict=True):
        stream.wrote(append)
        assert await read_all(store, append.shard) == bare(append.events)


async def test_two_streams_are_refused_as_one(store: EventStore) -> None:
    orders = await Stream.claimed(store, "orders-0")
    matching = await Stream.claimed(store, "matching-0")
    fenced = matching.next(order(9))._replace(epoch=7)
    for both in ([orders.next(order(1)), fenced], [fenced, orders.next(order(1))]):
        with pytest.raises(Fenced):
            await store.append(both, {("orders-0", "matching-0"): 1})
    assert await read_all(store, "orders-0") == []
    assert await store.head("orders-0") == orders.state
    assert await store.watermarks("orders-0") == {}


async def test_watermarks_move_with_the_events(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    append = stream.next(order(1))
    await store.append([append], {("orders-0", "matching-0"): 4, ("orders-0", "matching-1"): 2})
    stream.wrote(append)
    await store.append([stream.next(order(2))], {("orders-0", "matching-0"): 9})
    assert await store.watermarks("orders-0") == {"matching-0": 9, "matching-1": 2}
    assert await store.watermarks("orders-1") == {}


async def test_watermarks_can_move_alone_but_not_past_the_fence(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    await store.append([stream.next()], {("orders-0", "matching-0"): 3})
    await store.append([], {("orders-0", "matching-1"): 5})
    with pytest.raises(Fenced):
        await store.append([stream.next()._replace(epoch=9)], {("orders-0", "matching-0"): 8})
    assert await store.watermarks("orders-0") == {"matching-0": 3, "matching-1": 5}
    assert await store.head("orders-0") == stream.state


async def test_reading_keeps_its_bounds(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory_module, postgres_module):
        monkeypatch.setattr(module, "READ_LEN_MAX", 4)
    stream = await Stream.claimed(store, "orders-0")
    await stream.write(store, *(order(n) for n in range(1, 13)))
    rows = bare(stream.written)
    batches = [len(batch) async for batch in store.read("orders-0", 0)]
    assert batches == [4, 4, 4]
    assert [len(batch) async for batch in store.read("orders-0", 2)] == [4, 4, 2]
    assert await read_all(store, "orders-0", 3, 9) == rows[3:9]
    assert await read_all(store, "orders-0", 11) == rows[11:]
    assert await read_all(store, "orders-0", 12) == []
    assert await read_all(store, "orders-0", 4, 4) == []
    assert await read_all(store, "orders-0", 10, 99) == rows[10:]


async def test_a_second_owner_is_told(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "CLAIM_WAIT_S", 0.1)
    first, second = stores.open(), stores.open()
    stream = await Stream.claimed(first, "orders-0")
    with pytest.raises(Fenced, match="orders-0 is owned by another running venue"):
        await second.claim("orders-0")
    await second.claim("orders-1")
    await stream.write(first, order(1))


async def test_the_next_owner_goes_on_where_the_last_one_ended(stores: Stores) -> None:
    first, second = stores.open(), stores.open()
    stream = await Stream.claimed(first, "orders-0")
    await stream.write(first, order(1))
    await first.close()
    after = await Stream.claimed(second, "orders-0")
    assert after.state == stream.state._replace(epoch=2)
    await after.write(second, order(2))
    assert len(await read_all(second, "orders-0")) == 2


async def test_a_claim_fences_the_epoch_before_it(store: EventStore) -> None:
    old = await Stream.claimed(store, "orders-0")
    new = await Stream.claimed(store, "orders-0")
    assert new.state.epoch == old.state.epoch + 1
    with pytest.raises(Fenced):
        await old.write(store, order(1))
    await new.write(store, order(1))


async def test_the_newest_two_snapshots_are_kept(store: EventStore) -> None:
    assert await store.latest_snapshot("orders-0") is None
    shots = [
        Snapshot("orders-0", seq, 1_700_000_000_000_000 + seq, bytes([seq]) * 32, b"state" * seq)
        for seq in (3, 9, 6, 12)
    ]
    for shot in shots:
        await store.save_snapshot(shot)
    await store.save_snapshot(shots[0]._replace(shard="orders-1"))
    assert await store.latest_snapshot("orders-0") == shots[3]
    assert await store.latest_snapshot("orders-1") == shots[0]._replace(shard="orders-1")
    again = shots[3]._replace(state=b"\x00\xff" * 1000)
    await store.save_snapshot(again)
    assert await store.latest_snapshot("orders-0") == again


async def test_client_order_ids_are_found_since_a_time(
    store: MemoryEventStore | PostgresEventStore,
) -> None:
    stream = await Stream.claimed(store, "orders-0")
    await stream.write(store, order(1, "same"), order(2, "same", "acc-2"), order(3))
    replace = ReplaceRequested("acc-1", "order-4", "order-3", "cl-4", "AAPL", 10**8, 10_000, "DAY")
    await stream.write(store, replace, order(5, HOSTILE))
    rejected = OrderRejected("acc-1", "order-6", "cl-6", "AAPL", "BUY", "LIMIT", "R", "")
    await stream.write(store, rejected)
    pairs = [("acc-1", "same"), ("acc-2", "same"), ("acc-1", "cl-4"), ("acc-1", HOSTILE)]
    wanted = [*pairs, ("acc-3", "same"), ("acc-1", "cl-6"), ("acc-2", "cl-3")]
    found = await store.find_cl_ord_ids(wanted, 0)
    assert found == dict(zip(pairs, ("order-1", "order-2", "order-4", "order-5"), strict=True))
    third = stream.written[2].ts_us
    assert await store.find_cl_ord_ids([("acc-1", "cl-3")], third) == {("acc-1", "cl-3"): "order-3"}
    assert await store.find_cl_ord_ids([("acc-1", "cl-3")], third + 1) == {}
    assert await store.find_cl_ord_ids([], 0) == {}


async def test_client_order_ids_of_groups_are_found_since_a_time(
    store: MemoryEventStore | PostgresEventStore,
) -> None:
    stream = await Stream.claimed(store, "orders-0")
    bracket = GroupAccepted(
        "acc-1", "g-1", "entry", "BRACKET", "AAPL", "BUY", "DAY", 10**8, tp_order_id="tp-1",
        tp_cl_ord_id=HOSTILE, sl_order_id="sl-1", sl_cl_ord_id="stop",
    )  # fmt: skip
    lone = GroupAccepted(
        "acc-2", "g-2", "entry", "OTO", "AAPL", "BUY", "DAY", 10**8, sl_order_id="sl-2",
        sl_cl_ord_id="stop",
    )  # fmt: skip
    await stream.write(store, bracket, lone)
    pairs = [("acc-1", "entry"), ("acc-1", HOSTILE), ("acc-1", "stop"), ("acc-2", "entry")]
    wanted = [*pairs, ("acc-2", "stop"), ("acc-2", HOSTILE), ("acc-3", "stop")]
    found = await store.find_cl_ord_ids(wanted, stream.written[0].ts_us)
    ids = ("g-1", "tp-1", "sl-1", "g-2", "sl-2")
    assert found == dict(zip(wanted[:5], ids, strict=True))
    found = await store.find_cl_ord_ids(wanted, stream.written[1].ts_us)
    assert found == {("acc-2", "entry"): "g-2", ("acc-2", "stop"): "sl-2"}


async def test_a_closed_store_refuses(store: EventStore) -> None:
    stream = await Stream.claimed(store, "orders-0")
    await store.close()
    with pytest.raises(StoreUnavailable):
        await stream.write(store, order(1))
    with pytest.raises(StoreUnavailable):
        await store.head("orders-0")
    await store.close()
