"""Checks of what is asked for: whether the terms of an order or a group go together and fit.

Pure: they look at the terms, the instrument and the time, and leave what is wrong in an
`Assessment` (the first fault) or a `GroupAssessment` (every fault, by field).
"""

from typing import Final

from mypy_extensions import mypyc_attr

from nexustrade.core.money import PRICE_ONE, QTY_ONE, notional, price_text, qty_text, usd_text
from nexustrade.core.terms import (
    BRACKET,
    BUY,
    CANCEL,
    CLS,
    DAY,
    ENTRY,
    FOK,
    FULL,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    OCO,
    OPG,
    PARTIAL,
    REDUCE,
    SELL,
    STOP,
    STOP_LIMIT,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
)
from nexustrade.core.ticks import tick_at, trailed_stop
from nexustrade.orders import messages as m
from nexustrade.orders import risk
from nexustrade.orders.groups import ORDER_CLASSES, Group, exit_side
from nexustrade.orders.messages import GroupAccepted, SubmitGroup
from nexustrade.orders.state import Account, Instrument, Order, Position

PRICES_APART: Final = 100
"""How far the legs of a bracket are from its entry's price at least: 0.01 USD."""

LIMIT_PRICE: Final = "limit_price"
STOP_PRICE: Final = "stop_price"
TP_PRICE: Final = "take_profit.limit_price"
SL_STOP: Final = "stop_loss.stop_price"
SL_LIMIT: Final = "stop_loss.limit_price"

_TYPE_NAMES: Final[dict[str, str]] = {
    MARKET: "market",
    LIMIT: "limit",
    STOP: "stop",
    STOP_LIMIT: "stop_limit",
    TRAILING_STOP: "trailing stop",
}
_NO_FACTS: Final[dict[str, str]] = {}
_NO_SHRINKS: Final[dict[str, int]] = {}


@mypyc_attr(acyclic=True)
class Assessment:
    """A new order with what it holds if it is accepted, or why it is rejected (`reason`).

    `field` is the term that is wrong, as clients name it.
    """

    def __init__(self, order: Order) -> None:
        self.order: Order = order
        self.reason: str = ""
        self.text: str = ""
        self.field: str = ""
        self.facts: dict[str, str] = _NO_FACTS
        self.collar_px: int = 0
        self.reserved: int = 0
        self.shrinks: dict[str, int] = _NO_SHRINKS

    def refuse(self, reason: str, text: str, field: str = "") -> "Assessment":
        """Turn it into a rejection."""
        self.reason = reason
        self.text = text
        self.field = field
        return self


class GroupAssessment:
    """A new group with what it holds if it is accepted, or everything that is wrong with it."""

    def __init__(self, command: SubmitGroup) -> None:
        self.command: SubmitGroup = command
        self.side: str = exit_side(command.order_class, command.side)
        self.closes: bool = True
        self.reason: str = ""
        self.text: str = ""
        self.facts: dict[str, str] = _NO_FACTS
        self.legs: dict[str, str] = {}
        self.collar_px: int = 0
        self.reserved: int = 0
        self.exit_reserved: int = 0
        self.held_qty: int = 0
        self.worst_leg: str = ""
        self.worst_px: int = 0

    def fault(self, field: str, reason: str, text: str) -> None:
        """Note what is wrong with a part; the reason is that of the first one."""
        if field in self.legs:
            return
        self.legs[field] = text
        self.refuse(reason, text)

    def refuse(self, reason: str, text: str) -> "GroupAssessment":
        """Turn it into a rejection, or add another text to it."""
        if self.reason:
            self.text = f"{self.text}; {text}"
        else:
            self.reason = reason
            self.text = text
        return self


# ---------------------------------------------------------------- single orders


def check_terms(a: Assessment, instrument: Instrument, now_us: int) -> None:
    """Side, time in force and the prices of the order's type."""
    o = a.order
    tif = o.time_in_force
    if o.side != BUY and o.side != SELL:
        a.refuse(m.INVALID_ORDER, f"invalid side {o.side}. side is BUY or SELL", "side")
        return
    check_expiry(a, tif, o.expire_us, now_us)
    if a.reason:
        return
    if o.ord_type == LIMIT:
        _check_limit(a, instrument)
    elif o.ord_type == MARKET:
        _check_market(a, instrument)
    elif o.ord_type == STOP or o.ord_type == STOP_LIMIT:
        _check_stop(a, instrument)
    elif o.ord_type == TRAILING_STOP:
        _check_trailing(a, instrument)
    else:
        a.refuse(m.INVALID_ORDER, f"invalid type {o.ord_type}", "type")


def check_expiry(a: Assessment, tif: str, expire_us: int, now_us: int) -> None:
    """The time in force is known, and it has an expire time exactly when it needs one."""
    if not (
        tif == DAY or tif == GTC or tif == IOC or tif == FOK or tif == GTD or tif == OPG
        or tif == CLS
    ):  # fmt: skip
        a.refuse(m.INVALID_ORDER, f"invalid time_in_force {tif}", "time_in_force")
    elif tif == GTD and expire_us <= now_us:
        a.refuse(m.INVALID_ORDER, "expires_at must be in the future for a gtd order", "expires_at")
    elif tif != GTD and expire_us:
        a.refuse(m.INVALID_ORDER, "expires_at is only for gtd orders", "expires_at")


def _check_limit(a: Assessment, instrument: Instrument) -> None:
    o = a.order
    tif = o.time_in_force
    if o.limit_px <= 0:
        a.refuse(m.INVALID_ORDER, "limit orders require limit_price", LIMIT_PRICE)
    elif o.stop_px or o.trail_px or o.trail_ppm:
        _refuse_unused(a)
    elif o.notional:
        a.refuse(m.INVALID_ORDER, "notional is only for market orders", "notional")
    elif o.order_qty <= 0:
        a.refuse(m.INVALID_ORDER, "qty or notional is required", "qty")
    elif o.post_only and (tif == IOC or tif == FOK or tif == OPG or tif == CLS):
        a.refuse(m.INVALID_ORDER, "post_only orders must be day, gtc or gtd", "post_only")
    else:
        check_tick(a, LIMIT_PRICE, o.limit_px, instrument)


def _check_market(a: Assessment, instrument: Instrument) -> None:
    o = a.order
    tif = o.time_in_force
    if o.limit_px:
        a.refuse(m.INVALID_ORDER, "market orders must not have limit_price", LIMIT_PRICE)
    elif o.stop_px or o.trail_px or o.trail_ppm:
        _refuse_unused(a)
    elif o.post_only:
        a.refuse(m.INVALID_ORDER, "post_only is only for limit orders", "post_only")
    elif (o.order_qty > 0) == (o.notional > 0):
        a.refuse(m.INVALID_ORDER, "either qty or notional is required, not both", "qty")
    elif o.notional and tif == FOK:
        a.refuse(m.INVALID_ORDER, "notional orders must not be fok", "time_in_force")
    elif o.notional and (tif == OPG or tif == CLS):
        a.refuse(m.INVALID_ORDER, "notional orders must not be opg or cls", "time_in_force")
    elif instrument.last_px <= 0:
        a.refuse(
            m.NO_REFERENCE_PRICE,
            f"market orders in {o.symbol} need a price that it has traded at",
            "type",
        )
    else:
        a.collar_px = risk.collar(instrument, o.side)


def _refuse_unused(a: Assessment) -> None:
    """Name a price that orders of this type do not have."""
    o = a.order
    trail = "trail_price" if o.trail_px else "trail_percent"
    field = STOP_PRICE if o.stop_px else trail
    name = _TYPE_NAMES[o.ord_type]
    a.refuse(m.INVALID_ORDER, f"{name} orders must not have {field}", field)


def _check_stop_common(a: Assessment) -> None:
    """What all stop orders have in common: a quantity, a lasting time in force, no post_only."""
    o = a.order
    tif = o.time_in_force
    name = _TYPE_NAMES[o.ord_type]
    if o.notional:
        a.refuse(m.INVALID_ORDER, "notional is only for market orders", "notional")
    elif o.order_qty <= 0:
        a.refuse(m.INVALID_ORDER, "qty is required", "qty")
    elif o.post_only:
        a.refuse(m.INVALID_ORDER, "post_only is only for limit orders", "post_only")
    elif o.ord_type == TRAILING_STOP:
        if not (tif == DAY or tif == GTC):
            a.refuse(m.INVALID_ORDER, f"{name} orders must be day or gtc", "time_in_force")
    elif not (tif == DAY or tif == GTC or tif == GTD):
        a.refuse(m.INVALID_ORDER, f"{name} orders must be day, gtc or gtd", "time_in_force")


def _check_stop(a: Assessment, instrument: Instrument) -> None:
    o = a.order
    if o.ord_type == STOP:
        if o.stop_px <= 0:
            a.refuse(m.INVALID_ORDER, "stop orders require stop_price", STOP_PRICE)
        elif o.limit_px:
            a.refuse(m.INVALID_ORDER, "stop orders must not have limit_price", LIMIT_PRICE)
    elif o.stop_px <= 0 or o.limit_px <= 0:
        a.refuse(
            m.INVALID_ORDER,
            "stop_limit orders require both stop_price and limit_price",
            STOP_PRICE if o.stop_px <= 0 else LIMIT_PRICE,
        )
    if not a.reason and (o.trail_px or o.trail_ppm):
        name = _TYPE_NAMES[o.ord_type]
        field = "trail_price" if o.trail_px else "trail_percent"
        a.refuse(m.INVALID_ORDER, f"{name} orders must not have {field}", field)
    if not a.reason:
        _check_stop_common(a)
    if not a.reason:
        check_tick(a, STOP_PRICE, o.stop_px, instrument)
    if not a.reason and o.limit_px:
        check_tick(a, LIMIT_PRICE, o.limit_px, instrument)
    if not a.reason:
        check_stop_waits(a, STOP_PRICE, o.stop_px, instrument)


def _check_trailing(a: Assessment, instrument: Instrument) -> None:
    o = a.order
    if o.limit_px:
        a.refuse(m.INVALID_ORDER, "trailing stop orders must not have limit_price", LIMIT_PRICE)
    elif o.stop_px:
        a.refuse(m.INVALID_ORDER, "trailing stop orders must not have stop_price", STOP_PRICE)
    else:
        _check_stop_common(a)
    if not a.reason:
        check_trail(a, instrument)
    if a.reason:
        return
    if instrument.last_px <= 0:
        a.refuse(
            m.NO_REFERENCE_PRICE,
            f"trailing stop orders in {o.symbol} need a price that it has traded at",
            "type",
        )
        return
    o.hwm_px = instrument.last_px
    o.stop_px = trailed_stop(o.side == BUY, o.hwm_px, o.trail_px, o.trail_ppm, instrument.tick_size)


def check_trail(a: Assessment, instrument: Instrument) -> None:
    """A trailing stop has one distance: a price on a tick, or a percentage below 100."""
    o = a.order
    if (o.trail_px > 0) == (o.trail_ppm > 0):
        a.refuse(
            m.INVALID_ORDER,
            "trailing stop orders require either trail_price or trail_percent",
            "trail_price",
        )
    elif o.trail_px:
        check_tick(a, "trail_price", o.trail_px, instrument)
        if not a.reason and o.side == SELL and 0 < instrument.last_px <= o.trail_px:
            a.refuse(m.INVALID_ORDER, "trail_price must be less than current price", "trail_price")
    elif o.trail_ppm >= 1_000_000:
        a.refuse(m.INVALID_ORDER, "trail_percent must be less than 100", "trail_percent")


def check_tick(a: Assessment, field: str, price: int, instrument: Instrument) -> None:
    """A price is on a tick."""
    fault = tick_fault(field, price, instrument)
    if fault:
        a.refuse(m.TICK_SIZE, fault, field)


def tick_fault(field: str, price: int, instrument: Instrument) -> str:
    """What is wrong with a price by the tick size; empty: nothing."""
    if price % tick_at(instrument.tick_size, price) == 0:
        return ""
    if instrument.tick_size == 100 or price < PRICE_ONE:
        rule = "sub-penny increment does not fulfill minimum pricing criteria"
    else:
        rule = f"the tick size is {price_text(instrument.tick_size)}"
    return f"invalid {field} {price_text(price)}. {rule}"


def check_stop_waits(a: Assessment, field: str, stop_px: int, instrument: Instrument) -> None:
    """The last trade has not reached the stop already."""
    fault = stop_fault(a.order.side, stop_px, instrument)
    if fault:
        a.facts = base_facts(instrument.last_px)
        a.refuse(m.STOP_WOULD_TRIGGER, fault, field)


def stop_fault(side: str, stop_px: int, instrument: Instrument) -> str:
    """What is wrong with a stop price that the last trade has reached; empty: it has not."""
    last_px = instrument.last_px
    if last_px <= 0:
        return ""
    if side == SELL:
        return "stop price must be less than current price" if last_px <= stop_px else ""
    return "stop price must be greater than current price" if last_px >= stop_px else ""


def check_size(a: Assessment, account: Account, instrument: Instrument) -> None:
    """Lots, fractions and the most that one order may be for."""
    o = a.order
    fractions = instrument.fractionable and account.fractional_trading
    qty = o.order_qty
    if o.notional:
        if not fractions:
            a.refuse(m.NOT_FRACTIONABLE, f'asset "{o.symbol}" is not fractionable', "notional")
    elif not fractions and qty % QTY_ONE:
        a.refuse(m.NOT_FRACTIONABLE, f'asset "{o.symbol}" is not fractionable', "qty")
    elif qty % instrument.lot_size and not (fractions and instrument.lot_size == QTY_ONE):
        lot = qty_text(instrument.lot_size)
        a.refuse(m.LOT_SIZE, f"invalid qty {qty_text(qty)}. the lot size is {lot}", "qty")
    if a.reason:
        return
    if instrument.order_qty_max and qty > instrument.order_qty_max:
        most = qty_text(instrument.order_qty_max)
        a.refuse(m.ORDER_QTY_MAX, f"invalid qty {qty_text(qty)}. at most {most} per order", "qty")
    else:
        check_worth(a, instrument)


def check_worth(a: Assessment, instrument: Instrument) -> None:
    """The most that one order may be worth."""
    o = a.order
    if instrument.order_notional_max:
        price = o.limit_px if o.limit_px else (o.stop_px if o.stop_px else a.collar_px)
        worth = o.notional if o.notional else notional(price, o.order_qty)
        if worth > instrument.order_notional_max:
            most = usd_text(instrument.order_notional_max)
            a.refuse(
                m.ORDER_NOTIONAL_MAX,
                f"invalid order value {usd_text(worth)}. at most {most} per order",
                "qty",
            )


# ---------------------------------------------------------------- groups


def entry_of(c: SubmitGroup | GroupAccepted) -> Order:
    """The entry of a group as an order; for an OCO its take-profit, which is its parent."""
    order = Order(c.account_id, c.group_id, c.cl_ord_id, c.symbol)
    order.side = c.side
    order.ord_type = LIMIT if c.order_class == OCO else c.ord_type
    order.time_in_force = c.time_in_force
    order.order_qty = c.order_qty
    order.leaves_qty = c.order_qty
    order.limit_px = c.tp_limit_px if c.order_class == OCO else c.limit_px
    order.stop_px = 0 if c.order_class == OCO else c.stop_px
    order.expire_us = c.expire_us
    order.position_intent = c.position_intent
    return order


def orders_of(e: GroupAccepted, group: Group, ts_us: int) -> list[Order]:
    """The orders of a new group, the parent first, as far as it has them."""
    orders: list[Order] = []
    if e.order_class != OCO:
        entry = entry_of(e)
        entry.role = ENTRY
        orders.append(entry)
    if e.tp_order_id:
        leg = _leg_of(e, TAKE_PROFIT, e.tp_order_id, tp_cl_ord_id(e), group.side)
        leg.ord_type = LIMIT
        leg.limit_px = e.tp_limit_px
        leg.held = e.order_class != OCO
        orders.append(leg)
    if e.sl_order_id:
        cl_ord_id = leg_cl_ord_id(e.sl_cl_ord_id, e.sl_order_id)
        leg = _leg_of(e, STOP_LOSS, e.sl_order_id, cl_ord_id, group.side)
        leg.ord_type = STOP_LIMIT if e.sl_limit_px else STOP
        leg.limit_px = e.sl_limit_px
        leg.stop_px = e.sl_stop_px
        leg.held = True
        orders.append(leg)
    for order in orders:
        order.group = group
        order.ord_status = order.resting_status()
        order.submitted_us = ts_us
        order.updated_us = ts_us
    return orders


def _leg_of(e: GroupAccepted, role: str, order_id: str, cl_ord_id: str, side: str) -> Order:
    """A leg with what both of a group's legs have in common."""
    leg = Order(e.account_id, order_id, cl_ord_id, e.symbol)
    leg.role = role
    leg.side = side
    leg.time_in_force = e.time_in_force
    leg.expire_us = e.expire_us
    leg.order_qty = e.order_qty
    leg.leaves_qty = e.order_qty
    if e.order_class == OCO:
        leg.position_intent = e.position_intent
    return leg


def leg_cl_ord_id(cl_ord_id: str, order_id: str) -> str:
    """The client order id of a leg: its order id where the client gave none."""
    return cl_ord_id if cl_ord_id else order_id


def tp_cl_ord_id(c: SubmitGroup | GroupAccepted) -> str:
    """The client order id of a group's take-profit; that of an OCO is the group's."""
    if c.order_class == OCO and c.cl_ord_id:
        return c.cl_ord_id
    return leg_cl_ord_id(c.tp_cl_ord_id, c.tp_order_id)


def check_group_terms(g: GroupAssessment, entry: Assessment, instrument: Instrument) -> None:
    """Everything that can be said of a group without its account, each fault by its field."""
    c = g.command
    if c.order_class not in ORDER_CLASSES:
        g.fault("order_class", m.INVALID_ORDER, f"invalid order_class {c.order_class}")
        return
    name = c.order_class.lower()
    if c.side != BUY and c.side != SELL:
        g.fault("side", m.INVALID_ORDER, f"invalid side {c.side}. side is BUY or SELL")
        return
    tif = c.time_in_force
    if not (tif == DAY or tif == GTC or tif == GTD):
        g.fault("time_in_force", m.INVALID_ORDER, f"{name} orders must be day, gtc or gtd")
    _check_policy(g, name)
    _check_wanted_legs(g, name)
    _check_ids(g)
    _check_ticks(g, instrument)
    if c.order_qty <= 0:
        g.fault("qty", m.INVALID_ORDER, "qty is required")
    if c.order_class == OCO:
        _check_oco_parent(g)
    if c.order_class != OCO and c.ord_type not in (MARKET, LIMIT, STOP, STOP_LIMIT):
        text = f"{name} orders must be market, limit, stop or stop_limit orders"
        g.fault("type", m.INVALID_ORDER, text)
    elif entry.reason:
        g.fault(_entry_field(c, entry.field), entry.reason, entry.text)
    _check_straddle(g, instrument)


def _entry_field(c: SubmitGroup, field: str) -> str:
    """The name of a faulty term: an OCO's parent is its take-profit."""
    if c.order_class == OCO and field == LIMIT_PRICE:
        return TP_PRICE
    return field if field else "order"


def _check_policy(g: GroupAssessment, name: str) -> None:
    c = g.command
    if c.policy != REDUCE and c.policy != CANCEL:
        g.fault("policy", m.INVALID_ORDER, f"invalid policy {c.policy}. it is REDUCE or CANCEL")
    if c.activation != PARTIAL and c.activation != FULL:
        g.fault(
            "activation", m.INVALID_ORDER, f"invalid activation {c.activation}. PARTIAL or FULL"
        )
    elif c.order_class == BRACKET and c.policy == CANCEL and c.activation != FULL:
        # A fill of one leg would end the other before the entry has brought all of it to life.
        g.fault("activation", m.INVALID_ORDER, f"{name} orders with policy CANCEL are FULL")


def _check_wanted_legs(g: GroupAssessment, name: str) -> None:
    c = g.command
    if c.order_class == "OTO":
        if (c.tp_order_id != "") == (c.sl_order_id != ""):
            text = "oto orders require either take_profit.limit_price or stop_loss.stop_price"
            g.fault(TP_PRICE, m.INVALID_ORDER, text)
    else:
        if not c.tp_order_id:
            g.fault(TP_PRICE, m.INVALID_ORDER, f"{name} orders require {TP_PRICE}")
        if not c.sl_order_id:
            g.fault(SL_STOP, m.INVALID_ORDER, f"{name} orders require {SL_STOP}")
    if c.tp_order_id and c.tp_limit_px <= 0:
        g.fault(TP_PRICE, m.INVALID_ORDER, f"{name} orders require {TP_PRICE}")
    if c.sl_order_id and c.sl_stop_px <= 0:
        g.fault(SL_STOP, m.INVALID_ORDER, f"{name} orders require {SL_STOP}")


def _check_ids(g: GroupAssessment) -> None:
    c = g.command
    parent = c.tp_order_id if c.order_class == OCO else c.group_id
    if c.order_class == OCO and c.tp_order_id and c.tp_order_id != c.group_id:
        g.fault("order_id", m.INVALID_ORDER, "the id of an oco is that of its take-profit")
    ids = [parent] if c.order_class == OCO else [parent, c.tp_order_id]
    ids.append(c.sl_order_id)
    given = [one for one in ids if one]
    if len(set(given)) != len(given):
        g.fault("order_id", m.INVALID_ORDER, "the orders of a group have different ids")
    first = c.cl_ord_id if c.cl_ord_id else c.group_id
    second = tp_cl_ord_id(c)
    if c.order_class != OCO and c.tp_order_id and second == first:
        text = "client_order_id must be unique"
        g.fault("take_profit.client_order_id", m.DUPLICATE_CL_ORD_ID, text)
    third = leg_cl_ord_id(c.sl_cl_ord_id, c.sl_order_id)
    if c.sl_order_id and (third == first or (c.tp_order_id != "" and third == second)):
        text = "client_order_id must be unique"
        g.fault("stop_loss.client_order_id", m.DUPLICATE_CL_ORD_ID, text)


def _check_ticks(g: GroupAssessment, instrument: Instrument) -> None:
    c = g.command
    if c.tp_order_id:
        _check_group_tick(g, TP_PRICE, c.tp_limit_px, instrument)
    if c.sl_order_id:
        _check_group_tick(g, SL_STOP, c.sl_stop_px, instrument)
        _check_group_tick(g, SL_LIMIT, c.sl_limit_px, instrument)


def _check_group_tick(g: GroupAssessment, field: str, price: int, instrument: Instrument) -> None:
    fault = tick_fault(field, price, instrument) if price > 0 else ""
    if fault:
        g.fault(field, m.TICK_SIZE, fault)


def _check_oco_parent(g: GroupAssessment) -> None:
    c = g.command
    if c.ord_type and c.ord_type != LIMIT:
        g.fault("type", m.INVALID_ORDER, "oco orders must be limit orders")
    if c.limit_px and c.limit_px != c.tp_limit_px:
        g.fault(LIMIT_PRICE, m.INVALID_ORDER, f"oco orders have {TP_PRICE}, not limit_price")
    if c.stop_px:
        g.fault(STOP_PRICE, m.INVALID_ORDER, f"oco orders have {SL_STOP}, not stop_price")


def _check_straddle(g: GroupAssessment, instrument: Instrument) -> None:
    """The price of the market (an OCO), or of the entry, is between the legs."""
    c = g.command
    oco = c.order_class == OCO
    reference = reference_px(c.limit_px, c.stop_px, instrument)
    if oco:
        reference = instrument.last_px
    if reference <= 0:
        if not g.reason:
            text = f"there is no price of {c.symbol} for the legs to have between them"
            g.fault(TP_PRICE if c.tp_order_id else SL_STOP, m.OCO_PRICES_DO_NOT_STRADDLE, text)
        return
    apart = PRICES_APART if c.order_class == BRACKET else 0
    base = "current price" if oco else "base_price"
    if c.tp_order_id and c.tp_limit_px > 0:
        up = g.side == SELL
        fault = side_fault(TP_PRICE, c.tp_limit_px, up, reference, apart, base)
        if fault:
            g.fault(TP_PRICE, m.OCO_PRICES_DO_NOT_STRADDLE, fault)
    if c.sl_order_id and c.sl_stop_px > 0:
        if oco:
            fault = stop_fault(g.side, c.sl_stop_px, instrument)
        else:
            up = g.side == BUY
            fault = side_fault(SL_STOP, c.sl_stop_px, up, reference, apart, base)
        if fault:
            g.fault(SL_STOP, m.OCO_PRICES_DO_NOT_STRADDLE, fault)
    if g.reason == m.OCO_PRICES_DO_NOT_STRADDLE:
        g.facts = base_facts(reference)


def reference_px(limit_px: int, stop_px: int, instrument: Instrument) -> int:
    """The price that the exit of a bracket must straddle: its entry's, else the market's."""
    if limit_px:
        return limit_px
    return stop_px if stop_px else instrument.last_px


def side_fault(field: str, price: int, above: bool, reference: int, apart: int, base: str) -> str:
    """What is wrong with a leg's price beside a reference price; empty: nothing.

    `apart` is the least distance; 0: any.
    """
    if above:
        if price > reference and price >= reference + apart:
            return ""
        return f"{field} must be >= {base} + 0.01" if apart else f"{field} must be > {base}"
    if price < reference and price <= reference - apart:
        return ""
    return f"{field} must be <= {base} - 0.01" if apart else f"{field} must be < {base}"


def legs_fault(side: str, tp_limit_px: int, sl_stop_px: int) -> str:
    """What is wrong with both levels of an exit: one print must not reach both (row 11)."""
    if side == SELL:
        return f"{TP_PRICE} must be > {SL_STOP}" if tp_limit_px <= sl_stop_px else ""
    return f"{TP_PRICE} must be < {SL_STOP}" if tp_limit_px >= sl_stop_px else ""


# ---------------------------------------------------------------- what is lacking


def lack_shares(a: Assessment, wanted: int, position: Position | None) -> None:
    """Refuse an order for shares that are not there or promised already, with the figures."""
    a.facts = shares_facts(a.order.symbol, wanted, position)
    a.refuse(m.INSUFFICIENT_QTY, shares_text(wanted, position), "qty")


def shares_facts(symbol: str, wanted: int, position: Position | None) -> dict[str, str]:
    """The figures behind INSUFFICIENT_QTY."""
    available = position.available() if position is not None else 0
    existing = position.qty if position is not None else 0
    size = existing if existing > 0 else -existing
    return {
        "requested": qty_text(wanted),
        "available": qty_text(available),
        "existing_qty": qty_text(existing),
        "held_for_orders": qty_text(size - available),
        "symbol": symbol,
    }


def shares_text(wanted: int, position: Position | None) -> str:
    """INSUFFICIENT_QTY in words."""
    available = position.available() if position is not None else 0
    return (
        "insufficient qty available for order"
        f" (requested: {qty_text(wanted)}, available: {qty_text(available)})"
    )


def base_facts(base_px: int) -> dict[str, str]:
    """The price that a stop or the legs of a group are held against."""
    return {"base_price": price_text(base_px)}


def funds_facts(account: Account, free: int, needed: int) -> dict[str, str]:
    """The figures behind INSUFFICIENT_BUYING_POWER."""
    return {
        "buying_power": usd_text(risk.buying_power(account, free)),
        "cost_basis": usd_text(risk.buying_power(account, needed)),
    }
