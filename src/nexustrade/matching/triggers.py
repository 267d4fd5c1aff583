"""The parked stops of one book: which of them a trade elects, and in which order.

Owns the stop orders that wait, by stop price. A sell stop is reached by a trade at or below its
price, a buy stop by one at or above it. Of those reached the one furthest through goes first (sell:
the highest stop), then the oldest. To find what a trade elects costs a look at the best level and
what is taken from it: nothing depends on how many stops wait.

Trailing stops are indexed a second time by their high-water mark, so that a trade which sets no new
extreme costs nothing either. One that does costs a step for each stop that it moves.
"""

from bisect import bisect_left

from nexustrade.core.errors import InvariantError, check
from nexustrade.core.money import PPM_ONE
from nexustrade.core.ticks import tick_down, tick_up
from nexustrade.matching.book import Order, Side


def protection_limit(is_buy: bool, print_px: int, collar_ppm: int, tick_size: int) -> int:
    """The worst price of an elected stop: its electing print -/+ the collar, on a tick inside."""
    reach = print_px * collar_ppm // PPM_ONE
    if is_buy:
        return tick_down(tick_size, print_px + reach)
    return tick_up(tick_size, print_px - reach)


def reached(order: Order, px: int) -> bool:
    """Whether a trade at `px` elects a stop."""
    return px >= order.stop_px if order.is_buy else px <= order.stop_px


class Marks:
    """Trailing stops of one side by high-water mark, those furthest behind a new extreme first.

    Ranks rise with the price for sell stops (they follow it up) and fall with it for buy stops.
    """

    def __init__(self, is_buy: bool) -> None:
        self.is_buy = is_buy
        self.ranks: list[int] = []
        self.orders: dict[int, dict[str, Order]] = {}

    def rank(self, px: int) -> int:
        """Where a mark stands: those that a new extreme passes have a lower rank than it."""
        return -px if self.is_buy else px

    def add(self, order: Order) -> None:
        """Take in a trailing stop at its mark."""
        rank = self.rank(order.hwm_px)
        found = self.orders.get(rank)
        if found is None:
            found = {}
            self.orders[rank] = found
            self.ranks.insert(bisect_left(self.ranks, rank), rank)
        found[order.order_id] = order

    def drop(self, order: Order) -> None:
        """Forget a trailing stop."""
        rank = self.rank(order.hwm_px)
        found = self.orders[rank]
        del found[order.order_id]
        if not found:
            del self.orders[rank]
            del self.ranks[bisect_left(self.ranks, rank)]

    def passes(self, px: int) -> bool:
        """Whether a trade at `px` passes any mark."""
        return len(self.ranks) > 0 and self.ranks[0] < self.rank(px)

    def passed(self, px: int) -> list[Order]:
        """Stops whose mark a trade at `px` passes, by mark and then by id."""
        rank = self.rank(px)
        behind: list[Order] = []
        for known in self.ranks:
            if known >= rank:
                break
            found = self.orders[known]
            behind.extend([found[order_id] for order_id in sorted(found)])
        return behind


class Stops:
    """Every parked stop of a book."""

    def __init__(self) -> None:
        self.sells = Side(True)
        self.buys = Side(False)
        self.orders: dict[str, Order] = {}
        self.sell_marks = Marks(False)
        self.buy_marks = Marks(True)
        self.arrivals: int = 0

    def park(self, order: Order) -> None:
        """Take in a stop, behind all others at its price."""
        if order.order_id in self.orders:
            raise InvariantError(f"stop {order.order_id} is parked already")
        self.orders[order.order_id] = order
        self.arrivals += 1
        order.arrival = self.arrivals
        side = self.buys if order.is_buy else self.sells
        side.level(order.stop_px).append(order)
        if order.hwm_px:
            (self.buy_marks if order.is_buy else self.sell_marks).add(order)

    def remove(self, order: Order) -> None:
        """Take a stop out: elected, cancelled, or about to be parked elsewhere."""
        level = order.level
        if level is None:
            raise InvariantError("only a parked stop is removed")
        del self.orders[order.order_id]
        level.unlink(order)
        if level.head is None:
            (self.buys if order.is_buy else self.sells).drop(level)
        if order.hwm_px:
            (self.buy_marks if order.is_buy else self.sell_marks).drop(order)

    def resize(self, order: Order, leaves_qty: int) -> None:
        """A stop is for more or less; it keeps its place."""
        level = order.level
        if level is None:
            raise InvariantError("only a parked stop is resized")
        level.qty += leaves_qty - order.leaves_qty
        order.leaves_qty = leaves_qty

    def rename(self, order: Order, order_id: str) -> None:
        """A stop goes on under another id, in its place."""
        marks = self.buy_marks if order.is_buy else self.sell_marks
        if order.hwm_px:
            marks.drop(order)
        del self.orders[order.order_id]
        order.order_id = order_id
        self.orders[order_id] = order
        if order.hwm_px:
            marks.add(order)

    def trail(self, order: Order, hwm_px: int, stop_px: int) -> None:
        """A trailing stop follows a new extreme; at a new price it goes behind the others."""
        if stop_px == order.stop_px:
            marks = self.buy_marks if order.is_buy else self.sell_marks
            marks.drop(order)
            order.hwm_px = hwm_px
            marks.add(order)
            return
        self.remove(order)
        order.hwm_px = hwm_px
        order.stop_px = stop_px
        self.park(order)

    def concerns(self, px: int) -> bool:
        """Whether a trade at `px` elects or moves any stop."""
        levels = self.sells.levels
        if levels and levels[-1].price >= px:
            return True
        levels = self.buys.levels
        if levels and levels[-1].price <= px:
            return True
        return self.sell_marks.passes(px) or self.buy_marks.passes(px)

    def next_reached(self, low_px: int, high_px: int) -> Order | None:
        """The next stop that trades between `low_px` and `high_px` elect, sells before buys."""
        levels = self.sells.levels
        if levels and levels[-1].price >= low_px:
            return levels[-1].head
        levels = self.buys.levels
        if levels and levels[-1].price <= high_px:
            return levels[-1].head
        return None

    def verify(self) -> None:
        """Check every invariant of the parked stops."""
        counted = 0
        for side, marks in ((self.sells, self.sell_marks), (self.buys, self.buy_marks)):
            ranks = [level.rank for level in side.levels]
            check(ranks == side.ranks == sorted(set(ranks)), "stop levels stand in price order")
            trailing = 0
            for level in side.levels:
                orders = level.orders()
                counted += len(orders)
                check(len(orders) == level.count > 0, "a stop level is not empty")
                check(sum(o.leaves_qty for o in orders) == level.qty, "a stop level sums its stops")
                arrival = 0
                for order in orders:
                    check(order.stop_px == level.price, "a stop stands at its price")
                    check(order.leaves_qty > 0, "a parked stop has something open")
                    check(order.arrival > arrival, "stops of a price stand in order of election")
                    check(self.orders.get(order.order_id) is order, "a stop is known by its id")
                    arrival = order.arrival
                    if order.hwm_px:
                        trailing += 1
                        rank = marks.rank(order.hwm_px)
                        check(
                            marks.orders[rank].get(order.order_id) is order, "a trail has its mark"
                        )
            check(marks.ranks == sorted(marks.orders), "marks stand in order")
            check(sum(len(found) for found in marks.orders.values()) == trailing, "marks add up")
        check(counted == len(self.orders), "every parked stop stands in exactly one level")
