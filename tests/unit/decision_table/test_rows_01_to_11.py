"""Rows 1 to 11 of the decision table: fills of the legs, elections, gaps, both levels at once."""

import pytest

from nexustrade.core.terms import BUY
from nexustrade.matching.messages import BeginOpeningCall, CloseSession, OpenSession
from tests.unit.decision_table.scene import (
    DAY_1,
    DAY_2,
    Scene,
    buy,
    oco,
    replace,
    sell,
    stop,
    story,
)

Partitions = tuple[int, int]
both_policies = pytest.mark.parametrize("policy", ["REDUCE", "CANCEL"])


def short(partitions: Partitions, **rules: object) -> Scene:
    """A margin account that is short 10 and pays 500 ppm as maker, 1,000 ppm as taker."""
    return Scene(
        partitions,
        account_type="MARGIN",
        shares=-10,
        rules=rules,
        maker_fee_ppm=500,
        taker_fee_ppm=1_000,
    )


@both_policies
def test_row_01_take_profit_filled(partitions: Partitions, policy: str) -> None:
    """TP filled 10: SL LEG_CANCELLED(SIBLING_FILLED); closed TP_FILLED."""
    s = Scene(partitions).given(oco(policy))
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    assert s.when(buy("b", 10, 110)) == story("""
        1 OrderAccepted bob b BUY 10 LIMIT 110 GTC holds 1100 and 0
        2 <1 Traded 2: 10 at 110, maker tp left 0, taker b done
        3 <2 OrderFilled ann tp SELL 10 at 110 MAKER done
        4 <2 OrderFilled bob b BUY 10 at 110 TAKER done
        5 <2 LegCancelled sl 10 SIBLING_FILLED
        6 <5 OrderCanceled sl 10 SIBLING_FILLED
        7 <2 GroupClosed tp TP_FILLED
        8 <7 ReservationReleased tp TP_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001100 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


@both_policies
def test_row_01_take_profit_of_a_short_filled(partitions: Partitions, policy: str) -> None:
    """The mirror: the exit buys 10 back at 90 or, after a rise, at 110; it holds the fee."""
    s = short(partitions).given(oco(policy, side="BUY", tp_usd=90, sl_usd=110))
    assert s.stands("tp", "sl") == story("""
        ann cash 1000999 position -10 holds 1.16 and 10
        group ACTIVE 10 R 10 holds 1.16 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    assert s.when(sell("a", 10, 90)) == story("""
        1 OrderAccepted bob a SELL 10 LIMIT 90 GTC holds 0 and 10
        2 <1 Traded 3: 10 at 90, maker tp left 0, taker a done
        3 <2 OrderFilled ann tp BUY 10 at 90 MAKER fee 0.45 done
        4 <2 OrderFilled bob a SELL 10 at 90 TAKER done
        5 <2 LegCancelled sl 10 SIBLING_FILLED
        6 <5 OrderCanceled sl 10 SIBLING_FILLED
        7 <2 GroupClosed tp TP_FILLED
        8 <7 ReservationReleased tp TP_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000098.55 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_02_take_profit_partly_filled(partitions: Partitions) -> None:
    """TP filled 4: SL reduced to 6, keeps its election time; TP leaves 6, keeps its place."""
    s = Scene(partitions).given(oco(), stop("later", "SELL", 1, 90), sell("behind", 5, 110))
    assert s.when(buy("b", 4, 110)) == story("""
        1 OrderAccepted bob b BUY 4 LIMIT 110 GTC holds 440 and 0
        2 <1 Traded 2: 4 at 110, maker tp left 6, taker b done
        3 <2 OrderFilled ann tp SELL 4 at 110 MAKER
        4 <2 OrderFilled bob b BUY 4 at 110 TAKER done
        5 <2 LegReduced sl by 4 to 6 SIBLING_FILL
        6 <5 OrderDecremented sl by 4 SIBLING_FILL
        7 <5 ReservationChanged tp holds 0 and 6
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 6
        group ACTIVE 10 R 6 holds 0 and 6
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl HELD 0 of 6 open 6
    """)
    assert s.resting("SELL") == ["tp 6", "behind 5"]
    assert s.parked("SELL") == ["sl 6", "later 1"]


def test_row_02_take_profit_partly_filled_under_cancel(partitions: Partitions) -> None:
    """TP filled 4. CANCEL: SL cancelled, TP 6 stays."""
    s = Scene(partitions).given(oco("CANCEL"), sell("behind", 5, 110))
    assert s.when(buy("b", 4, 110)) == story("""
        1 OrderAccepted bob b BUY 4 LIMIT 110 GTC holds 440 and 0
        2 <1 Traded 2: 4 at 110, maker tp left 6, taker b done
        3 <2 OrderFilled ann tp SELL 4 at 110 MAKER
        4 <2 OrderFilled bob b BUY 4 at 110 TAKER done
        5 <2 LegCancelled sl 10 SIBLING_FILLED
        6 <5 OrderCanceled sl 10 SIBLING_FILLED
        7 <5 ReservationChanged tp holds 0 and 6
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 6
        group ACTIVE 10 R 6 holds 0 and 6
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl CANCELED 0 of 10 open 0
    """)
    assert s.resting("SELL") == ["tp 6", "behind 5"]
    assert s.when(buy("c", 6, 110)) == story("""
        1 OrderAccepted bob c BUY 6 LIMIT 110 GTC holds 660 and 0
        2 <1 Traded 3: 6 at 110, maker tp left 0, taker c done
        3 <2 OrderFilled ann tp SELL 6 at 110 MAKER done
        4 <2 OrderFilled bob c BUY 6 at 110 TAKER done
        5 <2 GroupClosed tp TP_FILLED
        6 <5 ReservationReleased tp TP_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001100 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


@both_policies
def test_row_02_take_profit_of_a_short_partly_filled(partitions: Partitions, policy: str) -> None:
    """The mirror: the fee for the dearer leg is held for what is left, then for the TP alone."""
    s = short(partitions).given(oco(policy, side="BUY", tp_usd=90, sl_usd=110))
    told = s.when(sell("a", 4, 90))
    if policy == "REDUCE":
        assert told == story("""
            1 OrderAccepted bob a SELL 4 LIMIT 90 GTC holds 0 and 4
            2 <1 Traded 3: 4 at 90, maker tp left 6, taker a done
            3 <2 OrderFilled ann tp BUY 4 at 90 MAKER fee 0.18
            4 <2 OrderFilled bob a SELL 4 at 90 TAKER done
            5 <2 LegReduced sl by 4 to 6 SIBLING_FILL
            6 <5 OrderDecremented sl by 4 SIBLING_FILL
            7 <5 ReservationChanged tp holds 0.7 and 6
        """)
        assert s.stands("tp", "sl") == story("""
            ann cash 1000638.82 position -6 holds 0.7 and 6
            group ACTIVE 10 R 6 holds 0.7 and 6
            tp PARTIALLY_FILLED 4 of 10 open 6
            sl HELD 0 of 6 open 6
        """)
    else:
        assert told == story("""
            1 OrderAccepted bob a SELL 4 LIMIT 90 GTC holds 0 and 4
            2 <1 Traded 3: 4 at 90, maker tp left 6, taker a done
            3 <2 OrderFilled ann tp BUY 4 at 90 MAKER fee 0.18
            4 <2 OrderFilled bob a SELL 4 at 90 TAKER done
            5 <2 LegCancelled sl 10 SIBLING_FILLED
            6 <5 OrderCanceled sl 10 SIBLING_FILLED
            7 <5 ReservationChanged tp holds 0.54 and 6
        """)
        assert s.stands("tp", "sl") == story("""
            ann cash 1000638.82 position -6 holds 0.54 and 6
            group ACTIVE 10 R 6 holds 0.54 and 6
            tp PARTIALLY_FILLED 4 of 10 open 6
            sl CANCELED 0 of 10 open 0
        """)


def test_row_03_several_partial_fills_in_one_sweep(partitions: Partitions) -> None:
    """Several TP partials in one sweep: one LEG_REDUCED after each trade."""
    s = Scene(partitions).given(oco(), buy("b", 3, 105), buy("c", 4, 104, "cat"), buy("d", 9, 103))
    assert s.when(replace("tp", limit=104)) == story("""
        1 ReplaceRequested tp by tp' 10 at 104
        2 <1 Amended tp to tp' 10 at 104 requeued
        3 <2 OrderReplaced tp by tp'
        4 <1 Traded 2: 3 at 105, maker b left 0, taker tp'
        5 <4 OrderFilled bob b BUY 3 at 105 MAKER done
        6 <4 OrderFilled ann tp' SELL 3 at 105 TAKER
        7 <4 LegReduced sl by 3 to 7 SIBLING_FILL
        8 <7 OrderDecremented sl by 3 SIBLING_FILL
        9 <7 ReservationChanged tp holds 0 and 7
        10 <1 Traded 3: 4 at 104, maker c left 0, taker tp'
        11 <10 OrderFilled cat c BUY 4 at 104 MAKER done
        12 <10 OrderFilled ann tp' SELL 4 at 104 TAKER
        13 <10 LegReduced sl by 4 to 3 SIBLING_FILL
        14 <13 OrderDecremented sl by 4 SIBLING_FILL
        15 <13 ReservationChanged tp holds 0 and 3
        16 <1 Rested tp' SELL 3 at 104
    """)
    assert s.stands("tp", "tp'", "sl") == story("""
        ann cash 1000731 position 3 holds 0 and 3
        group ACTIVE 10 R 3 holds 0 and 3
        tp REPLACED 0 of 10 open 0
        tp' PARTIALLY_FILLED 7 of 10 open 3
        sl HELD 0 of 3 open 3
    """)


def test_row_03_the_first_partial_fill_of_a_sweep_under_cancel(partitions: Partitions) -> None:
    """CANCEL: the first trade cancels SL, the others find nothing to cancel."""
    s = Scene(partitions).given(oco("CANCEL"), buy("b", 3, 105), buy("c", 4, 104, "cat"))
    assert s.when(replace("tp", limit=104)) == story("""
        1 ReplaceRequested tp by tp' 10 at 104
        2 <1 Amended tp to tp' 10 at 104 requeued
        3 <2 OrderReplaced tp by tp'
        4 <1 Traded 2: 3 at 105, maker b left 0, taker tp'
        5 <4 OrderFilled bob b BUY 3 at 105 MAKER done
        6 <4 OrderFilled ann tp' SELL 3 at 105 TAKER
        7 <4 LegCancelled sl 10 SIBLING_FILLED
        8 <7 OrderCanceled sl 10 SIBLING_FILLED
        9 <7 ReservationChanged tp holds 0 and 7
        10 <1 Traded 3: 4 at 104, maker c left 0, taker tp'
        11 <10 OrderFilled cat c BUY 4 at 104 MAKER done
        12 <10 OrderFilled ann tp' SELL 4 at 104 TAKER
        13 <10 ReservationChanged tp holds 0 and 3
        14 <1 Rested tp' SELL 3 at 104
    """)
    assert s.stands("tp", "tp'", "sl") == story("""
        ann cash 1000731 position 3 holds 0 and 3
        group ACTIVE 10 R 3 holds 0 and 3
        tp REPLACED 0 of 10 open 0
        tp' PARTIALLY_FILLED 7 of 10 open 3
        sl CANCELED 0 of 10 open 0
    """)


@both_policies
def test_row_04_a_print_at_the_stop(partitions: Partitions, policy: str) -> None:
    """Print at 90: STOP_ELECTED; TP cancelled; SL sells R as aggressor."""
    s = Scene(partitions).given(oco(policy), buy("b", 7, 90), buy("c", 6, 89))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 6, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 85.5
        10 <1 Traded 3: 6 at 90, maker b left 0, taker sl
        11 <10 OrderFilled bob b BUY 6 at 90 MAKER done
        12 <10 OrderFilled ann sl SELL 6 at 90 TAKER
        13 <10 ReservationChanged tp holds 0 and 4
        14 <1 Traded 4: 4 at 89, maker c left 2, taker sl done
        15 <14 OrderFilled bob c BUY 4 at 89 MAKER
        16 <14 OrderFilled ann sl SELL 4 at 89 TAKER done
        17 <14 GroupClosed tp SL_FILLED
        18 <17 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000896 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


def test_row_04_a_print_through_the_stop(partitions: Partitions) -> None:
    """Print lower than 90: as at 90, and `gapped`."""
    s = Scene(partitions).given(oco(), buy("b", 20, 88))
    assert s.when(sell("a", 1, 88, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 88 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 88, maker b left 19, taker a done
        3 <2 OrderFilled bob b BUY 1 at 88 MAKER
        4 <2 OrderFilled cat a SELL 1 at 88 TAKER done
        5 <2 StopElected sl by 88 in trade 2 gapped
        6 <5 OrderTriggered sl by 88 in trade 2 gapped
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 83.6
        10 <1 Traded 3: 10 at 88, maker b left 9, taker sl done
        11 <10 OrderFilled bob b BUY 10 at 88 MAKER
        12 <10 OrderFilled ann sl SELL 10 at 88 TAKER done
        13 <10 GroupClosed tp SL_FILLED
        14 <13 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000880 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


def test_row_04_a_print_at_the_stop_of_a_short(partitions: Partitions) -> None:
    """The mirror: a print at 110 or higher; the fee for what is left is held until it is filled."""
    s = short(partitions).given(
        oco(side="BUY", tp_usd=90, sl_usd=110), sell("a", 7, 110), sell("c", 6, 111)
    )
    assert s.when(buy("b", 1, 110, "cat")) == story("""
        1 OrderAccepted cat b BUY 1 LIMIT 110 GTC holds 110 and 0
        2 <1 Traded 3: 1 at 110, maker a left 6, taker b done
        3 <2 OrderFilled bob a SELL 1 at 110 MAKER
        4 <2 OrderFilled cat b BUY 1 at 110 TAKER done
        5 <2 StopElected sl by 110 in trade 3
        6 <5 OrderTriggered sl by 110 in trade 3
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 115.5
        10 <1 Traded 4: 6 at 110, maker a left 0, taker sl
        11 <10 OrderFilled bob a SELL 6 at 110 MAKER done
        12 <10 OrderFilled ann sl BUY 6 at 110 TAKER fee 0.66
        13 <10 ReservationChanged tp holds 0.47 and 4
        14 <1 Traded 5: 4 at 111, maker c left 2, taker sl done
        15 <14 OrderFilled bob c SELL 4 at 111 MAKER
        16 <14 OrderFilled ann sl BUY 4 at 111 TAKER fee 0.45 done
        17 <14 GroupClosed tp SL_FILLED
        18 <17 ReservationReleased tp SL_FILLED 0.47 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 999893.89 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


def test_row_05_stop_loss_after_a_partial_fill(partitions: Partitions) -> None:
    """TP partly filled, later SL elected: SL sells R, not Q."""
    s = Scene(partitions).given(oco(), buy("b", 4, 110), buy("c", 20, 90))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 3: 1 at 90, maker c left 19, taker a done
        3 <2 OrderFilled bob c BUY 1 at 90 MAKER
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 3
        6 <5 OrderTriggered sl by 90 in trade 3
        7 <5 LegCancelled tp 6 SIBLING_ELECTED
        8 <7 OrderCanceled tp 6 SIBLING_ELECTED
        9 <5 StopActivated sl 6 at 85.5
        10 <1 Traded 4: 6 at 90, maker c left 13, taker sl done
        11 <10 OrderFilled bob c BUY 6 at 90 MAKER
        12 <10 OrderFilled ann sl SELL 6 at 90 TAKER done
        13 <10 GroupClosed tp SL_FILLED
        14 <13 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000980 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
        sl FILLED 6 of 6 open 0
    """)


def test_row_06_one_command_prints_at_the_stop_and_fills_the_take_profit(
    partitions: Partitions,
) -> None:
    """TP's fills stand; after the loop SL is elected for R if R > 0."""
    s = Scene(partitions, rules={"collar_ppm": 300_000})
    s.given(oco(), sell("low", 2, 90, "cat"), buy("bid", 9, 88, "cat"))
    assert s.when(buy("b", 6, 110)) == story("""
        1 OrderAccepted bob b BUY 6 LIMIT 110 GTC holds 660 and 0
        2 <1 Traded 2: 2 at 90, maker low left 0, taker b
        3 <2 OrderFilled cat low SELL 2 at 90 MAKER done
        4 <2 OrderFilled bob b BUY 2 at 90 TAKER
        5 <1 Traded 3: 4 at 110, maker tp left 6, taker b done
        6 <5 OrderFilled ann tp SELL 4 at 110 MAKER
        7 <5 OrderFilled bob b BUY 4 at 110 TAKER done
        8 <5 LegReduced sl by 4 to 6 SIBLING_FILL
        9 <8 OrderDecremented sl by 4 SIBLING_FILL
        10 <8 ReservationChanged tp holds 0 and 6
        11 <2 StopElected sl by 90 in trade 2
        12 <11 OrderTriggered sl by 90 in trade 2
        13 <11 LegCancelled tp 6 SIBLING_ELECTED
        14 <13 OrderCanceled tp 6 SIBLING_ELECTED
        15 <11 StopActivated sl 6 at 63
        16 <1 Traded 4: 6 at 88, maker bid left 3, taker sl done
        17 <16 OrderFilled cat bid BUY 6 at 88 MAKER
        18 <16 OrderFilled ann sl SELL 6 at 88 TAKER done
        19 <16 GroupClosed tp SL_FILLED
        20 <19 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000968 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
        sl FILLED 6 of 6 open 0
    """)


def test_row_06_the_same_beyond_the_collar_of_a_command(partitions: Partitions) -> None:
    """The prints of the command are further apart than the collar: SL is elected and waits."""
    s = Scene(partitions).given(oco(), sell("low", 2, 90, "cat"), buy("bid", 9, 88, "cat"))
    assert s.when(buy("b", 6, 110)) == story("""
        1 OrderAccepted bob b BUY 6 LIMIT 110 GTC holds 660 and 0
        2 <1 Traded 2: 2 at 90, maker low left 0, taker b
        3 <2 OrderFilled cat low SELL 2 at 90 MAKER done
        4 <2 OrderFilled bob b BUY 2 at 90 TAKER
        5 <1 Traded 3: 4 at 110, maker tp left 6, taker b done
        6 <5 OrderFilled ann tp SELL 4 at 110 MAKER
        7 <5 OrderFilled bob b BUY 4 at 110 TAKER done
        8 <5 LegReduced sl by 4 to 6 SIBLING_FILL
        9 <8 OrderDecremented sl by 4 SIBLING_FILL
        10 <8 ReservationChanged tp holds 0 and 6
        11 <2 StopElected sl by 90 in trade 2
        12 <11 OrderTriggered sl by 90 in trade 2
        13 <11 LegCancelled tp 6 SIBLING_ELECTED
        14 <13 OrderCanceled tp 6 SIBLING_ELECTED
        15 <1 PhaseChanged VOLATILITY_AUCTION CASCADE_COLLAR
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 6
        group ELECTED 10 R 6 holds 0 and 6
        tp CANCELED 4 of 10 open 0
        sl NEW 0 of 6 open 6
    """)


def test_row_07_elected_by_the_loop_in_which_the_take_profit_was_maker(
    partitions: Partitions,
) -> None:
    """SL elected by a trade in which this TP was maker: as 6.

    A trade at TP's price is not at the stop itself (row 11): it is the loop of both. The loop is
    over before SL is elected, so that TP goes on as maker after the print at the stop; here to the
    end: R is 0, and there is nothing to elect.
    """
    s = Scene(partitions).given(oco(), sell("low", 2, 90, "cat"), sell("high", 3, 111, "cat"))
    assert s.when(buy("b", 15, 111)) == story("""
        1 OrderAccepted bob b BUY 15 LIMIT 111 GTC holds 1665 and 0
        2 <1 Traded 2: 2 at 90, maker low left 0, taker b
        3 <2 OrderFilled cat low SELL 2 at 90 MAKER done
        4 <2 OrderFilled bob b BUY 2 at 90 TAKER
        5 <1 Traded 3: 10 at 110, maker tp left 0, taker b
        6 <5 OrderFilled ann tp SELL 10 at 110 MAKER done
        7 <5 OrderFilled bob b BUY 10 at 110 TAKER
        8 <5 LegCancelled sl 10 SIBLING_FILLED
        9 <8 OrderCanceled sl 10 SIBLING_FILLED
        10 <5 GroupClosed tp TP_FILLED
        11 <10 ReservationReleased tp TP_FILLED 0 and 0
        12 <1 Traded 4: 3 at 111, maker high left 0, taker b done
        13 <12 OrderFilled cat high SELL 3 at 111 MAKER done
        14 <12 OrderFilled bob b BUY 3 at 111 TAKER done
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001100 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_08_opening_gap_below_a_stop(partitions: Partitions) -> None:
    """Opening gap to 85: the uncross elects SL after the uncross.

    A stop sells from the best bid down to 85 x (1 - collar); `gapped`.
    """
    s = Scene(partitions).given(oco(), CloseSession(DAY_1))
    s.given(sell("a", 5, 85), buy("b", 5, 85, "cat"), buy("c", 4, 84), buy("d", 3, 81))
    s.given(buy("e", 9, 80), BeginOpeningCall(DAY_2))
    assert s.when(OpenSession(DAY_2)) == story("""
        1 SessionOpened 2026-11-24
        2 Uncrossed OPENING_CALL 5 at 85
        3 Traded 2: 5 at 85, maker a left 0, taker b done auction
        4 <3 OrderFilled bob a SELL 5 at 85 MAKER done
        5 <3 OrderFilled cat b BUY 5 at 85 TAKER done
        6 <3 StopElected sl by 85 in trade 2 gapped
        7 <6 OrderTriggered sl by 85 in trade 2 gapped
        8 <6 LegCancelled tp 10 SIBLING_ELECTED
        9 <8 OrderCanceled tp 10 SIBLING_ELECTED
        10 <6 StopActivated sl 10 at 80.75
        11 Traded 3: 4 at 84, maker c left 0, taker sl
        12 <11 OrderFilled bob c BUY 4 at 84 MAKER done
        13 <11 OrderFilled ann sl SELL 4 at 84 TAKER
        14 <11 ReservationChanged tp holds 0 and 6
        15 Traded 4: 3 at 81, maker d left 0, taker sl
        16 <15 OrderFilled bob d BUY 3 at 81 MAKER done
        17 <15 OrderFilled ann sl SELL 3 at 81 TAKER
        18 <15 ReservationChanged tp holds 0 and 3
        19 Rested sl SELL 3 at 80.75
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000579 position 3 holds 0 and 3
        group ELECTED 10 R 3 holds 0 and 3
        tp CANCELED 0 of 10 open 0
        sl PARTIALLY_FILLED 7 of 10 open 3
    """)


def test_row_08_opening_gap_below_a_stop_limit(partitions: Partitions) -> None:
    """Opening gap to 85: a stop-limit 88 rests at 88."""
    s = Scene(partitions).given(oco(sl_limit=88), CloseSession(DAY_1))
    s.given(sell("a", 5, 85), buy("b", 5, 85, "cat"), buy("c", 4, 84), BeginOpeningCall(DAY_2))
    assert s.when(OpenSession(DAY_2)) == story("""
        1 SessionOpened 2026-11-24
        2 Uncrossed OPENING_CALL 5 at 85
        3 Traded 2: 5 at 85, maker a left 0, taker b done auction
        4 <3 OrderFilled bob a SELL 5 at 85 MAKER done
        5 <3 OrderFilled cat b BUY 5 at 85 TAKER done
        6 <3 StopElected sl by 85 in trade 2 gapped
        7 <6 OrderTriggered sl by 85 in trade 2 gapped
        8 <6 LegCancelled tp 10 SIBLING_ELECTED
        9 <8 OrderCanceled tp 10 SIBLING_ELECTED
        10 <6 StopActivated sl 10 at 88
        11 Rested sl SELL 10 at 88
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ELECTED 10 R 10 holds 0 and 10
        tp CANCELED 0 of 10 open 0
        sl NEW 0 of 10 open 10
    """)


def test_row_08_opening_gap_above_the_stop_of_a_short(partitions: Partitions) -> None:
    """The mirror: opening gap to 115; a stop buys from the best ask up to 115 x (1 + collar)."""
    s = short(partitions).given(oco(side="BUY", tp_usd=90, sl_usd=110), CloseSession(DAY_1))
    s.given(buy("b", 5, 115), sell("a", 5, 115, "cat"), sell("c", 4, 116), sell("d", 9, 121))
    s.given(BeginOpeningCall(DAY_2))
    assert s.when(OpenSession(DAY_2)) == story("""
        1 SessionOpened 2026-11-24
        2 Uncrossed OPENING_CALL 5 at 115
        3 Traded 3: 5 at 115, maker b left 0, taker a done auction
        4 <3 OrderFilled bob b BUY 5 at 115 MAKER done
        5 <3 OrderFilled cat a SELL 5 at 115 TAKER done
        6 <3 StopElected sl by 115 in trade 3 gapped
        7 <6 OrderTriggered sl by 115 in trade 3 gapped
        8 <6 LegCancelled tp 10 SIBLING_ELECTED
        9 <8 OrderCanceled tp 10 SIBLING_ELECTED
        10 <6 StopActivated sl 10 at 120.75
        11 Traded 4: 4 at 116, maker c left 0, taker sl
        12 <11 OrderFilled bob c SELL 4 at 116 MAKER done
        13 <11 OrderFilled ann sl BUY 4 at 116 TAKER fee 0.47
        14 <11 ReservationChanged tp holds 0.7 and 6
        15 Rested sl BUY 6 at 120.75
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000534.53 position -6 holds 0.7 and 6
        group ELECTED 10 R 6 holds 0.7 and 6
        tp CANCELED 0 of 10 open 0
        sl PARTIALLY_FILLED 4 of 10 open 6
    """)


@both_policies
def test_row_09_opening_gap_above_the_take_profit(partitions: Partitions, policy: str) -> None:
    """Opening gap to 115: TP takes part in the auction and fills at 115."""
    s = Scene(partitions).given(oco(policy), CloseSession(DAY_1))
    s.given(buy("b", 20, 115), sell("a", 10, 115, "cat"), BeginOpeningCall(DAY_2))
    assert s.when(OpenSession(DAY_2)) == story("""
        1 SessionOpened 2026-11-24
        2 Uncrossed OPENING_CALL 20 at 115
        3 Traded 2: 10 at 115, maker tp left 0, taker b auction
        4 <3 OrderFilled ann tp SELL 10 at 115 MAKER done
        5 <3 OrderFilled bob b BUY 10 at 115 TAKER
        6 <3 LegCancelled sl 10 SIBLING_FILLED
        7 <6 OrderCanceled sl 10 SIBLING_FILLED
        8 <3 GroupClosed tp TP_FILLED
        9 <8 ReservationReleased tp TP_FILLED 0 and 0
        10 Traded 3: 10 at 115, maker b left 0, taker a done auction
        11 <10 OrderFilled bob b BUY 10 at 115 MAKER done
        12 <10 OrderFilled cat a SELL 10 at 115 TAKER done
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001150 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_10_a_better_bid_arrives(partitions: Partitions) -> None:
    """Resting TP 110, bid arrives at 115: fills at 110."""
    s = Scene(partitions).given(oco())
    assert s.when(buy("b", 10, 115)) == story("""
        1 OrderAccepted bob b BUY 10 LIMIT 115 GTC holds 1150 and 0
        2 <1 Traded 2: 10 at 110, maker tp left 0, taker b done
        3 <2 OrderFilled ann tp SELL 10 at 110 MAKER done
        4 <2 OrderFilled bob b BUY 10 at 110 TAKER done
        5 <2 LegCancelled sl 10 SIBLING_FILLED
        6 <5 OrderCanceled sl 10 SIBLING_FILLED
        7 <2 GroupClosed tp TP_FILLED
        8 <7 ReservationReleased tp TP_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1001100 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_11_both_levels_reached_by_one_print_at_entry(partitions: Partitions) -> None:
    """Impossible: TP > SL is enforced at entry."""
    s = Scene(partitions)
    assert s.when(oco(tp_usd=95, sl_usd=95)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price
    """)
    assert s.when(oco(tp_usd=90, sl_usd=110)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price stop_loss.stop_price
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
    """)


def test_row_11_both_levels_reached_by_one_print_at_an_amend(partitions: Partitions) -> None:
    """Impossible: TP > SL is enforced at an amend, of either leg, also while a bracket waits."""
    s = Scene(partitions).given(oco())
    assert s.when(replace("tp", limit=90)) == story("""
        1 ReplaceRejected tp OCO_PRICES_DO_NOT_STRADDLE
    """)
    assert s.when(replace("sl", stop=110)) == story("""
        1 ReplaceRejected sl STOP_WOULD_TRIGGER
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_11_no_print_reaches_both_levels(partitions: Partitions) -> None:
    """One print between the levels reaches neither, at a level exactly that one."""
    s = Scene(partitions).given(oco(tp_usd=101, sl_usd=99), buy("b", 1, 100))
    assert s.when(sell("a", 1, 100, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 100 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 100, maker b left 0, taker a done
        3 <2 OrderFilled bob b BUY 1 at 100 MAKER done
        4 <2 OrderFilled cat a SELL 1 at 100 TAKER done
    """)
    assert s.resting("SELL") == ["tp 10"]
    assert s.resting(BUY) == []
    assert s.parked("SELL") == ["sl 10"]
