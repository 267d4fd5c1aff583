"""The order history as a pure fold: events of the orders streams in, rows of its tables out.

It follows the same rules as the orders stage, so that an order which is closed has the very record
here that the stage gives. What an order reserves is the stage's alone: an open order's row shows 0.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from nexustrade.core.codec import Message, decode, encode
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.ids import derived_uuid
from nexustrade.core.money import PRICE_DECIMALS, QTY_DECIMALS, USD_DECIMALS, scaled_text
from nexustrade.core.terms import (
    CANCELED,
    EXPIRED,
    FILLED,
    NEW,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_REPLACE,
    REPLACED,
)
from nexustrade.core.time import to_datetime
from nexustrade.matching.messages import InstrumentDefined
from nexustrade.orders.messages import (
    AccountOpened,
    CancelRejected,
    CancelRequested,
    CashAdjusted,
    CashMovement,
    FillRecord,
    OrderAccepted,
    OrderCanceled,
    OrderDecremented,
    OrderExpired,
    OrderFilled,
    OrderRecord,
    OrderReplaced,
    ReplaceRejected,
    ReplaceRequested,
)
from nexustrade.orders.service import order_record
from nexustrade.orders.state import Order, order_of

DEPOSIT: Final = "CSD"
WITHDRAWAL: Final = "CSW"
FEE: Final = "FEE"

_NULL: Final = "\\N"
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
        elif order.ord_status == NEW:
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
        if not mine or order.ord_status != PENDING_CANCEL:
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
        new.expire_us = terms.expire_us
        new.post_only = old.post_only
        new.extended_hours = old.extended_hours
        new.position_intent = old.position_intent
        new.cum_qty = old.cum_qty
        new.cost_e12 = old.cost_e12
        new.filled_us = old.filled_us
        # The total is never below what is filled, also by fills that came meanwhile.
        new.order_qty = terms.order_qty if terms.order_qty > old.cum_qty else old.cum_qty
        new.leaves_qty = new.order_qty - new.cum_qty
        new.ord_status = PARTIALLY_FILLED if new.cum_qty else NEW
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

    def _resume(self, ts_us: int) -> None:
        order = self.order
        order.ord_status = PARTIALLY_FILLED if order.cum_qty else NEW
        order.updated_us = ts_us


def accepted_row(e: OrderAccepted, ts_us: int) -> OrderRow:
    """The row of a new order."""
    order = order_of(e)
    order.submitted_us = ts_us
    order.updated_us = ts_us
    return OrderRow(order, stored=False)


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
        self.fills: list[tuple[FillRecord, int]] = []
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
            if isinstance(event, OrderAccepted):
                made.add(event.order_id)
                continue
            order_id = _changes(event)
            if order_id and order_id not in rows and order_id not in made:
                found[order_id] = True
            if isinstance(event, OrderReplaced):
                made.add(event.order_id)
        return list(found)

    def learn(self, rows: Sequence[OrderRow]) -> None:
        """Take on rows as the table has them."""
        for row in rows:
            self._rows[row.order.order_id] = row

    def apply(self, shard: str, seq: int, ts_us: int, event: Message) -> None:
        """Fold one event of a stream."""
        if isinstance(event, OrderAccepted):
            self._add(accepted_row(event, ts_us))
        elif isinstance(event, OrderFilled):
            fill = self._touch(event.order_id).fill(event, ts_us)
            self.changes.fills.append((fill, event.notional))
            if event.fee:
                about = f"fee of trade {event.trade_id} in {event.symbol}"
                self._move(shard, seq, ts_us, event.account_id, FEE, -event.fee, about)
        elif isinstance(event, CancelRequested):
            self._touch(event.order_id).request_cancel(ts_us)
        elif isinstance(event, OrderCanceled):
            self._touch(event.order_id).close(CANCELED, event.reason, ts_us)
        elif isinstance(event, OrderExpired):
            self._touch(event.order_id).close(EXPIRED, event.reason, ts_us)
        elif isinstance(event, ReplaceRequested):
            self._touch(event.orig_order_id).request_replace(event, ts_us)
        elif isinstance(event, OrderReplaced):
            self._add(self._touch(event.orig_order_id).replace(ts_us))
        else:
            self._apply_rare(shard, seq, ts_us, event)

    def _apply_rare(self, shard: str, seq: int, ts_us: int, event: Message) -> None:
        if isinstance(event, OrderDecremented):
            self._touch(event.order_id).decrement(event, ts_us)
        elif isinstance(event, CancelRejected):
            row = self._rows.get(event.order_id)
            if row is not None and row.reject_cancel(event, ts_us):
                self._touch(event.order_id)
        elif isinstance(event, ReplaceRejected):
            row = self._rows.get(event.orig_order_id)
            if row is not None and row.reject_replace(event, ts_us):
                self._touch(event.orig_order_id)
        elif isinstance(event, AccountOpened):
            self.changes.accounts[event.account_id] = (event, ts_us)
            if event.cash:
                about = "opening cash"
                self._move(shard, seq, ts_us, event.account_id, DEPOSIT, event.cash, about)
        elif isinstance(event, CashAdjusted):
            kind = DEPOSIT if event.amount > 0 else WITHDRAWAL
            about = event.description
            self._move(shard, seq, ts_us, event.account_id, kind, event.amount, about)
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


def _changes(event: Message) -> str:
    """The order whose row an event changes, or may change; "" when it is none or a new one."""
    if isinstance(event, OrderFilled | OrderCanceled | CancelRequested):
        return event.order_id
    if isinstance(event, OrderReplaced | ReplaceRequested | ReplaceRejected):
        return event.orig_order_id
    if isinstance(event, OrderExpired | OrderDecremented | CancelRejected):
        return event.order_id
    return ""


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
            f"{_json(order_record(o))}\t{_json(pending) if pending is not None else _NULL}\n"
        )

    def fill(self, f: FillRecord, notional: int) -> str:
        """A line of `fills`; `notional` in cents."""
        return (
            f"{_safe(f.account_id)}\t{self._time(f.ts_event_us)}\t{_safe(f.order_id)}\t"
            f"{_safe(f.symbol)}\t{f.side}\t{scaled_text(f.last_px, PRICE_DECIMALS)}\t"
            f"{scaled_text(f.last_qty, QTY_DECIMALS)}\t{scaled_text(notional, USD_DECIMALS)}\t"
            f"{scaled_text(f.fee, USD_DECIMALS)}\t{f.liquidity}\t{f.trade_id}\t{_json(f)}\n"
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


def _safe(text: str) -> str:
    """Text as a field of COPY: nothing in it can end the field or the line."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _json(message: Message) -> str:
    # JSON has no raw control characters: backslashes are all there is to escape.
    text = encode(message).decode()
    return text.replace("\\", "\\\\") if "\\" in text else text
