"""Arriving orders: priority, terms, protection, budgets."""

import pytest

from nexustrade.core.errors import InvariantError
from nexustrade.core.terms import (
    BUY,
    DAY,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
)
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    BY_REQUEST,
    EXPIRE_TIME,
    POST_ONLY,
    SELF_TRADE,
    UNFILLED_REMAINDER,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    Decremented,
    DefineInstrument,
    InstrumentDefined,
    Refused,
    Removed,
    Traded,
)
from nexustrade.orders.messages import CancelRequested, OrderAccepted, OrderFilled
from tests.unit.matching.given import (
    SHARE,
    SYMBOL,
    USD,
    Scene,
    cancel,
    limit,
    market,
    notional,
    removed,
    rested,
    traded,
)


def test_an_order_that_meets_nothing_rests() -> None:
    scene = Scene()
    assert scene.when(limit("b1", BUY, 10, 100)) == [rested("b1", BUY, 10, 100)]
    assert scene.when(limit("s1", SELL, 10, 101)) == [rested("s1", SELL, 10, 101)]


@pytest.mark.parametrize(("side", "other", "prices"), [(BUY, SELL, (101, 102, 103)),
                                                       (SELL, BUY, (103, 102, 101))])  # fmt: skip
def test_best_price_first_then_oldest_at_the_makers_price(
    side: str, other: str, prices: tuple[int, int, int]
) -> None:
    best, middle, worst = prices
    scene = Scene(
        limit("m1", other, 1, worst),
        limit("m2", other, 2, middle),
        limit("m3", other, 3, best),
        limit("m4", other, 4, middle),
    )
    assert scene.when(limit("t", side, 10, worst)) == [
        traded(1, side, 3, best, "m3", 0, "t"),
        traded(2, side, 2, middle, "m2", 0, "t"),
        traded(3, side, 4, middle, "m4", 0, "t"),
        traded(4, side, 1, worst, "m1", 0, "t", done=True),
    ]
    assert scene.resting(other) == []


def test_a_maker_filled_in_part_keeps_its_place() -> None:
    scene = Scene(limit("m1", SELL, 5, 100), limit("m2", SELL, 5, 100))
    assert scene.when(limit("t1", BUY, 2, 100)) == [
        traded(1, BUY, 2, 100, "m1", 3, "t1", done=True)
    ]
    assert scene.when(limit("t2", BUY, 4, 100)) == [
        traded(2, BUY, 3, 100, "m1", 0, "t2"),
        traded(3, BUY, 1, 100, "m2", 4, "t2", done=True),
    ]


def test_what_is_left_of_a_taker_rests_at_its_own_price() -> None:
    scene = Scene(limit("m", SELL, 3, 100))
    assert scene.when(limit("t", BUY, 5, 101, tif=DAY)) == [
        traded(1, BUY, 3, 100, "m", 0, "t"),
        rested("t", BUY, 2, 101, tif=DAY, filled=3),
    ]


@pytest.mark.parametrize(
    "order",
    [
        limit("t", BUY, 5, 100, tif=IOC),
        market("t", BUY, 5, 100),
        market("t", BUY, 5, 100, tif=GTC),
        market("t", BUY, 5, 100, tif=IOC),
    ],
)
def test_ioc_and_market_orders_take_what_is_in_reach_and_leave(order: OrderAccepted) -> None:
    scene = Scene(limit("m1", SELL, 3, 100), limit("m2", SELL, 3, 101))
    assert scene.when(order) == [
        traded(1, BUY, 3, 100, "m1", 0, "t"),
        removed("t", 2, UNFILLED_REMAINDER),
    ]


def test_a_market_order_without_a_protection_limit_trades_at_any_price() -> None:
    scene = Scene(limit("m1", BUY, 3, 100), limit("m2", BUY, 3, 1))
    assert scene.when(market("t", SELL, 9)) == [
        traded(1, SELL, 3, 100, "m1", 0, "t"),
        traded(2, SELL, 3, 1, "m2", 0, "t"),
        removed("t", 3, UNFILLED_REMAINDER, "sell"),
    ]


def test_a_market_order_does_not_trade_beyond_its_protection_limit() -> None:
    scene = Scene(limit("m1", BUY, 3, 100), limit("m2", BUY, 3, 95), limit("m3", BUY, 3, 94))
    assert scene.when(market("t", SELL, 9, 95)) == [
        traded(1, SELL, 3, 100, "m1", 0, "t"),
        traded(2, SELL, 3, 95, "m2", 0, "t"),
        removed("t", 3, UNFILLED_REMAINDER, "sell"),
    ]


def test_fok_fills_whole_or_not_at_all() -> None:
    scene = Scene(limit("m1", SELL, 3, 100), limit("m2", SELL, 3, 101), limit("m3", SELL, 9, 102))
    assert scene.when(limit("t1", BUY, 7, 101, tif=FOK)) == [removed("t1", 7, UNFILLED_REMAINDER)]
    assert scene.when(market("t2", BUY, 7, 101, tif=FOK)) == [removed("t2", 7, UNFILLED_REMAINDER)]
    assert scene.when(limit("t3", BUY, 6, 101, tif=FOK)) == [
        traded(1, BUY, 3, 100, "m1", 0, "t3"),
        traded(2, BUY, 3, 101, "m2", 0, "t3", done=True),
    ]


def test_post_only_never_takes() -> None:
    scene = Scene(limit("m", SELL, 3, 100))
    assert scene.when(limit("t1", BUY, 3, 100, post_only=True)) == [removed("t1", 3, POST_ONLY)]
    assert scene.when(limit("t2", BUY, 3, 99, post_only=True)) == [
        rested("t2", BUY, 3, 99, post_only=True)
    ]


# ---- self-trade prevention: one account on both sides


def _own(stp: str, shares: int = 5) -> list[OrderAccepted]:
    return [
        limit("m1", SELL, 2, 100, "other"),
        limit("m2", SELL, shares, 100, "me", stp=stp),
        limit("m3", SELL, 4, 100, "other"),
    ]


def test_stp_newest_stops_the_taker() -> None:
    scene = Scene(*_own(STP_NEWEST))
    assert scene.when(limit("t", BUY, 6, 100, "me", stp=STP_NEWEST)) == [
        traded(1, BUY, 2, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        removed("t", 4, SELF_TRADE, "me"),
    ]
    assert scene.resting(SELL) == [("m2", 100, 5), ("m3", 100, 4)]


def test_stp_oldest_removes_the_maker_and_goes_on() -> None:
    scene = Scene(*_own(STP_NEWEST))
    assert scene.when(limit("t", BUY, 6, 100, "me", stp=STP_OLDEST)) == [
        traded(1, BUY, 2, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        removed("m2", 5, SELF_TRADE, "me"),
        traded(2, BUY, 4, 100, "m3", 0, "t", maker_account="other", taker_account="me", done=True),
    ]


def test_stp_both_removes_both() -> None:
    scene = Scene(*_own(STP_NEWEST))
    assert scene.when(limit("t", BUY, 6, 100, "me", stp=STP_BOTH)) == [
        traded(1, BUY, 2, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        removed("m2", 5, SELF_TRADE, "me"),
        removed("t", 4, SELF_TRADE, "me"),
    ]


def _decremented(order_id: str, shares: int) -> Decremented:
    return Decremented(order_id, "me", SYMBOL, shares * SHARE)


def test_stp_decrement_takes_the_smaller_off_both_a_small_maker() -> None:
    scene = Scene(*_own(STP_NEWEST, shares=1))
    assert scene.when(limit("t", BUY, 8, 100, "me", stp=STP_DECREMENT)) == [
        traded(1, BUY, 2, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        _decremented("m2", 1),
        _decremented("t", 1),
        removed("m2", 0, SELF_TRADE, "me"),
        traded(2, BUY, 4, 100, "m3", 0, "t", maker_account="other", taker_account="me"),
        rested("t", BUY, 1, 100, account="me", stp=STP_DECREMENT, filled=6),
    ]


def test_stp_decrement_takes_the_smaller_off_both_a_small_taker() -> None:
    scene = Scene(*_own(STP_NEWEST, shares=5))
    assert scene.when(limit("t", BUY, 4, 100, "me", stp=STP_DECREMENT)) == [
        traded(1, BUY, 2, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        _decremented("m2", 2),
        _decremented("t", 2),
        removed("t", 0, SELF_TRADE, "me"),
    ]
    assert scene.resting(SELL) == [("m2", 100, 3), ("m3", 100, 4)]


def test_stp_decrement_of_equals_removes_both() -> None:
    scene = Scene(limit("m", SELL, 4, 100, "me"))
    assert scene.when(limit("t", BUY, 4, 100, "me", stp=STP_DECREMENT)) == [
        _decremented("m", 4),
        _decremented("t", 4),
        removed("m", 0, SELF_TRADE, "me"),
        removed("t", 0, SELF_TRADE, "me"),
    ]


def test_self_trades_happen_where_the_account_allows_them() -> None:
    scene = Scene(limit("m", SELL, 4, 100, "me"))
    assert scene.when(limit("t", BUY, 4, 100, "me", stp=STP_ALLOW)) == [
        traded(1, BUY, 4, 100, "m", 0, "t", maker_account="me", taker_account="me", done=True)
    ]


@pytest.mark.parametrize(
    ("stp", "fills"),
    [(STP_NEWEST, False), (STP_BOTH, False), (STP_DECREMENT, False), (STP_OLDEST, True)],
)
def test_fok_counts_only_what_its_prevention_lets_it_trade(stp: str, *, fills: bool) -> None:
    scene = Scene(*_own(STP_NEWEST))
    events = scene.when(limit("t", BUY, 6, 100, "me", tif=FOK, stp=stp))
    if fills:
        assert [type(event) for event in events] == [Traded, Removed, Traded]
        assert scene.when(limit("t2", BUY, 1, 100, "me", tif=FOK, stp=stp)) == [
            removed("t2", 1, UNFILLED_REMAINDER, "me")
        ]
    else:
        assert events == [removed("t", 6, UNFILLED_REMAINDER, "me")]


# ---- notional orders


def _fills(events: list[object]) -> list[tuple[int, int, bool]]:
    return [
        (event.last_qty, event.last_px, event.taker_done)
        for event in events
        if isinstance(event, Traded)
    ]


def test_a_notional_buy_spends_its_amount_over_levels() -> None:
    # 250.00 USD: 2 shares at 100 leave 50.00, which buy 0.4 at 125.
    scene = Scene(limit("m1", SELL, 2, 100), limit("m2", SELL, 9, 125))
    events = scene.when(notional("t", BUY, 250_00))
    assert _fills([*events]) == [
        (2 * SHARE, 100 * USD, False),
        (SHARE * 4 // 10, 125 * USD, True),
    ]
    assert len(events) == 2


def test_a_notional_buy_is_done_when_the_rest_buys_less_than_a_step() -> None:
    # Whole shares only: 250.00 buys 2 at 100; the 50.00 left buy nothing at 100 nor at 125.
    scene = Scene(limit("m1", SELL, 2, 100), limit("m2", SELL, 9, 125))
    events = scene.when(notional("t", BUY, 250_00, step=SHARE))
    assert events == [traded(1, BUY, 2, 100, "m1", 0, "t", done=True)]


def test_the_next_price_is_that_of_the_next_order_in_reach() -> None:
    # 120.00 left after the first share: enough at 100, too little at 125.
    scene = Scene(limit("m1", SELL, 1, 100), limit("m2", SELL, 1, 100), limit("m3", SELL, 1, 125))
    assert scene.when(notional("t", BUY, 220_00, step=SHARE)) == [
        traded(1, BUY, 1, 100, "m1", 0, "t"),
        traded(2, BUY, 1, 100, "m2", 0, "t", done=True),
    ]


def test_a_notional_buy_with_money_left_and_nothing_in_reach_is_removed() -> None:
    scene = Scene(limit("m1", SELL, 1, 100), limit("m2", SELL, 9, 125))
    assert scene.when(notional("t", BUY, 220_00, step=SHARE, collar_usd=110)) == [
        traded(1, BUY, 1, 100, "m1", 0, "t"),
        removed("t", 0, UNFILLED_REMAINDER),
    ]


def test_a_notional_order_too_small_for_a_step_is_removed() -> None:
    scene = Scene(limit("m1", SELL, 1, 100))
    assert scene.when(notional("t", BUY, 99_99, step=SHARE)) == [
        removed("t", 0, UNFILLED_REMAINDER)
    ]


def test_a_notional_sell_stops_at_its_cap() -> None:
    scene = Scene(limit("m1", BUY, 9, 100))
    assert scene.when(notional("t", SELL, 1000_00, cap_shares=3)) == [
        traded(1, SELL, 3, 100, "m1", 6, "t", done=True)
    ]


def test_a_notional_sell_that_runs_out_of_bids_leaves_no_quantity() -> None:
    scene = Scene(limit("m1", BUY, 2, 100))
    assert scene.when(notional("t", SELL, 1000_00, cap_shares=3)) == [
        traded(1, SELL, 2, 100, "m1", 0, "t"),
        removed("t", 0, UNFILLED_REMAINDER, "sell"),
    ]


def test_a_notional_fok_needs_the_whole_amount() -> None:
    scene = Scene(limit("m1", SELL, 1, 100), limit("m2", SELL, 1, 125))
    assert scene.when(notional("t1", BUY, 225_01, tif=FOK)) == [
        removed("t1", 0, UNFILLED_REMAINDER)
    ]
    assert _fills([*scene.when(notional("t2", BUY, 225_00, tif=FOK))]) == [
        (SHARE, 100 * USD, False),
        (SHARE, 125 * USD, True),
    ]


def test_a_notional_fok_that_is_spent_before_its_own_order_fills() -> None:
    scene = Scene(limit("m1", SELL, 1, 100, "other"), limit("m2", SELL, 1, 100, "me"))
    assert scene.when(notional("t", BUY, 100_00, account="me", tif=FOK)) == [
        traded(1, BUY, 1, 100, "m1", 0, "t", done=True, maker_account="other", taker_account="me"),
    ]
    assert scene.when(notional("t2", BUY, 100_00, account="me", tif=FOK)) == [
        removed("t2", 0, UNFILLED_REMAINDER, "me")
    ]


@pytest.mark.parametrize("stp", [STP_NEWEST, STP_DECREMENT])
def test_a_notional_order_ends_at_its_own_account(stp: str) -> None:
    scene = Scene(limit("m1", SELL, 1, 100, "other"), limit("m2", SELL, 1, 100, "me"))
    assert scene.when(notional("t", BUY, 200_00, account="me", stp=stp)) == [
        traded(1, BUY, 1, 100, "m1", 0, "t", maker_account="other", taker_account="me"),
        removed("t", 0, SELF_TRADE, "me"),
    ]
    assert scene.resting(SELL) == [("m2", 100, 1)]


# ---- cancels and what does not belong here


def test_cancel_removes_what_is_open() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("s", SELL, 2, 100))
    assert scene.when(cancel("b1")) == [removed("b1", 3, BY_REQUEST)]
    assert scene.resting(BUY) == []


@pytest.mark.parametrize(
    "request_",
    [cancel("never"), cancel("gone"), cancel("theirs"), CancelRequested("buy", "b", "NOPE")],
)
def test_a_cancel_of_no_open_order_of_the_account_is_refused(request_: CancelRequested) -> None:
    scene = Scene(
        limit("gone", BUY, 5, 100), cancel("gone"), limit("theirs", BUY, 5, 100, "another")
    )
    assert scene.when(request_) == [
        Refused(request_.order_id, "buy", request_.symbol, UNKNOWN_ORDER)
    ]
    assert scene.resting(BUY) == [("theirs", 100, 5)]


def test_an_order_for_a_symbol_without_a_book_is_removed() -> None:
    assert Scene().when(limit("b", BUY, 5, 100, symbol="NOPE")) == [
        Removed("b", "buy", "NOPE", 5 * SHARE, UNKNOWN_SYMBOL)
    ]


def test_symbols_do_not_meet() -> None:
    scene = Scene(DefineInstrument("MSFT", 100, SHARE), limit("s", SELL, 5, 100))
    assert scene.when(limit("b", BUY, 5, 100, symbol="MSFT")) == [
        rested("b", BUY, 5, 100, symbol="MSFT")
    ]


def test_an_order_past_its_time_on_arrival_does_not_trade() -> None:
    scene = Scene(limit("s", SELL, 5, 100))
    late = limit("b", BUY, 5, 100, tif=GTD, expire_us=5_000_000)
    assert scene.when(late, at_us=5_000_000) == [removed("b", 5, EXPIRE_TIME)]


def test_an_instrument_is_defined_only_when_something_changed() -> None:
    scene = Scene()
    assert scene.when(DefineInstrument(SYMBOL, 100, SHARE)) == []
    assert scene.when(DefineInstrument(SYMBOL, 100, SHARE, tier=1)) == [
        InstrumentDefined(SYMBOL, 100, SHARE, tier=1)
    ]
    assert scene.resting(BUY) == []


def test_messages_of_others_are_a_broken_promise() -> None:
    filled = OrderFilled("buy", "b", SYMBOL, BUY, USD, SHARE, 100, 0, LIMIT, 1)
    with pytest.raises(InvariantError, match="does not take OrderFilled"):
        MatchingStage("matching-0").take(filled, 1, "")
    with pytest.raises(InvariantError, match="does not know OrderFilled"):
        MatchingStage("matching-0").replay(1, 1, filled)
