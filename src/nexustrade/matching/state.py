"""The state of the matching stage and how events change it.

Owns every order that is working: books, parked stops, groups, elected stops, the queue of the
closed session, and the session's phase. `apply` is the only place where they change, so that replay
rebuilds the same state; what is to happen is decided in `domain` and `exits`.

While an order matches it is in no book: its trades reduce the makers, and at the end it rests, is
removed or was filled. A queued order stays in the queue, and an elected stop among the elected
ones, until that end.
"""

from heapq import heapify, heappush
from typing import Any, Final, cast

import msgspec

from nexustrade.core import codec
from nexustrade.core.codec import Message, fields_of
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.terms import (
    BUY,
    CANCEL,
    CLOSED,
    CLOSING_CALL,
    CONTINUOUS,
    DAY,
    FULL,
    LIMIT,
    MARKET,
    OCO,
    OPENING_CALL,
    STOP,
    STOP_LIMIT,
    VOLATILITY_AUCTION,
)
from nexustrade.core.ticks import split_px, split_qty
from nexustrade.kernel.stage import Stage
from nexustrade.matching.auction import uncross
from nexustrade.matching.book import UNBOUNDED, Book, Level, Order
from nexustrade.matching.groups import ACTIVE, ELECTED, WAITING, Group, group_from
from nexustrade.matching.messages import (
    ENTRY_CANCELLED,
    Amended,
    BookSnapshot,
    ClosingCallBegun,
    Decremented,
    FreezeNoted,
    GroupAmended,
    GroupClosed,
    GroupGrown,
    GroupHeld,
    GroupOpened,
    GroupRefused,
    InstrumentDefined,
    InstrumentSplit,
    LegCancelled,
    LegReduced,
    Marked,
    OpeningCallBegun,
    Parked,
    PhaseChanged,
    Queued,
    Refused,
    Removed,
    Rested,
    RestedFields,
    SessionClosed,
    SessionOpened,
    StopActivated,
    StopElected,
    Traded,
    TradedFields,
    TrailRaised,
    Uncrossed,
)
from nexustrade.matching.splits import split_group, split_order
from nexustrade.matching.triggers import Stops

_EXPIRIES_SPARE: Final = 64
"""Entries of closed orders the expiry heap may hold beyond twice the open ones."""

_encode_state: Final = msgspec.json.Encoder(order="sorted").encode
_decode_state: Final = msgspec.json.Decoder().decode

# One look-up of the message's class tells the way; the frequent ones come first.
_APPLY: Final[dict[Any, int]] = {
    Traded: 1,
    Rested: 2,
    Removed: 3,
    Amended: 4,
    GroupOpened: 5,
    LegReduced: 6,
    LegCancelled: 7,
    GroupClosed: 8,
    Parked: 9,
    StopElected: 10,
    StopActivated: 11,
    Decremented: 12,
    Queued: 13,
    Marked: 14,
    Refused: 15,
    GroupHeld: 16,
    GroupGrown: 17,
    TrailRaised: 18,
}


class ListedBook(Book):
    """The book of a listed symbol with its stops and what readers want to know besides.

    `own_phase` is a phase of its own (halt, volatility auction), "" while it follows the session.
    `elected` are stops that a trade elected and that have not come to their end yet, in the order
    in which they run. `band_px` is the price that the static band is around.

    The last four fields are of the command that is being decided and no part of the state: its
    number, how many elected stops it has run here, and the last price before it and its first.
    """

    def __init__(self, symbol: str) -> None:
        super().__init__()
        self.symbol = symbol
        self.book_seq: int = 0
        self.as_of_us: int = 0
        self.last_px: int = 0
        self.last_qty: int = 0
        self.last_trade_us: int = 0
        self.last_trade_id: int = 0
        self.marked_px: int = 0
        self.tick_size: int = 100
        self.collar_ppm: int = 50_000
        self.reference_px: int = 0
        self.static_band_ppm: int = 0
        self.dynamic_band_ppm: int = 0
        self.call_s: int = 0
        self.band_px: int = 0
        self.own_phase: str = ""
        self.until_us: int = 0
        self.stops = Stops()
        self.elected: dict[str, Order] = {}
        self.command: int = 0
        self.runs: int = 0
        self.before_px: int = 0
        self.first_px: int = 0

    def touch(self, ts_us: int) -> None:
        """Count a change of the book."""
        self.book_seq += 1
        self.as_of_us = ts_us

    def price(self) -> int:
        """The last price, else the previous close; 0 when there is none."""
        return self.last_px if self.last_px else self.reference_px


class MatchingState(Stage):
    """What the matching stage knows. `apply`, `dump` and `load` are here, decisions above."""

    def __init__(self, shard: str) -> None:
        super().__init__(shard)
        self.epoch: int = 0
        self.instruments: dict[str, InstrumentDefined] = {}
        self.books: dict[str, ListedBook] = {}
        self.queue = Level(0, 0)
        self.queued: dict[str, Order] = {}
        self.groups: dict[str, Group] = {}
        self.legs: dict[str, Group] = {}
        self.frozen: dict[str, bool] = {}
        self.phase: str = CLOSED
        self.session_date: str = ""
        self.trade_id: int = 0
        # Symbols whose last price is not the marked one, and orders that expire: found without
        # looking at every book. The heap may hold entries of orders that are gone or amended.
        self.unmarked: dict[str, bool] = {}
        self.expiring: dict[str, Order] = {}
        self.expiries: list[tuple[int, str]] = []

    @property
    def is_open(self) -> bool:
        """Whether continuous trading is on."""
        return self.phase == CONTINUOUS

    def phase_of(self, book: ListedBook) -> str:
        """The phase of a book: its own while a session is on, else the session's."""
        return book.own_phase if book.own_phase and self.phase != CLOSED else self.phase

    # ---- apply

    def apply(self, event: Message, ts_us: int) -> None:
        """Change the state as an event says."""
        kind = _APPLY.get(type(event), 0)
        if kind == 1:
            self._apply_traded(event, ts_us)
        elif kind == 2:
            self._apply_rested(event, ts_us)
        elif kind == 3:
            self._apply_removed(event, ts_us)
        elif kind == 4:
            self._apply_amended(event, ts_us)
        elif kind == 5:
            self._apply_group_opened(event, ts_us)
        elif kind == 6:
            self._apply_leg_reduced(event, ts_us)
        elif kind == 7:
            self._apply_leg_cancelled(event, ts_us)
        elif kind == 8:
            self._apply_group_closed(event)
        elif kind == 9:
            self._apply_parked(event)
        elif kind == 10:
            self._apply_elected(event)
        elif kind == 11:
            self._apply_activated(event)
        elif kind == 12:
            self._apply_decremented(event, ts_us)
        elif kind == 13:
            self._apply_queued(event)
        elif kind == 14:
            self._apply_marked(event)
        elif kind == 15:
            pass  # nothing has changed
        elif kind == 16:
            self._apply_group_held(event)
        elif kind == 17:
            self._apply_group_grown(event, ts_us)
        elif kind == 18:
            self._apply_trailed(event)
        else:
            self._apply_rare(event, ts_us)

    def _apply_rare(self, event: Any, ts_us: int) -> None:
        if isinstance(event, GroupAmended):
            self.groups[event.group_id].order_qty = event.order_qty
        elif isinstance(event, InstrumentDefined):
            self._apply_instrument(event)
        elif isinstance(event, OpeningCallBegun):
            self._apply_session(event.session_date, OPENING_CALL)
        elif isinstance(event, SessionOpened):
            self._apply_session(event.session_date, CONTINUOUS)
        elif isinstance(event, ClosingCallBegun):
            self._apply_session(event.session_date, CLOSING_CALL)
        elif isinstance(event, SessionClosed):
            self._apply_session(event.session_date, CLOSED)
        elif isinstance(event, PhaseChanged):
            self._apply_phase(event)
        elif isinstance(event, Uncrossed):
            if event.qty:
                self.books[event.symbol].band_px = event.px
        elif isinstance(event, FreezeNoted):
            if event.frozen:
                self.frozen[event.account_id] = True
            else:
                self.frozen.pop(event.account_id, None)
        elif isinstance(event, InstrumentSplit):
            self._apply_split(event, ts_us)
        elif not isinstance(event, GroupRefused):
            raise InvariantError(f"{self.shard} does not know {type(event).__name__}")

    def _apply_traded(self, event: Message, ts_us: int) -> None:
        (
            trade_id,
            symbol,
            _taker_side,
            px,
            qty,
            maker_order_id,
            _maker_account_id,
            maker_leaves_qty,
            taker_order_id,
            _taker_account_id,
            taker_done,
            auction,
            maker_group_id,
            taker_group_id,
        ) = cast(TradedFields, fields_of(event))
        book = self.books[symbol]
        maker = book.orders[maker_order_id]
        if maker.leaves_qty != qty + maker_leaves_qty:
            raise InvariantError(f"{self.shard}: the maker keeps what it had less the fill")
        self.trade(book, maker, trade_id, px, qty, ts_us)
        if auction:
            taker = book.orders[taker_order_id]
            book.fill(taker, qty)
            if taker.leaves_qty == 0 and taker.expire_us:
                del self.expiring[taker.order_id]
        elif book.elected or self.queued:
            self.trade_waiting(book, taker_order_id, qty, taker_done)
        if maker_group_id:
            self.count_fill(maker_group_id, maker_order_id, qty, maker_leaves_qty == 0)
        if taker_group_id:
            self.count_fill(taker_group_id, taker_order_id, qty, taker_done)

    def trade(
        self, book: ListedBook, maker: Order, trade_id: int, px: int, qty: int, ts_us: int
    ) -> None:
        """Carry out a trade for its maker and its book."""
        book.fill(maker, qty)
        if maker.leaves_qty == 0 and maker.expire_us:
            del self.expiring[maker.order_id]
        if px != book.last_px:
            book.last_px = px
            self._compare_mark(book)
        book.last_qty = qty
        book.last_trade_us = ts_us
        book.last_trade_id = trade_id
        self.trade_id = trade_id
        book.touch(ts_us)

    def trade_waiting(self, book: ListedBook, taker_order_id: str, qty: int, done: bool) -> None:
        """The taker may be an elected stop or come out of the queue: it stays to its last event."""
        taker = book.elected.get(taker_order_id)
        if taker is not None:
            taker.cum_qty += qty
            taker.leaves_qty -= qty
            if done:
                self._forget_elected(book, taker)
            return
        taker = self.queued.get(taker_order_id)
        if taker is not None:
            taker.cum_qty += qty
            if taker.leaves_qty != UNBOUNDED:
                taker.leaves_qty -= qty
                self.queue.qty -= qty
            if done:
                self._unqueue(taker)

    def count_fill(self, group_id: str, order_id: str, qty: int, done: bool) -> None:
        """A trade of an order of a group counts in the group."""
        group = self.groups[group_id]
        if order_id == group.tp_order_id:
            group.tp_cum_qty += qty
        elif order_id == group.sl_order_id:
            group.sl_cum_qty += qty
        else:
            group.entry_cum_qty += qty
            if done:
                group.entry_alive = False

    def _apply_rested(self, event: Message, ts_us: int) -> None:
        (
            order_id,
            account_id,
            symbol,
            side,
            time_in_force,
            limit_px,
            leaves_qty,
            expire_us,
            stp,
            cum_qty,
            post_only,
            group_id,
            ord_type,
            reduces,
        ) = cast(RestedFields, fields_of(event))
        order = Order(
            order_id,
            account_id,
            side == BUY,
            limit_px,
            leaves_qty,
            time_in_force,
            stp,
            symbol,
            ord_type,
            cum_qty,
            expire_us,
            post_only,
        )
        order.group_id = group_id
        order.reduces = reduces
        self.rest(order, ts_us)

    def rest(self, order: Order, ts_us: int) -> None:
        """Put an order into its book; it waits nowhere else any more."""
        book = self.books[order.symbol]
        self._leave_waiting(book, order.order_id)
        book.rest(order)
        book.touch(ts_us)
        if order.expire_us:
            self._expect(order)

    def _apply_parked(self, event: Any) -> None:
        book = self.books[event.symbol]
        self._leave_waiting(book, event.order_id)
        order = Order(
            event.order_id,
            event.account_id,
            event.side == BUY,
            event.limit_px,
            event.leaves_qty,
            event.time_in_force,
            event.stp,
            event.symbol,
            event.ord_type,
            event.cum_qty,
            event.expire_us,
        )
        order.stop_px = event.stop_px
        order.trail_px = event.trail_px
        order.trail_ppm = event.trail_ppm
        order.hwm_px = event.hwm_px
        order.group_id = event.group_id
        order.reduces = event.reduces
        self._park(book, order)

    def _apply_trailed(self, event: Any) -> None:
        stops = self.books[event.symbol].stops
        stops.trail(stops.orders[event.order_id], event.hwm_px, event.stop_px)

    def _park(self, book: ListedBook, order: Order) -> None:
        book.stops.park(order)
        if order.expire_us:
            self._expect(order)

    def _leave_waiting(self, book: ListedBook, order_id: str) -> None:
        """An order that waited has come to its end: it is queued or elected no longer."""
        if book.elected:
            elected = book.elected.get(order_id)
            if elected is not None:
                self._forget_elected(book, elected)
        if self.queued:
            waiting = self.queued.get(order_id)
            if waiting is not None:
                self._unqueue(waiting)

    def _apply_elected(self, event: Any) -> None:
        book = self.books[event.symbol]
        order = book.stops.orders[event.order_id]
        book.stops.remove(order)
        order.print_px = event.print_px
        order.arrival = self.seq
        book.elected[order.order_id] = order
        if order.group_id:
            group = self.groups[order.group_id]
            if group.sl_order_id == order.order_id:
                group.state = ELECTED

    def _apply_activated(self, event: Any) -> None:
        order = self.books[event.symbol].elected[event.order_id]
        order.limit_px = event.limit_px

    def _apply_removed(self, event: Any, ts_us: int) -> None:
        self.drop(event.symbol, event.order_id, event.group_id, ts_us)

    def drop(self, symbol: str, order_id: str, group_id: str, ts_us: int) -> None:
        """An order is gone; as the entry of a group it lives no longer."""
        if group_id:
            self.groups[group_id].entry_alive = False
        book = self.books.get(symbol)
        if book is not None:
            self._take_out(book, order_id, ts_us)

    def _take_out(self, book: ListedBook, order_id: str, ts_us: int) -> None:
        """An order is gone, wherever it was; one that was matching was nowhere."""
        order = book.orders.get(order_id)
        if order is not None:
            book.remove(order)
            book.touch(ts_us)
            if order.expire_us:
                del self.expiring[order.order_id]
            return
        order = book.stops.orders.get(order_id)
        if order is not None:
            book.stops.remove(order)
            if order.expire_us:
                del self.expiring[order.order_id]
            return
        self._leave_waiting(book, order_id)

    def _apply_decremented(self, event: Any, ts_us: int) -> None:
        book = self.books[event.symbol]
        qty: int = event.by_qty
        order = book.orders.get(event.order_id)
        if order is not None:
            book.shrink(order, qty)
            book.touch(ts_us)
            if order.leaves_qty == 0 and order.expire_us:
                del self.expiring[order.order_id]
            if order.order_id in self.legs:
                self.legs[order.order_id].open_qty -= qty
            return
        order = book.elected.get(event.order_id)
        if order is not None:
            order.leaves_qty -= qty
            return
        order = self.queued.get(event.order_id)
        if order is not None:
            order.leaves_qty -= qty
            self.queue.qty -= qty

    def _apply_amended(self, event: Any, ts_us: int) -> None:
        book = self.books[event.symbol]
        if event.group_id:
            self._amend_group(event)
        order = book.orders.get(event.orig_order_id)
        if order is not None:
            book.touch(ts_us)
            self._amend_resting(book, order, event)
            return
        order = book.stops.orders.get(event.orig_order_id)
        if order is not None:
            self._amend_parked(book, order, event)
            return
        order = book.elected.get(event.orig_order_id)
        if order is not None:
            self._forget_elected(book, order)
            order.order_id = event.order_id
            order.limit_px = event.limit_px
            book.elected[order.order_id] = order
            if order.expire_us:
                self._expect(order)
            return
        order = self.queued.get(event.orig_order_id)
        if order is not None:
            self._amend_queued(order, event)

    def _amend_group(self, event: Any) -> None:
        """The order is of a group, which knows it by its new id and, for a leg, its new terms."""
        group = self.groups[event.group_id]
        if event.orig_order_id == group.tp_order_id:
            del self.legs[group.tp_order_id]
            group.tp_order_id = event.order_id
            group.tp_limit_px = event.limit_px
            self.legs[group.tp_order_id] = group
        elif event.orig_order_id == group.sl_order_id:
            del self.legs[group.sl_order_id]
            group.sl_order_id = event.order_id
            group.sl_limit_px = event.limit_px
            if event.stop_px:
                group.sl_stop_px = event.stop_px
            self.legs[group.sl_order_id] = group
        else:
            group.entry_order_id = event.order_id

    def _amend_resting(self, book: ListedBook, order: Order, event: Any) -> None:
        if order.expire_us:
            del self.expiring[order.order_id]
        leaves_qty: int = event.leaves_qty
        if event.requeued or leaves_qty == 0:
            book.remove(order)
            return
        if leaves_qty < order.leaves_qty:
            book.shrink(order, order.leaves_qty - leaves_qty)
        book.rename(order, event.order_id)
        self._amend_time(order, event)

    def _amend_parked(self, book: ListedBook, order: Order, event: Any) -> None:
        if order.expire_us:
            del self.expiring[order.order_id]
        leaves_qty: int = event.leaves_qty
        if event.requeued or leaves_qty == 0:
            book.stops.remove(order)
            return
        book.stops.resize(order, leaves_qty)
        book.stops.rename(order, event.order_id)
        order.limit_px = event.limit_px
        self._amend_time(order, event)

    def _amend_queued(self, order: Order, event: Any) -> None:
        if order.expire_us:
            del self.expiring[order.order_id]
        leaves_qty: int = event.leaves_qty
        del self.queued[order.order_id]
        if event.requeued or (leaves_qty == 0 and order.leaves_qty != UNBOUNDED):
            self.queue.unlink(order)
            return
        if order.leaves_qty != UNBOUNDED:
            self.queue.qty -= order.leaves_qty - leaves_qty
            order.leaves_qty = leaves_qty
        order.order_id = event.order_id
        self.queued[order.order_id] = order
        self._amend_time(order, event)

    def _amend_time(self, order: Order, event: Any) -> None:
        order.time_in_force = event.time_in_force
        order.expire_us = event.expire_us
        if order.expire_us:
            self._expect(order)

    def _apply_queued(self, event: Any) -> None:
        is_market = event.ord_type == MARKET
        cap: int = event.order_qty
        budget: int = event.notional
        cum_qty: int = event.cum_qty
        order = Order(
            event.order_id,
            event.account_id,
            event.side == BUY,
            event.collar_px if is_market else event.limit_px,
            cap - cum_qty if cap or not budget else UNBOUNDED,
            event.time_in_force,
            event.stp,
            event.symbol,
            event.ord_type,
            cum_qty,
            event.expire_us,
            event.post_only,
            budget,
            event.step,
        )
        order.stop_px = event.stop_px
        order.trail_px = event.trail_px
        order.trail_ppm = event.trail_ppm
        order.group_id = event.group_id
        order.reduces = event.reduces
        waiting = self.queued.get(order.order_id)
        if waiting is not None:
            self._unqueue(waiting)
        self._enqueue(order)

    def _apply_marked(self, event: Any) -> None:
        book = self.books[event.symbol]
        book.marked_px = event.last_px
        self._compare_mark(book)

    def _apply_instrument(self, event: InstrumentDefined) -> None:
        symbol = event.symbol
        self.instruments[symbol] = event
        book = self.books.get(symbol)
        if book is None:
            book = ListedBook(symbol)
            book.band_px = event.reference_px
            self.books[symbol] = book
        book.tick_size = event.tick_size
        book.collar_ppm = event.collar_ppm
        book.reference_px = event.reference_px
        book.static_band_ppm = event.static_band_ppm
        book.dynamic_band_ppm = event.dynamic_band_ppm
        book.call_s = event.call_s

    def _apply_session(self, session_date: str, phase: str) -> None:
        self.phase = phase
        self.session_date = session_date
        for book in self.books.values():
            if book.own_phase == VOLATILITY_AUCTION and phase != CONTINUOUS:
                book.own_phase = ""
                book.until_us = 0
            if phase == CLOSED and book.last_px:
                book.band_px = book.last_px

    def _apply_phase(self, event: PhaseChanged) -> None:
        book = self.books[event.symbol]
        book.own_phase = "" if event.phase == self.phase else event.phase
        book.until_us = event.until_us

    def _apply_split(self, event: InstrumentSplit, ts_us: int) -> None:
        """Scale all of a symbol; orders keep their priority, also where prices fall together."""
        book = self.books[event.symbol]
        new, old, tick = event.shares_new, event.shares_old, book.tick_size
        resting = book.bids.orders() + book.asks.orders()
        parked = book.stops.sells.orders() + book.stops.buys.orders()
        for order in resting:
            book.remove(order)
        for order in parked:
            book.stops.remove(order)
        for order in self.queued.values():
            if order.symbol == book.symbol:
                before = order.leaves_qty
                split_order(order, new, old, tick)
                self.queue.qty += order.leaves_qty - before
        for order in book.elected.values():
            split_order(order, new, old, tick)
        for order in resting:
            split_order(order, new, old, tick)
            book.rest(order)
        for order in parked:
            split_order(order, new, old, tick)
            book.stops.park(order)
        for group in self.groups.values():
            if group.symbol == book.symbol:
                split_group(group, new, old, tick)
        book.last_px = split_px(book.last_px, new, old, tick, False)
        book.band_px = split_px(book.band_px, new, old, tick, False)
        book.reference_px = split_px(book.reference_px, new, old, tick, False)
        book.marked_px = split_px(book.marked_px, new, old, tick, False)
        book.last_qty = split_qty(book.last_qty, new, old)
        self._compare_mark(book)
        book.touch(ts_us)

    # ---- groups

    def _apply_group_held(self, event: Any) -> None:
        group = self._new_group(event)
        group.order_qty = event.order_qty
        group.waits_for_all = event.activation == FULL
        if event.order_class != OCO:
            group.entry_order_id = event.group_id
            group.entry_alive = True

    def _new_group(self, event: Any) -> Group:
        """A group with the terms that `GroupHeld` and the `GroupOpened` of an OCO share."""
        group = Group(
            event.group_id,
            event.account_id,
            event.symbol,
            event.order_class,
            event.side == BUY,
            event.time_in_force,
            0,
        )
        group.tp_order_id = event.tp_order_id
        group.tp_limit_px = event.tp_limit_px
        group.sl_order_id = event.sl_order_id
        group.sl_stop_px = event.sl_stop_px
        group.sl_limit_px = event.sl_limit_px
        group.cancels = event.policy == CANCEL
        group.expire_us = event.expire_us
        group.stp = event.stp
        group.reduces = event.reduces
        group.tp_alive = bool(group.tp_order_id)
        group.sl_alive = bool(group.sl_order_id)
        self.groups[group.group_id] = group
        if group.tp_alive:
            self.legs[group.tp_order_id] = group
        if group.sl_alive:
            self.legs[group.sl_order_id] = group
        return group

    def _apply_group_opened(self, event: Any, ts_us: int) -> None:
        group = self.groups.get(event.group_id)
        book = self.books[event.symbol]
        if group is None:
            group = self._new_group(event)
            group.order_qty = event.open_qty
        elif group.tp_order_id:
            self._leave_waiting(book, group.tp_order_id)
        group.state = ACTIVE
        group.open_qty = event.open_qty
        if group.entry_order_id:
            group.entry_open_qty = event.open_qty
        if group.sl_alive:
            self._park(book, self.stop_loss(group))
        if event.tp_rests:
            self._rest_take_profit(book, group, ts_us)

    def _apply_group_grown(self, event: Any, ts_us: int) -> None:
        group = self.groups[event.group_id]
        book = self.books[group.symbol]
        group.open_qty += event.by_qty
        if group.entry_order_id:
            group.entry_open_qty += event.by_qty
        if group.sl_alive:
            stop = book.stops.orders.get(group.sl_order_id)
            if stop is None:
                self._park(book, self.stop_loss(group))
            else:
                book.stops.resize(stop, group.remaining())
        resting = book.orders.get(group.tp_order_id)
        if resting is not None:
            self._take_out(book, resting.order_id, ts_us)
        if event.tp_rests:
            self._rest_take_profit(book, group, ts_us)

    def take_profit(self, group: Group) -> Order:
        """The take-profit of a group as an order for what the exit may still trade."""
        return self._leg(group, group.tp_order_id, group.tp_limit_px, group.tp_cum_qty, LIMIT)

    def stop_loss(self, group: Group) -> Order:
        """The stop-loss of a group as an order for what the exit may still trade."""
        ord_type = STOP_LIMIT if group.sl_limit_px else STOP
        order = self._leg(group, group.sl_order_id, group.sl_limit_px, group.sl_cum_qty, ord_type)
        order.stop_px = group.sl_stop_px
        return order

    def _leg(
        self, group: Group, order_id: str, limit_px: int, cum_qty: int, ord_type: str
    ) -> Order:
        order = Order(
            order_id,
            group.account_id,
            group.is_buy,
            limit_px,
            group.remaining(),
            group.time_in_force,
            group.stp,
            group.symbol,
            ord_type,
            cum_qty,
            group.expire_us,
        )
        order.group_id = group.group_id
        order.reduces = group.reduces
        return order

    def _rest_take_profit(self, book: ListedBook, group: Group, ts_us: int) -> None:
        order = self.take_profit(group)
        book.rest(order)
        book.touch(ts_us)
        if order.expire_us:
            self._expect(order)

    def _apply_leg_reduced(self, event: Any, ts_us: int) -> None:
        group = self.groups[event.group_id]
        if event.reason == ENTRY_CANCELLED:
            group.order_qty = group.entry_cum_qty
            return
        leaves_qty: int = event.leaves_qty
        if group.state == WAITING:
            group.order_qty = leaves_qty
        else:
            group.open_qty = group.tp_cum_qty + group.sl_cum_qty + leaves_qty
        book = self.books[event.symbol]
        order = book.stops.orders.get(event.order_id)
        if order is not None:
            if leaves_qty:
                book.stops.resize(order, leaves_qty)
            else:
                self._take_out(book, order.order_id, ts_us)
            return
        order = book.orders.get(event.order_id)
        if order is not None:
            if leaves_qty:
                book.shrink(order, order.leaves_qty - leaves_qty)
                book.touch(ts_us)
            else:
                self._take_out(book, order.order_id, ts_us)
            return
        order = self.queued.get(event.order_id)
        if order is not None:
            self.queue.qty -= order.leaves_qty - leaves_qty
            order.leaves_qty = leaves_qty

    def _apply_leg_cancelled(self, event: Any, ts_us: int) -> None:
        group = self.groups[event.group_id]
        if event.order_id == group.tp_order_id:
            group.tp_alive = False
        else:
            group.sl_alive = False
        self._take_out(self.books[event.symbol], event.order_id, ts_us)

    def _apply_group_closed(self, event: Any) -> None:
        group = self.groups.pop(event.group_id)
        if group.tp_order_id:
            del self.legs[group.tp_order_id]
        if group.sl_order_id:
            del self.legs[group.sl_order_id]

    # ---- the parts of the state that find orders

    def _forget_elected(self, book: ListedBook, order: Order) -> None:
        del book.elected[order.order_id]
        if order.expire_us:
            del self.expiring[order.order_id]

    def _enqueue(self, order: Order) -> None:
        self.queued[order.order_id] = order
        self.queue.append(order)
        if order.expire_us:
            self._expect(order)

    def _unqueue(self, order: Order) -> None:
        del self.queued[order.order_id]
        self.queue.unlink(order)
        if order.expire_us:
            del self.expiring[order.order_id]

    def _expect(self, order: Order) -> None:
        """Note when an order expires."""
        self.expiring[order.order_id] = order
        heappush(self.expiries, (order.expire_us, order.order_id))
        if len(self.expiries) > 2 * len(self.expiring) + _EXPIRIES_SPARE:
            self.expiries = [(open_.expire_us, name) for name, open_ in self.expiring.items()]
            heapify(self.expiries)

    def _compare_mark(self, book: ListedBook) -> None:
        """Note whether a symbol's last price has yet to be told."""
        if book.last_px != book.marked_px:
            self.unmarked[book.symbol] = True
        elif book.symbol in self.unmarked:
            del self.unmarked[book.symbol]

    # ---- reading

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        """The book of a symbol, at most `depth_max` levels a side; None when it is not listed."""
        book = self.books.get(symbol)
        if book is None:
            return None
        phase = self.phase_of(book)
        matches = phase in (CONTINUOUS, CLOSED)
        indicative = uncross(book, book.price(), book.tick_size) if not matches else None
        return BookSnapshot(
            symbol,
            self.epoch,
            book.book_seq,
            book.as_of_us,
            book.bids.top(depth_max),
            book.asks.top(depth_max),
            book.last_px,
            book.last_qty,
            book.last_trade_us,
            self.phase == CONTINUOUS,
            phase,
            indicative.px if indicative is not None else 0,
            indicative.qty if indicative is not None else 0,
            indicative.surplus_qty if indicative is not None else 0,
            indicative.surplus_side if indicative is not None else "",
        )

    def dump(self) -> bytes:
        """The whole state as canonical JSON, books in priority order."""
        return bytes(
            _encode_state(
                {
                    "instruments": [
                        codec.encode(self.instruments[symbol]).decode()
                        for symbol in sorted(self.instruments)
                    ],
                    "books": [_book_row(self.books[symbol]) for symbol in sorted(self.books)],
                    "groups": [self.groups[name].row() for name in sorted(self.groups)],
                    "frozen": sorted(self.frozen),
                    "queue": [_order_row(order) for order in self.queue.orders()],
                    "phase": self.phase,
                    "session_date": self.session_date,
                    "trade_id": self.trade_id,
                }
            )
        )

    def load(self, state: bytes, seq: int, ts_us: int) -> None:
        """Take on a state that `dump` gave at `seq`; what was there before is gone."""
        fields: Any = _decode_state(state)
        self.seq = seq
        self.ts_us = ts_us
        self.emitted = []
        self.queue = Level(0, 0)
        self.queued = {}
        self.unmarked = {}
        self.expiring = {}
        self.expiries = []
        self.instruments = {}
        self.books = {}
        self.groups = {}
        self.legs = {}
        for text in fields["instruments"]:
            defined: Any = codec.decode("InstrumentDefined", text)
            self._apply_instrument(defined)
        for row in fields.get("groups", []):
            group = group_from(row)
            self.groups[group.group_id] = group
            for leg in (group.tp_order_id, group.sl_order_id):
                if leg:
                    self.legs[leg] = group
        for row in fields["books"]:
            self._load_book(row)
        for row in fields["queue"]:
            self._enqueue(_row_order(row))
        self.frozen = dict.fromkeys(fields.get("frozen", []), True)
        # A snapshot of a version without phases says whether the session was open.
        self.phase = fields.get("phase") or (CONTINUOUS if fields["open"] else CLOSED)
        self.session_date = fields["session_date"]
        self.trade_id = fields["trade_id"]

    def _load_book(self, row: Any) -> None:
        book = self.books[row["symbol"]]
        book.book_seq = row["book_seq"]
        book.as_of_us = row["as_of_us"]
        book.last_px = row["last_px"]
        book.last_qty = row["last_qty"]
        book.last_trade_us = row["last_trade_us"]
        book.last_trade_id = row.get("last_trade_id", 0)
        book.marked_px = row["marked_px"]
        book.band_px = row.get("band_px", book.last_px)
        book.own_phase = row.get("own_phase", "")
        book.until_us = row.get("until_us", 0)
        self._compare_mark(book)
        for one in row["bids"] + row["asks"]:
            order = _row_order(one)
            book.rest(order)
            if order.expire_us:
                self._expect(order)
        for one in row.get("stops", []):
            self._park(book, _row_order(one))
        for one in row.get("elected", []):
            order = _row_order(one)
            order.arrival = one[_STOP_FIELDS]
            book.elected[order.order_id] = order
            if order.expire_us:
                self._expect(order)

    # ---- checks

    def verify(self) -> None:
        """Check every invariant of the stage; `InvariantError` when one is broken."""
        expiring = 0
        check(sorted(self.books) == sorted(self.instruments), "every listed symbol has a book")
        for symbol in sorted(self.books):
            book = self.books[symbol]
            # A book that was halted at the close may stay crossed until the opening auction.
            matches = self.phase_of(book) == CONTINUOUS
            book.verify(matches)
            book.stops.verify()
            check(
                (book.last_px != book.marked_px) == (symbol in self.unmarked),
                "a symbol is unmarked while its last price is not the marked one",
            )
            for order in book.bids.orders() + book.asks.orders():
                check(order.symbol == symbol, "an order stands in the book of its symbol")
                check(order.may_rest() or not matches, "only orders that may rest do")
                check(order.order_id not in self.queued, "an order rests or waits, never both")
                check(
                    self.phase != CLOSED or order.time_in_force != DAY,
                    "no DAY order rests outside the session",
                )
                expiring += self._verify_expiry(order)
            for order in [*book.stops.orders.values(), *book.elected.values()]:
                check(order.order_id not in book.orders, "a stop is in the book or out of it")
                expiring += self._verify_expiry(order)
        waiting = self.queue.orders()
        check(len(waiting) == self.queue.count == len(self.queued), "the queue counts its orders")
        for order in waiting:
            check(self.queued.get(order.order_id) is order, "a queued order is known by its id")
            expiring += self._verify_expiry(order)
        check(expiring == len(self.expiring), "only open orders are expected to expire")
        legs = 0
        for group in self.groups.values():
            self._verify_group(group)
            legs += bool(group.tp_order_id) + bool(group.sl_order_id)
        check(legs == len(self.legs), "every leg is known by its id")

    def _verify_expiry(self, order: Order) -> int:
        if order.expire_us == 0:
            return 0
        check(self.expiring.get(order.order_id) is order, "an order that expires is expected to")
        check((order.expire_us, order.order_id) in self.expiries, "an expiry is in the heap")
        return 1

    def _verify_group(self, group: Group) -> None:
        """I1 to I3 and I5 of a group between two commands."""
        book = self.books[group.symbol]
        left = group.remaining()
        check(left >= 0, "I1: both legs together fill no more than the group's quantity")
        tp = book.orders.get(group.tp_order_id)
        parked = book.stops.orders.get(group.sl_order_id)
        running = book.elected.get(group.sl_order_id) or book.orders.get(group.sl_order_id)
        if group.entry_order_id and not (group.waits_for_all and group.entry_alive):
            check(
                group.entry_open_qty >= group.entry_cum_qty,
                "the exit is alive for all that its entry filled",
            )
        if group.state == WAITING:
            check(tp is None and parked is None and running is None, "legs that wait are nowhere")
            check(group.entry_alive or group.tp_order_id in self.queued, "a group waits for it")
            return
        check(left > 0 or group.entry_alive, "a group with nothing left is closed")
        check(group.tp_alive or group.sl_alive, "a group with no leg alive is closed")
        if group.state == ELECTED:
            check(
                not group.tp_alive and tp is None, "I3: the take-profit of an elected stop is out"
            )
            check(running is not None and parked is None, "an elected stop waits, runs or rests")
            check(running is None or running.leaves_qty == left, "I2: the stop-loss is for R")
            return
        check(running is None, "a stop-loss runs only when it was elected")
        check((tp is not None) == (group.tp_alive and left > 0), "a live take-profit stands")
        check((parked is not None) == (group.sl_alive and left > 0), "a live stop-loss is parked")
        check(tp is None or tp.leaves_qty == left, "I2: the take-profit is for R")
        check(parked is None or parked.leaves_qty == left, "I2: the stop-loss is for R")
        if group.tp_order_id and group.sl_order_id and not group.cancels:
            check(group.tp_alive and group.sl_alive, "I5: no leg is alive without its sibling")


def _order_row(order: Order) -> list[Any]:
    """An order as it stands in a dump: the arguments of `Order`, then the terms of stops."""
    return [
        order.order_id,
        order.account_id,
        order.is_buy,
        order.limit_px,
        order.leaves_qty,
        order.time_in_force,
        order.stp,
        order.symbol,
        order.ord_type,
        order.cum_qty,
        order.expire_us,
        order.post_only,
        order.budget,
        order.step,
        order.stop_px,
        order.trail_px,
        order.trail_ppm,
        order.hwm_px,
        order.print_px,
        order.group_id,
        order.reduces,
    ]


_PLAIN_FIELDS: Final = 14
"""Fields of a row that are arguments of `Order`; rows of older versions have no more."""
_STOP_FIELDS: Final = 21
"""Fields of a row; that of an elected stop ends with the number of the event that elected it."""


def _row_order(row: Any) -> Order:
    order = Order(*row[:_PLAIN_FIELDS])
    if len(row) > _PLAIN_FIELDS:
        order.stop_px = row[14]
        order.trail_px = row[15]
        order.trail_ppm = row[16]
        order.hwm_px = row[17]
        order.print_px = row[18]
        order.group_id = row[19]
        order.reduces = row[20]
    return order


def _book_row(book: ListedBook) -> dict[str, Any]:
    return {
        "symbol": book.symbol,
        "book_seq": book.book_seq,
        "as_of_us": book.as_of_us,
        "last_px": book.last_px,
        "last_qty": book.last_qty,
        "last_trade_us": book.last_trade_us,
        "last_trade_id": book.last_trade_id,
        "marked_px": book.marked_px,
        "band_px": book.band_px,
        "own_phase": book.own_phase,
        "until_us": book.until_us,
        "bids": [_order_row(order) for order in book.bids.orders()],
        "asks": [_order_row(order) for order in book.asks.orders()],
        "stops": [_order_row(o) for o in book.stops.sells.orders() + book.stops.buys.orders()],
        "elected": [[*_order_row(order), order.arrival] for order in book.elected.values()],
    }
