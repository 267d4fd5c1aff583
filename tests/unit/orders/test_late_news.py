"""What is asked for while only matching knows what has happened: nothing breaks or oversells."""

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
from tests.two_stages import Lagging, TwoStages

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


class Apart(Lagging):
    """Both stages apart. `ann` is long 20, and her orders take from each other what would trade."""

    def __init__(self, *given: Message) -> None:
        v = TwoStages()
        v.list("ABC", shortable=True, marginable=True)
        v.open("ann", "MARGIN", shorting=True, stp="DECREMENT")
        v.run(m.AdjustPosition("ann", "ABC", 2 * QTY, 1_000_000))
        v.start()
        for command in given:
            v.run(command)
        super().__init__(v, 0)

    def settle(self) -> None:
        """All news arrive: both stages agree, and nothing is promised twice."""
        self.drain()
        self.verify()
        self.agree()

    def promised(self) -> int:
        position = self.orders[0].accounts["ann"].positions["ABC"]
        return (position.held_qty + position.open_sell_qty) // SHARE


def sell(name: str, qty: int, usd: int) -> m.SubmitOrder:
    return m.SubmitOrder(
        "ann", name, name, "ABC", "SELL", "LIMIT", "GTC", qty * SHARE, limit_px=usd * 10_000
    )


def buy(name: str, qty: int, usd: int) -> m.SubmitOrder:
    return m.SubmitOrder(
        "ann", name, name, "ABC", "BUY", "LIMIT", "GTC", qty * SHARE, limit_px=usd * 10_000
    )


def test_a_replace_brings_back_what_self_trade_prevention_took_meanwhile() -> None:
    v = Apart(sell("s", 12, 105))
    v.send(buy("b", 9, 105))
    v.deliver_to("matching")
    v.send(m.ReplaceOrder("ann", "s2", "s", "s2", limit_px=1_060_000))
    v.deliver_to("orders")
    v.send(sell("takes", 9, 107))
    assert v.promised() == 12
    v.settle()
    assert v.promised() == 12
    assert v.orders[0].orders["s2"].leaves_qty == 12 * SHARE


def test_an_entry_does_not_grow_by_a_replace() -> None:
    bracket = m.SubmitGroup(
        "ann", "g", "g", "BRACKET", "ABC", "BUY", "GTC", QTY, "LIMIT", 1_000_000,
        tp_order_id="tp", tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000,
    )  # fmt: skip
    v = Apart(bracket)
    v.send(sell("s", 4, 100))
    v.deliver_to("matching")
    v.send(m.ReplaceOrder("ann", "g2", "g", "g2", limit_px=1_010_000))
    v.settle()
    assert v.orders[0].orders["g2"].leaves_qty == 6 * SHARE


def test_an_amend_brings_back_what_self_trade_prevention_took_meanwhile() -> None:
    oco = m.SubmitGroup(
        "ann", "tp", "tp", "OCO", "ABC", "SELL", "GTC", 12 * SHARE,
        tp_order_id="tp", tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000,
    )  # fmt: skip
    v = Apart(oco)
    v.send(buy("b", 7, 110))
    v.deliver_to("matching")
    v.send(m.AmendGroup("ann", "tp", 8 * SHARE))
    v.deliver_to("orders")
    v.send(sell("takes", 13, 107))
    assert v.promised() == 8
    v.settle()
    assert v.promised() == 8


def test_an_amend_while_shares_are_lent() -> None:
    oco = m.SubmitGroup(
        "ann", "tp", "tp", "OCO", "ABC", "SELL", "GTC", 2 * QTY, auto_shrink=True,
        tp_order_id="tp", tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000,
    )  # fmt: skip
    v = Apart(oco)
    v.send(sell("s", 3, 105))
    v.send(m.AmendGroup("ann", "tp", 19 * SHARE))
    v.settle()
    assert v.promised() == 20
