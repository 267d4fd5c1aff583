"""Risk: what an order may cost at worst, and what an account can afford. Pure functions in cents.

Cash accounts pay in full: buying power is cash less reservations, without the proceeds that have
not settled where the account may not use them. Margin accounts follow
Regulation T: initial requirement 50 % of a long, 150 % of a short of which the sale's proceeds are
100 %, so 50 % of equity as well; maintenance 25 % long and 30 % short (FINRA rule 4210), both with
the house's add-on for the symbol. Where that makes maintenance the higher of the two, it is the
initial requirement as well: no order is accepted whose fill would be called at once.
Buying power = (equity - requirement of positions - reservations) / initial rate.
"""

from typing import Final

from nexustrade.core.money import PPM_ONE, fee, notional, notional_up, share_up
from nexustrade.core.terms import BUY, MARGIN, SELL
from nexustrade.core.ticks import tick_down, tick_up
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
    for position in account.positions.values():
        qty = position.qty
        if qty == 0:
            continue
        instrument = instruments[position.symbol]
        if qty > 0:
            worth = notional(instrument.last_px, qty)
            v.long_value += worth
            v.initial += share_up(worth, hold_ppm(account, instrument, BUY))
            v.maintenance += share_up(worth, maintenance_ppm(instrument, True))
        else:
            worth = notional(instrument.last_px, -qty)
            v.short_value -= worth
            v.initial += share_up(worth, hold_ppm(account, instrument, SELL))
            v.maintenance += share_up(worth, maintenance_ppm(instrument, False))
    v.equity = account.cash + v.long_value + v.short_value
    return v


def maintenance_ppm(instrument: Instrument, long: bool) -> int:
    """The maintenance rate of a position with the house's add-on, in parts per million.

    A long position never needs more than it is worth.
    """
    if not long:
        return MAINTENANCE_SHORT_PPM + instrument.maintenance_addon_ppm
    if not instrument.marginable:
        return PPM_ONE
    rate = MAINTENANCE_LONG_PPM + instrument.maintenance_addon_ppm
    return rate if rate < PPM_ONE else PPM_ONE


def initial_ppm(account: Account) -> int:
    """The share of a long position that the account must bring itself, in parts per million."""
    if account.account_type == MARGIN and account.max_margin_multiplier != "1":
        return INITIAL_PPM
    return PPM_ONE


def excess(account: Account, instruments: dict[str, Instrument]) -> int:
    """Cents free for new reservations; below 0 when the account is under water."""
    if account.account_type != MARGIN:
        return account.spendable() - account.reserved
    v = value(account, instruments)
    return v.equity - v.initial - account.reserved


def buying_power(account: Account, free: int) -> int:
    """What can be bought with `free` cents of excess; never shown below 0."""
    if free <= 0:
        return 0
    return free * PPM_ONE // initial_ppm(account)


def hold_ppm(account: Account, instrument: Instrument, side: str) -> int:
    """The initial requirement, of an order's worst notional or of a position, in parts per million.

    `side` is the one that opens the position.
    """
    least = maintenance_ppm(instrument, side == BUY)
    rate = initial_ppm(account) if side == BUY else INITIAL_PPM
    return rate if rate > least else least


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
        return tick_down(instrument.tick_size, instrument.last_px + reach)
    return tick_up(instrument.tick_size, instrument.last_px - reach)


def stop_worst(instrument: Instrument, stop_px: int) -> int:
    """The worst price that a stop to buy is held at: the collar above its stop, up to a tick."""
    worst = stop_px + stop_px * instrument.collar_ppm // PPM_ONE
    return tick_up(instrument.tick_size, worst)


def exit_px(instrument: Instrument, side: str, closes: bool, limit_px: int, stop_px: int) -> int:
    """The worst price that an order with a limit or a stop is held at.

    A short is valued at the market: what it may cost is not bounded by its own price.
    """
    if side == BUY:
        return limit_px if limit_px else stop_worst(instrument, stop_px)
    own = limit_px if limit_px else stop_px
    if closes:
        return own
    ceiling = collar(instrument, BUY)
    return own if own > ceiling else ceiling
