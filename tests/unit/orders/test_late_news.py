"""What is asked for while only matching knows of a group's end: refused, nothing breaks."""

from nexustrade.core.codec import Message
from nexustrade.matching.messages import (
    SIBLING_FILLED,
    TP_FILLED,
    UNKNOWN_ORDER,
    DefineInstrument,
    GroupClosed,
    GroupRefused,
    LegCancelled,
    Traded,
)
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage

SHARE = 100_000_000
QTY = 10 * SHARE


class Late:
    """A stage with ann's group, of which it hears what matching does when the test says so."""

    def __init__(self) -> None:
        self.stage = OrdersStage("orders-0")
        self.now_us = 1
        self.hear(DefineInstrument("ABC", 100, SHARE, reference_px=1_000_000))
        self.hear(m.OpenAccount("ann", "CASH", 0))
        self.hear(m.AdjustPosition("ann", "ABC", QTY))
        self.hear(
            m.SubmitGroup(
                "ann", "tp", "tp", "OCO", "ABC", "SELL", "GTC", QTY, tp_order_id="tp",
                tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000,
            )
        )  # fmt: skip

    def hear(self, message: Message) -> list[Message]:
        self.now_us += 1_000
        return [r.event for r in self.stage.take(message, self.now_us, "matching-0:1")]

    def fill(self) -> None:
        """The take-profit is filled and the stop-loss ends; the group's end is on its way."""
        self.hear(Traded(1, "ABC", "BUY", 1_100_000, QTY, "tp", "ann", 0, "b", "bob", True))
        self.hear(LegCancelled("sl", "ann", "ABC", "tp", QTY, SIBLING_FILLED))

    def close(self) -> None:
        self.hear(GroupClosed("tp", "ann", "ABC", TP_FILLED))

    def check(self) -> None:
        """Nothing is held and nothing is left of the position."""
        self.stage.verify()
        ann = self.stage.accounts["ann"]
        assert (ann.reserved, ann.positions, ann.groups) == (0, {}, {})


def test_a_cancel_of_a_group_with_nothing_alive() -> None:
    late = Late()
    late.fill()
    assert late.hear(m.CancelGroup("ann", "tp")) == [
        m.CancelRejected("ann", "tp", m.ORDER_CLOSED, "CLOSED")
    ]
    late.close()
    late.check()


def test_an_amend_of_a_group_with_nothing_alive() -> None:
    late = Late()
    late.fill()
    assert late.hear(m.AmendGroup("ann", "tp", 5 * SHARE)) == [
        m.GroupAmendRejected("ann", "tp", m.ORDER_CLOSED, "the group is closed")
    ]
    late.close()
    late.check()


def test_the_refusal_of_an_amend_after_the_group_has_ended() -> None:
    late = Late()
    late.hear(m.AmendGroup("ann", "tp", 5 * SHARE))
    late.fill()
    late.close()
    assert late.hear(GroupRefused("tp", "ann", "ABC", UNKNOWN_ORDER, True)) == [
        m.GroupAmendRejected("ann", "tp", UNKNOWN_ORDER)
    ]
    late.check()


def test_a_snapshot_of_a_group_with_nothing_alive() -> None:
    late = Late()
    late.fill()
    state = late.stage.dump()
    loaded = OrdersStage("orders-0")
    loaded.load(state, late.stage.seq, late.stage.ts_us)
    assert loaded.dump() == state
