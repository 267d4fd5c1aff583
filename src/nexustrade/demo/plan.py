"""What the demo market does in one step. Pure: no clock, no I/O, no float.

A symbol has a fair price that walks at random. Makers keep a ladder of quotes on a price grid
around it, so that a small move changes few quotes, and noise traders send small orders. Every
choice comes from a generator seeded with (seed, step).
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from nexustrade.core.ids import uuid7
from nexustrade.core.money import PPM_ONE, affordable_qty, notional
from nexustrade.core.terms import BUY, DAY, GTC, IOC, LIMIT, MARKET, SELL
from nexustrade.matching.messages import InstrumentDefined
from nexustrade.orders.messages import CancelOrder, SubmitOrder

GRID_PPM: Final = 200
"""Distance of two levels: 2 basis points of the reference price, at least a tick."""
LEVEL_CENTS: Final = 2_000_000
"""Worth of the best level, 20,000 USD; deeper ones are larger."""
NOISE_CENTS: Final = 150_000
"""Worth of a noise trader's order, at most 1,500 USD (or one lot, where that is more)."""
BACKSTOP_LEVELS: Final = 20
"""Size of a backstop in best levels."""
WALK_PPM: Final = 200_000
"""How far the fair price walks from the reference price: 20 % either way."""
ANCHOR_PPM: Final = 50_000
"""Backstops move only when the fair price has moved by about 5 %."""
NOISE_STEPS_OF: Final = 5
"""One step of so many moves a fair price and its quotes; in the others a noise trader trades."""
NOISE_RESTING_MAX: Final = 3
"""Orders that one noise trader leaves in all books."""
ENTROPY_BITS: Final = 80


class Working(NamedTuple):
    """A working order of a demo account."""

    order_id: str
    account_id: str
    symbol: str
    side: str
    price: int
    leaves_qty: int


class Level(NamedTuple):
    """A quote that ought to stand: `size` is its full quantity."""

    account_id: str
    side: str
    price: int
    size: int


class Terms(NamedTuple):
    """What the demo needs to know about an instrument, in the core's units."""

    symbol: str
    tick: int
    grid: int
    lot: int
    reference: int
    collar_ppm: int
    level_qty: int
    noise_lots: int
    qty_max: int
    notional_max: int

    def size(self, qty: int, price: int) -> int:
        """As much of a quantity as one order at a price may have, in lots; a lot at least."""
        if self.qty_max:
            qty = min(qty, self.qty_max)
        if self.notional_max:
            qty = min(qty, affordable_qty(self.notional_max, price, self.lot))
        return max(qty // self.lot, 1) * self.lot

    def clamp(self, fair: int) -> int:
        """The fair price within the range it may walk in."""
        reach = self.reference * WALK_PPM // PPM_ONE
        return min(max(fair, self.reference - reach, self.tick), self.reference + reach)


class Steps(NamedTuple):
    """The commands of a step, new orders first, and where they leave the fair price."""

    fair: int
    orders: Sequence[SubmitOrder]
    cancels: Sequence[CancelOrder]

    def commands(self) -> int:
        """How many commands there are."""
        return len(self.orders) + len(self.cancels)


def terms_of(instrument: InstrumentDefined) -> Terms:
    """The demo's terms of an instrument with a reference price."""
    tick, lot, reference = instrument.tick_size, instrument.lot_size, instrument.reference_px
    lot_cents = max(notional(reference, lot), 1)
    return Terms(
        symbol=instrument.symbol,
        tick=tick,
        grid=max(reference * GRID_PPM // PPM_ONE // tick, 1) * tick,
        lot=lot,
        reference=reference,
        collar_ppm=instrument.collar_ppm,
        level_qty=max(LEVEL_CENTS // lot_cents, 2) * lot,
        noise_lots=max(NOISE_CENTS // lot_cents, 1),
        qty_max=instrument.order_qty_max,
        notional_max=instrument.order_notional_max,
    )


class Planner:
    """The demo's rules for a set of instruments and accounts; holds settings, no state."""

    def __init__(
        self,
        seed: int,
        instruments: Sequence[InstrumentDefined],
        makers: Sequence[str],
        noise_traders: Sequence[str],
        levels: int,
    ) -> None:
        self.seed = seed
        self.terms = {each.symbol: terms_of(each) for each in instruments if each.reference_px > 0}
        self.symbols = list(self.terms)
        self.makers = list(makers)
        self.noise_traders = list(noise_traders)
        self.levels = levels

    def symbol_of(self, step: int) -> str:
        """The symbol that a step is about."""
        return self._random(step, "symbol").choice(self.symbols)

    def plan(
        self, step: int, fair: int, working: Sequence[Working], now_us: int, noise_open: int = 0
    ) -> Steps:
        """The step's commands in its symbol, given the fair price and the demo's orders there.

        `noise_open` counts the step's noise trader's working orders in all books.
        """
        if self.noise_traders and self._random(step, "who").randrange(NOISE_STEPS_OF):
            return self._noise(step, fair, working, now_us, noise_open)
        terms = self.terms[self.symbol_of(step)]
        move = self._random(step, "walk").randint(-terms.grid, terms.grid)
        return self._quote(step, terms, terms.clamp(fair + move), working, now_us)

    def replenish(
        self, step: int, symbol: str, fair: int, working: Sequence[Working], now_us: int
    ) -> Steps:
        """Fill a ladder again after it was hit; the fair price gives way to who hit it."""
        terms = self.terms[symbol]
        missing = [level.side for level, _ in self._missing(terms, fair, working)]
        push = (SELL in missing) - (BUY in missing)
        moved = terms.clamp(fair + push * terms.grid // 2)
        return self._quote(step, terms, moved, working, now_us)

    def fair_of(self, symbol: str, working: Sequence[Working], last_px: int) -> int:
        """Where the fair price goes on after a restart: between the quotes, else the last price."""
        bids = [each.price for each in working if each.side == BUY]
        asks = [each.price for each in working if each.side == SELL]
        terms = self.terms[symbol]
        middle = (max(bids) + min(asks)) // 2 if bids and asks else last_px or terms.reference
        return terms.clamp(middle)

    def noise_trader_of(self, step: int) -> str:
        """The noise trader whose turn a step is, or "" where there are none."""
        return self._random(step, "trader").choice(self.noise_traders) if self.noise_traders else ""

    # -- makers

    def ladder(self, terms: Terms, fair: int) -> list[Level]:
        """The quotes that ought to stand around a fair price, best first, then the backstops."""
        grid, count = terms.grid, len(self.makers)
        bid = (fair - grid) // grid * grid
        ask = -(-(fair + grid) // grid) * grid
        levels: list[Level] = []
        for at in range(self.levels):
            maker = self.makers[at % count]
            size = terms.level_qty * (4 + at) // 4
            levels += self._pair(terms, maker, bid - at * grid, ask + at * grid, size)
        coarse = max(terms.reference * ANCHOR_PPM // PPM_ONE // terms.tick, 1) * terms.tick
        anchor = (fair + coarse // 2) // coarse * coarse
        reach = 2 * terms.reference * terms.collar_ppm // PPM_ONE // coarse * coarse + 2 * coarse
        size = terms.level_qty * BACKSTOP_LEVELS
        for at, maker in enumerate(self.makers):
            step = at * terms.grid
            levels += self._pair(terms, maker, anchor - reach - step, anchor + reach + step, size)
        return levels

    def _pair(self, terms: Terms, maker: str, bid: int, ask: int, size: int) -> list[Level]:
        # A bid far below a low price would be at or under zero: it stands at the lowest tick.
        low = max(bid, terms.tick)
        return [
            Level(maker, BUY, low, terms.size(size, low)),
            Level(maker, SELL, ask, terms.size(size, ask)),
        ]

    def _missing(
        self, terms: Terms, fair: int, working: Sequence[Working]
    ) -> list[tuple[Level, int]]:
        """The levels of which less than half stands, with the quantity that they lack."""
        standing: dict[tuple[str, str, int], int] = {}
        for order in working:
            key = order.account_id, order.side, order.price
            standing[key] = standing.get(key, 0) + order.leaves_qty
        lacking: list[tuple[Level, int]] = []
        for level in dict.fromkeys(self.ladder(terms, fair)):
            have = standing.get((level.account_id, level.side, level.price), 0)
            lack = (level.size - have) // terms.lot * terms.lot
            if 2 * have < level.size and lack > 0:
                lacking.append((level, lack))
        return lacking

    def _quote(
        self, step: int, terms: Terms, fair: int, working: Sequence[Working], now_us: int
    ) -> Steps:
        ids = self._random(step, "quotes")
        wanted = {level[:3] for level in self.ladder(terms, fair)}
        orders = [
            _limit(ids, now_us, level.account_id, terms.symbol, level.side, level.price, qty, GTC)
            for level, qty in self._missing(terms, fair, working)
        ]
        makers = set(self.makers)
        cancels = [
            CancelOrder(each.account_id, each.order_id)
            for each in working
            if each.account_id in makers and (each.account_id, each.side, each.price) not in wanted
        ]
        return Steps(fair, orders, cancels)

    # -- noise traders

    def _noise(
        self, step: int, fair: int, working: Sequence[Working], now_us: int, noise_open: int
    ) -> Steps:
        terms = self.terms[self.symbol_of(step)]
        trader = self.noise_trader_of(step)
        choices = self._random(step, "noise")
        side = choices.choice((BUY, SELL))
        # Sized as if at the price that is reserved for, which the collar bounds.
        dearest = fair + fair * terms.collar_ppm // PPM_ONE + 2 * terms.grid
        qty = terms.size(choices.randint(1, terms.noise_lots) * terms.lot, dearest)
        kind = choices.randrange(4)
        cancels = [
            CancelOrder(trader, each.order_id) for each in working if each.account_id == trader
        ]
        if kind < 2:
            order = _order(choices, now_us, trader, terms.symbol, side, MARKET, DAY, qty, 0)
        elif kind == 2 or noise_open - len(cancels) >= NOISE_RESTING_MAX:
            reach = 2 * terms.grid if side == BUY else -2 * terms.grid
            price = _on_tick(fair + reach, terms)
            order = _limit(choices, now_us, trader, terms.symbol, side, price, qty, IOC)
        else:
            inside = choices.randint(0, terms.grid - 1)
            price = _on_tick(fair - inside if side == BUY else fair + inside, terms)
            order = _limit(choices, now_us, trader, terms.symbol, side, price, qty, GTC)
        return Steps(fair, [order], cancels)

    def _random(self, step: int, purpose: str) -> Random:
        return Random(f"{self.seed}/{step}/{purpose}")  # noqa: S311 - repeatable on purpose


def _on_tick(price: int, terms: Terms) -> int:
    return max(price // terms.tick, 1) * terms.tick


def _limit(
    ids: Random, now_us: int, account: str, symbol: str, side: str, price: int, qty: int, tif: str
) -> SubmitOrder:
    return _order(ids, now_us, account, symbol, side, LIMIT, tif, qty, price)


def _order(
    ids: Random,
    now_us: int,
    account: str,
    symbol: str,
    side: str,
    ord_type: str,
    tif: str,
    qty: int,
    price: int,
) -> SubmitOrder:
    # The order id serves as the client order id too: it carries the instant, so that it never
    # comes again, and needs no memory of ids that were used before.
    order_id = uuid7(now_us, ids.getrandbits(ENTROPY_BITS))
    return SubmitOrder(
        account, order_id, order_id, symbol, side, ord_type, tif, order_qty=qty, limit_px=price
    )


def by_symbol(working: Mapping[str, Working]) -> dict[str, list[Working]]:
    """Working orders by symbol, each list in the order the orders came."""
    found: dict[str, list[Working]] = {}
    for order in working.values():
        found.setdefault(order.symbol, []).append(order)
    return found
