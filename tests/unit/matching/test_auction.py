"""The price at which a book uncrosses: textbook cases, and a twin that tries every price."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.terms import BUY, SELL
from nexustrade.matching.auction import NO_CROSS, Uncross, uncross
from nexustrade.matching.book import Book, Order

Sides = tuple[dict[int, int], dict[int, int]]


class Case(NamedTuple):
    """What is bid and asked (price: quantity), the reference, and the price, quantity, surplus."""

    name: str
    bids: dict[int, int]
    asks: dict[int, int]
    reference_px: int
    expected: Uncross


CASES = [
    Case("nothing at all", {}, {}, 100, NO_CROSS),
    Case("only buyers", {100: 10}, {}, 100, NO_CROSS),
    Case("only sellers", {}, {100: 10}, 100, NO_CROSS),
    Case("no cross", {99: 10}, {101: 10}, 100, NO_CROSS),
    Case("locked at one price", {100: 10}, {100: 10}, 100, Uncross(100, 10, 0, "")),
    Case(
        "the largest quantity decides",
        {102: 10, 101: 20, 100: 50},
        {99: 10, 101: 25, 102: 30},
        99,
        Uncross(101, 30, 5, SELL),  # 10 at 99 and 100, 10 at 102
    ),
    Case(
        "then the smallest surplus",
        {102: 30, 101: 5, 100: 20},
        {100: 30},
        100,
        Uncross(102, 30, 0, ""),  # 25 are over at 100, 5 at 101
    ),
    Case("a surplus to buy raises the price", {105: 20}, {100: 10}, 100, Uncross(105, 10, 10, BUY)),
    Case("a surplus to sell lowers it", {105: 10}, {100: 20}, 105, Uncross(100, 10, 10, SELL)),
    Case("balanced, reference between", {105: 10}, {100: 10}, 103, Uncross(103, 10, 0, "")),
    Case("balanced, reference above", {105: 10}, {100: 10}, 110, Uncross(105, 10, 0, "")),
    Case("balanced, reference below", {105: 10}, {100: 10}, 90, Uncross(100, 10, 0, "")),
    Case("balanced, no reference", {105: 10}, {100: 10}, 0, Uncross(102, 10, 0, "")),
    # At 101 there are 30 to buy and 20 to sell, at 103 the other way round.
    Case(
        "pressure on both sides, reference at the lower limit",
        {103: 20, 101: 10},
        {101: 20, 103: 10},
        101,
        Uncross(101, 20, 10, BUY),
    ),
    Case(
        "pressure on both sides, reference below",
        {103: 20, 101: 10},
        {101: 20, 103: 10},
        95,
        Uncross(101, 20, 10, BUY),
    ),
    Case(
        "pressure on both sides, reference above",
        {103: 20, 101: 10},
        {101: 20, 103: 10},
        120,
        Uncross(103, 20, 10, SELL),
    ),
    Case(
        "pressure on both sides, reference between",
        {103: 20, 101: 10},
        {101: 20, 103: 10},
        102,
        Uncross(102, 20, 0, ""),
    ),
    Case(
        "pressure on both sides, two limits with the surplus to sell",
        {103: 20, 100: 10},
        {100: 20, 102: 10},
        110,
        Uncross(102, 20, 10, SELL),
    ),
    Case(
        "pressure on both sides, two limits with the surplus to buy",
        {103: 20, 101: 10},
        {100: 20, 103: 10},
        90,
        Uncross(101, 20, 10, BUY),
    ),
    Case(
        "levels that do not cross play no part",
        {105: 10, 99: 500, 98: 1},
        {100: 10, 106: 700},
        103,
        Uncross(103, 10, 0, ""),
    ),
]


def book_of(bids: dict[int, int], asks: dict[int, int]) -> Book:
    """A book with one order for each price."""
    book = Book()
    for is_buy, side in ((True, bids), (False, asks)):
        for px, qty in side.items():
            book.rest(Order(f"{is_buy}-{px}", "a", is_buy, px, qty))
    return book


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_price_of(case: Case) -> None:
    assert uncross(book_of(case.bids, case.asks), case.reference_px) == case.expected


@pytest.mark.parametrize(
    ("reference_px", "px"),
    [(0, 10_250), (10_226, 10_225), (10_238, 10_250), (10_201, 10_200), (10_299, 10_300)],
)
def test_a_price_between_limits_is_one_of_the_ticks(reference_px: int, px: int) -> None:
    book = book_of({10_300: 10}, {10_200: 10})
    assert uncross(book, reference_px, 25) == Uncross(px, 10, 0, "")


@pytest.mark.parametrize(
    ("low", "high", "px"), [(10_202, 10_205, 10_202), (10_196, 10_199, 10_199)]
)
def test_a_price_stays_inside_limits_that_no_tick_divides(low: int, high: int, px: int) -> None:
    assert uncross(book_of({high: 10}, {low: 10}), 0, 100) == Uncross(px, 10, 0, "")


def test_many_orders_of_a_level_count_as_their_sum() -> None:
    book = book_of({105: 10}, {100: 4})
    for n in range(3):
        book.rest(Order(f"more-{n}", "b", False, 100, 2))
    assert uncross(book, 100) == Uncross(100, 10, 0, "")
    book.shrink(book.orders["more-1"], 1)
    assert uncross(book, 100) == Uncross(105, 9, 1, BUY)


# ---------------------------------------------------------------- the twin


def bought_and_sold(sides: Sides, px: int) -> tuple[int, int]:
    """What would be bought and what sold at a price."""
    bids, asks = sides
    bought = sum(qty for limit, qty in bids.items() if limit >= px)
    sold = sum(qty for limit, qty in asks.items() if limit <= px)
    return bought, sold


def naive(sides: Sides, reference_px: int, tick_size: int) -> Uncross:
    """Every limit is tried from scratch, then every price between those that are left."""
    limits = sorted({*sides[0], *sides[1]})
    tried = {px: bought_and_sold(sides, px) for px in limits}
    most = max((min(both) for both in tried.values()), default=0)
    if most == 0:
        return NO_CROSS
    left = [px for px in limits if min(tried[px]) == most]
    least = min(abs(tried[px][0] - tried[px][1]) for px in left)
    left = [px for px in left if abs(tried[px][0] - tried[px][1]) == least]
    to_buy = [px for px in left if tried[px][0] > tried[px][1]]
    to_sell = [px for px in left if tried[px][0] < tried[px][1]]
    low, high = left[0], left[-1]
    if to_buy:
        low = max(to_buy)
    if to_sell:
        high = min(to_sell)
    wanted = reference_px or (low + high) // 2
    px = min(range(low, high + 1, tick_size), key=lambda px: (abs(px - wanted), -px))
    bought, sold = bought_and_sold(sides, px)
    surplus = bought - sold
    return Uncross(px, most, abs(surplus), BUY if surplus > 0 else SELL if surplus < 0 else "")


# Few prices and small quantities: ties are what is hard.
side = st.dictionaries(st.integers(1, 8), st.integers(1, 3), max_size=6)


@given(side, side, st.integers(0, 10), st.sampled_from([1, 2, 3, 5, 100]))
def test_the_price_is_that_of_the_twin(
    bids: dict[int, int], asks: dict[int, int], reference: int, tick_size: int
) -> None:
    sides = (
        {px * tick_size: qty for px, qty in bids.items()},
        {px * tick_size: qty for px, qty in asks.items()},
    )
    expected = naive(sides, reference, tick_size)
    assert uncross(book_of(*sides), reference, tick_size) == expected
    expected = naive(sides, reference * tick_size, tick_size)
    assert uncross(book_of(*sides), reference * tick_size, tick_size) == expected


@given(side, side, st.integers(0, 10), st.integers(1, 9))
def test_no_price_trades_more_and_nobody_trades_beyond_his_limit(
    bids: dict[int, int], asks: dict[int, int], reference: int, tick_size: int
) -> None:
    found = uncross(book_of(bids, asks), reference, tick_size)
    for px in range(10):
        assert min(bought_and_sold((bids, asks), px)) <= found.qty
    bought, sold = bought_and_sold((bids, asks), found.px)
    surplus = {BUY: found.surplus_qty, SELL: -found.surplus_qty, "": 0}[found.surplus_side]
    if found != NO_CROSS:
        assert found.qty == min(bought, sold) > 0
        assert bought - sold == surplus
