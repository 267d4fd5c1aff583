"""Rows 33 to 40 of the decision table: bands, the end of the day, crashes, busts, brackets."""

import pytest

from nexustrade.core.terms import SELL
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    OpenSession,
)
from nexustrade.orders.messages import AdjustCash, BustTrade
from tests.two_stages import TwoStages
from tests.unit.decision_table.scene import (
    DAY_1,
    DAY_2,
    SHARE,
    SYMBOL,
    USD,
    Scene,
    bracket,
    buy,
    cancel,
    oco,
    sell,
    stop,
    story,
)

Partitions = tuple[int, int]
both_policies = pytest.mark.parametrize("policy", ["REDUCE", "CANCEL"])


def test_row_33_price_band(partitions: Partitions) -> None:
    """Price band: elected SL rests at the band. It would sell down to 86.45; the band is at 90."""
    s = Scene(partitions, rules={"static_band_ppm": 100_000, "call_s": 60}).given(oco(sl_usd=91))
    s.given(buy("b", 5, 91), buy("c", 20, 89))
    assert s.when(sell("a", 1, 91, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 91 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 91, maker b left 4, taker a done
        3 <2 OrderFilled bob b BUY 1 at 91 MAKER
        4 <2 OrderFilled cat a SELL 1 at 91 TAKER done
        5 <2 StopElected sl by 91 in trade 2
        6 <5 OrderTriggered sl by 91 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 86.45
        10 <1 Traded 3: 4 at 91, maker b left 0, taker sl
        11 <10 OrderFilled bob b BUY 4 at 91 MAKER done
        12 <10 OrderFilled ann sl SELL 4 at 91 TAKER
        13 <10 ReservationChanged tp holds 0 and 6
        14 <1 Rested sl SELL 6 at 90
        15 <1 PhaseChanged VOLATILITY_AUCTION PRICE_BAND
    """)
    assert s.resting(SELL) == ["sl 6"]
    assert s.stands("tp", "sl") == story("""
        ann cash 1000364 position 6 holds 0 and 6
        group ELECTED 10 R 6 holds 0 and 6
        tp CANCELED 0 of 10 open 0
        sl PARTIALLY_FILLED 4 of 10 open 6
    """)


@both_policies
def test_row_34_day_end(partitions: Partitions, policy: str) -> None:
    """DAY end: both EXPIRED in one batch after the closing auction, which elects no DAY stop."""
    s = Scene(partitions).given(oco(policy, time_in_force="DAY"), BeginClosingCall(DAY_1))
    s.given(sell("a", 2, 88), buy("b", 2, 88, "cat"))
    assert s.when(CloseSession(DAY_1)) == story("""
        1 Uncrossed CLOSING_CALL 2 at 88
        2 Traded 2: 2 at 88, maker a left 0, taker b done auction
        3 <2 OrderFilled bob a SELL 2 at 88 MAKER done
        4 <2 OrderFilled cat b BUY 2 at 88 TAKER done
        5 LegCancelled tp 10 END_OF_DAY
        6 <5 OrderExpired tp 10 END_OF_DAY
        7 LegCancelled sl 10 END_OF_DAY
        8 <7 OrderExpired sl 10 END_OF_DAY
        9 GroupClosed tp EXPIRED
        10 <9 ReservationReleased tp EXPIRED 0 and 10
        11 Marked 88
        12 SessionClosed 2026-11-23
        13 <12 DayClosed 2026-11-23
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp EXPIRED 0 of 10 open 0
        sl EXPIRED 0 of 10 open 0
    """)


@both_policies
def test_row_34_take_profit_in_the_closing_auction(partitions: Partitions, policy: str) -> None:
    """DAY end: TP may trade in the closing auction; then what is left of the group expires."""
    s = Scene(partitions).given(oco(policy, time_in_force="DAY"), BeginClosingCall(DAY_1))
    s.given(buy("b", 4, 111))
    told = s.when(CloseSession(DAY_1))
    if policy == "REDUCE":
        assert told == story("""
            1 Uncrossed CLOSING_CALL 4 at 110 surplus SELL 6
            2 Traded 2: 4 at 110, maker tp left 6, taker b done auction
            3 <2 OrderFilled ann tp SELL 4 at 110 MAKER
            4 <2 OrderFilled bob b BUY 4 at 110 TAKER done
            5 <2 LegReduced sl by 4 to 6 SIBLING_FILL
            6 <5 OrderDecremented sl by 4 SIBLING_FILL
            7 <5 ReservationChanged tp holds 0 and 6
            8 LegCancelled tp 6 END_OF_DAY
            9 <8 OrderExpired tp 6 END_OF_DAY
            10 LegCancelled sl 6 END_OF_DAY
            11 <10 OrderExpired sl 6 END_OF_DAY
            12 GroupClosed tp EXPIRED
            13 <12 ReservationReleased tp EXPIRED 0 and 6
            14 Marked 110
            15 SessionClosed 2026-11-23
            16 <15 DayClosed 2026-11-23
        """)
    else:
        assert told == story("""
            1 Uncrossed CLOSING_CALL 4 at 110 surplus SELL 6
            2 Traded 2: 4 at 110, maker tp left 6, taker b done auction
            3 <2 OrderFilled ann tp SELL 4 at 110 MAKER
            4 <2 OrderFilled bob b BUY 4 at 110 TAKER done
            5 <2 LegCancelled sl 10 SIBLING_FILLED
            6 <5 OrderCanceled sl 10 SIBLING_FILLED
            7 <5 ReservationChanged tp holds 0 and 6
            8 LegCancelled tp 6 END_OF_DAY
            9 <8 OrderExpired tp 6 END_OF_DAY
            10 GroupClosed tp EXPIRED
            11 <10 ReservationReleased tp EXPIRED 0 and 6
            12 Marked 110
            13 SessionClosed 2026-11-23
            14 <13 DayClosed 2026-11-23
        """)
    assert s.stands("tp") == story("""
        ann cash 1000440 position 6 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp EXPIRED 4 of 10 open 0
    """)


def test_row_35_gtc_over_the_close(partitions: Partitions) -> None:
    """GTC over the close: closing print sets last, elects nothing; next day's first print may."""
    s = Scene(partitions).given(oco(), BeginClosingCall(DAY_1))
    s.given(sell("a", 2, 88), buy("b", 2, 88, "cat"))
    assert s.when(CloseSession(DAY_1)) == story("""
        1 Uncrossed CLOSING_CALL 2 at 88
        2 Traded 2: 2 at 88, maker a left 0, taker b done auction
        3 <2 OrderFilled bob a SELL 2 at 88 MAKER done
        4 <2 OrderFilled cat b BUY 2 at 88 TAKER done
        5 Marked 88
        6 SessionClosed 2026-11-23
        7 <6 DayClosed 2026-11-23
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    assert s.when(BeginOpeningCall(DAY_2)) == story("""
        1 OpeningCallBegun 2026-11-24
    """)
    assert s.when(OpenSession(DAY_2)) == story("""
        1 SessionOpened 2026-11-24
    """)
    s.given(buy("c", 12, 89))
    assert s.when(sell("d", 1, 89, "cat")) == story("""
        1 OrderAccepted cat d SELL 1 LIMIT 89 GTC holds 0 and 1
        2 <1 Traded 3: 1 at 89, maker c left 11, taker d done
        3 <2 OrderFilled bob c BUY 1 at 89 MAKER
        4 <2 OrderFilled cat d SELL 1 at 89 TAKER done
        5 <2 StopElected sl by 89 in trade 3 gapped
        6 <5 OrderTriggered sl by 89 in trade 3 gapped
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 84.55
        10 <1 Traded 4: 10 at 89, maker c left 1, taker sl done
        11 <10 OrderFilled bob c BUY 10 at 89 MAKER
        12 <10 OrderFilled ann sl SELL 10 at 89 TAKER done
        13 <10 GroupClosed tp SL_FILLED
        14 <13 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000890 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


class Recovering(TwoStages):
    """Stages that were lost between two events and come back from what is stored of each stream.

    Then every partition hears again of all that the others have stored, at least once; it drops
    what it has applied already.
    """

    def __init__(self, before: TwoStages, counts: dict[str, int]) -> None:
        super().__init__(len(before.orders), len(before.matching))
        self.heard: dict[tuple[str, str], int] = {}
        for shard, r in before.log:
            if r.seq <= counts.get(shard, 0):
                self.stages[shard].replay(r.seq, r.ts_us, r.event)
                source, _, seq = r.cause.rpartition(":")
                if source in self.stages:
                    known = self.heard.get((shard, source), 0)
                    self.heard[shard, source] = max(known, int(seq))

    def hear(self, entries: list[Recorded], now_us: int) -> list[Recorded]:
        """Deliver events of the log, twice; returns those that came of it, from all stages."""
        new: list[Recorded] = []
        for r in [one for entry in entries for one in (entry, entry)]:
            for target in self.routing.event(r.event):
                if r.seq > self.heard.get((target, r.shard), 0):
                    self.heard[target, r.shard] = r.seq
                    cause = f"{r.shard}:{r.seq}"
                    new += self.stages[target].take(r.event, now_us, cause)
        return new


def _is_one_batch(pair: list[tuple[str, Recorded]]) -> bool:
    """Whether two events are of one stage's answer to one message, which is stored as one."""
    return len({(shard, r.cause) for shard, r in pair}) == 1 < len(pair)


def test_row_36_crash_and_duplicate_delivery(partitions: Partitions) -> None:
    """Crash, replay, duplicate delivery: same state, nothing twice.

    The last command is cut off at each of its events, as where the stages run in different places
    and each stores its own; what was stored is delivered again, twice.
    """
    s = Scene(partitions).given(oco(), buy("b", 4, 110), buy("c", 12, 89), stop("x", SELL, 2, 88))
    first = len(s.log)
    s.when(sell("a", 1, 89, "cat"))
    expected = {shard: stage.dump() for shard, stage in s.stages.items()}
    for at in range(first + 1, len(s.log) + 1):
        if _is_one_batch(s.log[at - 1 : at + 1]):
            continue
        counts = {shard: r.seq for shard, r in s.log[:at]}
        r = Recovering(s, counts)
        stored = [one for _, one in s.log[:at]]
        while stored:
            stored = r.hear(stored, s.now_us)
        assert {shard: stage.dump() for shard, stage in r.stages.items()} == expected
        for stage in r.stages.values():
            stage.verify()


@both_policies
def test_row_37_trade_bust(partitions: Partitions, policy: str) -> None:
    """Trade bust by an operator: compensating events; legs are not revived."""
    s = Scene(partitions).given(oco(policy), buy("b", 10, 110))
    bust = BustTrade(
        SYMBOL, 2, 110 * USD, 10 * SHARE, "bob", "b", 0, "ann", "tp", 0, reason="an error"
    )
    assert s.when(bust) == story("""
        1 TradeBusted bob b BUY 10 at 110 trade 2
        2 TradeBusted ann tp SELL 10 at 110 trade 2
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp FILLED 10 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)
    assert s.stands(account_id="bob") == story("""
        bob cash 1000100 position 999 holds 0 and 0
    """)
    assert all("CommandRejected" in line for line in s.when(bust))


def test_row_37_bust_of_a_partial_fill(partitions: Partitions) -> None:
    """Trade bust of a partial fill: the shares come back, the legs stay for what they were."""
    s = Scene(partitions).given(oco(), buy("b", 4, 110))
    bust = BustTrade(SYMBOL, 2, 110 * USD, 4 * SHARE, "bob", "b", 0, "ann", "tp", 0)
    assert s.when(bust) == story("""
        1 TradeBusted bob b BUY 4 at 110 trade 2
        2 TradeBusted ann tp SELL 4 at 110 trade 2
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 6
        group ACTIVE 10 R 6 holds 0 and 6
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl HELD 0 of 6 open 6
    """)


def test_row_37_bust_of_the_purchase() -> None:
    """Trade bust of the purchase that the exit is for: what would be oversold is cancelled."""
    s = Scene((1, 1), shares=0).given(sell("a", 10, 100), buy("own", 10, 100, "ann"), oco())
    bust = BustTrade(SYMBOL, 2, 100 * USD, 10 * SHARE, "ann", "own", 0, "bob", "a", 0)
    assert s.when(bust) == story("""
        1 TradeBusted ann own BUY 10 at 100 trade 2
        2 TradeBusted bob a SELL 10 at 100 trade 2
        3 CancelRequested tp of tp
        4 <3 LegCancelled tp 10 BY_REQUEST
        5 <4 OrderCanceled tp 10 BY_REQUEST
        6 <3 LegCancelled sl 10 GROUP_CANCELLED
        7 <6 OrderCanceled sl 10 GROUP_CANCELLED
        8 <3 GroupClosed tp CANCELLED
        9 <8 ReservationReleased tp CANCELLED 0 and 10
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_38_cash_dividend(partitions: Partitions) -> None:
    """A cash dividend changes nothing: neither prices nor quantities."""
    s = Scene(partitions).given(oco(), buy("b", 4, 110))
    assert s.when(AdjustCash("ann", 3_00, "dividend")) == story("""
        1 CashAdjusted ann 3
    """)
    assert s.resting(SELL) == ["tp 6"]
    assert s.parked(SELL) == ["sl 6"]
    assert s.stands("tp", "sl") == story("""
        ann cash 1000443 position 6 holds 0 and 6
        group ACTIVE 10 R 6 holds 0 and 6
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl HELD 0 of 6 open 6
    """)


def test_row_39_bracket_entry_partly_filled(partitions: Partitions) -> None:
    """PARTIAL (default): exit group created with Q = filled and grows with each fill."""
    s = Scene(partitions, shares=0)
    assert s.when(bracket()) == story("""
        1 GroupAccepted g BRACKET BUY 10 LIMIT 100 tp 110 sl 90 REDUCE holds 1000 and 0
        2 <1 GroupHeld g 10 tp 110 sl 90
        3 <1 Rested g BUY 10 at 100
    """)
    assert s.when(sell("a", 4, 100)) == story("""
        1 OrderAccepted bob a SELL 4 LIMIT 100 GTC holds 0 and 4
        2 <1 Traded 2: 4 at 100, maker g left 6, taker a done
        3 <2 OrderFilled ann g BUY 4 at 100 MAKER
        4 <2 OrderFilled bob a SELL 4 at 100 TAKER done
        5 <2 GroupOpened g 4 alive tp rests
        6 <5 LegsActivated g 4 holds 0 and 4
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999600 position 4 holds 600 and 4
        group ACTIVE 10 R 4 holds 0 and 4
        g PARTIALLY_FILLED 4 of 10 open 6
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    s.given(sell("behind", 1, 110))
    assert s.when(sell("b", 6, 100)) == story("""
        1 OrderAccepted bob b SELL 6 LIMIT 100 GTC holds 0 and 6
        2 <1 Traded 3: 6 at 100, maker g left 0, taker b done
        3 <2 OrderFilled ann g BUY 6 at 100 MAKER done
        4 <2 OrderFilled bob b SELL 6 at 100 TAKER done
        5 <2 GroupGrown g by 6 to 10 tp rests
        6 <5 LegsActivated g 10 holds 0 and 10
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        g FILLED 10 of 10 open 0
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    assert s.resting(SELL) == ["behind 1", "tp 10"]
    assert s.parked(SELL) == ["sl 10"]


def test_row_39_take_profit_filled_before_the_entry_is_done(partitions: Partitions) -> None:
    """PARTIAL: TP fills all that has come alive; it stands again with the next fill."""
    s = Scene(partitions, shares=0).given(bracket(), sell("a", 4, 100))
    assert s.when(buy("b", 4, 110)) == story("""
        1 OrderAccepted bob b BUY 4 LIMIT 110 GTC holds 440 and 0
        2 <1 Traded 3: 4 at 110, maker tp left 0, taker b done
        3 <2 OrderFilled ann tp SELL 4 at 110 MAKER
        4 <2 OrderFilled bob b BUY 4 at 110 TAKER done
        5 <2 LegReduced sl by 4 to 0 SIBLING_FILL
        6 <5 OrderDecremented sl by 4 SIBLING_FILL
        7 <5 ReservationChanged g holds 0 and 0
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 1000040 position 0 holds 600 and 0
        group ACTIVE 10 R 0 holds 0 and 0
        g PARTIALLY_FILLED 4 of 10 open 6
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl HELD 0 of 6 open 6
    """)
    assert s.when(sell("c", 6, 100)) == story("""
        1 OrderAccepted bob c SELL 6 LIMIT 100 GTC holds 0 and 6
        2 <1 Traded 4: 6 at 100, maker g left 0, taker c done
        3 <2 OrderFilled ann g BUY 6 at 100 MAKER done
        4 <2 OrderFilled bob c SELL 6 at 100 TAKER done
        5 <2 GroupGrown g by 6 to 10 tp rests
        6 <5 LegsActivated g 10 holds 0 and 6
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999440 position 6 holds 0 and 6
        group ACTIVE 10 R 6 holds 0 and 6
        g FILLED 10 of 10 open 0
        tp PARTIALLY_FILLED 4 of 10 open 6
        sl HELD 0 of 6 open 6
    """)


@both_policies
def test_row_39_bracket_entry_partly_filled_under_full(partitions: Partitions, policy: str) -> None:
    """FULL: created when the entry is done."""
    s = Scene(partitions, shares=0).given(bracket(policy, activation="FULL"))
    assert s.when(sell("a", 4, 100)) == story("""
        1 OrderAccepted bob a SELL 4 LIMIT 100 GTC holds 0 and 4
        2 <1 Traded 2: 4 at 100, maker g left 6, taker a done
        3 <2 OrderFilled ann g BUY 4 at 100 MAKER
        4 <2 OrderFilled bob a SELL 4 at 100 TAKER done
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999600 position 4 holds 600 and 4
        group HELD 10 R 0 holds 0 and 4
        g PARTIALLY_FILLED 4 of 10 open 6
        tp HELD 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)
    assert s.when(sell("b", 6, 100)) == story("""
        1 OrderAccepted bob b SELL 6 LIMIT 100 GTC holds 0 and 6
        2 <1 Traded 3: 6 at 100, maker g left 0, taker b done
        3 <2 OrderFilled ann g BUY 6 at 100 MAKER done
        4 <2 OrderFilled bob b SELL 6 at 100 TAKER done
        5 <2 GroupOpened g 10 alive tp rests
        6 <5 LegsActivated g 10 holds 0 and 10
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999000 position 10 holds 0 and 10
        group ACTIVE 10 R 10 holds 0 and 10
        g FILLED 10 of 10 open 0
        tp NEW 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_40_bracket_entry_cancelled_with_fills(partitions: Partitions) -> None:
    """Bracket entry cancelled with fills: exit group stays for the filled quantity."""
    s = Scene(partitions, shares=0).given(bracket(), sell("a", 4, 100))
    assert s.when(cancel("g")) == story("""
        1 CancelRequested g
        2 <1 Removed g 6 BY_REQUEST
        3 <2 OrderCanceled g 6 BY_REQUEST
        4 <2 LegReduced tp by 6 to 4 ENTRY_CANCELLED
        5 <4 OrderDecremented tp by 6 ENTRY_CANCELLED
        6 <2 LegReduced sl by 6 to 4 ENTRY_CANCELLED
        7 <6 OrderDecremented sl by 6 ENTRY_CANCELLED
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999600 position 4 holds 0 and 4
        group ACTIVE 4 R 4 holds 0 and 4
        g CANCELED 4 of 10 open 0
        tp NEW 0 of 4 open 4
        sl HELD 0 of 4 open 4
    """)


@both_policies
def test_row_40_bracket_entry_cancelled_with_fills_under_full(
    partitions: Partitions, policy: str
) -> None:
    """Bracket entry cancelled with fills, FULL: the exit is created for the filled quantity."""
    s = Scene(partitions, shares=0).given(bracket(policy, activation="FULL"), sell("a", 4, 100))
    assert s.when(cancel("g")) == story("""
        1 CancelRequested g
        2 <1 Removed g 6 BY_REQUEST
        3 <2 OrderCanceled g 6 BY_REQUEST
        4 <2 GroupOpened g 4 alive tp rests
        5 <4 LegsActivated g 4 holds 0 and 4
        6 <2 LegReduced tp by 6 to 4 ENTRY_CANCELLED
        7 <6 OrderDecremented tp by 6 ENTRY_CANCELLED
        8 <2 LegReduced sl by 6 to 4 ENTRY_CANCELLED
        9 <8 OrderDecremented sl by 6 ENTRY_CANCELLED
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 999600 position 4 holds 0 and 4
        group ACTIVE 4 R 4 holds 0 and 4
        g CANCELED 4 of 10 open 0
        tp NEW 0 of 4 open 4
        sl HELD 0 of 4 open 4
    """)


def test_row_40_bracket_entry_cancelled_without_fills(partitions: Partitions) -> None:
    """Without fills nothing of the bracket stays."""
    s = Scene(partitions, shares=0).given(bracket())
    assert s.when(cancel("g")) == story("""
        1 CancelRequested g
        2 <1 Removed g 10 BY_REQUEST
        3 <2 OrderCanceled g 10 BY_REQUEST
        4 <2 LegCancelled tp 10 ENTRY_CANCELLED
        5 <4 OrderCanceled tp 10 ENTRY_CANCELLED
        6 <2 LegCancelled sl 10 ENTRY_CANCELLED
        7 <6 OrderCanceled sl 10 ENTRY_CANCELLED
        8 <2 GroupClosed g CANCELLED
        9 <8 ReservationReleased g CANCELLED 0 and 0
    """)
    assert s.stands("g", "tp", "sl") == story("""
        ann cash 1000000 position 0 holds 0 and 0
        group CLOSED 0 R 0 holds 0 and 0
        g CANCELED 0 of 10 open 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)
