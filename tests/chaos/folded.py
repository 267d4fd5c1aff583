"""The streams of a venue folded anew from its event store, and held against what it told."""

from typing import cast

from nexustrade.adapters.postgres import audit
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.codec import decode
from nexustrade.kernel.stage import Stage
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import GroupRefused
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from tests.chaos.load import Told
from tests.chaos.whole import Truth

SHARDS = ("orders-0", "matching-0")
KEEP_US = 600 * 1_000_000


class Folded:
    """Both stages folded from seq 1 on, and every order id with what happened to it."""

    def __init__(self) -> None:
        self.orders = OrdersStage("orders-0", KEEP_US)
        self.matching = MatchingStage("matching-0")
        self.by_cl_ord_id: dict[str, str] = {}
        self.filled: dict[str, int] = {}
        self.status: dict[str, str] = {}
        self.delivered: dict[str, int] = {}
        self.problems: list[str] = []
        # Groups and replaces that the book did not let in: nothing of them ever worked.
        self.kept_out: set[str] = set()

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.orders, self.matching

    async def catch_up(self, dsn: str) -> "Folded":
        """Fold what is new in the store since the last time."""
        store = PostgresEventStore(dsn)
        try:
            for stage in self.stages:
                async for rows in store.read(stage.shard, stage.seq):
                    for row in rows:
                        event = decode(row.event_type, row.payload)
                        stage.replay(row.seq, row.ts_us, event)
                        self._note(event)
        finally:
            await store.close()
        return self

    def _note(self, event: object) -> None:
        if isinstance(event, m.OrderAccepted | m.ReplaceRequested):
            if event.order_id in self.status:
                self.problems.append(f"order id {event.order_id} twice")
            if event.cl_ord_id in self.by_cl_ord_id:
                self.problems.append(f"client order id {event.cl_ord_id} twice")
            self.by_cl_ord_id[event.cl_ord_id] = event.order_id
            self.status[event.order_id] = "OPEN"
        elif isinstance(event, m.GroupAccepted):
            self._note_group(event)
        elif isinstance(event, GroupRefused) and not event.amend:
            self.kept_out.add(event.group_id)
        elif isinstance(event, m.OrderFilled):
            self.filled[event.order_id] = self.filled.get(event.order_id, 0) + event.last_qty
        elif isinstance(event, m.OrderCanceled | m.OrderExpired):
            self.status[event.order_id] = "CLOSED"
        elif isinstance(event, m.OrderReplaced):
            self.status[event.orig_order_id] = f"REPLACED {event.order_id}"
            # The order in its place goes on from its fills.
            before = self.filled.get(event.orig_order_id, 0)
            self.filled[event.order_id] = self.filled.get(event.order_id, 0) + before
        elif isinstance(event, m.ReplaceRejected):
            self.status[event.order_id] = "REJECTED"
            self.kept_out.add(event.order_id)
        elif isinstance(event, m.PositionAdjusted):
            total = self.delivered.get(event.symbol, 0) + event.qty
            self.delivered[event.symbol] = total

    def _note_group(self, event: m.GroupAccepted) -> None:
        """A group is asked for by the id of its parent; its legs have ids of the venue's own."""
        if event.cl_ord_id in self.by_cl_ord_id:
            self.problems.append(f"client order id {event.cl_ord_id} twice")
        self.by_cl_ord_id[event.cl_ord_id] = event.group_id
        for order_id in {event.group_id, event.tp_order_id, event.sl_order_id}:
            if order_id in self.status:
                self.problems.append(f"order id {order_id} twice")
            self.status[order_id] = "OPEN"

    # -- what must hold of the streams themselves

    def verify(self) -> None:
        """Invariants of both stages, conservation, and nothing half there."""
        assert not self.problems, self.problems
        for stage in self.stages:
            stage.verify()
        assert self.orders.imbalance() == 0
        held: dict[str, int] = {}
        for account in self.orders.accounts.values():
            for symbol, position in account.positions.items():
                held[symbol] = held.get(symbol, 0) + position.qty
        assert {s: q for s, q in held.items() if q} == {
            s: q for s, q in self.delivered.items() if q
        }
        assert not self.matching.queue.orders()
        # Orders and groups are open in both stages or in none, for as much, and no leg alone.
        Truth(self.stages, {}).check_whole()

    # -- what must hold of what was told

    def honours(self, told: Told) -> None:
        """Everything acknowledged is there exactly once, and nothing refused is there."""
        assert not told.errors, told.errors
        for cl_ord_id, body in told.accepted.items():
            assert self.by_cl_ord_id.get(cl_ord_id) == body["id"], f"{body} is gone"
        for order_id, filled in told.filled.items():
            found = self.filled.get(order_id, 0)
            assert found >= filled, f"{order_id}: {filled} filled were told, {found} are there"
        for order_id in told.canceled:
            assert self.status[order_id] != "OPEN", f"{order_id} was cancelled and is open"
        for order_id, new_id in told.replaced.items():
            assert self.status[order_id] == f"REPLACED {new_id}", self.status[order_id]
        for cl_ord_id in told.refused | told.rejected:
            there = self.by_cl_ord_id.get(cl_ord_id)
            if cl_ord_id in told.rejected and there in self.kept_out:
                assert self.status[there] in ("CLOSED", "REJECTED")
                continue
            assert there is None, f"{cl_ord_id} was refused and is there"
        known = told.accepted.keys() | told.unanswered.keys() | told.unanswered_replaces
        known |= told.rejected  # of which only what was kept out is there
        strangers = [c for c in self.by_cl_ord_id if c not in known]
        assert not strangers, f"nobody sent {strangers[:5]}"

    def state(self, shard: str) -> bytes:
        stage = self.orders if shard == "orders-0" else self.matching
        return cast(Stage, stage).dump()


async def audited(dsn: str) -> list[str]:
    """The problems of all streams' hash chains and columns."""
    return [
        problem for shard in await audit.shards(dsn) async for problem in audit.verify(dsn, shard)
    ]


async def everything_holds(dsn: str, told: Told) -> Folded:
    """Fold both streams from seq 1 with fresh stages and check all there is to check."""
    folded = await Folded().catch_up(dsn)
    folded.verify()
    folded.honours(told)
    assert await audited(dsn) == []
    return folded
