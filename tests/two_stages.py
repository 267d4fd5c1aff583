"""Both stages side by side without any I/O: what the runtime does, minus the store."""

import random
from collections import deque

from nexustrade.core.codec import Message
from nexustrade.core.terms import OCO
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage
from nexustrade.matching.book import UNBOUNDED
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.groups import ACTIVE, WAITING, Group
from nexustrade.matching.messages import DefineInstrument, OpenSession
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import OpenAccount
from nexustrade.orders.state import Order

START_US = 1_700_000_000_000_000


def make_stage(shard: str) -> Stage:
    return OrdersStage(shard) if shard.startswith("orders-") else MatchingStage(shard)


class TwoStages:
    """Partitions of both stages; `run` carries a command through to its last effect.

    Each command comes `step_us` after the one before.
    """

    def __init__(
        self, orders_count: int = 1, matching_count: int = 1, step_us: int = 1_000
    ) -> None:
        self.step_us = step_us
        self.routing = Routing(orders_count, matching_count)
        self.stages: dict[str, Stage] = {s: make_stage(s) for s in self.routing.shards()}
        self.flow = Flow(self.stages, self.routing)
        self.log: list[tuple[str, Recorded]] = []
        self.now_us = START_US

    @property
    def orders(self) -> list[OrdersStage]:
        return [s for s in self.stages.values() if isinstance(s, OrdersStage)]

    @property
    def matching(self) -> list[MatchingStage]:
        return [s for s in self.stages.values() if isinstance(s, MatchingStage)]

    def run(self, command: Message) -> list[Message]:
        """All events that the command led to, of all partitions, in the order they happened."""
        self.now_us += self.step_us
        self.flow.run(command, self.now_us)
        new = [(recorded.shard, recorded) for recorded in self.flow.events]
        self.flow.events = []
        self.log.extend(new)
        return [r.event for _, r in new]

    def list(self, symbol: str, **rules: object) -> None:
        """List an instrument with a reference price of 100 USD unless `rules` say otherwise."""
        fields: dict[str, object] = {
            "tick_size": 100,
            "lot_size": 100_000_000,
            "reference_px": 1_000_000,
        }
        self.run(DefineInstrument(symbol, **(fields | rules)))  # type: ignore[arg-type]

    def open(self, account_id: str, account_type: str = "CASH", **fields: object) -> None:
        """Open an account with 1,000,000 USD unless `fields` say otherwise."""
        given: dict[str, object] = {"cash": 100_000_000}
        self.run(OpenAccount(account_id, account_type, **(given | fields)))  # type: ignore[arg-type]

    def start(self) -> None:
        self.run(OpenSession("day 00000"))

    def verify(self) -> None:
        """Every stage's own invariants, and cash conserved over all partitions."""
        for stage in self.stages.values():
            stage.verify()
        assert sum(stage.imbalance() for stage in self.orders) == 0

    def agree(self) -> None:
        """Both stages have the same open orders and groups, with the same quantities left."""
        working: dict[str, int] = {}
        groups: dict[str, Group] = {}
        for matching in self.matching:
            for book in matching.books.values():
                found = [*book.bids.orders(), *book.asks.orders(), *book.elected.values()]
                found += [*book.stops.sells.orders(), *book.stops.buys.orders()]
                working |= {one.order_id: one.leaves_qty for one in found}
            working |= {one.order_id: one.leaves_qty for one in matching.queue.orders()}
            groups |= matching.groups
        for stage in self.orders:
            for account in stage.accounts.values():
                for order in account.open.values():
                    left = working.pop(order.order_id, 0)
                    assert left in (_left_in_matching(order, groups), UNBOUNDED), order.order_id
                for group in account.groups.values():
                    twin = groups.pop(group.group_id)
                    assert group.state in (twin.state, ACTIVE)
                    if twin.state != WAITING:
                        assert (group.state, group.open_qty) == (twin.state, twin.open_qty)
                        assert group.filled_qty == twin.tp_cum_qty + twin.sl_cum_qty
        assert not working
        assert not groups

    def replayed(self) -> "TwoStages":
        """New stages that have only ever applied the events of these."""
        twin = TwoStages(len(self.orders), len(self.matching))
        for shard, r in self.log:
            twin.stages[shard].replay(r.seq, r.ts_us, r.event)
        return twin


class Lagging(TwoStages):
    """The stages in different places: what one emits comes to another later, in its order."""

    def __init__(self, v: TwoStages, seed: int) -> None:
        super().__init__(len(v.orders), len(v.matching), v.step_us)
        self.stages = v.stages
        self.log = v.log
        self.now_us = v.now_us
        self.rng = random.Random(seed)
        self.ways: dict[tuple[str, str], deque[Recorded]] = {}

    def run(self, command: Message) -> list[Message]:
        """Run a command, then as many deliveries as chance will have it."""
        first = len(self.log)
        self.send(command)
        for _ in range(self.rng.choice([0, 0, 1, 2, 4, 12])):
            self.deliver()
        return [r.event for _, r in self.log[first:]]

    def send(self, command: Message) -> None:
        """Run a command where it belongs; what it leads to elsewhere is on its way."""
        self.now_us += self.step_us
        for shard in self.routing.command(command):
            self._take(shard, command, type(command).__name__)

    def drain(self) -> None:
        """Deliver all that is on its way, and what comes of it."""
        while self.deliver():
            pass

    def deliver(self) -> bool:
        """Deliver the next message of one of the ways that have any."""
        waiting = [way for way, messages in self.ways.items() if messages]
        if waiting:
            self._deliver(self.rng.choice(waiting))
        return bool(waiting)

    def deliver_to(self, stage: str) -> None:
        """Deliver what is on its way to the partitions of a stage, and nothing else."""
        for way, messages in list(self.ways.items()):
            while messages and way[1].startswith(stage):
                self._deliver(way)

    def _deliver(self, way: tuple[str, str]) -> None:
        r = self.ways[way].popleft()
        self._take(way[1], r.event, f"{r.shard}:{r.seq}")

    def _take(self, shard: str, message: Message, cause: str) -> None:
        for r in self.stages[shard].take(message, self.now_us, cause):
            self.log.append((shard, r))
            for target in self.routing.event(r.event):
                self.ways.setdefault((shard, target), deque()).append(r)
        if shard.startswith("matching-"):
            # The orders stages may be between two effects of one command.
            self.stages[shard].verify()


def _left_in_matching(order: Order, groups: dict[str, Group]) -> int:
    """What the matching stage has left of an open order; a leg stands for what is alive."""
    if order.group is None or not order.is_leg():
        return order.leaves_qty
    group = groups[order.group.group_id]
    if group.state != WAITING:
        return order.group.remaining()
    # The take-profit of an OCO that waits for the session stands for both.
    queued = group.order_class == OCO and order.order_id == group.tp_order_id
    return order.leaves_qty if queued else 0
