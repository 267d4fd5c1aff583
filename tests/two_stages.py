"""Both stages side by side without any I/O: what the runtime does, minus the store."""

from nexustrade.core.codec import Message
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import DefineInstrument, OpenSession
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import OpenAccount

START_US = 1_700_000_000_000_000


def make_stage(shard: str) -> Stage:
    return OrdersStage(shard) if shard.startswith("orders-") else MatchingStage(shard)


class TwoStages:
    """Partitions of both stages; `run` carries a command through to its last effect."""

    def __init__(self, orders_count: int = 1, matching_count: int = 1) -> None:
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
        self.now_us += 1_000
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

    def replayed(self) -> "TwoStages":
        """New stages that have only ever applied the events of these."""
        twin = TwoStages(len(self.orders), len(self.matching))
        for shard, r in self.log:
            twin.stages[shard].replay(r.seq, r.ts_us, r.event)
        return twin
