"""The decimal rules: what is refused, what is rounded and how, and that parts add up."""

import math
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core import money
from nexustrade.core.errors import InputError

PARSERS = {
    "qty": (money.parse_qty, 8),
    "signed_qty": (money.parse_signed_qty, 8),
    "price": (money.parse_price, 4),
    "usd": (money.parse_usd, 2),
    "signed_usd": (money.parse_signed_usd, 2),
    "rate": (money.parse_rate, 6),
}

NO_NUMBERS: list[object] = [
    "NaN",
    "nan",
    "sNaN",
    "-NaN123",
    "Infinity",
    "-Infinity",
    "inf",
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    "1e999",
    "1e99999999999999999999999999",
    Decimal("1e999"),
    "1e-999999999",  # 10**999999999 alone would take minutes and half a gigabyte
    "1e-999999999999999999",
    Decimal("1e-999999999"),
    "1_000",
    "1__0",
    " 1",
    "1 ",
    "1\n",
    "\t1",
    "\u00a01",
    "\u0661",  # ARABIC-INDIC DIGIT ONE
    "\uff11",  # FULLWIDTH DIGIT ONE
    "1,000",
    "$1",
    "0x10",
    "",
    "-",
    ".",
    "e5",
    "--1",
    "one",
    "1" * 49,
    "0." + "0" * 60 + "1",
    10**5000,
    -(10**5000),
    100.5,  # float: floats are what is refused here
    math.nan,
    True,
    False,
    None,
    b"1",
    [],
    ["1"],
    {},
]


@pytest.mark.parametrize("kind", PARSERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=map(str, range(len(NO_NUMBERS))))
def test_what_is_no_decimal_is_refused_by_every_kind(kind: str, value: object) -> None:
    parse, _ = PARSERS[kind]
    with pytest.raises(InputError) as refusal:
        parse("limit_price", value)
    assert refusal.value.field == "limit_price"
    assert "limit_price" in str(refusal.value)


@pytest.mark.parametrize("kind", PARSERS)
def test_one_decimal_too_many_is_refused_and_not_rounded(kind: str) -> None:
    parse, decimals = PARSERS[kind]
    finest = "0." + "0" * (decimals - 1) + "1"
    assert parse("x", finest) == 1
    assert parse("x", finest + "0000") == 1
    with pytest.raises(InputError, match=f"at most {decimals} decimals"):
        parse("x", finest + "1")
    with pytest.raises(InputError, match=f"at most {decimals} decimals"):
        parse("x", f"1e-{decimals + 1}")


@pytest.mark.parametrize("value", ["0", "-0", "0.0", "-1", "-0.00000001", 0, -1, Decimal("-0")])
def test_an_order_has_a_quantity_and_a_price_above_zero(value: object) -> None:
    with pytest.raises(InputError, match="a quantity is greater than 0"):
        money.parse_qty("qty", value)
    with pytest.raises(InputError):
        money.parse_price("limit_price", value)


@pytest.mark.parametrize("value", ["-0.01", -1, "-1e-2"])
def test_amounts_and_rates_are_not_negative(value: object) -> None:
    with pytest.raises(InputError, match="a USD amount is not negative"):
        money.parse_usd("notional", value)
    with pytest.raises(InputError, match="a rate is not negative"):
        money.parse_rate("fee", value)


@pytest.mark.parametrize("zero", ["0", "-0", "-0.00", "0e5", "0E-2", Decimal("-0"), 0])
def test_there_is_one_zero(zero: object) -> None:
    assert money.usd_text(money.parse_usd("x", zero)) == "0"
    assert money.usd_text(money.parse_signed_usd("x", zero)) == "0"


@pytest.mark.parametrize(
    ("parse", "largest", "unit"),
    [
        (money.parse_qty, money.QTY_MAX, "1e-8"),
        (money.parse_price, money.PRICE_MAX, "1e-4"),
        (money.parse_usd, money.USD_MAX, "1e-2"),
        (money.parse_rate, money.PPM_ONE, "1e-6"),
    ],
)
def test_the_largest_value_of_each_kind(parse: object, largest: int, unit: str) -> None:
    assert callable(parse)
    with localcontext(prec=60):
        fits = Decimal(largest) * Decimal(unit)
        beyond = Decimal(largest + 1) * Decimal(unit)
    assert parse("x", fits) == largest
    assert parse("x", format(fits, "f")) == largest
    with pytest.raises(InputError, match="is at most"):
        parse("x", beyond)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("100.05", 1_000_500),
        ("100.0500000", 1_000_500),
        (Decimal("100.05"), 1_000_500),
        ("1e2", 1_000_000),
        ("1.5E+1", 150_000),
        ("+7", 70_000),
        (7, 70_000),
        ("0.0001", 1),
        ("10000000", money.PRICE_MAX),
    ],
)
def test_prices_that_are_taken(value: object, price: int) -> None:
    assert money.parse_price("limit_price", value) == price


def test_a_refusal_names_the_field_the_value_and_the_rule() -> None:
    with pytest.raises(InputError) as refusal:
        money.parse_qty("qty", "1.123456789")
    assert str(refusal.value) == "invalid qty 1.123456789. a quantity has at most 8 decimals"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0, 4, "0"),
        (1, 4, "0.0001"),
        (10, 4, "0.001"),
        (1_000_500, 4, "100.05"),
        (1_000_000, 4, "100"),
        (1_010_000, 4, "101"),
        (-1, 2, "-0.01"),
        (-100, 2, "-1"),
        (-150, 2, "-1.5"),
        (1, 8, "0.00000001"),
        (10**40 + 1, 8, "1" + "0" * 32 + ".00000001"),
        (5, 0, "5"),
    ],
)
def test_the_shortest_text(value: int, decimals: int, text: str) -> None:
    assert money.scaled_text(value, decimals) == text
    assert money.unscaled("x", text, decimals) == value


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_text_round_trip(value: int, decimals: int) -> None:
    text = money.scaled_text(value, decimals)
    assert money.unscaled("x", text, decimals) == value
    with localcontext(prec=60):
        assert Decimal(text) == Decimal(value) * Decimal(10) ** -decimals
    assert "e" not in text
    assert text == "0" or not text.endswith((".", ".0"))
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    "text", ["", "-", ".", "1.00001", "1e5", "1_0", " 1", "+1", "--1", "1.-5", "NaN", "\u0661"]
)
def test_only_text_that_we_write_is_read_back(text: str) -> None:
    with pytest.raises(InputError):
        money.unscaled("limit_px", text, 4)


@given(st.text("0123456789.-_ ٣", max_size=24), st.sampled_from([0, 2, 4, 8]))
def test_short_text_is_read_as_long_text_is(text: str, decimals: int) -> None:
    """Digit by digit or as a whole: the same value, or the same error."""
    try:
        expected: object = money._unscaled_long("qty", text, decimals)
    except InputError as error:
        expected = str(error)
    try:
        found: object = money.unscaled("qty", text, decimals)
    except InputError as error:
        found = str(error)
    assert found == expected


@given(st.integers(1, money.PRICE_MAX))
def test_price_round_trip(price: int) -> None:
    assert money.parse_price("x", money.price_text(price)) == price
    assert money.parse_price("x", Decimal(money.price_text(price))) == price


@given(st.integers(1, money.QTY_MAX))
def test_qty_round_trip(qty: int) -> None:
    assert money.parse_qty("x", money.qty_text(qty)) == qty
    assert money.parse_signed_qty("x", money.qty_text(-qty)) == -qty


@given(st.integers(0, money.USD_MAX))
def test_usd_round_trip(cents: int) -> None:
    assert money.parse_usd("x", money.usd_text(cents)) == cents
    assert money.parse_signed_usd("x", money.usd_text(-cents)) == -cents


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse, _ in PARSERS.values():
        try:
            parse("x", text)
        except InputError:
            continue
        assert Decimal(text).is_finite()


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**20))
def test_half_even_as_the_decimal_module_has_it(numerator: int, denominator: int) -> None:
    with localcontext(prec=120):
        expected = (Decimal(numerator) / denominator).quantize(Decimal(1), ROUND_HALF_EVEN)
        up = (Decimal(numerator) / denominator).quantize(Decimal(1), ROUND_CEILING)
    assert money.divide_half_even(numerator, denominator) == expected
    assert money.divide_up(numerator, denominator) == up


@given(st.integers(-1000, 1000), st.integers(1, 1000))
def test_ties_go_to_the_even_neighbour(quotient: int, half: int) -> None:
    result = money.divide_half_even((2 * quotient + 1) * half, 2 * half)
    assert result % 2 == 0
    assert abs(2 * result - (2 * quotient + 1)) == 1


@given(st.integers(1, money.PRICE_MAX), st.integers(1, money.QTY_MAX))
def test_what_a_fill_costs_is_never_above_its_reservation(price: int, qty: int) -> None:
    with localcontext(prec=60):
        exact = Decimal(price) * Decimal(qty) / Decimal(10**10)
    assert money.notional(price, qty) == exact.quantize(Decimal(1), ROUND_HALF_EVEN)
    assert money.notional_up(price, qty) == exact.quantize(Decimal(1), ROUND_CEILING)
    assert money.notional(price, qty) <= money.notional_up(price, qty)


@given(
    st.integers(1, money.PRICE_MAX),
    st.lists(st.integers(1, 10**12), min_size=1, max_size=20),
    st.integers(0, 1_000_000),
)
def test_fills_in_parts_stay_within_a_cent_each(price: int, parts: list[int], ppm: int) -> None:
    whole = money.notional_up(price, sum(parts))
    filled = sum(money.notional(price, part) for part in parts)
    assert abs(whole - filled) <= len(parts)
    assert money.fee(whole, ppm) >= 0
    assert 0 <= money.fee(whole, ppm) * money.PPM_ONE - whole * ppm < money.PPM_ONE
    assert money.share_up(whole, ppm) == money.fee(whole, ppm)


@given(st.integers(0, 10**15), st.integers(1, money.PRICE_MAX), st.sampled_from([1, 10**4, 10**8]))
def test_the_affordable_quantity_is_the_largest(cents: int, price: int, step: int) -> None:
    qty = money.affordable_qty(cents, price, step)
    assert qty % step == 0
    assert qty * price <= cents * 10**10 < (qty + step) * price


@given(st.integers(1, money.PRICE_MAX), st.integers(1, money.QTY_MAX))
def test_the_average_of_one_fill_is_its_price(price: int, qty: int) -> None:
    assert money.average_price(price * qty, qty) == price
    assert money.average_price(price * qty, 0) == 0


@given(
    st.integers(-(10**12), 10**12),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any),
)
def test_an_allocation_adds_up_and_is_fair(cents: int, weights: list[int]) -> None:
    parts = money.allocate(cents, weights)
    total = sum(weights)
    assert sum(parts) == cents
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * total - cents * weight) < total
        assert weight or part == 0


def test_the_earlier_part_gets_the_odd_cent() -> None:
    assert money.allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert money.allocate(5, [1, 0, 1]) == [3, 0, 2]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [2, -1]])
def test_weights_that_say_nothing_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        money.allocate(100, weights)
