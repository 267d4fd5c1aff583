"""The matching stage: what it decides on each command.

Orders enter by the phase of their book: they match (continuous), rest (a call, a halt), or wait in
the queue (the session is closed). A call ends with an auction, in which everything trades at one
price; its print elects stops like any other. One command is one batch of events.

The state and how events change it is in `state`, what follows from trades in `exits`.
"""

from heapq import heappop
from typing import Any, Final, cast

import msgspec

from nexustrade.core.codec import Message, fields_of
from nexustrade.core.errors import InvariantError
from nexustrade.core.terms import (
    BUY,
    CLOSED,
    CLOSING_CALL,
    CLS,
    CONTINUOUS,
    DAY,
    FOK,
    GTD,
    HALT,
    IOC,
    MARKET,
    OCO,
    OPENING_CALL,
    OPG,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_OLDEST,
    VOLATILITY_AUCTION,
)
from nexustrade.core.ticks import SPLIT_MAX, trailed_stop
from nexustrade.matching.auction import uncross
from nexustrade.matching.book import UNBOUNDED, Level, Order
from nexustrade.matching.exits import Exits, copy_of
from nexustrade.matching.groups import ACTIVE, ELECTED, WAITING, Group
from nexustrade.matching.messages import (
    AMENDED,
    BY_REQUEST,
    CALL_ENDED,
    END_OF_DAY,
    ENTRY_ALIVE,
    EXPIRE_TIME,
    HALTED,
    MARKET_CLOSED,
    MISSED_AUCTION,
    NO_MATCHING,
    NOT_HALTED,
    OCO_PRICES_DO_NOT_STRADDLE,
    OPERATOR,
    POSITION_SHRUNK,
    REDUCED_TO_FILLED,
    SELF_TRADE,
    SHARES_SOLD,
    SPLIT,
    STOP_WOULD_TRIGGER,
    TOO_LATE,
    UNFILLED_REMAINDER,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    Amended,
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    ClosingCallBegun,
    Decremented,
    DefineInstrument,
    FreezeNoted,
    GroupAmended,
    GroupGrown,
    GroupHeld,
    GroupOpened,
    GroupRefused,
    InstrumentDefined,
    InstrumentSplit,
    Marked,
    OpeningCallBegun,
    OpenSession,
    Parked,
    PhaseChanged,
    Queued,
    Refused,
    SessionClosed,
    SessionOpened,
    SplitInstrument,
    Tick,
    Traded,
    Uncrossed,
)
from nexustrade.matching.splits import group_divides, order_divides
from nexustrade.matching.state import ListedBook
from nexustrade.matching.triggers import reached
from nexustrade.orders.messages import (
    AccountFrozen,
    CancelRequested,
    GroupAccepted,
    GroupAmendRequested,
    OrderAccepted,
    OrderAcceptedFields,
    ReplaceRequested,
    RestrictInstrument,
)

_US_PER_S: Final = 1_000_000

# One look-up of the message's class tells the way; the frequent ones come first.
_DECIDE: Final[dict[Any, int]] = {
    OrderAccepted: 1,
    CancelRequested: 2,
    GroupAccepted: 3,
    ReplaceRequested: 4,
    Tick: 5,
}


class MatchingStage(Exits):
    """Price-time priority matching of many symbols, as events of one stream."""

    def decide(self, message: Message) -> None:
        """Emit the events that follow from a routed command or a tick of the session clock."""
        self.begin_command()
        kind = _DECIDE.get(type(message), 0)
        if kind == 1:
            self._decide_order(message)
        elif kind == 2:
            self._decide_cancel(message)
        elif kind == 3:
            self._decide_group(message)
        elif kind == 4:
            self._decide_replace(message)
        elif kind == 5:
            self._decide_tick()
        else:
            self._decide_rare(message)

    def _decide_rare(self, message: Message) -> None:
        if isinstance(message, GroupAmendRequested):
            self._decide_amend(message)
        elif isinstance(message, DefineInstrument):
            self._decide_instrument(message)
        elif isinstance(message, BeginOpeningCall):
            self._decide_opening_call(message)
        elif isinstance(message, OpenSession):
            self._decide_open(message)
        elif isinstance(message, BeginClosingCall):
            self._decide_closing_call(message)
        elif isinstance(message, CloseSession):
            if self.phase != CLOSED and message.session_date >= self.session_date:
                self._close(message.session_date)
        elif isinstance(message, RestrictInstrument):
            self._decide_restrict(message)
        elif isinstance(message, AccountFrozen):
            self._decide_freeze(message)
        elif isinstance(message, SplitInstrument):
            self._decide_split(message)
        else:
            raise InvariantError(f"{self.shard} does not take {type(message).__name__}")

    # ---- new orders

    def _decide_order(self, message: Message) -> None:
        (
            account_id,
            order_id,
            _cl_ord_id,
            symbol,
            side,
            ord_type,
            time_in_force,
            order_qty,
            budget,
            limit_px,
            collar_px,
            expire_us,
            post_only,
            _extended_hours,
            _position_intent,
            stp,
            step,
            _reserved,
            reserved_qty,
            cover_qty,
            stop_px,
            trail_px,
            trail_ppm,
            shrinks,
            _hwm_px,
        ) = cast(OrderAcceptedFields, fields_of(message))
        order = Order(
            order_id,
            account_id,
            side == BUY,
            collar_px if ord_type == MARKET else limit_px,
            order_qty if order_qty or not budget else UNBOUNDED,
            time_in_force,
            stp,
            symbol,
            ord_type,
            0,
            expire_us,
            post_only,
            budget,
            step,
        )
        order.stop_px = stop_px
        order.trail_px = trail_px
        order.trail_ppm = trail_ppm
        order.reduces = reserved_qty > 0 or cover_qty > 0
        if shrinks and not self._shrink(shrinks):
            self.emit_removed(order, SHARES_SOLD)
            return
        self._arrive(order)

    def _shrink(self, shrinks: dict[str, int]) -> bool:
        """Groups give up shares for another sale, all of them or none."""
        for group_id, qty in shrinks.items():
            group = self.groups.get(group_id)
            if group is None or group.state == ELECTED or qty > _open_qty(group):
                return False
        for group_id, qty in shrinks.items():
            group = self.groups[group_id]
            left = _open_qty(group) - qty
            if left == 0 and not group.entry_alive:
                self.end_group(group, "", POSITION_SHRUNK, self._cause)
            else:
                self.reduce_group(group, qty, left, POSITION_SHRUNK, self._cause)
        return True

    def _arrive(self, order: Order) -> None:
        """An order enters: new, replaced, or out of the queue."""
        book = self.books.get(order.symbol)
        if book is None:
            self.end(order, UNKNOWN_SYMBOL)
            return
        self.begin(book)
        phase = self.phase_of(book)
        if order.expire_us and order.expire_us <= self._now_us:
            self.end(order, EXPIRE_TIME)
        elif phase == CONTINUOUS:
            self._arrive_continuous(book, order)
        elif phase != CLOSED:
            self._join_call(book, order, phase)
        elif order.time_in_force in (IOC, FOK):
            self.end(order, MARKET_CLOSED)
        elif order.hwm_px:
            # A trailing stop that was changed keeps its mark: it goes on waiting where it was.
            self._park_new(book, order)
        else:
            self._emit_queued(order)
        self.finish(book)

    def _arrive_continuous(self, book: ListedBook, order: Order) -> None:
        if order.stop_px or order.trail_px or order.trail_ppm:
            self._park_new(book, order)
        elif order.time_in_force == OPG:
            self.end(order, MISSED_AUCTION)
        elif order.time_in_force == CLS:
            self._emit_queued(order)
        else:
            self.aggress(book, order)

    def _park_new(self, book: ListedBook, order: Order) -> None:
        """A stop waits, unless the last trade has reached its price already."""
        price = book.price()
        hwm_px = 0
        if order.trail_px or order.trail_ppm:
            hwm_px = order.hwm_px if order.hwm_px else price
            order.stop_px = trailed_stop(
                order.is_buy, hwm_px, order.trail_px, order.trail_ppm, book.tick_size
            )
        if price and reached(order, price):
            self.end(order, STOP_WOULD_TRIGGER)
            return
        self.emit(
            Parked(
                order.order_id,
                order.account_id,
                order.symbol,
                BUY if order.is_buy else SELL,
                order.ord_type,
                order.time_in_force,
                order.leaves_qty,
                order.stop_px,
                order.limit_px,
                order.trail_px,
                order.trail_ppm,
                hwm_px,
                order.expire_us,
                order.stp,
                order.cum_qty,
                order.group_id,
                order.reduces,
            )
        )

    def _join_call(self, book: ListedBook, order: Order, phase: str) -> None:
        """An order joins those that a book collects for its auction."""
        time_in_force = order.time_in_force
        if time_in_force in (IOC, FOK):
            self.end(order, NO_MATCHING)
        elif time_in_force == OPG and phase != OPENING_CALL:
            self.end(order, MISSED_AUCTION)
        elif order.budget or (time_in_force == CLS and phase != CLOSING_CALL):
            if order.order_id not in self.queued:
                self._emit_queued(order)
        elif order.stop_px or order.trail_px or order.trail_ppm:
            self._park_new(book, order)
        else:
            self.emit_rested(order)

    # ---- new groups

    def _decide_group(self, message: Any) -> None:
        book = self.books.get(message.symbol)
        reason = self._bad_group(book, message)
        if reason:
            self.emit(GroupRefused(message.group_id, message.account_id, message.symbol, reason))
        elif message.order_class != OCO:
            self._hold(message, _other(message.side), True)
            self._arrive(self._entry(message))
        elif book is not None:
            self._decide_oco(book, message)

    def _bad_group(self, book: ListedBook | None, message: Any) -> str:
        """Why a group may not enter: its symbol, its time, or prices that do not straddle."""
        if book is None:
            return UNKNOWN_SYMBOL
        if message.expire_us and message.expire_us <= self._now_us:
            return EXPIRE_TIME
        if message.order_class != OCO:
            return ""
        is_buy = message.side == BUY
        if not _straddles(is_buy, message.tp_limit_px, message.sl_stop_px, book.price()):
            return OCO_PRICES_DO_NOT_STRADDLE
        if self.phase_of(book) == CONTINUOUS and book.crosses(
            Order("", message.account_id, is_buy, message.tp_limit_px, 1)
        ):
            return OCO_PRICES_DO_NOT_STRADDLE
        return ""

    def _decide_oco(self, book: ListedBook, message: Any) -> None:
        reduces = message.reserved_qty > 0 or message.cover_qty > 0
        if self.phase_of(book) == CLOSED:
            self._hold(message, message.side, reduces)
            group = self.groups[message.group_id]
            order = self.take_profit(group)
            order.leaves_qty = group.order_qty
            self._emit_queued(order)
            return
        self.emit(
            GroupOpened(
                message.group_id,
                message.account_id,
                message.symbol,
                message.order_qty,
                True,
                "",
                message.order_class,
                message.side,
                message.time_in_force,
                message.tp_order_id,
                message.tp_limit_px,
                message.sl_order_id,
                message.sl_stop_px,
                message.sl_limit_px,
                message.policy,
                message.expire_us,
                _leg_stp(message.stp),
                reduces,
            )
        )

    def _hold(self, message: Any, side: str, reduces: bool) -> None:
        self.emit(
            GroupHeld(
                message.group_id,
                message.account_id,
                message.symbol,
                message.order_class,
                side,
                message.time_in_force,
                message.order_qty,
                message.tp_order_id,
                message.tp_limit_px,
                message.sl_order_id,
                message.sl_stop_px,
                message.sl_limit_px,
                message.policy,
                message.activation,
                message.expire_us,
                _leg_stp(message.stp),
                reduces,
            )
        )

    def _entry(self, message: Any) -> Order:
        ord_type: str = message.ord_type
        order = Order(
            message.group_id,
            message.account_id,
            message.side == BUY,
            message.collar_px if ord_type == MARKET else message.limit_px,
            message.order_qty,
            message.time_in_force,
            message.stp,
            message.symbol,
            ord_type,
            0,
            message.expire_us,
        )
        order.stop_px = message.stop_px
        order.group_id = message.group_id
        return order

    # ---- cancel

    def _decide_cancel(self, message: Any) -> None:
        if message.group_id:
            group = self.groups.get(message.group_id)
            if group is not None and group.account_id == message.account_id:
                self._cancel_group(group, message.order_id)
                return
        order = self._find(message.symbol, message.order_id, message.account_id)
        if order is not None:
            self._cancel_order(order)
            return
        group = self.legs.get(message.order_id)
        if group is not None and group.account_id == message.account_id:
            self._cancel_group(group, message.order_id)
            return
        self.emit(Refused(message.order_id, message.account_id, message.symbol, UNKNOWN_ORDER))

    def _cancel_order(self, order: Order) -> None:
        book = self.books[order.symbol]
        self.begin(book)
        self.end(order, BY_REQUEST)
        self.finish(book)

    def _cancel_group(self, group: Group, order_id: str) -> None:
        self.end_group(group, order_id, BY_REQUEST, self._cause)

    # ---- replace and amend

    def _decide_replace(self, message: Any) -> None:
        book = self.books.get(message.symbol)
        order = self._find(message.symbol, message.orig_order_id, message.account_id)
        group = self.legs.get(message.orig_order_id)
        if group is not None and group.account_id != message.account_id:
            group = None
        if book is None or (order is None and group is None):
            self._refuse_replace(message, UNKNOWN_ORDER)
        elif book.own_phase == HALT:
            self._refuse_replace(message, HALTED)
        elif group is not None:
            self.begin(book)
            self._replace_leg(book, group, order, message)
            self.finish(book)
        elif order is not None:
            self.begin(book)
            self._replace_order(book, order, message)
            self.finish(book)

    def _refuse_replace(self, message: Any, reason: str) -> None:
        self.emit(
            Refused(
                message.order_id,
                message.account_id,
                message.symbol,
                reason,
                message.orig_order_id,
            )
        )

    def _replace_order(self, book: ListedBook, order: Order, message: Any) -> None:
        if order.order_id in book.elected:
            self._refuse_replace(message, TOO_LATE)
            return
        heir = _heir(order, message)
        if order.hwm_px:
            heir.stop_px = trailed_stop(
                heir.is_buy, heir.hwm_px, heir.trail_px, heir.trail_ppm, book.tick_size
            )
        price = book.price()
        if heir.stop_px and order.order_id in book.stops.orders and reached(heir, price):
            self._refuse_replace(message, STOP_WOULD_TRIGGER)
            return
        in_place = (
            heir.limit_px == order.limit_px
            and heir.stop_px == order.stop_px
            and heir.trail_px == order.trail_px
            and heir.trail_ppm == order.trail_ppm
            and heir.leaves_qty <= order.leaves_qty
            and heir.time_in_force not in (IOC, FOK)
        )
        requeued = heir.leaves_qty > 0 and not in_place
        self._emit_amended(order, heir, requeued)
        if heir.leaves_qty == 0:
            self.end(heir, REDUCED_TO_FILLED)
        elif requeued:
            self._arrive(heir)

    def _replace_leg(
        self, book: ListedBook, group: Group, order: Order | None, message: Any
    ) -> None:
        """New prices for a leg; its quantity is the group's."""
        is_tp = message.orig_order_id == group.tp_order_id
        if not (group.tp_alive if is_tp else group.sl_alive):
            self._refuse_replace(message, UNKNOWN_ORDER)
            return
        if group.state == ELECTED:
            self._replace_running(book, order, message)
            return
        tp_px = group.tp_limit_px
        stop_px = group.sl_stop_px
        limit_px = group.sl_limit_px
        if is_tp:
            limit_px = tp_px = message.limit_px or tp_px
        else:
            stop_px = message.stop_px or stop_px
            # A stop that sells at the market has no limit to change.
            limit_px = (message.limit_px or limit_px) if limit_px else 0
        reason = self._bad_prices(book, group, is_tp, tp_px, stop_px)
        if reason:
            self._refuse_replace(message, reason)
            return
        moved = tp_px != group.tp_limit_px or stop_px != group.sl_stop_px
        requeued = order is not None and moved
        leaves_qty = group.order_qty if group.state == WAITING else group.remaining()
        self.emit(
            Amended(
                message.order_id,
                message.orig_order_id,
                group.account_id,
                group.symbol,
                limit_px,
                leaves_qty,
                requeued,
                group.time_in_force,
                group.expire_us,
                0 if is_tp else stop_px,
                0,
                0,
                group.group_id,
            )
        )
        if requeued:
            self._requeue_leg(book, group, is_tp)

    def _requeue_leg(self, book: ListedBook, group: Group, is_tp: bool) -> None:
        if group.state == WAITING:
            # An OCO that waits for the session: its take-profit stands for it in the queue.
            order = self.take_profit(group)
            order.leaves_qty = group.order_qty
            self._emit_queued(order)
        elif is_tp:
            self.place(book, self.take_profit(group))
        else:
            self._park_new(book, self.stop_loss(group))

    def _bad_prices(
        self, book: ListedBook, group: Group, is_tp: bool, tp_px: int, stop_px: int
    ) -> str:
        """Why the legs of a group may not have these prices."""
        price = book.price() if group.state == ACTIVE or group.order_class == OCO else 0
        if not is_tp and price and _at_or_through(group.is_buy, stop_px, price):
            return STOP_WOULD_TRIGGER
        if group.tp_order_id and group.sl_order_id:
            if (tp_px > stop_px) == group.is_buy or tp_px == stop_px:
                return OCO_PRICES_DO_NOT_STRADDLE
            # A new stop price is held against the last trade alone: that may be the take-profit's.
            if is_tp and price and not _straddles(group.is_buy, tp_px, stop_px, price):
                return OCO_PRICES_DO_NOT_STRADDLE
        return ""

    def _replace_running(self, book: ListedBook, order: Order | None, message: Any) -> None:
        """Of an elected stop-loss only the limit price may change."""
        group = self.legs[message.orig_order_id]
        if (
            order is None
            or (order.order_id in book.elected and not order.limit_px)
            or message.stop_px not in (0, group.sl_stop_px)
        ):
            self._refuse_replace(message, TOO_LATE)
            return
        heir = copy_of(order)
        heir.order_id = message.order_id
        heir.limit_px = message.limit_px or order.limit_px
        requeued = order.order_id in book.orders and heir.limit_px != order.limit_px
        self._emit_amended(order, heir, requeued)
        if requeued:
            self.place(book, heir)

    def _decide_amend(self, message: GroupAmendRequested) -> None:
        """The quantity of a group: down keeps the places, up loses the take-profit's."""
        group = self.groups.get(message.group_id)
        reason = ""
        if group is None or group.account_id != message.account_id:
            reason = UNKNOWN_ORDER
        elif self.books[group.symbol].own_phase == HALT:
            reason = HALTED
        elif group.entry_alive:
            reason = ENTRY_ALIVE
        elif group.state == ELECTED:
            reason = TOO_LATE
        if reason or group is None:
            self.emit(
                GroupRefused(message.group_id, message.account_id, message.symbol, reason, True)
            )
            return
        waits = group.state == WAITING
        filled_qty = 0 if waits else group.open_qty - group.remaining()
        by_qty = message.order_qty - (group.order_qty if waits else group.open_qty)
        if message.order_qty <= filled_qty:
            self.end_group(group, "", AMENDED, self._cause)
            return
        self.emit(GroupAmended(group.group_id, group.account_id, group.symbol, message.order_qty))
        if by_qty < 0:
            left = message.order_qty - filled_qty
            self.reduce_group(group, -by_qty, left, AMENDED, self.here())
        elif by_qty > 0 and waits:
            # The take-profit stands for its group in the queue, last from here on.
            self._requeue_leg(self.books[group.symbol], group, True)
        elif by_qty > 0:
            self.emit(
                GroupGrown(
                    group.group_id,
                    group.account_id,
                    group.symbol,
                    by_qty,
                    message.order_qty,
                    group.tp_alive,
                    self.here(),
                )
            )

    # ---- time

    def _decide_tick(self) -> None:
        now_us = self._now_us
        while self.expiries and self.expiries[0][0] <= now_us:
            expire_us, order_id = heappop(self.expiries)
            order = self.expiring.get(order_id)
            if order is not None and order.expire_us == expire_us:
                self._expire(order)
        due = [one.symbol for one in self.books.values() if 0 < one.until_us <= now_us]
        for symbol in sorted(due):
            self._reopen(self.books[symbol])
        self._mark()

    def _expire(self, order: Order) -> None:
        book = self.books[order.symbol]
        self.begin(book)
        self.end(order, EXPIRE_TIME)
        self.finish(book)

    def _mark(self) -> None:
        for symbol in sorted(self.unmarked):
            self.emit(Marked(symbol, self.books[symbol].last_px))

    # ---- sessions

    def _decide_instrument(self, message: DefineInstrument) -> None:
        defined = InstrumentDefined(*msgspec.structs.astuple(message))
        if self.instruments.get(defined.symbol) != defined:
            self.emit(defined)

    def _decide_opening_call(self, message: BeginOpeningCall) -> None:
        if message.session_date <= self.session_date:
            return
        if self.phase != CLOSED:
            self._close(self.session_date)
        self.emit(OpeningCallBegun(message.session_date, message.settle_date))
        self._enter_queue()
        for symbol in sorted({self.groups[name].symbol for name in self.grown}):
            self.finish(self.books[symbol])

    def _decide_open(self, message: OpenSession) -> None:
        called = self.phase == OPENING_CALL and message.session_date == self.session_date
        if message.session_date <= self.session_date and not called:
            return
        if self.phase != CLOSED and not called:
            self._close(self.session_date)
        self.emit(SessionOpened(message.session_date, message.settle_date))
        if not called:
            self._enter_queue()
        for symbol in sorted(self.books):
            book = self.books[symbol]
            if book.own_phase != HALT:
                self._auction(book, OPENING_CALL)
                self.finish(book)
        self._release("")

    def _enter_queue(self) -> None:
        """Orders that waited for the session join the opening call."""
        for waiting in self.queue.orders():
            order = copy_of(waiting)
            book = self.books[order.symbol]
            if order.expire_us and order.expire_us <= self._now_us:
                self.end(order, EXPIRE_TIME)
                continue
            group = self.legs.get(order.order_id)
            if group is not None:
                self._enter_group(book, group)
            else:
                self._join_call(book, order, OPENING_CALL)

    def _enter_group(self, book: ListedBook, group: Group) -> None:
        """An OCO that waited for the session comes alive, if its legs still straddle."""
        if _straddles(group.is_buy, group.tp_limit_px, group.sl_stop_px, book.price()):
            self.emit(
                GroupOpened(group.group_id, group.account_id, group.symbol, group.order_qty, True)
            )
        else:
            self.end_group(group, group.tp_order_id, OCO_PRICES_DO_NOT_STRADDLE, self._cause)

    def _release(self, symbol: str) -> None:
        """Orders for an amount of money take no part in an auction; they trade after it."""
        for waiting in self.queue.orders():
            if waiting.budget and (not symbol or waiting.symbol == symbol):
                book = self.books[waiting.symbol]
                if self.phase_of(book) == CONTINUOUS:
                    self._arrive(copy_of(waiting))

    def _auction(self, book: ListedBook, phase: str) -> None:
        """Uncross a book at one price; what may not stay in it after that ends."""
        self.begin(book)
        found = uncross(book, book.price(), book.tick_size)
        while found.qty and self._keep_apart(book, found.px, found.qty):
            found = uncross(book, book.price(), book.tick_size)
        if found.qty:
            self.emit(
                Uncrossed(
                    book.symbol, phase, found.px, found.qty, found.surplus_qty, found.surplus_side
                )
            )
            self._trade_at(book, found.px, found.qty)
        for order in book.bids.orders() + book.asks.orders():
            if order.ord_type == MARKET:
                self.end(order, UNFILLED_REMAINDER)
            elif order.time_in_force in (OPG, CLS):
                self.end(order, MISSED_AUCTION)

    def _trade_at(self, book: ListedBook, px: int, qty: int) -> None:
        """Trade `qty` at the auction's price, by price-time priority on both sides."""
        bids = book.bids.levels
        asks = book.asks.levels
        while qty > 0 and bids and asks and bids[-1].price >= px and asks[-1].price <= px:
            bid = _head(bids[-1])
            ask = _head(asks[-1])
            fill = min(qty, bid.leaves_qty, ask.leaves_qty)
            qty -= fill
            self._emit_uncrossed(*_by_arrival(bid, ask), px, fill)

    def _keep_apart(self, book: ListedBook, px: int, qty: int) -> bool:
        """Self-trade prevention before an auction trades; False when it has nothing to do.

        What it takes out may move the price, and an auction has one: so it comes first.
        """
        pairs = self._own_pairs(book, px, qty)
        for maker, taker in pairs:
            if maker.level is None or taker.level is None:
                continue
            if maker.order_id in self.legs or taker.order_id in self.legs:
                # A leg protects a position: it stays, the other order goes.
                self.end(maker if maker.order_id not in self.legs else taker, SELF_TRADE)
            elif taker.stp == STP_DECREMENT:
                by_qty = min(maker.leaves_qty, taker.leaves_qty)
                for order in (maker, taker):
                    self.emit(Decremented(order.order_id, order.account_id, order.symbol, by_qty))
                for order in (maker, taker):
                    self.after_decrement(order, by_qty)
            else:
                if taker.stp in (STP_OLDEST, STP_BOTH):
                    self.end(maker, SELF_TRADE)
                if taker.stp != STP_OLDEST:
                    self.end(taker, SELF_TRADE)
        return len(pairs) > 0

    def _own_pairs(self, book: ListedBook, px: int, qty: int) -> list[tuple[Order, Order]]:
        """Orders of one account that an auction would trade with each other, the older first."""
        pairs: list[tuple[Order, Order]] = []
        bids = [order for order in book.bids.orders() if order.limit_px >= px]
        asks = [order for order in book.asks.orders() if order.limit_px <= px]
        bid_at = ask_at = 0
        bid_used = ask_used = 0
        while qty > 0 and bid_at < len(bids) and ask_at < len(asks):
            bid = bids[bid_at]
            ask = asks[ask_at]
            fill = min(qty, bid.leaves_qty - bid_used, ask.leaves_qty - ask_used)
            maker, taker = _by_arrival(bid, ask)
            if maker.account_id == taker.account_id and taker.stp != STP_ALLOW:
                pairs.append((maker, taker))
            qty -= fill
            bid_used += fill
            ask_used += fill
            if bid_used == bid.leaves_qty:
                bid_at += 1
                bid_used = 0
            if ask_used == ask.leaves_qty:
                ask_at += 1
                ask_used = 0
        return pairs

    def _emit_uncrossed(self, maker: Order, taker: Order, px: int, qty: int) -> None:
        self.emit(
            Traded(
                self.trade_id + 1,
                taker.symbol,
                BUY if taker.is_buy else SELL,
                px,
                qty,
                maker.order_id,
                maker.account_id,
                maker.leaves_qty - qty,
                taker.order_id,
                taker.account_id,
                taker.leaves_qty == qty,
                True,
                maker.group_id,
                taker.group_id,
            )
        )
        self.note_print(px)
        if maker.group_id:
            self.group_traded(maker.group_id, maker.order_id, qty)
        if taker.group_id:
            self.group_traded(taker.group_id, taker.order_id, qty)

    def _decide_closing_call(self, message: BeginClosingCall) -> None:
        if self.phase != CONTINUOUS or message.session_date != self.session_date:
            return
        self.emit(ClosingCallBegun(message.session_date))
        for waiting in self.queue.orders():
            if waiting.time_in_force == CLS:
                self._join_call(self.books[waiting.symbol], copy_of(waiting), CLOSING_CALL)

    def _close(self, session_date: str) -> None:
        """The closing auction where there was a call; its print elects nothing. Then the day ends.

        A volatility auction that is on, or an opening call that never opened, ends with it.
        """
        self.electing = False
        for symbol in sorted(self.books):
            book = self.books[symbol]
            if book.own_phase == VOLATILITY_AUCTION or (
                self.phase != CONTINUOUS and book.own_phase != HALT
            ):
                self._closing_auction(book)
        for symbol in sorted(self.books):
            self._end_day(self.books[symbol])
        for order in self.queue.orders():
            if order.time_in_force == CLS:
                self.end(order, MISSED_AUCTION)
            elif order.time_in_force == DAY:
                self.end(order, END_OF_DAY)
        self.electing = True
        self._mark()
        self.emit(SessionClosed(session_date))

    def _closing_auction(self, book: ListedBook) -> None:
        phase = self.phase_of(book)
        self._auction(book, phase)
        self.finish(book)
        # An exit that came alive in it may cross what is left.
        while uncross(book, book.price(), book.tick_size).qty:
            self._auction(book, phase)
            self.finish(book)

    def _end_day(self, book: ListedBook) -> None:
        """DAY orders expire, groups as a whole."""
        orders = book.bids.orders() + book.asks.orders()
        orders += book.stops.sells.orders() + book.stops.buys.orders()
        orders += list(book.elected.values())
        for order in orders:
            if order.time_in_force == DAY:
                group = self.groups.get(order.group_id) if order.group_id else None
                if group is not None:
                    self.end_group(group, order.order_id, END_OF_DAY, self._cause)
                elif not order.group_id:
                    self.end(order, END_OF_DAY)
            elif order.time_in_force in (OPG, CLS):
                self.end(order, MISSED_AUCTION)
            elif order.ord_type == MARKET:
                self.end(order, UNFILLED_REMAINDER)

    # ---- halts and freezes

    def _decide_restrict(self, message: RestrictInstrument) -> None:
        book = self.books.get(message.symbol)
        if book is None:
            return
        if message.state == HALTED:
            if book.own_phase != HALT:
                self.emit(PhaseChanged(book.symbol, HALT, OPERATOR, 0, message.reason))
        elif book.own_phase == HALT:
            if self.phase != CONTINUOUS:
                self.emit(PhaseChanged(book.symbol, self.phase, OPERATOR, 0, message.reason))
            elif book.call_s == 0:
                self._reopen(book)
            else:
                until_us = self._now_us + book.call_s * _US_PER_S
                self.emit(
                    PhaseChanged(
                        book.symbol, VOLATILITY_AUCTION, OPERATOR, until_us, message.reason
                    )
                )

    def _reopen(self, book: ListedBook) -> None:
        """The auction after a halt or a band; stops that were elected before it run first."""
        self._auction(book, VOLATILITY_AUCTION)
        self.emit(PhaseChanged(book.symbol, self.phase, CALL_ENDED))
        self.finish(book)
        self._release(book.symbol)

    def _decide_freeze(self, message: AccountFrozen) -> None:
        if message.frozen == (message.account_id in self.frozen):
            return
        self.emit(FreezeNoted(message.account_id, message.frozen))
        if not message.frozen:
            for symbol in sorted(self.books):
                book = self.books[symbol]
                if book.elected:
                    self.begin(book)
                    self.finish(book)

    def _decide_split(self, message: SplitInstrument) -> None:
        """What does not divide ends; the rest is scaled at once."""
        book = self.books.get(message.symbol)
        new, old = message.shares_new, message.shares_old
        sensible = 0 < new <= SPLIT_MAX and 0 < old <= SPLIT_MAX and new != old
        if book is None or book.own_phase != HALT or not sensible:
            self.emit(Refused("", "", message.symbol, NOT_HALTED))
            return
        self.begin(book)
        for group in list(self.groups.values()):
            if group.symbol == book.symbol and not group_divides(group, new, old):
                self.end_group(group, "", SPLIT, self._cause)
        orders = book.bids.orders() + book.asks.orders() + list(book.elected.values())
        orders += book.stops.sells.orders() + book.stops.buys.orders()
        orders += [order for order in self.queue.orders() if order.symbol == book.symbol]
        for order in orders:
            if self._find(book.symbol, order.order_id, order.account_id) is not order:
                continue  # it has ended with its group
            if not order_divides(order, new, old):
                self.end(order, SPLIT)
        self.finish(book)
        self.emit(InstrumentSplit(book.symbol, new, old, message.text))

    # ---- finding and telling

    def _find(self, symbol: str, order_id: str, account_id: str) -> Order | None:
        """An open order of an account: resting, parked, elected or queued."""
        book = self.books.get(symbol)
        if book is None:
            return None
        order = book.orders.get(order_id)
        if order is None:
            order = self._find_at(book, order_id)
        if order is not None and order.account_id != account_id:
            return None
        return order

    def _emit_queued(self, order: Order) -> None:
        total = 0 if order.leaves_qty == UNBOUNDED else order.cum_qty + order.leaves_qty
        is_market = order.ord_type == MARKET
        self.emit(
            Queued(
                order.order_id,
                order.account_id,
                order.symbol,
                BUY if order.is_buy else SELL,
                order.ord_type,
                order.time_in_force,
                total,
                order.budget,
                0 if is_market else order.limit_px,
                order.expire_us,
                order.post_only,
                order.stp,
                order.step,
                order.limit_px if is_market else 0,
                order.cum_qty,
                order.stop_px,
                order.trail_px,
                order.trail_ppm,
                order.group_id,
                order.reduces,
            )
        )

    def _emit_amended(self, order: Order, heir: Order, requeued: bool) -> None:
        self.emit(
            Amended(
                heir.order_id,
                order.order_id,
                heir.account_id,
                heir.symbol,
                0 if heir.ord_type == MARKET else heir.limit_px,
                0 if heir.leaves_qty == UNBOUNDED else heir.leaves_qty,
                requeued,
                heir.time_in_force,
                heir.expire_us,
                heir.stop_px,
                heir.trail_px,
                heir.trail_ppm,
                heir.group_id,
            )
        )


def _head(level: Level) -> Order:
    order = level.head
    if order is None:
        raise InvariantError("a level holds at least one order")
    return order


def _by_arrival(bid: Order, ask: Order) -> tuple[Order, Order]:
    return (bid, ask) if bid.arrival < ask.arrival else (ask, bid)


def _other(side: str) -> str:
    return SELL if side == BUY else BUY


def _leg_stp(stp: str) -> str:
    """A leg protects a position: where it meets an order of its account, that one goes."""
    return stp if stp == STP_ALLOW else STP_OLDEST


def _open_qty(group: Group) -> int:
    """What a group may give up."""
    return group.order_qty if group.state == WAITING else group.remaining()


def _at_or_through(is_buy: bool, stop_px: int, px: int) -> bool:
    return px >= stop_px if is_buy else px <= stop_px


def _straddles(is_buy: bool, tp_px: int, stop_px: int, px: int) -> bool:
    """Whether the price of the market is between the legs; without a price nothing is."""
    if px == 0:
        return False
    return tp_px < px < stop_px if is_buy else stop_px < px < tp_px


def _heir(order: Order, message: Any) -> Order:
    """What a replace makes of an order; nothing is open when it asks for no more than is filled.

    The order's own count of fills decides: the one the replace was checked against may be older.
    An entry never grows: its group is for what it was.
    """
    heir = copy_of(order)
    heir.order_id = message.order_id
    limit_px: int = message.limit_px
    if limit_px and order.ord_type != MARKET:
        heir.limit_px = limit_px
    stop_px: int = message.stop_px
    if stop_px and order.stop_px:
        heir.stop_px = stop_px
    if message.trail_px or message.trail_ppm:
        heir.trail_px = message.trail_px
        heir.trail_ppm = message.trail_ppm
    total: int = message.order_qty
    if total and order.leaves_qty != UNBOUNDED:
        leaves_qty = total - order.cum_qty if total > order.cum_qty else 0
        if not order.group_id or leaves_qty < order.leaves_qty:
            heir.leaves_qty = leaves_qty
    time_in_force: str = message.time_in_force
    if time_in_force:
        heir.time_in_force = time_in_force
    expire_us: int = message.expire_us
    if heir.time_in_force != GTD:
        heir.expire_us = 0
    elif expire_us:
        heir.expire_us = expire_us
    return heir
