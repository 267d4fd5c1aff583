"""What comes in, what is refused and in which words, and what it holds: orders and groups."""

from typing import Any

import msgspec
import pytest

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.core.codec import Message
from nexustrade.matching.messages import (
    GroupClosed,
    GroupOpened,
    LegCancelled,
    LegReduced,
    Removed,
    SessionOpened,
    StopElected,
)
from nexustrade.orders import messages as m
from nexustrade.orders.service import OneIdOneOrder, OrdersView
from tests.unit.orders.test_one_id_one_order import Store, Taken
from tests.unit.orders.test_orders_stage import (
    SHARE,
    USD,
    Given,
    cash,
    margin,
    order,
    rejected,
    shares,
    trade,
)

TP, SL, SL_LIMIT = "take_profit.limit_price", "stop_loss.stop_price", "stop_loss.limit_price"


def bracket(side: str = "BUY", qty: int = 10, **more: Any) -> m.SubmitGroup:
    """Entry at 100, out at 110 or 90 (a short one: at 90 or 110)."""
    up, down = (110, 90) if side == "BUY" else (90, 110)
    group = m.SubmitGroup(
        "ann", "g", "c-g", "BRACKET", "ABC", side, "GTC", qty * SHARE, "LIMIT", 100 * USD
    )
    legs = {
        "tp_order_id": "g-tp",
        "tp_limit_px": up * USD,
        "sl_order_id": "g-sl",
        "sl_stop_px": down * USD,
    }
    return msgspec.structs.replace(group, **(legs | more))


def oco(side: str = "SELL", qty: int = 10, **more: Any) -> m.SubmitGroup:
    up, down = (110, 90) if side == "SELL" else (90, 110)
    group = m.SubmitGroup("ann", "tp", "c-tp", "OCO", "ABC", side, "GTC", qty * SHARE, "LIMIT")
    legs = {
        "tp_order_id": "tp",
        "tp_limit_px": up * USD,
        "sl_order_id": "sl",
        "sl_stop_px": down * USD,
    }
    return msgspec.structs.replace(group, **(legs | more))


def view_of(g: Given) -> OrdersView:
    return OrdersView([g.stage], lambda _: g.stage.shard)


def batch(g: Given, *messages: Message) -> list[Message]:
    """What matching does at one go: whole again only after the last of it."""
    for message in messages[:-1]:
        g.stage.take(message, g.now_us, "test")
    return g.when(messages[-1])


def refused(g: Given, group: m.SubmitGroup) -> m.GroupRejected:
    """The one event of a group that is refused, which changed nothing; a preview says the same."""
    before = g.stage.dump()
    told = view_of(g).preview(group)
    events = g.when(group)
    assert g.stage.dump() == before
    (event,) = events
    assert isinstance(event, m.GroupRejected)
    assert (told.reason, told.text, told.facts) == (event.reason, event.text, event.facts)
    assert told.legs == event.legs
    return event


# ---------------------------------------------------------------- groups that are refused

_STRADDLE, _INVALID = m.OCO_PRICES_DO_NOT_STRADDLE, m.INVALID_ORDER
_UNIQUE = "client_order_id must be unique"
_PENNY = "sub-penny increment does not fulfill minimum pricing criteria"


@pytest.mark.parametrize(
    ("group", "reason", "legs"),
    [
        # What is missing, in the words that clients know.
        (
            bracket(tp_order_id=""),
            _INVALID,
            {TP: "bracket orders require take_profit.limit_price"},
        ),
        (
            bracket(tp_limit_px=0),
            _INVALID,
            {TP: "bracket orders require take_profit.limit_price"},
        ),
        (bracket(sl_order_id=""), _INVALID, {SL: "bracket orders require stop_loss.stop_price"}),
        (bracket(sl_stop_px=0), _INVALID, {SL: "bracket orders require stop_loss.stop_price"}),
        (
            bracket(tp_order_id="", sl_order_id=""),
            _INVALID,
            {
                TP: "bracket orders require take_profit.limit_price",
                SL: "bracket orders require stop_loss.stop_price",
            },
        ),
        (oco(tp_order_id=""), _INVALID, {TP: "oco orders require take_profit.limit_price"}),
        (oco(sl_order_id=""), _INVALID, {SL: "oco orders require stop_loss.stop_price"}),
        (
            bracket(order_class="OTO"),
            _INVALID,
            {TP: "oto orders require either take_profit.limit_price or stop_loss.stop_price"},
        ),
        (
            bracket(order_class="OTO", tp_order_id="", sl_order_id=""),
            _INVALID,
            {TP: "oto orders require either take_profit.limit_price or stop_loss.stop_price"},
        ),
        (bracket(limit_px=0), _INVALID, {"limit_price": "limit orders require limit_price"}),
        # Legs that do not straddle, and legs on the wrong side.
        (
            oco(sl_stop_px=100 * USD),
            _STRADDLE,
            {SL: "stop price must be less than current price"},
        ),
        (
            oco("BUY", sl_stop_px=100 * USD),
            _STRADDLE,
            {SL: "stop price must be greater than current price"},
        ),
        (
            oco(tp_limit_px=100 * USD),
            _STRADDLE,
            {TP: "take_profit.limit_price must be > current price"},
        ),
        (
            oco(tp_limit_px=90 * USD, sl_stop_px=110 * USD),
            _STRADDLE,
            {
                TP: "take_profit.limit_price must be > current price",
                SL: "stop price must be less than current price",
            },
        ),
        (
            bracket(tp_limit_px=100 * USD),
            _STRADDLE,
            {TP: "take_profit.limit_price must be >= base_price + 0.01"},
        ),
        (
            bracket(sl_stop_px=100 * USD),
            _STRADDLE,
            {SL: "stop_loss.stop_price must be <= base_price - 0.01"},
        ),
        (
            bracket("SELL", tp_limit_px=110 * USD, sl_stop_px=90 * USD),
            _STRADDLE,
            {
                TP: "take_profit.limit_price must be <= base_price - 0.01",
                SL: "stop_loss.stop_price must be >= base_price + 0.01",
            },
        ),
        # Prices off the tick, each of them.
        (
            bracket(tp_limit_px=1_100_001, sl_stop_px=900_001, sl_limit_px=899_999),
            m.TICK_SIZE,
            {
                TP: f"invalid take_profit.limit_price 110.0001. {_PENNY}",
                SL: f"invalid stop_loss.stop_price 90.0001. {_PENNY}",
                SL_LIMIT: f"invalid stop_loss.limit_price 89.9999. {_PENNY}",
            },
        ),
        (
            bracket(limit_px=1_000_001),
            m.TICK_SIZE,
            {"limit_price": f"invalid limit_price 100.0001. {_PENNY}"},
        ),
        # Quantities.
        (bracket(qty=0), _INVALID, {"qty": "qty is required"}),
        (
            bracket(order_qty=SHARE // 2),
            m.NOT_FRACTIONABLE,
            {"qty": 'asset "ABC" is not fractionable'},
        ),
        # Terms.
        (
            bracket(time_in_force="IOC"),
            _INVALID,
            {"time_in_force": "bracket orders must be day, gtc or gtd"},
        ),
        (
            bracket(time_in_force="GTD"),
            _INVALID,
            {"expires_at": "expires_at must be in the future for a gtd order"},
        ),
        (bracket(side="HOLD"), _INVALID, {"side": "invalid side HOLD. side is BUY or SELL"}),
        (
            bracket(order_class="TRIO"),
            _INVALID,
            {"order_class": "invalid order_class TRIO"},
        ),
        (
            bracket(ord_type="TRAILING_STOP"),
            _INVALID,
            {"type": "bracket orders must be market, limit, stop or stop_limit orders"},
        ),
        (oco(ord_type="MARKET"), _INVALID, {"type": "oco orders must be limit orders"}),
        (
            bracket(policy="CANCEL"),
            _INVALID,
            {"activation": "bracket orders with policy CANCEL are FULL"},
        ),
        (bracket(policy="X"), _INVALID, {"policy": "invalid policy X. it is REDUCE or CANCEL"}),
        (
            bracket(activation="X"),
            _INVALID,
            {"activation": "invalid activation X. PARTIAL or FULL"},
        ),
        # Client order ids, against each other.
        (
            bracket(tp_cl_ord_id="c-g", sl_cl_ord_id="c-g"),
            m.DUPLICATE_CL_ORD_ID,
            {"take_profit.client_order_id": _UNIQUE, "stop_loss.client_order_id": _UNIQUE},
        ),
        (
            bracket(tp_cl_ord_id="same", sl_cl_ord_id="same"),
            m.DUPLICATE_CL_ORD_ID,
            {"stop_loss.client_order_id": _UNIQUE},
        ),
        (
            oco(sl_cl_ord_id="c-tp"),
            m.DUPLICATE_CL_ORD_ID,
            {"stop_loss.client_order_id": _UNIQUE},
        ),
        (
            bracket(sl_order_id="g-tp"),
            _INVALID,
            {"order_id": "the orders of a group have different ids"},
        ),
    ],
)
def test_a_group_is_refused_as_a_whole_and_every_bad_part_is_named(
    group: m.SubmitGroup, reason: str, legs: dict[str, str]
) -> None:
    exit_shares = [shares(50)] if group.order_class == "OCO" and group.side == "SELL" else []
    g = Given(margin(), *exit_shares)
    event = refused(g, group)
    assert {name: event.legs.get(name) for name in legs} == legs
    assert (event.reason, event.text.split("; ")[0]) == (reason, next(iter(legs.values())))


def test_every_bad_part_is_named_at_once_and_the_first_gives_the_reason() -> None:
    g = Given(margin(), order("o", "BUY", 10, 10), lot_size=10 * SHARE)
    event = refused(
        g,
        bracket(
            order_qty=15 * SHARE,
            cl_ord_id="c-o",
            tp_cl_ord_id="c-o",
            tp_limit_px=99 * USD,
            sl_stop_px=1_010_050,
        ),
    )
    assert event.legs == {
        "client_order_id": _UNIQUE,
        "take_profit.client_order_id": _UNIQUE,
        "qty": "invalid qty 15. the lot size is 10",
        TP: "take_profit.limit_price must be >= base_price + 0.01",
        SL: f"invalid stop_loss.stop_price 101.005. {_PENNY}",
    }
    assert (event.reason, event.text) == (m.DUPLICATE_CL_ORD_ID, "; ".join(event.legs.values()))


def test_ids_that_were_used_before_are_refused_leg_by_leg() -> None:
    g = Given(cash(), order("o", "BUY", 1, 10))
    taken = bracket(cl_ord_id="c-o", tp_cl_ord_id="c-o2", sl_cl_ord_id="c-o")
    event = refused(g, taken)
    assert event.reason == m.DUPLICATE_CL_ORD_ID
    assert event.facts == {"existing_order_id": "o"}
    assert event.legs == {"client_order_id": _UNIQUE, "stop_loss.client_order_id": _UNIQUE}
    old = refused(g, bracket(known_order_id="old"))
    assert (old.facts, list(old.legs)) == ({"existing_order_id": "old"}, ["client_order_id"])


def test_what_was_refused_can_be_sent_again_put_right() -> None:
    g = Given(cash())
    refused(g, bracket(tp_limit_px=99 * USD))
    assert [type(e).__name__ for e in g.when(bracket())] == ["GroupAccepted"]


@pytest.mark.parametrize(
    ("group", "reason", "text", "field"),
    [
        (
            oco(qty=11),
            m.INSUFFICIENT_QTY,
            "insufficient qty available for order (requested: 11, available: 10)",
            "qty",
        ),
        (bracket(qty=41), m.INSUFFICIENT_BUYING_POWER, "insufficient buying power", "qty"),
        (
            bracket("SELL"),
            _INVALID,
            "a bracket opens or adds to a position",
            "side",
        ),
    ],
)
def test_row_22_a_group_without_shares_or_cash_is_refused_as_a_whole(
    group: m.SubmitGroup, reason: str, text: str, field: str
) -> None:
    event = refused(Given(cash(4_000_00), shares(10)), group)
    assert (event.reason, event.text, event.legs) == (reason, text, {field: text})


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        (m.BlockVenue(True), m.VENUE_BLOCKED),
        (m.BlockAccount("ann", True), m.ACCOUNT_BLOCKED),
        (m.FreezeAccount("ann", True), m.ACCOUNT_FROZEN),
        (m.ConfigureAccount("ann", suspend_trade=True), m.SUSPENDED_BY_USER),
        (m.RestrictInstrument("ABC", "HALTED"), m.NOT_TRADABLE),
    ],
)
def test_switches_stop_groups_too(switch: Message, reason: str) -> None:
    g = Given(cash(), shares(10), switch)
    assert refused(g, oco()).reason == reason
    assert refused(g, bracket()).reason == reason


def test_in_a_restricted_symbol_an_exit_is_taken_and_an_entry_is_not() -> None:
    g = Given(cash(), shares(10), m.RestrictInstrument("ABC", "RESTRICTED"))
    assert refused(g, bracket()).reason == m.NOT_TRADABLE
    assert type(g.when(oco())[0]).__name__ == "GroupAccepted"


def test_accounts_and_symbols_that_are_not_known() -> None:
    g = Given(cash())
    assert refused(g, bracket(account_id="bob")).reason == m.UNKNOWN_ACCOUNT
    assert refused(g, bracket(symbol="XYZ")).reason == m.UNKNOWN_SYMBOL


def test_the_orders_of_a_group_count_as_open_orders() -> None:
    g = Given(cash(open_orders_max=3), order("o", "BUY", 1, 10))
    assert refused(g, bracket()).reason == m.OPEN_ORDERS_MAX
    two = bracket(order_class="OTO", tp_order_id="")
    assert type(g.when(two)[0]).__name__ == "GroupAccepted"


def test_a_group_wants_a_price_to_straddle() -> None:
    g = Given(cash(), shares(10), reference_px=0)
    assert refused(g, oco()).text == "there is no price of ABC for the legs to have between them"


# ---------------------------------------------------------------- one reservation


def held(g: Given) -> tuple[int, int, int]:
    """Reserved cents, shares held and shares that a cover holds."""
    account = g.stage.accounts["ann"]
    position = account.positions.get("ABC")
    if position is None:
        return account.reserved, 0, 0
    return account.reserved, position.held_qty // SHARE, position.covered_qty // SHARE


def test_an_exit_of_a_long_holds_its_shares_once_and_no_cents() -> None:
    g = Given(cash(1_000_00, taker_fee_ppm=1_000), shares(10))
    (event,) = g.when(oco())
    assert isinstance(event, m.GroupAccepted)
    assert (event.reserved, event.exit_reserved, event.reserved_qty) == (0, 0, 10 * SHARE)
    assert held(g) == (0, 10, 0)
    g.when(GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    late = order("s", "SELL", 1, 120)
    assert getattr(g.when(late)[0], "reason", "") == m.INSUFFICIENT_QTY
    # Four are sold, at 110: six are held.
    batch(
        g,
        trade("tp", "else", 110, 4, left=6, taker_side="BUY"),
        LegReduced("sl", "ann", "ABC", "tp", 4 * SHARE, 6 * SHARE, "SIBLING_FILL"),
    )
    assert held(g) == (0, 6, 0)


def test_an_exit_of_a_short_holds_the_fee_of_its_dearer_leg_and_the_short_once() -> None:
    g = Given(margin(10_000_00, taker_fee_ppm=1_000), order("o", "SELL", 10, 100))
    g.when(trade("else", "o", 100, 10, taker_side="SELL"))
    (event,) = g.when(oco("BUY"))
    assert isinstance(event, m.GroupAccepted)
    # 10 x 110 and the collar of 5 %: 1,155.00 x 0.001, rounded up.
    assert (event.reserved, event.reserved_qty, event.cover_qty) == (1_16, 0, 10 * SHARE)
    assert held(g) == (1_16, 0, 10)
    # With a limit the stop-loss costs no more than that.
    other = Given(margin(10_000_00, taker_fee_ppm=1_000), order("o", "SELL", 10, 100))
    other.when(trade("else", "o", 100, 10, taker_side="SELL"))
    (event,) = other.when(oco("BUY", sl_limit_px=111 * USD))
    assert getattr(event, "reserved", 0) == 1_11


def test_an_oco_that_opens_holds_the_margin_of_its_dearer_leg_recomputed_for_what_is_left() -> None:
    g = Given(margin(10_000_00, taker_fee_ppm=333))
    (event,) = g.when(oco("BUY"))
    assert isinstance(event, m.GroupAccepted)
    # Half of 10 x 115.50 and the fee: 577.50 + 0.39 (1,155.00 x 0.000333 = 0.384615).
    assert (event.reserved, event.cover_qty) == (577_89, 0)
    assert held(g) == (577_89, 0, 0)
    g.when(GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    batch(
        g,
        trade("tp", "else", 90, 4, left=6),
        LegReduced("sl", "ann", "ABC", "tp", 4 * SHARE, 6 * SHARE, "SIBLING_FILL"),
    )
    # Half of 6 x 115.50 = 693.00: 346.50 + 0.24 (0.230769).
    assert g.stage.groups["tp"].reserved == 346_74
    # The stop is gone: what is left is at 90, half of 540.00 and 0.18.
    g.when(LegCancelled("sl", "ann", "ABC", "tp", 6 * SHARE, "GROUP_CANCELLED"))
    assert g.stage.groups["tp"].reserved == 270_18


def test_an_oco_that_sells_short_holds_margin_at_the_worse_of_leg_and_collar() -> None:
    g = Given(margin(10_000_00))
    (event,) = g.when(oco("SELL"))
    # 10 x 110 is above the collar of 105: half of 1,100.
    assert getattr(event, "reserved", 0) == 550_00
    near = Given(margin(10_000_00))
    (event,) = near.when(oco("SELL", tp_limit_px=101 * USD))
    assert getattr(event, "reserved", 0) == 525_00


@pytest.mark.parametrize(
    ("account", "side", "reserved", "exit_reserved"),
    [
        (cash(taker_fee_ppm=1_000), "BUY", 1_001_00, 0),
        (margin(taker_fee_ppm=1_000), "BUY", 501_00, 0),
        # Entry: half of 10 x 105 (the collar), fee 1.05. Exit: the fee of 10 x 115.50.
        (margin(taker_fee_ppm=1_000), "SELL", 526_05 + 1_16, 1_16),
    ],
)
def test_a_bracket_holds_its_entry_and_for_its_exit_the_dearer_leg(
    account: Message, side: str, reserved: int, exit_reserved: int
) -> None:
    g = Given(account)
    (event,) = g.when(bracket(side))
    assert isinstance(event, m.GroupAccepted)
    assert (event.reserved, event.exit_reserved) == (reserved, exit_reserved)
    assert held(g) == (reserved, 0, 0)
    # Cancelled, all of it is released.
    g.when(m.CancelGroup("ann", "g"))
    last = batch(
        g,
        Removed("g", "ann", "ABC", 10 * SHARE, "BY_REQUEST", "g"),
        LegCancelled("g-tp", "ann", "ABC", "g", 10 * SHARE, "ENTRY_CANCELLED"),
        LegCancelled("g-sl", "ann", "ABC", "g", 10 * SHARE, "ENTRY_CANCELLED"),
        GroupClosed("g", "ann", "ABC", "CANCELLED"),
    )
    # The entry took its part of the exit with it.
    assert last == [m.ReservationReleased("ann", "g", "CANCELLED", cause="test")]
    assert held(g) == (0, 0, 0)


def test_a_bracket_of_all_buying_power_is_taken_and_one_cent_more_is_not() -> None:
    g = Given(cash(1_001_00, taker_fee_ppm=1_000))
    assert type(g.when(bracket())[0]).__name__ == "GroupAccepted"
    g = Given(cash(1_000_99, taker_fee_ppm=1_000))
    event = refused(g, bracket())
    assert event.facts == {"buying_power": "1000.99", "cost_basis": "1001"}


# ---------------------------------------------------------------- changes


def working(*more: Message, state: str = "") -> Given:
    """`ann` has an OCO for ten shares, whose stop-loss may be elected."""
    g = Given(cash(), shares(20), oco(), GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    if state == "elected":
        g.when(StopElected("sl", "ann", "ABC", 90 * USD, 89 * USD, 8, group_id="tp"))
        g.when(LegCancelled("tp", "ann", "ABC", "tp", 10 * SHARE, "SIBLING_ELECTED"))
    return g.all(*more)


def replaced(g: Given, name: str, **to: Any) -> tuple[str, str]:
    """The reason and the words of a replace that is refused, which changed nothing."""
    before = g.stage.dump()
    command = msgspec.structs.replace(m.ReplaceOrder("ann", "new", name, "c-new"), **to)
    (event,) = g.when(command)
    if not isinstance(event, m.ReplaceRejected):
        return "", ""
    assert g.stage.dump() == before
    return event.reason, event.text


@pytest.mark.parametrize(
    ("name", "to", "reason", "text"),
    [
        (
            "tp",
            {"order_qty": 5 * SHARE},
            m.QTY_IS_GROUP_LEVEL,
            "the quantity is that of the group: amend the group's quantity (AmendGroup)",
        ),
        (
            "tp",
            {"limit_px": 100 * USD},
            _STRADDLE,
            "take_profit.limit_price must be > current price",
        ),
        (
            "tp",
            {"limit_px": 89 * USD},
            _STRADDLE,
            "take_profit.limit_price must be > stop_loss.stop_price",
        ),
        (
            "sl",
            {"stop_px": 100 * USD},
            m.STOP_WOULD_TRIGGER,
            "stop price must be less than current price",
        ),
        ("tp", {"limit_px": 1_100_001}, m.TICK_SIZE, f"invalid limit_price 110.0001. {_PENNY}"),
        ("tp", {"time_in_force": "DAY"}, _INVALID, "time_in_force is that of the group"),
        ("tp", {"stop_px": 80 * USD}, _INVALID, "limit orders must not have stop_price"),
        ("sl", {"limit_px": 80 * USD}, _INVALID, "stop orders must not have limit_price"),
        ("nobody", {}, m.UNKNOWN_ORDER, "order not found for nobody"),
        ("tp", {"limit_px": 120 * USD}, "", ""),
        ("sl", {"stop_px": 99 * USD}, "", ""),
    ],
)
def test_a_leg_is_changed_within_its_group(
    name: str, to: dict[str, Any], reason: str, text: str
) -> None:
    assert replaced(working(), name, **to) == (reason, text)


@pytest.mark.parametrize(
    "to",
    [
        {"stop_px": 85 * USD},
        {"order_qty": 5 * SHARE},
        {"time_in_force": "DAY"},
    ],
)
def test_once_the_stop_is_elected_it_is_too_late_for_all_but_its_limit(to: dict[str, Any]) -> None:
    g = working(state="elected")
    assert replaced(g, "sl", **to) == (
        m.TOO_LATE,
        "the stop is elected: only its limit_price can be changed",
    )
    (event,) = g.when(m.AmendGroup("ann", "tp", 5 * SHARE))
    assert isinstance(event, m.GroupAmendRejected)
    assert (event.reason, event.text) == (
        m.TOO_LATE,
        "the stop is elected: the quantity stays as it is",
    )
    assert replaced(g, "sl", limit_px=80 * USD) == ("", "")


def test_the_facts_of_a_refused_change_tell_the_group_and_the_price() -> None:
    g = working()
    (event,) = g.when(m.ReplaceOrder("ann", "n", "tp", "c-n", 5 * SHARE))
    assert getattr(event, "facts", {}) == {"group_id": "tp"}
    (event,) = g.when(m.ReplaceOrder("ann", "n", "sl", "c-n", stop_px=101 * USD))
    assert getattr(event, "facts", {}) == {"base_price": "100"}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (m.AmendGroup("ann", "nobody", SHARE), m.UNKNOWN_GROUP),
        (m.AmendGroup("bob", "tp", SHARE), m.UNKNOWN_GROUP),
        (m.AmendGroup("ann", "tp", 0), _INVALID),
        (m.AmendGroup("ann", "tp", SHARE // 2), m.NOT_FRACTIONABLE),
        (m.AmendGroup("ann", "tp", 21 * SHARE), m.INSUFFICIENT_QTY),
        (m.AmendGroup("ann", "tp", 20 * SHARE), ""),
        (m.CancelGroup("ann", "nobody"), m.UNKNOWN_GROUP),
        (m.CancelGroup("bob", "tp"), m.UNKNOWN_GROUP),
        (m.CancelGroup("ann", "tp"), ""),
    ],
)
def test_a_group_is_changed_and_cancelled_as_a_whole(command: Message, reason: str) -> None:
    g = working()
    before = g.stage.dump()
    (event,) = g.when(command)
    assert getattr(event, "reason", "") == reason
    assert (g.stage.dump() == before) == (reason != "")


def test_a_dearer_order_is_held_to_what_one_order_may_be_worth() -> None:
    g = Given(cash(), order("o", "BUY", 2, 100), order_notional_max=300_00)
    reason, text = replaced(g, "o", limit_px=151 * USD)
    assert (reason, text) == (
        m.ORDER_NOTIONAL_MAX,
        "invalid order value 302. at most 300 per order",
    )
    assert replaced(g, "o", limit_px=150 * USD) == ("", "")


def test_a_stop_that_the_market_has_reached_is_refused_in_known_words() -> None:
    g = Given(cash(), shares(1))
    late = m.SubmitOrder("ann", "o", "c", "ABC", "SELL", "STOP", "GTC", SHARE, stop_px=100 * USD)
    words = "stop price must be less than current price"
    assert g.when(late) == [rejected(late, m.STOP_WOULD_TRIGGER, words, base_price="100")]


# ---------------------------------------------------------------- shares are promised once


def test_while_an_entry_is_open_nothing_may_open_the_other_side_and_vice_versa() -> None:
    g = Given(margin(), bracket())
    words = "a bracket in ABC is open: no order may open the other side until its entry is done"
    late = order("s", "SELL", 1, 120)
    assert g.when(late) == [rejected(late, _INVALID, words)]
    assert refused(g, oco()).legs == {"side": words}
    # The side of its entry is open to all.
    assert type(g.when(order("b", "BUY", 1, 90))[0]).__name__ == "OrderAccepted"

    other = Given(margin(), order("s", "SELL", 1, 120))
    words = "orders that open the other side in ABC must be done or cancelled first"
    assert refused(other, bracket()).legs == {"side": words}
    opening = Given(margin(), oco("SELL"))
    assert refused(opening, bracket()).legs == {"side": words}
    notional = Given(margin(), order("n", "BUY", 0, notional=50_00), fractionable=True)
    assert refused(notional, bracket("SELL")).legs == {"side": words}


def test_what_the_entry_has_filled_is_promised_to_the_exit_at_once() -> None:
    g = Given(margin(), bracket(activation="FULL"))
    g.when(trade("else", "g", 100, 4, done=False, taker_side="BUY"))
    assert held(g)[1:] == (4, 0)
    assert getattr(g.when(order("s", "SELL", 1, 120))[0], "reason", "") == m.INSUFFICIENT_QTY


def test_an_order_that_closes_grows_only_by_what_is_free() -> None:
    g = Given(margin(), shares(10), order("s", "SELL", 6, 120))
    assert replaced(g, "s", order_qty=11 * SHARE) == (
        m.INSUFFICIENT_QTY,
        "insufficient qty available for order (requested: 5, available: 4)",
    )
    assert replaced(g, "s", order_qty=10 * SHARE) == ("", "")


def test_an_order_that_opens_may_grow_beyond_what_has_come_since() -> None:
    # Entered to sell short; a purchase has come in between: it will close that and open the rest.
    g = Given(margin(), order("s", "SELL", 6, 120), order("b", "BUY", 4, 100))
    g.when(trade("else", "b", 100, 4, taker_side="BUY"))
    assert replaced(g, "s", order_qty=8 * SHARE) == ("", "")
    assert held(g)[1:] == (0, 0)


def test_a_group_gives_up_shares_only_where_it_says_so() -> None:
    g = Given(cash(), shares(10), oco(), GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    assert getattr(g.when(order("s", "SELL", 4, 105))[0], "reason", "") == m.INSUFFICIENT_QTY
    g = Given(cash(), shares(10), oco(auto_shrink=True))
    g.when(GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    (event,) = g.when(order("s", "SELL", 4, 105))
    assert isinstance(event, m.OrderAccepted)
    assert event.shrinks == {"tp": 4 * SHARE}
    assert held(g)[1:] == (10, 0)


# ---------------------------------------------------------------- previews


def test_the_preview_of_an_order_is_what_it_would_hold_and_leave() -> None:
    g = Given(
        cash(1_000_00, taker_fee_ppm=1_000),
        shares(10),
        SessionOpened("2026-03-02", "2026-03-04"),
        order("s", "SELL", 5, 100),
    )
    g.when(trade("else", "s", 100, 5, taker_side="SELL"))
    # 499.50 come on the 4th. Twelve shares at 100 and 1.20: 201.20 of it are of those.
    assert view_of(g).preview(order("b", "BUY", 12, 100)) == m.PreviewRecord(
        reserved=1_201_20,
        reserved_qty=0,
        fee_max=1_20,
        buying_power=1_499_50,
        buying_power_after=298_30,
        worst_px=100 * USD,
        settled_cash_after=1_000_00 - 1_201_20,
        withdrawable_after=0,
        funded_until="2026-03-04",
    )
    sale = view_of(g).preview(order("x", "SELL", 5))
    assert (sale.reserved, sale.reserved_qty, sale.funded_until) == (0, 5 * SHARE, "")
    assert (sale.collar_px, sale.worst_px) == (95 * USD, 95 * USD)
    assert (sale.settled_cash_after, sale.withdrawable_after) == (1_000_00, 1_000_00)


def test_the_preview_of_a_purchase_with_settled_cash_has_no_date() -> None:
    g = Given(cash(1_000_00), shares(1), SessionOpened("2026-03-02", "2026-03-04"))
    told = view_of(g).preview(order("b", "BUY", 10, 100))
    assert (told.funded_until, told.settled_cash_after, told.withdrawable_after) == ("", 0, 0)
    # What other orders hold pays for those.
    g.all(order("s", "SELL", 1, 100), order("o", "BUY", 3, 100))
    g.when(trade("else", "s", 100, 1, taker_side="SELL"))
    assert view_of(g).preview(order("c", "BUY", 7, 100)).funded_until == ""
    assert view_of(g).preview(order("d", "BUY", 8, 99)).funded_until == "2026-03-04"


@pytest.mark.parametrize(
    ("account", "group", "leg", "px", "reserved"),
    [
        (cash(), bracket(), "TAKE_PROFIT", 110 * USD, 1_000_00),
        (margin(), bracket("SELL"), "STOP_LOSS", 1_155_000, 525_00),
        (margin(), bracket("SELL", sl_limit_px=112 * USD), "STOP_LOSS", 112 * USD, 525_00),
        (margin(), oco("BUY"), "STOP_LOSS", 1_155_000, 577_50),
        (margin(), oco("SELL"), "TAKE_PROFIT", 110 * USD, 550_00),
        (cash(), bracket(order_class="OTO", tp_order_id=""), "STOP_LOSS", 90 * USD, 1_000_00),
        (cash(), bracket(ord_type="MARKET", limit_px=0), "TAKE_PROFIT", 110 * USD, 1_050_00),
    ],
)
def test_the_preview_of_a_group_names_its_worst_leg(
    account: Message, group: m.SubmitGroup, leg: str, px: int, reserved: int
) -> None:
    g = Given(account)
    told = view_of(g).preview(group)
    assert (told.reason, told.worst_leg, told.worst_px, told.reserved) == ("", leg, px, reserved)
    (event,) = g.when(group)
    assert getattr(event, "reserved", 0) == reserved


@pytest.mark.parametrize(
    "bad",
    [
        order("o", "HOLD", 1, 100),
        order("o", "BUY", 0),
        order("o", "BUY", 0, notional=1),
        order("o", "SELL", 0, notional=10_000_00),
        order("o", "BUY", 1, 100, tif="NEVER"),
        m.SubmitOrder("ann", "o", "c", "ABC", "SELL", "WISH", "DAY", SHARE),
        m.SubmitOrder("bob", "o", "c", "ABC", "BUY", "LIMIT", "DAY", SHARE, 0, USD),
        m.SubmitOrder("ann", "o", "c", "XYZ", "BUY", "LIMIT", "DAY", SHARE, 0, USD),
        m.SubmitOrder("ann", "o", "c", "ABC", "SELL", "TRAILING_STOP", "DAY", SHARE),
        m.SubmitOrder(
            "ann", "o", "c", "ABC", "SELL", "TRAILING_STOP", "DAY", SHARE, trail_px=200 * USD
        ),
        bracket(account_id="bob"),
        bracket(symbol="XYZ"),
        bracket(side="HOLD"),
        bracket(order_class="NONE"),
        bracket(ord_type=""),
        bracket(qty=0),
        bracket(tp_order_id="", sl_order_id=""),
        oco(tp_order_id="", sl_order_id=""),
        oco(qty=10**9),
    ],
)
@pytest.mark.parametrize("reference_px", [0, 100 * USD])
def test_no_input_breaks_a_preview(bad: Any, reference_px: int) -> None:
    g = Given(cash(), reference_px=reference_px)
    g.when(SessionOpened("2026-03-02", "2026-03-04"))
    told = view_of(g).preview(bad)
    assert told.reason != ""
    assert told.text != ""
    (event,) = g.when(bad)
    assert (told.reason, told.text) == (getattr(event, "reason", ""), getattr(event, "text", ""))


# ---------------------------------------------------------------- ids that are looked up


async def test_ids_of_legs_that_the_venue_made_are_not_looked_up() -> None:
    taken, store = Taken(), Store({("ann", "used"): "old"})
    store.let.set()
    guard = OneIdOneOrder(taken, store.find, VirtualClock(), keep_days=30)
    await guard.submit(bracket(cl_ord_id="", tp_cl_ord_id="g-tp", sl_cl_ord_id=""))
    await guard.submit(bracket(tp_cl_ord_id="used", sl_cl_ord_id="g-sl"))
    assert [pair for pairs, _ in store.asked for pair in pairs] == [("ann", "c-g"), ("ann", "used")]
    assert [getattr(c, "known_order_id", "") for c in taken.commands] == ["", "old"]
