"""Rows 24 to 32 of the decision table: cancels and amends, shrinking, liquidation, halts."""

import pytest

from nexustrade.core.terms import SELL
from nexustrade.matching.messages import Tick
from nexustrade.orders.messages import CheckMargin, RestrictInstrument
from tests.unit.decision_table.scene import (
    SYMBOL,
    Scene,
    amend,
    buy,
    cancel,
    cancel_group,
    oco,
    replace,
    sell,
    stop,
    story,
)

Partitions = tuple[int, int]
both_policies = pytest.mark.parametrize("policy", ["REDUCE", "CANCEL"])


@both_policies
def test_row_24_cancel_of_the_take_profit(partitions: Partitions, policy: str) -> None:
    """Cancel either leg: both cancelled in one batch."""
    s = Scene(partitions).given(oco(policy))
    assert s.when(cancel("tp")) == story("""
        1 CancelRequested tp
        2 <1 LegCancelled tp 10 BY_REQUEST
        3 <2 OrderCanceled tp 10 BY_REQUEST
        4 <1 LegCancelled sl 10 GROUP_CANCELLED
        5 <4 OrderCanceled sl 10 GROUP_CANCELLED
        6 <1 GroupClosed tp CANCELLED
        7 <6 ReservationReleased tp CANCELLED 0 and 10
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


@both_policies
def test_row_24_cancel_of_the_stop_loss(partitions: Partitions, policy: str) -> None:
    """Cancel either leg: both cancelled in one batch."""
    s = Scene(partitions).given(oco(policy))
    assert s.when(cancel("sl")) == story("""
        1 CancelRequested sl
        2 <1 LegCancelled sl 10 BY_REQUEST
        3 <2 OrderCanceled sl 10 BY_REQUEST
        4 <1 LegCancelled tp 10 GROUP_CANCELLED
        5 <4 OrderCanceled tp 10 GROUP_CANCELLED
        6 <1 GroupClosed tp CANCELLED
        7 <6 ReservationReleased tp CANCELLED 0 and 10
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


@both_policies
def test_row_24_cancel_of_the_group(partitions: Partitions, policy: str) -> None:
    """Cancel the group, after a partial fill: what is left of it is cancelled in one batch."""
    s = Scene(partitions).given(oco(policy), buy("b", 4, 110))
    told = s.when(cancel_group())
    if policy == "REDUCE":
        assert told == story("""
            1 CancelRequested tp of tp
            2 <1 LegCancelled tp 6 BY_REQUEST
            3 <2 OrderCanceled tp 6 BY_REQUEST
            4 <1 LegCancelled sl 6 GROUP_CANCELLED
            5 <4 OrderCanceled sl 6 GROUP_CANCELLED
            6 <1 GroupClosed tp CANCELLED
            7 <6 ReservationReleased tp CANCELLED 0 and 6
        """)
        assert s.stands("tp", "sl") == story("""
            ann cash 1000440 position 6 holds 0 and 0
            group CLOSED 10 R 0 holds 0 and 0
            tp CANCELED 4 of 10 open 0
            sl CANCELED 0 of 6 open 0
        """)
    else:
        assert told == story("""
            1 CancelRequested tp of tp
            2 <1 LegCancelled tp 6 BY_REQUEST
            3 <2 OrderCanceled tp 6 BY_REQUEST
            4 <1 GroupClosed tp CANCELLED
            5 <4 ReservationReleased tp CANCELLED 0 and 6
        """)
        assert s.stands("tp", "sl") == story("""
            ann cash 1000440 position 6 holds 0 and 0
            group CLOSED 10 R 0 holds 0 and 0
            tp CANCELED 4 of 10 open 0
            sl CANCELED 0 of 10 open 0
        """)


def test_row_25_cancel_after_election(partitions: Partitions) -> None:
    """Cancel after SL elected: SL_WORKING remainder cancelled; fills stand."""
    s = Scene(partitions).given(oco(), buy("b", 4, 90), sell("a", 1, 90, "cat"))
    assert s.when(cancel("tp")) == story("""
        1 CancelRejected tp ORDER_CLOSED
    """)
    assert s.when(cancel_group()) == story("""
        1 CancelRequested sl of tp
        2 <1 LegCancelled sl 7 BY_REQUEST
        3 <2 OrderCanceled sl 7 BY_REQUEST
        4 <1 GroupClosed tp CANCELLED
        5 <4 ReservationReleased tp CANCELLED 0 and 7
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000270 position 7 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 3 of 10 open 0
    """)


def test_row_26_amend_of_the_take_profit_straddles(partitions: Partitions) -> None:
    """Amend TP price: straddle re-checked."""
    s = Scene(partitions).given(oco())
    for usd in (100, 95, 90, 80):
        assert s.when(replace("tp", limit=usd)) == story("""
            1 ReplaceRejected tp OCO_PRICES_DO_NOT_STRADDLE
        """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_26_amend_of_the_take_profit_loses_its_place(partitions: Partitions) -> None:
    """Amend TP price: loses place."""
    s = Scene(partitions).given(oco(), sell("behind", 5, 111))
    assert s.when(replace("tp", limit=111)) == story("""
        1 ReplaceRequested tp by tp' 10 at 111
        2 <1 Amended tp to tp' 10 at 111 requeued
        3 <2 OrderReplaced tp by tp'
        4 <1 Rested tp' SELL 10 at 111
    """)
    assert s.resting(SELL) == ["behind 5", "tp' 10"]
    assert s.stands("tp", "tp'", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp REPLACED 0 of 10 open 0
        tp' NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


@both_policies
def test_row_26_amend_of_the_take_profit_trades_at_once(
    partitions: Partitions, policy: str
) -> None:
    """Amend TP price: may trade at once."""
    s = Scene(partitions).given(oco(policy), buy("b", 12, 105))
    assert s.when(replace("tp", limit=104)) == story("""
        1 ReplaceRequested tp by tp' 10 at 104
        2 <1 Amended tp to tp' 10 at 104 requeued
        3 <2 OrderReplaced tp by tp'
        4 <1 Traded 2: 10 at 105, maker b left 2, taker tp' done
        5 <4 OrderFilled bob b BUY 10 at 105 MAKER
        6 <4 OrderFilled ann tp' SELL 10 at 105 TAKER done
        7 <4 LegCancelled sl 10 SIBLING_FILLED
        8 <7 OrderCanceled sl 10 SIBLING_FILLED
        9 <4 GroupClosed tp TP_FILLED
        10 <9 ReservationReleased tp TP_FILLED 0 and 0
    """)
    assert s.stands("tp", "tp'", "sl") == story("""
        ann cash 1001050 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp REPLACED 0 of 10 open 0
        tp' FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_27_amend_of_the_stop(partitions: Partitions) -> None:
    """Amend stop price: new election time; the stop that was there before goes first."""
    s = Scene(partitions).given(oco(), stop("before", SELL, 1, 95))
    assert s.when(replace("sl", stop=95)) == story("""
        1 ReplaceRequested sl by sl' 10 stop 95
        2 <1 Amended sl to sl' 10 stop 95 requeued
        3 <2 OrderReplaced sl by sl'
        4 <1 Parked sl' SELL 10 stop 95
    """)
    assert s.parked(SELL) == ["before 1", "sl' 10"]
    assert s.stands("tp", "sl", "sl'") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl REPLACED 0 of 10 open 0
        sl' HELD 0 of 10 open 10
    """)


def test_row_27_amend_of_the_stop_would_trigger(partitions: Partitions) -> None:
    """Amend stop price: re-checked against last; would trigger now: STOP_WOULD_TRIGGER."""
    s = Scene(partitions).given(oco())
    assert s.when(replace("sl", stop=100)) == story("""
        1 ReplaceRejected sl STOP_WOULD_TRIGGER
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_27_the_last_trade_is_known_to_matching_first(partitions: Partitions) -> None:
    """Amend stop price: where the orders stage does not know the last trade yet, matching does."""
    s = Scene((2, 2)).given(oco(), sell("a", 1, 94), buy("b", 1, 94, "cat"))
    assert s.when(replace("sl", stop=95)) == story("""
        1 ReplaceRequested sl by sl' 10 stop 95
        2 <1 Refused sl' STOP_WOULD_TRIGGER
        3 <2 ReplaceRejected sl STOP_WOULD_TRIGGER
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_28_quantity_of_one_leg(partitions: Partitions) -> None:
    """Amend quantity of one leg: reject QTY_IS_GROUP_LEVEL."""
    s = Scene(partitions).given(oco())
    assert s.when(replace("tp", qty=5)) == story("""
        1 ReplaceRejected tp QTY_IS_GROUP_LEVEL
    """)
    assert s.when(replace("sl", qty=5)) == story("""
        1 ReplaceRejected sl QTY_IS_GROUP_LEVEL
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_28_group_amend_down(partitions: Partitions) -> None:
    """Group amend sets both: down keeps place."""
    s = Scene(partitions).given(oco(), sell("behind", 5, 110), stop("later", SELL, 1, 90))
    s.given(buy("b", 4, 110))
    assert s.when(amend(7)) == story("""
        1 GroupAmendRequested tp 7 holds 0 and 3
        2 <1 GroupAmended tp 7
        3 <2 GroupResized tp 7
        4 <2 LegReduced tp by 3 to 3 AMENDED
        5 <2 LegReduced sl by 3 to 3 AMENDED
        6 <2 ReservationChanged tp holds 0 and 3
    """)
    assert s.resting(SELL) == ["tp 3", "behind 5"]
    assert s.parked(SELL) == ["sl 3", "later 1"]
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 3
        group ACTIVE 7 R 3 holds 0 and 3
        tp PARTIALLY_FILLED 4 of 7 open 3
        sl HELD 0 of 3 open 3
    """)


def test_row_28_group_amend_up(partitions: Partitions) -> None:
    """Group amend sets both: up loses it and reserves more."""
    s = Scene(partitions, shares=20).given(oco(), sell("behind", 5, 110))
    s.given(buy("b", 4, 110))
    assert s.when(amend(15)) == story("""
        1 GroupAmendRequested tp 15 holds 0 and 11
        2 <1 GroupAmended tp 15
        3 <2 GroupResized tp 15
        4 <2 GroupGrown tp by 5 to 15 tp rests
        5 <2 ReservationChanged tp holds 0 and 11
    """)
    assert s.resting(SELL) == ["behind 5", "tp 11"]
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 16 holds 0 and 11
        group ACTIVE 15 R 11 holds 0 and 11
        tp PARTIALLY_FILLED 4 of 15 open 11
        sl HELD 0 of 11 open 11
    """)


def test_row_28_group_amend_up_of_a_short(partitions: Partitions) -> None:
    """Group amend sets both: up reserves more cents for the fee of the dearer leg; then less."""
    s = Scene(partitions, account_type="MARGIN", shares=-20, taker_fee_ppm=1_000)
    s.given(oco(side="BUY", tp_usd=90, sl_usd=110), sell("b", 4, 90))
    assert s.when(amend(15)) == story("""
        1 GroupAmendRequested tp 15 holds 1.28 and 11
        2 <1 GroupAmended tp 15
        3 <2 GroupResized tp 15
        4 <2 GroupGrown tp by 5 to 15 tp rests
        5 <2 ReservationChanged tp holds 1.28 and 11
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001638 position -16 holds 1.28 and 11
        group ACTIVE 15 R 11 holds 1.28 and 11
        tp PARTIALLY_FILLED 4 of 15 open 11
        sl HELD 0 of 11 open 11
    """)
    assert s.when(amend(6)) == story("""
        1 GroupAmendRequested tp 6 holds 0.24 and 2
        2 <1 GroupAmended tp 6
        3 <2 GroupResized tp 6
        4 <2 LegReduced tp by 9 to 2 AMENDED
        5 <2 LegReduced sl by 9 to 2 AMENDED
        6 <2 ReservationChanged tp holds 0.24 and 2
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001638 position -16 holds 0.24 and 2
        group ACTIVE 6 R 2 holds 0.24 and 2
        tp PARTIALLY_FILLED 4 of 6 open 2
        sl HELD 0 of 2 open 2
    """)


def test_row_28_group_amend_without_shares(partitions: Partitions) -> None:
    """Group amend up needs the shares."""
    s = Scene(partitions, shares=12).given(oco())
    assert s.when(amend(13)) == story("""
        1 GroupAmendRejected tp INSUFFICIENT_QTY
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 12 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


@both_policies
def test_row_28_group_amend_to_what_is_filled(partitions: Partitions, policy: str) -> None:
    """Group amend: <= filled closes."""
    s = Scene(partitions).given(oco(policy), buy("b", 4, 110))
    told = s.when(amend(4))
    if policy == "REDUCE":
        assert told == story("""
            1 GroupAmendRequested tp 4 holds 0 and 0
            2 <1 LegCancelled tp 6 AMENDED
            3 <2 OrderCanceled tp 6 AMENDED
            4 <1 LegCancelled sl 6 AMENDED
            5 <4 OrderCanceled sl 6 AMENDED
            6 <1 GroupClosed tp CANCELLED
            7 <6 ReservationReleased tp CANCELLED 0 and 6
        """)
    else:
        assert told == story("""
            1 GroupAmendRequested tp 4 holds 0 and 0
            2 <1 LegCancelled tp 6 AMENDED
            3 <2 OrderCanceled tp 6 AMENDED
            4 <1 GroupClosed tp CANCELLED
            5 <4 ReservationReleased tp CANCELLED 0 and 6
        """)
    assert s.stands("tp") == story("""
        ann cash 1000440 position 6 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
    """)


def test_row_29_amend_of_a_working_stop_loss(partitions: Partitions) -> None:
    """Amend while SL_WORKING: only SL limit price and cancel; else TOO_LATE."""
    s = Scene(partitions).given(oco(), buy("b", 4, 90), sell("a", 1, 90, "cat"))
    assert s.when(amend(8)) == story("""
        1 GroupAmendRejected tp TOO_LATE
    """)
    assert s.when(replace("sl", stop=80)) == story("""
        1 ReplaceRejected sl TOO_LATE
    """)
    assert s.when(replace("tp", limit=120)) == story("""
        1 ReplaceRejected tp ORDER_CLOSED
    """)
    assert s.when(replace("sl", limit=86)) == story("""
        1 ReplaceRequested sl by sl' 10 at 86 stop 90
        2 <1 Amended sl to sl' 7 at 86 requeued
        3 <2 OrderReplaced sl by sl'
        4 <1 Rested sl' SELL 7 at 86
    """)
    assert s.stands("tp", "sl", "sl'") == story("""
        ann cash 1000270 position 7 holds 0 and 7
        group ELECTED 10 R 7 holds 0 and 7
        tp CANCELED 0 of 10 open 0
        sl REPLACED 3 of 10 open 0
        sl' PARTIALLY_FILLED 3 of 10 open 7
    """)
    assert s.when(cancel("sl'")) == story("""
        1 CancelRequested sl'
        2 <1 LegCancelled sl' 7 BY_REQUEST
        3 <2 OrderCanceled sl' 7 BY_REQUEST
        4 <1 GroupClosed tp CANCELLED
        5 <4 ReservationReleased tp CANCELLED 0 and 7
    """)
    assert s.stands("tp", "sl'") == story("""
        ann cash 1000270 position 7 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl' CANCELED 3 of 10 open 0
    """)


def test_row_29_amend_of_an_elected_stop_limit(partitions: Partitions) -> None:
    """Amend while ELECTED_PENDING: only SL limit price and cancel; else TOO_LATE."""
    s = Scene(partitions).given(oco(sl_limit=89), sell("low", 2, 90, "cat"), buy("bid", 9, 88))
    s.given(buy("b", 6, 110, "dan"))
    assert s.when(amend(8)) == story("""
        1 GroupAmendRejected tp TOO_LATE
    """)
    assert s.when(replace("sl", stop=80)) == story("""
        1 ReplaceRejected sl TOO_LATE
    """)
    assert s.when(replace("sl", limit=88)) == story("""
        1 ReplaceRequested sl by sl' 6 at 88 stop 90
        2 <1 Amended sl to sl' 6 at 88 stop 90
        3 <2 OrderReplaced sl by sl'
    """)
    assert s.when(Tick()) == story("""
        1 PhaseChanged CONTINUOUS CALL_ENDED
        2 StopActivated sl' 6 at 88
        3 Traded 4: 6 at 88, maker bid left 3, taker sl' done
        4 <3 OrderFilled bob bid BUY 6 at 88 MAKER
        5 <3 OrderFilled ann sl' SELL 6 at 88 TAKER done
        6 <3 GroupClosed tp SL_FILLED
        7 <6 ReservationReleased tp SL_FILLED 0 and 0
        8 Marked 88
    """)
    assert s.stands("tp", "sl'") == story("""
        ann cash 1000968 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
        sl' FILLED 6 of 6 open 0
    """)


def test_row_29_cancel_of_an_elected_stop(partitions: Partitions) -> None:
    """Cancel while ELECTED_PENDING; a stop without a limit has none to change: TOO_LATE."""
    s = Scene(partitions).given(oco(), sell("low", 2, 90, "cat"), buy("b", 6, 110))
    assert s.when(replace("sl", limit=88)) == story("""
        1 ReplaceRequested sl by sl' 6 at 88 stop 90
        2 <1 Refused sl' TOO_LATE
        3 <2 ReplaceRejected sl TOO_LATE
    """)
    assert s.when(cancel("sl")) == story("""
        1 CancelRequested sl
        2 <1 LegCancelled sl 6 BY_REQUEST
        3 <2 OrderCanceled sl 6 BY_REQUEST
        4 <1 GroupClosed tp CANCELLED
        5 <4 ReservationReleased tp CANCELLED 0 and 6
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
        sl CANCELED 0 of 6 open 0
    """)


def test_row_30_position_shrinks_by_another_sell(partitions: Partitions) -> None:
    """Position shrinks by another sell: that sell is refused, the shares are reserved."""
    s = Scene(partitions).given(oco())
    assert s.when(sell("own", 4, 99, "ann")) == story("""
        1 OrderRejected own INSUFFICIENT_QTY
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


@both_policies
def test_row_30_auto_shrink(partitions: Partitions, policy: str) -> None:
    """`auto_shrink` lets the sell through and reduces R first."""
    s = Scene(partitions).given(oco(policy, auto_shrink=True), buy("b", 4, 99))
    assert s.when(sell("own", 4, 99, "ann")) == story("""
        1 OrderAccepted ann own SELL 4 LIMIT 99 GTC holds 0 and 4 shrinks tp by 4
        2 <1 LegReduced tp by 4 to 6 POSITION_SHRUNK
        3 <2 OrderDecremented tp by 4 POSITION_SHRUNK
        4 <2 ReservationChanged tp holds 0 and 6
        5 <1 LegReduced sl by 4 to 6 POSITION_SHRUNK
        6 <5 OrderDecremented sl by 4 POSITION_SHRUNK
        7 <1 Traded 2: 4 at 99, maker b left 0, taker own done
        8 <7 OrderFilled bob b BUY 4 at 99 MAKER done
        9 <7 OrderFilled ann own SELL 4 at 99 TAKER done
    """)
    assert s.stands("tp", "sl", "own") == story("""
        ann cash 1000396 position 6 holds 0 and 6
        group ACTIVE 6 R 6 holds 0 and 6
        tp NEW 0 of 6 open 6
        sl HELD 0 of 6 open 6
        own FILLED 4 of 4 open 0
    """)


def test_row_30_auto_shrink_of_all(partitions: Partitions) -> None:
    """`auto_shrink`: a sell of everything ends the group before it enters."""
    s = Scene(partitions).given(oco(auto_shrink=True), buy("b", 4, 99))
    assert s.when(sell("own", 10, 99, "ann")) == story("""
        1 OrderAccepted ann own SELL 10 LIMIT 99 GTC holds 0 and 10 shrinks tp by 10
        2 <1 LegCancelled tp 10 POSITION_SHRUNK
        3 <2 OrderCanceled tp 10 POSITION_SHRUNK
        4 <2 ReservationChanged tp holds 0 and 0
        5 <1 LegCancelled sl 10 POSITION_SHRUNK
        6 <5 OrderCanceled sl 10 POSITION_SHRUNK
        7 <1 GroupClosed tp CANCELLED
        8 <7 ReservationReleased tp CANCELLED 0 and 0
        9 <1 Traded 2: 4 at 99, maker b left 0, taker own
        10 <9 OrderFilled bob b BUY 4 at 99 MAKER done
        11 <9 OrderFilled ann own SELL 4 at 99 TAKER
        12 <1 Rested own SELL 6 at 99
    """)
    assert s.stands("tp", "sl", "own") == story("""
        ann cash 1000396 position 6 holds 0 and 6
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
        own PARTIALLY_FILLED 4 of 10 open 6
    """)


def test_row_31_margin_liquidation(partitions: Partitions) -> None:
    """Margin liquidation: cancels groups on the symbol first, then sells."""
    s = Scene(partitions, account_type="MARGIN", shares=0, cash=500_00)
    s.given(sell("x", 10, 100), buy("y", 10, 100, "ann"), oco(sl_usd=50))
    s.given(buy("b", 1, 60), sell("a", 1, 60, "cat"), buy("c", 20, 59))
    s.run(Tick())
    assert s.when(CheckMargin(1_000_000)) == story("""
        1 MarginCallIssued ann equity 100 below 150
    """)
    s.wait(2)
    assert s.when(CheckMargin(1_000_000)) == story("""
        1 LiquidationStarted ann 4 for 50
        2 CancelRequested tp of tp
        3 <2 LegCancelled tp 10 BY_REQUEST
        4 <3 OrderCanceled tp 10 BY_REQUEST
        5 <2 LegCancelled sl 10 GROUP_CANCELLED
        6 <5 OrderCanceled sl 10 GROUP_CANCELLED
        7 <2 GroupClosed tp CANCELLED
        8 <7 ReservationReleased tp CANCELLED 0 and 10
        9 <7 OrderAccepted ann the-sale SELL 4 MARKET collar 57 DAY holds 0 and 4
        10 <9 Traded 4: 4 at 59, maker c left 16, taker the-sale done
        11 <10 OrderFilled bob c BUY 4 at 59 MAKER
        12 <10 OrderFilled ann the-sale SELL 4 at 59 TAKER done
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash -264 position 6 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_32_halt(partitions: Partitions) -> None:
    """Halt: no matching, no election; cancel allowed, amend refused."""
    s = Scene(partitions).given(oco(), oco(name="tp2", sl="sl2", account="dan"))
    s.given(buy("b", 1, 90), RestrictInstrument(SYMBOL, "HALTED", "news"))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderRejected a NOT_TRADABLE
    """)
    assert s.when(replace("tp", limit=111)) == story("""
        1 ReplaceRejected tp NOT_TRADABLE
    """)
    assert s.when(amend(8)) == story("""
        1 GroupAmendRejected tp NOT_TRADABLE
    """)
    assert s.when(cancel("tp2", "dan")) == story("""
        1 CancelRequested tp2
        2 <1 LegCancelled tp2 10 BY_REQUEST
        3 <2 OrderCanceled tp2 10 BY_REQUEST
        4 <1 LegCancelled sl2 10 GROUP_CANCELLED
        5 <4 OrderCanceled sl2 10 GROUP_CANCELLED
        6 <1 GroupClosed tp2 CANCELLED
        7 <6 ReservationReleased tp2 CANCELLED 0 and 10
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_32_take_profit_in_the_reopening_auction(partitions: Partitions) -> None:
    """Halt: TP joins the reopening auction."""
    s = Scene(partitions, rules={"call_s": 60}).given(oco())
    s.given(RestrictInstrument(SYMBOL, "HALTED", "news"))
    assert s.when(RestrictInstrument(SYMBOL, "ACTIVE", "")) == story("""
        1 PhaseChanged VOLATILITY_AUCTION OPERATOR
        2 InstrumentRestricted ACTIVE
    """)
    s.given(buy("b", 6, 112)).wait(60)
    assert s.when(Tick()) == story("""
        1 Uncrossed VOLATILITY_AUCTION 6 at 110 surplus SELL 4
        2 Traded 2: 6 at 110, maker tp left 4, taker b done auction
        3 <2 OrderFilled ann tp SELL 6 at 110 MAKER
        4 <2 OrderFilled bob b BUY 6 at 110 TAKER done
        5 <2 LegReduced sl by 6 to 4 SIBLING_FILL
        6 <5 OrderDecremented sl by 6 SIBLING_FILL
        7 <5 ReservationChanged tp holds 0 and 4
        8 PhaseChanged CONTINUOUS CALL_ENDED
        9 Marked 110
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000660 position 4 holds 0 and 4
        group ACTIVE 10 R 4 holds 0 and 4
        tp PARTIALLY_FILLED 6 of 10 open 4
        sl HELD 0 of 4 open 4
    """)


def test_row_32_the_print_of_the_reopening_auction_elects(partitions: Partitions) -> None:
    """Halt: the reopening auction's print may elect."""
    s = Scene(partitions, rules={"call_s": 60}).given(oco())
    s.given(RestrictInstrument(SYMBOL, "HALTED", "news"), RestrictInstrument(SYMBOL, "ACTIVE", ""))
    s.given(buy("b", 5, 88), sell("a", 5, 88, "cat"), buy("c", 20, 87)).wait(60)
    assert s.when(Tick()) == story("""
        1 Uncrossed VOLATILITY_AUCTION 5 at 88
        2 Traded 2: 5 at 88, maker b left 0, taker a done auction
        3 <2 OrderFilled bob b BUY 5 at 88 MAKER done
        4 <2 OrderFilled cat a SELL 5 at 88 TAKER done
        5 PhaseChanged CONTINUOUS CALL_ENDED
        6 <2 StopElected sl by 88 in trade 2 gapped
        7 <6 OrderTriggered sl by 88 in trade 2 gapped
        8 <6 LegCancelled tp 10 SIBLING_ELECTED
        9 <8 OrderCanceled tp 10 SIBLING_ELECTED
        10 <6 StopActivated sl 10 at 83.6
        11 Traded 3: 10 at 87, maker c left 10, taker sl done
        12 <11 OrderFilled bob c BUY 10 at 87 MAKER
        13 <11 OrderFilled ann sl SELL 10 at 87 TAKER done
        14 <11 GroupClosed tp SL_FILLED
        15 <14 ReservationReleased tp SL_FILLED 0 and 0
        16 Marked 87
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000870 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)
