"""What a margin check finds, and what a liquidation sells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.money import fee, notional, share_up
from nexustrade.orders.margin import (
    IN_ORDER,
    ISSUE,
    LIQUIDATE,
    MET,
    Holding,
    next_step,
    plan,
)

SHARE = 100_000_000
USD = 10_000


@pytest.mark.parametrize(
    ("equity", "maintenance", "due_us", "now_us", "step"),
    [
        (100, 100, 0, 50, IN_ORDER),
        (99, 100, 0, 50, ISSUE),
        (99, 100, 51, 50, IN_ORDER),
        (99, 100, 50, 50, LIQUIDATE),
        (99, 100, 49, 50, LIQUIDATE),
        (100, 100, 51, 50, MET),
        (100, 100, 49, 50, MET),
        (-5, 0, 0, 50, ISSUE),
    ],
)
def test_next_step(equity: int, maintenance: int, due_us: int, now_us: int, step: int) -> None:
    assert next_step(equity, maintenance, due_us, now_us) == step


def held(symbol: str, qty: int, px: int = 100, rate_ppm: int = 250_000, **more: int) -> Holding:
    fields = {"fee_ppm": 0, "lot_size": SHARE} | more
    return Holding(symbol, qty * SHARE, px * USD, rate_ppm, **fields)


def test_no_more_is_sold_than_frees_the_deficit() -> None:
    # A share of 100 USD frees 25 USD: 40 of them free 1,000 USD, and one more what rounding takes.
    assert plan([held("ABC", 1_000)], 999_00) == [("ABC", 40 * SHARE)]
    assert plan([held("ABC", 1_000)], 1_000_00) == [("ABC", 41 * SHARE)]


def test_the_largest_position_is_first_whatever_its_direction_then_the_symbol() -> None:
    holdings = [held("B", 10), held("C", -20), held("A", 10)]
    assert plan(holdings, 10_000_00) == [
        ("C", 20 * SHARE),
        ("A", 10 * SHARE),
        ("B", 10 * SHARE),
    ]


def test_a_position_that_frees_enough_is_the_last() -> None:
    assert plan([held("A", 10), held("B", 20)], 501_00) == [("B", 20 * SHARE), ("A", 1 * SHARE)]


def test_a_fraction_is_sold_with_the_last_lot() -> None:
    holding = Holding("ABC", 10 * SHARE + 5, 100 * USD, 250_000, 0, SHARE)
    assert plan([holding], 10_000_00) == [("ABC", 10 * SHARE + 5)]


def test_a_fee_above_what_a_sale_frees_sells_all() -> None:
    assert plan([held("ABC", 7, rate_ppm=1_000, fee_ppm=1_000)], 1) == [("ABC", 7 * SHARE)]


def test_nothing_held_or_nothing_lacking_sells_nothing() -> None:
    assert plan([], 100_00) == []
    assert plan([held("ABC", 7)], 0) == []


_holding = st.tuples(
    st.integers(-500 * SHARE, 500 * SHARE).filter(bool),
    st.integers(1, 500 * USD),
    st.sampled_from([250_000, 300_000, 450_000, 1_000_000]),
    st.sampled_from([0, 700, 10_000]),
)


@given(st.lists(_holding, min_size=1, max_size=5), st.integers(-100_000_00, 100_000_00))
def test_what_is_sold_at_the_marked_price_meets_the_requirement_or_is_all(
    rows: list[tuple[int, int, int, int]], cash: int
) -> None:
    names = [f"S{number}" for number in range(len(rows))]
    holdings = {
        name: Holding(name, *row, lot_size=SHARE) for name, row in zip(names, rows, strict=True)
    }
    qtys = {name: row[0] for name, row in zip(names, rows, strict=True)}
    deficit = _deficit(holdings, qtys, cash)
    sold = plan(list(holdings.values()), deficit)
    assert bool(sold) == (deficit > 0)
    for symbol, qty in sold:
        holding = holdings[symbol]
        assert 0 < qty <= holding.size()
        worth = notional(holding.price, qty)
        sign = 1 if holding.qty > 0 else -1
        cash += sign * worth - fee(worth, holding.fee_ppm)
        qtys[symbol] -= sign * qty
    left = _deficit(holdings, qtys, cash)
    everything = len(sold) == len(holdings) and not any(qtys.values())
    assert left <= 0 or everything


def _deficit(holdings: dict[str, Holding], qtys: dict[str, int], cash: int) -> int:
    maintenance = 0
    for symbol, qty in qtys.items():
        worth = notional(holdings[symbol].price, abs(qty))
        cash += worth if qty > 0 else -worth
        maintenance += share_up(worth, holdings[symbol].rate_ppm)
    return maintenance - cash
