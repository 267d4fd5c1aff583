"""The guard against repeated client order ids: look-ups are shared, and nothing overtakes."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable
from nexustrade.kernel.ports import LogEntry
from nexustrade.orders.messages import CancelOrder, SubmitOrder
from nexustrade.orders.service import US_PER_DAY, OneIdOneOrder

Pair = tuple[str, str]


class Taken:
    """`Commands` that only remembers."""

    def __init__(self) -> None:
        self.commands: list[Message] = []

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        self.commands.append(command)
        return []


class Store:
    """Answers look-ups when it is let."""

    def __init__(self, known: Mapping[Pair, str]) -> None:
        self.known = known
        self.asked: list[tuple[list[Pair], int]] = []
        self.let = asyncio.Event()
        self.fault: Exception | None = None

    async def find(self, pairs: Sequence[Pair], since_us: int) -> Mapping[Pair, str]:
        self.asked.append((list(pairs), since_us))
        await self.let.wait()
        if self.fault is not None:
            raise self.fault
        return {pair: self.known[pair] for pair in pairs if pair in self.known}


def order(name: str, cl_ord_id: str = "") -> SubmitOrder:
    return SubmitOrder("ann", name, cl_ord_id or name, "ABC", "BUY", "LIMIT", "DAY")


def names(taken: Taken) -> list[tuple[str, str]]:
    return [(c.order_id, c.known_order_id) for c in taken.commands if isinstance(c, SubmitOrder)]


async def test_orders_that_come_together_share_one_look_up_and_keep_their_order() -> None:
    taken, store = Taken(), Store({("ann", "used"): "old-1"})
    clock = VirtualClock()
    guard = OneIdOneOrder(taken, store.find, clock, keep_days=30)
    orders = [
        order("o1", "a"),
        order("o2", "b"),
        order("o3", "used"),
        order("o4"),
        order("o5", "c"),
    ]
    tasks = [asyncio.create_task(guard.submit(one)) for one in orders]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.let.set()
    await asyncio.gather(*tasks)
    assert names(taken) == [("o1", ""), ("o2", ""), ("o3", "old-1"), ("o4", ""), ("o5", "")]
    pairs = [pair for asked, _ in store.asked for pair in asked]
    assert set(pairs) >= {("ann", "a"), ("ann", "b"), ("ann", "used"), ("ann", "c")}
    assert len(store.asked) < len(orders)
    assert {since for _, since in store.asked} == {clock.now_us() - 30 * US_PER_DAY}


async def test_the_venues_own_ids_and_other_commands_cost_no_look_up() -> None:
    taken, store = Taken(), Store({})
    guard = OneIdOneOrder(taken, store.find, VirtualClock(), keep_days=30)
    await guard.submit(order("o1"))
    await guard.submit(CancelOrder("ann", "o1"))
    assert store.asked == []
    assert len(taken.commands) == 2


async def test_a_failed_look_up_refuses_its_orders_and_no_later_ones() -> None:
    taken, store = Taken(), Store({})
    guard = OneIdOneOrder(taken, store.find, VirtualClock(), keep_days=30)
    store.let.set()
    store.fault = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await guard.submit(order("o1", "a"))
    assert taken.commands == []
    store.fault = None
    await guard.submit(order("o2", "a"))
    assert names(taken) == [("o2", "")]


async def test_a_client_that_leaves_cancels_nobody_elses_look_up() -> None:
    taken, store = Taken(), Store({})
    guard = OneIdOneOrder(taken, store.find, VirtualClock(), keep_days=30)
    leaver = asyncio.create_task(guard.submit(order("o1", "a")))
    stayer = asyncio.create_task(guard.submit(order("o2", "a")))
    await asyncio.sleep(0)
    leaver.cancel()
    store.let.set()
    await stayer
    assert names(taken) == [("o2", "")]
