"""Cash accounts between trade and settlement: what may be spent, withdrawn and sold, and when."""

from collections.abc import Sequence

import pytest

from nexustrade.core.codec import Message
from nexustrade.matching.messages import (
    GroupOpened,
    LegCancelled,
    OpeningCallBegun,
    OpenSession,
    SessionOpened,
    StopElected,
    Traded,
)
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.service import OrdersView, account_record
from nexustrade.orders.settling import days_after
from tests.two_stages import TwoStages
from tests.unit.orders.test_orders_stage import (
    SHARE,
    USD,
    Given,
    accepted,
    cash,
    order,
    rejected,
    shares,
    trade,
)

MON, TUE, WED, THU, FRI = (f"2026-03-{day:02}" for day in (2, 3, 4, 5, 6))
NEXT_MON = "2026-03-09"


def session(day: str, settle_date: str) -> Message:
    return SessionOpened(day, settle_date)


def sold(g: Given, name: str, qty: int, px: int = 100) -> list[Message]:
    """`ann` sells, with an order of its own."""
    g.when(order(name, "SELL", qty, px))
    return g.when(trade("else", name, px, qty, taker_side="SELL"))


def bought(g: Given, name: str, qty: int, px: int = 100) -> list[Message]:
    g.when(order(name, "BUY", qty, px))
    return g.when(trade("else", name, px, qty, taker_side="BUY"))


def money(g: Given) -> tuple[int, int, int, dict[str, int]]:
    """Buying power, withdrawable and settled cash, and what is due by date."""
    r = account_record(g.stage, g.stage.accounts["ann"])
    return r.buying_power, r.withdrawable, r.settled_cash, r.unsettled


def restrictions(events: Sequence[Message]) -> list[Message]:
    return [e for e in events if isinstance(e, m.AccountRestricted)]


def violations(events: Sequence[Message]) -> list[Message]:
    return [e for e in events if isinstance(e, m.ViolationFound)]


# ---------------------------------------------------------------- what may be spent


def test_fills_carry_the_day_of_the_trade_and_of_its_settlement() -> None:
    g = Given(cash(), shares(10), session(MON, WED))
    assert bought(g, "b", 1) == [
        m.OrderFilled(
            "ann", "b", "ABC", "BUY", 100 * USD, SHARE, 100_00, 0, "TAKER", 7, True, MON, WED
        )
    ]
    assert sold(g, "s", 1) == [
        m.OrderFilled(
            "ann", "s", "ABC", "SELL", 100 * USD, SHARE, 100_00, 0, "TAKER", 7, True, MON, WED
        )
    ]


def test_a_purchase_leaves_at_once_what_may_be_spent_and_settled_cash_when_it_settles() -> None:
    g = Given(cash(1_000_00), session(MON, WED))
    bought(g, "b", 4)
    assert money(g) == (600_00, 600_00, 1_000_00, {WED: -400_00})
    g.all(m.SettleDay(MON), m.SettleDay(TUE), m.SettleDay(WED))
    assert money(g) == (600_00, 600_00, 600_00, {})


def test_proceeds_may_be_spent_but_not_withdrawn_before_they_settle() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, WED))
    sold(g, "s", 5)
    assert money(g) == (1_500_00, 1_000_00, 1_000_00, {WED: 500_00})
    assert g.when(m.AdjustCash("ann", -1_000_01)) == [
        m.CommandRejected("ann", "AdjustCash", m.INSUFFICIENT_CASH, "withdrawable is 1000")
    ]
    g.when(m.SettleDay(WED))
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})


def test_reservations_are_taken_off_both() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, WED))
    sold(g, "s", 5)
    g.when(order("b", "BUY", 12, 100))
    assert money(g) == (300_00, 0, 1_000_00, {WED: 500_00})


def test_an_account_that_may_not_use_proceeds_buys_with_settled_cash() -> None:
    g = Given(cash(1_000_00, unsettled_usable=False), shares(10), session(MON, WED))
    sold(g, "s", 5)
    assert money(g) == (1_000_00, 1_000_00, 1_000_00, {WED: 500_00})
    late = order("b", "BUY", 11, 100)
    assert g.when(late) == [
        rejected(
            late,
            m.INSUFFICIENT_BUYING_POWER,
            "insufficient buying power",
            buying_power="1000",
            cost_basis="1100",
        )
    ]
    g.when(m.SettleDay(WED))
    assert g.when(order("b2", "BUY", 15, 100)) == [
        accepted("b2", "BUY", 15, 100, reserved=1_500_00)
    ]


def test_fees_are_part_of_what_settles() -> None:
    g = Given(cash(1_000_00, taker_fee_ppm=1_000), shares(10), session(MON, WED))
    sold(g, "s", 5)
    bought(g, "b", 1)
    # 500.00 less 0.50 come, 100.00 and 0.10 go.
    assert money(g)[3] == {WED: 399_40}
    g.when(m.SettleDay(WED))
    assert g.stage.accounts["ann"].cash == 1_399_40


def test_where_trades_settle_at_once_nothing_is_due() -> None:
    g = Given(cash(1_000_00), shares(10), session("day 00000", ""), session(MON, ""))
    events = sold(g, "s", 5)
    assert [(e.trade_date, e.settle_date) for e in events if isinstance(e, m.OrderFilled)] == [
        ("", "")
    ]
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})
    assert g.when(m.SettleDay(MON)) == [m.DaySettled(MON)]
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})


def test_a_cycle_of_no_days_settles_at_the_end_of_the_day() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, MON))
    sold(g, "s", 5)
    assert money(g) == (1_500_00, 1_000_00, 1_000_00, {MON: 500_00})
    # What it buys is paid for on the very day: to sell it is in order.
    bought(g, "b", 15)
    assert violations(sold(g, "s2", 15)) == []
    g.when(m.SettleDay(MON))
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})


def test_the_market_may_go_over_to_settling_at_once() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, WED))
    sold(g, "s", 5)
    assert g.when(session(TUE, "")) == [m.SessionBegun(TUE, "")]
    sold(g, "s2", 1)
    assert money(g) == (1_600_00, 1_100_00, 1_100_00, {WED: 500_00})


# ---------------------------------------------------------------- sessions and days


def test_every_partition_of_the_market_tells_of_a_session_and_the_first_one_counts() -> None:
    g = Given(cash())
    assert g.when(OpeningCallBegun(MON, WED)) == [m.SessionBegun(MON, WED)]
    assert g.when(OpeningCallBegun(MON, WED)) == []
    assert g.when(SessionOpened(MON, WED)) == []
    assert g.when(SessionOpened(MON, WED)) == []
    assert g.when(OpeningCallBegun(TUE, THU)) == [m.SessionBegun(TUE, THU)]
    # A partition that is late tells of yesterday: trades are of today all the same.
    assert g.when(SessionOpened(MON, WED)) == []
    assert (g.stage.trade_date, g.stage.settle_date) == (TUE, THU)


def test_a_day_settles_once_whatever_the_clock_does() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, WED))
    sold(g, "s", 5)
    assert g.when(m.SettleDay(TUE)) == [m.DaySettled(TUE)]
    before = g.stage.dump()
    assert g.when(m.SettleDay(TUE)) == []
    assert g.when(m.SettleDay(MON)) == []
    assert g.stage.dump() == before
    # The clock jumps ahead: all that was due by then is settled, once.
    assert g.when(m.SettleDay(FRI)) == [m.DaySettled(FRI)]
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})
    assert g.when(m.SettleDay(WED)) == []
    assert g.when(m.SettleDay(FRI)) == []


def test_what_is_traded_after_its_day_has_settled_settles_with_the_next() -> None:
    g = Given(cash(1_000_00), shares(10), m.SettleDay(FRI), session(MON, WED))
    sold(g, "s", 5)
    assert money(g)[3] == {WED: 500_00}
    g.when(m.SettleDay(NEXT_MON))
    assert money(g) == (1_500_00, 1_500_00, 1_500_00, {})


def test_two_partitions_settle_each_day_once_each() -> None:
    v = TwoStages(orders_count=2)
    v.list("ABC")
    names = ["ann", "bob", "cat", "dan", "eve"]
    for name in names:
        v.open(name)
        v.run(m.AdjustPosition(name, "ABC", 10 * SHARE, 90 * USD))
    assert len({v.routing.orders_of(name) for name in names}) == 2
    v.run(OpenSession(MON, WED))
    for name in names:
        v.run(_limit(name, f"s-{name}", "SELL"))
        v.run(_limit("ann", f"b-{name}", "BUY"))
    assert v.run(m.SettleDay(WED)) == [m.DaySettled(WED), m.DaySettled(WED)]
    assert v.run(m.SettleDay(WED)) == []
    for stage in v.orders:
        for account in stage.accounts.values():
            assert (account.dues.net(), account.unsettled) == ({}, {})
    v.verify()
    # One partition has settled a day that the other has not: the view says the earlier one.
    view = OrdersView(v.orders, v.routing.orders_of)
    assert view.settled_date() == WED
    v.orders[0].take(m.SettleDay(THU), v.now_us + 1, "test")
    assert view.settled_date() == WED


def _limit(account: str, name: str, side: str) -> m.SubmitOrder:
    return m.SubmitOrder(
        account, name, name, "ABC", side, "LIMIT", "GTC", SHARE, limit_px=100 * USD
    )


# ---------------------------------------------------------------- good faith


def in_bad_faith(*more: Message, **account: object) -> Given:
    """`ann` has 10 shares that were bought with proceeds of Monday, which settle on Wednesday."""
    g = Given(cash(0, **account), shares(10), session(MON, WED))
    sold(g, "s", 10)
    bought(g, "b", 10)
    return g.all(*more)


def test_shares_sold_before_their_money_has_settled_are_a_violation() -> None:
    g = in_bad_faith()
    events = sold(g, "bad", 4)
    assert events == [
        m.OrderFilled(
            "ann", "bad", "ABC", "SELL", 100 * USD, 4 * SHARE, 400_00, 0, "TAKER", 7, True, MON, WED
        ),
        m.ViolationFound("ann", "GOOD_FAITH", "ABC", 4 * SHARE, MON, WED, "bad", 7),
    ]
    record = account_record(g.stage, g.stage.accounts["ann"])
    assert (record.good_faith_violations, record.restricted_until) == (1, "")
    assert record.unsettled_usable


def test_the_fills_of_one_order_are_one_violation() -> None:
    g = in_bad_faith()
    g.when(order("bad", "SELL", 10, 100))
    first = g.when(trade("bad", "else", 100, 2, left=8, taker_side="BUY"))
    second = g.when(trade("bad", "else", 100, 8, taker_side="BUY"))
    assert [len(violations(first)), len(violations(second))] == [1, 0]
    assert g.stage.accounts["ann"].standing.count("GOOD_FAITH") == 1


@pytest.mark.parametrize(
    ("then", "day"),
    [
        ([m.SettleDay(WED)], THU),
        ([], WED),  # on the day on which the money settles
        ([m.AdjustCash("ann", 1_000_00)], MON),  # a deposit has paid for them
    ],
)
def test_shares_that_are_paid_for_are_no_violation(then: list[Message], day: str) -> None:
    g = in_bad_faith(*then, session(day, days_after(day, 2)))
    assert violations(sold(g, "fine", 10)) == []


def test_shares_that_are_paid_for_are_sold_first() -> None:
    g = in_bad_faith(shares(5))
    assert violations(sold(g, "fine", 5)) == []
    assert violations(sold(g, "bad", 1)) != []


def test_a_margin_account_violates_nothing() -> None:
    g = Given(m.OpenAccount("ann", "MARGIN", 0), shares(10), session(MON, WED))
    sold(g, "s", 10)
    bought(g, "b", 10)
    assert violations(sold(g, "s2", 10)) == []


def test_a_stop_loss_is_never_blocked_and_counted_all_the_same() -> None:
    g = in_bad_faith()
    group = m.SubmitGroup(
        "ann",
        "tp",
        "tp",
        "OCO",
        "ABC",
        "SELL",
        "GTC",
        10 * SHARE,
        tp_order_id="tp",
        tp_limit_px=110 * USD,
        sl_order_id="sl",
        sl_stop_px=90 * USD,
    )
    # An OCO on shares that are neither paid for nor delivered is taken.
    assert type(g.when(group)[0]).__name__ == "GroupAccepted"
    g.when(GroupOpened("tp", "ann", "ABC", 10 * SHARE))
    g.when(StopElected("sl", "ann", "ABC", 90 * USD, 89 * USD, 8, group_id="tp"))
    g.when(LegCancelled("tp", "ann", "ABC", "tp", 10 * SHARE, "SIBLING_ELECTED"))
    gap = Traded(9, "ABC", "SELL", 89 * USD, 10 * SHARE, "x", "other", 0, "sl", "ann", True)
    events = g.when(gap)
    assert [type(e).__name__ for e in events] == ["OrderFilled", "ViolationFound"]
    # Its delivery nets against the receipt: nothing is left to come or to go.
    assert g.stage.accounts["ann"].unsettled["ABC"].moves == {WED: -10 * SHARE}


def test_the_delivery_of_a_sale_nets_against_the_receipt_of_its_day() -> None:
    g = Given(cash(), session(MON, WED))
    bought(g, "b", 10)
    assert g.stage.accounts["ann"].unsettled["ABC"].moves == {WED: 10 * SHARE}
    sold(g, "s", 10)
    assert g.stage.accounts["ann"].unsettled == {}
    assert money(g) == (100_000_00, 99_000_00, 100_000_00, {WED: 0})


def violated(g: Given, days: Sequence[str], first: int = 0) -> list[list[Message]]:
    """On each day `ann` sells, buys with the proceeds and sells what these have not paid for."""
    answers = []
    for number, day in enumerate(days, first):
        g.all(m.SettleDay(days_after(day, -1)), session(day, days_after(day, 2)))
        sold(g, f"s{number}", 10)
        bought(g, f"b{number}", 10)
        answers.append(sold(g, f"bad{number}", 10))
        g.when(m.SettleDay(days_after(day, 2)))
        bought(g, f"back{number}", 10)
        g.when(m.SettleDay(days_after(day, 5)))
    return answers


def test_the_third_violation_in_twelve_months_restricts_for_ninety_days() -> None:
    g = Given(cash(0), shares(10))
    answers = violated(g, ["2026-03-02", "2026-04-06", "2027-03-03"])
    assert [len(violations(each)) for each in answers] == [1, 1, 1]
    # The first one is a year ago: it does not count any more.
    assert [restrictions(each) for each in answers] == [[], [], []]
    (third,) = violated(g, ["2027-03-15"], 3)
    assert restrictions(third) == [m.AccountRestricted("ann", "2027-06-13", 3)]
    record = account_record(g.stage, g.stage.accounts["ann"])
    assert (record.restricted_until, record.unsettled_usable) == ("2027-06-13", False)


def test_a_restricted_account_buys_with_settled_cash_until_the_last_day_is_over() -> None:
    g = Given(cash(0), shares(10))
    violated(g, ["2026-03-02", "2026-03-16"])
    g.when(m.AdjustCash("ann", 300_00))
    (third,) = violated(g, ["2026-03-30"], 2)
    until = "2026-06-28"
    assert restrictions(third) == [m.AccountRestricted("ann", until, 3)]
    g.when(session("2026-04-20", "2026-04-22"))
    sold(g, "s", 10)
    late = order("late", "BUY", 4, 100)
    words = f"insufficient settled cash: the account is restricted to it until {until}"
    figures = {"buying_power": "300", "cost_basis": "400"}
    assert g.when(late) == [rejected(late, m.SETTLED_CASH_ONLY, words, **figures)]
    # More than all there is has another reason.
    dear = order("dear", "BUY", 14, 100)
    assert getattr(g.when(dear)[0], "reason", "") == m.INSUFFICIENT_BUYING_POWER
    assert type(g.when(order("ok", "BUY", 3, 100))[0]).__name__ == "OrderAccepted"
    g.when(m.CancelOrder("ann", "ok"))
    assert g.when(m.SettleDay("2026-06-26")) == [m.DaySettled("2026-06-26")]
    assert g.when(m.SettleDay(until)) == [
        m.DaySettled(until),
        m.AccountRestricted("ann", "", 3),
    ]
    assert g.when(m.SettleDay("2026-06-29")) == [m.DaySettled("2026-06-29")]
    g.when(session("2026-06-29", "2026-07-01"))
    assert account_record(g.stage, g.stage.accounts["ann"]).unsettled_usable


def test_a_restriction_ends_also_when_its_last_day_is_no_business_day() -> None:
    g = Given(cash(0), shares(10))
    violated(g, ["2026-03-02", "2026-03-16", "2026-03-30"])
    assert g.when(m.SettleDay("2026-06-30")) == [
        m.DaySettled("2026-06-30"),
        m.AccountRestricted("ann", "", 3),
    ]


def test_one_more_violation_while_it_is_restricted_moves_the_end() -> None:
    g = Given(cash(0), shares(10))
    violated(g, ["2026-03-02", "2026-03-16"])
    g.all(m.SettleDay("2026-03-29"), session("2026-03-30", "2026-04-01"))
    sold(g, "s", 10)
    bought(g, "b", 10)
    third = sold(g, "bad-a", 4)
    fourth = sold(g, "bad-b", 3)
    assert restrictions(third) == [m.AccountRestricted("ann", "2026-06-28", 3)]
    # The same day: nothing new to tell.
    assert (len(violations(fourth)), restrictions(fourth)) == (1, [])
    g.when(session("2026-03-31", "2026-04-02"))
    fifth = sold(g, "bad-c", 3)
    assert restrictions(fifth) == [m.AccountRestricted("ann", "2026-06-29", 5)]


# ---------------------------------------------------------------- free-riding


def test_shares_sold_to_pay_for_their_own_purchase_are_a_free_ride() -> None:
    # The cycle is shortened from two days to none: a purchase is due before the proceeds it uses.
    g = Given(cash(0), shares(10), session(MON, WED))
    sold(g, "s", 10)
    g.when(session(TUE, TUE))
    bought(g, "b", 10)
    g.when(session(TUE, THU))
    sold(g, "s2", 10)
    assert g.when(m.SettleDay(TUE)) == [
        m.ViolationFound("ann", "FREE_RIDING", "ABC", 10 * SHARE, TUE, TUE),
        m.AccountRestricted("ann", days_after(TUE, 90), 2),
        m.DaySettled(TUE),
    ]
    assert account_record(g.stage, g.stage.accounts["ann"]).free_riding_violations == 1
    # The next day finds nothing more of it.
    assert g.when(m.SettleDay(WED)) == [m.DaySettled(WED)]


def test_money_that_came_in_time_makes_it_no_free_ride() -> None:
    g = Given(cash(0), shares(10), session(MON, WED))
    sold(g, "s", 10)
    g.when(session(TUE, TUE))
    bought(g, "b", 10)
    g.all(session(TUE, THU), m.AdjustCash("ann", 1_000_00))
    sold(g, "s2", 10)
    assert g.when(m.SettleDay(TUE)) == [m.DaySettled(TUE)]


# ---------------------------------------------------------------- dates that are none


def test_dates_that_are_none_break_nothing() -> None:
    g = Given(cash(0), shares(10), session("day 00000", "day 00002"))
    sold(g, "s", 10)
    bought(g, "b", 10)
    events = sold(g, "bad", 10)
    assert [type(e).__name__ for e in events] == ["OrderFilled", "ViolationFound"]
    for number in (1, 2, 3):
        bought(g, f"b{number}", 10)
        sold(g, f"bad{number}", 10)
    # No ninety days can be counted from it.
    assert account_record(g.stage, g.stage.accounts["ann"]).restricted_until == ""
    assert g.when(m.SettleDay("day 00002")) == [m.DaySettled("day 00002")]
    assert money(g) == (1_000_00, 1_000_00, 1_000_00, {})
    assert g.when(session("day 00001", "day 00003")) == [m.SessionBegun("day 00001", "day 00003")]


# ---------------------------------------------------------------- undone trades


def test_an_undone_sale_takes_its_proceeds_back_and_an_undone_purchase_its_shares() -> None:
    g = Given(cash(1_000_00), shares(10), session(MON, WED))
    sold(g, "s", 10)
    bought(g, "b", 5)
    undone = m.BustTrade(
        "ABC", 7, 100 * USD, 10 * SHARE, "other", "x", 0, "ann", "s", 0, WED, "wrong"
    )
    assert g.when(undone) == [
        m.TradeBusted(
            "ann", "s", "ABC", "SELL", 100 * USD, 10 * SHARE, 1_000_00, 0, 7, WED, "wrong"
        )
    ]
    assert money(g) == (500_00, 500_00, 1_000_00, {WED: -500_00})
    assert g.stage.accounts["ann"].positions["ABC"].qty == 15 * SHARE
    # Once.
    assert g.when(undone) == [
        m.CommandRejected("ann", "BustTrade", m.UNKNOWN_TRADE, "trade 7 of ABC is undone already")
    ]


def test_a_cash_account_that_an_undone_trade_left_short_pays_for_what_it_buys_back() -> None:
    g = Given(cash(1_000_00), session(MON, WED))
    bought(g, "b", 10)
    sold(g, "s", 10)
    g.when(order("spend", "BUY", 9, 100))
    g.when(m.BustTrade("ABC", 7, 100 * USD, 10 * SHARE, "ann", "b", 0, "other", "x", 0, WED))
    assert g.stage.accounts["ann"].positions["ABC"].qty == -10 * SHARE
    # 2,000 less what is reserved: dearer shares cannot be had for it.
    assert getattr(g.when(order("c", "BUY", 10, 111))[0], "reason", "") == (
        m.INSUFFICIENT_BUYING_POWER
    )
    assert g.when(order("d", "BUY", 10, 110)) == [accepted("d", "BUY", 10, 110, reserved=1_100_00)]


def test_a_snapshot_carries_all_of_it() -> None:
    g = in_bad_faith()
    sold(g, "bad", 4)
    g.all(m.SettleDay(MON), session(TUE, THU), order("o", "BUY", 1, 10))
    again = OrdersStage("orders-0")
    again.load(g.stage.dump(), g.stage.seq, g.stage.ts_us)
    again.verify()
    assert again.dump() == g.stage.dump()
    one, other = again.accounts["ann"], g.stage.accounts["ann"]
    assert account_record(again, one) == account_record(g.stage, other)
    assert one.dues.awaited == other.dues.awaited
    # What comes next is decided alike.
    for command in (m.SettleDay(WED), order("p", "SELL", 6, 100)):
        events = [r.event for r in again.take(command, g.now_us + 1, "test")]
        assert events == [r.event for r in g.stage.take(command, g.now_us + 1, "test")]
