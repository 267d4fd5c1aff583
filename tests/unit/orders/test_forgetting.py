"""Closed orders and groups leave memory at the same event, live and after a snapshot."""

from nexustrade.core.terms import SELL
from nexustrade.matching.messages import GroupClosed, LegCancelled
from nexustrade.orders.domain import OrdersStage
from tests.unit.orders.test_admission import oco
from tests.unit.orders.test_orders_stage import SECOND, SHARE, Given, cash, order, shares


def test_a_group_is_forgotten_at_the_same_event_whether_a_snapshot_was_loaded_or_not() -> None:
    g = Given(cash(), shares(10), oco(qty=10), keep_s=60)
    for leg in ("tp", "sl"):
        g.when(LegCancelled(leg, "ann", "ABC", "tp", 10 * SHARE, "GROUP_CANCELLED"))
    # The group closes long after its orders, which are forgotten first.
    g.now_us += 59 * SECOND
    g.when(GroupClosed("tp", "ann", "ABC", "CANCELLED"))
    g.now_us += 2 * SECOND
    g.when(order("a", SELL, 1, 100))
    assert list(g.stage.orders) == ["a"]
    twin = OrdersStage("orders-0", 60 * SECOND)
    twin.load(g.stage.dump(), g.stage.seq, g.stage.ts_us)
    for wait_s, known in ((40, ["tp"]), (30, [])):
        g.now_us += wait_s * SECOND
        for recorded in g.stage.take(order(f"w{wait_s}", SELL, 1, 100), g.now_us, ""):
            twin.replay(recorded.seq, recorded.ts_us, recorded.event)
        assert list(g.stage.groups) == known
        assert twin.dump() == g.stage.dump()
