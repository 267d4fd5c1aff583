"""Margin calls: when one is issued, met or overdue, and what is sold when it is. Pure, in cents.

An account is called when its equity falls below the maintenance requirement. A call that is overdue
is met by liquidation: the largest position first, no more of it than brings the equity back to the
requirement. To sell shares at the market changes the equity by the fee alone and lowers the
requirement by their part of it.
"""

from typing import Final

from nexustrade.core.money import PPM_ONE, divide_up, notional, share_up

IN_ORDER: Final = 0
ISSUE: Final = 1
MET: Final = 2
LIQUIDATE: Final = 3

ROUNDING: Final = 3
"""Cents freed beyond the deficit, so that roundings do not leave one more lot to sell."""

_UNITS_PER_CENT: Final = 10_000_000_000


def next_step(equity: int, maintenance: int, due_us: int, now_us: int) -> int:
    """What a check finds for an account whose call is due at `due_us` (0: it has none)."""
    if equity >= maintenance:
        return MET if due_us else IN_ORDER
    if not due_us:
        return ISSUE
    return LIQUIDATE if now_us >= due_us else IN_ORDER


class Holding:
    """A position that can be sold: `qty` is below 0 when short, `worth` in cents above 0.

    `rate_ppm` is its maintenance rate, `fee_ppm` what it costs to trade it.
    """

    def __init__(
        self, symbol: str, qty: int, price: int, rate_ppm: int, fee_ppm: int, lot_size: int
    ) -> None:
        self.symbol: str = symbol
        self.qty: int = qty
        self.price: int = price
        self.rate_ppm: int = rate_ppm
        self.fee_ppm: int = fee_ppm
        self.lot_size: int = lot_size
        self.worth: int = notional(price, qty if qty > 0 else -qty)

    def size(self) -> int:
        """Shares, whatever the direction."""
        return self.qty if self.qty > 0 else -self.qty

    def needed(self, deficit: int) -> int:
        """Shares to close so that `deficit` is freed: whole lots, at most all there are."""
        gain_ppm = self.rate_ppm - self.fee_ppm
        if gain_ppm <= 0 or self.price <= 0:
            return self.size()
        worth = divide_up((deficit + ROUNDING) * PPM_ONE, gain_ppm)
        qty = divide_up(worth * _UNITS_PER_CENT, self.price)
        qty = divide_up(qty, self.lot_size) * self.lot_size
        return qty if qty < self.size() else self.size()

    def freed(self, qty: int) -> int:
        """How much closer equity and requirement come when `qty` shares are closed."""
        worth = notional(self.price, qty)
        return worth * self.rate_ppm // PPM_ONE - share_up(worth, self.fee_ppm)


def plan(holdings: list[Holding], deficit: int) -> list[tuple[str, int]]:
    """Which positions to close, and how much of each (1e-8 shares), until `deficit` is freed.

    The largest comes first, then the symbol decides. What cannot be freed is left.
    """
    closings: list[tuple[str, int]] = []
    by_worth = sorted([(-each.worth, each.symbol, at) for at, each in enumerate(holdings)])
    for _, symbol, at in by_worth:
        if deficit <= 0:
            break
        holding = holdings[at]
        qty = holding.needed(deficit)
        closings.append((symbol, qty))
        deficit -= holding.freed(qty)
    return closings
