"""Stops of every kind: when they are elected, in which order, and what they do then."""

import msgspec
import pytest

from nexustrade.core.codec import Message
from nexustrade.core.terms import (
    BUY,
    CONTINUOUS,
    GTC,
    GTD,
    LIMIT,
    SELL,
    TRAILING_STOP,
    VOLATILITY_AUCTION,
)
from nexustrade.core.ticks import trailed_stop
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    BY_REQUEST,
    CALL_ENDED,
    CASCADE_COLLAR,
    ELECTIONS_MAX,
    EXPIRE_TIME,
    REDUCED_TO_FILLED,
    SELF_TRADE,
    STOP_WOULD_TRIGGER,
    TOO_LATE,
    DefineInstrument,
    FreezeNoted,
    Marked,
    OpenSession,
    Parked,
    PhaseChanged,
    Refused,
    StopActivated,
    StopElected,
    Tick,
)
from nexustrade.matching.triggers import protection_limit
from nexustrade.orders.messages import AccountFrozen, OrderAccepted
from tests.unit.matching.given import (
    FIRST_DAY,
    SHARE,
    SYMBOL,
    USD,
    Scene,
    activated,
    amended,
    cancel,
    elected,
    limit,
    market,
    parked,
    raised,
    removed,
    replace,
    reprice,
    rested,
    stop,
    traded,
    trailing,
)

CALL_US = 30_000_000


def at(order: OrderAccepted, px: int) -> OrderAccepted:
    """A limit order at a price in 1e-4 USD."""
    return msgspec.structs.replace(order, limit_px=px)


# ---- waiting


def test_a_stop_waits_and_nobody_sees_it() -> None:
    scene = Scene(last_usd=100)
    assert scene.when(stop("s", SELL, 5, 90)) == [parked("s", SELL, 5, 90)]
    assert scene.when(stop("b", BUY, 5, 110, limit_usd=112)) == [
        parked("b", BUY, 5, 110, limit_usd=112)
    ]
    snapshot = scene.stage.snapshot(SYMBOL, 5)
    assert snapshot is not None
    assert (snapshot.bids, snapshot.asks) == ((), ())


@pytest.mark.parametrize(("side", "usd"), [(SELL, 100), (SELL, 101), (BUY, 100), (BUY, 99)])
def test_a_stop_that_the_last_trade_has_reached_does_not_enter(side: str, usd: int) -> None:
    scene = Scene(last_usd=100)
    assert scene.when(stop("s", side, 5, usd)) == [
        removed("s", 5, STOP_WOULD_TRIGGER, side.lower())
    ]


def test_before_the_first_trade_the_previous_close_counts() -> None:
    scene = Scene(reference_px=100 * USD)
    assert scene.when(stop("s", SELL, 5, 100)) == [removed("s", 5, STOP_WOULD_TRIGGER, "sell")]
    assert scene.when(stop("t", SELL, 5, 99)) == [parked("t", SELL, 5, 99)]


def test_quotes_elect_nothing() -> None:
    scene = Scene(stop("s", SELL, 5, 90), stop("b", BUY, 5, 110), last_usd=100)
    scene.when(limit("bid", BUY, 5, 85))
    scene.when(limit("ask", SELL, 5, 115))
    scene.when(limit("low", SELL, 5, 86))
    assert scene.parked() == [("s", 90, 5), ("b", 110, 5)]


def test_a_prevented_self_trade_elects_nothing() -> None:
    scene = Scene(stop("s", SELL, 5, 90), limit("b", BUY, 5, 90, "ann"), last_usd=100)
    assert scene.when(limit("t", SELL, 5, 90, "ann")) == [removed("t", 5, SELF_TRADE, "ann")]
    assert scene.parked() == [("s", 90, 5)]


# ---- election


@pytest.mark.parametrize(
    ("side", "usd", "is_elected"),
    [(SELL, 91, False), (SELL, 90, True), (SELL, 89, True),
     (BUY, 109, False), (BUY, 110, True), (BUY, 111, True)],
)  # fmt: skip
def test_a_trade_at_or_through_the_stop_price_elects(
    side: str, usd: int, *, is_elected: bool
) -> None:
    scene = Scene(stop("s", side, 5, 90 if side == SELL else 110), last_usd=100)
    found = [event for event in scene.trade(usd) if isinstance(event, StopElected)]
    assert len(found) == is_elected
    for event in found:
        assert event.print_px == usd * USD
        assert event.gapped == (event.print_px != event.stop_px)


def test_an_elected_stop_sells_from_the_best_bid_down_to_its_protection_limit() -> None:
    scene = Scene(
        stop("s", SELL, 9, 90),
        limit("b1", BUY, 1, 88),
        limit("b2", BUY, 2, 87),
        limit("b3", BUY, 3, 84),
        limit("b4", BUY, 4, 83),
        last_usd=100,
    )
    print_, election = scene.nth(1), scene.nth(2)
    assert scene.when(limit("t", SELL, 1, 88, "other")) == [
        traded(2, SELL, 1, 88, "b1", 0, "t", done=True, taker_account="other"),
        elected("s", 90, 88, 2, cause=print_),
        # 5 % below the print of 88, not below the stop price.
        activated("s", 9, 836_000, cause=election),
        traded(3, SELL, 2, 87, "b2", 0, "s"),
        traded(4, SELL, 3, 84, "b3", 0, "s"),
        rested("s", SELL, 4, 0, px=836_000, filled=5),
    ]
    assert scene.resting(BUY) == [("b4", 83, 4)]
    assert scene.elected() == []


def test_an_elected_buy_stop_buys_up_to_its_protection_limit() -> None:
    scene = Scene(stop("s", BUY, 5, 110), limit("a", SELL, 1, 112), last_usd=100)
    print_, election = scene.nth(1), scene.nth(2)
    assert scene.when(limit("t", BUY, 1, 112, "other")) == [
        traded(2, BUY, 1, 112, "a", 0, "t", done=True, taker_account="other"),
        elected("s", 110, 112, 2, account="buy", cause=print_),
        activated("s", 5, 1_176_000, account="buy", cause=election),
        rested("s", BUY, 5, 0, px=1_176_000),
    ]


def test_a_stop_limit_order_goes_no_further_than_its_limit() -> None:
    scene = Scene(
        stop("s", SELL, 5, 90, limit_usd=89),
        limit("b1", BUY, 1, 90),
        limit("b2", BUY, 2, 89),
        limit("b3", BUY, 9, 88),
        last_usd=100,
    )
    print_, election = scene.nth(1), scene.nth(2)
    assert scene.when(limit("t", SELL, 1, 90, "other")) == [
        traded(2, SELL, 1, 90, "b1", 0, "t", done=True, taker_account="other"),
        elected("s", 90, 90, 2, cause=print_),
        activated("s", 5, 89 * USD, cause=election),
        traded(3, SELL, 2, 89, "b2", 0, "s"),
        rested("s", SELL, 3, 89, filled=2),
    ]


def test_the_protection_limit_is_a_tick_inside_the_collar() -> None:
    assert protection_limit(False, 333_300, 50_000, 100) == 316_700  # 31.6635
    assert protection_limit(True, 333_300, 50_000, 100) == 349_900  # 34.9965
    assert protection_limit(False, 10_000, 50_000, 100) == 9_500
    assert protection_limit(False, 333_300, 0, 100) == 333_300


def test_election_comes_after_the_whole_match_loop_and_every_print_of_it_counts() -> None:
    scene = Scene(
        stop("s1", SELL, 1, 94),
        stop("s2", SELL, 1, 92),
        limit("b1", BUY, 1, 95),
        limit("b2", BUY, 1, 93),
        limit("b3", BUY, 1, 91),
        limit("b4", BUY, 2, 87),
        last_usd=100,
    )
    second, third, first_election, second_election = (scene.nth(n) for n in (2, 3, 4, 5))
    assert scene.when(limit("t", SELL, 3, 90, "other")) == [
        traded(2, SELL, 1, 95, "b1", 0, "t", taker_account="other"),
        traded(3, SELL, 1, 93, "b2", 0, "t", taker_account="other"),
        traded(4, SELL, 1, 91, "b3", 0, "t", done=True, taker_account="other"),
        elected("s1", 94, 93, 3, cause=second),
        elected("s2", 92, 91, 4, cause=third),
        activated("s1", 1, 883_500, cause=first_election),
        rested("s1", SELL, 1, 0, px=883_500),
        activated("s2", 1, 864_500, cause=second_election),
        traded(5, SELL, 1, 87, "b4", 1, "s2", done=True),
    ]


# ---- the order of elections


def test_the_furthest_through_goes_first_and_then_the_oldest() -> None:
    scene = Scene(
        stop("92", SELL, 1, 92),
        stop("95 old", SELL, 1, 95),
        stop("90", SELL, 1, 90),
        stop("95 new", SELL, 1, 95),
        last_usd=100,
    )
    assert order_of(scene.trade(90)) == ["95 old", "95 new", "92", "90"]
    scene = Scene(
        stop("108", BUY, 1, 108),
        stop("105 old", BUY, 1, 105),
        stop("110", BUY, 1, 110),
        stop("105 new", BUY, 1, 105),
        last_usd=100,
    )
    assert order_of(scene.trade(110)) == ["105 old", "105 new", "108", "110"]


def test_sells_go_before_buys() -> None:
    scene = Scene(stop("buys", BUY, 1, 100), stop("sells", SELL, 1, 100))
    assert order_of(scene.trade(100)) == ["sells", "buys"]


def test_what_an_elected_stop_elects_waits_behind_those_elected_before() -> None:
    scene = Scene(
        stop("a", SELL, 1, 95),
        stop("b", SELL, 1, 94),
        stop("c", SELL, 1, 93),
        limit("b1", BUY, 1, 94),
        limit("b2", BUY, 1, 92),
        limit("b3", BUY, 2, 91),
        last_usd=100,
    )
    first, a, b, sale, c = (scene.nth(n) for n in (1, 2, 3, 5, 6))
    assert scene.when(limit("t", SELL, 1, 94, "other")) == [
        traded(2, SELL, 1, 94, "b1", 0, "t", done=True, taker_account="other"),
        elected("a", 95, 94, 2, cause=first),
        elected("b", 94, 94, 2, cause=first),
        activated("a", 1, 893_000, cause=a),
        traded(3, SELL, 1, 92, "b2", 0, "a", done=True),
        elected("c", 93, 92, 3, cause=sale),
        activated("b", 1, 893_000, cause=b),
        traded(4, SELL, 1, 91, "b3", 1, "b", done=True),
        activated("c", 1, 874_000, cause=c),
        traded(5, SELL, 1, 91, "b3", 0, "c", done=True),
    ]


def order_of(events: list[Message]) -> list[str]:
    """The stops in the order in which they were elected, which is that in which they ran."""
    elections = [event.order_id for event in events if isinstance(event, StopElected)]
    assert [event.order_id for event in events if isinstance(event, StopActivated)] == elections
    return elections


# ---- no cascade without end


def test_a_thousand_run_in_a_command_and_the_rest_after_a_volatility_auction() -> None:
    stage = MatchingStage("matching-0")
    for message in (
        DefineInstrument(SYMBOL, 100, SHARE, reference_px=100 * USD, call_s=30),
        OpenSession(FIRST_DAY),
        *(stop(f"s{number}", SELL, 1, 90) for number in range(1_002)),
        limit("b", BUY, 1, 90),
    ):
        stage.take(message, 1_000, "cause")
    events = [one.event for one in stage.take(limit("t", SELL, 1, 90), 1_000, "cause")]
    assert sum(isinstance(event, StopElected) for event in events) == 1_002
    assert sum(isinstance(event, StopActivated) for event in events) == 1_000
    until_us = 1_000 + CALL_US
    assert events[-1] == PhaseChanged(SYMBOL, VOLATILITY_AUCTION, ELECTIONS_MAX, until_us)
    assert list(stage.books[SYMBOL].elected) == ["s1000", "s1001"]
    stage.verify()
    events = [one.event for one in stage.take(Tick(), until_us, "cause")]
    assert events[0] == PhaseChanged(SYMBOL, CONTINUOUS, CALL_ENDED)
    assert sum(isinstance(event, StopActivated) for event in events) == 2
    stage.verify()


def test_a_cascade_that_goes_too_far_ends_in_a_volatility_auction() -> None:
    scene = Scene(
        stop("a", SELL, 1, 90),
        stop("b", SELL, 1, 88),
        stop("c", SELL, 1, 83),
        limit("b1", BUY, 1, 90),
        limit("b2", BUY, 1, 86),
        limit("b3", BUY, 1, 82),
        limit("b4", BUY, 1, 81),
        last_usd=100,
        call_s=30,
    )
    events = scene.when(limit("t", SELL, 1, 90, "other"))
    until_us = scene.now_us + CALL_US
    # 82 is more than 5 % below the first print of the command, 90; 86 was not.
    assert events[-3:] == [
        traded(4, SELL, 1, 82, "b3", 0, "b", done=True),
        elected("c", 83, 82, 4, cause=scene.nth(-2)),
        PhaseChanged(SYMBOL, VOLATILITY_AUCTION, CASCADE_COLLAR, until_us),
    ]
    assert scene.elected() == ["c"]
    assert scene.when(Tick(), until_us - 1) == [Marked(SYMBOL, 82 * USD)]
    assert scene.when(limit("later", SELL, 1, 81, "other")) == [
        rested("later", SELL, 1, 81, account="other")
    ]
    election = "matching-0:" + str(scene.stage.seq - 3)
    events = scene.when(Tick(), until_us)
    # The auction first, then what was elected before it.
    assert [type(event).__name__ for event in events] == [
        "Uncrossed", "Traded", "PhaseChanged", "StopActivated", "Rested", "Marked",
    ]  # fmt: skip
    assert events[3] == activated("c", 1, 779_000, cause=election)


def test_the_freeze_of_an_account_holds_back_what_opens_a_position() -> None:
    scene = Scene(
        stop("opens", SELL, 1, 90, account="ann"),
        stop("closes", SELL, 1, 90, account="ann", closes=True),
        stop("other", SELL, 1, 90, account="bob"),
        last_usd=100,
    )
    assert scene.when(AccountFrozen("ann", frozen=True)) == [FreezeNoted("ann", frozen=True)]
    assert scene.when(AccountFrozen("ann", frozen=True)) == []
    events = scene.trade(90)
    ran = [event.order_id for event in events if isinstance(event, StopActivated)]
    assert ran == ["closes", "other"]
    assert scene.elected() == ["opens"]
    assert scene.when(replace("opens", "x", 1, 0, account="ann")) == [
        Refused("x", "ann", SYMBOL, TOO_LATE, "opens")
    ]
    assert scene.when(AccountFrozen("ann", frozen=False)) == [
        FreezeNoted("ann", frozen=False),
        activated("opens", 1, 855_000, account="ann", cause="matching-0:" + election_of(scene)),
        rested("opens", SELL, 1, 0, px=855_000, account="ann"),
    ]


def election_of(scene: Scene) -> str:
    """The number of the election in the freeze test: it was the first of three."""
    return str(scene.stage.seq - 10)


def test_a_frozen_accounts_elected_stop_can_be_cancelled() -> None:
    scene = Scene(stop("s", SELL, 1, 90), AccountFrozen("sell", frozen=True), last_usd=100)
    scene.trade(90)
    assert scene.elected() == ["s"]
    assert scene.when(cancel("s", "sell")) == [removed("s", 1, BY_REQUEST, "sell")]


# ---- trailing stops


def trail_parked(
    order_id: str, side: str, shares: int, px: int, hwm_px: int, *, trail_usd: int = 0, ppm: int = 0
) -> Parked:
    return Parked(
        order_id, side.lower(), SYMBOL, side, TRAILING_STOP, GTC, shares * SHARE, px, 0,
        trail_usd * USD, ppm, hwm_px, stp="CANCEL_NEWEST",
    )  # fmt: skip


def test_a_trailing_stop_starts_from_the_last_price() -> None:
    scene = Scene(last_usd=100)
    assert scene.when(trailing("p", SELL, 5, trail_usd=3)) == [
        trail_parked("p", SELL, 5, 97 * USD, 100 * USD, trail_usd=3)
    ]
    assert scene.when(trailing("r", BUY, 5, trail_ppm=25_000)) == [
        trail_parked("r", BUY, 5, 1_025_000, 100 * USD, ppm=25_000)
    ]


def test_a_trailing_stop_follows_the_best_trade_and_no_other() -> None:
    scene = Scene(
        trailing("sells", SELL, 5, trail_usd=3), trailing("buys", BUY, 5, trail_ppm=50_000),
        last_usd=100,
    )  # fmt: skip
    cause = scene.nth(2)
    assert scene.trade(104)[1:] == [raised("sells", 104 * USD, 101 * USD, side=SELL, cause=cause)]
    assert len(scene.trade(102)) == 1
    cause, election = scene.nth(2), scene.nth(4)
    assert scene.trade(99)[1:] == [
        raised("buys", 99 * USD, 1_039_500, side=BUY, cause=cause),
        elected("sells", 101, 99, 4, cause=cause),
        activated("sells", 5, 940_500, cause=election),
        rested("sells", SELL, 5, 0, px=940_500),
    ]


def test_a_sweep_may_raise_a_trailing_stop_and_elect_it() -> None:
    scene = Scene(
        trailing("s", SELL, 1, trail_usd=3),
        limit("b1", BUY, 1, 105),
        limit("b2", BUY, 1, 101),
        last_usd=100,
    )
    first, second, election = scene.nth(1), scene.nth(2), scene.nth(4)
    assert scene.when(limit("t", SELL, 2, 101, "other")) == [
        traded(2, SELL, 1, 105, "b1", 0, "t", taker_account="other"),
        traded(3, SELL, 1, 101, "b2", 0, "t", done=True, taker_account="other"),
        raised("s", 105 * USD, 102 * USD, side=SELL, cause=first),
        elected("s", 102, 101, 3, cause=second),
        activated("s", 1, 959_500, cause=election),
        rested("s", SELL, 1, 0, px=959_500),
    ]


def test_a_sweep_the_other_way_moves_it_once_to_where_it_ends() -> None:
    scene = Scene(
        trailing("s", SELL, 1, trail_usd=3),
        limit("a1", SELL, 1, 103, "other"),
        limit("a2", SELL, 1, 105, "other"),
        last_usd=100,
    )
    second = scene.nth(2)
    assert scene.when(limit("t", BUY, 2, 105))[2:] == [
        raised("s", 105 * USD, 102 * USD, side=SELL, cause=second)
    ]


def test_a_mark_rises_with_the_price_where_the_stop_does_not_and_keeps_its_place() -> None:
    scene = Scene(trailing("t", SELL, 1, trail_ppm=500_000), last_usd=100)
    scene.when(stop("s", SELL, 1, 50))
    cause = scene.nth(2)
    scene.when(at(limit("a", SELL, 1, 100, "other"), 1_000_100))
    assert scene.when(at(limit("b", BUY, 1, 100), 1_000_100))[1:] == [
        raised("t", 1_000_100, 50 * USD, side=SELL, cause=cause)
    ]
    assert scene.parked() == [("t", 50, 1), ("s", 50, 1)]


def test_a_trailing_stop_that_moves_goes_behind_those_at_its_price() -> None:
    scene = Scene(trailing("t", SELL, 1, trail_usd=3), stop("s", SELL, 1, 99), last_usd=100)
    scene.trade(102)
    assert scene.parked() == [("s", 99, 1), ("t", 99, 1)]


@pytest.mark.parametrize(
    ("is_buy", "hwm_px", "trail_px", "trail_ppm", "expected"),
    [
        (False, 100 * USD, 3 * USD, 0, 97 * USD),
        (True, 100 * USD, 3 * USD, 0, 103 * USD),
        (False, 333_300, 0, 15_000, 328_300),  # 32.83005: away from the price
        (True, 333_300, 0, 15_000, 338_300),  # 33.82995
        (False, 100, 200, 0, 1),  # never below the smallest price
    ],
)
def test_where_a_trailing_stop_stands(
    *, is_buy: bool, hwm_px: int, trail_px: int, trail_ppm: int, expected: int
) -> None:
    assert trailed_stop(is_buy, hwm_px, trail_px, trail_ppm, 100) == expected


def test_a_new_distance_counts_from_the_mark() -> None:
    scene = Scene(trailing("t", SELL, 1, trail_usd=3), last_usd=100)
    scene.trade(104)
    wider = msgspec.structs.replace(replace("t", "tr", 1, 0, account="sell"), trail_px=6 * USD)
    assert scene.when(wider) == [
        msgspec.structs.replace(
            amended("tr", "t", 1, 0, requeued=True, account="sell"),
            stop_px=98 * USD,
            trail_px=6 * USD,
        ),
        trail_parked("tr", SELL, 1, 98 * USD, 104 * USD, trail_usd=6),
    ]


# ---- changes


def test_a_new_stop_price_is_a_new_place() -> None:
    scene = Scene(stop("a", SELL, 1, 90), stop("b", SELL, 1, 91), last_usd=100)
    assert scene.when(reprice("a", "a2", stop_usd=91)) == [
        msgspec.structs.replace(
            amended("a2", "a", 1, 0, requeued=True, account="sell"), stop_px=91 * USD
        ),
        parked("a2", SELL, 1, 91),
    ]
    assert scene.parked() == [("b", 91, 1), ("a2", 91, 1)]


def test_a_stop_price_that_would_trigger_is_refused() -> None:
    scene = Scene(stop("a", SELL, 1, 90), last_usd=100)
    assert scene.when(reprice("a", "a2", stop_usd=100)) == [
        Refused("a2", "sell", SYMBOL, STOP_WOULD_TRIGGER, "a")
    ]
    assert scene.parked() == [("a", 90, 1)]


def test_a_smaller_stop_keeps_its_place_and_a_larger_one_does_not() -> None:
    scene = Scene(stop("a", SELL, 5, 90), stop("b", SELL, 5, 90), last_usd=100)
    scene.when(replace("a", "a2", 3, 0, account="sell"))
    assert scene.parked() == [("a2", 90, 3), ("b", 90, 5)]
    scene.when(replace("a2", "a3", 4, 0, account="sell"))
    assert scene.parked() == [("b", 90, 5), ("a3", 90, 4)]


def test_a_working_stop_made_no_larger_than_its_fills_ends() -> None:
    scene = Scene(stop("s", SELL, 5, 90), limit("b", BUY, 3, 90), last_usd=100)
    scene.when(limit("t", SELL, 1, 90, "other"))
    assert scene.when(replace("s", "s2", 2, 0, account="sell"))[-1] == removed(
        "s2", 0, REDUCED_TO_FILLED, "sell"
    )


def test_a_parked_stop_is_cancelled_and_expires() -> None:
    scene = Scene(
        stop("a", SELL, 1, 90),
        stop("b", SELL, 2, 90, tif=GTD, expire_us=8_000_000),
        last_usd=100,
    )
    assert scene.when(cancel("a", "buy"))[0] == Refused("a", "buy", SYMBOL, "UNKNOWN_ORDER")
    assert scene.when(cancel("a", "sell")) == [removed("a", 1, BY_REQUEST, "sell")]
    assert scene.when(Tick(), 8_000_000)[0] == removed("b", 2, EXPIRE_TIME, "sell")
    assert scene.parked() == []


def test_an_elected_stop_of_no_reducing_kind_ends_where_it_meets_its_own_account() -> None:
    scene = Scene(
        stop("s", SELL, 2, 90, account="ann"), limit("b", BUY, 5, 89, "ann"), last_usd=100
    )
    assert scene.trade(90)[-1] == removed("s", 2, SELF_TRADE, "ann")
    assert scene.resting(BUY) == [("b", 89, 5)]


def test_a_stop_that_closes_a_position_takes_its_accounts_own_bid_out_instead() -> None:
    scene = Scene(
        stop("s", SELL, 2, 90, account="ann", closes=True),
        limit("own", BUY, 5, 89, "ann"),
        limit("b", BUY, 2, 88),
        last_usd=100,
    )
    assert scene.trade(90)[3:] == [
        removed("own", 5, SELF_TRADE, "ann"),
        traded(3, SELL, 2, 88, "b", 0, "s", done=True, taker_account="ann"),
    ]


def test_a_market_order_that_elects_is_through_before_the_stop_runs() -> None:
    scene = Scene(
        stop("s", SELL, 1, 95), limit("b1", BUY, 1, 95), limit("b2", BUY, 1, 94), last_usd=100
    )
    names = [type(event).__name__ for event in scene.when(market("t", SELL, 2, 0, "other"))]
    assert names == ["Traded", "Traded", "StopElected", "StopActivated", "Rested"]


def test_limit_orders_are_not_stops() -> None:
    scene = Scene(last_usd=100)
    assert scene.when(limit("s", SELL, 1, 90)) == [rested("s", SELL, 1, 90, ord_type=LIMIT)]
