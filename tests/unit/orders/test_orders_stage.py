"""The orders stage, given commands, when one more comes, then these events and no others."""

from collections.abc import Sequence

import pytest

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.matching.messages import (
    Amended,
    Decremented,
    DefineInstrument,
    Marked,
    Refused,
    Removed,
    SessionClosed,
    Traded,
)
from nexustrade.orders import messages as m
from nexustrade.orders import risk
from nexustrade.orders.domain import OrdersStage

SHARE = 100_000_000
USD = 10_000
T0 = 1_700_000_000_000_000
SECOND = 1_000_000


class Given:
    """A stage with an instrument `ABC` at 100 USD, in which commands have been run."""

    def __init__(self, *commands: Message, keep_s: int = 600, **rules: object) -> None:
        self.stage = OrdersStage("orders-0", keep_s * SECOND)
        self.now_us = T0
        fields: dict[str, object] = {
            "tick_size": 100,
            "lot_size": SHARE,
            "shortable": True,
            "marginable": True,
            "reference_px": 100 * USD,
        }
        self.when(DefineInstrument("ABC", **(fields | rules)))  # type: ignore[arg-type]
        self.all(*commands)

    def all(self, *commands: Message) -> "Given":
        for command in commands:
            self.when(command)
        return self

    def when(self, command: Message) -> list[Message]:
        self.now_us += SECOND
        events = [r.event for r in self.stage.take(command, self.now_us, "test")]
        self.stage.verify()
        return events


def cash(amount: int = 100_000_00, **fields: object) -> Message:
    return m.OpenAccount("ann", "CASH", amount, **fields)  # type: ignore[arg-type]


def margin(amount: int = 100_000_00, **fields: object) -> Message:
    given: dict[str, object] = {"shorting": True}
    return m.OpenAccount("ann", "MARGIN", amount, **(given | fields))  # type: ignore[arg-type]


def shares(qty: int, account: str = "ann", price: int = 90 * USD) -> Message:
    return m.AdjustPosition(account, "ABC", qty * SHARE, price)


def order(
    name: str, side: str, qty: int, px: int = 0, tif: str = "GTC", **more: object
) -> m.SubmitOrder:
    kind = "LIMIT" if px else "MARKET"
    fields: dict[str, object] = {"order_qty": qty * SHARE, "limit_px": px * USD} | more
    return m.SubmitOrder("ann", name, f"c-{name}", "ABC", side, kind, tif, **fields)  # type: ignore[arg-type]


def trade(
    maker: str, taker: str, px: int, qty: int, *, left: int = 0, done: bool = True, **who: str
) -> Traded:
    """`ann` is on the side of the named order; the other account is not of this partition."""
    side = who.get("taker_side", "SELL")
    return Traded(
        7,
        "ABC",
        side,
        px * USD,
        qty * SHARE,
        maker,
        "ann" if maker != "else" else "other",
        left * SHARE,
        taker,
        "ann" if taker != "else" else "other",
        done,
    )


def accepted(name: str, side: str, qty: int, px: int, **more: object) -> m.OrderAccepted:
    fields: dict[str, object] = {"order_qty": qty * SHARE, "limit_px": px * USD} | more
    kind = "LIMIT" if px else "MARKET"
    return m.OrderAccepted("ann", name, f"c-{name}", "ABC", side, kind, "GTC", **fields)  # type: ignore[arg-type]


def rejected(command: m.SubmitOrder, reason: str, text: str, **facts: str) -> m.OrderRejected:
    return m.OrderRejected(
        command.account_id,
        command.order_id,
        command.cl_ord_id,
        command.symbol,
        command.side,
        command.ord_type,
        reason,
        text,
        command.order_qty,
        command.limit_px,
        facts,
    )


# ---------------------------------------------------------------- reservations


def test_a_cash_buy_reserves_its_cost_and_the_dearer_fee_rounded_up() -> None:
    g = Given(cash(maker_fee_ppm=100, taker_fee_ppm=333))
    assert g.when(order("o1", "BUY", 3, 99)) == [
        accepted("o1", "BUY", 3, 99, reserved=297_00 + 10)  # 297.00 x 0.000333 = 0.098901
    ]
    assert g.stage.accounts["ann"].reserved == 297_10


def test_a_margin_buy_reserves_half() -> None:
    g = Given(margin())
    assert g.when(order("o1", "BUY", 3, 101)) == [accepted("o1", "BUY", 3, 101, reserved=151_50)]


def test_a_margin_buy_of_what_is_not_marginable_reserves_all() -> None:
    g = Given(margin(), marginable=False)
    assert g.when(order("o1", "BUY", 3, 101)) == [accepted("o1", "BUY", 3, 101, reserved=303_00)]


def test_a_multiplier_of_one_makes_a_margin_account_pay_in_full() -> None:
    g = Given(margin(), m.ConfigureAccount("ann", max_margin_multiplier="1"))
    assert g.when(order("o1", "BUY", 3, 101)) == [accepted("o1", "BUY", 3, 101, reserved=303_00)]


def test_a_market_buy_reserves_at_the_collar() -> None:
    g = Given(cash())
    assert g.when(order("o1", "BUY", 2)) == [
        accepted("o1", "BUY", 2, 0, reserved=210_00, collar_px=105 * USD)
    ]


def test_the_collar_of_a_sale_is_below_the_last_price_on_a_tick() -> None:
    g = Given(cash(), shares(5), collar_ppm=33_333, tick_size=500)
    # 100 - 3.3333 = 96.6667, up to the next 0.05
    assert g.when(order("o1", "SELL", 2)) == [
        accepted("o1", "SELL", 2, 0, reserved_qty=2 * SHARE, collar_px=967_000)
    ]


def test_a_buy_beyond_buying_power_is_rejected_with_the_figures() -> None:
    g = Given(cash(200_00), order("o1", "BUY", 1, 60))
    late = order("o2", "BUY", 2, 71)
    assert g.when(late) == [
        rejected(
            late,
            m.INSUFFICIENT_BUYING_POWER,
            "insufficient buying power",
            buying_power="140",
            cost_basis="142",
        )
    ]
    assert g.when(order("o3", "BUY", 2, 70)) == [accepted("o3", "BUY", 2, 70, reserved=140_00)]


def test_buying_power_of_a_margin_account_is_twice_its_excess() -> None:
    g = Given(margin(1_000_00))
    late = order("o1", "BUY", 20, 101)
    assert g.when(late) == [
        rejected(
            late,
            m.INSUFFICIENT_BUYING_POWER,
            "insufficient buying power",
            buying_power="2000",
            cost_basis="2020",
        )
    ]
    assert g.when(order("o2", "BUY", 20, 100)) == [
        accepted("o2", "BUY", 20, 100, reserved=1_000_00)
    ]


def test_a_short_sale_reserves_half_at_the_worse_of_its_limit_and_the_collar() -> None:
    g = Given(margin())
    assert g.when(order("o1", "SELL", 2, 90)) == [accepted("o1", "SELL", 2, 90, reserved=105_00)]
    assert g.when(order("o2", "SELL", 2, 120)) == [accepted("o2", "SELL", 2, 120, reserved=120_00)]


def test_an_account_that_may_sell_short_comes_with_a_short_position() -> None:
    g = Given(margin(10_000_00))
    assert g.when(shares(-10)) == [m.PositionAdjusted("ann", "ABC", -10 * SHARE, 90 * USD)]
    position = g.stage.accounts["ann"].positions["ABC"]
    assert position.qty == -10 * SHARE
    refused = m.CommandRejected(
        "ann", "AdjustPosition", m.INSUFFICIENT_QTY, "not enough free shares"
    )
    # It is bought back in the market, as any short position; and who holds shares has those alone.
    assert g.when(shares(1)) == [refused]
    assert Given(margin(), shares(1)).when(shares(-2)) == [refused]
    assert Given(cash()).when(shares(-1)) == [refused]
    assert Given(margin(shorting=False)).when(shares(-1)) == [refused]


def test_a_short_position_needs_150_percent_of_its_value() -> None:
    g = Given(margin(10_000_00), order("o1", "SELL", 10, 100))
    g.when(trade("o1", "else", 100, 10, taker_side="BUY"))
    account = g.stage.accounts["ann"]
    assert account.cash == 11_000_00
    # Equity 10,000; requirement 500 beyond the proceeds: (10,000 - 500) / 0.5.
    late = order("o2", "BUY", 1, 20_000, tif="GTC")
    assert g.when(m.AdjustPosition("ann", "ABC", SHARE, 1)) == [
        m.CommandRejected("ann", "AdjustPosition", m.INSUFFICIENT_QTY, "not enough free shares")
    ]
    assert g.stage.assess(late).reason == ""  # it closes: no margin
    assert risk.excess(account, g.stage.instruments) == 9_500_00


def test_a_sale_holds_shares_and_only_free_ones_can_be_sold() -> None:
    g = Given(cash(), shares(10))
    assert g.when(order("o1", "SELL", 7, 110)) == [
        accepted("o1", "SELL", 7, 110, reserved_qty=7 * SHARE)
    ]
    late = order("o2", "SELL", 4, 110)
    assert g.when(late) == [
        rejected(
            late,
            m.INSUFFICIENT_QTY,
            "insufficient qty available for order (requested: 4, available: 3)",
            requested="4",
            available="3",
            existing_qty="10",
            held_for_orders="7",
            symbol="ABC",
        )
    ]


def test_a_long_cannot_be_sold_through_zero_even_on_margin() -> None:
    g = Given(margin(), shares(5))
    late = order("o1", "SELL", 6, 100)
    assert g.when(late)[0] == rejected(
        late,
        m.INSUFFICIENT_QTY,
        "insufficient qty available for order (requested: 6, available: 5)",
        requested="6",
        available="5",
        existing_qty="5",
        held_for_orders="0",
        symbol="ABC",
    )


def test_a_cover_needs_no_margin_and_cannot_exceed_the_short() -> None:
    g = Given(margin(1_000_00), order("o1", "SELL", 4, 100))
    g.when(trade("o1", "else", 100, 4, taker_side="BUY"))
    assert g.when(order("o2", "BUY", 3, 400)) == [
        accepted("o2", "BUY", 3, 400, cover_qty=3 * SHARE)
    ]
    late = order("o3", "BUY", 2, 100)
    assert [type(e).__name__ for e in g.when(late)] == ["OrderRejected"]
    assert g.stage.assess(late).facts["available"] == "1"


@pytest.mark.parametrize(
    ("account", "rules", "reason"),
    [
        (cash(), {}, m.INSUFFICIENT_QTY),
        (margin(shorting=False), {}, m.INSUFFICIENT_QTY),
        (margin(), {"shortable": False}, m.NOT_SHORTABLE),
    ],
)
def test_a_short_sale_wants_account_and_instrument_to_allow_it(
    account: Message, rules: dict[str, object], reason: str
) -> None:
    events = Given(account, **rules).when(order("o1", "SELL", 1, 100))  # type: ignore[arg-type]
    assert [getattr(e, "reason", "") for e in events] == [reason]


def test_no_shorting_is_also_the_users_own_setting() -> None:
    g = Given(margin(), m.ConfigureAccount("ann", no_shorting=True))
    assert getattr(g.when(order("o1", "SELL", 1, 100))[0], "reason", "") == m.INSUFFICIENT_QTY


def test_a_notional_buy_reserves_its_amount() -> None:
    g = Given(cash(taker_fee_ppm=1_000), fractionable=True)
    command = order("o1", "BUY", 0, notional=50_00)
    assert g.when(command) == [
        accepted("o1", "BUY", 0, 0, notional=50_00, reserved=50_05, collar_px=105 * USD)
    ]


def test_a_notional_sale_is_capped_by_what_is_there() -> None:
    g = Given(cash(), shares(1), fractionable=True)
    command = order("o1", "SELL", 0, notional=95_00)
    # At the collar of 95 it is 1 share; at 98 the cap would be more than there is.
    assert g.when(command) == [
        accepted("o1", "SELL", 1, 0, notional=95_00, reserved_qty=SHARE, collar_px=95 * USD)
    ]


# ---------------------------------------------------------------- who may trade what


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ([m.BlockVenue(True)], m.VENUE_BLOCKED),
        ([m.BlockAccount("ann", True)], m.ACCOUNT_BLOCKED),
        ([m.ConfigureAccount("ann", suspend_trade=True)], m.SUSPENDED_BY_USER),
        ([m.RestrictInstrument("ABC", "HALTED")], m.NOT_TRADABLE),
        ([m.RestrictInstrument("ABC", "RESTRICTED")], m.NOT_TRADABLE),
        ([m.BlockVenue(True), m.BlockVenue(False)], ""),
        ([m.BlockAccount("ann", True), m.BlockAccount("ann", False)], ""),
        ([m.RestrictInstrument("ABC", "HALTED"), m.RestrictInstrument("ABC", "ACTIVE")], ""),
    ],
)
def test_switches_stop_new_orders(commands: Sequence[Message], reason: str) -> None:
    events = Given(cash(), *commands).when(order("o1", "BUY", 1, 100))
    assert [getattr(e, "reason", "") for e in events] == [reason]


def test_a_restricted_symbol_can_still_be_closed() -> None:
    g = Given(cash(), shares(2), m.RestrictInstrument("ABC", "RESTRICTED"))
    assert g.when(order("o1", "SELL", 1, 100)) == [
        accepted("o1", "SELL", 1, 100, reserved_qty=SHARE)
    ]


def test_the_kill_switch_cancels_what_is_open() -> None:
    g = Given(cash(), order("o1", "BUY", 1, 90), order("o2", "BUY", 1, 91))
    assert g.when(m.BlockAccount("ann", True, "by the desk")) == [
        m.AccountBlocked("ann", True, "by the desk"),
        m.CancelRequested("ann", "o1", "ABC"),
        m.CancelRequested("ann", "o2", "ABC"),
    ]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (order("o", "BUY", 1, 100, tif="GTD"), m.INVALID_ORDER),
        (order("o", "BUY", 1, 100, expire_us=T0 * 2), m.INVALID_ORDER),
        (order("o", "BUY", 0, tif="OPG", notional=100), m.INVALID_ORDER),
        (order("o", "HOLD", 1, 100), m.INVALID_ORDER),
        (order("o", "BUY", 1, 100, notional=1), m.INVALID_ORDER),
        (order("o", "BUY", 0, 100), m.INVALID_ORDER),
        (order("o", "BUY", 1, notional=100), m.INVALID_ORDER),
        (order("o", "BUY", 0), m.INVALID_ORDER),
        (order("o", "BUY", 1, post_only=True), m.INVALID_ORDER),
        (order("o", "BUY", 1, 100, tif="IOC", post_only=True), m.INVALID_ORDER),
        (order("o", "BUY", 0, tif="FOK", notional=100), m.INVALID_ORDER),
        (order("o", "BUY", 0, 100, order_qty=SHARE * 3 // 2), m.NOT_FRACTIONABLE),
        (order("o", "BUY", 0, notional=100), m.NOT_FRACTIONABLE),
        (order("o", "BUY", 3, 100), m.ORDER_QTY_MAX),
        (order("o", "BUY", 2, 151), m.ORDER_NOTIONAL_MAX),
        (m.SubmitOrder("ann", "o", "c", "XYZ", "BUY", "LIMIT", "DAY", SHARE), m.UNKNOWN_SYMBOL),
        (m.SubmitOrder("bob", "o", "c", "ABC", "BUY", "LIMIT", "DAY", SHARE), m.UNKNOWN_ACCOUNT),
        (
            m.SubmitOrder("ann", "o", "c", "ABC", "BUY", "LIMIT", "DAY", SHARE, 0, 1_000_012),
            m.TICK_SIZE,
        ),
        (
            m.SubmitOrder("ann", "o", "c", "ABC", "BUY", "STOP", "DAY", SHARE),
            m.INVALID_ORDER,
        ),
    ],
)
def test_terms_that_do_not_go_together_are_rejected(command: m.SubmitOrder, reason: str) -> None:
    g = Given(cash(), order_qty_max=2 * SHARE, order_notional_max=300_00)
    before = g.stage.dump()
    events = g.when(command)
    assert [getattr(e, "reason", "") for e in events] == [reason]
    assert g.stage.dump() == before


def test_prices_under_one_dollar_have_four_decimals() -> None:
    g = Given(cash(), reference_px=9_000)
    cheap = m.SubmitOrder("ann", "o", "c", "ABC", "BUY", "LIMIT", "DAY", SHARE, 0, 9_001)
    assert [type(e).__name__ for e in g.when(cheap)] == ["OrderAccepted"]


def test_lots_bind_where_no_fractions_are_allowed() -> None:
    g = Given(cash(), lot_size=10 * SHARE)
    late = order("o1", "BUY", 15, 100)
    assert g.when(late) == [rejected(late, m.LOT_SIZE, "invalid qty 15. the lot size is 10")]


def test_a_market_order_needs_a_reference_price() -> None:
    g = Given(cash(), reference_px=0)
    assert getattr(g.when(order("o1", "BUY", 1))[0], "reason", "") == m.NO_REFERENCE_PRICE


def test_open_orders_are_bounded() -> None:
    g = Given(cash(open_orders_max=1), order("o1", "BUY", 1, 90))
    assert getattr(g.when(order("o2", "BUY", 1, 90))[0], "reason", "") == m.OPEN_ORDERS_MAX


# ---------------------------------------------------------------- client order ids


def test_a_client_order_id_is_used_once_as_long_as_its_order_is_known() -> None:
    g = Given(cash(), order("o1", "BUY", 1, 90), keep_s=60)
    again = m.SubmitOrder("ann", "o2", "c-o1", "ABC", "BUY", "LIMIT", "GTC", SHARE, 0, 90 * USD)
    duplicate = rejected(
        again,
        m.DUPLICATE_CL_ORD_ID,
        "client_order_id must be unique",
        existing_order_id="o1",
    )
    assert g.when(again) == [duplicate]
    g.all(m.CancelOrder("ann", "o1"), Removed("o1", "ann", "ABC", SHARE, "BY_REQUEST"))
    assert g.when(again) == [duplicate]
    g.now_us += 61 * SECOND
    g.when(m.AdjustCash("ann", 1))
    # Closed orders leave memory; from then on the event store knows the id.
    assert "o1" not in g.stage.orders
    known = m.SubmitOrder(
        "ann", "o3", "c-o1", "ABC", "BUY", "LIMIT", "GTC", SHARE, 0, 90 * USD, known_order_id="o1"
    )
    assert getattr(g.when(known)[0], "reason", "") == m.DUPLICATE_CL_ORD_ID


def test_the_same_id_in_another_account_is_another_id() -> None:
    g = Given(cash(), m.OpenAccount("bob", "CASH", 100_00), order("o1", "BUY", 1, 90))
    other = m.SubmitOrder("bob", "o2", "c-o1", "ABC", "BUY", "LIMIT", "GTC", SHARE, 0, 90 * USD)
    assert [type(e).__name__ for e in g.when(other)] == ["OrderAccepted"]


# ---------------------------------------------------------------- executions


def test_a_fill_books_cash_shares_fee_and_releases_its_part() -> None:
    g = Given(cash(taker_fee_ppm=500, maker_fee_ppm=100), order("o1", "BUY", 10, 100))
    account = g.stage.accounts["ann"]
    assert account.reserved == 1_000_50
    assert g.when(trade("o1", "else", 99, 4, left=6)) == [
        m.OrderFilled("ann", "o1", "ABC", "BUY", 99 * USD, 4 * SHARE, 396_00, 4, "MAKER", 7, False)
    ]
    assert account.cash == 100_000_00 - 396_00 - 4
    assert account.reserved == 600_30
    assert account.fees_paid == g.stage.house_fees == 4
    assert account.positions["ABC"].qty == 4 * SHARE
    g.when(trade("o1", "else", 100, 6))
    assert account.reserved == 0
    assert g.stage.orders["o1"].ord_status == "FILLED"
    assert g.stage.orders["o1"].avg_px() == 996_000


def test_both_sides_of_a_trade_in_one_partition_exchange_the_same_cents() -> None:
    g = Given(cash(), m.OpenAccount("bob", "CASH", 0), shares(3, "bob"))
    sell = m.SubmitOrder("bob", "s", "c", "ABC", "SELL", "LIMIT", "GTC", 3 * SHARE, 0, 100 * USD)
    g.all(order("b", "BUY", 3, 100), sell)
    odd = 33_333_333
    one = Traded(1, "ABC", "SELL", 100 * USD, odd, "b", "ann", 3 * SHARE - odd, "s", "bob", False)
    assert [getattr(e, "notional", 0) for e in g.when(one)] == [33_33, 33_33]
    assert g.stage.imbalance() == 0


def test_an_order_that_ends_releases_everything() -> None:
    g = Given(cash(), order("o1", "BUY", 10, 100))
    g.when(trade("o1", "else", 100, 4, left=6))
    assert g.when(Removed("o1", "ann", "ABC", 6 * SHARE, "END_OF_DAY")) == [
        m.OrderExpired("ann", "o1", 6 * SHARE, "END_OF_DAY")
    ]
    account = g.stage.accounts["ann"]
    assert (account.reserved, account.open) == (0, {})
    assert g.stage.orders["o1"].ord_status == "EXPIRED"


def test_a_decremented_order_is_smaller_and_holds_less() -> None:
    g = Given(cash(), order("o1", "BUY", 10, 100))
    assert g.when(Decremented("o1", "ann", "ABC", 4 * SHARE)) == [
        m.OrderDecremented("ann", "o1", 4 * SHARE)
    ]
    assert g.stage.accounts["ann"].reserved == 600_00


def test_executions_of_other_partitions_accounts_are_not_ours() -> None:
    g = Given(cash())
    for message in (
        trade("else", "else", 100, 1),
        Removed("x", "bob", "ABC", 1, "BY_REQUEST"),
        Refused("x", "bob", "ABC", "UNKNOWN_ORDER"),
        Amended("x", "y", "bob", "ABC", 1, 1),
        Decremented("x", "bob", "ABC", 1),
    ):
        assert g.when(message) == []


def test_an_execution_of_an_order_that_is_not_there_stops_the_stage() -> None:
    g = Given(cash())
    with pytest.raises(InvariantError):
        g.when(Removed("nobody", "ann", "ABC", SHARE, "BY_REQUEST"))


# ---------------------------------------------------------------- cancel and replace


def test_cancel_is_requested_once() -> None:
    g = Given(cash(), order("o1", "BUY", 1, 90))
    assert g.when(m.CancelOrder("ann", "o1")) == [m.CancelRequested("ann", "o1", "ABC")]
    assert g.when(m.CancelOrder("ann", "o1")) == [
        m.CancelRejected("ann", "o1", m.ORDER_PENDING, "PENDING_CANCEL")
    ]
    assert g.when(Refused("o1", "ann", "ABC", "UNKNOWN_ORDER")) == [
        m.CancelRejected("ann", "o1", "UNKNOWN_ORDER")
    ]
    assert g.stage.orders["o1"].ord_status == "NEW"


def test_a_cancel_of_another_accounts_order_tells_nothing() -> None:
    g = Given(cash(), m.OpenAccount("bob", "CASH"), order("o1", "BUY", 1, 90))
    g.when(m.CancelOrder("ann", "o1"))
    assert g.when(m.CancelOrder("bob", "o1")) == [m.CancelRejected("bob", "o1", m.UNKNOWN_ORDER)]
    assert g.stage.orders["o1"].ord_status == "PENDING_CANCEL"


def test_mass_cancel_by_symbol_and_side() -> None:
    g = Given(cash(), shares(5), order("o1", "BUY", 1, 90), order("o2", "SELL", 1, 110))
    assert g.when(m.CancelAllOrders("ann", "XYZ")) == []
    assert g.when(m.CancelAllOrders("ann", "ABC", "SELL")) == [
        m.CancelRequested("ann", "o2", "ABC")
    ]
    assert g.when(m.CancelAllOrders("ann")) == [m.CancelRequested("ann", "o1", "ABC")]


def test_a_replace_up_holds_the_difference_at_once_and_gives_it_back_when_refused() -> None:
    g = Given(cash(1_000_00), order("o1", "BUY", 5, 100))
    account = g.stage.accounts["ann"]
    replace = m.ReplaceOrder("ann", "o2", "o1", "c-o2", 8 * SHARE)
    assert g.when(replace) == [
        m.ReplaceRequested(
            "ann", "o2", "o1", "c-o2", "ABC", 8 * SHARE, 100 * USD, "GTC", reserved=800_00
        )
    ]
    assert account.reserved == 800_00
    g.when(Refused("o2", "ann", "ABC", "UNKNOWN_ORDER", "o1"))
    assert account.reserved == 500_00
    assert g.stage.orders["o1"].ord_status == "NEW"
    too_much = m.ReplaceOrder("ann", "o3", "o1", "c-o3", 11 * SHARE)
    assert getattr(g.when(too_much)[0], "reason", "") == m.INSUFFICIENT_BUYING_POWER
    assert account.reserved == 500_00


def test_a_replaced_order_goes_on_under_its_new_id_with_its_fills() -> None:
    g = Given(cash(), order("o1", "BUY", 5, 100))
    g.when(trade("o1", "else", 100, 2, left=3))
    g.when(m.ReplaceOrder("ann", "o2", "o1", "c-o2", 6 * SHARE, 90 * USD))
    assert g.when(Amended("o2", "o1", "ann", "ABC", 90 * USD, 4 * SHARE)) == [
        m.OrderReplaced("ann", "o2", "o1")
    ]
    old, new = g.stage.orders["o1"], g.stage.orders["o2"]
    assert (old.ord_status, old.replaced_by, old.leaves_qty) == ("REPLACED", "o2", 0)
    assert (new.ord_status, new.replaces) == ("PARTIALLY_FILLED", "o1")
    assert (new.order_qty, new.cum_qty, new.leaves_qty) == (6 * SHARE, 2 * SHARE, 4 * SHARE)
    assert g.stage.accounts["ann"].reserved == 360_00


def test_a_fill_while_a_replace_is_under_way_counts_for_the_new_order() -> None:
    g = Given(cash(), order("o1", "BUY", 5, 100))
    g.when(m.ReplaceOrder("ann", "o2", "o1", "c-o2", 3 * SHARE))
    g.when(trade("o1", "else", 100, 1, left=4))
    g.when(Amended("o2", "o1", "ann", "ABC", 100 * USD, 2 * SHARE))
    new = g.stage.orders["o2"]
    assert (new.order_qty, new.cum_qty, new.leaves_qty) == (3 * SHARE, SHARE, 2 * SHARE)
    assert g.stage.accounts["ann"].reserved == 200_00


def test_an_order_that_fills_while_its_replace_is_under_way_drops_the_replace() -> None:
    g = Given(cash(), shares(9), order("o1", "SELL", 5, 100))
    g.when(m.ReplaceOrder("ann", "o2", "o1", "c-o2", 9 * SHARE))
    assert g.stage.accounts["ann"].positions["ABC"].held_qty == 9 * SHARE
    g.when(trade("o1", "else", 100, 5, taker_side="BUY"))
    assert g.stage.accounts["ann"].positions["ABC"].held_qty == 0
    assert g.when(Refused("o2", "ann", "ABC", "UNKNOWN_ORDER", "o1")) == [
        m.ReplaceRejected("ann", "o2", "o1", "UNKNOWN_ORDER")
    ]
    assert g.stage.orders["o1"].ord_status == "FILLED"


@pytest.mark.parametrize(
    ("replace", "reason"),
    [
        (m.ReplaceOrder("ann", "o2", "nobody", "c"), m.UNKNOWN_ORDER),
        (m.ReplaceOrder("ann", "o2", "o1", "c-o1"), m.DUPLICATE_CL_ORD_ID),
        (m.ReplaceOrder("ann", "o2", "o1", "c", 0, 1_000_001), m.TICK_SIZE),
        (m.ReplaceOrder("ann", "o2", "o1", "c", time_in_force="IOC"), m.INVALID_ORDER),
        (m.ReplaceOrder("ann", "o2", "o1", "c", time_in_force="GTD"), m.INVALID_ORDER),
        (m.ReplaceOrder("ann", "o2", "o1", "c", SHARE // 2), m.NOT_FRACTIONABLE),
        (m.ReplaceOrder("ann", "o2", "o1", "c", known_order_id="x"), m.DUPLICATE_CL_ORD_ID),
    ],
)
def test_a_bad_replace_changes_nothing(replace: Message, reason: str) -> None:
    g = Given(cash(), order("o1", "BUY", 5, 100))
    before = g.stage.dump()
    assert [getattr(e, "reason", "") for e in g.when(replace)] == [reason]
    assert g.stage.dump() == before


# ---------------------------------------------------------------- accounts, marks, days


def test_cash_goes_in_and_out_but_not_below_what_is_free() -> None:
    g = Given(cash(100_00), order("o1", "BUY", 1, 60))
    assert g.when(m.AdjustCash("ann", 5_00, "gift")) == [m.CashAdjusted("ann", 5_00, "gift")]
    assert g.when(m.AdjustCash("ann", -45_01)) == [
        m.CommandRejected("ann", "AdjustCash", m.INSUFFICIENT_CASH, "withdrawable is 45")
    ]
    assert g.when(m.AdjustCash("ann", -45_00)) == [m.CashAdjusted("ann", -45_00)]


def test_proceeds_of_a_short_cannot_be_withdrawn() -> None:
    g = Given(margin(1_000_00), order("o1", "SELL", 5, 100))
    g.when(trade("o1", "else", 100, 5, taker_side="BUY"))
    account = g.stage.accounts["ann"]
    assert account.cash == 1_500_00
    assert g.stage.withdrawable(account) == 750_00  # equity 1,000 less half of 500


def test_marks_move_value_and_collar() -> None:
    g = Given(cash(), shares(1))
    assert g.when(Marked("ABC", 120 * USD)) == [m.PriceMarked("ABC", 120 * USD)]
    assert g.when(Marked("ABC", 120 * USD)) == []
    assert getattr(g.when(order("o1", "BUY", 1))[0], "collar_px", 0) == 126 * USD


def test_the_end_of_a_day_keeps_equity_and_prices() -> None:
    g = Given(cash(100_00), shares(1), Marked("ABC", 120 * USD))
    assert g.when(SessionClosed("2026-11-23")) == [m.DayClosed("2026-11-23")]
    assert g.stage.accounts["ann"].last_equity == 220_00
    assert g.stage.instruments["ABC"].prev_close_px == 120 * USD


def test_an_account_is_opened_once() -> None:
    g = Given(cash())
    assert g.when(cash()) == [
        m.CommandRejected("ann", "OpenAccount", m.ACCOUNT_EXISTS, "account ann exists")
    ]


def test_the_cost_of_a_position_follows_its_fills() -> None:
    g = Given(cash(), shares(3, price=10 * USD), order("o1", "SELL", 2, 100))
    g.when(trade("o1", "else", 100, 2, taker_side="BUY"))
    position = g.stage.accounts["ann"].positions["ABC"]
    assert (position.qty, position.cost_e12) == (SHARE, 10 * USD * SHARE)
