"""The order history as a pure fold: events of the orders streams in, rows of its tables out.

It follows the same rules as the orders stage, so that an order which is closed has the very record
here that the stage gives. What an order reserves is the stage's alone: an open order's row shows 0.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from nexustrade.core.codec import Message, decode, encode
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.ids import derived_uuid
from nexustrade.core.money import PRICE_DECIMALS, QTY_DECIMALS, USD_DECIMALS, scaled_text
from nexustrade.core.terms import (
    CANCELED,
    EXPIRED,
    FILLED,
    HELD,
    NEW,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_REPLACE,
    REPLACED,
)
from nexustrade.core.time import to_datetime
from nexustrade.matching.messages import ENTRY_CANCELLED, InstrumentDefined
from nexustrade.orders.groups import Group, exit_side
from nexustrade.orders.messages import (
    UNKNOWN_GROUP,
    AccountOpened,
    CancelRejected,
    CancelRequested,
    CashAdjusted,
    CashMovement,
    FillRecord,
    GroupAccepted,
    GroupResized,
    LegsActivated,
    OrderAccepted,
    OrderCanceled,
    OrderDecremented,
    OrderExpired,
    OrderFilled,
    OrderRecord,
    OrderReplaced,
    OrderRestated,
    OrderTrailed,
    OrderTriggered,
    ReplaceRejected,
    ReplaceRequested,
    TradeBusted,
)
from nexustrade.orders.service import order_record
from nexustrade.orders.settling import is_date
from nexustrade.orders.state import Order, accepted_order
from nexustrade.orders.terms import orders_of

DEPOSIT: Final = "CSD"
WITHDRAWAL: Final = "CSW"
FEE: Final = "FEE"

# Events of orders; one look-up of the class tells which it is. All but three name the order that
# they change in `order_id`.
_ACCEPTED: Final = 1
_FILLED: Final = 2
_CANCEL_REQUESTED: Final = 3
_CANCELED: Final = 4
_EXPIRED: Final = 5
_REPLACE_REQUESTED: Final = 6
_REPLACED: Final = 7
_DECREMENTED: Final = 8
_CANCEL_REJECTED: Final = 9
_REPLACE_REJECTED: Final = 10
_GROUP_ACCEPTED: Final = 11
_ACTIVATED: Final = 12
_TRIGGERED: Final = 13
_TRAILED: Final = 14
_RESIZED: Final = 15
_RESTATED: Final = 16
_KINDS: Final[dict[Any, int]] = {
    OrderAccepted: _ACCEPTED,
    OrderFilled: _FILLED,
    CancelRequested: _CANCEL_REQUESTED,
    OrderCanceled: _CANCELED,
    OrderExpired: _EXPIRED,
    ReplaceRequested: _REPLACE_REQUESTED,
    OrderReplaced: _REPLACED,
    OrderDecremented: _DECREMENTED,
    CancelRejected: _CANCEL_REJECTED,
    ReplaceRejected: _REPLACE_REJECTED,
    GroupAccepted: _GROUP_ACCEPTED,
    LegsActivated: _ACTIVATED,
    OrderTriggered: _TRIGGERED,
    OrderTrailed: _TRAILED,
    GroupResized: _RESIZED,
    OrderRestated: _RESTATED,
}

_NULL: Final = "\\N"
_PLAIN: Final = f"0\t0\t0\t0\t\t\t\t{_NULL}"
"""The columns of a stop, a trail and a group, of an order that has none of them."""
_US_PER_S: Final = 1_000_000


class OrderRow:
    """One order as folded so far, and the replace of it that is under way.

    `stored` says that the table has a row of the order already.
    """

    def __init__(self, order: Order, stored: bool) -> None:
        self.order: Order = order
        self.stored: bool = stored
        self.pending: ReplaceRequested | None = None

    # ------------------------------------------------------------ one method per event

    def fill(self, e: OrderFilled, ts_us: int) -> FillRecord:
        """Add a fill; returns it with what the order was right after it."""
        order = self.order
        qty = e.last_qty
        order.cum_qty += qty
        order.cost_e12 += e.last_px * qty
        order.filled_us = ts_us
        order.updated_us = ts_us
        if order.order_qty:
            order.leaves_qty -= qty
            check(order.leaves_qty >= 0, "an order fills no more than its quantity")
        if e.done or (order.order_qty and order.leaves_qty == 0 and not order.notional):
            self.close(FILLED, "", ts_us)
        elif order.ord_status == NEW or order.ord_status == HELD:
            order.ord_status = PARTIALLY_FILLED
        return FillRecord(
            order.account_id,
            order.order_id,
            order.symbol,
            order.side,
            e.last_px,
            qty,
            order.cum_qty,
            order.leaves_qty,
            e.fee,
            e.liquidity,
            e.trade_id,
            order.ord_status,
            ts_us,
            e.settle_date,
        )

    def close(self, status: str, reason: str, ts_us: int) -> None:
        """The order's end; a replace under way ends with it."""
        order = self.order
        check(order.closed_us == 0, f"order {order.order_id} is closed once")
        self.pending = None
        order.leaves_qty = 0
        order.ord_status = status
        order.close_reason = reason
        order.closed_us = ts_us
        order.updated_us = ts_us

    def request_cancel(self, ts_us: int) -> None:
        self.order.ord_status = PENDING_CANCEL
        self.order.updated_us = ts_us

    def reject_cancel(self, e: CancelRejected, ts_us: int) -> bool:
        """Matching refused the cancel; False when the event does not concern the order."""
        order = self.order
        mine = order.account_id == e.account_id and not e.ord_status
        if not mine or e.reason == UNKNOWN_GROUP or order.ord_status != PENDING_CANCEL:
            return False
        self._resume(ts_us)
        return True

    def request_replace(self, e: ReplaceRequested, ts_us: int) -> None:
        self.pending = e
        self.order.ord_status = PENDING_REPLACE
        self.order.updated_us = ts_us

    def reject_replace(self, e: ReplaceRejected, ts_us: int) -> bool:
        """Matching refused the replace; False when the event is not about the one under way."""
        if self.pending is None or self.pending.order_id != e.order_id:
            return False
        self.pending = None
        self._resume(ts_us)
        return True

    def replace(self, ts_us: int) -> "OrderRow":
        """Close the order as replaced; returns the one that takes its place, fills included."""
        terms = self.pending
        if terms is None:
            raise InvariantError("a replaced order has a replacement")
        old = self.order
        new = Order(old.account_id, terms.order_id, terms.cl_ord_id, old.symbol)
        new.side = old.side
        new.ord_type = old.ord_type
        new.time_in_force = terms.time_in_force
        new.limit_px = terms.limit_px
        new.stop_px = terms.stop_px
        new.trail_px = terms.trail_px
        new.trail_ppm = terms.trail_ppm
        new.hwm_px = old.hwm_px
        new.triggered_us = old.triggered_us
        new.group = old.group
        new.role = old.role
        new.held = old.held
        new.expire_us = terms.expire_us
        new.post_only = old.post_only
        new.extended_hours = old.extended_hours
        new.position_intent = old.position_intent
        new.cum_qty = old.cum_qty
        new.cost_e12 = old.cost_e12
        new.filled_us = old.filled_us
        # The total is never below what is filled, also by fills that came meanwhile. In a group it
        # is the group's.
        total = terms.order_qty if old.group is None else old.order_qty
        new.order_qty = total if total > old.cum_qty else old.cum_qty
        new.leaves_qty = new.order_qty - new.cum_qty
        new.ord_status = new.resting_status()
        new.replaces = old.order_id
        new.submitted_us = ts_us
        new.updated_us = ts_us
        old.replaced_by = new.order_id
        self.close(REPLACED, "", ts_us)
        return OrderRow(new, stored=False)

    def decrement(self, e: OrderDecremented, ts_us: int) -> None:
        order = self.order
        order.order_qty -= e.by_qty
        order.leaves_qty -= e.by_qty
        order.updated_us = ts_us
        check(order.leaves_qty >= 0, "an order is not decremented below its fills")
        if e.reason == ENTRY_CANCELLED and order.leaves_qty == 0 and order.cum_qty:
            # A take-profit has filled all that its entry brought: there is no more to come.
            self.close(FILLED, "", ts_us)

    def unhold(self, ts_us: int) -> None:
        """A held leg is alive."""
        order = self.order
        order.held = False
        order.updated_us = ts_us
        if order.ord_status == HELD:
            order.ord_status = NEW

    def trigger(self, ts_us: int) -> None:
        """A stop was elected."""
        self.order.triggered_us = ts_us
        self.unhold(ts_us)

    def trail(self, e: OrderTrailed, ts_us: int) -> None:
        order = self.order
        order.hwm_px = e.hwm_px
        order.stop_px = e.stop_px
        order.updated_us = ts_us

    def restate(self, e: OrderRestated, ts_us: int) -> None:
        """A split changed the terms; what the fills cost in all is as it was."""
        order = self.order
        order.order_qty = e.order_qty
        order.cum_qty = e.cum_qty
        order.leaves_qty = e.leaves_qty
        order.limit_px = e.limit_px
        order.stop_px = e.stop_px
        order.trail_px = e.trail_px
        order.hwm_px = e.hwm_px
        order.updated_us = ts_us

    def resize(self, order_qty: int, ts_us: int) -> None:
        """The group of a leg has another quantity."""
        order = self.order
        order.order_qty = order_qty
        order.leaves_qty = order_qty - order.cum_qty
        order.updated_us = ts_us

    def _resume(self, ts_us: int) -> None:
        order = self.order
        order.ord_status = order.resting_status()
        order.updated_us = ts_us


def accepted_row(e: OrderAccepted, ts_us: int) -> OrderRow:
    """The row of a new order."""
    order = accepted_order(e)
    order.submitted_us = ts_us
    order.updated_us = ts_us
    return OrderRow(order, stored=False)


def group_rows(e: GroupAccepted, ts_us: int) -> list[OrderRow]:
    """The rows of the orders of a new group."""
    side = exit_side(e.order_class, e.side)
    group = Group(e.group_id, e.account_id, e.symbol, e.order_class, side)
    return [OrderRow(order, stored=False) for order in orders_of(e, group, ts_us)]


def stored_row(record: str, cost_e12: int, closed: bool, pending: str | None) -> OrderRow:
    """The row as the table has it: what `order_line` wrote."""
    r = decode("OrderRecord", record)
    check(isinstance(r, OrderRecord), "the record of an order")
    assert isinstance(r, OrderRecord)
    order = Order(r.account_id, r.order_id, r.cl_ord_id, r.symbol)
    order.side = r.side
    order.ord_type = r.ord_type
    order.time_in_force = r.time_in_force
    order.ord_status = r.ord_status
    order.order_qty = r.order_qty
    order.notional = r.notional
    order.limit_px = r.limit_px
    order.expire_us = r.expire_us
    order.post_only = r.post_only
    order.extended_hours = r.extended_hours
    order.position_intent = r.position_intent
    order.cum_qty = r.cum_qty
    order.leaves_qty = r.leaves_qty
    order.cost_e12 = cost_e12
    order.submitted_us = r.submitted_us
    order.updated_us = r.updated_us
    order.filled_us = r.filled_us
    order.closed_us = r.updated_us if closed else 0
    order.replaces = r.replaces
    order.replaced_by = r.replaced_by
    order.close_reason = r.close_reason
    order.stop_px = r.stop_px
    order.trail_px = r.trail_px
    order.trail_ppm = r.trail_ppm
    order.hwm_px = r.hwm_px
    order.triggered_us = r.triggered_us
    order.role = r.role
    order.held = r.held
    if r.group_id:
        # Of the group its orders' records say no more.
        order.group = Group(r.group_id, r.account_id, r.symbol, r.order_class, r.side)
    row = OrderRow(order, stored=True)
    if pending is not None:
        terms = decode("ReplaceRequested", pending)
        assert isinstance(terms, ReplaceRequested)
        row.pending = terms
    return row


class Changes:
    """What a run of events adds to the tables and changes in them."""

    def __init__(self) -> None:
        self.rows: dict[str, OrderRow] = {}
        # Fills with their notional in cents and their trade date.
        self.fills: list[tuple[FillRecord, int, str]] = []
        self.busts: list[tuple[TradeBusted, int]] = []
        self.movements: list[CashMovement] = []
        self.accounts: dict[str, tuple[AccountOpened, int]] = {}
        self.instruments: dict[str, tuple[InstrumentDefined, int]] = {}


class Fold:
    """Folds events into `changes`; keeps the rows of the orders touched last, within a limit.

    Before an event is folded, the rows that `missing` names must have been given to `learn`.
    """

    def __init__(self, rows_max: int) -> None:
        self._rows_max: int = rows_max
        self._rows: OrderedDict[str, OrderRow] = OrderedDict()
        self.changes: Changes = Changes()

    def missing(self, events: Iterable[Message]) -> list[str]:
        """The orders that these events change and whose rows must be read from the table."""
        found: dict[str, bool] = {}
        made: set[str] = set()
        rows = self._rows
        for event in events:
            kind = _KINDS.get(type(event), 0)
            if kind == _ACCEPTED:
                made.add(cast(OrderAccepted, event).order_id)
            elif kind == _GROUP_ACCEPTED:
                made.update(_made_by(cast(GroupAccepted, event)))
            elif kind:
                for order_id in _changed_by(kind, event):
                    if order_id and order_id not in rows and order_id not in made:
                        found[order_id] = True
                if kind == _REPLACED:
                    made.add(cast(OrderReplaced, event).order_id)
        return list(found)

    def learn(self, rows: Sequence[OrderRow]) -> None:
        """Take on rows as the table has them."""
        for row in rows:
            self._rows[row.order.order_id] = row

    def apply(self, shard: str, seq: int, ts_us: int, event: Message) -> None:
        """Fold one event of a stream."""
        kind = _KINDS.get(type(event), 0)
        if kind == _ACCEPTED:
            self._add(accepted_row(cast(OrderAccepted, event), ts_us))
        elif kind == _FILLED:
            self._fill(shard, seq, ts_us, cast(OrderFilled, event))
        elif kind == _CANCEL_REQUESTED:
            self._touch(cast(CancelRequested, event).order_id).request_cancel(ts_us)
        elif kind == _CANCELED:
            canceled = cast(OrderCanceled, event)
            self._touch(canceled.order_id).close(CANCELED, canceled.reason, ts_us)
        elif kind == _EXPIRED:
            expired = cast(OrderExpired, event)
            self._touch(expired.order_id).close(EXPIRED, expired.reason, ts_us)
        elif kind == _REPLACE_REQUESTED:
            requested = cast(ReplaceRequested, event)
            self._touch(requested.orig_order_id).request_replace(requested, ts_us)
        elif kind == _REPLACED:
            self._add(self._touch(cast(OrderReplaced, event).orig_order_id).replace(ts_us))
        elif kind:
            self._apply_rare(kind, ts_us, event)
        else:
            self._apply_to_account(shard, seq, ts_us, event)

    def _fill(self, shard: str, seq: int, ts_us: int, e: OrderFilled) -> None:
        fill = self._touch(e.order_id).fill(e, ts_us)
        self.changes.fills.append((fill, e.notional, e.trade_date))
        if e.fee:
            about = f"fee of trade {e.trade_id} in {e.symbol}"
            self._move(shard, seq, ts_us, e.account_id, FEE, -e.fee, about)

    def _apply_rare(self, kind: int, ts_us: int, event: Message) -> None:
        if kind == _DECREMENTED:
            decremented = cast(OrderDecremented, event)
            self._touch(decremented.order_id).decrement(decremented, ts_us)
        elif kind == _CANCEL_REJECTED:
            cancel = cast(CancelRejected, event)
            row = self._rows.get(cancel.order_id)
            if row is not None and row.reject_cancel(cancel, ts_us):
                self._touch(cancel.order_id)
        elif kind == _REPLACE_REJECTED:
            replace = cast(ReplaceRejected, event)
            row = self._rows.get(replace.orig_order_id)
            if row is not None and row.reject_replace(replace, ts_us):
                self._touch(replace.orig_order_id)
        elif kind == _GROUP_ACCEPTED:
            for made in group_rows(cast(GroupAccepted, event), ts_us):
                self._add(made)
        elif kind == _ACTIVATED:
            leg = self._touch(_leg_alive(cast(LegsActivated, event)))
            if leg.order.held:
                leg.unhold(ts_us)
        elif kind == _TRIGGERED:
            self._touch(cast(OrderTriggered, event).order_id).trigger(ts_us)
        elif kind == _TRAILED:
            trailed = cast(OrderTrailed, event)
            self._touch(trailed.order_id).trail(trailed, ts_us)
        elif kind == _RESTATED:
            restated = cast(OrderRestated, event)
            self._touch(restated.order_id).restate(restated, ts_us)
        else:
            resized = cast(GroupResized, event)
            if resized.tp_order_id:
                self._touch(resized.tp_order_id).resize(resized.tp_qty, ts_us)
            if resized.sl_order_id:
                self._touch(resized.sl_order_id).resize(resized.sl_qty, ts_us)

    def _apply_to_account(self, shard: str, seq: int, ts_us: int, event: Message) -> None:
        if isinstance(event, AccountOpened):
            self.changes.accounts[event.account_id] = (event, ts_us)
            if event.cash:
                about = "opening cash"
                self._move(shard, seq, ts_us, event.account_id, DEPOSIT, event.cash, about)
        elif isinstance(event, CashAdjusted):
            kind = DEPOSIT if event.amount > 0 else WITHDRAWAL
            about = event.description
            self._move(shard, seq, ts_us, event.account_id, kind, event.amount, about)
        elif isinstance(event, TradeBusted):
            self.changes.busts.append((event, ts_us))
            if event.fee:
                about = f"fee of undone trade {event.trade_id} in {event.symbol}"
                self._move(shard, seq, ts_us, event.account_id, FEE, event.fee, about)
        elif isinstance(event, InstrumentDefined):
            self.changes.instruments[event.symbol] = (event, ts_us)

    def take(self) -> Changes:
        """The changes since the last call, to be written; the fold goes on with none."""
        changes = self.changes
        self.changes = Changes()
        return changes

    def settle(self, changes: Changes) -> None:
        """The changes are durable: closed orders are forgotten, and open ones beyond the limit."""
        for order_id, row in changes.rows.items():
            row.stored = True
            if row.order.closed_us:
                self._rows.pop(order_id, None)
        while len(self._rows) > self._rows_max:
            self._rows.popitem(last=False)

    def _add(self, row: OrderRow) -> None:
        order_id = row.order.order_id
        self._rows[order_id] = row
        self.changes.rows[order_id] = row

    def _touch(self, order_id: str) -> OrderRow:
        row = self._rows.get(order_id)
        if row is None:
            raise InvariantError(f"order {order_id} was accepted before it changes")
        self._rows.move_to_end(order_id)
        self.changes.rows[order_id] = row
        return row

    def _move(
        self,
        shard: str,
        seq: int,
        ts_us: int,
        account_id: str,
        kind: str,
        amount: int,
        description: str,
    ) -> None:
        activity_id = derived_uuid("cash movement", shard, seq)
        self.changes.movements.append(
            CashMovement(account_id, activity_id, kind, amount, description, ts_us)
        )


def _changed_by(kind: int, event: Message) -> tuple[str, ...]:
    """The orders whose rows an event changes, or may change; "" for none."""
    if kind == _REPLACE_REQUESTED or kind == _REPLACED or kind == _REPLACE_REJECTED:
        return (cast(Any, event).orig_order_id,)
    if kind == _ACTIVATED:
        return (_leg_alive(cast(LegsActivated, event)),)
    if kind == _RESIZED:
        resized = cast(GroupResized, event)
        return (resized.tp_order_id, resized.sl_order_id)
    return (cast(Any, event).order_id,)


def _leg_alive(e: LegsActivated) -> str:
    """The leg that is held no longer: a stop-loss beside a take-profit is held on, for a trade."""
    return e.tp_order_id if e.tp_order_id else e.sl_order_id


def _made_by(e: GroupAccepted) -> tuple[str, ...]:
    return (e.group_id, e.tp_order_id, e.sl_order_id)


# ---------------------------------------------------------------- rows as lines of COPY text


class Lines:
    """Writes rows as COPY text; keeps the text of the last second, which most rows share."""

    def __init__(self) -> None:
        self._second: int = -1
        self._second_text: str = ""

    def order(self, row: OrderRow) -> str:
        """A line of `order_history`."""
        o = row.order
        pending = row.pending
        return (
            f"{_safe(o.order_id)}\t{_safe(o.account_id)}\t{_safe(o.cl_ord_id)}\t{_safe(o.symbol)}\t"
            f"{o.side}\t{o.ord_type}\t{o.time_in_force}\t{o.ord_status}\t"
            f"{scaled_text(o.order_qty, QTY_DECIMALS)}\t{scaled_text(o.notional, USD_DECIMALS)}\t"
            f"{scaled_text(o.limit_px, PRICE_DECIMALS)}\t{scaled_text(o.cum_qty, QTY_DECIMALS)}\t"
            f"{scaled_text(o.leaves_qty, QTY_DECIMALS)}\t{o.cost_e12}\t"
            f"{self._time(o.submitted_us)}\t{self._time(o.updated_us)}\t"
            f"{self._time(o.closed_us) if o.closed_us else _NULL}\t"
            f"{_json(order_record(o))}\t{_json(pending) if pending is not None else _NULL}\t"
            f"{self._special(o)}\n"
        )

    def _special(self, o: Order) -> str:
        group = o.group
        if group is None and not (o.stop_px or o.trail_px or o.trail_ppm):
            return _PLAIN
        names = f"{group.order_class}\t{_safe(group.group_id)}" if group is not None else "\t"
        return (
            f"{scaled_text(o.stop_px, PRICE_DECIMALS)}\t"
            f"{scaled_text(o.trail_px, PRICE_DECIMALS)}\t{o.trail_ppm}\t"
            f"{scaled_text(o.hwm_px, PRICE_DECIMALS)}\t{names}\t{o.role}\t"
            f"{self._time(o.triggered_us) if o.triggered_us else _NULL}"
        )

    def fill(self, f: FillRecord, notional: int, trade_date: str) -> str:
        """A line of `fills`; `notional` in cents."""
        return (
            f"{_safe(f.account_id)}\t{self._time(f.ts_event_us)}\t{_safe(f.order_id)}\t"
            f"{_safe(f.symbol)}\t{f.side}\t{scaled_text(f.last_px, PRICE_DECIMALS)}\t"
            f"{scaled_text(f.last_qty, QTY_DECIMALS)}\t{scaled_text(notional, USD_DECIMALS)}\t"
            f"{scaled_text(f.fee, USD_DECIMALS)}\t{f.liquidity}\t{f.trade_id}\t{_json(f)}\t"
            f"{_date(trade_date)}\t{_date(f.settle_date)}\n"
        )

    def movement(self, m: CashMovement) -> str:
        """A line of `cash_movements`."""
        return (
            f"{m.activity_id}\t{_safe(m.account_id)}\t{m.activity_type}\t"
            f"{scaled_text(m.amount, USD_DECIMALS)}\t{_safe(m.description)}\t"
            f"{self._time(m.ts_event_us)}\n"
        )

    def _time(self, us: int) -> str:
        second = us // _US_PER_S
        if second != self._second:
            self._second = second
            self._second_text = to_datetime(second * _US_PER_S).strftime("%Y-%m-%d %H:%M:%S")
        return f"{self._second_text}.{us - second * _US_PER_S:06d}+00"


def _date(text: str) -> str:
    """A date as a column has it; what is none stands in the record alone."""
    return text if text and is_date(text) else _NULL


def _safe(text: str) -> str:
    """Text as a field of COPY: nothing in it can end the field or the line."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _json(message: Message) -> str:
    # JSON has no raw control characters: backslashes are all there is to escape.
    text = encode(message).decode()
    return text.replace("\\", "\\\\") if "\\" in text else text
