"""The orders stage: order lifecycle, accounts and reservations of one partition of the accounts.

It promises that no order reaches matching before its worst case is reserved, that what an order
holds is released exactly when it ends, and that cash and shares are conserved: what one side of a
trade pays the other receives, and every fee is on the house's account.
"""

from collections import deque
from typing import Any, Final, cast

import msgspec

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.money import (
    PRICE_ONE,
    QTY_ONE,
    divide_up,
    fee,
    notional,
    price_text,
    qty_text,
    usd_text,
)
from nexustrade.core.terms import (
    BUY,
    CANCELED,
    CASH,
    DAY,
    EXPIRED,
    FILLED,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MAKER,
    MARGIN,
    MARKET,
    NEW,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_REPLACE,
    REPLACED,
    SELL,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
    TAKER,
)
from nexustrade.kernel.stage import Stage
from nexustrade.matching.messages import (
    END_OF_DAY,
    EXPIRE_TIME,
    Amended,
    Decremented,
    DefineInstrument,
    InstrumentDefined,
    Marked,
    Refused,
    Removed,
    SessionClosed,
    Traded,
)
from nexustrade.orders import messages as m
from nexustrade.orders import risk
from nexustrade.orders.messages import (
    AccountBlocked,
    AccountConfigured,
    AccountOpened,
    AdjustCash,
    AdjustPosition,
    BlockAccount,
    BlockVenue,
    CancelAllOrders,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    CashAdjusted,
    CommandRejected,
    ConfigureAccount,
    DayClosed,
    InstrumentRestricted,
    OpenAccount,
    OrderAccepted,
    OrderCanceled,
    OrderDecremented,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    PositionAdjusted,
    PriceMarked,
    ReplaceOrder,
    ReplaceRejected,
    ReplaceRequested,
    RestrictInstrument,
    SubmitOrder,
    VenueBlocked,
)
from nexustrade.orders.state import Account, Instrument, Order, Position, order_from, order_of

CLOSED_KEEP_US: Final = 600 * 1_000_000
"""How long a closed order stays in memory, for queries and for duplicates of its client id."""

_UNITS_PER_CENT: Final = 10_000_000_000
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder().decode
_STP_MODES: Final = (STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT)
_INSTRUMENT_STATES: Final = ("ACTIVE", "HALTED", "RESTRICTED")

_NO_FACTS: Final[dict[str, str]] = {}

# One look-up of the message's class tells the way; the frequent ones come first.
_DECIDE: Final[dict[Any, int]] = {
    SubmitOrder: 1,
    Traded: 2,
    CancelOrder: 3,
    Removed: 4,
    ReplaceOrder: 5,
    Amended: 6,
    Refused: 7,
    Marked: 8,
    Decremented: 9,
}
_APPLY: Final[dict[Any, int]] = {
    OrderAccepted: 1,
    OrderFilled: 2,
    CancelRequested: 3,
    OrderCanceled: 4,
    PriceMarked: 5,
    OrderExpired: 6,
    ReplaceRequested: 7,
    OrderReplaced: 8,
    OrderRejected: 9,
}


class Assessment:
    """A new order with what it holds if it is accepted, or why it is rejected (`reason`)."""

    def __init__(self, order: Order) -> None:
        self.order: Order = order
        self.reason: str = ""
        self.text: str = ""
        self.facts: dict[str, str] = _NO_FACTS
        self.collar_px: int = 0
        self.reserved: int = 0

    def refuse(self, reason: str, text: str) -> "Assessment":
        """Turn it into a rejection."""
        self.reason = reason
        self.text = text
        return self


class OrdersStage(Stage):
    """State of one partition of accounts. See the module's promise and `verify`."""

    def __init__(self, shard: str, closed_keep_us: int = CLOSED_KEEP_US) -> None:
        super().__init__(shard)
        self.closed_keep_us: int = closed_keep_us
        self.accounts: dict[str, Account] = {}
        self.instruments: dict[str, Instrument] = {}
        self.definitions: dict[str, InstrumentDefined] = {}
        self.orders: dict[str, Order] = {}
        self.closed: deque[Order] = deque()
        self.blocked: bool = False
        self.house_fees: int = 0
        # Cash that came from or went to outside, so that conservation can be checked.
        self.paid_in: int = 0

    # ------------------------------------------------------------ decide

    def decide(self, message: Message) -> None:
        kind = _DECIDE.get(type(message), 0)
        if kind == 1:
            self._submit(cast(SubmitOrder, message))
        elif kind == 2:
            self._traded(cast(Traded, message))
        elif kind == 3:
            self._cancel(cast(CancelOrder, message))
        elif kind == 4:
            self._removed(cast(Removed, message))
        elif kind == 5:
            self._replace(cast(ReplaceOrder, message))
        elif kind == 6:
            self._amended(cast(Amended, message))
        elif kind == 7:
            self._refused(cast(Refused, message))
        elif kind == 8:
            self._marked(cast(Marked, message))
        elif kind == 9:
            self._decremented(cast(Decremented, message))
        else:
            self._decide_rare(message)

    def _decide_rare(self, message: Message) -> None:
        if isinstance(message, CancelAllOrders):
            self._cancel_all(message)
        elif isinstance(message, SessionClosed):
            self.emit(DayClosed(message.session_date))
        elif isinstance(message, DefineInstrument):
            self._define(message)
        elif isinstance(message, OpenAccount):
            self._open_account(message)
        elif isinstance(message, ConfigureAccount):
            self._configure(message)
        elif isinstance(message, AdjustCash):
            self._adjust_cash(message)
        elif isinstance(message, AdjustPosition):
            self._adjust_position(message)
        elif isinstance(message, BlockAccount):
            self._block_account(message)
        elif isinstance(message, BlockVenue):
            self.emit(VenueBlocked(message.blocked, message.reason))
        elif isinstance(message, RestrictInstrument):
            self._restrict(message)

    # -- new orders

    def _submit(self, c: SubmitOrder) -> None:
        a = self.assess(c)
        o = a.order
        if a.reason:
            self.emit(
                OrderRejected(
                    o.account_id,
                    o.order_id,
                    o.cl_ord_id,
                    o.symbol,
                    o.side,
                    o.ord_type,
                    a.reason,
                    a.text,
                    o.order_qty,
                    o.limit_px,
                    a.facts,
                )
            )
            return
        self.emit(
            OrderAccepted(
                o.account_id,
                o.order_id,
                o.cl_ord_id,
                o.symbol,
                o.side,
                o.ord_type,
                o.time_in_force,
                o.order_qty,
                o.notional,
                o.limit_px,
                a.collar_px,
                o.expire_us,
                o.post_only,
                o.extended_hours,
                o.position_intent,
                self.accounts[o.account_id].stp,
                1,
                a.reserved,
                o.order_qty if o.closes and o.side == SELL else 0,
                o.order_qty if o.closes and o.side == BUY else 0,
            )
        )

    def assess(self, c: SubmitOrder) -> Assessment:
        """All checks of a new order and what it would hold; changes nothing."""
        o = order_of(c)
        a = Assessment(o)
        account = self.accounts.get(o.account_id)
        if account is None:
            return a.refuse(m.UNKNOWN_ACCOUNT, f"account {o.account_id} is not known")
        known = account.cl_ord_ids.get(o.cl_ord_id) or c.known_order_id
        if known:
            a.facts = {"existing_order_id": known}
            return a.refuse(m.DUPLICATE_CL_ORD_ID, "client_order_id must be unique")
        instrument = self.instruments.get(o.symbol)
        if instrument is None:
            return a.refuse(m.UNKNOWN_SYMBOL, f"asset not found for {o.symbol}")
        self._check_permission(a, account, instrument)
        if not a.reason:
            self._check_terms(a, instrument)
        if not a.reason:
            self._check_size(a, account, instrument)
        if not a.reason and len(account.open) >= account.open_orders_max:
            a.facts = {"open_orders_max": str(account.open_orders_max)}
            a.refuse(m.OPEN_ORDERS_MAX, f"at most {account.open_orders_max} orders may be open")
        if not a.reason:
            if o.side == BUY:
                self._assess_buy(a, account, instrument)
            else:
                self._assess_sell(a, account, instrument)
        return a

    def _check_permission(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        if self.blocked:
            a.refuse(m.VENUE_BLOCKED, "new orders are not accepted: the venue is blocked")
        elif account.blocked:
            a.refuse(m.ACCOUNT_BLOCKED, "new orders are rejected: the account is blocked")
        elif account.suspend_trade:
            a.refuse(m.SUSPENDED_BY_USER, "new orders are rejected by user request")
        elif instrument.state == "HALTED":
            a.refuse(m.NOT_TRADABLE, f'asset "{instrument.symbol}" is not tradable')
        elif instrument.state == "RESTRICTED":
            position = account.positions.get(instrument.symbol)
            qty = position.qty if position is not None else 0
            if not (qty < 0 if a.order.side == BUY else qty > 0):
                a.refuse(m.NOT_TRADABLE, f'asset "{instrument.symbol}" is not tradable')

    def _check_terms(self, a: Assessment, instrument: Instrument) -> None:
        o = a.order
        tif = o.time_in_force
        if o.side != BUY and o.side != SELL:
            a.refuse(m.INVALID_ORDER, f"invalid side {o.side}. side is BUY or SELL")
        elif not (tif == DAY or tif == GTC or tif == IOC or tif == FOK or tif == GTD):
            a.refuse(m.INVALID_ORDER, f"invalid time_in_force {tif}")
        elif tif == GTD and o.expire_us <= self._now_us:
            a.refuse(m.INVALID_ORDER, "expires_at must be in the future for a gtd order")
        elif tif != GTD and o.expire_us:
            a.refuse(m.INVALID_ORDER, "expires_at is only for gtd orders")
        elif o.ord_type == LIMIT:
            self._check_limit(a, instrument)
        elif o.ord_type == MARKET:
            self._check_market(a, instrument)
        else:
            a.refuse(m.INVALID_ORDER, f"invalid type {o.ord_type}")

    def _check_limit(self, a: Assessment, instrument: Instrument) -> None:
        o = a.order
        if o.limit_px <= 0:
            a.refuse(m.INVALID_ORDER, "limit orders require limit_price")
        elif o.notional:
            a.refuse(m.INVALID_ORDER, "notional is only for market orders")
        elif o.order_qty <= 0:
            a.refuse(m.INVALID_ORDER, "qty or notional is required")
        elif o.post_only and (o.time_in_force == IOC or o.time_in_force == FOK):
            a.refuse(m.INVALID_ORDER, "post_only orders must be day, gtc or gtd")
        else:
            self._check_tick(a, o.limit_px, instrument)

    def _check_market(self, a: Assessment, instrument: Instrument) -> None:
        o = a.order
        if o.limit_px:
            a.refuse(m.INVALID_ORDER, "market orders must not have limit_price")
        elif o.post_only:
            a.refuse(m.INVALID_ORDER, "post_only is only for limit orders")
        elif (o.order_qty > 0) == (o.notional > 0):
            a.refuse(m.INVALID_ORDER, "either qty or notional is required, not both")
        elif o.notional and o.time_in_force == FOK:
            a.refuse(m.INVALID_ORDER, "notional orders must not be fok")
        elif instrument.last_px <= 0:
            a.refuse(
                m.NO_REFERENCE_PRICE,
                f"market orders in {o.symbol} need a price that it has traded at",
            )
        else:
            a.collar_px = risk.collar(instrument, o.side)

    def _check_tick(self, a: Assessment, price: int, instrument: Instrument) -> None:
        if price % risk.tick_at(instrument, price):
            if instrument.tick_size == 100 or price < PRICE_ONE:
                rule = "sub-penny increment does not fulfill minimum pricing criteria"
            else:
                rule = f"the tick size is {price_text(instrument.tick_size)}"
            a.refuse(m.TICK_SIZE, f"invalid limit_price {price_text(price)}. {rule}")

    def _check_size(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        o = a.order
        fractions = instrument.fractionable and account.fractional_trading
        qty = o.order_qty
        if o.notional:
            if not fractions:
                a.refuse(m.NOT_FRACTIONABLE, f'asset "{o.symbol}" is not fractionable')
        elif not fractions and qty % QTY_ONE:
            a.refuse(m.NOT_FRACTIONABLE, f'asset "{o.symbol}" is not fractionable')
        elif qty % instrument.lot_size and not (fractions and instrument.lot_size == QTY_ONE):
            lot = qty_text(instrument.lot_size)
            a.refuse(m.LOT_SIZE, f"invalid qty {qty_text(qty)}. the lot size is {lot}")
        if a.reason:
            return
        if instrument.order_qty_max and qty > instrument.order_qty_max:
            most = qty_text(instrument.order_qty_max)
            a.refuse(m.ORDER_QTY_MAX, f"invalid qty {qty_text(qty)}. at most {most} per order")
        if instrument.order_notional_max:
            price = o.limit_px if o.limit_px else a.collar_px
            worth = o.notional if o.notional else notional(price, qty)
            if worth > instrument.order_notional_max:
                most = usd_text(instrument.order_notional_max)
                a.refuse(
                    m.ORDER_NOTIONAL_MAX,
                    f"invalid order value {usd_text(worth)}. at most {most} per order",
                )

    def _assess_buy(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        o = a.order
        position = account.positions.get(o.symbol)
        if position is not None and position.qty < 0:
            if o.notional:
                a.refuse(m.INVALID_ORDER, "notional orders cannot close a short position")
                return
            if o.order_qty > position.available():
                self._lack_shares(a, o.order_qty, position)
                return
            o.closes = True
        self._reserve(a, account, instrument)

    def _assess_sell(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        o = a.order
        position = account.positions.get(o.symbol)
        if position is not None and position.qty > 0:
            self._assess_close(a, position, instrument)
        elif account.account_type != MARGIN or not account.shorting or account.no_shorting:
            self._lack_shares(a, self._shares_wanted(o, instrument), position)
        elif not instrument.shortable:
            a.refuse(m.NOT_SHORTABLE, f'asset "{o.symbol}" cannot be sold short')
        elif o.notional or o.order_qty % QTY_ONE:
            a.refuse(m.NOT_SHORTABLE, "fractional orders cannot be sold short")
        else:
            self._reserve(a, account, instrument)

    def _shares_wanted(self, o: Order, instrument: Instrument) -> int:
        if o.notional:
            return divide_up(o.notional * _UNITS_PER_CENT, instrument.last_px)
        return o.order_qty

    def _assess_close(self, a: Assessment, position: Position, instrument: Instrument) -> None:
        o = a.order
        wanted = self._shares_wanted(o, instrument)
        available = position.available()
        if wanted > available:
            self._lack_shares(a, wanted, position)
            return
        if o.notional:
            # At the collar it takes more shares than at the last price, but never more than there
            # are: the cap keeps what is sold within what is held.
            most = divide_up(o.notional * _UNITS_PER_CENT, a.collar_px)
            o.order_qty = most if most < available else available
        o.closes = True

    def _lack_shares(self, a: Assessment, wanted: int, position: Position | None) -> None:
        available = position.available() if position is not None else 0
        existing = position.qty if position is not None else 0
        size = existing if existing > 0 else -existing
        a.facts = {
            "requested": qty_text(wanted),
            "available": qty_text(available),
            "existing_qty": qty_text(existing),
            "held_for_orders": qty_text(size - available),
            "symbol": a.order.symbol,
        }
        a.refuse(
            m.INSUFFICIENT_QTY,
            "insufficient qty available for order"
            f" (requested: {qty_text(wanted)}, available: {qty_text(available)})",
        )

    def _reserve(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        self._set_hold(a.order, account, instrument, a.collar_px)
        a.reserved = risk.hold(a.order)
        if a.reserved:
            free = risk.excess(account, self.instruments)
            if a.reserved > free:
                self._lack_funds(a, account, free, a.reserved)

    def _lack_funds(self, a: Assessment, account: Account, free: int, needed: int) -> None:
        a.facts = {
            "buying_power": usd_text(risk.buying_power(account, free)),
            "cost_basis": usd_text(risk.buying_power(account, needed)),
        }
        a.refuse(m.INSUFFICIENT_BUYING_POWER, "insufficient buying power")

    def _set_hold(
        self, order: Order, account: Account, instrument: Instrument, collar_px: int
    ) -> None:
        """Fix the worst price and the rates that the order's reservation is computed with."""
        maker, taker = account.maker_fee_ppm, account.taker_fee_ppm
        order.fee_ppm = maker if maker > taker else taker
        if order.side == BUY:
            order.hold_px = order.limit_px if order.limit_px else collar_px
            order.hold_ppm = risk.hold_ppm(account, instrument, BUY)
        elif order.closes:
            order.hold_ppm = 0
        else:
            # A short is valued at the market: what it may cost is not bounded by its own limit.
            ceiling = risk.collar(instrument, BUY)
            order.hold_px = order.limit_px if order.limit_px > ceiling else ceiling
            order.hold_ppm = risk.hold_ppm(account, instrument, SELL)

    # -- cancel and replace

    def _cancel(self, c: CancelOrder) -> None:
        order = self.orders.get(c.order_id)
        if order is None or order.account_id != c.account_id:
            self.emit(CancelRejected(c.account_id, c.order_id, m.UNKNOWN_ORDER))
        elif order.closed_us:
            self.emit(CancelRejected(c.account_id, c.order_id, m.ORDER_CLOSED, order.ord_status))
        elif order.ord_status == PENDING_CANCEL or order.replacement is not None:
            self.emit(CancelRejected(c.account_id, c.order_id, m.ORDER_PENDING, order.ord_status))
        else:
            self.emit(CancelRequested(c.account_id, c.order_id, order.symbol))

    def _cancel_all(self, c: CancelAllOrders) -> None:
        account = self.accounts.get(c.account_id)
        if account is None:
            self.emit(
                CommandRejected(c.account_id, "CancelAllOrders", m.UNKNOWN_ACCOUNT, "no account")
            )
            return
        self._cancel_open(account, c.symbol, c.side)

    def _cancel_open(self, account: Account, symbol: str, side: str) -> None:
        for order in list(account.open.values()):
            if symbol and order.symbol != symbol:
                continue
            if side and order.side != side:
                continue
            if order.ord_status != PENDING_CANCEL and order.replacement is None:
                self.emit(CancelRequested(account.account_id, order.order_id, order.symbol))

    def _replace(self, c: ReplaceOrder) -> None:
        order = self.orders.get(c.orig_order_id)
        if order is None or order.account_id != c.account_id:
            self._reject_replace(c, m.UNKNOWN_ORDER, f"order not found for {c.orig_order_id}", "")
            return
        if order.closed_us:
            self._reject_replace(c, m.ORDER_CLOSED, "", order.ord_status)
            return
        if order.ord_status == PENDING_CANCEL or order.replacement is not None:
            self._reject_replace(c, m.ORDER_PENDING, "", order.ord_status)
            return
        a = self._assess_replace(c, order)
        if a.reason:
            self._reject_replace(c, a.reason, a.text, "", a.facts)
            return
        self.emit(
            ReplaceRequested(
                c.account_id,
                c.order_id,
                c.orig_order_id,
                c.cl_ord_id,
                order.symbol,
                c.order_qty if c.order_qty else order.order_qty,
                c.limit_px if c.limit_px else order.limit_px,
                c.time_in_force if c.time_in_force else order.time_in_force,
                self._expire_us(c, order),
                a.reserved,
                a.order.leaves_qty if order.closes and order.side == SELL else 0,
                a.order.leaves_qty if order.closes and order.side == BUY else 0,
            )
        )

    def _reject_replace(
        self,
        c: ReplaceOrder,
        reason: str,
        text: str,
        ord_status: str,
        facts: dict[str, str] | None = None,
    ) -> None:
        self.emit(
            ReplaceRejected(
                c.account_id,
                c.order_id,
                c.orig_order_id,
                reason,
                text,
                ord_status,
                facts if facts is not None else {},
            )
        )

    def _expire_us(self, c: ReplaceOrder, order: Order) -> int:
        tif = c.time_in_force if c.time_in_force else order.time_in_force
        if tif != GTD:
            return 0
        return c.expire_us if c.expire_us else order.expire_us

    def _assess_replace(self, c: ReplaceOrder, order: Order) -> Assessment:
        total = c.order_qty if c.order_qty else order.order_qty
        price = c.limit_px if c.limit_px else order.limit_px
        a = Assessment(self._successor(order, order.order_id, "", total, price))
        account = self.accounts[order.account_id]
        instrument = self.instruments[order.symbol]
        known = account.cl_ord_ids.get(c.cl_ord_id) or c.known_order_id
        if known:
            a.facts = {"existing_order_id": known}
            return a.refuse(m.DUPLICATE_CL_ORD_ID, "client_order_id must be unique")
        self._check_permission(a, account, instrument)
        if not a.reason:
            self._check_new_terms(a, c, order, instrument)
        if not a.reason and total != order.order_qty:
            self._check_size(a, account, instrument)
        if not a.reason:
            self._reserve_replace(a, order, account, instrument)
        return a

    def _check_new_terms(
        self, a: Assessment, c: ReplaceOrder, order: Order, instrument: Instrument
    ) -> None:
        tif = c.time_in_force if c.time_in_force else order.time_in_force
        if order.notional or order.ord_type != LIMIT:
            a.refuse(m.INVALID_ORDER, "only limit orders can be replaced")
        elif not (tif == DAY or tif == GTC or tif == GTD):
            a.refuse(m.INVALID_ORDER, "time_in_force of a replace is day, gtc or gtd")
        elif tif == GTD and self._expire_us(c, order) <= self._now_us:
            a.refuse(m.INVALID_ORDER, "expires_at must be in the future for a gtd order")
        elif a.order.limit_px != order.limit_px:
            self._check_tick(a, a.order.limit_px, instrument)

    def _reserve_replace(
        self, a: Assessment, order: Order, account: Account, instrument: Instrument
    ) -> None:
        """What the order would hold with its new terms; only what is more must be free."""
        position = account.positions.get(order.symbol)
        more = a.order.leaves_qty - order.leaves_qty
        if position is not None and more > 0:
            closes = position.qty < 0 if order.side == BUY else position.qty > 0
            if closes and more > position.available():
                self._lack_shares(a, more, position)
                return
        self._set_hold(a.order, account, instrument, 0)
        a.reserved = risk.hold(a.order)
        more_cents = a.reserved - order.reserved
        if more_cents > 0:
            free = risk.excess(account, self.instruments)
            if more_cents > free:
                self._lack_funds(a, account, free, more_cents)

    def _successor(
        self, order: Order, order_id: str, cl_ord_id: str, total: int, price: int
    ) -> Order:
        """The order that takes another's place: same account, symbol and side, its fills so far."""
        new = Order(order.account_id, order_id, cl_ord_id, order.symbol)
        new.side = order.side
        new.ord_type = order.ord_type
        new.time_in_force = order.time_in_force
        new.expire_us = order.expire_us
        new.post_only = order.post_only
        new.extended_hours = order.extended_hours
        new.position_intent = order.position_intent
        new.order_qty = total
        new.limit_px = price
        new.cum_qty = order.cum_qty
        new.cost_e12 = order.cost_e12
        new.filled_us = order.filled_us
        new.leaves_qty = self._left(new)
        new.closes = order.closes
        new.hold_px = order.hold_px
        new.hold_ppm = order.hold_ppm
        new.fee_ppm = order.fee_ppm
        return new

    def _left(self, order: Order) -> int:
        """What is open of an order by its total, which is never below what is filled."""
        if order.order_qty < order.cum_qty:
            order.order_qty = order.cum_qty
        return order.order_qty - order.cum_qty

    # -- executions

    def _traded(self, t: Traded) -> None:
        cents = notional(t.last_px, t.last_qty)
        account = self.accounts.get(t.maker_account_id)
        if account is not None:
            self.emit(
                OrderFilled(
                    t.maker_account_id,
                    t.maker_order_id,
                    t.symbol,
                    SELL if t.taker_side == BUY else BUY,
                    t.last_px,
                    t.last_qty,
                    cents,
                    fee(cents, account.maker_fee_ppm),
                    MAKER,
                    t.trade_id,
                    t.maker_leaves_qty == 0,
                )
            )
        account = self.accounts.get(t.taker_account_id)
        if account is not None:
            self.emit(
                OrderFilled(
                    t.taker_account_id,
                    t.taker_order_id,
                    t.symbol,
                    t.taker_side,
                    t.last_px,
                    t.last_qty,
                    cents,
                    fee(cents, account.taker_fee_ppm),
                    TAKER,
                    t.trade_id,
                    t.taker_done,
                )
            )

    def _removed(self, r: Removed) -> None:
        if r.account_id not in self.accounts:
            return
        order = self.orders.get(r.order_id)
        if order is None or order.closed_us:
            raise InvariantError(f"removed order {r.order_id} is open")
        if r.reason == END_OF_DAY or r.reason == EXPIRE_TIME:
            self.emit(OrderExpired(r.account_id, r.order_id, r.leaves_qty, r.reason))
        else:
            self.emit(OrderCanceled(r.account_id, r.order_id, r.leaves_qty, r.reason))

    def _amended(self, a: Amended) -> None:
        if a.account_id in self.accounts:
            self.emit(OrderReplaced(a.account_id, a.order_id, a.orig_order_id))

    def _decremented(self, d: Decremented) -> None:
        if d.account_id in self.accounts:
            self.emit(OrderDecremented(d.account_id, d.order_id, d.by_qty))

    def _marked(self, k: Marked) -> None:
        instrument = self.instruments.get(k.symbol)
        if instrument is not None and instrument.last_px != k.last_px:
            self.emit(PriceMarked(k.symbol, k.last_px))

    def _refused(self, r: Refused) -> None:
        account = self.accounts.get(r.account_id)
        if account is None:
            return
        if r.orig_order_id:
            self.emit(ReplaceRejected(r.account_id, r.order_id, r.orig_order_id, r.reason))
        else:
            self.emit(CancelRejected(r.account_id, r.order_id, r.reason))

    # -- accounts and operators

    def _define(self, c: DefineInstrument) -> None:
        event = InstrumentDefined(*msgspec.structs.astuple(c))
        if self.definitions.get(c.symbol) != event:
            self.emit(event)

    def _reject_command(self, account_id: str, command: str, reason: str, text: str) -> None:
        self.emit(CommandRejected(account_id, command, reason, text))

    def _open_account(self, c: OpenAccount) -> None:
        if c.account_id in self.accounts:
            self._reject_command(
                c.account_id, "OpenAccount", m.ACCOUNT_EXISTS, f"account {c.account_id} exists"
            )
        elif c.account_type not in (CASH, MARGIN) or c.stp not in _STP_MODES:
            self._reject_command(
                c.account_id, "OpenAccount", m.INVALID_ORDER, "account_type or stp is not known"
            )
        elif c.cash < 0:
            self._reject_command(
                c.account_id, "OpenAccount", m.INSUFFICIENT_CASH, "opening cash is not negative"
            )
        else:
            self.emit(AccountOpened(*msgspec.structs.astuple(c)))

    def _configure(self, c: ConfigureAccount) -> None:
        if c.account_id not in self.accounts:
            self._reject_command(c.account_id, "ConfigureAccount", m.UNKNOWN_ACCOUNT, "no account")
        elif c.stp and c.stp not in _STP_MODES:
            self._reject_command(
                c.account_id, "ConfigureAccount", m.INVALID_ORDER, "stp is not known"
            )
        else:
            self.emit(AccountConfigured(*msgspec.structs.astuple(c)))

    def _adjust_cash(self, c: AdjustCash) -> None:
        account = self.accounts.get(c.account_id)
        if account is None:
            self._reject_command(c.account_id, "AdjustCash", m.UNKNOWN_ACCOUNT, "no account")
        elif c.amount < 0 and -c.amount > self.withdrawable(account):
            self._reject_command(
                c.account_id,
                "AdjustCash",
                m.INSUFFICIENT_CASH,
                f"withdrawable is {usd_text(self.withdrawable(account))}",
            )
        else:
            self.emit(CashAdjusted(c.account_id, c.amount, c.description))

    def withdrawable(self, account: Account) -> int:
        """Cents that may leave the account: free of reservations, margin and short proceeds."""
        free = risk.excess(account, self.instruments)
        own = account.cash - account.reserved
        for position in account.positions.values():
            if position.qty < 0:
                own += notional(self.instruments[position.symbol].last_px, position.qty)
        least = free if free < own else own
        return least if least > 0 else 0

    def _adjust_position(self, c: AdjustPosition) -> None:
        account = self.accounts.get(c.account_id)
        if account is None:
            self._reject_command(c.account_id, "AdjustPosition", m.UNKNOWN_ACCOUNT, "no account")
            return
        if c.symbol not in self.instruments:
            self._reject_command(c.account_id, "AdjustPosition", m.UNKNOWN_SYMBOL, "no instrument")
            return
        position = account.positions.get(c.symbol)
        free = position.available() if position is not None else 0
        if c.qty == 0 or free + c.qty < 0 or (position is not None and position.qty < 0):
            self._reject_command(
                c.account_id, "AdjustPosition", m.INSUFFICIENT_QTY, "not enough free shares"
            )
            return
        self.emit(PositionAdjusted(c.account_id, c.symbol, c.qty, c.price, c.description))

    def _block_account(self, c: BlockAccount) -> None:
        account = self.accounts.get(c.account_id)
        if account is None:
            self._reject_command(c.account_id, "BlockAccount", m.UNKNOWN_ACCOUNT, "no account")
            return
        self.emit(AccountBlocked(c.account_id, c.blocked, c.reason))
        if c.blocked:
            self._cancel_open(account, "", "")

    def _restrict(self, c: RestrictInstrument) -> None:
        if c.symbol not in self.instruments:
            self._reject_command("", "RestrictInstrument", m.UNKNOWN_SYMBOL, "no instrument")
        elif c.state not in _INSTRUMENT_STATES:
            self._reject_command(
                "", "RestrictInstrument", m.INVALID_ORDER, "state: ACTIVE, HALTED or RESTRICTED"
            )
        else:
            self.emit(InstrumentRestricted(c.symbol, c.state, c.reason))

    # ------------------------------------------------------------ apply

    def apply(self, event: Message, ts_us: int) -> None:
        kind = _APPLY.get(type(event), 0)
        if kind == 1:
            self._apply_accepted(cast(OrderAccepted, event), ts_us)
        elif kind == 2:
            self._apply_filled(cast(OrderFilled, event), ts_us)
        elif kind == 3:
            order = self.orders[cast(CancelRequested, event).order_id]
            order.ord_status = PENDING_CANCEL
            order.updated_us = ts_us
        elif kind == 4:
            canceled = cast(OrderCanceled, event)
            self._apply_closed(canceled.order_id, CANCELED, canceled.reason, ts_us)
        elif kind == 5:
            mark = cast(PriceMarked, event)
            self.instruments[mark.symbol].last_px = mark.last_px
        elif kind == 6:
            expired = cast(OrderExpired, event)
            self._apply_closed(expired.order_id, EXPIRED, expired.reason, ts_us)
        elif kind == 7:
            self._apply_replace_requested(cast(ReplaceRequested, event), ts_us)
        elif kind == 8:
            self._apply_replaced(cast(OrderReplaced, event), ts_us)
        elif kind == 0:
            self._apply_rare(event, ts_us)
        closed = self.closed
        while closed and closed[0].closed_us + self.closed_keep_us < ts_us:
            self._forget(closed.popleft())

    def _apply_rare(self, event: Message, ts_us: int) -> None:
        if isinstance(event, CancelRejected):
            self._apply_cancel_rejected(event, ts_us)
        elif isinstance(event, ReplaceRejected):
            self._apply_replace_rejected(event, ts_us)
        elif isinstance(event, OrderDecremented):
            self._apply_decremented(event, ts_us)
        elif isinstance(event, AccountOpened):
            self._apply_opened(event, ts_us)
        elif isinstance(event, AccountConfigured):
            self._apply_configured(event)
        elif isinstance(event, CashAdjusted):
            self.accounts[event.account_id].cash += event.amount
            self.paid_in += event.amount
        elif isinstance(event, PositionAdjusted):
            account = self.accounts[event.account_id]
            account.position(event.symbol).trade(event.qty, event.price)
            account.forget_if_empty(event.symbol)
        elif isinstance(event, AccountBlocked):
            self.accounts[event.account_id].blocked = event.blocked
        elif isinstance(event, VenueBlocked):
            self.blocked = event.blocked
        elif isinstance(event, InstrumentDefined):
            self._apply_defined(event)
        elif isinstance(event, InstrumentRestricted):
            self.instruments[event.symbol].state = event.state
        elif isinstance(event, DayClosed):
            self._apply_day_closed()

    def _apply_accepted(self, e: OrderAccepted, ts_us: int) -> None:
        account = self.accounts[e.account_id]
        order = order_of(e)
        order.reserved = e.reserved
        order.closes = e.reserved_qty > 0 or e.cover_qty > 0
        order.submitted_us = ts_us
        order.updated_us = ts_us
        self._set_hold(order, account, self.instruments[e.symbol], e.collar_px)
        account.reserved += e.reserved
        account.position(e.symbol).count(order, 1)
        self._open(account, order)

    def _open(self, account: Account, order: Order) -> None:
        account.open[order.order_id] = order
        account.cl_ord_ids[order.cl_ord_id] = order.order_id
        self.orders[order.order_id] = order

    def _apply_filled(self, e: OrderFilled, ts_us: int) -> None:
        order = self.orders[e.order_id]
        account = self.accounts[e.account_id]
        position = account.position(e.symbol)
        qty = e.last_qty
        position.count(order, -1)
        order.cum_qty += qty
        order.cost_e12 += e.last_px * qty
        order.spent += e.notional
        order.filled_us = ts_us
        order.updated_us = ts_us
        if order.order_qty:
            order.leaves_qty -= qty
            check(order.leaves_qty >= 0, "an order fills no more than its quantity")
        position.count(order, 1)
        if e.side == BUY:
            account.cash -= e.notional + e.fee
            position.trade(qty, e.last_px)
        else:
            account.cash += e.notional - e.fee
            position.trade(-qty, e.last_px)
        account.fees_paid += e.fee
        self.house_fees += e.fee
        self.instruments[e.symbol].last_px = e.last_px
        if e.done or (order.order_qty and order.leaves_qty == 0 and not order.notional):
            self._close(account, order, FILLED, "", ts_us)
        else:
            if order.ord_status == NEW:
                order.ord_status = PARTIALLY_FILLED
            self._rehold(account, order)
        account.forget_if_empty(e.symbol)

    def _rehold(self, account: Account, order: Order) -> None:
        """Hold what the order needs now and release the rest."""
        needed = risk.hold(order)
        check(needed <= order.reserved, "a reservation only falls as an order fills")
        account.reserved -= order.reserved - needed
        order.reserved = needed

    def _apply_closed(self, order_id: str, status: str, reason: str, ts_us: int) -> None:
        order = self.orders[order_id]
        account = self.accounts[order.account_id]
        self._close(account, order, status, reason, ts_us)
        account.forget_if_empty(order.symbol)

    def _close(self, account: Account, order: Order, status: str, reason: str, ts_us: int) -> None:
        self._drop_extra(account, order)
        account.reserved -= order.reserved
        order.reserved = 0
        account.position(order.symbol).count(order, -1)
        order.leaves_qty = 0
        order.ord_status = status
        order.close_reason = reason
        order.closed_us = ts_us
        order.updated_us = ts_us
        del account.open[order.order_id]
        self.closed.append(order)

    def _forget(self, order: Order) -> None:
        del self.orders[order.order_id]
        account = self.accounts[order.account_id]
        if account.cl_ord_ids.get(order.cl_ord_id) == order.order_id:
            del account.cl_ord_ids[order.cl_ord_id]

    def _apply_cancel_rejected(self, e: CancelRejected, ts_us: int) -> None:
        order = self.orders.get(e.order_id)
        if order is None or order.account_id != e.account_id or e.ord_status:
            return
        if order.ord_status == PENDING_CANCEL:
            order.ord_status = PARTIALLY_FILLED if order.cum_qty else NEW
            order.updated_us = ts_us

    def _apply_replace_requested(self, e: ReplaceRequested, ts_us: int) -> None:
        order = self.orders[e.orig_order_id]
        account = self.accounts[e.account_id]
        new = self._successor(order, e.order_id, e.cl_ord_id, e.order_qty, e.limit_px)
        new.time_in_force = e.time_in_force
        new.expire_us = e.expire_us
        self._set_hold(new, account, self.instruments[order.symbol], 0)
        new.reserved = e.reserved
        order.replacement = new
        order.ord_status = PENDING_REPLACE
        order.updated_us = ts_us
        order.extra = max(0, e.reserved - order.reserved)
        order.extra_qty = max(0, new.leaves_qty - order.leaves_qty)
        account.reserved += order.extra
        self._count_extra(account, order, 1)
        account.cl_ord_ids[e.cl_ord_id] = e.order_id

    def _count_extra(self, account: Account, order: Order, sign: int) -> None:
        """A pending replace to more shares already counts with what it would do."""
        position = account.position(order.symbol)
        extra = sign * order.extra_qty
        if order.side == BUY:
            if order.closes:
                position.covered_qty += extra
            else:
                position.open_buy_qty += extra
        elif order.closes:
            position.held_qty += extra
        else:
            position.open_sell_qty += extra

    def _drop_extra(self, account: Account, order: Order) -> None:
        """End a pending replace: what was held for it in addition is released."""
        new = order.replacement
        if new is None:
            return
        account.reserved -= order.extra
        self._count_extra(account, order, -1)
        order.extra = 0
        order.extra_qty = 0
        order.replacement = None
        if account.cl_ord_ids.get(new.cl_ord_id) == new.order_id:
            del account.cl_ord_ids[new.cl_ord_id]

    def _apply_replace_rejected(self, e: ReplaceRejected, ts_us: int) -> None:
        order = self.orders.get(e.orig_order_id)
        if order is None or order.replacement is None:
            return
        if order.replacement.order_id != e.order_id:
            return
        self._drop_extra(self.accounts[e.account_id], order)
        order.ord_status = PARTIALLY_FILLED if order.cum_qty else NEW
        order.updated_us = ts_us

    def _apply_replaced(self, e: OrderReplaced, ts_us: int) -> None:
        order = self.orders[e.orig_order_id]
        account = self.accounts[e.account_id]
        new = order.replacement
        if new is None:
            raise InvariantError("a replaced order has a replacement")
        # Fills that came while the replace was under way count for the new order too.
        new.cum_qty = order.cum_qty
        new.cost_e12 = order.cost_e12
        new.filled_us = order.filled_us
        new.leaves_qty = self._left(new)
        order.replaced_by = new.order_id
        self._close(account, order, REPLACED, "", ts_us)
        new.reserved = risk.hold(new)
        new.replaces = order.order_id
        new.ord_status = PARTIALLY_FILLED if new.cum_qty else NEW
        new.submitted_us = ts_us
        new.updated_us = ts_us
        account.reserved += new.reserved
        account.position(order.symbol).count(new, 1)
        self._open(account, new)
        account.forget_if_empty(order.symbol)

    def _apply_decremented(self, e: OrderDecremented, ts_us: int) -> None:
        order = self.orders[e.order_id]
        account = self.accounts[e.account_id]
        position = account.position(order.symbol)
        position.count(order, -1)
        order.order_qty -= e.by_qty
        order.updated_us = ts_us
        order.leaves_qty -= e.by_qty
        check(order.leaves_qty >= 0, "an order is not decremented below its fills")
        position.count(order, 1)
        self._rehold(account, order)
        account.forget_if_empty(order.symbol)

    def _apply_opened(self, e: AccountOpened, ts_us: int) -> None:
        account = Account(e.account_id, e.account_type)
        account.created_us = ts_us
        account.cash = e.cash
        account.last_equity = e.cash
        account.maker_fee_ppm = e.maker_fee_ppm
        account.taker_fee_ppm = e.taker_fee_ppm
        account.shorting = e.shorting
        account.stp = e.stp
        account.open_orders_max = e.open_orders_max
        self.accounts[e.account_id] = account
        self.paid_in += e.cash

    def _apply_configured(self, e: AccountConfigured) -> None:
        account = self.accounts[e.account_id]
        account.no_shorting = e.no_shorting
        account.suspend_trade = e.suspend_trade
        account.fractional_trading = e.fractional_trading
        account.trade_confirm_email = e.trade_confirm_email
        account.max_margin_multiplier = e.max_margin_multiplier
        account.ptp_no_exception_entry = e.ptp_no_exception_entry
        if e.stp:
            account.stp = e.stp

    def _apply_defined(self, e: InstrumentDefined) -> None:
        instrument = self.instruments.get(e.symbol)
        if instrument is None:
            instrument = Instrument(e.symbol)
            instrument.last_px = e.reference_px
            instrument.prev_close_px = e.reference_px
            self.instruments[e.symbol] = instrument
        instrument.tick_size = e.tick_size
        instrument.lot_size = e.lot_size
        instrument.fractionable = e.fractionable
        instrument.shortable = e.shortable
        instrument.marginable = e.marginable
        instrument.collar_ppm = e.collar_ppm
        instrument.order_qty_max = e.order_qty_max
        instrument.order_notional_max = e.order_notional_max
        self.definitions[e.symbol] = e

    def _apply_day_closed(self) -> None:
        for account in self.accounts.values():
            account.last_equity = risk.value(account, self.instruments).equity
        for instrument in self.instruments.values():
            instrument.prev_close_px = instrument.last_px

    # ------------------------------------------------------------ snapshot

    def dump(self) -> bytes:
        state = {
            "accounts": [self._account_row(account) for account in self.accounts.values()],
            "blocked": self.blocked,
            "closed": [order.row() for order in self.closed],
            "house_fees": self.house_fees,
            "instruments": [
                [
                    msgspec.structs.astuple(self.definitions[i.symbol]),
                    i.state,
                    i.last_px,
                    i.prev_close_px,
                ]
                for i in self.instruments.values()
            ],
            "paid_in": self.paid_in,
        }
        encoded: bytes = _encode(state)
        return encoded

    def _account_row(self, a: Account) -> list[Any]:
        return [
            a.account_id,
            a.account_type,
            a.created_us,
            a.cash,
            a.reserved,
            a.fees_paid,
            a.last_equity,
            a.maker_fee_ppm,
            a.taker_fee_ppm,
            a.shorting,
            a.stp,
            a.open_orders_max,
            a.blocked,
            a.no_shorting,
            a.suspend_trade,
            a.fractional_trading,
            a.trade_confirm_email,
            a.max_margin_multiplier,
            a.ptp_no_exception_entry,
            [[p.symbol, p.qty, str(p.cost_e12)] for p in a.positions.values()],
            [order.row() for order in a.open.values()],
        ]

    def load(self, state: bytes, seq: int, ts_us: int) -> None:
        content: dict[str, Any] = _decode(state)
        self.seq = seq
        self.ts_us = ts_us
        self.blocked = content["blocked"]
        self.house_fees = content["house_fees"]
        self.paid_in = content["paid_in"]
        self.instruments.clear()
        self.definitions.clear()
        self.accounts.clear()
        self.orders.clear()
        self.closed.clear()
        for definition, status, last_px, prev_close_px in content["instruments"]:
            self._apply_defined(InstrumentDefined(*definition))
            instrument = self.instruments[definition[0]]
            instrument.state = status
            instrument.last_px = last_px
            instrument.prev_close_px = prev_close_px
        for row in content["accounts"]:
            self._load_account(row)
        for row in content["closed"]:
            order = order_from(row)
            self.closed.append(order)
            self.orders[order.order_id] = order
            self.accounts[order.account_id].cl_ord_ids[order.cl_ord_id] = order.order_id

    def _load_account(self, row: list[Any]) -> None:
        a = Account(row[0], row[1])
        a.created_us = row[2]
        a.cash = row[3]
        a.reserved = row[4]
        a.fees_paid = row[5]
        a.last_equity = row[6]
        a.maker_fee_ppm = row[7]
        a.taker_fee_ppm = row[8]
        a.shorting = row[9]
        a.stp = row[10]
        a.open_orders_max = row[11]
        a.blocked = row[12]
        a.no_shorting = row[13]
        a.suspend_trade = row[14]
        a.fractional_trading = row[15]
        a.trade_confirm_email = row[16]
        a.max_margin_multiplier = row[17]
        a.ptp_no_exception_entry = row[18]
        for symbol, qty, cost in row[19]:
            position = a.position(symbol)
            position.qty = qty
            position.cost_e12 = int(cost)
        for order_row in row[20]:
            order = order_from(order_row)
            self._open(a, order)
            a.position(order.symbol).count(order, 1)
            new = order.replacement
            if new is not None:
                self._count_extra(a, order, 1)
                a.cl_ord_ids[new.cl_ord_id] = new.order_id
        self.accounts[a.account_id] = a

    def imbalance(self) -> int:
        """Cents that all accounts and the house hold beyond what was paid in.

        Trades between partitions move cash from one to another: the sum over all is 0.
        """
        cash = self.house_fees - self.paid_in
        for account in self.accounts.values():
            cash += account.cash
        return cash

    def verify(self) -> None:
        for account in self.accounts.values():
            self._verify_account(account)
        for order in self.closed:
            check(order.closed_us > 0 and order.leaves_qty == 0, "a closed order has no leaves")
            check(order.reserved == 0, "a closed order holds nothing")

    def _verify_account(self, account: Account) -> None:
        reserved = 0
        probe = Account(account.account_id, account.account_type)
        for order in account.open.values():
            check(order.closed_us == 0, "an open order is not closed")
            check(order.reserved >= 0 and order.leaves_qty >= 0, "no reservation is below 0")
            check(
                order.notional > 0 or order.order_qty == order.cum_qty + order.leaves_qty,
                "order_qty = cum_qty + leaves_qty while open",
            )
            reserved += order.reserved + order.extra
            probe.position(order.symbol).count(order, 1)
            if order.replacement is not None:
                self._count_extra(probe, order, 1)
        check(reserved == account.reserved, "account reservation = sum over its open orders")
        for symbol, position in account.positions.items():
            counted = probe.position(symbol)
            check(position.held_qty == counted.held_qty, "held shares = sum over open sells")
            check(position.covered_qty == counted.covered_qty, "covered = sum over open covers")
            check(position.open_sell_qty == counted.open_sell_qty, "open sells add up")
            check(position.open_buy_qty == counted.open_buy_qty, "open buys add up")
            check(not position.empty(), "an empty position is forgotten")
            qty = position.qty
            check(position.held_qty <= (qty if qty > 0 else 0), "shares are promised once")
            check(position.covered_qty <= (-qty if qty < 0 else 0), "a short is covered once")
        for symbol in probe.positions:
            check(symbol in account.positions or probe.positions[symbol].empty(), "has a position")
