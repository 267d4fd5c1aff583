"""Stops and groups: what follows from a trade, until nothing more does.

Owns the decisions about parked stops, elected stops and the legs of groups. A leg is reduced or
cancelled right after the trade that is the cause, within the match loop. When the loop is over its
prints elect stops; then exits come alive for what their entries filled (those that are alive grow
before they are elected); then elected stops run, one by one, each as a new aggressor whose prints
elect others behind it. So every effect is in the batch of its cause, and no group is ever half
cancelled between two commands.
"""

from typing import Final, cast

from nexustrade.core.errors import InvariantError
from nexustrade.core.money import PPM_ONE
from nexustrade.core.terms import (
    BUY,
    CONTINUOUS,
    LIMIT,
    SELL,
    STOP_LIMIT,
    STP_ALLOW,
    STP_OLDEST,
    VOLATILITY_AUCTION,
)
from nexustrade.core.ticks import tick_down, tick_up, trailed_stop
from nexustrade.matching.book import (
    DONE,
    RESTS,
    SELF_TRADED,
    UNFILLED,
    WOULD_TAKE,
    Book,
    Order,
    Tape,
)
from nexustrade.matching.groups import ACTIVE, WAITING, Group
from nexustrade.matching.messages import (
    CASCADE_COLLAR,
    ELECTIONS_MAX,
    END_OF_DAY,
    ENTRY_CANCELLED,
    EXPIRE_TIME,
    GROUP_CANCELLED,
    GROUP_CLOSED_CANCELLED,
    GROUP_CLOSED_EXPIRED,
    POST_ONLY,
    PRICE_BAND,
    SELF_TRADE,
    SIBLING_ELECTED,
    SIBLING_FILL,
    SIBLING_FILLED,
    SL_FILLED,
    TP_FILLED,
    UNFILLED_REMAINDER,
    Decremented,
    GroupClosed,
    GroupGrown,
    GroupOpened,
    LegCancelled,
    LegReduced,
    PhaseChanged,
    Removed,
    Rested,
    StopActivated,
    StopElected,
    Traded,
    TrailRaised,
)
from nexustrade.matching.state import ListedBook, MatchingState
from nexustrade.matching.triggers import Marks, protection_limit, reached

RUNS_MAX: Final = 1_000
"""Elected stops that run in one command; the rest wait for the volatility auction that follows."""
_US_PER_S: Final = 1_000_000

Print = tuple[int, int, int]
"""A trade as it elects stops: its price, its id and the number of its event."""


class Exits(MatchingState):
    """The matching state with the decisions about stops and groups."""

    def __init__(self, shard: str) -> None:
        super().__init__(shard)
        self._tape: Tape = EventTape(self)
        # Of the command being decided: its number and the last event before it, the prints of the
        # last match loop that concern a stop, groups whose entry was filled (with the cause) and
        # groups whose take-profit is to arrive.
        self.command: int = 0
        self.seq_before: int = 0
        self.book_at: ListedBook | None = None
        self.prints: list[Print] = []
        self.grown: dict[str, str] = {}
        self.arriving: list[str] = []
        self.electing: bool = True

    def begin_command(self) -> None:
        """A new command: nothing has happened yet."""
        self.command += 1
        self.seq_before = self.seq

    def begin(self, book: ListedBook) -> None:
        """A command turns to a book; what it has done there before still counts."""
        self.book_at = book
        if book.command != self.command:
            book.command = self.command
            book.runs = 0
            book.before_px = book.price()
            book.first_px = 0

    def here(self) -> str:
        """What the next event follows from: the last one of the command, at first the command."""
        return self.event_name(self.seq) if self.seq > self.seq_before else self._cause

    def event_name(self, seq: int) -> str:
        """The name of an event of this stream, as others give it as their cause."""
        return f"{self.shard}:{seq}"

    # ---- aggressors

    def place(self, book: ListedBook, order: Order) -> None:
        """An order enters a book: it trades where the book matches, else it rests in the call."""
        if self.phase_of(book) == CONTINUOUS:
            self.aggress(book, order)
        else:
            self.emit_rested(order)

    def aggress(self, book: ListedBook, order: Order) -> None:
        """One match loop, within the price band, and what becomes of the rest of the order."""
        if book.static_band_ppm or book.dynamic_band_ppm:
            self._aggress_in_band(book, order)
        else:
            self._after_match(order, book.enter(order, self._tape))

    def _aggress_in_band(self, book: ListedBook, order: Order) -> None:
        """As `aggress`, but no trade is beyond the band: the order waits there for an auction."""
        own_px = order.limit_px
        bound_px = self._bound(book, order)
        if bound_px:
            order.limit_px = bound_px
        if self._starts_beyond(book, order):
            outcome = RESTS if order.may_rest() else UNFILLED
        else:
            outcome = book.enter(order, self._tape)
        order.limit_px = own_px
        held_back = (
            order.leaves_qty > 0
            and (outcome == RESTS or outcome == UNFILLED)
            and book.crosses(order)
        )
        if bound_px and order.print_px:
            # An elected stop waits at the band, whatever its own limit.
            order.limit_px = bound_px
        self._after_match(order, outcome)
        if held_back:
            self._pause(book, PRICE_BAND)

    def _after_match(self, order: Order, outcome: int) -> None:
        if outcome == RESTS:
            self.emit_rested(order)
        elif outcome != DONE:
            if outcome == WOULD_TAKE:
                self.end(order, POST_ONLY)
            elif outcome == SELF_TRADED:
                self.end(order, SELF_TRADE)
            else:
                self.end(order, UNFILLED_REMAINDER)

    def _bound(self, book: ListedBook, order: Order) -> int:
        """The band's price where it is narrower than the order's own limit; 0 where it is not."""
        bound = _band_px(book, order.is_buy)
        if bound == 0 or order.post_only:
            return 0
        if order.limit_px == bound or (order.limit_px and (order.limit_px < bound) == order.is_buy):
            return 0
        return bound

    def _starts_beyond(self, book: ListedBook, order: Order) -> bool:
        """Whether the best price that an order would trade at is beyond the band's other side."""
        bound = _band_px(book, not order.is_buy)
        if bound == 0 or order.post_only or not book.crosses(order):
            return False
        if order.is_buy:
            return book.asks.levels[-1].price < bound
        return book.bids.levels[-1].price > bound

    def _pause(self, book: ListedBook, reason: str) -> None:
        """The book turns to a volatility auction."""
        if self.phase_of(book) == CONTINUOUS:
            until_us = self._now_us + book.call_s * _US_PER_S
            self.emit(PhaseChanged(book.symbol, VOLATILITY_AUCTION, reason, until_us))

    def note_print(self, px: int) -> None:
        """Remember a trade of the match loop in the book that the command has turned to.

        The trades of one loop never turn round. Those before the first that concerns a stop are
        of no consequence.
        """
        book = self.book_at
        if book is None:
            raise InvariantError("a trade is in the book that the command has turned to")
        if not book.first_px:
            book.first_px = px
        prints = self.prints
        if prints:
            if prints[-1][0] != px:
                prints.append((px, self.trade_id, self.seq))
        elif book.stops.concerns(px):
            prints.append((px, self.trade_id, self.seq))

    # ---- after the match loop

    def finish(self, book: ListedBook) -> None:
        """Carry out all that follows from the trades of the command in a book."""
        while True:
            if self.prints:
                self._elect(book)
            elif self.grown and self._grow(book):
                continue
            elif self.arriving:
                self._arrive_take_profit(book)
            elif not book.elected or not self._run_next(book):
                return

    def _elect(self, book: ListedBook) -> None:
        """Elect what the prints of a match loop reached; trailing stops follow its extremes."""
        prints = self.prints
        self.prints = []
        first = prints[0]
        last = prints[-1]
        low_px, high_px = first[0], last[0]
        if low_px > high_px:
            low_px, high_px = high_px, low_px
        marks = book.stops.sell_marks, book.stops.buy_marks
        falls = last[0] < first[0]
        # Where the prints fall, sell stops follow the first of them and may be reached by a later
        # one; buy stops end up where the last one puts them. Where they rise it is the other way.
        self._trail(book, marks[0] if falls else marks[1], first)
        if self.electing:
            self._grow_living(book)
            order = book.stops.next_reached(low_px, high_px)
            while order is not None:
                px, trade_id, seq = _electing_print(order, prints)
                self._elect_one(book, order, px, trade_id, self.event_name(seq))
                order = book.stops.next_reached(low_px, high_px)
        self._trail(book, marks[1] if falls else marks[0], last)

    def _trail(self, book: ListedBook, marks: Marks, one: Print) -> None:
        """Trailing stops whose high-water mark a print passes follow it."""
        px, _, seq = one
        if not marks.passes(px):
            return
        cause = self.event_name(seq)
        for order in marks.passed(px):
            stop_px = trailed_stop(
                order.is_buy, px, order.trail_px, order.trail_ppm, book.tick_size
            )
            self.emit(
                TrailRaised(order.order_id, order.account_id, order.symbol, px, stop_px, cause)
            )

    def _elect_one(
        self, book: ListedBook, order: Order, px: int, trade_id: int, cause: str
    ) -> None:
        group = self.groups.get(order.group_id) if order.group_id else None
        if group is not None and group.sl_order_id != order.order_id:
            group = None
        if group is not None and group.entry_alive:
            entry = self.find_entry(book, group)
            if entry is not None:
                self.emit_removed(entry, SIBLING_ELECTED)
                self._shorten(group, cause)
        self.emit(
            StopElected(
                order.order_id,
                order.account_id,
                order.symbol,
                order.stop_px,
                px,
                trade_id,
                px != order.stop_px,
                order.group_id,
                cause,
            )
        )
        if group is not None and group.tp_alive:
            self.cancel_leg(group, group.tp_order_id, SIBLING_ELECTED, self.here())

    def _run_next(self, book: ListedBook) -> bool:
        """Let the next elected stop run; False when none may."""
        if self.phase_of(book) != CONTINUOUS:
            return False
        order = self._next_to_run(book)
        if order is None:
            return False
        if book.runs >= RUNS_MAX:
            self._pause(book, ELECTIONS_MAX)
            return False
        if book.first_px and _is_beyond(book.last_px, book.first_px, book.collar_ppm):
            self._pause(book, CASCADE_COLLAR)
            return False
        book.runs += 1
        limit_px = order.limit_px
        if order.ord_type != STOP_LIMIT:
            limit_px = protection_limit(
                order.is_buy, order.print_px, book.collar_ppm, book.tick_size
            )
        self.emit(
            StopActivated(
                order.order_id,
                order.account_id,
                order.symbol,
                limit_px,
                order.leaves_qty,
                order.group_id,
                self.event_name(order.arrival),
            )
        )
        self.aggress(book, running(order, limit_px))
        return True

    def _next_to_run(self, book: ListedBook) -> Order | None:
        """The oldest elected stop that may run: a freeze holds back what adds to a position."""
        for order in book.elected.values():
            if order.reduces or order.account_id not in self.frozen:
                return order
        return None

    # ---- groups

    def group_traded(self, group_id: str, order_id: str, qty: int) -> None:
        """What a trade of a member means for its group, right after the trade."""
        group = self.groups[group_id]
        cause = self.here()
        if order_id == group.tp_order_id:
            self._take_profit_traded(group, qty, cause)
        elif order_id == group.sl_order_id:
            if group.remaining() == 0:
                self.emit(GroupClosed(group_id, group.account_id, group.symbol, SL_FILLED, cause))
        else:
            self.grown[group_id] = cause

    def _take_profit_traded(self, group: Group, qty: int, cause: str) -> None:
        left = group.remaining()
        over = left == 0 and not group.entry_alive and group.group_id not in self.grown
        if group.sl_alive:
            if over or group.cancels:
                self.cancel_leg(group, group.sl_order_id, SIBLING_FILLED, cause)
            else:
                self._reduce_leg(group, group.sl_order_id, qty, left, SIBLING_FILL, cause)
        if over:
            self.emit(GroupClosed(group.group_id, group.account_id, group.symbol, TP_FILLED, cause))

    def cancel_leg(self, group: Group, order_id: str, reason: str, cause: str) -> None:
        """A leg that is alive ends."""
        order = self.find_leg(group, order_id)
        leaves_qty = order.leaves_qty if order is not None else group.remaining()
        if group.state == WAITING:
            leaves_qty = group.order_qty
        self.emit(
            LegCancelled(
                order_id,
                group.account_id,
                group.symbol,
                group.group_id,
                leaves_qty,
                reason,
                cause,
            )
        )

    def _reduce_leg(
        self, group: Group, order_id: str, by_qty: int, leaves_qty: int, reason: str, cause: str
    ) -> None:
        self.emit(
            LegReduced(
                order_id,
                group.account_id,
                group.symbol,
                group.group_id,
                by_qty,
                leaves_qty,
                reason,
                cause,
            )
        )

    def reduce_group(
        self, group: Group, by_qty: int, leaves_qty: int, reason: str, cause: str
    ) -> None:
        """Both legs are for `by_qty` less, `leaves_qty`; they keep their places."""
        for order_id in living_legs(group):
            self._reduce_leg(group, order_id, by_qty, leaves_qty, reason, cause)

    def after_decrement(self, order: Order, by_qty: int) -> None:
        """Self-trade prevention made a resting order smaller; the sibling of a leg follows it."""
        if order.leaves_qty == 0:
            self.end(order, SELF_TRADE)
            return
        group = self.legs.get(order.order_id) if order.group_id else None
        if group is not None and group.sl_alive and group.state == ACTIVE:
            self._reduce_leg(
                group, group.sl_order_id, by_qty, group.remaining(), SELF_TRADE, self.here()
            )

    def _grow(self, book: ListedBook) -> bool:
        """Exits of a book come alive for what their entries filled; False when there are none."""
        grown: list[tuple[Group, str]] = []
        for group_id, cause in list(self.grown.items()):
            group = self.groups.get(group_id)
            if group is None or group.symbol == book.symbol:
                del self.grown[group_id]
                if group is not None:
                    grown.append((group, cause))
        for group, cause in grown:
            self._grow_one(book, group, cause)
        return len(grown) > 0

    def _grow_one(self, book: ListedBook, group: Group, cause: str) -> None:
        if group.entry_alive and group.waits_for_all:
            return
        by_qty = group.entry_cum_qty - group.entry_open_qty
        if by_qty and group.state == WAITING:
            tp_rests = self._tp_rests(book, group)
            self.emit(
                GroupOpened(group.group_id, group.account_id, group.symbol, by_qty, tp_rests, cause)
            )
            self._after_opening(book, group, tp_rests, cause)
        elif by_qty and group.state == ACTIVE:
            self._after_opening(book, group, self._emit_grown(book, group, by_qty, cause), cause)
        if not group.entry_alive:
            self._shorten(group, cause)

    def _grow_living(self, book: ListedBook) -> None:
        """Exits that are alive grow before a print elects them: a stop is for all that was bought.

        They stay among the grown ones, for what is left to do once their entry is done.
        """
        for group_id, cause in list(self.grown.items()):
            group = self.groups.get(group_id)
            if group is not None and group.symbol == book.symbol and group.state == ACTIVE:
                by_qty = group.entry_cum_qty - group.entry_open_qty
                if by_qty and not self._emit_grown(book, group, by_qty, cause) and group.tp_alive:
                    self.arriving.append(group_id)

    def _emit_grown(self, book: ListedBook, group: Group, by_qty: int, cause: str) -> bool:
        """Emit `GroupGrown`; the answer says whether the take-profit rests."""
        tp_rests = self._tp_rests(book, group)
        self.emit(
            GroupGrown(
                group.group_id,
                group.account_id,
                group.symbol,
                by_qty,
                group.open_qty + by_qty,
                tp_rests,
                cause,
            )
        )
        return tp_rests

    def _tp_rests(self, book: ListedBook, group: Group) -> bool:
        """Whether the take-profit goes into the book without a trade."""
        if not group.tp_alive:
            return False
        return self.phase_of(book) != CONTINUOUS or not book.crosses(self.take_profit(group))

    def _after_opening(self, book: ListedBook, group: Group, tp_rests: bool, cause: str) -> None:
        """A stop-loss that the last trade has reached already is elected at once."""
        stop = book.stops.orders.get(group.sl_order_id)
        if self.electing and stop is not None and book.last_px and reached(stop, book.last_px):
            self._elect_one(book, stop, book.last_px, book.last_trade_id, cause)
        elif group.tp_alive and not tp_rests:
            self.arriving.append(group.group_id)

    def _arrive_take_profit(self, book: ListedBook) -> None:
        """A take-profit that crosses the book trades at once."""
        group = self.groups.get(self.arriving.pop(0))
        if group is None or group.state != ACTIVE or not group.tp_alive:
            return
        # It may be there already: what came before it let it grow again.
        if group.remaining() and group.tp_order_id not in book.orders:
            self.place(book, self.take_profit(group))

    def _shorten(self, group: Group, cause: str) -> None:
        """The entry is done: the exit is for what it filled, no more."""
        short = group.order_qty - group.entry_cum_qty
        left = group.remaining()
        if short > 0:
            for order_id in living_legs(group):
                self._reduce_leg(group, order_id, short, left, ENTRY_CANCELLED, cause)
        if left == 0 and group.state == ACTIVE:
            if group.sl_alive:
                self.cancel_leg(group, group.sl_order_id, SIBLING_FILLED, cause)
            self.emit(GroupClosed(group.group_id, group.account_id, group.symbol, TP_FILLED, cause))

    # ---- the end of orders

    def end(self, order: Order, reason: str) -> None:
        """An order ends before it is filled, and with it what cannot be without it."""
        if not order.group_id:
            self.emit_removed(order, reason)
            return
        group = self.groups[order.group_id]
        if order.order_id == group.tp_order_id or order.order_id == group.sl_order_id:
            cause = self.here() if reason == SELF_TRADE else self._cause
            self.end_group(group, order.order_id, reason, cause)
            return
        self.emit_removed(order, reason)
        if group.entry_cum_qty:
            self.grown[group.group_id] = self.here()
        else:
            reason = reason if is_expiry(reason) else ENTRY_CANCELLED
            self.end_group(group, "", reason, self.here())

    def end_group(self, group: Group, first: str, reason: str, cause: str) -> None:
        """Whatever of a group is alive ends, the order that was asked about first."""
        expires = is_expiry(reason)
        others = reason if expires or not first else GROUP_CANCELLED
        if group.entry_alive:
            entry = self.find_entry(self.books[group.symbol], group)
            if entry is not None:
                self.emit_removed(entry, reason if first == entry.order_id else others)
        if first in living_legs(group):
            self.cancel_leg(group, first, reason, cause)
        for order_id in living_legs(group):
            self.cancel_leg(group, order_id, others, cause)
        self.grown.pop(group.group_id, None)
        closed = GROUP_CLOSED_EXPIRED if expires else GROUP_CLOSED_CANCELLED
        self.emit(GroupClosed(group.group_id, group.account_id, group.symbol, closed, cause))

    def find_entry(self, book: ListedBook, group: Group) -> Order | None:
        """The entry of a group while it rests or waits somewhere."""
        return self._find_at(book, group.entry_order_id)

    def find_leg(self, group: Group, order_id: str) -> Order | None:
        """A leg of a group while it is an order somewhere."""
        return self._find_at(self.books[group.symbol], order_id)

    def _find_at(self, book: ListedBook, order_id: str) -> Order | None:
        order = book.orders.get(order_id)
        if order is None:
            order = book.stops.orders.get(order_id)
        if order is None:
            order = book.elected.get(order_id)
        if order is None:
            order = self.queued.get(order_id)
        return order

    # ---- events with many fields

    def emit_removed(self, order: Order, reason: str) -> None:
        """Emit `Removed`; what a notional order has left is money, so its quantity left is 0."""
        leaves_qty = 0 if order.budget else order.leaves_qty
        ts_us = self.record(
            Removed(
                order.order_id, order.account_id, order.symbol, leaves_qty, reason, order.group_id
            )
        )
        self.drop(order.symbol, order.order_id, order.group_id, ts_us)

    def emit_rested(self, order: Order) -> None:
        """Emit `Rested`."""
        ts_us = self.record(
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
                order.group_id,
                order.ord_type,
                order.reduces,
            )
        )
        self.rest(_resting(order), ts_us)


class EventTape(Tape):
    """Tells a match as events of a stage; applying them carries it out."""

    def __init__(self, stage: Exits) -> None:
        self.stage = stage

    def trade(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """Emit `Traded` and what it means for the groups of the two orders."""
        stage = self.stage
        trade_id = stage.trade_id + 1
        done = taker.leaves_qty == 0
        ts_us = stage.record(
            Traded(
                trade_id,
                taker.symbol,
                BUY if taker.is_buy else SELL,
                maker.limit_px,
                qty,
                maker.order_id,
                maker.account_id,
                maker.leaves_qty - qty,
                taker.order_id,
                taker.account_id,
                done,
                False,
                maker.group_id,
                taker.group_id,
            )
        )
        listed = cast(ListedBook, book)
        stage.trade(listed, maker, trade_id, maker.limit_px, qty, ts_us)
        if listed.elected or stage.queued:
            stage.trade_waiting(listed, taker.order_id, qty, done)
        if maker.group_id:
            stage.count_fill(maker.group_id, maker.order_id, qty, maker.leaves_qty == 0)
        if taker.group_id:
            stage.count_fill(taker.group_id, taker.order_id, qty, done)
        stage.note_print(maker.limit_px)
        if maker.group_id:
            stage.group_traded(maker.group_id, maker.order_id, qty)
        if taker.group_id:
            stage.group_traded(taker.group_id, taker.order_id, qty)

    def prevent(self, book: Book, maker: Order) -> None:
        """The maker ends, and its group with it."""
        self.stage.end(maker, SELF_TRADE)

    def decrement(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """Emit `Decremented` of both, and the end of a maker with nothing left."""
        stage = self.stage
        for order in (maker, taker):
            stage.emit(Decremented(order.order_id, order.account_id, order.symbol, qty))
        stage.after_decrement(maker, qty)


def running(order: Order, limit_px: int) -> Order:
    """An elected stop as the aggressor that it becomes.

    A stop-loss must not die of its account's own resting order: it cancels that one instead.
    """
    taker = copy_of(order)
    taker.ord_type = LIMIT
    taker.limit_px = limit_px
    if taker.reduces and taker.stp != STP_ALLOW:
        taker.stp = STP_OLDEST
    return taker


def _resting(order: Order) -> Order:
    """An order with what `Rested` says of it and no more: what it was before is over."""
    if order.is_plain():
        return order
    resting = Order(
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
    )
    resting.group_id = order.group_id
    resting.reduces = order.reduces
    return resting


def copy_of(order: Order) -> Order:
    """An order with the terms and fills of another, standing nowhere."""
    copy = Order(
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
    copy.stop_px = order.stop_px
    copy.trail_px = order.trail_px
    copy.trail_ppm = order.trail_ppm
    copy.hwm_px = order.hwm_px
    copy.print_px = order.print_px
    copy.group_id = order.group_id
    copy.reduces = order.reduces
    return copy


def living_legs(group: Group) -> list[str]:
    """The ids of the legs that are alive, the take-profit first."""
    legs: list[str] = []
    if group.tp_alive:
        legs.append(group.tp_order_id)
    if group.sl_alive:
        legs.append(group.sl_order_id)
    return legs


def is_expiry(reason: str) -> bool:
    """Whether an order ends by time."""
    return reason == END_OF_DAY or reason == EXPIRE_TIME


def _electing_print(order: Order, prints: list[Print]) -> Print:
    """The first print that reaches a stop; they rise or fall, so it is found by halving."""
    low = 0
    high = len(prints) - 1
    if reached(order, prints[0][0]):
        return prints[0]
    while low < high:
        middle = (low + high) // 2
        if reached(order, prints[middle][0]):
            high = middle
        else:
            low = middle + 1
    return prints[low]


def _band_px(book: ListedBook, is_upper: bool) -> int:
    """The last tick inside the narrower of a book's bands, above or below; 0 for no band."""
    bound = 0
    if book.static_band_ppm and book.band_px:
        bound = _away(book.band_px, book.static_band_ppm, is_upper)
    if book.dynamic_band_ppm and book.before_px:
        dynamic = _away(book.before_px, book.dynamic_band_ppm, is_upper)
        if bound == 0 or (dynamic < bound) == is_upper:
            bound = dynamic
    if bound == 0:
        return 0
    return tick_down(book.tick_size, bound) if is_upper else tick_up(book.tick_size, bound)


def _away(px: int, ppm: int, is_upper: bool) -> int:
    reach = px * ppm // PPM_ONE
    return px + reach if is_upper else px - reach


def _is_beyond(px: int, from_px: int, ppm: int) -> bool:
    """Whether a price has gone further from another than a share of it."""
    moved = px - from_px if px > from_px else from_px - px
    return moved * PPM_ONE > from_px * ppm
