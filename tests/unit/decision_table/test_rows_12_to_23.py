"""Rows 12 to 23 of the decision table: bars, thin books, cascades, own orders, refusals."""

import pytest

from nexustrade.console.scenario import private_venue
from nexustrade.console.story import in_order
from nexustrade.core.terms import BUY, SELL
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.ports import LogEntry
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.messages import SL_FILLED, Tick
from nexustrade.orders.messages import FreezeAccount, ReservationReleased, RestrictInstrument
from nexustrade.orders.service import order_record
from nexustrade.scenario.plan import parse_scenario
from nexustrade.scenario.runner import run_scenario
from tests.unit.decision_table.scene import (
    SYMBOL,
    Scene,
    bracket,
    buy,
    cancel,
    oco,
    replace,
    sell,
    stop,
    story,
)

Partitions = tuple[int, int]
both_policies = pytest.mark.parametrize("policy", ["REDUCE", "CANCEL"])

BAR = """
name = "bar"
description = "one bar spans both legs"
[instrument]
symbol = "AAPL"
reference_price = 100
collar = 0.3
[[accounts]]
id = "ann"
shares = 10
[[accounts]]
id = "bob"
cash = 100_000
[[accounts]]
id = "cat"
cash = 100_000
shares = 1_000
[[steps]]
do = "open"
[[steps]]
do = "group"
id = "g"
class = "oco"
account = "ann"
side = "sell"
qty = 10
take_profit = { limit_price = 110 }
stop_loss = { stop_price = 90 }
[[steps]]
do = "bar"
open = 100
high = 111
low = 89
close = 105
qty = 1
depth_qty = 20
buyer = "bob"
seller = "cat"
"""


class Recorder(Flow):
    """A flow that remembers every event."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow.stages, flow.routing)
        self.log: list[LogEntry] = []

    def run(self, command: object, now_us: int) -> list[Recorded]:
        answer = super().run(command, now_us)  # type: ignore[arg-type]
        self.log += [LogEntry(r.shard, r.seq, r.ts_us, r.cause, r.event) for r in self.events]
        return answer


def test_row_12_one_bar_spans_both_legs() -> None:
    """One historical bar spans both (replay of bars): SL first, flagged `ambiguous_bar`."""
    venue = private_venue()
    venue.flow = recorder = Recorder(venue.flow)
    card = run_scenario(parse_scenario(BAR), venue, 1)
    assert [label.split()[0] for label in card.ambiguous_bars] == ["g"]
    group_id = next(iter(venue.watch.groups))
    events = [one.event for one in in_order(recorder.log)]
    of_group = [event for event in events if getattr(event, "group_id", "") == group_id]
    assert [type(event).__name__ for event in of_group] == [
        "GroupAccepted",
        "GroupOpened",
        "StopElected",
        "LegCancelled",
        "StopActivated",
        "GroupClosed",
        "ReservationReleased",
    ]
    assert isinstance(of_group[-1], ReservationReleased)
    assert of_group[-1].reason == SL_FILLED


def test_row_13_no_bids(partitions: Partitions) -> None:
    """SL finds no bids: remainder rests at the protection limit, SL_WORKING; TP not restored."""
    s = Scene(partitions).given(oco(), buy("b", 4, 90))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 3, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 85.5
        10 <1 Traded 3: 3 at 90, maker b left 0, taker sl
        11 <10 OrderFilled bob b BUY 3 at 90 MAKER done
        12 <10 OrderFilled ann sl SELL 3 at 90 TAKER
        13 <10 ReservationChanged tp holds 0 and 7
        14 <1 Rested sl SELL 7 at 85.5
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000270 position 7 holds 0 and 7
        group ELECTED 10 R 7 holds 0 and 7
        tp CANCELED 0 of 10 open 0
        sl PARTIALLY_FILLED 3 of 10 open 7
    """)
    assert s.resting(SELL) == ["sl 7"]


@both_policies
def test_row_14_stop_limit_unfilled_and_the_price_returns(
    partitions: Partitions, policy: str
) -> None:
    """Stop-limit elected, unfilled, price returns to 110: SL limit stays; TP not restored."""
    s = Scene(partitions).given(oco(policy, sl_limit=89), buy("b", 1, 90))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 0, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER done
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 89
        10 <1 Rested sl SELL 10 at 89
    """)
    assert s.resting(SELL) == ["sl 10"]
    assert s.when(buy("c", 4, 110)) == story("""
        1 OrderAccepted bob c BUY 4 LIMIT 110 GTC holds 440 and 0
        2 <1 Traded 3: 4 at 89, maker sl left 6, taker c done
        3 <2 OrderFilled ann sl SELL 4 at 89 MAKER
        4 <2 OrderFilled bob c BUY 4 at 89 TAKER done
        5 <2 ReservationChanged tp holds 0 and 6
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000356 position 6 holds 0 and 6
        group ELECTED 10 R 6 holds 0 and 6
        tp CANCELED 0 of 10 open 0
        sl PARTIALLY_FILLED 4 of 10 open 6
    """)
    assert s.resting(SELL) == ["sl 6"]


def test_row_15_working_remainder_cancelled(partitions: Partitions) -> None:
    """SL_WORKING remainder cancelled: closed CANCELLED, reservation released."""
    s = Scene(partitions).given(oco(), buy("b", 4, 90), sell("a", 1, 90, "cat"))
    assert s.when(cancel("sl")) == story("""
        1 CancelRequested sl
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


def test_row_16_cascade(partitions: Partitions) -> None:
    """SL's own trade elects others: queued at the tail; own group cannot be elected twice."""
    s = Scene(partitions).given(oco(), stop("same", SELL, 2, 90), stop("next", SELL, 3, 88, "bob"))
    s.given(buy("b", 1, 90, "dan"), buy("c", 4, 88, "dan"), buy("d", 20, 87, "dan"))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 0, taker a done
        3 <2 OrderFilled dan b BUY 1 at 90 MAKER done
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <2 StopElected same by 90 in trade 2
        10 <9 OrderTriggered same by 90 in trade 2
        11 <5 StopActivated sl 10 at 85.5
        12 <1 Traded 3: 4 at 88, maker c left 0, taker sl
        13 <12 OrderFilled dan c BUY 4 at 88 MAKER done
        14 <12 OrderFilled ann sl SELL 4 at 88 TAKER
        15 <12 ReservationChanged tp holds 0 and 6
        16 <1 Traded 4: 6 at 87, maker d left 14, taker sl done
        17 <16 OrderFilled dan d BUY 6 at 87 MAKER
        18 <16 OrderFilled ann sl SELL 6 at 87 TAKER done
        19 <16 GroupClosed tp SL_FILLED
        20 <19 ReservationReleased tp SL_FILLED 0 and 0
        21 <12 StopElected next by 88 in trade 3
        22 <21 OrderTriggered next by 88 in trade 3
        23 <9 StopActivated same 2 at 85.5
        24 <1 Traded 5: 2 at 87, maker d left 12, taker same done
        25 <24 OrderFilled dan d BUY 2 at 87 MAKER
        26 <24 OrderFilled cat same SELL 2 at 87 TAKER done
        27 <21 StopActivated next 3 at 83.6
        28 <1 Traded 6: 3 at 87, maker d left 9, taker next done
        29 <28 OrderFilled dan d BUY 3 at 87 MAKER
        30 <28 OrderFilled bob next SELL 3 at 87 TAKER done
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000874 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


def test_row_17_two_groups_elected_by_one_print(partitions: Partitions) -> None:
    """Two groups elected by one print: furthest stop first, then older."""
    s = Scene(partitions).given(
        oco(),
        oco(name="tp2", sl="sl2", account="dan", sl_usd=91),
        oco(name="tp3", sl="sl3", account="cat", sl_usd=90),
        buy("b", 31, 89),
    )
    assert s.when(sell("a", 1, 89, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 89 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 89, maker b left 30, taker a done
        3 <2 OrderFilled bob b BUY 1 at 89 MAKER
        4 <2 OrderFilled cat a SELL 1 at 89 TAKER done
        5 <2 StopElected sl2 by 89 in trade 2 gapped
        6 <5 OrderTriggered sl2 by 89 in trade 2 gapped
        7 <5 LegCancelled tp2 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp2 10 SIBLING_ELECTED
        9 <2 StopElected sl by 89 in trade 2 gapped
        10 <9 OrderTriggered sl by 89 in trade 2 gapped
        11 <9 LegCancelled tp 10 SIBLING_ELECTED
        12 <11 OrderCanceled tp 10 SIBLING_ELECTED
        13 <2 StopElected sl3 by 89 in trade 2 gapped
        14 <13 OrderTriggered sl3 by 89 in trade 2 gapped
        15 <13 LegCancelled tp3 10 SIBLING_ELECTED
        16 <15 OrderCanceled tp3 10 SIBLING_ELECTED
        17 <5 StopActivated sl2 10 at 84.55
        18 <1 Traded 3: 10 at 89, maker b left 20, taker sl2 done
        19 <18 OrderFilled bob b BUY 10 at 89 MAKER
        20 <18 OrderFilled dan sl2 SELL 10 at 89 TAKER done
        21 <18 GroupClosed tp2 SL_FILLED
        22 <21 ReservationReleased tp2 SL_FILLED 0 and 0
        23 <9 StopActivated sl 10 at 84.55
        24 <1 Traded 4: 10 at 89, maker b left 10, taker sl done
        25 <24 OrderFilled bob b BUY 10 at 89 MAKER
        26 <24 OrderFilled ann sl SELL 10 at 89 TAKER done
        27 <24 GroupClosed tp SL_FILLED
        28 <27 ReservationReleased tp SL_FILLED 0 and 0
        29 <13 StopActivated sl3 10 at 84.55
        30 <1 Traded 5: 10 at 89, maker b left 0, taker sl3 done
        31 <30 OrderFilled bob b BUY 10 at 89 MAKER done
        32 <30 OrderFilled cat sl3 SELL 10 at 89 TAKER done
        33 <30 GroupClosed tp3 SL_FILLED
        34 <33 ReservationReleased tp3 SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000890 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


@both_policies
def test_row_18_own_resting_bid(partitions: Partitions, policy: str) -> None:
    """SL would hit the account's own bid: that is cancelled; a protective order must not die."""
    s = Scene(partitions).given(oco(policy), buy("b", 1, 90), buy("own", 5, 89, "ann"))
    s.given(buy("c", 12, 88))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 0, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER done
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 85.5
        10 <1 Removed own 5 SELF_TRADE
        11 <10 OrderCanceled own 5 SELF_TRADE
        12 <1 Traded 3: 10 at 88, maker c left 2, taker sl done
        13 <12 OrderFilled bob c BUY 10 at 88 MAKER
        14 <12 OrderFilled ann sl SELL 10 at 88 TAKER done
        15 <12 GroupClosed tp SL_FILLED
        16 <15 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl", "own") == story("""
        ann cash 1000880 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
        own CANCELED 0 of 5 open 0
    """)


def test_row_19_own_unfilled_entry(partitions: Partitions) -> None:
    """SL hits its own bracket's unfilled entry: entry cancelled first, then as 4.

    The entry is above SL, until that is raised over it.
    """
    s = Scene(partitions, shares=0).given(bracket(), sell("a", 4, 100), sell("b", 1, 105))
    s.given(buy("c", 1, 105, "cat"))
    s.run(Tick())
    s.given(replace("sl", stop=103), buy("d", 1, 102))
    assert s.stands("g", "sl'", "tp") == story("""
        ann cash 999600 position 4 holds 600 and 4
        group ACTIVE 10 R 4 holds 0 and 4
        g PARTIALLY_FILLED 4 of 10 open 6
        sl' HELD 0 of 10 open 10
        tp NEW 0 of 10 open 10
    """)
    assert s.when(sell("e", 1, 102, "cat")) == story("""
        1 OrderAccepted cat e SELL 1 LIMIT 102 GTC holds 0 and 1
        2 <1 Traded 4: 1 at 102, maker d left 0, taker e done
        3 <2 OrderFilled bob d BUY 1 at 102 MAKER done
        4 <2 OrderFilled cat e SELL 1 at 102 TAKER done
        5 <1 Removed g 6 SIBLING_ELECTED
        6 <5 OrderCanceled g 6 SIBLING_ELECTED
        7 <2 LegReduced tp by 6 to 4 ENTRY_CANCELLED
        8 <7 OrderDecremented tp by 6 ENTRY_CANCELLED
        9 <2 LegReduced sl' by 6 to 4 ENTRY_CANCELLED
        10 <9 OrderDecremented sl' by 6 ENTRY_CANCELLED
        11 <2 StopElected sl' by 102 in trade 4 gapped
        12 <11 OrderTriggered sl' by 102 in trade 4 gapped
        13 <11 LegCancelled tp 4 SIBLING_ELECTED
        14 <13 OrderCanceled tp 4 SIBLING_ELECTED
        15 <11 StopActivated sl' 4 at 96.9
        16 <1 Rested sl' SELL 4 at 96.9
    """)
    assert s.stands("g", "sl'", "tp") == story("""
        ann cash 999600 position 4 holds 0 and 4
        group ELECTED 4 R 4 holds 0 and 4
        g CANCELED 4 of 10 open 0
        sl' NEW 0 of 4 open 4
        tp CANCELED 0 of 4 open 0
    """)


def test_row_20_legs_against_each_other(partitions: Partitions) -> None:
    """Legs against each other: impossible, both are on the side of the exit."""
    s = Scene(partitions).given(oco())
    sides = {name: order_record(s.stage_of("ann").orders[name]).side for name in ("tp", "sl")}
    assert sides == {"tp": SELL, "sl": SELL}
    s = Scene(partitions, shares=0).given(bracket())
    sides = {name: order_record(s.stage_of("ann").orders[name]).side for name in ("tp", "sl", "g")}
    assert sides == {"tp": SELL, "sl": SELL, "g": BUY}


def test_row_21_take_profit_at_the_last_price(partitions: Partitions) -> None:
    """TP marketable at entry: group rejected OCO_PRICES_DO_NOT_STRADDLE."""
    s = Scene(partitions)
    assert s.when(oco(tp_usd=100)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price
    """)
    assert s.stands("tp") == story("""
        ann cash 1000000 position 10 holds 0 and 0
    """)


def test_row_21_take_profit_crosses_a_bid(partitions: Partitions) -> None:
    """TP marketable at entry by the book, which only matching knows: nothing of it enters."""
    s = Scene(partitions).given(buy("b", 1, 111))
    assert s.when(oco()) == story("""
        1 GroupAccepted tp OCO SELL 10 tp 110 sl 90 REDUCE holds 0 and 10
        2 <1 GroupRefused tp OCO_PRICES_DO_NOT_STRADDLE
        3 <2 OrderCanceled tp 10 OCO_PRICES_DO_NOT_STRADDLE
        4 <2 OrderCanceled sl 10 OCO_PRICES_DO_NOT_STRADDLE
        5 <2 ReservationReleased tp OCO_PRICES_DO_NOT_STRADDLE 0 and 10
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl CANCELED 0 of 10 open 0
    """)


def test_row_21_stop_already_reached(partitions: Partitions) -> None:
    """Stop already reached: group rejected OCO_PRICES_DO_NOT_STRADDLE."""
    s = Scene(partitions)
    assert s.when(oco(sl_usd=100)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE stop_loss.stop_price
    """)
    assert s.stands("tp") == story("""
        ann cash 1000000 position 10 holds 0 and 0
    """)


def test_row_21_reference_is_the_previous_close_before_the_first_trade(
    partitions: Partitions,
) -> None:
    """Reference: last, else previous close."""
    s = Scene(partitions, last=False, rules={"reference_px": 105 * 10_000})
    assert s.when(oco(tp_usd=105)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price
    """)
    assert s.when(oco(tp_usd=106)) == story("""
        1 GroupAccepted tp OCO SELL 10 tp 106 sl 90 REDUCE holds 0 and 10
        2 <1 GroupOpened tp 10 alive tp rests
    """)


def test_row_21_no_reference(partitions: Partitions) -> None:
    """Neither last nor previous close: reject."""
    s = Scene(partitions, last=False, rules={"reference_px": 0})
    assert s.when(oco()) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price
    """)


def test_row_22_both_legs_invalid(partitions: Partitions) -> None:
    """One leg invalid: whole group rejected in one event naming each bad leg."""
    s = Scene(partitions)
    assert s.when(oco(tp_usd=99, sl_usd=101)) == story("""
        1 GroupRejected tp OCO_PRICES_DO_NOT_STRADDLE take_profit.limit_price stop_loss.stop_price
    """)
    command = oco(sl_usd=0)
    assert s.when(command) == story("""
        1 GroupRejected tp INVALID_ORDER stop_loss.stop_price
    """)
    assert s.stands("tp") == story("""
        ann cash 1000000 position 10 holds 0 and 0
    """)


def test_row_22_no_shares(partitions: Partitions) -> None:
    """No shares: whole group rejected."""
    s = Scene(partitions)
    assert s.when(oco(qty=11)) == story("""
        1 GroupRejected tp INSUFFICIENT_QTY qty
    """)
    assert s.stands("tp") == story("""
        ann cash 1000000 position 10 holds 0 and 0
    """)


def test_row_22_no_cash(partitions: Partitions) -> None:
    """No cash, for the entry of a bracket: whole group rejected; a dollar more and it is in."""
    s = Scene(partitions, shares=0, cash=999_99)
    assert s.when(bracket()) == story("""
        1 GroupRejected g INSUFFICIENT_BUYING_POWER qty
    """)
    assert s.stands("g") == story("""
        ann cash 999.99 position 0 holds 0 and 0
    """)
    rich = Scene(partitions, shares=0, cash=1_000_00)
    assert rich.when(bracket()) == story("""
        1 GroupAccepted g BRACKET BUY 10 LIMIT 100 tp 110 sl 90 REDUCE holds 1000 and 0
        2 <1 GroupHeld g 10 tp 110 sl 90
        3 <1 Rested g BUY 10 at 100
    """)
    assert rich.stands("g", "tp", "sl") == story("""
        ann cash 1000 position 0 holds 1000 and 0
        group HELD 10 R 0 holds 0 and 0
        g NEW 0 of 10 open 10
        tp HELD 0 of 10 open 10
        sl HELD 0 of 10 open 10
    """)


def test_row_23_symbol_suspended_at_election(partitions: Partitions) -> None:
    """Symbol suspended at election: stays ELECTED_PENDING, runs first at resume.

    The command that elects it goes beyond the collar, so that the book pauses; then it is halted.
    """
    s = Scene(partitions).given(oco(), sell("low", 2, 90, "cat"), buy("bid", 9, 88, "cat"))
    s.given(buy("b", 6, 110))
    assert s.when(RestrictInstrument(SYMBOL, "HALTED", "news")) == story("""
        1 PhaseChanged HALT OPERATOR
        2 InstrumentRestricted HALTED
    """)
    assert s.when(Tick()) == story("""
        1 Marked 110
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000440 position 6 holds 0 and 6
        group ELECTED 10 R 6 holds 0 and 6
        tp CANCELED 4 of 10 open 0
        sl NEW 0 of 6 open 6
    """)
    assert s.when(RestrictInstrument(SYMBOL, "ACTIVE", "")) == story("""
        1 PhaseChanged CONTINUOUS CALL_ENDED
        2 InstrumentRestricted ACTIVE
        3 StopActivated sl 6 at 85.5
        4 Traded 4: 6 at 88, maker bid left 3, taker sl done
        5 <4 OrderFilled cat bid BUY 6 at 88 MAKER
        6 <4 OrderFilled ann sl SELL 6 at 88 TAKER done
        7 <4 GroupClosed tp SL_FILLED
        8 <7 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000968 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 4 of 10 open 0
        sl FILLED 6 of 6 open 0
    """)


@both_policies
def test_row_23_a_freeze_does_not_stop_an_exit(partitions: Partitions, policy: str) -> None:
    """Account frozen at election: a freeze does not stop an exposure-reducing SL."""
    s = Scene(partitions).given(oco(policy), buy("b", 11, 90))
    assert s.when(FreezeAccount("ann", True, "audit")) == story("""
        1 AccountFrozen ann True
        2 <1 FreezeNoted ann True
    """)
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 10, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <5 StopActivated sl 10 at 85.5
        10 <1 Traded 3: 10 at 90, maker b left 0, taker sl done
        11 <10 OrderFilled bob b BUY 10 at 90 MAKER done
        12 <10 OrderFilled ann sl SELL 10 at 90 TAKER done
        13 <10 GroupClosed tp SL_FILLED
        14 <13 ReservationReleased tp SL_FILLED 0 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000900 position 0 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)


def test_row_23_a_freeze_holds_back_what_opens_a_position(partitions: Partitions) -> None:
    """Account frozen at election: an SL that would go short waits and runs first at resume."""
    s = Scene(partitions, account_type="MARGIN", shares=0).given(oco(), buy("b", 11, 90))
    s.given(FreezeAccount("ann", True, "audit"))
    assert s.when(sell("a", 1, 90, "cat")) == story("""
        1 OrderAccepted cat a SELL 1 LIMIT 90 GTC holds 0 and 1
        2 <1 Traded 2: 1 at 90, maker b left 10, taker a done
        3 <2 OrderFilled bob b BUY 1 at 90 MAKER
        4 <2 OrderFilled cat a SELL 1 at 90 TAKER done
        5 <2 StopElected sl by 90 in trade 2
        6 <5 OrderTriggered sl by 90 in trade 2
        7 <5 LegCancelled tp 10 SIBLING_ELECTED
        8 <7 OrderCanceled tp 10 SIBLING_ELECTED
        9 <7 ReservationChanged tp holds 525 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000000 position 0 holds 525 and 0
        group ELECTED 10 R 10 holds 525 and 0
        tp CANCELED 0 of 10 open 0
        sl NEW 0 of 10 open 10
    """)
    assert s.when(FreezeAccount("ann", False, "")) == story("""
        1 AccountFrozen ann False
        2 <1 FreezeNoted ann False
        3 StopActivated sl 10 at 85.5
        4 <1 Traded 3: 10 at 90, maker b left 0, taker sl done
        5 <4 OrderFilled bob b BUY 10 at 90 MAKER done
        6 <4 OrderFilled ann sl SELL 10 at 90 TAKER done
        7 <4 GroupClosed tp SL_FILLED
        8 <7 ReservationReleased tp SL_FILLED 525 and 0
    """)
    assert s.stands("tp", "sl") == story("""
        ann cash 1000900 position -10 holds 0 and 0
        group CLOSED 10 R 0 holds 0 and 0
        tp CANCELED 0 of 10 open 0
        sl FILLED 10 of 10 open 0
    """)
