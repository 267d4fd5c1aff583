"""The matching stage: the books of its symbols, the queue of the closed session, and the session.

Owns every order that is working. `decide` looks at the state and emits events; `apply` is the only
place where books, queue and session change, so that replay rebuilds the same state. While an order
matches it is in no book: its trades reduce the makers, and at the end it rests, is removed or was
filled. A queued order stays in the queue until that end.

One command is one batch of events. After an aggressor's whole match loop is the place where stops
will be elected, and where the session opens the place of the opening auction.
"""

from heapq import heapify, heappop, heappush
from typing import Any, Final

import msgspec

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.terms import BUY, DAY, FOK, GTD, IOC, LIMIT, MARKET, SELL
from nexustrade.kernel.stage import Stage
from nexustrade.matching.book import (
    DONE,
    RESTS,
    SELF_TRADED,
    UNBOUNDED,
    WOULD_TAKE,
    Book,
    Level,
    Order,
    Tape,
)
from nexustrade.matching.messages import (
    BY_REQUEST,
    END_OF_DAY,
    EXPIRE_TIME,
    MARKET_CLOSED,
    POST_ONLY,
    REDUCED_TO_FILLED,
    SELF_TRADE,
    UNFILLED_REMAINDER,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    Amended,
    BookSnapshot,
    CloseSession,
    Decremented,
    DefineInstrument,
    InstrumentDefined,
    Marked,
    OpenSession,
    Queued,
    Refused,
    Removed,
    Rested,
    SessionClosed,
    SessionOpened,
    Tick,
    Traded,
)
from nexustrade.orders.messages import (
    CancelRequested,
    OrderAccepted,
    ReplaceRequested,
    RestrictInstrument,
)

_EXPIRIES_SPARE: Final = 64
"""Entries of closed orders the expiry heap may hold beyond twice the open ones."""

_encode_state: Final = msgspec.json.Encoder(order="sorted").encode
_decode_state: Final = msgspec.json.Decoder().decode


# One look-up of the message's class tells the way; the frequent ones come first.
_DECIDE: Final[dict[Any, int]] = {
    OrderAccepted: 1,
    CancelRequested: 2,
    ReplaceRequested: 3,
    Tick: 4,
    DefineInstrument: 5,
    OpenSession: 6,
    CloseSession: 7,
    RestrictInstrument: 8,
}
_APPLY: Final[dict[Any, int]] = {
    Traded: 1,
    Rested: 2,
    Removed: 3,
    Amended: 4,
    Decremented: 5,
    Queued: 6,
    Marked: 7,
    InstrumentDefined: 8,
    SessionOpened: 9,
    SessionClosed: 10,
    Refused: 11,
}


class ListedBook(Book):
    """The book of a listed symbol with what readers want to know besides its orders."""

    def __init__(self, symbol: str) -> None:
        super().__init__()
        self.symbol = symbol
        self.book_seq: int = 0
        self.as_of_us: int = 0
        self.last_px: int = 0
        self.last_qty: int = 0
        self.last_trade_us: int = 0
        self.marked_px: int = 0

    def touch(self, ts_us: int) -> None:
        """Count a change of the book."""
        self.book_seq += 1
        self.as_of_us = ts_us


class MatchingStage(Stage):
    """Price-time priority matching of many symbols, as events of one stream."""

    def __init__(self, shard: str) -> None:
        super().__init__(shard)
        self.epoch: int = 0
        self.instruments: dict[str, InstrumentDefined] = {}
        self.books: dict[str, ListedBook] = {}
        self.queue = Level(0, 0)
        self.queued: dict[str, Order] = {}
        self.is_open: bool = False
        self.session_date: str = ""
        self.trade_id: int = 0
        # Symbols whose last price is not the marked one, and orders that expire: found without
        # looking at every book. The heap may hold entries of orders that are gone or amended.
        self.unmarked: dict[str, bool] = {}
        self.expiring: dict[str, Order] = {}
        self.expiries: list[tuple[int, str]] = []
        self._tape: Tape = EventTape(self)

    # ---- decide

    def decide(self, message: Message) -> None:
        """Emit the events that follow from a routed command or a tick of the session clock."""
        kind = _DECIDE.get(type(message), 0)
        if kind == 1:
            self._decide_order(message)
        elif kind == 2:
            self._decide_cancel(message)
        elif kind == 3:
            self._decide_replace(message)
        elif kind == 4:
            self._decide_tick()
        elif kind == 5:
            self._decide_instrument(message)
        elif kind == 6:
            self._decide_open(message)
        elif kind == 7:
            self._decide_close(message)
        elif kind == 0:
            raise InvariantError(f"{self.shard} does not take {type(message).__name__}")

    def _decide_order(self, message: Any) -> None:
        ord_type: str = message.ord_type
        cap: int = message.order_qty
        budget: int = message.notional
        order = Order(
            message.order_id,
            message.account_id,
            message.side == BUY,
            message.collar_px if ord_type == MARKET else message.limit_px,
            cap if cap or not budget else UNBOUNDED,
            message.time_in_force,
            message.stp,
            message.symbol,
            ord_type,
            0,
            message.expire_us,
            message.post_only,
            budget,
            message.step,
        )
        self._arrive(order)

    def _arrive(self, order: Order) -> None:
        """An order enters: new, replaced, or out of the queue."""
        book = self.books.get(order.symbol)
        if book is None:
            self.emit_removed(order, UNKNOWN_SYMBOL)
        elif order.expire_us and order.expire_us <= self._now_us:
            self.emit_removed(order, EXPIRE_TIME)
        elif self.is_open:
            self._trade(book, order)
        elif order.time_in_force in (IOC, FOK):
            self.emit_removed(order, MARKET_CLOSED)
        else:
            self._emit_queued(order)

    def _trade(self, book: ListedBook, order: Order) -> None:
        outcome = book.enter(order, self._tape)
        if outcome == RESTS:
            self.emit(
                Rested(
                    order.order_id,
                    order.account_id,
                    order.symbol,
                    BUY if order.is_buy else SELL,
                    order.time_in_force,
                    order.limit_px,
                    order.leaves_qty,
                    order.expire_us,
                    order.stp,
                    order.cum_qty,
                    order.post_only,
                )
            )
        elif outcome != DONE:
            if outcome == WOULD_TAKE:
                self.emit_removed(order, POST_ONLY)
            elif outcome == SELF_TRADED:
                self.emit_removed(order, SELF_TRADE)
            else:
                self.emit_removed(order, UNFILLED_REMAINDER)

    def _decide_cancel(self, message: Any) -> None:
        order = self._find(message.symbol, message.order_id, message.account_id)
        if order is None:
            self.emit(Refused(message.order_id, message.account_id, message.symbol, UNKNOWN_ORDER))
        else:
            self.emit_removed(order, BY_REQUEST)

    def _decide_replace(self, message: Any) -> None:
        order = self._find(message.symbol, message.orig_order_id, message.account_id)
        if order is None:
            self.emit(
                Refused(
                    message.order_id,
                    message.account_id,
                    message.symbol,
                    UNKNOWN_ORDER,
                    message.orig_order_id,
                )
            )
            return
        heir = _heir(order, message)
        in_place = (
            heir.limit_px == order.limit_px
            and heir.leaves_qty <= order.leaves_qty
            and heir.time_in_force not in (IOC, FOK)
        )
        requeued = heir.leaves_qty > 0 and not in_place
        self._emit_amended(order, heir, requeued)
        if heir.leaves_qty == 0:
            self.emit_removed(heir, REDUCED_TO_FILLED)
        elif requeued:
            self._arrive(heir)

    def _decide_tick(self) -> None:
        now_us = self._now_us
        while self.expiries and self.expiries[0][0] <= now_us:
            expire_us, order_id = heappop(self.expiries)
            order = self.expiring.get(order_id)
            if order is not None and order.expire_us == expire_us:
                self.emit_removed(order, EXPIRE_TIME)
        self._mark()

    def _mark(self) -> None:
        for symbol in sorted(self.unmarked):
            self.emit(Marked(symbol, self.books[symbol].last_px))

    def _decide_instrument(self, message: Any) -> None:
        defined = InstrumentDefined(*msgspec.structs.astuple(message))
        if self.instruments.get(defined.symbol) != defined:
            self.emit(defined)

    def _decide_open(self, message: Any) -> None:
        if message.session_date <= self.session_date:
            return
        if self.is_open:
            self._close(self.session_date)
        self.emit(SessionOpened(message.session_date))
        for order in self.queue.orders():
            self._arrive(_copy(order))

    def _decide_close(self, message: Any) -> None:
        if self.is_open and message.session_date >= self.session_date:
            self._close(message.session_date)

    def _close(self, session_date: str) -> None:
        for symbol in sorted(self.books):
            book = self.books[symbol]
            for order in book.bids.orders() + book.asks.orders():
                if order.time_in_force == DAY:
                    self.emit_removed(order, END_OF_DAY)
        self._mark()
        self.emit(SessionClosed(session_date))

    def _find(self, symbol: str, order_id: str, account_id: str) -> Order | None:
        """An open order of an account: resting or queued."""
        book = self.books.get(symbol)
        if book is None:
            return None
        order = book.orders.get(order_id)
        if order is None:
            order = self.queued.get(order_id)
        if order is not None and order.account_id != account_id:
            return None
        return order

    # ---- events with many fields

    def emit_removed(self, order: Order, reason: str) -> None:
        """Emit `Removed`; what a notional order has left is money, so its quantity left is 0."""
        leaves_qty = 0 if order.budget else order.leaves_qty
        self.emit(Removed(order.order_id, order.account_id, order.symbol, leaves_qty, reason))

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
            )
        )

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
            self._apply_decremented(event, ts_us)
        elif kind == 6:
            self._apply_queued(event)
        elif kind == 7:
            self._apply_marked(event)
        elif kind == 8:
            self._apply_instrument(event)
        elif kind == 9:
            self._apply_session(event, True)
        elif kind == 10:
            self._apply_session(event, False)
        elif kind == 0:
            raise InvariantError(f"{self.shard} does not know {type(event).__name__}")

    def _apply_traded(self, event: Any, ts_us: int) -> None:
        book = self.books[event.symbol]
        maker = book.orders[event.maker_order_id]
        qty: int = event.last_qty
        if maker.leaves_qty != qty + int(event.maker_leaves_qty):
            raise InvariantError(f"{self.shard}: the maker keeps what it had less the fill")
        book.fill(maker, qty)
        if maker.leaves_qty == 0 and maker.expire_us:
            del self.expiring[maker.order_id]
        px: int = event.last_px
        if px != book.last_px:
            book.last_px = px
            self._compare_mark(book)
        book.last_qty = qty
        book.last_trade_us = ts_us
        self.trade_id = event.trade_id
        book.touch(ts_us)
        if self.queued:
            self._apply_traded_queued(event, qty)

    def _apply_traded_queued(self, event: Any, qty: int) -> None:
        """The taker may come out of the queue; there it stays until its last event."""
        taker = self.queued.get(event.taker_order_id)
        if taker is not None:
            taker.cum_qty += qty
            if taker.leaves_qty != UNBOUNDED:
                taker.leaves_qty -= qty
                self.queue.qty -= qty
            if event.taker_done:
                self._unqueue(taker)

    def _apply_rested(self, event: Any, ts_us: int) -> None:
        if self.queued:
            waiting = self.queued.get(event.order_id)
            if waiting is not None:
                self._unqueue(waiting)
        order = Order(
            event.order_id,
            event.account_id,
            event.side == BUY,
            event.limit_px,
            event.leaves_qty,
            event.time_in_force,
            event.stp,
            event.symbol,
            LIMIT,
            event.cum_qty,
            event.expire_us,
            event.post_only,
        )
        book = self.books[order.symbol]
        book.rest(order)
        book.touch(ts_us)
        if order.expire_us:
            self._expect(order)

    def _apply_removed(self, event: Any, ts_us: int) -> None:
        book = self.books.get(event.symbol)
        if book is None:
            return
        order = book.orders.get(event.order_id)
        if order is not None:
            book.remove(order)
            book.touch(ts_us)
            if order.expire_us:
                del self.expiring[order.order_id]
        elif self.queued:
            order = self.queued.get(event.order_id)
            if order is not None:
                self._unqueue(order)

    def _apply_decremented(self, event: Any, ts_us: int) -> None:
        book = self.books[event.symbol]
        qty: int = event.by_qty
        order = book.orders.get(event.order_id)
        if order is not None:
            book.shrink(order, qty)
            book.touch(ts_us)
            if order.leaves_qty == 0 and order.expire_us:
                del self.expiring[order.order_id]
            return
        order = self.queued.get(event.order_id)
        if order is not None:
            order.leaves_qty -= qty
            self.queue.qty -= qty

    def _apply_amended(self, event: Any, ts_us: int) -> None:
        book = self.books[event.symbol]
        order = book.orders.get(event.orig_order_id)
        rests = order is not None
        if order is None:
            order = self.queued[event.orig_order_id]
        if order.expire_us:
            del self.expiring[order.order_id]
        leaves_qty: int = event.leaves_qty
        gone: bool = event.requeued or (leaves_qty == 0 and order.leaves_qty != UNBOUNDED)
        if rests:
            book.touch(ts_us)
            if gone:
                book.remove(order)
                return
            if leaves_qty < order.leaves_qty:
                book.shrink(order, order.leaves_qty - leaves_qty)
            book.rename(order, event.order_id)
        else:
            del self.queued[order.order_id]
            if gone:
                self.queue.unlink(order)
                return
            if order.leaves_qty != UNBOUNDED:
                self.queue.qty -= order.leaves_qty - leaves_qty
                order.leaves_qty = leaves_qty
            order.order_id = event.order_id
            self.queued[order.order_id] = order
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
        self._enqueue(order)

    def _apply_marked(self, event: Any) -> None:
        book = self.books[event.symbol]
        book.marked_px = event.last_px
        self._compare_mark(book)

    def _apply_instrument(self, event: Any) -> None:
        symbol: str = event.symbol
        self.instruments[symbol] = event
        if symbol not in self.books:
            self.books[symbol] = ListedBook(symbol)

    def _apply_session(self, event: Any, is_open: bool) -> None:
        self.is_open = is_open
        self.session_date = event.session_date

    # ---- the parts of the state that find orders

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
            self.is_open,
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
                    "queue": [_order_row(order) for order in self.queue.orders()],
                    "open": self.is_open,
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
        for text in fields["instruments"]:
            defined: Any = codec.decode("InstrumentDefined", text)
            self.instruments[defined.symbol] = defined
        self.books = {}
        for row in fields["books"]:
            self._load_book(row)
        for row in fields["queue"]:
            self._enqueue(_row_order(row))
        self.is_open = fields["open"]
        self.session_date = fields["session_date"]
        self.trade_id = fields["trade_id"]

    def _load_book(self, row: Any) -> None:
        book = ListedBook(row["symbol"])
        book.book_seq = row["book_seq"]
        book.as_of_us = row["as_of_us"]
        book.last_px = row["last_px"]
        book.last_qty = row["last_qty"]
        book.last_trade_us = row["last_trade_us"]
        book.marked_px = row["marked_px"]
        self._compare_mark(book)
        for resting in row["bids"] + row["asks"]:
            order = _row_order(resting)
            book.rest(order)
            if order.expire_us:
                self._expect(order)
        self.books[book.symbol] = book

    def verify(self) -> None:
        """Check every invariant of the stage; `InvariantError` when one is broken."""
        expiring = 0
        check(sorted(self.books) == sorted(self.instruments), "every listed symbol has a book")
        for symbol in sorted(self.books):
            book = self.books[symbol]
            book.verify()
            check(
                (book.last_px != book.marked_px) == (symbol in self.unmarked),
                "a symbol is unmarked while its last price is not the marked one",
            )
            for order in book.bids.orders() + book.asks.orders():
                check(order.symbol == symbol, "an order stands in the book of its symbol")
                check(order.may_rest(), "only orders that may rest do")
                check(order.order_id not in self.queued, "an order rests or waits, never both")
                check(
                    self.is_open or order.time_in_force != DAY,
                    "no DAY order rests outside the session",
                )
                expiring += self._verify_expiry(order)
        waiting = self.queue.orders()
        check(len(waiting) == self.queue.count == len(self.queued), "the queue counts its orders")
        for order in waiting:
            check(self.queued.get(order.order_id) is order, "a queued order is known by its id")
            expiring += self._verify_expiry(order)
        check(expiring == len(self.expiring), "only open orders are expected to expire")

    def _verify_expiry(self, order: Order) -> int:
        if order.expire_us == 0:
            return 0
        check(self.expiring.get(order.order_id) is order, "an order that expires is expected to")
        check((order.expire_us, order.order_id) in self.expiries, "an expiry is in the heap")
        return 1


class EventTape(Tape):
    """Tells a match as events of a stage; applying them carries it out."""

    def __init__(self, stage: MatchingStage) -> None:
        self.stage = stage

    def trade(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """Emit `Traded`."""
        stage = self.stage
        stage.emit(
            Traded(
                stage.trade_id + 1,
                taker.symbol,
                BUY if taker.is_buy else SELL,
                maker.limit_px,
                qty,
                maker.order_id,
                maker.account_id,
                maker.leaves_qty - qty,
                taker.order_id,
                taker.account_id,
                taker.leaves_qty == 0,
            )
        )

    def prevent(self, book: Book, maker: Order) -> None:
        """Emit the maker's `Removed`."""
        self.stage.emit_removed(maker, SELF_TRADE)

    def decrement(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """Emit `Decremented` of both, and `Removed` of a maker with nothing left."""
        stage = self.stage
        for order in (maker, taker):
            stage.emit(Decremented(order.order_id, order.account_id, order.symbol, qty))
        if maker.leaves_qty == 0:
            stage.emit_removed(maker, SELF_TRADE)


def _heir(order: Order, message: Any) -> Order:
    """What a replace makes of an order; nothing is open when it asks for no more than is filled.

    The order's own count of fills decides: the one the replace was checked against may be older.
    """
    heir = _copy(order)
    heir.order_id = message.order_id
    limit_px: int = message.limit_px
    if limit_px and order.ord_type != MARKET:
        heir.limit_px = limit_px
    total: int = message.order_qty
    if total and order.leaves_qty != UNBOUNDED:
        heir.leaves_qty = total - order.cum_qty if total > order.cum_qty else 0
    time_in_force: str = message.time_in_force
    if time_in_force:
        heir.time_in_force = time_in_force
    expire_us: int = message.expire_us
    if heir.time_in_force != GTD:
        heir.expire_us = 0
    elif expire_us:
        heir.expire_us = expire_us
    return heir


def _copy(order: Order) -> Order:
    return Order(
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
    )


def _order_row(order: Order) -> list[Any]:
    """An order as it stands in a dump: the arguments of `Order`."""
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
    ]


def _row_order(row: Any) -> Order:
    return Order(*row)


def _book_row(book: ListedBook) -> dict[str, Any]:
    return {
        "symbol": book.symbol,
        "book_seq": book.book_seq,
        "as_of_us": book.as_of_us,
        "last_px": book.last_px,
        "last_qty": book.last_qty,
        "last_trade_us": book.last_trade_us,
        "marked_px": book.marked_px,
        "bids": [_order_row(order) for order in book.bids.orders()],
        "asks": [_order_row(order) for order in book.asks.orders()],
    }
