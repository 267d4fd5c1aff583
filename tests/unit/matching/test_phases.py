"""Phases of a book: calls and their auctions, halts, price bands, the end of a day."""

import msgspec
import pytest

from nexustrade.core.codec import Message
from nexustrade.core.terms import (
    BUY,
    CLOSED,
    CLOSING_CALL,
    CLS,
    CONTINUOUS,
    DAY,
    FOK,
    GTC,
    HALT,
    IOC,
    OPENING_CALL,
    OPG,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
    VOLATILITY_AUCTION,
)
from nexustrade.matching.messages import (
    CALL_ENDED,
    END_OF_DAY,
    HALTED,
    MISSED_AUCTION,
    NO_MATCHING,
    OCO_PRICES_DO_NOT_STRADDLE,
    OPERATOR,
    PRICE_BAND,
    SELF_TRADE,
    SIBLING_ELECTED,
    SIBLING_FILLED,
    SL_FILLED,
    TP_FILLED,
    UNFILLED_REMAINDER,
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    ClosingCallBegun,
    Decremented,
    GroupRefused,
    Marked,
    OpeningCallBegun,
    OpenSession,
    PhaseChanged,
    Refused,
    SessionClosed,
    SessionOpened,
    Tick,
    Uncrossed,
)
from nexustrade.orders.messages import RestrictInstrument
from tests.unit.matching.given import (
    FIRST_DAY,
    SHARE,
    SYMBOL,
    USD,
    Scene,
    activated,
    amend,
    bracket,
    cancel,
    closed,
    elected,
    exit_opened,
    leg_cancelled,
    limit,
    market,
    notional,
    oco,
    parked,
    queued,
    raised,
    removed,
    replace,
    reprice,
    rested,
    stop,
    traded,
    trailing,
)

NEXT_DAY = "2026-11-24"
THIRD_DAY = "2026-11-25"
CALL_US = 30_000_000
HALTS = RestrictInstrument(SYMBOL, HALTED, "news")
RESUMES = RestrictInstrument(SYMBOL, "ACTIVE", "news is out")


def uncrossed(phase: str, usd: int, shares: int, surplus: int = 0, side: str = "") -> Uncrossed:
    return Uncrossed(SYMBOL, phase, usd * USD, shares * SHARE, surplus * SHARE, side)


def changed(phase: str, reason: str, until_us: int = 0, text: str = "") -> PhaseChanged:
    return PhaseChanged(SYMBOL, phase, reason, until_us, text)


def gap_open(*given: Message, last_usd: int = 100) -> Scene:
    """The opening call of the day after; the last trade was at `last_usd`."""
    scene = Scene(*given, CloseSession(FIRST_DAY), last_usd=last_usd)
    scene.when(BeginOpeningCall(NEXT_DAY))
    return scene


# ---- the opening call and its auction


def test_a_call_collects_orders_and_matches_nothing() -> None:
    scene = Scene(CloseSession(FIRST_DAY), limit("b1", BUY, 5, 101))
    assert scene.when(BeginOpeningCall(NEXT_DAY, "2026-11-26")) == [
        OpeningCallBegun(NEXT_DAY, "2026-11-26"),
        rested("b1", BUY, 5, 101),
    ]
    assert scene.when(limit("s1", SELL, 3, 100)) == [rested("s1", SELL, 3, 100)]
    assert scene.when(limit("b2", BUY, 1, 102)) == [rested("b2", BUY, 1, 102)]
    snapshot = scene.stage.snapshot(SYMBOL, 1)
    assert snapshot is not None
    assert (snapshot.phase, snapshot.session_open) == (OPENING_CALL, False)
    # With more to buy than to sell the price goes to the highest limit of the surplus.
    assert (snapshot.indicative_px, snapshot.indicative_qty) == (101 * USD, 3 * SHARE)
    assert (snapshot.imbalance_qty, snapshot.imbalance_side) == (3 * SHARE, BUY)
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        uncrossed(OPENING_CALL, 101, 3, 3, BUY),
        traded(1, BUY, 1, 101, "s1", 2, "b2", done=True, auction=True),
        traded(2, SELL, 2, 101, "b1", 3, "s1", done=True, auction=True),
    ]
    snapshot = scene.stage.snapshot(SYMBOL, 1)
    assert snapshot is not None
    assert (snapshot.phase, snapshot.session_open) == (CONTINUOUS, True)
    assert (snapshot.indicative_px, snapshot.imbalance_qty) == (0, 0)


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_what_must_trade_at_once_does_not_enter_a_call(tif: str) -> None:
    scene = gap_open()
    assert scene.when(limit("t", BUY, 1, 100, tif=tif)) == [removed("t", 1, NO_MATCHING)]


def test_an_order_for_the_opening_leaves_after_it() -> None:
    scene = gap_open(limit("s", SELL, 2, 100, "other"), last_usd=99)
    scene.when(limit("b", BUY, 5, 100, tif=OPG))
    assert scene.when(OpenSession(NEXT_DAY))[-1] == removed("b", 3, MISSED_AUCTION)
    assert scene.when(limit("late", BUY, 5, 100, tif=OPG)) == [removed("late", 5, MISSED_AUCTION)]
    scene.when(CloseSession(NEXT_DAY))
    assert scene.when(limit("early", BUY, 5, 100, tif=OPG)) == [
        queued("early", BUY, 5, 100, tif=OPG)
    ]


def test_money_orders_wait_until_the_auction_is_over() -> None:
    scene = gap_open(limit("s", SELL, 5, 100, "other"), last_usd=99)
    assert scene.when(notional("n", BUY, 200_00)) == [
        queued("n", BUY, 0, 0, ord_type="MARKET", tif=DAY, cents=200_00)
    ]
    scene.when(limit("b", BUY, 1, 100))
    assert scene.when(OpenSession(NEXT_DAY))[1:] == [
        uncrossed(OPENING_CALL, 100, 1, 4, SELL),
        traded(2, BUY, 1, 100, "s", 4, "b", done=True, maker_account="other", auction=True),
        traded(3, BUY, 2, 100, "s", 2, "n", done=True, maker_account="other"),
    ]


def test_an_opening_gap_elects_after_the_auction_and_sells_from_the_best_bid() -> None:
    scene = gap_open(stop("s", SELL, 4, 90), stop("l", SELL, 1, 90, limit_usd=88))
    for order in (
        limit("b1", BUY, 2, 85),
        limit("b2", BUY, 1, 84),
        limit("b3", BUY, 2, 81),
        limit("b4", BUY, 9, 80),
        limit("a", SELL, 2, 85, "other"),
    ):
        scene.when(order)
    print_, s, l = scene.nth(3), scene.nth(4), scene.nth(5)  # noqa: E741 - as the orders
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        uncrossed(OPENING_CALL, 85, 2),
        traded(2, SELL, 2, 85, "b1", 0, "a", done=True, taker_account="other", auction=True),
        elected("s", 90, 85, 2, cause=print_),
        elected("l", 90, 85, 2, cause=print_),
        activated("s", 4, 807_500, cause=s),
        traded(3, SELL, 1, 84, "b2", 0, "s"),
        traded(4, SELL, 2, 81, "b3", 0, "s"),
        rested("s", SELL, 1, 0, px=807_500, filled=3),
        activated("l", 1, 88 * USD, cause=l),
        rested("l", SELL, 1, 88),
    ]


def test_a_take_profit_takes_part_in_the_auction() -> None:
    scene = gap_open(oco("g", 10, 110, 90))
    scene.when(limit("b", BUY, 20, 115))
    trade = scene.nth(3)
    assert scene.when(OpenSession(NEXT_DAY))[1:] == [
        uncrossed(OPENING_CALL, 115, 10, 10, BUY),
        traded(2, BUY, 10, 115, "g.tp", 0, "b", auction=True, maker_group="g"),
        leg_cancelled("g.sl", 10, SIBLING_FILLED, trade),
        closed("g", TP_FILLED, trade),
    ]


def test_an_oco_from_before_the_session_enters_if_its_legs_still_straddle() -> None:
    scene = Scene(CloseSession(FIRST_DAY), oco("g", 5, 110, 90), last_usd=100)
    assert scene.parked() == []
    assert [type(event).__name__ for event in scene.when(BeginOpeningCall(NEXT_DAY))] == [
        "OpeningCallBegun", "GroupOpened",
    ]  # fmt: skip
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 5)], [("g.sl", 90, 5)])
    refused = GroupRefused("h", "sell", SYMBOL, OCO_PRICES_DO_NOT_STRADDLE)
    assert scene.when(oco("h", 5, 110, 101)) == [refused]


def test_an_entry_that_fills_in_the_auction_has_its_exit_right_after() -> None:
    scene = gap_open(bracket("g", 5, 100, 110, 90), last_usd=105)
    scene.when(limit("s", SELL, 5, 100))
    trade = scene.nth(3)
    assert scene.when(OpenSession(NEXT_DAY))[2:] == [
        traded(
            2, SELL, 5, 100, "g", 0, "s", done=True, maker_account="owner", auction=True,
            maker_group="g",
        ),
        exit_opened("g", 5, trade),
    ]  # fmt: skip


# ---- an account does not trade with itself in an auction


@pytest.mark.parametrize(
    ("stp", "left"),
    [(STP_NEWEST, ["b"]), (STP_OLDEST, ["s"]), (STP_BOTH, []), (STP_DECREMENT, ["b"])],
)
def test_what_self_trade_prevention_leaves(stp: str, left: list[str]) -> None:
    scene = gap_open()
    scene.when(limit("b", BUY, 5, 101, "ann"))
    scene.when(limit("s", SELL, 3, 100, "ann", stp=stp))
    events = scene.when(OpenSession(NEXT_DAY))
    assert not any(type(event).__name__ in ("Traded", "Uncrossed") for event in events)
    names = [name for side in (BUY, SELL) for name, _, _ in scene.resting(side)]
    assert names == left
    if stp == STP_DECREMENT:
        assert events[1:] == [
            Decremented("b", "ann", SYMBOL, 3 * SHARE),
            Decremented("s", "ann", SYMBOL, 3 * SHARE),
            removed("s", 0, SELF_TRADE, "ann"),
        ]


def test_an_auction_has_one_price_whatever_self_trade_prevention_takes_out() -> None:
    scene = gap_open()
    for order in (
        limit("b1", BUY, 10, 105, "ann"),
        limit("b2", BUY, 10, 105, "bob"),
        limit("b3", BUY, 10, 103, "cat"),
        limit("s1", SELL, 10, 100, "ann", stp=STP_OLDEST),
        limit("s2", SELL, 10, 100, "dan"),
    ):
        scene.when(order)
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        removed("b1", 10, SELF_TRADE, "ann"),
        uncrossed(OPENING_CALL, 100, 20),
        traded(2, SELL, 10, 100, "b2", 0, "s1", done=True, maker_account="bob",
               taker_account="ann", auction=True),
        traded(3, SELL, 10, 100, "b3", 0, "s2", done=True, maker_account="cat",
               taker_account="dan", auction=True),
    ]  # fmt: skip


def test_an_account_that_may_trade_with_itself_does() -> None:
    scene = gap_open()
    scene.when(limit("b", BUY, 5, 101, "ann"))
    scene.when(limit("s", SELL, 5, 101, "ann", stp=STP_ALLOW))
    assert [type(event).__name__ for event in scene.when(OpenSession(NEXT_DAY))] == [
        "SessionOpened", "Uncrossed", "Traded",
    ]  # fmt: skip


@pytest.mark.parametrize("leg_first", [True, False])
@pytest.mark.parametrize("stp", [STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT])
def test_a_leg_stays_and_the_other_order_goes(*, leg_first: bool, stp: str) -> None:
    scene = gap_open()
    steps = [oco("g", 5, 110, 90), limit("b", BUY, 5, 111, "sell", stp=stp)]
    for step in steps if leg_first else reversed(steps):
        scene.when(step)
    assert scene.when(OpenSession(NEXT_DAY))[1:] == [removed("b", 5, SELF_TRADE, "sell")]
    assert scene.resting(SELL) == [("g.tp", 110, 5)]


# ---- the closing call and its auction


def test_the_closing_call_takes_in_what_waited_for_it() -> None:
    scene = Scene(last_usd=100)
    assert scene.when(limit("c", BUY, 2, 101, tif=CLS)) == [queued("c", BUY, 2, 101, tif=CLS)]
    assert scene.when(limit("s", SELL, 2, 100)) == [rested("s", SELL, 2, 100)]
    assert scene.when(BeginClosingCall(FIRST_DAY)) == [
        ClosingCallBegun(FIRST_DAY),
        rested("c", BUY, 2, 101, tif=CLS),
    ]
    assert scene.when(limit("c2", BUY, 2, 100, tif=CLS)) == [rested("c2", BUY, 2, 100, tif=CLS)]
    snapshot = scene.stage.snapshot(SYMBOL, 1)
    assert snapshot is not None
    assert (snapshot.phase, snapshot.indicative_px) == (CLOSING_CALL, 101 * USD)
    assert scene.when(CloseSession(FIRST_DAY)) == [
        uncrossed(CLOSING_CALL, 101, 2),
        traded(2, BUY, 2, 101, "s", 0, "c", done=True, auction=True),
        removed("c2", 2, MISSED_AUCTION),
        Marked(SYMBOL, 101 * USD),
        SessionClosed(FIRST_DAY),
    ]


def test_without_a_closing_call_an_order_for_the_close_misses_it() -> None:
    scene = Scene(limit("c", BUY, 2, 101, tif=CLS))
    assert scene.when(CloseSession(FIRST_DAY)) == [
        removed("c", 2, MISSED_AUCTION),
        SessionClosed(FIRST_DAY),
    ]


def test_a_day_order_for_money_that_waits_at_the_close_ends_with_the_day() -> None:
    scene = Scene(BeginClosingCall(FIRST_DAY), notional("n", BUY, 200_00))
    assert scene.when(CloseSession(FIRST_DAY)) == [
        removed("n", 0, END_OF_DAY),
        SessionClosed(FIRST_DAY),
    ]
    scene = Scene(BeginClosingCall(FIRST_DAY), notional("n", BUY, 200_00, tif=GTC))
    assert scene.when(CloseSession(FIRST_DAY)) == [SessionClosed(FIRST_DAY)]
    assert list(scene.stage.queued) == ["n"]


def test_what_a_market_order_leaves_in_an_auction_ends() -> None:
    scene = Scene(BeginClosingCall(FIRST_DAY), limit("s", SELL, 2, 100), last_usd=100)
    assert scene.when(market("m", BUY, 5, 105)) == [
        rested("m", BUY, 5, 105, tif=DAY, ord_type="MARKET")
    ]
    assert scene.when(CloseSession(FIRST_DAY))[:3] == [
        uncrossed(CLOSING_CALL, 105, 2, 3, BUY),
        traded(2, BUY, 2, 105, "s", 0, "m", auction=True),
        removed("m", 3, UNFILLED_REMAINDER),
    ]


def test_the_closing_print_elects_nothing_and_the_next_days_first_one_does() -> None:
    scene = Scene(
        stop("s", SELL, 1, 90),
        oco("g", 1, 110, 90, account="two"),
        BeginClosingCall(FIRST_DAY),
        limit("b", BUY, 1, 89),
        limit("a", SELL, 1, 89, "other"),
        last_usd=100,
    )
    assert scene.when(CloseSession(FIRST_DAY)) == [
        uncrossed(CLOSING_CALL, 89, 1),
        traded(2, SELL, 1, 89, "b", 0, "a", done=True, taker_account="other", auction=True),
        Marked(SYMBOL, 89 * USD),
        SessionClosed(FIRST_DAY),
    ]
    assert scene.parked() == [("s", 90, 1), ("g.sl", 90, 1)]
    scene.when(OpenSession(NEXT_DAY))
    assert scene.parked() == [("s", 90, 1), ("g.sl", 90, 1)]
    scene.trade(89)
    assert scene.parked() == []


def test_a_trailing_stop_follows_the_closing_print() -> None:
    scene = Scene(trailing("t", SELL, 1, trail_usd=3), BeginClosingCall(FIRST_DAY), last_usd=100)
    scene.when(limit("b", BUY, 1, 104))
    scene.when(limit("a", SELL, 1, 104, "other"))
    cause = scene.nth(2)
    assert raised("t", 104 * USD, 101 * USD, side=SELL, cause=cause) in scene.when(
        CloseSession(FIRST_DAY)
    )
    assert scene.parked() == [("t", 101, 1)]


def test_both_legs_of_a_day_group_expire_after_the_closing_auction() -> None:
    scene = Scene(
        oco("g", 5, 110, 90, tif=DAY), oco("h", 5, 110, 90, tif=DAY, account="two"),
        BeginClosingCall(FIRST_DAY), limit("b", BUY, 5, 110), last_usd=100,
    )  # fmt: skip
    trade = scene.nth(2)
    assert scene.when(CloseSession(FIRST_DAY)) == [
        uncrossed(CLOSING_CALL, 110, 5, 5, SELL),
        traded(2, BUY, 5, 110, "g.tp", 0, "b", done=True, auction=True, maker_group="g"),
        leg_cancelled("g.sl", 5, SIBLING_FILLED, trade),
        closed("g", TP_FILLED, trade),
        leg_cancelled("h.tp", 5, END_OF_DAY, "cause", account="two"),
        leg_cancelled("h.sl", 5, END_OF_DAY, "cause", account="two"),
        closed("h", "EXPIRED", "cause", account="two"),
        Marked(SYMBOL, 110 * USD),
        SessionClosed(FIRST_DAY),
    ]


def test_a_bracket_of_the_day_ends_with_its_entry() -> None:
    scene = Scene(bracket("g", 5, 100, 110, 90, tif=DAY), last_usd=105)
    scene.when(limit("t", SELL, 2, 100))
    assert scene.when(CloseSession(FIRST_DAY))[:4] == [
        removed("g", 3, END_OF_DAY, "owner", group="g"),
        leg_cancelled("g.tp", 2, END_OF_DAY, "cause", account="owner"),
        leg_cancelled("g.sl", 2, END_OF_DAY, "cause", account="owner"),
        closed("g", "EXPIRED", "cause", account="owner"),
    ]


def test_an_entry_that_fills_in_the_closing_auction_leaves_a_protected_position() -> None:
    scene = Scene(
        bracket("g", 5, 100, 110, 90), BeginClosingCall(FIRST_DAY), limit("b", BUY, 5, 112),
        limit("s", SELL, 10, 100), last_usd=105,
    )  # fmt: skip
    scene.when(CloseSession(FIRST_DAY))
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 5)], [("g.sl", 90, 5)])


def test_a_trailing_stop_that_is_changed_overnight_keeps_its_mark() -> None:
    scene = Scene(trailing("t", SELL, 1, trail_usd=3), last_usd=100)
    scene.trade(104)
    scene.when(limit("b", BUY, 1, 102))
    scene.when(limit("a", SELL, 1, 102, "other"))
    scene.when(CloseSession(FIRST_DAY))
    scene.when(msgspec.structs.replace(replace("t", "t2", 1, 0, account="sell"), trail_px=5 * USD))
    assert scene.parked() == [("t2", 99, 1)]


# ---- the clock never fires a session twice


def test_the_clock_jumps_back() -> None:
    scene = Scene(CloseSession(FIRST_DAY), BeginOpeningCall(NEXT_DAY), OpenSession(NEXT_DAY))
    for again in (
        BeginOpeningCall(FIRST_DAY),
        OpenSession(FIRST_DAY),
        BeginClosingCall(FIRST_DAY),
        CloseSession(FIRST_DAY),
        BeginOpeningCall(NEXT_DAY),
        OpenSession(NEXT_DAY),
    ):
        assert scene.when(again) == []
    scene.when(BeginClosingCall(NEXT_DAY))
    for again in (BeginOpeningCall(NEXT_DAY), OpenSession(NEXT_DAY), BeginClosingCall(NEXT_DAY)):
        assert scene.when(again) == []
    scene.when(CloseSession(NEXT_DAY))
    for again in (OpenSession(NEXT_DAY), BeginClosingCall(NEXT_DAY), CloseSession(NEXT_DAY)):
        assert scene.when(again) == []


@pytest.mark.parametrize(
    "reached",
    [[], [BeginClosingCall(FIRST_DAY)], [CloseSession(FIRST_DAY), BeginOpeningCall(NEXT_DAY)]],
)
def test_the_clock_jumps_past_a_close(reached: list[Message]) -> None:
    scene = Scene(limit("b", BUY, 1, 90, tif=DAY), *reached)
    scene.when(limit("c", BUY, 1, 91, tif=DAY))
    events = scene.when(OpenSession(THIRD_DAY))
    assert events[-1] == SessionOpened(THIRD_DAY)
    day = NEXT_DAY if len(reached) == 2 else FIRST_DAY
    assert events.count(SessionClosed(day)) == 1
    assert scene.resting(BUY) == []


def test_a_call_that_never_opened_ends_with_its_auction() -> None:
    scene = gap_open()
    scene.when(limit("b", BUY, 1, 100))
    scene.when(limit("s", SELL, 1, 100))
    assert scene.when(CloseSession(NEXT_DAY)) == [
        uncrossed(OPENING_CALL, 100, 1),
        traded(2, SELL, 1, 100, "b", 0, "s", done=True, auction=True),
        SessionClosed(NEXT_DAY),
    ]


# ---- halts


def test_a_halt_stops_matching_and_changes_but_not_cancels() -> None:
    scene = Scene(limit("b", BUY, 5, 100), oco("g", 5, 110, 90), last_usd=105)
    assert scene.when(HALTS) == [changed(HALT, OPERATOR, text="news")]
    assert scene.when(HALTS) == []
    assert scene.when(limit("s", SELL, 5, 100)) == [rested("s", SELL, 5, 100)]
    assert scene.when(replace("b", "b2", 4, 99)) == [Refused("b2", "buy", SYMBOL, HALTED, "b")]
    assert scene.when(reprice("g.tp", "x", limit_usd=111)) == [
        Refused("x", "sell", SYMBOL, HALTED, "g.tp")
    ]
    assert scene.when(amend("g", 3)) == [GroupRefused("g", "sell", SYMBOL, HALTED, amend=True)]
    assert scene.when(cancel("b"))[0] == removed("b", 5, "BY_REQUEST")
    assert len(scene.when(cancel("g.sl", "sell"))) == 3


def test_trading_resumes_with_an_auction_whose_print_elects() -> None:
    scene = Scene(oco("g", 5, 110, 90), HALTS, last_usd=100, call_s=30)
    scene.when(limit("b", BUY, 9, 88))
    scene.when(limit("s", SELL, 2, 88, "other"))
    events = scene.when(RESUMES)
    until_us = scene.now_us + CALL_US
    assert events == [changed(VOLATILITY_AUCTION, OPERATOR, until_us, "news is out")]
    snapshot = scene.stage.snapshot(SYMBOL, 1)
    assert snapshot is not None
    assert (snapshot.indicative_px, snapshot.indicative_qty) == (88 * USD, 2 * SHARE)
    print_, election, sale = scene.nth(2), scene.nth(4), scene.nth(7)
    assert scene.when(Tick(), until_us) == [
        uncrossed(VOLATILITY_AUCTION, 88, 2, 7, BUY),
        traded(2, SELL, 2, 88, "b", 7, "s", done=True, taker_account="other", auction=True),
        changed(CONTINUOUS, CALL_ENDED),
        elected("g.sl", 90, 88, 2, group="g", cause=print_),
        leg_cancelled("g.tp", 5, SIBLING_ELECTED, election),
        activated("g.sl", 5, 836_000, group="g", cause=election),
        traded(3, SELL, 5, 88, "b", 2, "g.sl", done=True, taker_group="g"),
        closed("g", SL_FILLED, sale),
        Marked(SYMBOL, 88 * USD),
    ]


def test_without_a_call_trading_resumes_at_once() -> None:
    scene = Scene(HALTS)
    assert scene.when(RESUMES) == [changed(CONTINUOUS, CALL_ENDED)]
    assert scene.when(RESUMES) == []


def test_a_halt_lasts_over_the_close_and_the_next_opening() -> None:
    scene = Scene(limit("d", BUY, 1, 90, tif=DAY), HALTS)
    assert scene.when(CloseSession(FIRST_DAY)) == [
        removed("d", 1, END_OF_DAY),
        SessionClosed(FIRST_DAY),
    ]
    scene.when(limit("b", BUY, 1, 100))
    scene.when(limit("s", SELL, 1, 100))
    scene.when(BeginOpeningCall(NEXT_DAY))
    assert scene.when(OpenSession(NEXT_DAY)) == [SessionOpened(NEXT_DAY)]
    assert scene.when(RESUMES) == [
        uncrossed(VOLATILITY_AUCTION, 100, 1),
        traded(1, SELL, 1, 100, "b", 0, "s", done=True, auction=True),
        changed(CONTINUOUS, CALL_ENDED),
    ]


@pytest.mark.parametrize(
    ("begins", "phase"), [(BeginOpeningCall(NEXT_DAY), OPENING_CALL), (None, CLOSED)]
)
def test_a_halt_that_ends_outside_trading_joins_the_session(
    begins: Message | None, phase: str
) -> None:
    scene = Scene(CloseSession(FIRST_DAY), HALTS)
    if begins is not None:
        scene.when(begins)
    assert scene.when(RESUMES) == [changed(phase, OPERATOR, text="news is out")]


def test_a_volatility_auction_that_is_on_ends_in_the_closing_call() -> None:
    scene = Scene(HALTS, RESUMES, call_s=30)
    scene.when(limit("b", BUY, 1, 100))
    scene.when(limit("s", SELL, 1, 100))
    scene.when(BeginClosingCall(FIRST_DAY))
    assert scene.when(Tick(), scene.now_us + 10 * CALL_US) == []
    assert scene.when(CloseSession(FIRST_DAY))[0] == uncrossed(CLOSING_CALL, 100, 1)


def test_a_volatility_auction_that_is_on_at_the_close_is_held_then() -> None:
    scene = Scene(HALTS, RESUMES, call_s=30)
    scene.when(limit("b", BUY, 1, 100))
    scene.when(limit("s", SELL, 1, 100))
    assert scene.when(CloseSession(FIRST_DAY))[0] == uncrossed(VOLATILITY_AUCTION, 100, 1)


# ---- price bands


def test_an_order_beyond_the_static_band_trades_up_to_it_and_waits_for_an_auction() -> None:
    scene = Scene(
        limit("a1", SELL, 1, 104), limit("a2", SELL, 1, 106), reference_px=100 * USD,
        static_band_ppm=50_000, call_s=30,
    )  # fmt: skip
    events = scene.when(limit("t", BUY, 3, 106))
    until_us = scene.now_us + CALL_US
    assert events == [
        traded(1, BUY, 1, 104, "a1", 0, "t"),
        rested("t", BUY, 2, 106, filled=1),
        changed(VOLATILITY_AUCTION, PRICE_BAND, until_us),
    ]
    assert scene.when(Tick(), until_us) == [
        uncrossed(VOLATILITY_AUCTION, 106, 1, 1, BUY),
        traded(2, BUY, 1, 106, "a2", 0, "t", auction=True),
        changed(CONTINUOUS, CALL_ENDED),
        Marked(SYMBOL, 106 * USD),
    ]
    # The auction's price is what the band is around from here on.
    scene.when(limit("a3", SELL, 1, 111))
    assert scene.when(limit("u", BUY, 3, 111))[0] == traded(3, BUY, 1, 111, "a3", 0, "u")


def test_the_dynamic_band_is_around_the_last_trade_before_the_command() -> None:
    scene = Scene(
        last_usd=102, reference_px=100 * USD, static_band_ppm=100_000, dynamic_band_ppm=20_000
    )
    scene.when(limit("a1", SELL, 1, 104))
    scene.when(limit("a2", SELL, 1, 105))
    assert [type(event).__name__ for event in scene.when(limit("t", BUY, 2, 105))] == [
        "Traded", "Rested", "PhaseChanged",
    ]  # fmt: skip


def test_what_stands_beyond_the_band_trades_in_an_auction_only() -> None:
    scene = Scene(limit("low", SELL, 1, 90), reference_px=100 * USD, static_band_ppm=50_000)
    assert [type(event).__name__ for event in scene.when(limit("b", BUY, 1, 99))] == [
        "Rested", "PhaseChanged",
    ]  # fmt: skip
    scene = Scene(limit("high", BUY, 1, 110), reference_px=100 * USD, static_band_ppm=50_000)
    assert scene.when(limit("t", SELL, 1, 101, tif=IOC))[0] == removed(
        "t", 1, UNFILLED_REMAINDER, "sell"
    )
    assert scene.when(Tick()) == [changed(CONTINUOUS, CALL_ENDED)]


@pytest.mark.parametrize("bids", [[], [limit("b", BUY, 5, 93)]])
def test_an_elected_stop_rests_at_the_band(bids: list[Message]) -> None:
    scene = Scene(
        stop("s", SELL, 2, 96), *bids, last_usd=100, reference_px=100 * USD, static_band_ppm=50_000
    )
    events = scene.trade(96)
    assert rested("s", SELL, 2, 95) in events
    # Only where there is somebody to trade with beyond it an auction follows.
    assert isinstance(events[-1], PhaseChanged) == bool(bids)


def test_the_band_ends_on_a_tick_inside() -> None:
    # 3.3333 % below 99.99 is 96.657003.
    scene = Scene(stop("s", SELL, 2, 98), reference_px=999_900, static_band_ppm=33_333)
    assert rested("s", SELL, 2, 0, px=966_600) in scene.trade(97)


def test_a_post_only_order_beyond_the_band_takes_nothing() -> None:
    scene = Scene(limit("a", SELL, 1, 110), reference_px=100 * USD, static_band_ppm=50_000)
    assert scene.when(limit("p", BUY, 1, 112, post_only=True)) == [removed("p", 1, "POST_ONLY")]


def test_a_stop_that_is_parked_in_a_call_is_elected_by_its_auction() -> None:
    scene = gap_open()
    assert scene.when(stop("s", SELL, 1, 95)) == [parked("s", SELL, 1, 95)]
    scene.when(limit("b", BUY, 1, 94))
    scene.when(limit("a", SELL, 1, 94, "other"))
    assert "StopElected" in [type(event).__name__ for event in scene.when(OpenSession(NEXT_DAY))]
