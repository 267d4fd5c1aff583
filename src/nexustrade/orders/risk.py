"""Risk: what an order may cost at worst, and what an account can afford. Pure functions in cents.

Cash accounts pay in full: buying power is cash less reservations. Margin accounts follow
Regulation T: initial requirement 50 % of a long, 150 % of a short of which the sale's proceeds are
100 %, so 50 % of equity as well; maintenance 25 % long and 30 % short (FINRA rule 4210);
buying power = (equity - requirement of positions - reservations) / initial rate.
"""

from typing import Final

from nexustrade.core.money import PPM_ONE, PRICE_ONE, fee, notional, notional_up, share_up
from nexustrade.core.terms import BUY, MARGIN
from nexustrade.orders.state import Account, Instrument, Order

INITIAL_PPM: Final = 500_000
MAINTENANCE_LONG_PPM: Final = 250_000
MAINTENANCE_SHORT_PPM: Final = 300_000


class Valuation:
    """An account at the marked prices, in cents. Requirements are rounded up per position."""

    def __init__(self) -> None:
        self.long_value: int = 0
        self.short_value: int = 0
        self.initial: int = 0
        self.maintenance: int = 0
        self.equity: int = 0


def value(account: Account, instruments: dict[str, Instrument]) -> Valuation:
    """Value every position at its instrument's last price."""
    v = Valuation()
    rate = initial_ppm(account)
    for position in account.positions.values():
        qty = position.qty
        if qty == 0:
            continue
        instrument = instruments[position.symbol]
        if qty > 0:
            worth = notional(instrument.last_px, qty)
            v.long_value += worth
            v.initial += share_up(worth, rate if instrument.marginable else PPM_ONE)
            v.maintenance += share_up(
                worth, MAINTENANCE_LONG_PPM if instrument.marginable else PPM_ONE
            )
        else:
            worth = notional(instrument.last_px, -qty)
            v.short_value -= worth
            v.initial += share_up(worth, INITIAL_PPM)
            v.maintenance += share_up(worth, MAINTENANCE_SHORT_PPM)
    v.equity = account.cash + v.long_value + v.short_value
    return v


def initial_ppm(account: Account) -> int:
    """The share of a long position that the account must bring itself, in parts per million."""
    if account.account_type == MARGIN and account.max_margin_multiplier != "1":
        return INITIAL_PPM
    return PPM_ONE


def excess(account: Account, instruments: dict[str, Instrument]) -> int:
    """Cents free for new reservations; below 0 when the account is under water."""
    if account.account_type != MARGIN:
        return account.cash - account.reserved
    v = value(account, instruments)
    return v.equity - v.initial - account.reserved


def buying_power(account: Account, free: int) -> int:
    """What can be bought with `free` cents of excess; never shown below 0."""
    if free <= 0:
        return 0
    return free * PPM_ONE // initial_ppm(account)


def hold_ppm(account: Account, instrument: Instrument, side: str) -> int:
    """The share of an order's worst notional that is reserved, in parts per million."""
    if side != BUY:
        return INITIAL_PPM
    return initial_ppm(account) if instrument.marginable else PPM_ONE


def hold(order: Order) -> int:
    """What the order must hold now, in cents: margin and fee of its open part at its worst price.

    The fee is held at the dearer of the two rates; an order that closes a position needs no margin.
    """
    if order.notional > 0 and order.side == BUY:
        worst = order.notional - order.spent
        return share_up(worst, order.hold_ppm) + fee(worst, order.fee_ppm)
    if order.side != BUY and order.closes:
        return 0
    worst = notional_up(order.hold_px, order.leaves_qty)
    margin = 0 if order.closes else share_up(worst, order.hold_ppm)
    return margin + fee(worst, order.fee_ppm)


def collar(instrument: Instrument, side: str) -> int:
    """The worst price at which a market order may trade: last price -/+ the collar, on a tick."""
    reach = instrument.last_px * instrument.collar_ppm // PPM_ONE
    if side == BUY:
        price = instrument.last_px + reach
        tick = tick_at(instrument, price)
        return price // tick * tick
    price = instrument.last_px - reach
    tick = tick_at(instrument, price)
    price = -(-price // tick) * tick
    return price if price > 0 else tick


def tick_at(instrument: Instrument, price: int) -> int:
    """The tick size at a price: below 1 USD four decimals are allowed."""
    return 1 if price < PRICE_ONE else instrument.tick_size
