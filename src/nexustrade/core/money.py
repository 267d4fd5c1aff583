"""One set of decimal rules (docs/money.md): scaled integers inside, `Decimal` text at every edge.

| kind     | decimals | unit inside |
|----------|----------|-------------|
| quantity | 8        | 1e-8 share  |
| price    | 4        | 1e-4 USD    |
| amount   | 2        | 1 cent      |

Nothing is rounded on the way in: a value that does not fit its kind is refused. Rounding happens
only in the functions of this module that say so.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from nexustrade.core.errors import InputError

QTY_ONE: Final = 100_000_000
PRICE_ONE: Final = 10_000
USD_ONE: Final = 100
PPM_ONE: Final = 1_000_000

QTY_DECIMALS: Final = 8
PRICE_DECIMALS: Final = 4
USD_DECIMALS: Final = 2
PERCENT_DECIMALS: Final = 4
"""A percentage is kept in parts per million."""

QTY_MAX: Final = 1_000_000_000 * QTY_ONE
"""Largest quantity of one order: a billion shares."""
PRICE_MAX: Final = 10_000_000 * PRICE_ONE
"""Largest price per share: ten million USD."""
USD_MAX: Final = 10**15 * USD_ONE
"""Largest single amount: 10^15 USD; sums of them still fit NUMERIC(20,2)."""

# price (1e-4) x quantity (1e-8) = 1e-12 USD; a cent is 1e10 of those.
_UNITS_PER_CENT: Final = 10_000_000_000

_POWERS_OF_TEN: Final[list[int]] = [10**exponent for exponent in range(19)]

_TEXT_LEN_MAX: Final = 48
"""Longest number text looked at; anything longer is refused before it is parsed."""

_DIGITS_MAX: Final = 18
"""Digits that a machine integer holds, whatever they are."""

_BITS_MAX: Final = 160
"""Longest integer looked at; 48 digits are fewer bits."""


def _scaled(field: str, value: object, decimals: int, limit: int, what: str) -> int:
    """The value as an integer in units of 10^-decimals, or `InputError`; never rounds."""
    if isinstance(value, (bool, float)):
        raise InputError(field, value, f"a {what} is written as a decimal")
    if isinstance(value, int) and value.bit_length() > _BITS_MAX:
        # Python itself refuses to write out very long integers, with another error.
        raise InputError(field, "", f"is too large: a {what} has too many digits")
    text = str(value)
    if len(text) > _TEXT_LEN_MAX:
        raise InputError(field, text[:_TEXT_LEN_MAX] + "...", f"a {what} has too many digits")
    try:
        number = value if isinstance(value, Decimal) else Decimal(text)
    except InvalidOperation:
        raise InputError(field, text, f"a {what} is a decimal number") from None
    if "_" in text or text != text.strip() or not text.isascii():
        raise InputError(field, text, f"a {what} is a decimal number")
    if not number.is_finite():
        raise InputError(field, text, f"a {what} is finite")
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + decimals
    if number.adjusted() > 24:
        raise InputError(field, text, f"a {what} is at most {scaled_text(limit, decimals)}")
    if shift < -_TEXT_LEN_MAX:
        raise InputError(field, text, f"a {what} has at most {decimals} decimals")
    magnitude = 0
    for digit in digits:
        magnitude = magnitude * 10 + digit
    if shift >= 0:
        magnitude *= int(10**shift) if magnitude else 1
    else:
        magnitude, rest = divmod(magnitude, int(10**-shift))
        if rest:
            raise InputError(field, text, f"a {what} has at most {decimals} decimals")
    if magnitude > limit:
        raise InputError(field, text, f"a {what} is at most {scaled_text(limit, decimals)}")
    return -magnitude if sign else magnitude


def parse_qty(field: str, value: object) -> int:
    """A quantity above zero, from `Decimal`, int or text, in 1e-8 shares; `InputError` if not."""
    qty = _scaled(field, value, QTY_DECIMALS, QTY_MAX, "quantity")
    if qty <= 0:
        raise InputError(field, value, "a quantity is greater than 0")
    return qty


def parse_signed_qty(field: str, value: object) -> int:
    """A position: a quantity that may be zero or negative (short), in 1e-8 shares."""
    return _scaled(field, value, QTY_DECIMALS, QTY_MAX, "quantity")


def parse_price(field: str, value: object) -> int:
    """A price above zero in 1e-4 USD per share; `InputError` if it is not one."""
    price = _scaled(field, value, PRICE_DECIMALS, PRICE_MAX, "price")
    if price <= 0:
        raise InputError(field, value, "a price is greater than 0")
    return price


def parse_usd(field: str, value: object) -> int:
    """An amount of zero or more in cents; `InputError` if it is not one."""
    cents = _scaled(field, value, USD_DECIMALS, USD_MAX, "USD amount")
    if cents < 0:
        raise InputError(field, value, "a USD amount is not negative")
    return cents


def parse_signed_usd(field: str, value: object) -> int:
    """An amount that may be negative, in cents."""
    return _scaled(field, value, USD_DECIMALS, USD_MAX, "USD amount")


def parse_rate(field: str, value: object) -> int:
    """A rate between 0 and 1 (0.0005 is 5 basis points) in parts per million."""
    rate_ppm = _scaled(field, value, 6, PPM_ONE, "rate")
    if rate_ppm < 0:
        raise InputError(field, value, "a rate is not negative")
    return rate_ppm


def parse_percent(field: str, value: object) -> int:
    """A percentage above 0 and below 100 (1.5 is 1.5 %) in parts per million."""
    rate_ppm = _scaled(field, value, PERCENT_DECIMALS, PPM_ONE, "percentage")
    if not 0 < rate_ppm < PPM_ONE:
        raise InputError(field, value, "a percentage is greater than 0 and less than 100")
    return rate_ppm


def scaled_text(value: int, decimals: int) -> str:
    """The decimal text of a scaled integer without needless zeros: 1000500 at 4 is `100.05`."""
    if value < 0:
        return "-" + scaled_text(-value, decimals)
    one = _POWERS_OF_TEN[decimals]
    whole = value // one
    part = value - whole * one
    if part == 0:
        return str(whole)
    places = decimals
    while part % 10 == 0:
        part //= 10
        places -= 1
    if part >= _POWERS_OF_TEN[places - 1]:
        return f"{whole}.{part}"
    return f"{whole}.{str(part).rjust(places, '0')}"


def unscaled(field: str, text: str, decimals: int) -> int:
    """The inverse of `scaled_text`; `InputError` for text that is no such decimal.

    Unlike the parsers above it knows no range and takes no exponent: it reads what we wrote.
    """
    if len(text) + decimals <= _DIGITS_MAX:
        # Short enough for small integers: most are, and every event that is replayed has some.
        short: int = 0
        digits_count: int = 0
        places_left: int = decimals
        after_point: bool = False
        for at in range(len(text)):
            code = ord(text[at])
            if 48 <= code <= 57:
                short = short * 10 + (code - 48)
                digits_count += 1
                if after_point:
                    places_left -= 1
            elif code == 46 and not after_point:
                after_point = True
            else:
                digits_count = 0
                break
        if digits_count > 0 and places_left >= 0:
            while places_left > 0:
                short *= 10
                places_left -= 1
            return short
    return _unscaled_long(field, text, decimals)


def _unscaled_long(field: str, text: str, decimals: int) -> int:
    """As `unscaled`, for text of any length and sign, and with an error for what is none."""
    digits = text
    point = text.find(".")
    places = 0
    if point >= 0:
        places = len(text) - point - 1
        digits = text[:point] + text[point + 1 :]
    negative = digits.startswith("-")
    if negative:
        digits = digits[1:]
    decimal = digits.isdigit() and digits.isascii() and len(text) <= _TEXT_LEN_MAX
    if places > decimals or not decimal:
        raise InputError(field, text, f"is not a decimal with at most {decimals} decimals")
    magnitude = int(digits) * _POWERS_OF_TEN[decimals - places]
    return -magnitude if negative else magnitude


def qty_text(qty: int) -> str:
    """A quantity as decimal text."""
    return scaled_text(qty, QTY_DECIMALS)


def price_text(price: int) -> str:
    """A price as decimal text."""
    return scaled_text(price, PRICE_DECIMALS)


def percent_text(rate_ppm: int) -> str:
    """A rate in parts per million as the decimal text of a percentage."""
    return scaled_text(rate_ppm, PERCENT_DECIMALS)


def usd_text(cents: int) -> str:
    """An amount as decimal text."""
    return scaled_text(cents, USD_DECIMALS)


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, ties to even; `denominator` > 0."""
    quotient = numerator // denominator
    rest = numerator % denominator
    twice = rest + rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def divide_up(numerator: int, denominator: int) -> int:
    """The quotient rounded up (toward plus infinity); `denominator` > 0."""
    return -(-numerator // denominator)


def notional(price: int, qty: int) -> int:
    """What a fill costs, in cents, half-even: once per fill, the same cents for both sides."""
    return divide_half_even(price * qty, _UNITS_PER_CENT)


def notional_up(price: int, qty: int) -> int:
    """What a quantity at a price may cost at most, in cents, rounded up: for reservations."""
    return divide_up(price * qty, _UNITS_PER_CENT)


def fee(cents: int, rate_ppm: int) -> int:
    """The fee on an amount, in cents, rounded up to the house."""
    return divide_up(cents * rate_ppm, PPM_ONE) if rate_ppm else 0


def share_up(cents: int, rate_ppm: int) -> int:
    """A rate of an amount, in cents, rounded up: for margin requirements."""
    return divide_up(cents * rate_ppm, PPM_ONE)


def average_price(cost_e12: int, qty: int) -> int:
    """The average price in 1e-4 USD, half-even, for display only; cost in 1e-12 USD."""
    return divide_half_even(cost_e12, qty) if qty > 0 else 0


def affordable_qty(cents: int, price: int, step: int) -> int:
    """The largest multiple of `step` (1e-8 shares) whose exact cost at `price` is <= `cents`."""
    return cents * _UNITS_PER_CENT // price // step * step


def allocate(cents: int, weights: list[int]) -> list[int]:
    """Split an amount over parts by weight with the largest-remainder method; parts add up to it.

    Ties go to the earlier part. Raises `ValueError` when the weights do not sum to more than 0.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights are not negative and sum to more than 0")
    parts = [cents * weight // total for weight in weights]
    remainders = [(-(cents * weight % total), at) for at, weight in enumerate(weights)]
    remainders.sort()
    for _, at in remainders[: cents - sum(parts)]:
        parts[at] += 1
    return parts
