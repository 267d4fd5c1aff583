"""The book against a naive twin: a plain list, searched from end to end, and exact fractions."""

import copy
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nexustrade.core.terms import (
    BUY,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
)
from nexustrade.matching.book import (
    DONE,
    RESTS,
    SELF_TRADED,
    UNBOUNDED,
    UNFILLED,
    WOULD_TAKE,
    Book,
    Order,
    Tape,
)

SHARE = 100_000_000
OUTCOMES = {
    DONE: "done",
    RESTS: "rests",
    UNFILLED: "unfilled",
    SELF_TRADED: "self-traded",
    WOULD_TAKE: "would take",
}

Told = tuple[object, ...]


@dataclass
class Plain:
    """An order of the twin; `qty` None is no cap, `limit` None is any price."""

    order_id: str
    account: str
    is_buy: bool
    limit: int | None
    qty: int | None
    tif: str = GTC
    stp: str = STP_ALLOW
    is_market: bool = False
    post_only: bool = False
    budget: int | None = None
    step: int = 1
    filled: int = 0


class Twin:
    """A list of orders in order of arrival."""

    def __init__(self) -> None:
        self.orders: list[Plain] = []
        self.told: list[Told] = []

    def reachable(self, taker: Plain) -> Plain | None:
        """The best order on the other side the taker may trade with: price, then arrival."""
        best: Plain | None = None
        for order in self.orders:
            assert order.limit is not None
            if order.is_buy == taker.is_buy:
                continue
            if taker.limit is not None and (
                order.limit > taker.limit if taker.is_buy else order.limit < taker.limit
            ):
                continue
            better = best is None or (
                order.limit < (best.limit or 0) if taker.is_buy else order.limit > (best.limit or 0)
            )
            if better:
                best = order
        return best

    def enter(self, taker: Plain) -> str:
        if taker.post_only and self.reachable(taker) is not None:
            return "would take"
        if taker.tif == FOK:
            trial = copy.deepcopy(self)
            trial.told = []
            outcome = trial.match(copy.deepcopy(taker))
            if outcome != "done" or any(told[0] == "decrement" for told in trial.told):
                return "unfilled"
        outcome = self.match(taker)
        if outcome == "open":
            rests = taker.tif == GTC and not taker.is_market and taker.budget is None
            return "rests" if rests else "unfilled"
        return outcome

    def match(self, taker: Plain) -> str:
        while True:
            maker = self.reachable(taker)
            if maker is None:
                return "open"
            assert maker.qty is not None
            assert maker.limit is not None
            if taker.stp != STP_ALLOW and maker.account == taker.account:
                if not self.prevent(maker, taker):
                    return "self-traded"
                continue
            qty = maker.qty if taker.qty is None else min(maker.qty, taker.qty)
            if taker.budget is not None:
                qty = min(qty, buys(taker.budget, maker.limit, taker.step))
                if qty == 0:
                    return "open"
                taker.budget -= round(Fraction(maker.limit * qty, 10**10))
            if taker.qty is not None:
                taker.qty -= qty
            taker.filled += qty
            maker.filled += qty
            maker.qty -= qty
            if maker.qty == 0:
                self.orders.remove(maker)
            done = taker.qty == 0
            if taker.budget is not None:
                after = self.reachable(taker)
                px = maker.limit if after is None or after.limit is None else after.limit
                done = done or buys(taker.budget, px, taker.step) == 0
            self.told.append(("trade", maker.order_id, taker.order_id, maker.limit, qty, done))
            if done:
                return "done"

    def prevent(self, maker: Plain, taker: Plain) -> bool:
        if taker.stp in {STP_OLDEST, STP_BOTH}:
            self.orders.remove(maker)
            self.told.append(("prevent", maker.order_id))
            return taker.stp == STP_OLDEST
        if taker.stp == STP_NEWEST or taker.budget is not None:
            return False
        assert maker.qty is not None
        assert taker.qty is not None
        qty = min(maker.qty, taker.qty)
        maker.qty -= qty
        taker.qty -= qty
        if maker.qty == 0:
            self.orders.remove(maker)
        self.told.append(("decrement", maker.order_id, taker.order_id, qty))
        return taker.qty > 0

    def side(self, *, is_buy: bool) -> list[tuple[str, int | None, int | None, int]]:
        orders = [order for order in self.orders if order.is_buy == is_buy]
        orders.sort(key=lambda order: -(order.limit or 0) if is_buy else order.limit or 0)
        return [(o.order_id, o.limit, o.qty, o.filled) for o in orders]


def buys(cents: int, px: int, step: int) -> int:
    """The most whole steps whose exact price is no more than the amount."""
    return int(Fraction(cents) / (Fraction(px) * step / 10**10)) * step


class Listening(Tape):
    """Carries out what is told, and notes it."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def trade(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        px = maker.limit_px
        self.told.append(("trade", maker.order_id, taker.order_id, px, qty, taker.leaves_qty == 0))
        super().trade(book, maker, taker, qty)

    def prevent(self, book: Book, maker: Order) -> None:
        self.told.append(("prevent", maker.order_id))
        super().prevent(book, maker)

    def decrement(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        self.told.append(("decrement", maker.order_id, taker.order_id, qty))
        super().decrement(book, maker, taker, qty)


ACCOUNTS = st.sampled_from(["ann", "bob", "cy"])
STPS = st.sampled_from([STP_ALLOW, STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT])
HALVES = st.integers(1, 9)
LEVELS = st.integers(1, 7)
# Ticks of a cent of a cent, of 77 of them (odd sums), and of a dollar.
TICKS = st.sampled_from([60, 77, 10_000])


class BookAgainstTwin(RuleBasedStateMachine):
    """Every command to both; what they tell and what stands in them is the same."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.tape = Listening()
        self.twin = Twin()
        self.count = 0
        self.tick = 1

    @initialize(tick=TICKS)
    def begin(self, tick: int) -> None:
        self.tick = tick

    def send(self, plain: Plain) -> None:
        order = Order(
            plain.order_id,
            plain.account,
            plain.is_buy,
            plain.limit or 0,
            UNBOUNDED if plain.qty is None else plain.qty,
            plain.tif,
            plain.stp,
            "",
            MARKET if plain.is_market else LIMIT,
            plain.filled,
            0,
            plain.post_only,
            plain.budget or 0,
            plain.step,
        )
        outcome = self.book.enter(order, self.tape)
        expected = self.twin.enter(plain)
        assert OUTCOMES[outcome] == expected
        assert self.tape.told == self.twin.told
        if outcome == RESTS:
            self.book.rest(order)
            self.twin.orders.append(plain)
        if outcome != DONE and plain.budget is None:
            assert order.leaves_qty == plain.qty

    def new_id(self) -> str:
        self.count += 1
        return f"o{self.count}"

    @rule(
        side=st.sampled_from([BUY, SELL]),
        account=ACCOUNTS,
        level=LEVELS,
        halves=HALVES,
        tif=st.sampled_from([GTC, GTC, GTC, IOC, FOK]),
        stp=STPS,
        post_only=st.booleans(),
    )
    def limit(
        self,
        side: str,
        account: str,
        level: int,
        halves: int,
        tif: str,
        stp: str,
        *,
        post_only: bool,
    ) -> None:
        is_buy = side == BUY
        px = level * self.tick
        qty = halves * SHARE // 2
        post = post_only and tif == GTC
        self.send(Plain(self.new_id(), account, is_buy, px, qty, tif, stp, post_only=post))

    @rule(
        side=st.sampled_from([BUY, SELL]),
        account=ACCOUNTS,
        level=st.integers(0, 7),
        halves=HALVES,
        tif=st.sampled_from([IOC, FOK]),
        stp=STPS,
    )
    def market(self, side: str, account: str, level: int, halves: int, tif: str, stp: str) -> None:
        collar = level * self.tick or None
        qty = halves * SHARE // 2
        self.send(Plain(self.new_id(), account, side == BUY, collar, qty, tif, stp, is_market=True))

    @rule(
        side=st.sampled_from([BUY, SELL]),
        account=ACCOUNTS,
        level=st.integers(0, 7),
        cents=st.integers(1, 3000),
        cap=st.none() | HALVES,
        step=st.sampled_from([1, SHARE]),
        tif=st.sampled_from([IOC, FOK]),
        stp=STPS,
    )
    def notional(
        self,
        side: str,
        account: str,
        level: int,
        cents: int,
        cap: int | None,
        step: int,
        tif: str,
        stp: str,
    ) -> None:
        self.send(
            Plain(
                self.new_id(),
                account,
                side == BUY,
                level * self.tick or None,
                None if cap is None else cap * SHARE // 2,
                tif,
                stp,
                is_market=True,
                budget=max(1, cents * self.tick // 10_000),
                step=step,
            )
        )

    @precondition(lambda self: self.twin.orders)
    @rule(choice=st.integers(0, 10**6))
    def cancel(self, choice: int) -> None:
        plain = self.twin.orders.pop(choice % len(self.twin.orders))
        self.book.remove(self.book.orders[plain.order_id])

    @precondition(lambda self: self.twin.orders)
    @rule(choice=st.integers(0, 10**6), halves=HALVES)
    def shrink(self, choice: int, halves: int) -> None:
        """A decrease in place, under a new id."""
        plain = self.twin.orders[choice % len(self.twin.orders)]
        assert plain.qty is not None
        by_qty = min(plain.qty, halves * SHARE // 2)
        order = self.book.orders[plain.order_id]
        plain.qty -= by_qty
        self.book.shrink(order, by_qty)
        if plain.qty == 0:
            self.twin.orders.remove(plain)
            assert plain.order_id not in self.book.orders
        else:
            plain.order_id = self.new_id()
            self.book.rename(order, plain.order_id)

    @precondition(lambda self: self.twin.orders)
    @rule(choice=st.integers(0, 10**6), level=LEVELS, halves=HALVES)
    def requeue(self, choice: int, level: int, halves: int) -> None:
        """A new price or more quantity: out of the book and in again, as a new arrival."""
        plain = self.twin.orders.pop(choice % len(self.twin.orders))
        self.book.remove(self.book.orders[plain.order_id])
        plain.limit = level * self.tick
        plain.qty = halves * SHARE // 2
        self.send(plain)

    @invariant()
    def the_books_are_equal(self) -> None:
        self.book.verify()
        for side, is_buy in ((self.book.bids, True), (self.book.asks, False)):
            found = [(o.order_id, o.limit_px, o.leaves_qty, o.cum_qty) for o in side.orders()]
            assert found == self.twin.side(is_buy=is_buy)
            levels: dict[int, list[int]] = {}
            for _, px, qty, _ in found:
                levels.setdefault(px, []).append(qty)
            sums = [(px, sum(qtys), len(qtys)) for px, qtys in levels.items()]
            assert list(side.top(3)) == sums[:3]
            assert list(side.top(100)) == sums


BookAgainstTwin.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None
)
TestBookAgainstTwin = BookAgainstTwin.TestCase
