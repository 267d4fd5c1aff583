"""Money and shares between trade and settlement, and the standing of a cash account."""

import pytest

from nexustrade.orders import settling
from nexustrade.orders.settling import Dues, Standing, Unsettled

MON, TUE, WED, THU, FRI = (f"2026-03-{day:02}" for day in (2, 3, 4, 5, 6))


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("day", "days", "then"),
    [
        ("2026-03-02", 90, "2026-05-31"),
        ("2024-02-28", 1, "2024-02-29"),
        ("2024-03-01", -366, "2023-03-01"),
        ("2026-12-31", 1, "2027-01-01"),
    ],
)
def test_days_after(day: str, days: int, then: str) -> None:
    assert settling.days_after(day, days) == then


@pytest.mark.parametrize("text", ["", "day 00001", "20260302", "2026-02-30", "2026-W10-1"])
def test_no_dates(text: str) -> None:
    assert not settling.is_date(text)


def test_a_date() -> None:
    assert settling.is_date("2026-03-02")


# ---------------------------------------------------------------- cents


def test_a_sale_is_cash_at_once_and_settled_later() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    cash = 500_00 + 100_00
    assert (dues.settled(cash), dues.free(cash), dues.net()) == (500_00, 500_00, {WED: 100_00})
    dues.settle(TUE)
    assert dues.settled(cash) == 500_00
    dues.settle(WED)
    assert (dues.settled(cash), dues.free(cash), dues.net()) == (600_00, 600_00, {})


def test_a_purchase_is_free_cash_no_longer_and_settled_cash_until_it_settles() -> None:
    dues = Dues()
    dues.pay(WED, 100_00)
    cash = 500_00 - 100_00
    assert (dues.settled(cash), dues.free(cash), dues.net()) == (500_00, 400_00, {WED: -100_00})
    dues.settle(THU)
    assert (dues.settled(cash), dues.free(cash)) == (400_00, 400_00)


def test_settled_cash_pays_before_proceeds_do() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    assert dues.lack(150_00, 50_00) == 0
    assert dues.lack(150_00, 80_00) == 30_00


def test_the_proceeds_that_settle_first_are_used_first() -> None:
    dues = Dues()
    dues.receive(THU, 100_00)
    dues.receive(WED, 100_00)
    assert dues.funded_until(100_00, FRI) == WED
    dues.pledge(100_00)
    assert dues.funded_until(1_01, FRI) == THU
    assert dues.pledged == {WED: 100_00}


def test_what_no_proceeds_cover_is_due_when_the_purchase_settles() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    assert dues.funded_until(100_00 + 1_00, FRI) == WED
    assert dues.funded_until(100_00 + 1_01, FRI) == FRI
    assert Dues().funded_until(50_00, "") == ""


def test_what_rounding_adds_up_to_is_no_debt_until_it_is_more_than_that() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    assert dues.lack(200_00, 100_00 + 1_00) == 0
    # One cent a time, it counts as well: free settled cash is below 0 by what was let pass.
    assert dues.lack(200_00 - 101_00, 1) == 1_01


def test_used_proceeds_do_not_make_settled_cash_that_came_later_unsettled() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    dues.pledge(100_00)
    dues.pay(WED, 100_00)
    assert dues.free(0) == 0
    assert dues.free(50_00) == 50_00


def test_a_deposit_pays_for_what_was_bought_with_proceeds() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    dues.pledge(100_00)
    dues.pay(WED, 100_00)
    assert not dues.paid_up(99_99)
    assert dues.paid_up(100_00)


def test_an_undone_sale_leaves_the_purchases_that_used_it_unpaid() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    dues.receive(WED, 20_00)
    dues.pledge(110_00)
    dues.undo_receive(WED, 100_00)
    assert (dues.receivable, dues.pledged, dues.awaited) == ({WED: 20_00}, {WED: 20_00}, 0)
    assert dues.free(10_00 - 100_00) == -90_00


def test_an_undone_purchase_gives_its_proceeds_back_the_last_first() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    dues.receive(THU, 100_00)
    dues.pledge(150_00)
    dues.pay(THU, 150_00)
    dues.undo_pay(THU, 70_00)
    assert (dues.payable, dues.pledged) == ({THU: 80_00}, {WED: 80_00})
    assert dues.free(120_00) == 0


def test_more_is_undone_than_is_due_when_part_of_it_was_never_due() -> None:
    dues = Dues()
    dues.receive(WED, 10_00)
    dues.undo_receive(WED, 30_00)
    dues.undo_pay(WED, 30_00)
    assert (dues.receivable, dues.payable, dues.awaited) == ({}, {}, 0)


def test_dues_are_made_again_from_their_row() -> None:
    dues = Dues()
    dues.receive(WED, 100_00)
    dues.pledge(40_00)
    dues.pay(THU, 40_00)
    again = settling.dues_from(dues.row())
    assert (again.row(), again.awaited) == (dues.row(), 60_00)


# ---------------------------------------------------------------- shares


def test_moves_of_a_day_are_netted() -> None:
    u = Unsettled()
    u.move(WED, 10)
    u.move(WED, -4)
    u.move(THU, -6)
    assert (u.moves, u.qty()) == ({WED: 6, THU: -6}, 0)
    u.move(WED, -6)
    assert u.moves == {THU: -6}


def test_paid_shares_are_sold_first_then_those_that_are_paid_for_first() -> None:
    u = Unsettled()
    u.add_lot(THU, 3)
    u.add_lot(WED, 3)
    assert u.unpaid(10, 4, TUE) == 0
    assert (u.unpaid(10, 5, TUE), u.funded_until(10, 5)) == (1, WED)
    assert (u.unpaid(10, 9, TUE), u.funded_until(10, 9)) == (5, THU)
    u.take(10, 8)
    assert u.lots == {THU: 2}


def test_on_the_day_on_which_the_money_settles_a_sale_is_in_order() -> None:
    u = Unsettled()
    u.add_lot(WED, 3)
    assert (u.unpaid(3, 3, TUE), u.unpaid(3, 3, WED)) == (3, 0)


def test_settling_pays_for_lots_and_moves_shares() -> None:
    u = Unsettled()
    u.add_lot(WED, 3)
    u.move(WED, 3)
    u.move(THU, -1)
    u.settle(WED)
    assert (u.lots, u.moves) == ({}, {THU: -1})
    u.settle(FRI)
    assert u.empty()


@pytest.mark.parametrize(
    ("qty", "moves", "lots", "free"),
    [
        (10, {}, {}, 10),
        (10, {WED: 4}, {}, 6),  # four have not come
        (6, {WED: -4}, {}, 6),  # ten are here, four are sold
        (5, {WED: 10, THU: -10}, {}, 5),  # Thursday's delivery is Wednesday's receipt
        (15, {WED: -10, THU: 10}, {}, 5),  # ten must go before ten come
        (5, {WED: -10, THU: 10}, {}, 0),
        (10, {}, {WED: 4}, 6),
        (4, {WED: 10}, {}, 0),
    ],
)
def test_deliverable(qty: int, moves: dict[str, int], lots: dict[str, int], free: int) -> None:
    u = settling.unsettled_from([moves, lots])
    assert u.deliverable(qty) == free


def test_an_undone_purchase_takes_the_lots_with_it_that_are_paid_for_last() -> None:
    u = Unsettled()
    u.add_lot(WED, 3)
    u.add_lot(THU, 3)
    u.shrink(6)
    assert u.lots == {WED: 3, THU: 3}
    u.shrink(2)
    assert u.lots == {WED: 2}
    u.shrink(-5)
    assert u.lots == {}


@pytest.mark.parametrize(
    ("moves", "ridden"),
    [
        ({WED: 10, THU: -6}, 6),
        ({TUE: 4, WED: 1, THU: -6, FRI: -6}, 5),
        ({WED: 10}, 0),
        ({THU: 10, FRI: -10}, 0),
        ({WED: -10, THU: 10}, 0),
    ],
)
def test_ridden(moves: dict[str, int], ridden: int) -> None:
    assert settling.unsettled_from([moves, {}]).ridden(WED) == ridden


# ---------------------------------------------------------------- violations


def test_the_third_good_faith_violation_restricts_for_ninety_days() -> None:
    s = Standing()
    for number, day in enumerate((MON, TUE, WED)):
        assert s.restriction(day) == ""
        s.add(settling.GOOD_FAITH, day, f"order-{number}")
    assert s.restriction(WED) == "2026-06-02"


def test_the_first_free_ride_restricts() -> None:
    s = Standing()
    s.add(settling.FREE_RIDING, MON, "")
    assert s.restriction(MON) == "2026-05-31"


def test_a_restriction_is_not_shortened_or_told_twice() -> None:
    s = Standing()
    s.add(settling.FREE_RIDING, MON, "")
    s.restricted_until = s.restriction(MON)
    assert s.restriction(MON) == ""
    assert s.restriction(TUE) == "2026-06-01"


def test_a_restriction_ends_with_its_last_day() -> None:
    s = Standing()
    assert not s.over(MON)
    s.restricted_until = "2026-05-31"
    assert not s.over("2026-05-30")
    assert s.over("2026-05-31")
    assert s.over("2026-06-01")


def test_violations_older_than_a_date_count_no_longer() -> None:
    s = Standing()
    s.add(settling.GOOD_FAITH, MON, "a")
    s.add(settling.GOOD_FAITH, TUE, "b")
    s.forget(MON)
    assert (s.count(settling.GOOD_FAITH), s.known(settling.GOOD_FAITH, "a")) == (1, False)
    assert s.known(settling.GOOD_FAITH, "b")
    assert not s.known(settling.FREE_RIDING, "b")


def test_the_violations_kept_are_bounded() -> None:
    s = Standing()
    for number in range(settling.VIOLATIONS_MAX + 1):
        s.add(settling.GOOD_FAITH, MON, str(number))
    assert s.count(settling.GOOD_FAITH) == settling.VIOLATIONS_MAX
    assert not s.known(settling.GOOD_FAITH, "0")


def test_a_standing_is_made_again_from_its_row() -> None:
    s = Standing()
    s.add(settling.FREE_RIDING, MON, "")
    s.restricted_until = FRI
    again = settling.standing_from(s.row())
    assert (again.row(), again.violations) == (s.row(), s.violations)
