"""Random trades of a cash account over days: money and shares against the naive twin."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.orders.settling import Dues, Unsettled, days_after, dues_from, unsettled_from
from tests.settling_twin import Twin

FIRST_DAY = "2026-03-02"
CASH = 1_000

_step = st.tuples(
    st.sampled_from(["buy"] * 4 + ["sell"] * 4 + ["day"] * 2 + ["deposit", "snapshot"]),
    st.integers(1, 9),
    st.sampled_from([40, 55, 150]),
)
Step = tuple[str, int, int]


class Subject:
    """An account that keeps its books with the two classes, as the stage does."""

    def __init__(self) -> None:
        self.cash = CASH
        self.qty = 0
        self.dues = Dues()
        self.shares = Unsettled()

    def buy(self, qty: int, cost: int, day: str) -> str:
        lack = self.dues.lack(self.cash, cost)
        funded_until = self.dues.funded_until(lack, day)
        self.dues.pledge(lack)
        self.dues.pay(day, cost)
        self.cash -= cost
        self.qty += qty
        self.shares.move(day, qty)
        if funded_until:
            self.shares.add_lot(funded_until, qty)
        return funded_until

    def sell(self, qty: int, proceeds: int, trade_date: str, day: str) -> int:
        late = self.shares.unpaid(self.qty, qty, trade_date)
        late = 0 if self.dues.paid_up(self.cash) else late
        self.shares.take(self.qty, qty)
        self.shares.move(day, -qty)
        self.dues.receive(day, proceeds)
        self.cash += proceeds
        self.qty -= qty
        return late


@settings(max_examples=150, deadline=None)
@given(st.lists(_step, min_size=5, max_size=60), st.integers(0, 3))
def test_the_books_agree_with_every_trade_kept(steps: list[Step], cycle: int) -> None:
    one, twin = Subject(), Twin(CASH)
    today = FIRST_DAY
    for kind, number, px in steps:
        day = days_after(today, cycle)
        if kind == "buy" and number * px <= one.cash:
            assert one.buy(number, number * px, day) == twin.buy(number, number * px, day)
        elif kind == "sell" and number <= one.qty:
            proceeds = number * px
            assert one.sell(number, proceeds, today, day) == twin.sell(number, proceeds, today, day)
        elif kind == "deposit":
            one.cash += px
            twin.here += px
        elif kind == "day":
            one.dues.settle(today)
            one.shares.settle(today)
            twin.settle(today)
            today = days_after(today, 1 if number < 8 else number)
        elif kind == "snapshot":
            one.dues = dues_from(one.dues.row())
            one.shares = unsettled_from(one.shares.row())
        _agree(one, twin)
        # Bought within the cash there is, and with one cycle: what settles is always covered.
        assert one.dues.settled(one.cash) >= 0


def _agree(one: Subject, twin: Twin) -> None:
    dues, shares = one.dues, one.shares
    assert dues.settled(one.cash) == twin.here
    assert dues.free(one.cash) == twin.settled_free()
    assert sum(dues.receivable.values()) == twin.receivable()
    assert sum(dues.payable.values()) == twin.payable()
    assert sum(dues.net().values()) == twin.receivable() - twin.payable()
    assert dues.awaited >= 0
    assert one.qty == len(twin.shares)
    assert shares.qty() == sum(qty for _, qty in twin.moves)
    assert shares.lots_qty() == sum(1 for share in twin.shares if share.funded_until)
    assert 0 <= shares.deliverable(one.qty) <= one.qty
    # What is kept is bounded by the days between trade and settlement.
    assert len(dues.receivable) <= 4
    assert len(shares.moves) <= 4
    assert len(shares.lots) <= 4
