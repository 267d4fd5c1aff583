"""One price-time priority book: who trades with whom, at which price, in which order.

Owns the resting orders of one symbol and the match loop. Prices and quantities are integers of
any unit. A trade happens at the maker's price; the best price goes first, then the oldest order.

The book never decides that something happened: `match` tells a `Tape`, and the tape carries it out
(`fill`, `remove`, `shrink`). The base tape does so at once; the matching stage's tape emits an
event, which does it when it is applied. So one loop serves the stage, its replay and the tools.

Costs: a cancel does not depend on how many orders its level holds, the best price is the last
element of a list, and a new or emptied level costs a binary search and a short move of pointers.
"""

from bisect import bisect_left
from typing import Final

from mypy_extensions import mypyc_attr

from nexustrade.core.errors import InvariantError, check
from nexustrade.core.money import affordable_qty, notional
from nexustrade.core.terms import (
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_OLDEST,
)

UNBOUNDED: Final = 1 << 60
"""More than any quantity or price: "as much as the budget buys", "at any price"."""

_YOUNG_MAX: Final = 2_048
"""Orders that are kept in the table of those that came lately before they move to the other."""

_NEAR_LEVELS: Final = 16
"""Levels from the best on that are looked at one by one before the others are halved."""

# What is to become of an order after it has met the book (`Book.enter`).
DONE: Final = 0
"""Nothing of it is left."""
RESTS: Final = 1
"""What is left goes into the book."""
UNFILLED: Final = 2
"""What is left may not rest, or a FOK order could not be filled at once."""
SELF_TRADED: Final = 3
"""Self-trade prevention stopped it."""
WOULD_TAKE: Final = 4
"""A post-only order that would have taken liquidity; it did not trade."""


class Order:
    """An order while it matches, rests or waits.

    `limit_px` 0 means any price. `budget` (cents) bounds what a notional order spends, buying whole
    multiples of `step`; its `leaves_qty` is a cap, or `UNBOUNDED`. `stp` says what self-trade
    prevention does when this order is the taker. A stop has `stop_px`, a trailing one its distance
    and `hwm_px`; `print_px` is the trade that elected it. `reduces`: it can only make a position
    smaller. The last four fields belong to its level, but that an elected stop, which stands in
    none, has the number of its `StopElected` event as `arrival`.
    """

    def __init__(
        self,
        order_id: str,
        account_id: str,
        is_buy: bool,
        limit_px: int,
        leaves_qty: int,
        time_in_force: str = GTC,
        stp: str = STP_ALLOW,
        symbol: str = "",
        ord_type: str = LIMIT,
        cum_qty: int = 0,
        expire_us: int = 0,
        post_only: bool = False,
        budget: int = 0,
        step: int = 1,
    ) -> None:
        self.order_id = order_id
        self.account_id = account_id
        self.is_buy = is_buy
        self.limit_px = limit_px
        self.leaves_qty = leaves_qty
        self.time_in_force = time_in_force
        self.stp = stp
        self.symbol = symbol
        self.ord_type = ord_type
        self.cum_qty = cum_qty
        self.expire_us = expire_us
        self.post_only = post_only
        self.budget = budget
        self.step = step
        self.stop_px: int = 0
        self.trail_px: int = 0
        self.trail_ppm: int = 0
        self.hwm_px: int = 0
        self.print_px: int = 0
        self.group_id: str = ""
        self.reduces: bool = False
        self.arrival: int = 0
        self.level: Level | None = None
        self.older: Order | None = None
        self.newer: Order | None = None

    def may_rest(self) -> bool:
        """Whether what is left of the order may stand in the book."""
        return not (self.ord_type == MARKET or self.budget > 0 or self.time_in_force in (IOC, FOK))

    def is_plain(self) -> bool:
        """Whether it has none of the terms that end when an order rests."""
        waited = self.stop_px or self.trail_px or self.trail_ppm or self.hwm_px or self.print_px
        return not waited and self.budget == 0 and self.step == 1

    def reach(self) -> int:
        """The rank of the worst opposite level the order may trade with."""
        if self.limit_px == 0:
            return -UNBOUNDED
        return -self.limit_px if self.is_buy else self.limit_px


class Level:
    """Orders at one price, first come first: a doubly linked list with its sums."""

    def __init__(self, price: int, rank: int) -> None:
        self.price = price
        self.rank = rank
        self.qty: int = 0
        self.count: int = 0
        self.head: Order | None = None
        self.tail: Order | None = None

    def append(self, order: Order) -> None:
        """Put an order last."""
        tail = self.tail
        order.level = self
        order.older = tail
        if tail is None:
            self.head = order
        else:
            tail.newer = order
        self.tail = order
        self.qty += order.leaves_qty
        self.count += 1

    def unlink(self, order: Order) -> None:
        """Take an order out, wherever it stands."""
        older = order.older
        newer = order.newer
        if older is None:
            self.head = newer
        else:
            older.newer = newer
            order.older = None
        if newer is None:
            self.tail = older
        else:
            newer.older = older
            order.newer = None
        order.level = None
        self.qty -= order.leaves_qty
        self.count -= 1

    def orders(self) -> list[Order]:
        """The orders, oldest first."""
        found: list[Order] = []
        order = self.head
        while order is not None:
            found.append(order)
            order = order.newer
        return found


class OrdersById:
    """Orders by id, those that came lately apart from the others.

    Most orders do not live long. Kept in a small table, which stays in the processor's cache, they
    cost the same whatever number of old ones there is.
    """

    def __init__(self) -> None:
        self._young: dict[str, Order] = {}
        self._old: dict[str, Order] = {}

    def add(self, order: Order) -> bool:
        """Take an order in; False when its id is known among the young."""
        young = self._young
        known = len(young)
        if known >= _YOUNG_MAX:
            self._old.update(young)
            young.clear()
            known = 0
        young[order.order_id] = order
        return len(young) > known

    def remove(self, order: Order) -> None:
        """Forget an order."""
        if self._young.pop(order.order_id, None) is None:
            del self._old[order.order_id]

    def get(self, order_id: str) -> Order | None:
        """The order of an id, or None."""
        order = self._young.get(order_id)
        return self._old.get(order_id) if order is None else order

    def __getitem__(self, order_id: str) -> Order:
        order = self.get(order_id)
        if order is None:
            raise KeyError(order_id)
        return order

    def __contains__(self, order_id: str) -> bool:
        return self.get(order_id) is not None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class Side:
    """The levels of one side. Ranks rise toward the best: the price of bids, minus that of asks."""

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.by_price: dict[int, Level] = {}
        self.ranks: list[int] = []
        self.levels: list[Level] = []

    def level(self, price: int) -> Level:
        """The level of a price, made when it is new."""
        level = self.by_price.get(price)
        if level is None:
            rank = price if self.is_bid else -price
            level = Level(price, rank)
            self.by_price[price] = level
            at = self._place(rank)
            self.ranks.insert(at, rank)
            self.levels.insert(at, level)
        return level

    def drop(self, level: Level) -> None:
        """Forget an empty level."""
        del self.by_price[level.price]
        if self.levels[-1] is level:
            self.levels.pop()
            self.ranks.pop()
        else:
            at = self._place(level.rank)
            del self.ranks[at]
            del self.levels[at]

    def _place(self, rank: int) -> int:
        """Where a rank is, or belongs. Most levels come and go near the best, which is in cache."""
        ranks = self.ranks
        at = len(ranks)
        far = at - _NEAR_LEVELS if at > _NEAR_LEVELS else 0
        while at > far:
            if ranks[at - 1] < rank:
                return at
            at -= 1
        return bisect_left(ranks, rank, 0, at)

    def top(self, depth_max: int) -> tuple[tuple[int, int, int], ...]:
        """(price, quantity, orders) of at most `depth_max` levels, best first."""
        found: list[tuple[int, int, int]] = []
        at = len(self.levels)
        last = at - depth_max if at > depth_max else 0
        while at > last:
            at -= 1
            level = self.levels[at]
            found.append((level.price, level.qty, level.count))
        return tuple(found)

    def orders(self) -> list[Order]:
        """Every order of the side in priority order."""
        found: list[Order] = []
        for level in reversed(self.levels):
            found.extend(level.orders())
        return found


@mypyc_attr(allow_interpreted_subclasses=True)
class Tape:
    """What `Book.match` tells before it goes on. This one carries it out at once."""

    def trade(self, book: "Book", maker: Order, taker: Order, qty: int) -> None:
        """`taker`, already reduced by it, trades `qty` with `maker` at the maker's price."""
        book.fill(maker, qty)

    def prevent(self, book: "Book", maker: Order) -> None:
        """Self-trade prevention takes `maker` out."""
        book.remove(maker)

    def decrement(self, book: "Book", maker: Order, taker: Order, qty: int) -> None:
        """Self-trade prevention takes `qty` off both; a maker with nothing left is out."""
        book.shrink(maker, qty)


class Book:
    """The resting orders of one symbol."""

    def __init__(self) -> None:
        self.bids = Side(True)
        self.asks = Side(False)
        self.orders = OrdersById()
        self.arrivals: int = 0

    # ---- changes

    def rest(self, order: Order) -> None:
        """Put an order into the book, behind all others at its price."""
        if not self.orders.add(order):
            raise InvariantError(f"order {order.order_id} rests already")
        self.arrivals += 1
        order.arrival = self.arrivals
        side = self.bids if order.is_buy else self.asks
        side.level(order.limit_px).append(order)

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        level = order.level
        if level is None:
            raise InvariantError("only a resting order is removed")
        self.orders.remove(order)
        level.unlink(order)
        if level.head is None:
            side = self.bids if order.is_buy else self.asks
            side.drop(level)

    def fill(self, order: Order, qty: int) -> None:
        """A resting order traded `qty`; it leaves when that was all."""
        order.cum_qty += qty
        self.shrink(order, qty)

    def shrink(self, order: Order, qty: int) -> None:
        """Take `qty` off a resting order, which keeps its place; it leaves when that was all."""
        level = order.level
        if level is None or qty > order.leaves_qty:
            raise InvariantError("a resting order shrinks by what it has at most")
        if qty == order.leaves_qty:
            self.remove(order)
            order.leaves_qty = 0
        else:
            order.leaves_qty -= qty
            level.qty -= qty

    def rename(self, order: Order, order_id: str) -> None:
        """A resting order goes on under another id, in its place."""
        if order_id != order.order_id:
            self.orders.remove(order)
            order.order_id = order_id
            self.orders.add(order)

    # ---- matching

    def enter(self, taker: Order, tape: Tape) -> int:
        """Let an arriving order trade as its terms allow; the answer says what becomes of the rest.

        Nothing is put into the book: that is up to the caller when the answer is `RESTS`.
        """
        if taker.post_only and self.crosses(taker):
            return WOULD_TAKE
        if taker.time_in_force == FOK and not self.fillable(taker):
            return UNFILLED
        if not self.match(taker, tape):
            return SELF_TRADED
        if taker.leaves_qty == 0:
            return DONE
        return RESTS if taker.may_rest() else UNFILLED

    def match(self, taker: Order, tape: Tape) -> bool:
        """Trade against the other side until nothing is left or nothing is in reach.

        Returns False when self-trade prevention stopped the taker.
        """
        side = self.asks if taker.is_buy else self.bids
        levels = side.levels
        reach = taker.reach()
        prevents = taker.stp != STP_ALLOW
        while taker.leaves_qty > 0 and len(levels) > 0:
            level = levels[-1]
            if level.rank < reach:
                break
            maker = level.head
            if maker is None:
                raise InvariantError("a level holds at least one order")
            if prevents and maker.account_id == taker.account_id:
                if not self._prevent(maker, taker, tape):
                    return False
                continue
            qty = taker.leaves_qty if taker.leaves_qty < maker.leaves_qty else maker.leaves_qty
            if taker.budget:
                qty = self._spend(side, maker, taker, qty)
                if qty == 0:
                    break
            else:
                taker.leaves_qty -= qty
            taker.cum_qty += qty
            tape.trade(self, maker, taker, qty)
        return True

    def _prevent(self, maker: Order, taker: Order, tape: Tape) -> bool:
        """Keep two orders of one account apart; False when the taker ends here."""
        if maker.reduces and maker.group_id and maker.group_id == taker.group_id:
            # The entry of a group met its exit, which protects what the entry has filled.
            return False
        if taker.stp == STP_OLDEST:
            tape.prevent(self, maker)
            return True
        if taker.stp == STP_BOTH:
            tape.prevent(self, maker)
            return False
        # A notional order has no open quantity to take something off: it ends, like the newest.
        if taker.stp != STP_DECREMENT or taker.budget:
            return False
        qty = taker.leaves_qty if taker.leaves_qty < maker.leaves_qty else maker.leaves_qty
        taker.leaves_qty -= qty
        tape.decrement(self, maker, taker, qty)
        return taker.leaves_qty > 0

    def _spend(self, side: Side, maker: Order, taker: Order, qty_max: int) -> int:
        """What a notional order trades with `maker`; its budget shrinks by the fill's cents.

        The taker is through (`leaves_qty` 0) when the rest buys less than a step at the next price.
        """
        px = maker.limit_px
        qty = affordable_qty(taker.budget, px, taker.step)
        if qty > qty_max:
            qty = qty_max
        if qty == 0:
            return 0
        taker.budget -= notional(px, qty)
        if taker.leaves_qty != UNBOUNDED:
            taker.leaves_qty -= qty
        if qty == maker.leaves_qty and maker.newer is None and len(side.levels) > 1:
            after = side.levels[-2]
            if after.rank >= taker.reach():
                px = after.price
        if affordable_qty(taker.budget, px, taker.step) == 0:
            taker.leaves_qty = 0
        return qty

    def crosses(self, taker: Order) -> bool:
        """Whether an order would trade at once."""
        side = self.asks if taker.is_buy else self.bids
        return len(side.levels) > 0 and side.levels[-1].rank >= taker.reach()

    def fillable(self, taker: Order) -> bool:
        """Whether an order would be filled at once and whole, by trades alone."""
        side = self.asks if taker.is_buy else self.bids
        if taker.budget or taker.stp != STP_ALLOW:
            return self._fillable_by_walk(side, taker)
        reach = taker.reach()
        left = taker.leaves_qty
        for level in reversed(side.levels):
            if level.rank < reach:
                break
            left -= level.qty
            if left <= 0:
                return True
        return False

    def _fillable_by_walk(self, side: Side, taker: Order) -> bool:
        """Order by order what `match` would do, where level sums do not tell."""
        reach = taker.reach()
        prevents = taker.stp != STP_ALLOW
        left = taker.leaves_qty
        budget = taker.budget
        px = 0
        for level in reversed(side.levels):
            if level.rank < reach:
                break
            px = level.price
            for maker in level.orders():
                open_qty = maker.leaves_qty
                while open_qty > 0:
                    qty = open_qty if open_qty < left else left
                    if taker.budget:
                        affordable = affordable_qty(budget, px, taker.step)
                        if affordable == 0:
                            return budget < taker.budget
                        if affordable < qty:
                            qty = affordable
                    if prevents and maker.account_id == taker.account_id:
                        if taker.stp != STP_OLDEST:
                            return False
                        break
                    if taker.budget:
                        budget -= notional(px, qty)
                    if left != UNBOUNDED:
                        left -= qty
                    if left == 0:
                        return True
                    open_qty -= qty
        return budget < taker.budget and affordable_qty(budget, px, taker.step) == 0

    # ---- checks

    def verify(self, matches: bool = True) -> None:
        """Check every invariant of the book; `InvariantError` when one is broken.

        A book that does not match (`matches` False: a call, a halt) may be crossed.
        """
        self._verify_side(self.bids)
        self._verify_side(self.asks)
        seen = sum(level.count for level in self.bids.levels + self.asks.levels)
        check(seen == len(self.orders), "every known order rests in exactly one level")
        if matches and self.bids.levels and self.asks.levels:
            bid = self.bids.levels[-1].price
            ask = self.asks.levels[-1].price
            check(bid < ask, f"the book is crossed: bid {bid}, ask {ask}")

    def _verify_side(self, side: Side) -> None:
        ranks = [level.rank for level in side.levels]
        check(ranks == side.ranks and ranks == sorted(set(ranks)), "levels stand in price order")
        check(len(side.by_price) == len(ranks), "every level is found by its price")
        for level in side.levels:
            check(side.by_price.get(level.price) is level, "a level is found by its price")
            orders = level.orders()
            check(len(orders) == level.count > 0, "a level counts its orders and is not empty")
            check(sum(order.leaves_qty for order in orders) == level.qty, "a level sums its orders")
            check(level.tail is orders[-1], "a level ends with its newest order")
            arrival = 0
            for order in orders:
                check(order.arrival > arrival, "orders of a level stand in order of arrival")
                check(order.leaves_qty > 0, "a resting order has something open")
                check(order.limit_px == level.price, "an order stands at its price")
                check(order.is_buy == side.is_bid, "an order stands on its side")
                check(order.level is level, "an order knows its level")
                check(self.orders.get(order.order_id) is order, "an order is known by its id")
                arrival = order.arrival
