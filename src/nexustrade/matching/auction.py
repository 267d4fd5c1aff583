"""The price of a call auction: where a book that has collected orders uncrosses.

Reads a book, which may be crossed, and changes nothing: the same answer is an auction's result and,
while the call lasts, the indicative price of market data. Prices and quantities are integers of any
unit, as in the book. Accounts play no part: what self-trade prevention takes out of an auction is
the business of those who execute it.
"""

from bisect import bisect_left
from typing import Final, NamedTuple

from nexustrade.core.terms import BUY, SELL
from nexustrade.matching.book import Book


class Uncross(NamedTuple):
    """What an auction trades: `qty` at `px`; 0 and 0 when the book does not cross.

    `surplus_qty` is what could trade at that price and finds no other side; it is on `surplus_side`
    (BUY, SELL, or "" for none).
    """

    px: int
    qty: int
    surplus_qty: int
    surplus_side: str


NO_CROSS: Final = Uncross(0, 0, 0, "")


def uncross(book: Book, reference_px: int, tick_size: int = 1) -> Uncross:
    """The auction price of a book and what trades at it.

    The rule is that of Xetra's auctions (Deutsche Börse, "Market Model for the Trading Venue
    Xetra", the chapter on price determination in auctions); the criteria are London's as well
    (London Stock Exchange, MIT201 "Guide to the Trading System"). Of the limits in the book it
    takes

    1. those of the largest executable quantity, of these
    2. those of the smallest surplus, and of these
    3. the highest if the surplus is on the buy side at all of them, the lowest if it is on the sell
       side. If it changes sides, the price lies between the highest limit with a surplus to buy and
       the lowest with one to sell; if there is none, between the lowest and the highest limit.
    4. Between two limits it is the price nearest to `reference_px` (as a rule the last price), so
       one of the two where the reference is outside of them.

    Without a reference (0), for which Xetra has no rule, it is the middle of the two. A price that
    is not a limit of the book is a multiple of `tick_size`. Costs a step for each level that
    crosses.
    """
    bids = book.bids.levels
    asks = book.asks.levels
    if len(bids) == 0 or len(asks) == 0 or bids[-1].price < asks[-1].price:
        return NO_CROSS
    tied = _Tied()
    # Below the best ask and above the best bid nothing trades: walk up from the one to the other.
    bid_at = bisect_left(book.bids.ranks, asks[-1].price)
    ask_at = len(asks) - 1
    demand = 0
    for level in bids[bid_at:]:
        demand += level.qty
    supply = 0
    while bid_at < len(bids):
        bid = bids[bid_at]
        px = bid.price
        if ask_at >= 0 and asks[ask_at].price <= px:
            px = asks[ask_at].price
            supply += asks[ask_at].qty
            ask_at -= 1
        tied.offer(px, demand, supply)
        if px == bid.price:
            demand -= bid.qty
            bid_at += 1
    return tied.result(reference_px, tick_size)


class _Tied:
    """The limits that are best so far, by executable quantity and surplus; told in rising order."""

    def __init__(self) -> None:
        self.qty: int = 0
        self.surplus_qty: int = 0
        self.lowest: int = 0
        self.highest: int = 0
        self.highest_to_buy: int = 0
        self.lowest_to_sell: int = 0

    def offer(self, px: int, demand: int, supply: int) -> None:
        """Take in a limit and what would be bought and sold at it."""
        if demand > supply:
            qty = supply
            surplus_qty = demand - supply
        else:
            qty = demand
            surplus_qty = supply - demand
        if qty < self.qty or (qty == self.qty and surplus_qty > self.surplus_qty):
            return
        if qty > self.qty or surplus_qty < self.surplus_qty:
            self.qty = qty
            self.surplus_qty = surplus_qty
            self.lowest = px
            self.highest_to_buy = 0
            self.lowest_to_sell = 0
        self.highest = px
        if demand > supply:
            self.highest_to_buy = px
        elif supply > demand and self.lowest_to_sell == 0:
            self.lowest_to_sell = px

    def result(self, reference_px: int, tick_size: int) -> Uncross:
        """The price by market pressure and reference, and what is over at it."""
        if self.surplus_qty == 0:
            px = _between(self.lowest, self.highest, reference_px, tick_size)
            return Uncross(px, self.qty, 0, "")
        if self.lowest_to_sell == 0:
            px = self.highest
        elif self.highest_to_buy == 0:
            px = self.lowest
        else:
            px = _between(self.highest_to_buy, self.lowest_to_sell, reference_px, tick_size)
            if self.highest_to_buy < px < self.lowest_to_sell:
                # Nobody's limit is here: the surplus of the lower one is out, that of the upper
                # one not yet in, and the same quantity trades.
                return Uncross(px, self.qty, 0, "")
        side = BUY if px == self.highest_to_buy else SELL
        return Uncross(px, self.qty, self.surplus_qty, side)


def _between(low: int, high: int, reference_px: int, tick_size: int) -> int:
    """The price from `low` to `high` nearest to the reference, inside them in whole ticks."""
    wanted = reference_px if reference_px > 0 else (low + high) // 2
    px = (wanted + tick_size // 2) // tick_size * tick_size
    if wanted <= low or px < low:
        return low
    if wanted >= high or px > high:
        return high
    return px
