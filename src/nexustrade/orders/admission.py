"""Admission: whether an order, a group or a change of one may come in, and what it would hold.

Asks the terms, the rules, the account's permissions and what it can afford. Changes nothing, so
that a preview is the very same assessment.
"""

from typing import Final

from nexustrade.core.money import QTY_ONE, divide_up, usd_text
from nexustrade.core.terms import (
    BRACKET,
    BUY,
    CASH,
    DAY,
    ENTRY,
    GTC,
    GTD,
    LIMIT,
    MARGIN,
    MARKET,
    OCO,
    SELL,
    STOP,
    STOP_LIMIT,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
)
from nexustrade.core.ticks import trailed_stop
from nexustrade.orders import messages as m
from nexustrade.orders import risk, terms
from nexustrade.orders.groups import ELECTED, WAITING, Group, exit_hold
from nexustrade.orders.messages import AmendGroup, ReplaceOrder, SubmitGroup, SubmitOrder
from nexustrade.orders.saved import Saved
from nexustrade.orders.state import Account, Instrument, Order, Position, order_of
from nexustrade.orders.terms import Assessment, GroupAssessment

_UNITS_PER_CENT: Final = 10_000_000_000


class Admission(Saved):
    """Every check of what comes in."""

    # ------------------------------------------------------------ new orders

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
            terms.check_terms(a, instrument, self._now_us)
        if not a.reason:
            terms.check_size(a, account, instrument)
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
        elif account.frozen:
            a.refuse(m.ACCOUNT_FROZEN, "new orders are rejected: the account is frozen")
        elif account.suspend_trade:
            a.refuse(m.SUSPENDED_BY_USER, "new orders are rejected by user request")
        elif instrument.state == "HALTED":
            a.refuse(m.NOT_TRADABLE, f'asset "{instrument.symbol}" is not tradable')
        elif instrument.state == "RESTRICTED":
            position = account.positions.get(instrument.symbol)
            qty = position.qty if position is not None else 0
            if not (qty < 0 if a.order.side == BUY else qty > 0):
                a.refuse(m.NOT_TRADABLE, f'asset "{instrument.symbol}" is not tradable')

    def _assess_buy(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        """A cash account pays in full, also where an undone trade has left it short."""
        o = a.order
        position = account.positions.get(o.symbol)
        if position is not None and position.qty < 0 and account.account_type == MARGIN:
            if o.notional:
                a.refuse(m.INVALID_ORDER, "notional orders cannot close a short position")
                return
            if not self._borrow(a, account, position, o.order_qty):
                terms.lack_shares(a, o.order_qty, position)
                return
            o.closes = True
        elif account.groups and _against_bracket(account, o):
            _refuse_against(a)
            return
        self._reserve(a, account, instrument)

    def _assess_sell(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        o = a.order
        position = account.positions.get(o.symbol)
        if position is not None and position.qty > 0:
            self._assess_close(a, account, position, instrument)
            return
        self._check_short(a, account, instrument)
        if not a.reason:
            self._reserve(a, account, instrument)

    def _check_short(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        o = a.order
        if account.account_type != MARGIN or not account.shorting or account.no_shorting:
            wanted = self._shares_wanted(o, instrument)
            terms.lack_shares(a, wanted, account.positions.get(o.symbol))
        elif not instrument.shortable:
            a.refuse(m.NOT_SHORTABLE, f'asset "{o.symbol}" cannot be sold short')
        elif o.notional or o.order_qty % QTY_ONE:
            a.refuse(m.NOT_SHORTABLE, "fractional orders cannot be sold short", "qty")
        elif account.groups and _against_bracket(account, o):
            _refuse_against(a)

    def _shares_wanted(self, o: Order, instrument: Instrument) -> int:
        if o.notional:
            return divide_up(o.notional * _UNITS_PER_CENT, instrument.last_px)
        return o.order_qty

    def _assess_close(
        self, a: Assessment, account: Account, position: Position, instrument: Instrument
    ) -> None:
        o = a.order
        wanted = self._shares_wanted(o, instrument)
        if not self._borrow(a, account, position, wanted):
            terms.lack_shares(a, wanted, position)
            return
        if o.notional:
            # At the collar it takes more shares than at the last price, but never more than there
            # are: the cap keeps what is sold within what is held.
            available = position.available()
            most = divide_up(o.notional * _UNITS_PER_CENT, a.collar_px)
            o.order_qty = most if most < available else available
        o.closes = True

    def _borrow(self, a: Assessment, account: Account, position: Position, wanted: int) -> bool:
        """Whether the position has the shares, with those that groups give up, oldest first."""
        lacking = wanted - position.available()
        if lacking <= 0:
            return True
        if account.shrinkable == 0 or a.order.notional:
            return False
        o = a.order
        shrinks: dict[str, int] = {}
        for group in account.groups.values():
            if group.symbol != o.symbol or group.side != o.side or not _gives_up(group):
                continue
            spare = group.promised()
            if spare > 0:
                shrinks[group.group_id] = spare if spare < lacking else lacking
                lacking -= spare
                if lacking <= 0:
                    a.shrinks = shrinks
                    return True
        return False

    def _reserve(self, a: Assessment, account: Account, instrument: Instrument) -> None:
        if account.call_due_us and not a.order.closes:
            _refuse_called(a, account)
            return
        self._set_hold(a.order, account, instrument, a.collar_px)
        a.reserved = risk.hold(a.order)
        if a.reserved and not a.order.closes:
            # What closes a position holds its fee, and is not refused for want of it.
            free = risk.excess(account, self.instruments)
            if a.reserved > free:
                self._lack_funds(a, account, free, a.reserved)

    def _lack_funds(self, a: Assessment, account: Account, free: int, needed: int) -> None:
        a.facts = terms.funds_facts(account, free, needed)
        reason, text = _lack(account, needed)
        a.refuse(reason, text)

    # ------------------------------------------------------------ new groups

    def assess_group(self, c: SubmitGroup) -> GroupAssessment:
        """All checks of a new group and what it would hold; changes nothing."""
        g = GroupAssessment(c)
        account = self.accounts.get(c.account_id)
        if account is None:
            return g.refuse(m.UNKNOWN_ACCOUNT, f"account {c.account_id} is not known")
        instrument = self.instruments.get(c.symbol)
        if instrument is None:
            return g.refuse(m.UNKNOWN_SYMBOL, f"asset not found for {c.symbol}")
        entry = Assessment(terms.entry_of(c))
        self._check_permission(entry, account, instrument)
        if entry.reason:
            return g.refuse(entry.reason, entry.text)
        self._check_known_ids(g, account)
        terms.check_terms(entry, instrument, self._now_us)
        if not entry.reason:
            terms.check_size(entry, account, instrument)
        terms.check_group_terms(g, entry, instrument)
        number = 2 if c.order_class == OCO or not c.tp_order_id or not c.sl_order_id else 3
        if not g.reason and len(account.open) + number > account.open_orders_max:
            g.facts = {"open_orders_max": str(account.open_orders_max)}
            g.refuse(m.OPEN_ORDERS_MAX, f"at most {account.open_orders_max} orders may be open")
        if not g.reason:
            g.collar_px = entry.collar_px
            self._reserve_group(g, entry, account, instrument)
        return g

    def _check_known_ids(self, g: GroupAssessment, account: Account) -> None:
        c = g.command
        text = "client_order_id must be unique"
        known = account.cl_ord_ids.get(c.cl_ord_id) or c.known_order_id
        if known:
            g.facts = {"existing_order_id": known}
            g.fault("client_order_id", m.DUPLICATE_CL_ORD_ID, text)
        if c.tp_order_id and c.order_class != OCO:
            known = account.cl_ord_ids.get(terms.tp_cl_ord_id(c), "")
            if known:
                g.fault("take_profit.client_order_id", m.DUPLICATE_CL_ORD_ID, text)
        if c.sl_order_id:
            known = account.cl_ord_ids.get(terms.leg_cl_ord_id(c.sl_cl_ord_id, c.sl_order_id), "")
            if known:
                g.fault("stop_loss.client_order_id", m.DUPLICATE_CL_ORD_ID, text)

    def _reserve_group(
        self, g: GroupAssessment, entry: Assessment, account: Account, instrument: Instrument
    ) -> None:
        c = g.command
        position = account.positions.get(c.symbol)
        qty = position.qty if position is not None else 0
        if c.order_class == OCO:
            covers = qty < 0 and account.account_type == MARGIN
            g.closes = qty > 0 if c.side == SELL else covers
            if g.closes and position is not None:
                if c.order_qty > position.available():
                    terms.lack_shares(entry, c.order_qty, position)
                g.held_qty = c.order_qty
            elif c.side == SELL:
                self._check_short(entry, account, instrument)
            elif _against_bracket(account, entry.order):
                _refuse_against(entry)
        elif qty < 0 if c.side == BUY else qty > 0:
            name = "a bracket" if c.order_class == BRACKET else "an oto"
            entry.refuse(m.INVALID_ORDER, f"{name} opens or adds to a position", "side")
        elif position is not None and _opens_other_side(position, c.side):
            text = f"orders that open the other side in {c.symbol} must be done or cancelled first"
            entry.refuse(m.INVALID_ORDER, text, "side")
        else:
            if c.side == SELL:
                self._check_short(entry, account, instrument)
            if not entry.reason:
                self._set_hold(entry.order, account, instrument, entry.collar_px)
                entry.reserved = risk.hold(entry.order)
        if not entry.reason and account.call_due_us and not (c.order_class == OCO and g.closes):
            _refuse_called(entry, account)
        if entry.reason:
            g.facts = entry.facts
            g.fault(entry.field if entry.field else "symbol", entry.reason, entry.text)
            return
        self._hold_exit(g, account, instrument)
        g.reserved = entry.reserved + g.exit_reserved
        if g.reserved and not (c.order_class == OCO and g.closes):
            free = risk.excess(account, self.instruments)
            if g.reserved > free:
                g.facts = terms.funds_facts(account, free, g.reserved)
                reason, text = _lack(account, g.reserved)
                g.fault("qty", reason, text)

    def _hold_exit(self, g: GroupAssessment, account: Account, instrument: Instrument) -> None:
        """The dearer leg and what it needs."""
        c = g.command
        tp_px = 0
        sl_px = 0
        if c.tp_order_id:
            tp_px = risk.exit_px(instrument, g.side, g.closes, c.tp_limit_px, 0)
        if c.sl_order_id:
            sl_px = risk.exit_px(instrument, g.side, g.closes, c.sl_limit_px, c.sl_stop_px)
        g.worst_leg = TAKE_PROFIT if tp_px >= sl_px else STOP_LOSS
        g.worst_px = tp_px if tp_px >= sl_px else sl_px
        maker, taker = account.maker_fee_ppm, account.taker_fee_ppm
        g.exit_reserved = exit_hold(
            g.side,
            g.closes,
            g.worst_px,
            c.order_qty,
            risk.hold_ppm(account, instrument, g.side),
            maker if maker > taker else taker,
        )

    # ------------------------------------------------------------ changes of an order

    def _assess_replace(self, c: ReplaceOrder, order: Order) -> Assessment:
        a = Assessment(self._replaced_by(c, order))
        account = self.accounts[order.account_id]
        instrument = self.instruments[order.symbol]
        known = account.cl_ord_ids.get(c.cl_ord_id) or c.known_order_id
        if known:
            a.facts = {"existing_order_id": known}
            return a.refuse(m.DUPLICATE_CL_ORD_ID, "client_order_id must be unique")
        self._check_permission(a, account, instrument)
        group = order.group
        if not a.reason and group is not None:
            self._check_group_level(a, c, order, group)
        if not a.reason:
            self._check_new_terms(a, c, order, instrument)
        if not a.reason and group is not None:
            self._check_new_straddle(a, order, group, instrument)
        if not a.reason and a.order.order_qty != order.order_qty:
            terms.check_size(a, account, instrument)
        elif not a.reason and not order.is_leg():
            terms.check_worth(a, instrument)
        if not a.reason:
            if order.is_leg() and group is not None:
                self._reserve_leg(a, group, account, instrument)
            else:
                self._reserve_replace(a, order, account, instrument)
        return a

    def _replaced_by(self, c: ReplaceOrder, order: Order) -> Order:
        """The order with the changes that are asked for."""
        trails = c.trail_px != 0 or c.trail_ppm != 0
        new = self._successor(
            order,
            order.order_id,
            "",
            c.order_qty if c.order_qty else order.order_qty,
            c.limit_px if c.limit_px else order.limit_px,
        )
        if c.stop_px:
            new.stop_px = c.stop_px
        new.trail_px = c.trail_px if trails else order.trail_px
        new.trail_ppm = c.trail_ppm if trails else order.trail_ppm
        if order.ord_type == TRAILING_STOP and (new.trail_px > 0) != (new.trail_ppm > 0):
            self._trail(new)
        return new

    def _trail(self, order: Order) -> None:
        """Put a trailing stop where its best price and its distance say."""
        if not order.triggered_us:
            order.stop_px = trailed_stop(
                order.side == BUY,
                order.hwm_px,
                order.trail_px,
                order.trail_ppm,
                self.instruments[order.symbol].tick_size,
            )

    def _check_group_level(
        self, a: Assessment, c: ReplaceOrder, order: Order, group: Group
    ) -> None:
        """What the orders of a group share is not changed for one of them."""
        resized = c.order_qty != 0 and c.order_qty != order.order_qty
        retimed = (c.time_in_force != "" and c.time_in_force != order.time_in_force) or (
            c.expire_us != 0 and c.expire_us != order.expire_us
        )
        if group.state == ELECTED and (c.stop_px or resized or retimed):
            a.refuse(m.TOO_LATE, "the stop is elected: only its limit_price can be changed")
        elif resized:
            a.facts = {"group_id": group.group_id}
            a.refuse(
                m.QTY_IS_GROUP_LEVEL,
                "the quantity is that of the group: amend the group's quantity (AmendGroup)",
                "qty",
            )
        elif retimed:
            a.refuse(m.INVALID_ORDER, "time_in_force is that of the group", "time_in_force")

    def _expire_us(self, c: ReplaceOrder, order: Order) -> int:
        tif = c.time_in_force if c.time_in_force else order.time_in_force
        if tif != GTD:
            return 0
        return c.expire_us if c.expire_us else order.expire_us

    def _check_new_terms(
        self, a: Assessment, c: ReplaceOrder, order: Order, instrument: Instrument
    ) -> None:
        tif = c.time_in_force if c.time_in_force else order.time_in_force
        if order.notional or order.ord_type == MARKET:
            a.refuse(m.INVALID_ORDER, "only limit and stop orders can be replaced", "type")
        elif not (tif == DAY or tif == GTC or tif == GTD):
            a.refuse(
                m.INVALID_ORDER, "time_in_force of a replace is day, gtc or gtd", "time_in_force"
            )
        elif order.ord_type == TRAILING_STOP and tif == GTD:
            a.refuse(m.INVALID_ORDER, "trailing stop orders must be day or gtc", "time_in_force")
        elif tif == GTD and self._expire_us(c, order) <= self._now_us:
            a.refuse(
                m.INVALID_ORDER, "expires_at must be in the future for a gtd order", "expires_at"
            )
        else:
            self._check_new_prices(a, c, order, instrument)

    def _check_new_prices(
        self, a: Assessment, c: ReplaceOrder, order: Order, instrument: Instrument
    ) -> None:
        new = a.order
        stops = order.ord_type == STOP or order.ord_type == STOP_LIMIT
        name = order.ord_type.lower().replace("trailing_", "trailing ")
        trails = c.trail_px > 0 or c.trail_ppm > 0
        if c.stop_px and not stops:
            a.refuse(m.INVALID_ORDER, f"{name} orders must not have stop_price", "stop_price")
        elif trails and order.ord_type != TRAILING_STOP:
            a.refuse(m.INVALID_ORDER, f"{name} orders must not have trail", "trail_price")
        elif c.limit_px and order.ord_type in (STOP, TRAILING_STOP) and not order.triggered_us:
            a.refuse(m.INVALID_ORDER, f"{name} orders must not have limit_price", "limit_price")
        elif order.triggered_us and (c.stop_px or trails):
            a.refuse(m.TOO_LATE, "the stop is elected: only its limit_price can be changed")
        if not a.reason and new.limit_px != order.limit_px:
            terms.check_tick(a, terms.LIMIT_PRICE, new.limit_px, instrument)
        if not a.reason and trails:
            terms.check_trail(a, instrument)
        moved = new.stop_px != order.stop_px
        if not a.reason and moved and stops:
            terms.check_tick(a, terms.STOP_PRICE, new.stop_px, instrument)
        group = order.group
        waits = group is None or group.state != WAITING or order.role == ENTRY
        if not a.reason and moved and waits:
            terms.check_stop_waits(a, terms.STOP_PRICE, new.stop_px, instrument)

    def _check_new_straddle(
        self, a: Assessment, order: Order, group: Group, instrument: Instrument
    ) -> None:
        """With the new price the legs still have the market, or the entry, between them."""
        new = a.order
        if group.state == ELECTED:
            return
        tp = self._open_leg(group.tp_order_id, order, new)
        sl = self._open_leg(group.sl_order_id, order, new)
        fault = ""
        if tp is not None and sl is not None:
            fault = terms.legs_fault(group.side, tp.limit_px, sl.stop_px)
        entry = self._open_leg(group.entry_order_id, order, new)
        waits = entry is not None and (order.role == ENTRY or group.state == WAITING)
        reference = instrument.last_px
        if waits and entry is not None:
            reference = terms.reference_px(entry.limit_px, entry.stop_px, instrument)
        apart = terms.PRICES_APART if waits and group.order_class == BRACKET else 0
        base = "base_price" if waits else "current price"
        if not fault and tp is not None and (order.role == TAKE_PROFIT or order.role == ENTRY):
            above = group.side == SELL
            fault = terms.side_fault(terms.TP_PRICE, tp.limit_px, above, reference, apart, base)
        if not fault and sl is not None and (order.role == ENTRY or (order is not sl and waits)):
            above = group.side == BUY
            fault = terms.side_fault(terms.SL_STOP, sl.stop_px, above, reference, apart, base)
        if fault:
            a.facts = terms.base_facts(reference)
            a.refuse(m.OCO_PRICES_DO_NOT_STRADDLE, fault)

    def _open_leg(self, order_id: str, order: Order, new: Order) -> Order | None:
        """An open order of a group; the changed one instead of the one that it changes."""
        if order_id == order.order_id:
            return new
        found = self.orders.get(order_id) if order_id else None
        return found if found is not None and found.closed_us == 0 else None

    def _reserve_replace(
        self, a: Assessment, order: Order, account: Account, instrument: Instrument
    ) -> None:
        """What the order would hold with its new terms; only what is more must be free."""
        more = a.order.leaves_qty - order.leaves_qty
        if order.closes and more > 0:
            position = account.positions.get(order.symbol)
            qty = position.qty if position is not None else 0
            if not (qty < 0 if order.side == BUY else qty > 0):
                position = None
            if position is None or more > position.available():
                terms.lack_shares(a, more, position)
                return
        self._set_hold(a.order, account, instrument, 0)
        a.reserved = risk.hold(a.order)
        self._check_more(a, account, a.reserved - order.reserved, order.closes)

    def _reserve_leg(
        self, a: Assessment, group: Group, account: Account, instrument: Instrument
    ) -> None:
        """What the group would hold with a leg's new terms; only what is more must be free."""
        new = a.order
        self._set_leg_hold(new, group, instrument)
        other = group.sl_hold_px if new.role == TAKE_PROFIT else group.tp_hold_px
        left = group.order_qty - group.filled_qty
        a.reserved = group.hold_of(max(new.hold_px, other), left)
        self._check_more(a, account, a.reserved - group.reserved, group.closes)

    def _check_more(self, a: Assessment, account: Account, more_cents: int, closes: bool) -> None:
        """A change that needs more must be able to have it, as a new order must."""
        if closes or more_cents <= 0:
            return
        if account.call_due_us:
            _refuse_called(a, account)
            return
        free = risk.excess(account, self.instruments)
        if more_cents > free:
            self._lack_funds(a, account, free, more_cents)

    # ------------------------------------------------------------ changes of a group

    def _assess_amend(self, c: AmendGroup, group: Group) -> Assessment:
        """Whether a group may have another quantity, and what it would hold."""
        carrier = Order(c.account_id, c.group_id, "", group.symbol)
        carrier.side = group.side
        carrier.ord_type = LIMIT
        carrier.order_qty = c.order_qty
        a = Assessment(carrier)
        account = self.accounts[c.account_id]
        instrument = self.instruments[group.symbol]
        self._check_permission(a, account, instrument)
        if not a.reason:
            carrier.limit_px = max(group.tp_hold_px, group.sl_hold_px)
            _check_amend(a, group, account, instrument)
        if a.reason:
            return a
        more = c.order_qty - group.order_qty
        position = account.positions.get(group.symbol)
        if more > 0 and group.closes and (position is None or more > position.available()):
            terms.lack_shares(a, more, position)
            return a
        left = c.order_qty - group.filled_qty
        a.reserved = group.needs_for(left if left > 0 else 0)
        self._check_more(a, account, a.reserved - group.reserved, group.closes)
        return a


def _check_amend(a: Assessment, group: Group, account: Account, instrument: Instrument) -> None:
    if group.state == ELECTED:
        a.refuse(m.TOO_LATE, "the stop is elected: the quantity stays as it is")
    elif group.entry_open:
        a.refuse(m.INVALID_ORDER, "the quantity can be changed once the entry is done")
    elif a.order.order_qty <= 0:
        a.refuse(m.INVALID_ORDER, "qty is required", "qty")
    else:
        terms.check_size(a, account, instrument)


def _against_bracket(account: Account, order: Order) -> bool:
    """Whether an order that opens a position does so against a bracket that is about to open one.

    The exit of the bracket would be for more than there is.
    """
    for group in account.groups.values():
        if group.entry_open and group.symbol == order.symbol and group.side == order.side:
            return True
    return False


def _refuse_against(a: Assessment) -> None:
    symbol = a.order.symbol
    text = (
        f"a bracket in {symbol} is open: no order may open the other side until its entry is done"
    )
    a.refuse(m.INVALID_ORDER, text, "side")


def _opens_other_side(position: Position, side: str) -> bool:
    return (position.open_sell_qty if side == BUY else position.open_buy_qty) > 0


def _refuse_called(a: Assessment, account: Account) -> None:
    text = f"a margin call of {usd_text(account.call_deficit)} is open: only orders that reduce"
    a.refuse(m.MARGIN_CALL, f"{text} a position are taken", "side")


def _lack(account: Account, needed: int) -> tuple[str, str]:
    """The reason and the words for funds that are lacking."""
    until = account.standing.restricted_until
    if account.account_type == CASH and until and needed <= account.cash - account.reserved:
        return (
            m.SETTLED_CASH_ONLY,
            f"insufficient settled cash: the account is restricted to it until {until}",
        )
    return m.INSUFFICIENT_BUYING_POWER, "insufficient buying power"


def _gives_up(group: Group) -> bool:
    """Whether other orders may take shares of a group now."""
    return (
        group.auto_shrink
        and group.closes
        and group.state != ELECTED
        and not group.entry_open
        and not group.canceling
        and group.amend_qty == 0
    )
