"""Prices on ticks, and what a split makes of prices and quantities. Pure, in scaled integers.

Both stages compute these from the same arguments, so that they agree without asking each other.
"""

from typing import Final

from nexustrade.core.money import PPM_ONE, PRICE_ONE

SPLIT_MAX: Final = 1_000
"""Largest number on either side of a split."""


def tick_at(tick_size: int, price: int) -> int:
    """The tick size at a price: below 1 USD four decimals are allowed."""
    return 1 if price < PRICE_ONE else tick_size


def tick_down(tick_size: int, price: int) -> int:
    """The highest price on a tick that is not above `price`, at least one tick."""
    tick = tick_at(tick_size, price)
    down = price // tick * tick
    return down if down > tick else tick


def tick_up(tick_size: int, price: int) -> int:
    """The lowest price on a tick that is not below `price`, at least one tick."""
    tick = tick_at(tick_size, price)
    up = -(-price // tick) * tick
    return up if up > tick else tick


def trailed_stop(is_buy: bool, hwm_px: int, trail_px: int, trail_ppm: int, tick_size: int) -> int:
    """Where a trailing stop stands for a high-water mark: away from it, rounded away on a tick."""
    distance = trail_px if trail_px else -(-hwm_px * trail_ppm // PPM_ONE)
    if is_buy:
        return tick_up(tick_size, hwm_px + distance)
    return tick_down(tick_size, hwm_px - distance)


def splits_evenly(qty: int, shares_new: int, shares_old: int) -> bool:
    """Whether a quantity is a whole number of 1e-8 shares after a split."""
    return qty * shares_new % shares_old == 0


def split_qty(qty: int, shares_new: int, shares_old: int) -> int:
    """A quantity after a split, rounded toward 0."""
    if qty < 0:
        return -(-qty * shares_new // shares_old)
    return qty * shares_new // shares_old


def split_px(px: int, shares_new: int, shares_old: int, tick_size: int, up: bool) -> int:
    """A price after a split, on a tick; 0, which stands for none, stays 0."""
    if px == 0:
        return 0
    if up:
        return tick_up(tick_size, -(-px * shares_old // shares_new))
    return tick_down(tick_size, px * shares_old // shares_new)
