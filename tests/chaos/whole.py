"""Whether groups are whole across both stages, and what accounts hold, counted naively.

The orders stages believe something of groups and reservations; here it is counted again from what
is really alive in the books, with the terms of each order's own event, in whole cents.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, MARGIN, SELL
from nexustrade.kernel.stage import Stage
from nexustrade.matching import groups as matching_groups
from nexustrade.matching.domain import MatchingStage
from nexustrade.orders import groups as orders_groups
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage

MILLION = 1_000_000
CENT = 10_000_000_000
COLLAR_PPM = 50_000
TICK = 100


class Truth:
    """The stages of a venue, with the events of their streams."""

    def __init__(self, stages: Iterable[Stage], events: Mapping[str, Sequence[Message]]) -> None:
        both = list(stages)
        self.stages = both
        self.orders = [one for one in both if isinstance(one, OrdersStage)]
        self.matching = [one for one in both if isinstance(one, MatchingStage)]
        self.ceilings: dict[str, int] = {}
        for stream in events.values():
            prices: dict[str, int] = {}
            for event in stream:
                self._hear(event, prices)
        # account -> cents held; (account, symbol) -> shares held, and shares of a short covered.
        self.cents: dict[str, int] = {}
        self.held: dict[tuple[str, str], int] = {}
        self.covered: dict[tuple[str, str], int] = {}

    def _hear(self, event: Message, prices: dict[str, int]) -> None:
        """Note at which price an order that may sell short was valued when it came."""
        if isinstance(event, m.OrderFilled | m.PriceMarked):
            prices[event.symbol] = event.last_px
        elif isinstance(event, m.OrderAccepted | m.GroupAccepted):
            order_id = event.order_id if isinstance(event, m.OrderAccepted) else event.group_id
            last_px = prices.get(event.symbol, 1_000_000 if event.symbol == "AAPL" else 500_000)
            top = last_px + last_px * COLLAR_PPM // MILLION
            self.ceilings[order_id] = top // TICK * TICK

    def check(self, *, balanced: bool = True) -> None:
        """Raise when anything is torn, lost or held too much or too little.

        While only some partitions were told that a trade is undone, cash is not `balanced`.
        """
        for stage in self.stages:
            stage.verify()
        assert not balanced or sum(stage.imbalance() for stage in self.orders) == 0
        self.check_whole()
        self._check_holds()

    def check_whole(self) -> None:
        """Raise when an order or a group is not the same in both stages, or a leg is alone."""
        self._check_orders()
        self._check_groups()

    def _check_orders(self) -> None:
        """Orders are open in both stages or in none, for as much."""
        working = {order.order_id: order for stage in self.matching for order in _orders(stage)}
        legs = {leg for stage in self.matching for leg in stage.legs}
        open_orders = {
            order.order_id: order
            for stage in self.orders
            for account in stage.accounts.values()
            for order in account.open.values()
        }
        assert not {name for name in open_orders if open_orders[name].is_pending()}
        assert set(open_orders) - legs == set(working) - legs
        for order_id, order in open_orders.items():
            if order_id in working and not order.is_leg():
                found = working[order_id]
                terms = (order.account_id, order.symbol, order.side == BUY, order.leaves_qty)
                assert terms == (found.account_id, found.symbol, found.is_buy, found.leaves_qty)

    def _check_groups(self) -> None:
        """Groups are the same in both stages, and no leg is alive alone."""
        theirs = {name: one for stage in self.matching for name, one in stage.groups.items()}
        ours = {
            name: group
            for stage in self.orders
            for account in stage.accounts.values()
            for name, group in account.groups.items()
        }
        assert ours.keys() == theirs.keys()
        for name, group in ours.items():
            self._check_group(group, theirs[name])

    def _check_group(self, ours: Any, theirs: matching_groups.Group) -> None:
        stage = next(one for one in self.orders if ours.group_id in one.groups)
        alive = [bool(ours.tp_hold_px), bool(ours.sl_hold_px)]
        assert alive == [theirs.tp_alive, theirs.sl_alive], ours.group_id
        for order_id, is_alive in zip((ours.tp_order_id, ours.sl_order_id), alive, strict=True):
            order = stage.orders.get(order_id)
            assert (order is not None and order.closed_us == 0) == is_alive, order_id
        assert ours.entry_open == theirs.entry_alive
        # I1, and R in both stages; what the entry filled beyond is not alive yet.
        assert ours.filled_qty == theirs.tp_cum_qty + theirs.sl_cum_qty
        if theirs.state != matching_groups.WAITING:
            assert ours.remaining() == theirs.remaining() >= 0
        assert (ours.state == orders_groups.ELECTED) == (theirs.state == matching_groups.ELECTED)
        # I5: alone is only the elected stop-loss, or what a fill under CANCEL left.
        if theirs.tp_order_id and theirs.sl_order_id and alive != [True, True]:
            assert theirs.state == matching_groups.ELECTED or theirs.cancels

    def _check_holds(self) -> None:
        for books in self.matching:
            for order in _orders(books):
                if order.order_id not in books.legs:
                    self._hold_order(order)
            for group in books.groups.values():
                self._hold_group(group)
        for stage in self.orders:
            for account in stage.accounts.values():
                name = account.account_id
                assert account.reserved == self.cents.pop(name, 0), name
                for position in account.positions.values():
                    at = (name, position.symbol)
                    assert position.held_qty == self.held.pop(at, 0), at
                    assert position.covered_qty == self.covered.pop(at, 0), at
        left = [*self.cents.values(), *self.held.values(), *self.covered.values()]
        assert not any(left), "somebody holds for what nobody knows of"

    def _hold_order(self, order: Any) -> None:
        side = BUY if order.is_buy else SELL
        own_px = order.limit_px
        if order.is_buy and not own_px:
            own_px = _up(order.stop_px + order.stop_px * COLLAR_PPM // MILLION)
        opens_short = side == SELL and not order.reduces
        px = max(own_px, order.stop_px, self.ceilings[order.order_id]) if opens_short else own_px
        self._hold(order.account_id, order.symbol, side, order.reduces, px, order.leaves_qty)

    def _hold_group(self, group: matching_groups.Group) -> None:
        """The dearer of the legs that are alive, for what the group may still trade."""
        side = BUY if group.is_buy else SELL
        prices = [group.tp_limit_px] if group.tp_alive else []
        if group.sl_alive:
            worst = group.sl_stop_px + group.sl_stop_px * COLLAR_PPM // MILLION
            prices.append(group.sl_limit_px if group.sl_limit_px else _up(worst))
        closes = bool(group.entry_order_id) or group.reduces
        px = max(prices)
        if side == SELL and not closes:
            px = max(px, self.ceilings[group.group_id])
        filled = group.tp_cum_qty + group.sl_cum_qty
        qty = group.order_qty - filled
        if group.state != matching_groups.WAITING and not group.entry_alive:
            qty = group.remaining()
        promised = qty
        if group.entry_order_id:
            promised = group.entry_cum_qty - group.entry_open_qty + group.remaining()
        self._hold(group.account_id, group.symbol, side, closes, px, qty, promised)

    def _hold(
        self,
        account_id: str,
        symbol: str,
        side: str,
        closes: bool,
        px: int,
        qty: int,
        promised: int | None = None,
    ) -> None:
        """Count what an order or a group holds: cents for what it may cost, shares it closes."""
        stage = next(one for one in self.orders if account_id in one.accounts)
        account = stage.accounts[account_id]
        if closes:
            shares = self.covered if side == BUY else self.held
            at = (account_id, symbol)
            shares[at] = shares.get(at, 0) + (qty if promised is None else promised)
        if closes and side == SELL:
            return
        worst = -(-px * qty // CENT)
        rate = 500_000 if account.account_type == MARGIN else MILLION
        fee_ppm = max(account.maker_fee_ppm, account.taker_fee_ppm)
        margin = 0 if closes else -(-worst * rate // MILLION)
        cents = margin + -(-worst * fee_ppm // MILLION)
        self.cents[account_id] = self.cents.get(account_id, 0) + cents


def _orders(stage: MatchingStage) -> list[Any]:
    """Every order of a matching stage, wherever it is."""
    found: list[Any] = list(stage.queue.orders())
    for book in stage.books.values():
        found += book.bids.orders() + book.asks.orders()
        found += list(book.stops.orders.values()) + list(book.elected.values())
    return found


def _up(px: int) -> int:
    return -(-px // TICK) * TICK
