"""What the orders stage keeps: orders, positions, accounts and instruments, in scaled integers.

Only `domain.OrdersStage.apply` changes these objects. Each can write itself as plain JSON values
(`row`) and be made from them again, for snapshots and state hashes.
"""

from typing import Any, cast

from mypy_extensions import mypyc_attr

from nexustrade.core.codec import fields_of
from nexustrade.core.errors import check
from nexustrade.core.money import QTY_MAX, average_price, divide_half_even
from nexustrade.core.terms import BUY, ENTRY, HELD, NEW, PARTIALLY_FILLED, PENDING_CANCEL
from nexustrade.orders.groups import Group
from nexustrade.orders.messages import (
    OrderAccepted,
    OrderAcceptedFields,
    SubmitOrder,
    SubmitOrderFields,
)
from nexustrade.orders.settling import Dues, Standing, Unsettled


@mypyc_attr(acyclic=True)
class Order:
    """An order from acceptance on. `leaves_qty` is open; 0 once closed.

    An order that `closes` a position holds that many of its shares (or of its short) while open.
    A notional order has `notional` > 0 and `spent` of it used; its `order_qty` is a cap (0: none).
    `hold_px`, `hold_ppm` and `fee_ppm` are what its reservation is computed with.
    An order of a group has its `role` there; the legs hold nothing themselves, the group does. A
    leg that waits, for its entry or (a stop-loss beside a take-profit) for a trade, is `held`.
    """

    def __init__(self, account_id: str, order_id: str, cl_ord_id: str, symbol: str) -> None:
        self.account_id: str = account_id
        self.order_id: str = order_id
        self.cl_ord_id: str = cl_ord_id
        self.symbol: str = symbol
        self.side: str = BUY
        self.ord_type: str = ""
        self.time_in_force: str = ""
        self.ord_status: str = NEW
        self.order_qty: int = 0
        self.notional: int = 0
        self.limit_px: int = 0
        self.expire_us: int = 0
        self.post_only: bool = False
        self.extended_hours: bool = False
        self.position_intent: str = ""
        self.cum_qty: int = 0
        self.leaves_qty: int = 0
        self.cost_e12: int = 0
        self.spent: int = 0
        self.reserved: int = 0
        self.closes: bool = False
        self.hold_px: int = 0
        self.hold_ppm: int = 0
        self.fee_ppm: int = 0
        self.submitted_us: int = 0
        self.updated_us: int = 0
        self.filled_us: int = 0
        self.closed_us: int = 0
        self.replaces: str = ""
        self.replaced_by: str = ""
        self.close_reason: str = ""
        # The order that takes this one's place when matching says so, and what it holds in
        # addition until then.
        self.replacement: Order | None = None
        self.extra: int = 0
        self.extra_qty: int = 0
        self.stop_px: int = 0
        self.trail_px: int = 0
        self.trail_ppm: int = 0
        self.hwm_px: int = 0
        self.triggered_us: int = 0
        self.group: Group | None = None
        self.role: str = ""
        self.held: bool = False

    def resting_status(self) -> str:
        """What the order is while it is open and nothing of it is pending."""
        if self.cum_qty:
            return PARTIALLY_FILLED
        return HELD if self.held else NEW

    def is_pending(self) -> bool:
        """Whether a cancel or a replace of the order is under way."""
        return self.ord_status == PENDING_CANCEL or self.replacement is not None

    def is_leg(self) -> bool:
        """Whether it is a leg of a group's exit."""
        return self.group is not None and self.role != ENTRY

    def avg_px(self) -> int:
        """The average price of the fills in 1e-4 USD, for display."""
        return average_price(self.cost_e12, self.cum_qty)

    def row(self) -> list[Any]:
        """All of the order as JSON values; `order_from` reads them."""
        replacement = self.replacement
        return [
            self.account_id,
            self.order_id,
            self.cl_ord_id,
            self.symbol,
            self.side,
            self.ord_type,
            self.time_in_force,
            self.ord_status,
            self.order_qty,
            self.notional,
            self.limit_px,
            self.expire_us,
            self.post_only,
            self.extended_hours,
            self.position_intent,
            self.cum_qty,
            self.leaves_qty,
            str(self.cost_e12),
            self.spent,
            self.reserved,
            self.closes,
            self.hold_px,
            self.hold_ppm,
            self.fee_ppm,
            self.submitted_us,
            self.updated_us,
            self.filled_us,
            self.closed_us,
            self.replaces,
            self.replaced_by,
            self.close_reason,
            replacement.row() if replacement is not None else None,
            self.extra,
            self.extra_qty,
            self.stop_px,
            self.trail_px,
            self.trail_ppm,
            self.hwm_px,
            self.triggered_us,
            self.group.group_id if self.group is not None else "",
            self.role,
            self.held,
        ]


_FIRST_ROW_LEN = 34
"""Fields of a row of the first version, which had neither stops nor groups."""


def order_of(command: SubmitOrder) -> Order:
    """A new order with the terms of its command, nothing of it filled."""
    (
        account_id,
        order_id,
        cl_ord_id,
        symbol,
        side,
        ord_type,
        time_in_force,
        order_qty,
        notional,
        limit_px,
        expire_us,
        post_only,
        extended_hours,
        position_intent,
        _known_order_id,
        stop_px,
        trail_px,
        trail_ppm,
    ) = cast(SubmitOrderFields, fields_of(command))
    order = Order(account_id, order_id, cl_ord_id, symbol)
    order.side = side
    order.ord_type = ord_type
    order.time_in_force = time_in_force
    order.order_qty = order_qty
    order.leaves_qty = order_qty
    order.notional = notional
    order.limit_px = limit_px
    order.expire_us = expire_us
    order.post_only = post_only
    order.extended_hours = extended_hours
    order.position_intent = position_intent
    order.stop_px = stop_px
    order.trail_px = trail_px
    order.trail_ppm = trail_ppm
    return order


def accepted_order(event: OrderAccepted) -> Order:
    """A new order with the terms of its event, nothing of it filled."""
    (
        account_id,
        order_id,
        cl_ord_id,
        symbol,
        side,
        ord_type,
        time_in_force,
        order_qty,
        notional,
        limit_px,
        _collar_px,
        expire_us,
        post_only,
        extended_hours,
        position_intent,
        _stp,
        _step,
        _reserved,
        _reserved_qty,
        _cover_qty,
        stop_px,
        trail_px,
        trail_ppm,
        _shrinks,
        hwm_px,
    ) = cast(OrderAcceptedFields, fields_of(event))
    order = Order(account_id, order_id, cl_ord_id, symbol)
    order.side = side
    order.ord_type = ord_type
    order.time_in_force = time_in_force
    order.order_qty = order_qty
    order.leaves_qty = order_qty
    order.notional = notional
    order.limit_px = limit_px
    order.expire_us = expire_us
    order.post_only = post_only
    order.extended_hours = extended_hours
    order.position_intent = position_intent
    order.stop_px = stop_px
    order.trail_px = trail_px
    order.trail_ppm = trail_ppm
    order.hwm_px = hwm_px
    return order


def order_from(row: list[Any], groups: dict[str, Group]) -> Order:
    """The order that `Order.row` wrote, in its group, which is one of `groups`."""
    order = Order(row[0], row[1], row[2], row[3])
    order.side = row[4]
    order.ord_type = row[5]
    order.time_in_force = row[6]
    order.ord_status = row[7]
    order.order_qty = row[8]
    order.notional = row[9]
    order.limit_px = row[10]
    order.expire_us = row[11]
    order.post_only = row[12]
    order.extended_hours = row[13]
    order.position_intent = row[14]
    order.cum_qty = row[15]
    order.leaves_qty = row[16]
    order.cost_e12 = int(row[17])
    order.spent = row[18]
    order.reserved = row[19]
    order.closes = row[20]
    order.hold_px = row[21]
    order.hold_ppm = row[22]
    order.fee_ppm = row[23]
    order.submitted_us = row[24]
    order.updated_us = row[25]
    order.filled_us = row[26]
    order.closed_us = row[27]
    order.replaces = row[28]
    order.replaced_by = row[29]
    order.close_reason = row[30]
    order.replacement = order_from(row[31], groups) if row[31] is not None else None
    order.extra = row[32]
    order.extra_qty = row[33]
    if len(row) == _FIRST_ROW_LEN:
        return order
    order.stop_px = row[34]
    order.trail_px = row[35]
    order.trail_ppm = row[36]
    order.hwm_px = row[37]
    order.triggered_us = row[38]
    order.group = groups[row[39]] if row[39] else None
    order.role = row[40]
    order.held = row[41]
    return order


@mypyc_attr(acyclic=True)
class Position:
    """Shares of one symbol, below 0 when short, and what they cost in 1e-12 USD (same sign).

    `held_qty` is promised to open sells of a long, `covered_qty` to open buys that close a short.
    `open_sell_qty` and `open_buy_qty` are the open quantities of orders that were entered to open
    a position: when one has come about on the other side meanwhile, they will close part of it.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol: str = symbol
        self.qty: int = 0
        self.cost_e12: int = 0
        self.held_qty: int = 0
        self.covered_qty: int = 0
        self.open_sell_qty: int = 0
        self.open_buy_qty: int = 0

    def available(self) -> int:
        """How much of the position (long or short) no open order may close already."""
        if self.qty >= 0:
            free = self.qty - self.held_qty - self.open_sell_qty
        else:
            free = -self.qty - self.covered_qty - self.open_buy_qty
        return free if free > 0 else 0

    def overdrawn(self) -> bool:
        """Whether more is promised than there is, which only a trade that was undone brings."""
        qty = self.qty
        return self.held_qty > (qty if qty > 0 else 0) or self.covered_qty > (
            -qty if qty < 0 else 0
        )

    def count(self, order: Order, sign: int) -> None:
        """Add (`sign` 1) or take away (-1) what an open order may do to the position.

        Legs of a group do not count: their group does, once (`promise`).
        """
        if order.group is not None and order.role != ENTRY:
            return
        leaves = order.leaves_qty if sign > 0 else -order.leaves_qty
        if order.side == BUY:
            if order.closes:
                self.covered_qty += leaves
            elif order.notional:
                # It is not known how much it will buy: more than any short.
                self.open_buy_qty += sign * QTY_MAX
            else:
                self.open_buy_qty += leaves
        elif order.closes:
            self.held_qty += leaves
        else:
            self.open_sell_qty += leaves

    def promise(self, side: str, closes: bool, qty: int) -> None:
        """Add what the exit of a group may do to the position, or take it away (below 0)."""
        if side == BUY:
            if closes:
                self.covered_qty += qty
            else:
                self.open_buy_qty += qty
        elif closes:
            self.held_qty += qty
        else:
            self.open_sell_qty += qty

    def trade(self, signed_qty: int, price: int) -> None:
        """Add a fill (`signed_qty` below 0 for a sale): what closes takes its share of the cost."""
        qty = self.qty
        if qty == 0 or (qty > 0) == (signed_qty > 0):
            self.qty = qty + signed_qty
            self.cost_e12 += price * signed_qty
            return
        size = qty if qty > 0 else -qty
        fill = signed_qty if signed_qty > 0 else -signed_qty
        closing = fill if fill < size else size
        self.cost_e12 -= divide_half_even(self.cost_e12 * closing, size)
        self.qty = qty + signed_qty
        if fill > size:
            check(self.cost_e12 == 0, "a closed position has no cost left")
            self.cost_e12 = price * self.qty

    def empty(self) -> bool:
        """Nothing held, nothing promised: the position can be forgotten."""
        return (
            self.qty == 0
            and self.held_qty == 0
            and self.covered_qty == 0
            and self.open_sell_qty == 0
            and self.open_buy_qty == 0
        )


class Instrument:
    """An instrument's rules, its state and the price at which it is valued."""

    def __init__(self, symbol: str) -> None:
        self.symbol: str = symbol
        self.tick_size: int = 100
        self.lot_size: int = 100_000_000
        self.fractionable: bool = False
        self.shortable: bool = False
        self.marginable: bool = False
        self.collar_ppm: int = 50_000
        self.order_qty_max: int = 0
        self.order_notional_max: int = 0
        self.maintenance_addon_ppm: int = 0
        self.state: str = "ACTIVE"
        self.last_px: int = 0
        self.prev_close_px: int = 0


class Account:
    """Cash, positions, reservations, open orders and settings of one account, in cents."""

    def __init__(self, account_id: str, account_type: str) -> None:
        self.account_id: str = account_id
        self.account_type: str = account_type
        self.created_us: int = 0
        self.cash: int = 0
        self.reserved: int = 0
        self.fees_paid: int = 0
        self.last_equity: int = 0
        self.maker_fee_ppm: int = 0
        self.taker_fee_ppm: int = 0
        self.shorting: bool = False
        self.stp: str = ""
        self.open_orders_max: int = 0
        self.blocked: bool = False
        self.no_shorting: bool = False
        self.suspend_trade: bool = False
        self.fractional_trading: bool = True
        self.trade_confirm_email: str = "all"
        self.max_margin_multiplier: str = "4"
        self.ptp_no_exception_entry: bool = False
        self.positions: dict[str, Position] = {}
        self.open: dict[str, Order] = {}
        self.cl_ord_ids: dict[str, str] = {}
        self.frozen: bool = False
        self.groups: dict[str, Group] = {}
        # How many of the open groups give up shares for other orders.
        self.shrinkable: int = 0
        # What is between trade and settlement, by symbol for shares, and what came of violations.
        self.unsettled_usable: bool = True
        self.dues: Dues = Dues()
        self.unsettled: dict[str, Unsettled] = {}
        self.standing: Standing = Standing()
        # A margin call: what was lacking, and when liquidation follows (0: there is none).
        self.call_deficit: int = 0
        self.call_due_us: int = 0
        # The sale that liquidation has under way in a symbol: its order's id and quantity.
        self.liquidations: dict[str, tuple[str, int]] = {}
        # Symbols in which an undone trade left less than is promised, until that is put right.
        self.overdrawn: dict[str, bool] = {}

    def settled_only(self) -> bool:
        """Whether purchases need settled cash: a rule of the account, or after violations."""
        return not self.unsettled_usable or self.standing.restricted_until != ""

    def spendable(self) -> int:
        """Cash that purchases of a cash account may use, reservations not yet taken off."""
        return self.dues.free(self.cash) if self.settled_only() else self.cash

    def position(self, symbol: str) -> Position:
        """The position in a symbol, made when there is none yet."""
        position = self.positions.get(symbol)
        if position is None:
            position = Position(symbol)
            self.positions[symbol] = position
        return position

    def forget_if_empty(self, symbol: str) -> None:
        """Drop the position in a symbol if it holds and promises nothing."""
        position = self.positions.get(symbol)
        if position is not None:
            self.forget(position)
        elif self.overdrawn:
            self.overdrawn.pop(symbol, None)

    def forget(self, position: Position) -> None:
        """Drop a position that holds and promises nothing, so that memory stays bounded."""
        if self.overdrawn and not position.overdrawn():
            self.overdrawn.pop(position.symbol, None)
        if position.empty():
            check(position.cost_e12 == 0, "an empty position has no cost")
            del self.positions[position.symbol]
