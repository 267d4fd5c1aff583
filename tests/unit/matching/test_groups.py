"""OCO, bracket and OTO groups: what a trade, a change or an end of a member does to the others."""

import msgspec
import pytest

from nexustrade.core.codec import Message
from nexustrade.core.terms import (
    BUY,
    CANCEL,
    FULL,
    GTD,
    MARKET,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
)
from nexustrade.matching.messages import (
    AMENDED,
    BY_REQUEST,
    ENTRY_ALIVE,
    ENTRY_CANCELLED,
    EXPIRE_TIME,
    GROUP_CANCELLED,
    OCO_PRICES_DO_NOT_STRADDLE,
    POSITION_SHRUNK,
    REDUCED_TO_FILLED,
    SELF_TRADE,
    SHARES_SOLD,
    SIBLING_ELECTED,
    SIBLING_FILL,
    SIBLING_FILLED,
    SL_FILLED,
    STOP_WOULD_TRIGGER,
    TOO_LATE,
    TP_FILLED,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    CloseSession,
    Decremented,
    GroupAmended,
    GroupRefused,
    OpenSession,
    Refused,
    Tick,
)
from nexustrade.orders.messages import GroupAccepted, OrderAccepted, ReplaceRequested
from tests.unit.matching.given import (
    FIRST_DAY,
    SHARE,
    SYMBOL,
    USD,
    Scene,
    activated,
    amend,
    amended,
    bracket,
    cancel,
    cancel_group,
    closed,
    elected,
    exit_grown,
    exit_opened,
    held,
    leg_cancelled,
    leg_reduced,
    limit,
    notional,
    oco,
    opened,
    parked,
    removed,
    replace,
    reprice,
    rested,
    stop,
    traded,
)

NEXT_DAY = "2026-11-24"
COMMAND = "cause"
"""The cause of what follows from the command itself."""


def one_oco(**terms: str) -> Scene:
    """Ten shares to sell at 110 or, from 90 on, at the market; the last trade was at 100."""
    return Scene(msgspec.structs.replace(oco("g", 10, 110, 90), **terms), last_usd=100)


def names(events: list[Message]) -> list[str]:
    return [type(event).__name__ for event in events]


def repriced(
    order_id: str, orig: str, shares: int, *, usd: int = 0, stop_usd: int = 0, requeued: bool = True
) -> Message:
    """`Amended` of a leg of the group g."""
    return msgspec.structs.replace(
        amended(order_id, orig, shares, usd, requeued=requeued, account="sell"),
        stop_px=stop_usd * USD,
        group_id="g",
    )


# ---- an OCO enters


def test_an_oco_comes_alive_with_one_leg_in_the_book_and_the_other_parked() -> None:
    scene = Scene(last_usd=100)
    group = oco("g", 10, 110, 90)
    assert scene.when(group) == [opened(group)]
    assert scene.resting(SELL) == [("g.tp", 110, 10)]
    assert scene.parked() == [("g.sl", 90, 10)]


@pytest.mark.parametrize(
    "group",
    [
        oco("g", 10, 100, 90),
        oco("g", 10, 99, 90),
        oco("g", 10, 110, 100),
        oco("g", 10, 110, 101),
        oco("g", 10, 90, 110),
        oco("g", 10, 100, 110, side=BUY),
        oco("g", 10, 90, 100, side=BUY),
    ],
)
def test_legs_that_do_not_straddle_the_last_price_are_refused(group: GroupAccepted) -> None:
    scene = Scene(last_usd=100)
    assert scene.when(group) == [
        GroupRefused("g", group.account_id, SYMBOL, OCO_PRICES_DO_NOT_STRADDLE)
    ]
    assert scene.stage.groups == {}


def test_a_take_profit_that_would_trade_at_once_is_refused() -> None:
    scene = Scene(limit("b", BUY, 1, 110), last_usd=0, reference_px=100 * USD)
    assert scene.when(oco("g", 10, 110, 90)) == [
        GroupRefused("g", "sell", SYMBOL, OCO_PRICES_DO_NOT_STRADDLE)
    ]


def test_without_any_price_nothing_straddles_and_the_previous_close_is_one() -> None:
    refused = GroupRefused("g", "sell", SYMBOL, OCO_PRICES_DO_NOT_STRADDLE)
    assert Scene().when(oco("g", 10, 110, 90)) == [refused]
    group = oco("g", 10, 110, 90)
    assert Scene(reference_px=100 * USD).when(group) == [opened(group)]


def test_a_group_of_an_unknown_symbol_or_past_its_time_is_refused() -> None:
    scene = Scene(last_usd=100)
    unknown = msgspec.structs.replace(oco("g", 1, 110, 90), symbol="NOPE")
    assert scene.when(unknown) == [GroupRefused("g", "sell", "NOPE", UNKNOWN_SYMBOL)]
    late = oco("g", 1, 110, 90, tif=GTD, expire_us=5)
    assert scene.when(late) == [GroupRefused("g", "sell", SYMBOL, EXPIRE_TIME)]


# ---- the take-profit trades


def test_a_filled_take_profit_ends_its_sibling() -> None:
    scene = one_oco()
    trade = scene.nth(1)
    assert scene.when(limit("t", BUY, 10, 110)) == [
        traded(2, BUY, 10, 110, "g.tp", 0, "t", done=True, maker_group="g"),
        leg_cancelled("g.sl", 10, SIBLING_FILLED, trade),
        closed("g", TP_FILLED, trade),
    ]
    assert scene.parked() == []


def test_each_fill_reduces_the_stop_which_keeps_its_place() -> None:
    scene = one_oco()
    scene.when(stop("later", SELL, 1, 90))
    trade = scene.nth(1)
    assert scene.when(limit("t", BUY, 4, 110)) == [
        traded(2, BUY, 4, 110, "g.tp", 6, "t", done=True, maker_group="g"),
        leg_reduced("g.sl", 4, 6, SIBLING_FILL, trade),
    ]
    assert scene.parked() == [("g.sl", 90, 6), ("later", 90, 1)]
    assert scene.resting(SELL) == [("g.tp", 110, 6)]


def test_with_policy_cancel_the_first_fill_ends_the_stop_and_the_take_profit_stays() -> None:
    scene = one_oco(policy=CANCEL)
    trade = scene.nth(1)
    assert scene.when(limit("t", BUY, 4, 110)) == [
        traded(2, BUY, 4, 110, "g.tp", 6, "t", done=True, maker_group="g"),
        leg_cancelled("g.sl", 10, SIBLING_FILLED, trade),
    ]
    assert scene.resting(SELL) == [("g.tp", 110, 6)]
    trade = scene.nth(1)
    assert scene.when(limit("t2", BUY, 6, 110)) == [
        traded(3, BUY, 6, 110, "g.tp", 0, "t2", done=True, maker_group="g"),
        closed("g", TP_FILLED, trade),
    ]


def test_a_take_profit_that_sweeps_reduces_its_sibling_after_each_trade() -> None:
    scene = one_oco()
    scene.when(limit("b1", BUY, 2, 106))
    scene.when(limit("b2", BUY, 3, 105))
    first, second = scene.nth(2), scene.nth(4)
    assert scene.when(reprice("g.tp", "tp2", limit_usd=105)) == [
        repriced("tp2", "g.tp", 10, usd=105),
        traded(2, SELL, 2, 106, "b1", 0, "tp2", taker_group="g"),
        leg_reduced("g.sl", 2, 8, SIBLING_FILL, first),
        traded(3, SELL, 3, 105, "b2", 0, "tp2", taker_group="g"),
        leg_reduced("g.sl", 3, 5, SIBLING_FILL, second),
        rested("tp2", SELL, 5, 105, stp=STP_OLDEST, filled=5, group="g", reduces=True),
    ]


# ---- the stop-loss is elected


def test_an_elected_stop_loss_cancels_the_take_profit_and_sells() -> None:
    scene = one_oco()
    scene.when(limit("b1", BUY, 1, 90))
    scene.when(limit("b2", BUY, 12, 89))
    print_, election, sale = scene.nth(1), scene.nth(2), scene.nth(5)
    assert scene.when(limit("t", SELL, 1, 90, "other")) == [
        traded(2, SELL, 1, 90, "b1", 0, "t", done=True, taker_account="other"),
        elected("g.sl", 90, 90, 2, group="g", cause=print_),
        leg_cancelled("g.tp", 10, SIBLING_ELECTED, election),
        activated("g.sl", 10, 855_000, group="g", cause=election),
        traded(3, SELL, 10, 89, "b2", 2, "g.sl", done=True, taker_group="g"),
        closed("g", SL_FILLED, sale),
    ]


def test_an_elected_stop_loss_sells_what_the_take_profit_left() -> None:
    scene = one_oco()
    scene.when(limit("up", BUY, 4, 110))
    scene.when(limit("b1", BUY, 1, 90))
    scene.when(limit("b2", BUY, 12, 89))
    events = scene.when(limit("t", SELL, 1, 90, "other"))
    election = scene.nth(-4)
    assert events[2:5] == [
        leg_cancelled("g.tp", 6, SIBLING_ELECTED, election),
        activated("g.sl", 6, 855_000, group="g", cause=election),
        traded(4, SELL, 6, 89, "b2", 6, "g.sl", done=True, taker_group="g"),
    ]


def working() -> Scene:
    """The stop-loss of g found no bids and stands at its protection limit for 10."""
    scene = one_oco()
    election = scene.nth(3)
    assert scene.trade(90)[1:] == [
        elected("g.sl", 90, 90, 2, group="g", cause=scene.nth(-4)),
        leg_cancelled("g.tp", 10, SIBLING_ELECTED, election),
        activated("g.sl", 10, 855_000, group="g", cause=election),
        rested("g.sl", SELL, 10, 0, px=855_000, stp=STP_OLDEST, group="g", reduces=True),
    ]
    return scene


def test_a_stop_loss_that_finds_no_bids_rests_and_fills_later() -> None:
    scene = working()
    assert scene.when(limit("b", BUY, 4, 86)) == [
        msgspec.structs.replace(
            traded(3, BUY, 4, 0, "g.sl", 6, "b", done=True, maker_group="g"), last_px=855_000
        )
    ]
    sale = scene.nth(1)
    assert scene.when(limit("b2", BUY, 6, 86))[1:] == [closed("g", SL_FILLED, sale)]


def test_the_take_profit_does_not_come_back_when_the_price_does() -> None:
    scene = Scene(oco("g", 10, 110, 90, limit_usd=89), last_usd=100)
    scene.trade(88)
    assert scene.resting(SELL) == [("g.sl", 89, 10)]
    assert names(scene.when(limit("b", BUY, 12, 110))) == ["Traded", "GroupClosed", "Rested"]


def test_a_working_stop_loss_that_is_cancelled_closes_its_group() -> None:
    scene = working()
    scene.when(limit("b", BUY, 4, 86))
    assert scene.when(cancel("g.sl", "sell")) == [
        leg_cancelled("g.sl", 6, BY_REQUEST, COMMAND),
        closed("g", "CANCELLED", COMMAND),
    ]


def test_elected_groups_run_one_by_one_the_furthest_first() -> None:
    scene = Scene(oco("low", 1, 110, 94), oco("high", 1, 110, 95), last_usd=100)
    scene.when(limit("b", BUY, 3, 94))
    print_, high, low = scene.nth(1), scene.nth(2), scene.nth(4)
    assert scene.when(limit("t", SELL, 1, 94, "other"))[1:] == [
        elected("high.sl", 95, 94, 2, group="high", cause=print_),
        leg_cancelled("high.tp", 1, SIBLING_ELECTED, high),
        elected("low.sl", 94, 94, 2, group="low", cause=print_),
        leg_cancelled("low.tp", 1, SIBLING_ELECTED, low),
        activated("high.sl", 1, 893_000, group="high", cause=high),
        traded(3, SELL, 1, 94, "b", 1, "high.sl", done=True, taker_group="high"),
        closed("high", SL_FILLED, f"matching-0:{scene.stage.seq - 4}"),
        activated("low.sl", 1, 893_000, group="low", cause=low),
        traded(4, SELL, 1, 94, "b", 0, "low.sl", done=True, taker_group="low"),
        closed("low", SL_FILLED, f"matching-0:{scene.stage.seq - 1}"),
    ]


def test_one_command_may_fill_the_take_profit_and_elect_the_stop() -> None:
    scene = Scene(
        oco("g", 10, 110, 90),
        limit("bid", BUY, 50, 90),
        CloseSession(FIRST_DAY),
        notional("buys", BUY, 440_00),
        notional("sells", SELL, 90_00),
        last_usd=100,
        collar_ppm=300_000,
    )
    fill, print_, election = scene.nth(2), scene.nth(4), scene.nth(5)
    sale = scene.nth(8)
    assert scene.when(OpenSession(NEXT_DAY))[1:] == [
        traded(2, BUY, 4, 110, "g.tp", 6, "buys", done=True, maker_group="g"),
        leg_reduced("g.sl", 4, 6, SIBLING_FILL, fill),
        traded(3, SELL, 1, 90, "bid", 49, "sells", done=True),
        elected("g.sl", 90, 90, 3, group="g", cause=print_),
        leg_cancelled("g.tp", 6, SIBLING_ELECTED, election),
        activated("g.sl", 6, 630_000, group="g", cause=election),
        traded(4, SELL, 6, 90, "bid", 43, "g.sl", done=True, taker_group="g"),
        closed("g", SL_FILLED, sale),
    ]


# ---- changes


def test_a_new_take_profit_price_is_a_new_place() -> None:
    scene = one_oco()
    scene.when(limit("s", SELL, 1, 109, "other"))
    assert scene.when(reprice("g.tp", "tp2", limit_usd=109)) == [
        repriced("tp2", "g.tp", 10, usd=109),
        rested("tp2", SELL, 10, 109, stp=STP_OLDEST, group="g", reduces=True),
    ]
    assert scene.resting(SELL) == [("s", 109, 1), ("tp2", 109, 10)]


def test_a_new_stop_price_is_a_new_time_of_election() -> None:
    scene = one_oco()
    scene.when(stop("s", SELL, 1, 91))
    assert scene.when(reprice("g.sl", "sl2", stop_usd=91)) == [
        repriced("sl2", "g.sl", 10, stop_usd=91),
        msgspec.structs.replace(
            parked("sl2", SELL, 10, 91, reduces=True, stp=STP_OLDEST), group_id="g"
        ),
    ]
    assert scene.parked() == [("s", 91, 1), ("sl2", 91, 10)]


def test_a_stop_at_the_market_gets_no_limit_and_a_new_limit_keeps_the_place() -> None:
    scene = Scene(oco("g", 10, 110, 90, limit_usd=89), stop("s", SELL, 1, 90), last_usd=100)
    assert scene.when(reprice("g.sl", "sl2", limit_usd=88)) == [
        repriced("sl2", "g.sl", 10, usd=88, stop_usd=90, requeued=False)
    ]
    assert scene.parked() == [("sl2", 90, 10), ("s", 90, 1)]
    scene = one_oco()
    assert scene.when(reprice("g.sl", "sl2", limit_usd=88)) == [
        repriced("sl2", "g.sl", 10, stop_usd=90, requeued=False)
    ]


@pytest.mark.parametrize(
    ("request_", "leg", "reason"),
    [
        (reprice("g.tp", "x", limit_usd=100), "g.tp", OCO_PRICES_DO_NOT_STRADDLE),
        (reprice("g.tp", "x", limit_usd=89), "g.tp", OCO_PRICES_DO_NOT_STRADDLE),
        (reprice("g.sl", "x", stop_usd=100), "g.sl", STOP_WOULD_TRIGGER),
        (reprice("g.sl", "x", stop_usd=111), "g.sl", STOP_WOULD_TRIGGER),
    ],
)
def test_new_prices_straddle_the_last_one(
    request_: ReplaceRequested, leg: str, reason: str
) -> None:
    scene = one_oco()
    assert scene.when(request_) == [Refused("x", "sell", SYMBOL, reason, leg)]
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 10)], [("g.sl", 90, 10)])


def test_a_smaller_group_keeps_the_places_of_its_legs() -> None:
    scene = one_oco()
    scene.when(stop("s", SELL, 1, 90))
    scene.when(limit("a", SELL, 1, 110, "other"))
    scene.when(limit("t", BUY, 4, 110))
    amendment = scene.nth(1)
    assert scene.when(amend("g", 7)) == [
        GroupAmended("g", "sell", SYMBOL, 7 * SHARE),
        leg_reduced("g.tp", 3, 3, AMENDED, amendment),
        leg_reduced("g.sl", 3, 3, AMENDED, amendment),
    ]
    assert scene.resting(SELL) == [("g.tp", 110, 3), ("a", 110, 1)]
    assert scene.parked() == [("g.sl", 90, 3), ("s", 90, 1)]


def test_a_larger_group_loses_the_place_of_its_take_profit() -> None:
    scene = one_oco()
    scene.when(limit("a", SELL, 1, 110, "other"))
    amendment = scene.nth(1)
    assert scene.when(amend("g", 12)) == [
        GroupAmended("g", "sell", SYMBOL, 12 * SHARE),
        exit_grown("g", 2, 12, amendment, account="sell"),
    ]
    assert scene.resting(SELL) == [("a", 110, 1), ("g.tp", 110, 12)]
    assert scene.parked() == [("g.sl", 90, 12)]


@pytest.mark.parametrize("shares", [4, 3])
def test_a_group_amended_to_what_is_filled_closes(shares: int) -> None:
    scene = one_oco()
    scene.when(limit("t", BUY, 4, 110))
    assert scene.when(amend("g", shares)) == [
        leg_cancelled("g.tp", 6, AMENDED, COMMAND),
        leg_cancelled("g.sl", 6, AMENDED, COMMAND),
        closed("g", "CANCELLED", COMMAND),
    ]


def test_an_oco_that_waits_for_the_session_is_amended_in_the_queue() -> None:
    group = oco("g", 10, 110, 90)
    scene = Scene(CloseSession(FIRST_DAY), group, limit("a", SELL, 1, 110, "other"), last_usd=100)
    amendment = scene.nth(1)
    assert scene.when(amend("g", 7)) == [
        GroupAmended("g", "sell", SYMBOL, 7 * SHARE),
        leg_reduced("g.tp", 3, 7, AMENDED, amendment),
        leg_reduced("g.sl", 3, 7, AMENDED, amendment),
    ]
    assert names(scene.when(amend("g", 12))) == ["GroupAmended", "Queued"]
    assert names(scene.when(reprice("g.tp", "tp2", limit_usd=111))) == ["Amended", "Queued"]
    scene.when(OpenSession(NEXT_DAY))
    assert scene.resting(SELL) == [("a", 110, 1), ("tp2", 111, 12)]
    assert scene.parked() == [("g.sl", 90, 12)]


def test_only_its_owner_changes_or_cancels_a_group() -> None:
    scene = one_oco()
    assert scene.when(amend("g", 5, account="x")) == [
        GroupRefused("g", "x", SYMBOL, UNKNOWN_ORDER, amend=True)
    ]
    assert scene.when(reprice("g.tp", "y", limit_usd=120, account="x")) == [
        Refused("y", "x", SYMBOL, UNKNOWN_ORDER, "g.tp")
    ]
    for request in (cancel("g.tp", "x"), cancel("g.sl", "x")):
        assert scene.when(request) == [Refused(request.order_id, "x", SYMBOL, UNKNOWN_ORDER)]
    assert scene.when(cancel_group("g", account="x")) == [Refused("g", "x", SYMBOL, UNKNOWN_ORDER)]


def test_of_a_working_stop_loss_only_the_limit_changes() -> None:
    scene = working()
    assert scene.when(amend("g", 5)) == [GroupRefused("g", "sell", SYMBOL, TOO_LATE, amend=True)]
    assert scene.when(reprice("g.sl", "x", stop_usd=80)) == [
        Refused("x", "sell", SYMBOL, TOO_LATE, "g.sl")
    ]
    assert scene.when(reprice("g.tp", "x", limit_usd=120)) == [
        Refused("x", "sell", SYMBOL, UNKNOWN_ORDER, "g.tp")
    ]
    assert scene.when(reprice("g.sl", "sl2", limit_usd=84)) == [
        repriced("sl2", "g.sl", 10, usd=84),
        rested("sl2", SELL, 10, 84, stp=STP_OLDEST, group="g", reduces=True),
    ]


def test_a_stop_loss_that_is_elected_and_waits_takes_a_new_limit_and_a_cancel() -> None:
    scene = Scene(
        oco("g", 10, 110, 90, limit_usd=88, tif=GTD, expire_us=10**15),
        oco("h", 10, 110, 90, account="two"),
        limit("b1", BUY, 1, 96),
        limit("b2", BUY, 1, 90),
        last_usd=100,
    )
    # The sweep went further than the collar: what it elected waits for a volatility auction.
    scene.when(limit("t", SELL, 2, 90, "other"))
    assert scene.elected() == ["g.sl", "h.sl"]
    assert scene.when(reprice("h.sl", "x", limit_usd=84, account="two")) == [
        Refused("x", "two", SYMBOL, TOO_LATE, "h.sl")
    ]
    assert names(scene.when(reprice("g.sl", "sl2", limit_usd=84))) == ["Amended"]
    assert scene.when(cancel("h.sl", "two")) == [
        leg_cancelled("h.sl", 10, BY_REQUEST, COMMAND, account="two"),
        closed("h", "CANCELLED", COMMAND, account="two"),
    ]
    assert scene.elected() == ["sl2"]
    scene.when(Tick())
    assert scene.resting(SELL) == [("sl2", 84, 10)]


# ---- cancels and ends


@pytest.mark.parametrize(("first", "second"), [("g.tp", "g.sl"), ("g.sl", "g.tp")])
def test_cancelling_one_leg_cancels_both(first: str, second: str) -> None:
    scene = one_oco()
    assert scene.when(cancel(first, "sell")) == [
        leg_cancelled(first, 10, BY_REQUEST, COMMAND),
        leg_cancelled(second, 10, GROUP_CANCELLED, COMMAND),
        closed("g", "CANCELLED", COMMAND),
    ]
    assert (scene.resting(SELL), scene.parked(), scene.stage.groups) == ([], [], {})


def test_cancelling_the_group_cancels_both() -> None:
    scene = one_oco()
    assert scene.when(cancel_group("g")) == [
        leg_cancelled("g.tp", 10, GROUP_CANCELLED, COMMAND),
        leg_cancelled("g.sl", 10, GROUP_CANCELLED, COMMAND),
        closed("g", "CANCELLED", COMMAND),
    ]


def test_both_legs_expire_together() -> None:
    scene = Scene(oco("g", 10, 110, 90, tif=GTD, expire_us=8_000_000), last_usd=100)
    assert scene.when(Tick(), 8_000_000)[:3] == [
        leg_cancelled("g.sl", 10, EXPIRE_TIME, COMMAND),
        leg_cancelled("g.tp", 10, EXPIRE_TIME, COMMAND),
        closed("g", "EXPIRED", COMMAND),
    ]


# ---- another sale takes the shares


def sale(shares: int, shrinks: dict[str, int]) -> OrderAccepted:
    return msgspec.structs.replace(
        limit("x", SELL, shares, 105), shrinks={name: n * SHARE for name, n in shrinks.items()}
    )


def test_a_group_gives_up_shares_before_the_other_sale_enters() -> None:
    scene = one_oco()
    assert scene.when(sale(4, {"g": 4})) == [
        leg_reduced("g.tp", 4, 6, POSITION_SHRUNK, COMMAND),
        leg_reduced("g.sl", 4, 6, POSITION_SHRUNK, COMMAND),
        rested("x", SELL, 4, 105),
    ]
    assert scene.when(msgspec.structs.replace(sale(6, {"g": 6}), order_id="y")) == [
        leg_cancelled("g.tp", 6, POSITION_SHRUNK, COMMAND),
        leg_cancelled("g.sl", 6, POSITION_SHRUNK, COMMAND),
        closed("g", "CANCELLED", COMMAND),
        rested("y", SELL, 6, 105),
    ]


@pytest.mark.parametrize("shrinks", [{"g": 11}, {"g": 1, "gone": 1}, {"h": 1, "g": 11}])
def test_a_sale_for_which_groups_have_not_the_shares_takes_none(shrinks: dict[str, int]) -> None:
    scene = Scene(oco("g", 10, 110, 90), oco("h", 10, 110, 90), last_usd=100)
    assert scene.when(sale(2, shrinks)) == [removed("x", 2, SHARES_SOLD, "sell")]
    assert scene.parked() == [("g.sl", 90, 10), ("h.sl", 90, 10)]


def test_an_elected_group_gives_up_nothing() -> None:
    assert working().when(sale(2, {"g": 2})) == [removed("x", 2, SHARES_SOLD, "sell")]


# ---- an account does not trade with itself


def test_a_stop_loss_takes_its_accounts_own_bid_out_and_goes_on() -> None:
    scene = one_oco()
    scene.when(limit("own", BUY, 5, 89, "sell"))
    scene.when(limit("b", BUY, 10, 88))
    assert scene.trade(90)[4:] == [
        removed("own", 5, SELF_TRADE, "sell"),
        traded(3, SELL, 10, 88, "b", 0, "g.sl", done=True, taker_group="g"),
        closed("g", SL_FILLED, f"matching-0:{scene.stage.seq - 1}"),
    ]


@pytest.mark.parametrize(
    ("stp", "left"),
    [(STP_NEWEST, ["g.tp"]), (STP_OLDEST, ["t"]), (STP_BOTH, []), (STP_ALLOW, ["g.tp"])],
)
def test_an_own_order_that_meets_the_take_profit(stp: str, left: list[str]) -> None:
    scene = one_oco()
    scene.when(limit("t", BUY, 4, 110, "sell", stp=stp))
    assert list_orders(scene) == left
    assert ("g" in scene.stage.groups) == ("g.tp" in left)


def list_orders(scene: Scene) -> list[str]:
    return [name for side in (BUY, SELL) for name, _, _ in scene.resting(side)]


def test_a_decremented_take_profit_makes_its_sibling_as_small() -> None:
    scene = one_oco()
    decrement = scene.nth(2)
    assert scene.when(limit("t", BUY, 4, 110, "sell", stp=STP_DECREMENT)) == [
        Decremented("g.tp", "sell", SYMBOL, 4 * SHARE),
        Decremented("t", "sell", SYMBOL, 4 * SHARE),
        leg_reduced("g.sl", 4, 6, SELF_TRADE, decrement),
        removed("t", 0, SELF_TRADE, "sell"),
    ]


@pytest.mark.parametrize("stp", [STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT])
def test_an_entry_that_meets_its_own_exit_ends_and_the_exit_stays(stp: str) -> None:
    scene = Scene(bracket("g", 10, 100, 110, 90, stp=stp), last_usd=105)
    scene.when(limit("t", SELL, 4, 100))
    end = scene.nth(2)
    assert scene.when(replace("g", "g2", 10, 110, account="owner"))[1:] == [
        removed("g2", 6, SELF_TRADE, "owner", group="g"),
        leg_reduced("g.tp", 6, 4, ENTRY_CANCELLED, end, account="owner"),
        leg_reduced("g.sl", 6, 4, ENTRY_CANCELLED, end, account="owner"),
    ]
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 4)], [("g.sl", 90, 4)])


# ---- brackets


def one_bracket(**terms: str) -> Scene:
    """Ten to buy at 100, then to sell at 110 or from 90 on."""
    group = msgspec.structs.replace(bracket("g", 10, 100, 110, 90), **terms)
    return Scene(group, last_usd=105)


def test_a_bracket_waits_for_its_entry() -> None:
    scene = Scene(last_usd=105)
    group = bracket("g", 10, 100, 110, 90)
    assert scene.when(group) == [
        held(group),
        rested("g", BUY, 10, 100, account="owner", group="g"),
    ]
    assert (scene.resting(SELL), scene.parked()) == ([], [])


def test_the_exit_comes_alive_with_the_first_fill_and_grows_with_each() -> None:
    scene = one_bracket()
    trade = scene.nth(1)
    assert scene.when(limit("t", SELL, 4, 100)) == [
        traded(2, SELL, 4, 100, "g", 6, "t", done=True, maker_account="owner", maker_group="g"),
        exit_opened("g", 4, trade),
    ]
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 4)], [("g.sl", 90, 4)])
    scene.when(limit("a", SELL, 1, 110))
    trade = scene.nth(1)
    assert scene.when(limit("t2", SELL, 6, 100))[1:] == [exit_grown("g", 6, 10, trade)]
    assert scene.resting(SELL) == [("a", 110, 1), ("g.tp", 110, 10)]
    assert scene.parked() == [("g.sl", 90, 10)]


def test_with_activation_full_the_exit_comes_alive_when_the_entry_is_done() -> None:
    scene = one_bracket(activation=FULL)
    assert len(scene.when(limit("t", SELL, 4, 100))) == 1
    trade = scene.nth(1)
    assert scene.when(limit("t2", SELL, 6, 100))[1:] == [exit_opened("g", 10, trade)]


@pytest.mark.parametrize("activation", ["PARTIAL", FULL])
def test_a_cancelled_entry_leaves_the_exit_for_what_it_filled(activation: str) -> None:
    scene = one_bracket(activation=activation)
    scene.when(limit("t", SELL, 4, 100))
    end = scene.nth(1)
    assert scene.when(cancel("g", "owner")) == [
        removed("g", 6, BY_REQUEST, "owner", group="g"),
        *([exit_opened("g", 4, end)] if activation == FULL else []),
        leg_reduced("g.tp", 6, 4, ENTRY_CANCELLED, end, account="owner"),
        leg_reduced("g.sl", 6, 4, ENTRY_CANCELLED, end, account="owner"),
    ]
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 4)], [("g.sl", 90, 4)])


def test_an_entry_that_ends_without_a_fill_ends_its_group() -> None:
    scene = one_bracket()
    end = scene.nth(1)
    assert scene.when(cancel("g", "owner")) == [
        removed("g", 10, BY_REQUEST, "owner", group="g"),
        leg_cancelled("g.tp", 10, ENTRY_CANCELLED, end, account="owner"),
        leg_cancelled("g.sl", 10, ENTRY_CANCELLED, end, account="owner"),
        closed("g", "CANCELLED", end, account="owner"),
    ]


def test_cancelling_a_bracket_ends_entry_and_exit() -> None:
    scene = one_bracket()
    scene.when(limit("t", SELL, 4, 100))
    assert scene.when(cancel_group("g", account="owner")) == [
        removed("g", 6, BY_REQUEST, "owner", group="g"),
        leg_cancelled("g.tp", 4, GROUP_CANCELLED, COMMAND, account="owner"),
        leg_cancelled("g.sl", 4, GROUP_CANCELLED, COMMAND, account="owner"),
        closed("g", "CANCELLED", COMMAND, account="owner"),
    ]


def test_an_exit_that_sold_all_there_was_stands_again_when_the_entry_fills_more() -> None:
    scene = one_bracket()
    scene.when(limit("t", SELL, 4, 100))
    trade = scene.nth(1)
    assert scene.when(limit("up", BUY, 4, 110))[1:] == [
        leg_reduced("g.sl", 4, 0, SIBLING_FILL, trade, account="owner")
    ]
    assert (scene.resting(SELL), scene.parked()) == ([], [])
    trade = scene.nth(1)
    assert scene.when(limit("t2", SELL, 1, 100))[1:] == [exit_grown("g", 1, 5, trade)]
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 110, 1)], [("g.sl", 90, 1)])
    scene.when(limit("up2", BUY, 1, 110))
    end = scene.nth(1)
    # What is left of the entry goes: there is nothing more to wait for.
    assert scene.when(cancel("g", "owner"))[-2:] == [
        leg_cancelled("g.sl", 0, SIBLING_FILLED, end, account="owner"),
        closed("g", TP_FILLED, end, account="owner"),
    ]


def test_the_stop_of_a_bracket_ends_what_is_left_of_its_entry_first() -> None:
    scene = one_bracket()
    scene.when(limit("t", SELL, 4, 100))
    scene.when(limit("b", BUY, 9, 89))
    # The operator's market fell through the entry without a trade: somebody sells to b.
    scene.when(replace("g", "g2", 10, 88, account="owner"))
    print_, election = scene.nth(1), scene.nth(5)
    assert scene.when(limit("s", SELL, 1, 89))[1:6] == [
        removed("g2", 6, SIBLING_ELECTED, "owner", group="g"),
        leg_reduced("g.tp", 6, 4, ENTRY_CANCELLED, print_, account="owner"),
        leg_reduced("g.sl", 6, 4, ENTRY_CANCELLED, print_, account="owner"),
        elected("g.sl", 90, 89, 3, account="owner", group="g", cause=print_),
        leg_cancelled("g.tp", 4, SIBLING_ELECTED, election, account="owner"),
    ]


def test_a_sweep_that_fills_the_entry_and_reaches_the_stop_sells_all_of_it() -> None:
    scene = Scene(bracket("g", 10, 92, 110, 90), last_usd=105)
    scene.when(limit("t", SELL, 4, 92))
    scene.when(limit("b", BUY, 1, 89))
    scene.when(limit("c", BUY, 30, 88))
    fill, print_, election, out = (scene.nth(n) for n in (1, 2, 4, 7))
    assert scene.when(limit("s", SELL, 7, 89)) == [
        traded(3, SELL, 6, 92, "g", 0, "s", maker_account="owner", maker_group="g"),
        traded(4, SELL, 1, 89, "b", 0, "s", done=True),
        exit_grown("g", 6, 10, fill),
        elected("g.sl", 90, 89, 4, account="owner", group="g", cause=print_),
        leg_cancelled("g.tp", 10, SIBLING_ELECTED, election, account="owner"),
        activated("g.sl", 10, 845_500, account="owner", group="g", cause=election),
        traded(5, SELL, 10, 88, "c", 20, "g.sl", done=True, taker_account="owner", taker_group="g"),
        closed("g", SL_FILLED, out, account="owner"),
    ]


def test_an_exit_whose_stop_the_last_trade_has_reached_is_elected_at_once() -> None:
    scene = Scene(bracket("g", 10, 92, 110, 90), last_usd=105)
    scene.when(limit("b", BUY, 1, 89))
    fill, election = scene.nth(1), scene.nth(4)
    assert scene.when(limit("s", SELL, 11, 89)) == [
        traded(2, SELL, 10, 92, "g", 0, "s", maker_account="owner", maker_group="g"),
        traded(3, SELL, 1, 89, "b", 0, "s", done=True),
        exit_opened("g", 10, fill),
        elected("g.sl", 90, 89, 3, account="owner", group="g", cause=fill),
        leg_cancelled("g.tp", 10, SIBLING_ELECTED, election, account="owner"),
        activated("g.sl", 10, 845_500, account="owner", group="g", cause=election),
        rested(
            "g.sl", SELL, 10, 0, px=845_500, account="owner", stp=STP_OLDEST, group="g",
            reduces=True,
        ),
    ]  # fmt: skip


def test_a_take_profit_that_can_trade_when_it_comes_alive_does() -> None:
    scene = Scene(limit("a", SELL, 2, 100), limit("b", BUY, 1, 99), last_usd=100)
    group = bracket("g", 2, 100, 99, 90, ord_type=MARKET)
    entry, sale_ = scene.nth(2), scene.nth(4)
    assert scene.when(group)[1:] == [
        traded(2, BUY, 2, 100, "a", 0, "g", done=True, taker_account="owner", taker_group="g"),
        exit_opened("g", 2, entry, tp_rests=False),
        traded(3, SELL, 1, 99, "b", 0, "g.tp", taker_account="owner", taker_group="g"),
        leg_reduced("g.sl", 1, 1, SIBLING_FILL, sale_, account="owner"),
        rested(
            "g.tp", SELL, 1, 99, account="owner", stp=STP_OLDEST, filled=1, group="g", reduces=True
        ),
    ]


def test_an_oto_has_one_leg() -> None:
    scene = Scene(bracket("p", 1, 100, 110, 0), bracket("l", 1, 100, 0, 90), last_usd=105)
    scene.when(limit("t", SELL, 2, 100))
    assert (scene.resting(SELL), scene.parked()) == ([("p.tp", 110, 1)], [("l.sl", 90, 1)])
    trade = scene.nth(1)
    assert scene.when(limit("u", BUY, 1, 110))[1:] == [
        closed("p", TP_FILLED, trade, account="owner")
    ]
    assert names(scene.trade(90)) == ["Traded", "StopElected", "StopActivated", "Rested"]


def test_a_stop_entry_is_elected_and_brings_the_exit_to_life() -> None:
    group = msgspec.structs.replace(
        bracket("g", 5, 0, 120, 100), ord_type="STOP", stop_px=110 * USD
    )
    scene = Scene(group, limit("a", SELL, 5, 111), last_usd=105)
    assert scene.parked() == [("g", 110, 5)]
    assert names(scene.trade(110)) == [
        "Traded", "StopElected", "StopActivated", "Traded", "GroupOpened",
    ]  # fmt: skip
    assert (scene.resting(SELL), scene.parked()) == ([("g.tp", 120, 5)], [("g.sl", 100, 5)])


def test_an_entry_replaced_by_a_smaller_one_makes_the_exit_as_small() -> None:
    scene = one_bracket(activation=FULL)
    scene.when(limit("t", SELL, 4, 100))
    scene.when(replace("g", "g2", 6, 100, account="owner"))
    trade = scene.nth(1)
    assert scene.when(limit("u", SELL, 2, 100))[1:] == [
        exit_opened("g", 6, trade),
        leg_reduced("g.tp", 4, 6, ENTRY_CANCELLED, trade, account="owner"),
        leg_reduced("g.sl", 4, 6, ENTRY_CANCELLED, trade, account="owner"),
    ]


def test_an_entry_replaced_to_what_is_filled_is_done() -> None:
    scene = one_bracket(activation=FULL)
    scene.when(limit("t", SELL, 4, 100))
    end = scene.nth(2)
    assert scene.when(replace("g", "g2", 4, 100, account="owner"))[1:] == [
        removed("g2", 0, REDUCED_TO_FILLED, "owner", group="g"),
        exit_opened("g", 4, end),
        leg_reduced("g.tp", 6, 4, ENTRY_CANCELLED, end, account="owner"),
        leg_reduced("g.sl", 6, 4, ENTRY_CANCELLED, end, account="owner"),
    ]


def test_legs_that_wait_are_repriced_and_the_quantity_is_the_entrys() -> None:
    scene = one_bracket()
    assert scene.when(reprice("g.tp", "tp2", limit_usd=112, account="owner")) == [
        msgspec.structs.replace(amended("tp2", "g.tp", 10, 112, account="owner"), group_id="g")
    ]
    assert scene.when(reprice("g.sl", "sl2", stop_usd=113, account="owner")) == [
        Refused("sl2", "owner", SYMBOL, OCO_PRICES_DO_NOT_STRADDLE, "g.sl")
    ]
    assert scene.when(amend("g", 5, account="owner")) == [
        GroupRefused("g", "owner", SYMBOL, ENTRY_ALIVE, amend=True)
    ]
    scene.when(limit("t", SELL, 10, 100))
    assert scene.resting(SELL) == [("tp2", 112, 10)]
