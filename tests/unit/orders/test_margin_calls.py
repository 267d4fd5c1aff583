"""Margin accounts: requirements, calls, and liquidation through both stages, event by event."""

from collections.abc import Sequence

import msgspec
import pytest

from nexustrade.core.codec import Message
from nexustrade.core.money import qty_text, usd_text
from nexustrade.matching.messages import (
    CloseSession,
    DefineInstrument,
    GroupClosed,
    LegCancelled,
    Marked,
    OpenSession,
    Removed,
    Traded,
)
from nexustrade.orders import messages as m
from nexustrade.orders import risk
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.service import account_record
from nexustrade.orders.state import Account
from tests.two_stages import TwoStages
from tests.unit.orders.test_orders_stage import (
    Given,
    accepted,
    margin,
    order,
    shares,
    trade,
)

SHARE = 100_000_000
USD = 10_000
CALL_US = 60_000_000
DAY_1, DAY_2 = "2026-11-23", "2026-11-24"


class Venue(TwoStages):
    """Both stages in a session; `mm` and `bob` have shares, and trade to set a price."""

    def __init__(self, symbols: Sequence[str] = ("ABC",), **rules: object) -> None:
        super().__init__()
        self.marks = 0
        for name in ("mm", "bob"):
            self.open(name)
        for symbol in symbols:
            self.list(symbol, **({"shortable": True, "marginable": True} | rules))
            for name in ("mm", "bob"):
                self.run(m.AdjustPosition(name, symbol, 10_000 * SHARE, 100 * USD))
        self.run(OpenSession(DAY_1))

    def margin(self, name: str, usd: int, **fields: object) -> "Venue":
        self.open(name, "MARGIN", cash=usd * 100, shorting=True, **fields)
        return self

    def send(
        self, account: str, name: str, side: str, qty: int, usd: int, symbol: str = "ABC"
    ) -> str:
        """A limit order; the reason of its rejection, or nothing."""
        events = self.run(
            m.SubmitOrder(
                account, name, name, symbol, side, "LIMIT", "GTC", qty * SHARE, limit_px=usd * USD
            )
        )
        self.check()
        return str(getattr(events[0], "reason", ""))

    def long(self, account: str, qty: int, usd: int = 100, symbol: str = "ABC") -> "Venue":
        """`account` buys from `mm`."""
        assert self.send("mm", f"ask-{account}-{symbol}", "SELL", qty, usd, symbol) == ""
        assert self.send(account, f"in-{account}-{symbol}", "BUY", qty, usd, symbol) == ""
        return self

    def short(self, account: str, qty: int, usd: int = 100, symbol: str = "ABC") -> "Venue":
        """`account` sells short to `mm`."""
        assert self.send("mm", f"bid-{account}-{symbol}", "BUY", qty, usd, symbol) == ""
        assert self.send(account, f"in-{account}-{symbol}", "SELL", qty, usd, symbol) == ""
        return self

    def mark(self, usd: int, symbol: str = "ABC") -> "Venue":
        """The market trades at a price."""
        self.marks += 1
        self.send("mm", f"mark-s{self.marks}", "SELL", 1, usd, symbol)
        self.send("bob", f"mark-b{self.marks}", "BUY", 1, usd, symbol)
        return self

    def oco(self, account: str, qty: int, tp: int, sl: int, symbol: str = "ABC") -> "Venue":
        group = f"tp-{account}"
        events = self.run(
            m.SubmitGroup(
                account,
                group,
                group,
                "OCO",
                symbol,
                "SELL",
                "GTC",
                qty * SHARE,
                tp_order_id=group,
                tp_limit_px=tp * USD,
                sl_order_id=f"sl-{account}",
                sl_stop_px=sl * USD,
            )
        )
        assert type(events[0]).__name__ == "GroupAccepted"
        return self

    def checked(self, *, later: bool = False) -> list[str]:
        """What a margin check brings about, after the time of a call (`later`) or at once."""
        if later:
            self.now_us += CALL_US
        events = self.run(m.CheckMargin(CALL_US))
        self.check()
        return self.told(events)

    def check(self) -> None:
        """The invariants hold, and replayed or loaded stages have the same state."""
        self.verify()
        twin = self.replayed()
        for shard, stage in self.stages.items():
            assert twin.stages[shard].dump() == stage.dump()
        again = OrdersStage("orders-0")
        again.load(self.orders[0].dump(), self.orders[0].seq, self.orders[0].ts_us)
        again.verify()
        assert again.dump() == self.orders[0].dump()

    def account(self, name: str) -> Account:
        return self.orders[0].accounts[name]

    def told(self, events: Sequence[Message]) -> list[str]:
        """Events in short, without those of other accounts; `sale` is what liquidation sends."""
        sales = [r.event.order_id for _, r in self.log if isinstance(r.event, m.LiquidationStarted)]
        lines = []
        for e in events:
            if getattr(e, "account_id", "") in ("mm", "bob"):
                continue
            line = _short(e)
            for sale in sales:
                line = line.replace(sale, "sale") if sale else line
            lines.append(line)
        return lines


def _short(e: Message) -> str:
    name = type(e).__name__
    if isinstance(e, m.MarginCallIssued):
        figures = (e.equity, e.maintenance_margin, e.deficit)
        return f"{name} {e.account_id} {' '.join(usd_text(each) for each in figures)}"
    if isinstance(e, m.MarginCallMet):
        return f"{name} {e.account_id} {usd_text(e.equity)} {usd_text(e.maintenance_margin)}"
    if isinstance(e, m.LiquidationStarted):
        return f"{name} {e.account_id} {e.symbol} {qty_text(e.qty)} for {usd_text(e.deficit)}"
    if isinstance(e, m.OrderAccepted):
        terms = f"{e.side} {e.ord_type} {e.time_in_force} {qty_text(e.order_qty)} {e.stp}"
        return f"{name} {e.order_id} {terms} holds {qty_text(e.reserved_qty + e.cover_qty)}"
    if isinstance(e, m.OrderFilled):
        return f"{name} {e.order_id} {qty_text(e.last_qty)} at {e.last_px // USD}"
    if isinstance(e, Traded):
        return f"{name} {qty_text(e.last_qty)} at {e.last_px // USD}"
    if isinstance(e, (Removed, LegCancelled, m.OrderCanceled)):
        return f"{name} {e.order_id} {qty_text(e.leaves_qty)} {e.reason}"
    if isinstance(e, (GroupClosed, m.ReservationReleased)):
        return f"{name} {e.group_id} {e.reason}"
    who = getattr(e, "order_id", "") or getattr(e, "symbol", "")
    return f"{name} {who}".strip()


# ---------------------------------------------------------------- requirements


def figures(g: Given) -> tuple[int, int, int, int]:
    """Equity, initial and maintenance requirement and buying power of `ann`."""
    r = account_record(g.stage, g.stage.accounts["ann"])
    return r.equity, r.initial_margin, r.maintenance_margin, r.buying_power


def test_a_long_position_needs_half_at_first_and_a_quarter_then() -> None:
    g = Given(margin(10_000_00), order("o", "BUY", 60, 100))
    g.when(trade("else", "o", 100, 60, taker_side="BUY"))
    # (10,000 - 3,000) / 0.5
    assert figures(g) == (10_000_00, 3_000_00, 1_500_00, 14_000_00)
    # With an order that reserves 500 it is 1,000 less.
    g.when(order("p", "BUY", 10, 100))
    assert figures(g) == (10_000_00, 3_000_00, 1_500_00, 13_000_00)


def test_a_short_position_needs_half_at_first_and_30_percent_then() -> None:
    g = Given(margin(10_000_00), order("o", "SELL", 60, 100))
    g.when(trade("else", "o", 100, 60, taker_side="SELL"))
    assert figures(g) == (10_000_00, 3_000_00, 1_800_00, 14_000_00)


@pytest.mark.parametrize(
    ("addon_ppm", "marginable", "side", "initial", "maintenance"),
    [
        (0, True, "BUY", 500, 250),
        (100_000, True, "BUY", 500, 350),
        (400_000, True, "BUY", 650, 650),  # maintenance above half is needed from the start
        (900_000, True, "BUY", 1_000, 1_000),  # never more than it is worth
        (0, False, "BUY", 1_000, 1_000),
        (100_000, False, "BUY", 1_000, 1_000),
        (0, True, "SELL", 500, 300),
        (100_000, True, "SELL", 500, 400),
        (400_000, True, "SELL", 700, 700),
        (900_000, True, "SELL", 1_200, 1_200),  # a short may cost more than it is worth
        (0, False, "SELL", 500, 300),
    ],
)
def test_the_house_adds_to_the_maintenance_of_a_symbol(
    addon_ppm: int, marginable: bool, side: str, initial: int, maintenance: int
) -> None:
    g = Given(
        margin(10_000_00),
        collar_ppm=0,
        maintenance_addon_ppm=addon_ppm,
        marginable=marginable,
    )
    assert g.when(order("o", side, 10, 100)) == [
        accepted("o", side, 10, 100, reserved=initial * 100)
    ]
    g.when(trade("else", "o", 100, 10, taker_side=side))
    equity, first, then, _ = figures(g)
    assert (equity, first, then) == (10_000_00, initial * 100, maintenance * 100)


def test_an_order_as_large_as_buying_power_allows_is_not_called_at_once() -> None:
    g = Given(margin(6_500_00), maintenance_addon_ppm=400_000)
    assert getattr(g.when(order("o", "BUY", 101, 100))[0], "reason", "") == (
        m.INSUFFICIENT_BUYING_POWER
    )
    g.when(order("p", "BUY", 100, 100))
    g.when(trade("else", "p", 100, 100, taker_side="BUY"))
    assert g.when(m.CheckMargin(CALL_US)) == []


def test_the_requirement_of_an_exit_is_unchanged_until_it_fills() -> None:
    v = Venue().margin("ann", 10_000).long("ann", 100)
    before = account_record(v.orders[0], v.account("ann"))
    v.oco("ann", 100, 120, 80)
    assert account_record(v.orders[0], v.account("ann")) == _but_open_orders(before, 2)
    v.send("bob", "lift", "BUY", 40, 120)
    after = account_record(v.orders[0], v.account("ann"))
    # 60 shares are left, valued at 120.
    assert (after.initial_margin, after.maintenance_margin) == (3_600_00, 1_800_00)
    assert (after.reserved, after.equity) == (0, 12_000_00)


def _but_open_orders(r: m.AccountRecord, count: int) -> m.AccountRecord:
    return msgspec.structs.replace(r, open_orders=count)


# ---------------------------------------------------------------- calls


def called() -> Venue:
    """`ann` owes 50 USD on 150 shares bought at 100 that are worth 44."""
    v = Venue().margin("ann", 10_000).long("ann", 150).mark(44)
    assert v.checked() == ["MarginCallIssued ann 1600 1650 50"]
    return v


def test_a_call_is_issued_once_and_met_once() -> None:
    v = called()
    record = account_record(v.orders[0], v.account("ann"))
    assert (record.margin_call, record.margin_call_due_us) == (50_00, v.now_us + CALL_US)
    before = v.orders[0].dump()
    assert v.checked() == []
    v.mark(43)
    assert v.checked() == []  # it stays the call that it is
    v.run(m.AdjustCash("ann", 500_00))
    assert v.checked() == ["MarginCallMet ann 1950 1612.5"]
    assert v.checked() == []
    assert v.account("ann").call_due_us == 0
    assert v.orders[0].dump() != before


def test_a_check_that_finds_nothing_changes_nothing() -> None:
    v = Venue().margin("ann", 10_000).long("ann", 150)
    before = v.orders[0].dump()
    assert v.checked() == []
    assert v.orders[0].dump() == before


def test_prices_that_recover_meet_a_call_even_when_it_is_overdue() -> None:
    v = called().mark(50)
    assert v.checked(later=True) == ["MarginCallMet ann 2500 1875"]
    assert v.account("ann").positions["ABC"].qty == 150 * SHARE


def test_cash_accounts_are_not_called() -> None:
    v = Venue().mark(1)
    assert v.checked() == []


@pytest.mark.parametrize(
    ("side", "qty", "usd", "reason"),
    [
        ("SELL", 150, 40, ""),  # it reduces
        ("SELL", 151, 40, m.INSUFFICIENT_QTY),
        ("BUY", 1, 1, m.MARGIN_CALL),
    ],
)
def test_while_a_call_is_open_only_orders_that_reduce_are_taken(
    side: str, qty: int, usd: int, reason: str
) -> None:
    v = called()
    assert v.send("ann", "o", side, qty, usd) == reason


def test_the_refusal_says_what_is_lacking() -> None:
    v = called()
    command = m.SubmitOrder("ann", "o", "o", "ABC", "BUY", "LIMIT", "GTC", SHARE, limit_px=1 * USD)
    before = v.orders[0].dump()
    text = "a margin call of 50 is open: only orders that reduce a position are taken"
    (event,) = v.run(command)
    assert isinstance(event, m.OrderRejected)
    assert (event.reason, event.text) == (m.MARGIN_CALL, text)
    assert v.orders[0].dump() == before
    # Met, it is taken again.
    v.run(m.AdjustCash("ann", 10_000_00))
    v.checked()
    assert v.send("ann", "o2", "BUY", 1, 1) == ""


def test_a_group_that_opens_is_refused_and_an_exit_is_taken() -> None:
    v = called()
    bracket = m.SubmitGroup(
        "ann", "g", "g", "BRACKET", "ABC", "BUY", "GTC", SHARE, "LIMIT", 40 * USD,
        tp_order_id="g-tp", tp_limit_px=50 * USD, sl_order_id="g-sl", sl_stop_px=30 * USD,
    )  # fmt: skip
    (event,) = v.run(bracket)
    assert isinstance(event, m.GroupRejected)
    assert (event.reason, list(event.legs)) == (m.MARGIN_CALL, ["side"])
    v.oco("ann", 150, 60, 30)


def test_open_orders_that_would_open_more_cannot_be_made_larger() -> None:
    v = Venue().margin("ann", 10_000).long("ann", 150)
    v.send("ann", "bid", "BUY", 10, 20)
    v.send("ann", "ask", "SELL", 10, 200)
    v.mark(44)
    v.checked()

    def replaced(name: str, **to: int) -> str:
        new = f"{name}-{len(v.log)}"
        command = msgspec.structs.replace(m.ReplaceOrder("ann", new, name, new), **to)
        return str(getattr(v.run(command)[0], "reason", ""))

    assert replaced("bid", order_qty=11 * SHARE) == m.MARGIN_CALL
    assert replaced("bid", limit_px=21 * USD) == m.MARGIN_CALL
    assert replaced("ask", order_qty=20 * SHARE, limit_px=100 * USD) == ""
    assert replaced("bid", order_qty=9 * SHARE) == ""


def test_a_cover_is_taken_whatever_the_funds_are() -> None:
    # The fee of a cover is held, but it is not refused for it: it makes the risk smaller.
    v = Venue().margin("ann", 5_000, taker_fee_ppm=1_000).short("ann", 80).mark(140)
    assert v.checked() == ["MarginCallIssued ann 1792 3360 1568"]
    assert risk.excess(v.account("ann"), v.orders[0].instruments) < 0
    assert v.send("ann", "cover", "BUY", 80, 150) == ""
    assert v.account("ann").reserved == 12_00
    assert v.run(m.ReplaceOrder("ann", "dearer", "cover", "dearer", limit_px=160 * USD))[0] == (
        m.ReplaceRequested(
            "ann",
            "dearer",
            "cover",
            "dearer",
            "ABC",
            80 * SHARE,
            160 * USD,
            "GTC",
            reserved=12_80,
            cover_qty=80 * SHARE,
        )
    )


def test_an_oco_that_covers_is_taken_whatever_the_funds_are() -> None:
    v = Venue().margin("ann", 5_000, taker_fee_ppm=1_000).short("ann", 80).mark(140)
    v.checked()
    (event, *_) = v.run(
        m.SubmitGroup(
            "ann",
            "tp",
            "tp",
            "OCO",
            "ABC",
            "BUY",
            "GTC",
            80 * SHARE,
            tp_order_id="tp",
            tp_limit_px=100 * USD,
            sl_order_id="sl",
            sl_stop_px=160 * USD,
        )
    )
    assert isinstance(event, m.GroupAccepted)
    # 80 x 168 (the stop and the collar) x 0.001
    assert (event.reserved, event.cover_qty) == (13_44, 80 * SHARE)


# ---------------------------------------------------------------- liquidation


def test_row_31_groups_and_orders_are_cancelled_first_then_it_sells_in_one_batch() -> None:
    v = Venue().margin("ann", 10_000).long("ann", 150)
    v.send("ann", "bid", "BUY", 1, 1)
    v.mark(44).oco("ann", 50, 200, 20)
    v.send("ann", "ask", "SELL", 10, 150)
    v.send("mm", "deep", "BUY", 1_000, 43)
    assert v.checked() == ["MarginCallIssued ann 1600 1650 50"]
    assert v.checked(later=True) == [
        "LiquidationStarted ann ABC 5 for 50",
        "CancelRequested bid",
        "CancelRequested tp-ann",
        "CancelRequested ask",
        "Removed bid 1 BY_REQUEST",
        "LegCancelled tp-ann 50 BY_REQUEST",
        "LegCancelled sl-ann 50 GROUP_CANCELLED",
        "GroupClosed tp-ann CANCELLED",
        "Removed ask 10 BY_REQUEST",
        "OrderCanceled bid 1 BY_REQUEST",
        "OrderCanceled tp-ann 50 BY_REQUEST",
        "OrderCanceled sl-ann 50 GROUP_CANCELLED",
        "ReservationReleased tp-ann CANCELLED",
        "OrderCanceled ask 10 BY_REQUEST",
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Traded 5 at 43",
        "OrderFilled sale 5 at 43",
    ]
    account = v.account("ann")
    assert (account.positions["ABC"].qty, account.liquidations) == (145 * SHARE, {})
    # It was valued at 44 and sold at 43: the next check sells what that left lacking.
    assert v.checked()[:2] == [
        "LiquidationStarted ann ABC 11 for 108.75",
        "OrderAccepted sale SELL MARKET DAY 11 CANCEL_OLDEST holds 11",
    ]
    assert v.checked() == ["MarginCallMet ann 1450 1440.5"]
    assert v.checked() == []


def test_a_bracket_whose_entry_is_open_goes_as_well() -> None:
    v = Venue().margin("ann", 10_000).long("ann", 150)
    bracket = m.SubmitGroup(
        "ann", "g", "g", "BRACKET", "ABC", "BUY", "GTC", SHARE, "LIMIT", 40 * USD,
        tp_order_id="g-tp", tp_limit_px=200 * USD, sl_order_id="g-sl", sl_stop_px=20 * USD,
    )  # fmt: skip
    assert type(v.run(bracket)[0]).__name__ == "GroupAccepted"
    v.mark(44)
    v.send("mm", "deep", "BUY", 1_000, 44)
    v.checked()
    events = v.checked(later=True)
    assert events[1] == "CancelRequested g"
    assert events[-3:] == [
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Traded 5 at 44",
        "OrderFilled sale 5 at 44",
    ]
    assert v.account("ann").open == {}


def test_shorts_are_bought_back_with_their_fee_held() -> None:
    v = Venue().margin("ann", 5_000, taker_fee_ppm=1_000).short("ann", 80)
    # Equity 5,000 less the fee of 8 and 1,920; 30 % of 9,920.
    v.mark(124)
    assert v.checked() == []
    v.mark(125)
    assert v.checked() == ["MarginCallIssued ann 2992 3000 8"]
    v.send("mm", "offer", "SELL", 1_000, 125)
    assert v.checked(later=True) == [
        "LiquidationStarted ann ABC -1 for 8",
        "OrderAccepted sale BUY MARKET DAY 1 CANCEL_OLDEST holds 1",
        "Traded 1 at 125",
        "OrderFilled sale 1 at 125",
    ]
    account = v.account("ann")
    assert (account.positions["ABC"].qty, account.reserved) == (-79 * SHARE, 0)
    assert v.checked() == ["MarginCallMet ann 2991.87 2962.5"]


def test_without_bids_the_rest_is_cancelled_and_the_next_check_tries_again() -> None:
    v = called()
    assert v.checked(later=True) == [
        "LiquidationStarted ann ABC 5 for 50",
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Removed sale 5 UNFILLED_REMAINDER",
        "OrderCanceled sale 5 UNFILLED_REMAINDER",
    ]
    assert v.account("ann").liquidations == {}
    v.send("mm", "thin", "BUY", 2, 44)
    assert v.checked() == [
        "LiquidationStarted ann ABC 5 for 50",
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Traded 2 at 44",
        "Removed sale 3 UNFILLED_REMAINDER",
        "OrderFilled sale 2 at 44",
        "OrderCanceled sale 3 UNFILLED_REMAINDER",
    ]
    v.send("mm", "more", "BUY", 100, 44)
    assert v.checked()[0] == "LiquidationStarted ann ABC 3 for 28"
    assert v.checked() == ["MarginCallMet ann 1600 1595"]


def test_bids_below_the_collar_are_left_alone() -> None:
    v = called()
    v.send("mm", "low", "BUY", 100, 41)  # 5 % below 44 is 41.80
    assert v.checked(later=True)[-1] == "OrderCanceled sale 5 UNFILLED_REMAINDER"
    assert v.account("ann").positions["ABC"].qty == 150 * SHARE


def test_in_a_halted_symbol_the_sale_waits_for_the_auction_and_is_sent_once() -> None:
    v = called()
    v.send("mm", "deep", "BUY", 100, 44)
    v.run(m.RestrictInstrument("ABC", "HALTED", "news"))
    assert v.checked(later=True) == [
        "LiquidationStarted ann ABC 5 for 50",
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Rested sale",
    ]
    assert v.checked() == []
    assert v.checked(later=True) == []
    events = v.told(v.run(m.RestrictInstrument("ABC", "ACTIVE")))
    assert [line for line in events if "OrderFilled" in line] == ["OrderFilled sale 5 at 44"]
    assert v.checked()[0].startswith("MarginCallMet ann 1600")


def test_in_a_closed_market_the_sale_is_queued_once_and_filled_at_the_open() -> None:
    v = called()
    v.run(CloseSession(DAY_1))
    assert v.checked(later=True) == [
        "LiquidationStarted ann ABC 5 for 50",
        "OrderAccepted sale SELL MARKET DAY 5 CANCEL_OLDEST holds 5",
        "Queued sale",
    ]
    assert v.checked() == []
    v.send("mm", "deep", "BUY", 100, 44)
    v.run(OpenSession(DAY_2))
    assert v.account("ann").positions["ABC"].qty == 145 * SHARE
    assert v.account("ann").liquidations == {}
    v.check()


def test_the_largest_positions_go_first_and_no_more_than_needed() -> None:
    v = Venue(["ABC", "DEF", "XYZ"]).margin("ann", 10_000)
    v.long("ann", 60, symbol="ABC").long("ann", 80, symbol="DEF").short("ann", 40, symbol="XYZ")
    for symbol in ("ABC", "DEF"):
        v.mark(30, symbol)
        v.send("mm", f"bid-{symbol}", "BUY", 1_000, 30, symbol)
    v.mark(110, "XYZ")
    v.send("mm", "offer", "SELL", 1_000, 110, "XYZ")
    # Equity 10,000 - 4,200 - 5,600 - 400 = -200; 450 + 600 + 1,320.
    assert v.checked() == ["MarginCallIssued ann -200 2370 2570"]
    events = v.checked(later=True)
    assert [line for line in events if line.startswith("Liquidation")] == [
        "LiquidationStarted ann XYZ -40 for 2570",
        "LiquidationStarted ann DEF 80 for 2570",
        "LiquidationStarted ann ABC 60 for 2570",
    ]
    # All is gone, and what is lacking stays a debt: nothing more can be done.
    assert v.account("ann").positions == {}
    assert v.checked() == []
    v.run(m.AdjustCash("ann", 200_00))
    assert v.checked() == ["MarginCallMet ann 0 0"]


def test_every_account_has_its_own_call() -> None:
    v = Venue().margin("ann", 10_000).margin("eve", 10_000).margin("dan", 20_000)
    v.long("ann", 150).long("eve", 155).long("dan", 150).mark(44)
    assert v.checked() == [
        "MarginCallIssued ann 1600 1650 50",
        "MarginCallIssued eve 1320 1705 385",
    ]
    v.send("mm", "deep", "BUY", 1_000, 44)
    events = v.checked(later=True)
    assert [line for line in events if line.startswith(("Liquidation", "OrderFilled"))] == [
        "LiquidationStarted ann ABC 5 for 50",
        "LiquidationStarted eve ABC 36 for 385",
        "OrderFilled sale 5 at 44",
        "OrderFilled sale 36 at 44",
    ]
    assert v.checked() == ["MarginCallMet ann 1600 1595", "MarginCallMet eve 1320 1309"]


# ---------------------------------------------------------------- on its way


def parts(*commands: Message) -> Given:
    """The orders stage alone: what matching does comes when the test says so."""
    g = Given(margin(10_000_00), order("in", "BUY", 150, 100))
    g.when(trade("else", "in", 100, 150, taker_side="BUY"))
    return g.all(*commands)


def overdue(g: Given, px: int = 44) -> list[Message]:
    g.when(Marked("ABC", px * USD))
    g.when(m.CheckMargin(1))
    return g.when(m.CheckMargin(1))


def names(events: Sequence[Message]) -> list[str]:
    return [type(e).__name__ for e in events]


def test_the_sale_waits_until_the_last_order_has_ended() -> None:
    g = parts(order("a", "SELL", 10, 110), order("b", "SELL", 10, 120))
    assert names(overdue(g)) == ["LiquidationStarted", "CancelRequested", "CancelRequested"]
    assert g.when(m.CheckMargin(1)) == []
    assert names(g.when(Removed("a", "ann", "ABC", 10 * SHARE, "BY_REQUEST"))) == ["OrderCanceled"]
    last = g.when(Removed("b", "ann", "ABC", 10 * SHARE, "BY_REQUEST"))
    assert names(last) == ["OrderCanceled", "OrderAccepted"]
    assert g.when(m.CheckMargin(1)) == []


def test_an_order_that_comes_in_between_does_not_stop_it() -> None:
    g = parts(order("a", "SELL", 10, 110))
    overdue(g)
    # It reduces the position, so it is taken; the sale is not put off by it for ever.
    g.when(order("b", "SELL", 10, 500))
    g.when(Removed("a", "ann", "ABC", 10 * SHARE, "BY_REQUEST"))
    assert g.when(m.CheckMargin(1)) == [m.CancelRequested("ann", "b", "ABC")]
    last = g.when(Removed("b", "ann", "ABC", 10 * SHARE, "BY_REQUEST"))
    assert names(last) == ["OrderCanceled", "OrderAccepted"]


def test_a_position_that_is_gone_meanwhile_is_not_sold_again() -> None:
    g = parts(order("a", "SELL", 150, 44))
    started = overdue(g)[0]
    assert isinstance(started, m.LiquidationStarted)
    events = g.when(trade("a", "else", 44, 150, taker_side="BUY"))
    assert names(events) == ["OrderFilled", "LiquidationStarted"]
    assert events[1] == m.LiquidationStarted("ann", "ABC", 0, 0)
    assert g.stage.accounts["ann"].liquidations == {}


def test_a_position_that_is_smaller_meanwhile_is_sold_as_far_as_it_goes() -> None:
    g = parts(order("a", "SELL", 148, 44))
    overdue(g)
    events = g.when(trade("a", "else", 44, 148, taker_side="BUY"))
    assert names(events) == ["OrderFilled", "OrderAccepted"]
    assert getattr(events[1], "order_qty", 0) == 2 * SHARE


def test_a_position_that_has_turned_is_not_sold_further() -> None:
    # Entered to open a short, it closes the long that has come since, and more.
    g = Given(margin(20_000_00), order("a", "SELL", 160, 110), order("in", "BUY", 150, 100))
    g.when(trade("else", "in", 100, 150, taker_side="BUY"))
    # A loss elsewhere.
    g.when(DefineInstrument("XYZ", 100, SHARE, shortable=True, reference_px=100 * USD))
    g.when(m.SubmitOrder("ann", "x", "x", "XYZ", "SELL", "LIMIT", "GTC", SHARE, 0, 100 * USD))
    g.when(Traded(8, "XYZ", "BUY", 100 * USD, SHARE, "x", "ann", 0, "else", "other", True))
    g.when(Marked("XYZ", 50_000 * USD))
    started = overdue(g)
    assert names(started) == [
        "LiquidationStarted",  # XYZ is the larger one
        "OrderAccepted",
        "LiquidationStarted",
        "CancelRequested",
    ]
    events = g.when(trade("a", "else", 110, 160, taker_side="BUY"))
    assert g.stage.accounts["ann"].positions["ABC"].qty == -10 * SHARE
    assert events[1:] == [m.LiquidationStarted("ann", "ABC", 0, 0)]


def test_a_call_that_is_met_while_orders_end_sells_nothing() -> None:
    g = parts(order("a", "SELL", 10, 110))
    overdue(g)
    g.when(m.AdjustCash("ann", 5_000_00))
    assert names(g.when(m.CheckMargin(1))) == ["MarginCallMet", "LiquidationStarted"]
    last = g.when(Removed("a", "ann", "ABC", 10 * SHARE, "BY_REQUEST"))
    assert names(last) == ["OrderCanceled"]


def test_what_is_on_its_way_counts_as_far_as_it_is_open() -> None:
    g = parts()
    events = overdue(g)
    assert names(events) == ["LiquidationStarted", "OrderAccepted"]
    sale = getattr(events[1], "order_id", "")
    # The sale of 5 has filled 2 at 44, and the market has fallen: what it leaves is not enough.
    g.when(trade("else", sale, 44, 2, taker_side="SELL", left=0, done=False))
    before = g.stage.accounts["ann"].liquidations
    assert before == {"ABC": (sale, 5 * SHARE)}
    assert g.when(m.CheckMargin(1)) == []
    g.when(Removed(sale, "ann", "ABC", 3 * SHARE, "UNFILLED_REMAINDER"))
    assert names(g.when(m.CheckMargin(1))) == ["LiquidationStarted", "OrderAccepted"]


def test_a_snapshot_carries_the_call_and_the_sale() -> None:
    g = parts(order("a", "SELL", 10, 110), shares(1))
    overdue(g)
    again = OrdersStage("orders-0")
    again.load(g.stage.dump(), g.stage.seq, g.stage.ts_us)
    again.verify()
    assert again.dump() == g.stage.dump()
    assert again.accounts["ann"].liquidations == g.stage.accounts["ann"].liquidations
    removed = Removed("a", "ann", "ABC", 10 * SHARE, "BY_REQUEST")
    events = [r.event for r in again.take(removed, g.now_us + 1, "test")]
    assert events == [r.event for r in g.stage.take(removed, g.now_us + 1, "test")]
    assert names(events) == ["OrderCanceled", "OrderAccepted"]
