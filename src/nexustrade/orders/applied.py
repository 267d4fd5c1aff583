"""How events change accounts, orders and groups: the only place where they do.

Live and on replay alike. Nothing is decided here: what an event says has happened.
"""

from typing import Any, Final, cast

from nexustrade.core.codec import Message, fields_of
from nexustrade.core.errors import InvariantError, check
from nexustrade.core.money import divide_up
from nexustrade.core.terms import (
    BUY,
    CANCELED,
    CASH,
    ENTRY,
    EXPIRED,
    FILLED,
    HELD,
    NEW,
    OCO,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_REPLACE,
    REPLACED,
    STOP_LOSS,
)
from nexustrade.core.ticks import split_px, split_qty
from nexustrade.matching.messages import (
    ENTRY_CANCELLED,
    POSITION_SHRUNK,
    SIBLING_FILL,
    InstrumentDefined,
)
from nexustrade.orders import messages as m
from nexustrade.orders import risk, settling, terms
from nexustrade.orders.groups import ACTIVE, ELECTED, WAITING, Group, exit_side
from nexustrade.orders.holdings import Holdings
from nexustrade.orders.state import Account, Instrument, Order, accepted_order

BUSTED_MAX: Final = 10_000
"""Undone trades that are remembered; beyond, the oldest is forgotten."""

# One look-up of the event's class tells the way; the frequent ones come first.
_APPLY: Final[dict[Any, int]] = {
    m.OrderAccepted: 1,
    m.OrderFilled: 2,
    m.CancelRequested: 3,
    m.OrderCanceled: 4,
    m.PriceMarked: 5,
    m.OrderExpired: 6,
    m.ReplaceRequested: 7,
    m.OrderReplaced: 8,
    m.OrderRejected: 9,
    m.GroupAccepted: 10,
    m.OrderDecremented: 11,
    m.OrderTriggered: 12,
    m.LegsActivated: 13,
    m.ReservationChanged: 14,
    m.ReservationReleased: 15,
}


class Applied(Holdings):
    """The state of a partition with its `apply`."""

    def apply(self, event: Message, ts_us: int) -> None:
        """Change the state as an event says."""
        kind = _APPLY.get(type(event), 0)
        if kind == 1:
            self._apply_accepted(cast(m.OrderAccepted, event), ts_us)
        elif kind == 2:
            self._apply_filled(cast(m.OrderFilled, event), ts_us)
        elif kind == 3:
            self._apply_cancel_requested(cast(m.CancelRequested, event), ts_us)
        elif kind == 4:
            canceled = cast(m.OrderCanceled, event)
            self._end(self.orders[canceled.order_id], CANCELED, canceled.reason, ts_us)
        elif kind == 5:
            mark = cast(m.PriceMarked, event)
            self.instruments[mark.symbol].last_px = mark.last_px
        elif kind == 6:
            expired = cast(m.OrderExpired, event)
            self._end(self.orders[expired.order_id], EXPIRED, expired.reason, ts_us)
        elif kind == 7:
            self._apply_replace_requested(cast(m.ReplaceRequested, event), ts_us)
        elif kind == 8:
            self._apply_replaced(cast(m.OrderReplaced, event), ts_us)
        elif kind >= 10:
            self._apply_of_group(kind, event, ts_us)
        elif kind == 0:
            self._apply_rare(event, ts_us)

    def pass_time(self, ts_us: int) -> None:
        """Closed orders are forgotten after a while."""
        if ts_us > self._forget_us:
            self._forget_old(ts_us)

    def _forget_old(self, ts_us: int) -> None:
        """Drop what closed too long ago; a group closes no earlier than its orders."""
        limit_us = ts_us - self.closed_keep_us
        while self.closed and self.closed[0].closed_us < limit_us:
            self._forget(self.closed.popleft())
        while self.closed_groups and self.closed_groups[0].closed_us < limit_us:
            del self.groups[self.closed_groups.popleft().group_id]
        # Until then nothing is due, whatever else closes; a state that was loaded looks at once.
        oldest_us = self.closed[0].closed_us if self.closed else ts_us
        if self.closed_groups and self.closed_groups[0].closed_us < oldest_us:
            oldest_us = self.closed_groups[0].closed_us
        self._forget_us = oldest_us + self.closed_keep_us

    def _apply_of_group(self, kind: int, event: Message, ts_us: int) -> None:
        if kind == 10:
            self._apply_group_accepted(cast(m.GroupAccepted, event), ts_us)
        elif kind == 11:
            self._apply_decremented(cast(m.OrderDecremented, event), ts_us)
        elif kind == 12:
            self._apply_triggered(cast(m.OrderTriggered, event), ts_us)
        elif kind == 13:
            self._apply_activated(cast(m.LegsActivated, event), ts_us)
        elif kind == 14:
            told = cast(m.ReservationChanged, event)
            group = self.groups[told.group_id]
            check(told.reserved == group.reserved, "a group holds what its last event says")
            group.told_reserved = told.reserved
            group.told_qty = group.promised()
        else:
            released = cast(m.ReservationReleased, event)
            self._close_group(self.groups[released.group_id], ts_us)

    def _apply_rare(self, event: Message, ts_us: int) -> None:
        if isinstance(event, m.CancelRejected):
            self._apply_cancel_rejected(event, ts_us)
        elif isinstance(event, m.ReplaceRejected):
            self._apply_replace_rejected(event, ts_us)
        elif isinstance(event, m.OrderTrailed):
            order = self.orders[event.order_id]
            order.hwm_px = event.hwm_px
            order.stop_px = event.stop_px
            order.updated_us = ts_us
        elif isinstance(event, m.GroupAmendRequested):
            self._apply_amend_requested(event)
        elif isinstance(event, m.GroupAmendRejected):
            group = self.groups.get(event.group_id)
            if group is not None and group.account_id == event.account_id:
                self._drop_amend(group)
        elif isinstance(event, m.GroupResized):
            self._apply_resized(event, ts_us)
        elif isinstance(event, m.CashAdjusted):
            self.accounts[event.account_id].cash += event.amount
            self.paid_in += event.amount
        elif isinstance(event, m.PositionAdjusted):
            account = self.accounts[event.account_id]
            account.position(event.symbol).trade(event.qty, event.price)
            account.forget_if_empty(event.symbol)
        elif isinstance(event, InstrumentDefined):
            self._apply_defined(event)
        elif isinstance(event, m.InstrumentRestricted):
            self.instruments[event.symbol].state = event.state
        elif isinstance(event, m.PositionsSplit):
            self._apply_split(event)
        elif isinstance(event, m.OrderRestated):
            self._apply_restated(event, ts_us)
        elif isinstance(event, m.VenueBlocked):
            self.blocked = event.blocked
        elif isinstance(event, m.DayClosed):
            self._apply_day_closed()
        else:
            self._apply_to_account(event, ts_us)

    def _apply_to_account(self, event: Message, ts_us: int) -> None:
        if isinstance(event, m.AccountOpened):
            self._apply_opened(event, ts_us)
        elif isinstance(event, m.AccountConfigured):
            self._apply_configured(event)
        elif isinstance(event, m.AccountBlocked):
            self.accounts[event.account_id].blocked = event.blocked
        elif isinstance(event, m.AccountFrozen):
            self.accounts[event.account_id].frozen = event.frozen
        elif isinstance(event, m.SessionBegun):
            self.trade_date = event.trade_date
            self.settle_date = event.settle_date
        elif isinstance(event, m.DaySettled):
            self._apply_settled(event.settle_date)
        elif isinstance(event, m.ViolationFound):
            standing = self.accounts[event.account_id].standing
            standing.add(event.kind, event.trade_date, event.order_id)
        elif isinstance(event, m.AccountRestricted):
            self.accounts[event.account_id].standing.restricted_until = event.until
        elif isinstance(event, m.TradeBusted):
            self._apply_busted(event)
        elif isinstance(event, m.MarginCallIssued):
            account = self.accounts[event.account_id]
            account.call_deficit = event.deficit
            account.call_due_us = event.due_us
        elif isinstance(event, m.MarginCallMet):
            account = self.accounts[event.account_id]
            account.call_deficit = 0
            account.call_due_us = 0
        elif isinstance(event, m.LiquidationStarted):
            account = self.accounts[event.account_id]
            if event.qty:
                account.liquidations[event.symbol] = (event.order_id, event.qty)
            else:
                account.liquidations.pop(event.symbol, None)

    # ------------------------------------------------------------ orders

    def _apply_accepted(self, e: m.OrderAccepted, ts_us: int) -> None:
        order = accepted_order(e)
        order.closes = e.reserved_qty > 0 or e.cover_qty > 0
        account = self.accounts[order.account_id]
        instrument = self.instruments[order.symbol]
        self._take_on(account, instrument, order, e.collar_px, e.reserved, e.shrinks, ts_us)

    def _take_on(
        self,
        account: Account,
        instrument: Instrument,
        order: Order,
        collar_px: int,
        reserved: int,
        shrinks: dict[str, int],
        ts_us: int,
    ) -> None:
        """An order is accepted with the terms that it has."""
        order.leaves_qty = order.order_qty
        order.reserved = reserved
        order.submitted_us = ts_us
        order.updated_us = ts_us
        self._set_hold(order, account, instrument, collar_px)
        account.reserved += reserved
        account.position(order.symbol).count(order, 1)
        self._open(account, order)
        if shrinks:
            self.loans[order.order_id] = dict(shrinks)
            for group_id, qty in shrinks.items():
                self._lend(self.groups[group_id], qty)

    def _apply_filled(self, e: m.OrderFilled, ts_us: int) -> None:
        (
            account_id,
            order_id,
            _symbol,
            _side,
            px,
            qty,
            cents,
            cost,
            _liquidity,
            _trade_id,
            done,
            _trade_date,
            settle_date,
        ) = cast(m.OrderFilledFields, fields_of(e))
        account = self.accounts[account_id]
        order = self.orders[order_id]
        self._take_fill(account, order, px, qty, cents, cost, done, settle_date, ts_us)

    def _take_fill(
        self,
        account: Account,
        order: Order,
        px: int,
        qty: int,
        cents: int,
        cost: int,
        done: bool,
        settle_date: str,
        ts_us: int,
    ) -> None:
        """An order traded: `cents` are exchanged for the shares, and it cost a fee."""
        symbol = order.symbol
        is_buy = order.side == BUY
        position = account.position(symbol)
        position.count(order, -1)
        order.cum_qty += qty
        order.cost_e12 += px * qty
        order.spent += cents
        order.filled_us = ts_us
        order.updated_us = ts_us
        if order.order_qty:
            if qty > order.leaves_qty:
                raise InvariantError("an order fills no more than its quantity")
            order.leaves_qty -= qty
        position.count(order, 1)
        group = order.group
        if group is not None:
            before = group.promised()
            if order.role == ENTRY:
                group.pending_qty += qty
            else:
                group.filled_qty += qty
            self._recount(group, before)
        if settle_date:
            self._owe(account, symbol, is_buy, qty, cents, cost, settle_date, position.qty)
        if is_buy:
            account.cash -= cents + cost
            position.trade(qty, px)
        else:
            account.cash += cents - cost
            position.trade(-qty, px)
        account.fees_paid += cost
        self.house_fees += cost
        self.instruments[symbol].last_px = px
        if done or (order.order_qty and order.leaves_qty == 0 and not order.notional):
            self._close(account, position, order, FILLED, "", ts_us)
        else:
            if order.ord_status == NEW or order.ord_status == HELD:
                order.ord_status = PARTIALLY_FILLED
            self._rehold(account, order)
        account.forget(position)

    def _apply_cancel_requested(self, e: m.CancelRequested, ts_us: int) -> None:
        self._await_cancel(self.orders[e.order_id], ts_us)
        if e.group_id:
            self.groups[e.group_id].canceling = True

    def _await_cancel(self, order: Order, ts_us: int) -> None:
        order.ord_status = PENDING_CANCEL
        order.updated_us = ts_us

    def _apply_cancel_rejected(self, e: m.CancelRejected, ts_us: int) -> None:
        order = self.orders.get(e.order_id)
        if order is None or order.account_id != e.account_id or e.ord_status:
            return
        if e.reason == m.UNKNOWN_GROUP:
            # No cancel of the order was refused: its id was given for a group's.
            return
        if order.ord_status == PENDING_CANCEL:
            order.ord_status = order.resting_status()
            order.updated_us = ts_us
            if order.group is not None:
                order.group.canceling = False

    def _apply_replace_requested(self, e: m.ReplaceRequested, ts_us: int) -> None:
        order = self.orders[e.orig_order_id]
        account = self.accounts[e.account_id]
        instrument = self.instruments[order.symbol]
        group = order.group
        new = self._successor(order, e.order_id, e.cl_ord_id, e.order_qty, e.limit_px)
        new.time_in_force = e.time_in_force
        new.expire_us = e.expire_us
        new.stop_px = e.stop_px
        new.trail_px = e.trail_px
        new.trail_ppm = e.trail_ppm
        held = order.reserved
        if group is not None and order.role != ENTRY:
            self._set_leg_hold(new, group, instrument)
            held = group.reserved
        else:
            self._set_hold(new, account, instrument, 0)
            new.reserved = e.reserved
        order.replacement = new
        order.ord_status = PENDING_REPLACE
        order.updated_us = ts_us
        order.extra = e.reserved - held if e.reserved > held else 0
        if group is None:
            more = new.leaves_qty - order.leaves_qty
            order.extra_qty = more if more > 0 else 0
        account.reserved += order.extra
        self._count_extra(account, order, 1)
        account.cl_ord_ids[e.cl_ord_id] = e.order_id

    def _apply_replace_rejected(self, e: m.ReplaceRejected, ts_us: int) -> None:
        order = self.orders.get(e.orig_order_id)
        if order is None or order.replacement is None:
            return
        if order.replacement.order_id != e.order_id:
            return
        self._drop_extra(self.accounts[e.account_id], order)
        order.ord_status = order.resting_status()
        order.updated_us = ts_us

    def _apply_replaced(self, e: m.OrderReplaced, ts_us: int) -> None:
        order = self.orders[e.orig_order_id]
        account = self.accounts[e.account_id]
        new = order.replacement
        if new is None:
            raise InvariantError("a replaced order has a replacement")
        # What came while the replace was under way counts for the new order too.
        new.cum_qty = order.cum_qty
        new.cost_e12 = order.cost_e12
        new.filled_us = order.filled_us
        new.triggered_us = order.triggered_us
        new.hwm_px = order.hwm_px
        if order.group is not None:
            new.order_qty = order.order_qty
            new.held = order.held
        new.leaves_qty = self._left(new)
        order.replaced_by = new.order_id
        position = account.position(order.symbol)
        self._close(account, position, order, REPLACED, "", ts_us)
        new.replaces = order.order_id
        new.ord_status = new.resting_status()
        new.submitted_us = ts_us
        new.updated_us = ts_us
        if order.group is not None:
            self._join_group(order.group, new)
        if order.is_leg() and order.group is not None:
            self._rehold_group(order.group)
        else:
            new.reserved = risk.hold(new)
            account.reserved += new.reserved
        account.position(order.symbol).count(new, 1)
        self._open(account, new)
        account.forget_if_empty(order.symbol)

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
        new.stop_px = order.stop_px
        new.trail_px = order.trail_px
        new.trail_ppm = order.trail_ppm
        new.hwm_px = order.hwm_px
        new.triggered_us = order.triggered_us
        new.group = order.group
        new.role = order.role
        new.held = order.held
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

    def _apply_decremented(self, e: m.OrderDecremented, ts_us: int) -> None:
        order = self.orders[e.order_id]
        account = self.accounts[e.account_id]
        position = account.position(order.symbol)
        position.count(order, -1)
        order.order_qty -= e.by_qty
        order.updated_us = ts_us
        order.leaves_qty -= e.by_qty
        check(order.leaves_qty >= 0, "an order is not decremented below its fills")
        position.count(order, 1)
        if order.group is not None:
            self._shrink_group(order.group, order, e)
        if e.reason == ENTRY_CANCELLED and order.leaves_qty == 0 and order.cum_qty:
            # A take-profit has filled all that its entry brought: there is no more to come.
            self._close(account, position, order, FILLED, "", ts_us)
        else:
            self._rehold(account, order)
            self._rehold_changes(account, order)
        account.forget_if_empty(order.symbol)

    def _rehold_changes(self, account: Account, order: Order) -> None:
        """A change under way was asked for when there was more: it may bring that back."""
        group = order.group
        if group is None:
            self._hold_replacement(account, order)
        elif group.amend_qty:
            self._hold_amend(account, group)

    def _hold_replacement(self, account: Account, order: Order) -> None:
        """Hold what the order that is to replace this one needs in addition."""
        new = order.replacement
        if new is None:
            return
        account.reserved -= order.extra
        self._count_extra(account, order, -1)
        new.cum_qty = order.cum_qty
        new.leaves_qty = self._left(new)
        more = new.leaves_qty - order.leaves_qty
        cents = risk.hold(new) - order.reserved
        order.extra_qty = more if more > 0 else 0
        order.extra = cents if cents > 0 else 0
        account.reserved += order.extra
        self._count_extra(account, order, 1)

    def _hold_amend(self, account: Account, group: Group) -> None:
        """Hold what a group needs in addition for the quantity that was asked for."""
        position = account.position(group.symbol)
        account.reserved -= group.extra
        position.promise(group.side, group.closes, -group.extra_qty)
        more = group.more_for(group.amend_qty)
        left = group.amend_qty - group.filled_qty
        cents = group.needs_for(left if left > 0 else 0) - group.reserved
        group.extra_qty = more if more > 0 else 0
        group.extra = cents if cents > 0 else 0
        account.reserved += group.extra
        position.promise(group.side, group.closes, group.extra_qty)

    def _shrink_group(self, group: Group, order: Order, e: m.OrderDecremented) -> None:
        """What a smaller order means for the quantity of its group, once for both legs."""
        if order.role == ENTRY:
            group.order_qty -= e.by_qty
            self._rehold_group(group)
        elif e.reason != SIBLING_FILL and e.reason != ENTRY_CANCELLED and group.leads(order.role):
            before = group.promised()
            group.order_qty -= e.by_qty
            group.open_qty -= e.by_qty
            if e.reason == POSITION_SHRUNK:
                group.lent_qty -= e.by_qty
            self._recount(group, before)

    # ------------------------------------------------------------ groups

    def _apply_group_accepted(self, e: m.GroupAccepted, ts_us: int) -> None:
        account = self.accounts[e.account_id]
        instrument = self.instruments[e.symbol]
        oco = e.order_class == OCO
        side = exit_side(e.order_class, e.side)
        group = Group(e.group_id, e.account_id, e.symbol, e.order_class, side)
        group.policy = e.policy
        group.activation = e.activation
        group.auto_shrink = e.auto_shrink
        group.closes = not oco or e.reserved_qty > 0 or e.cover_qty > 0
        group.hold_ppm = risk.hold_ppm(account, instrument, side)
        maker, taker = account.maker_fee_ppm, account.taker_fee_ppm
        group.fee_ppm = maker if maker > taker else taker
        group.order_qty = e.order_qty
        group.state = ACTIVE if oco else WAITING
        self.groups[group.group_id] = group
        account.groups[group.group_id] = group
        if e.auto_shrink:
            account.shrinkable += 1
        for order in terms.orders_of(e, group, ts_us):
            if order.role == ENTRY:
                order.reserved = e.reserved - e.exit_reserved
                self._set_hold(order, account, instrument, e.collar_px)
                account.reserved += order.reserved
                account.position(e.symbol).count(order, 1)
            else:
                self._set_leg_hold(order, group, instrument)
            self._join_group(group, order)
            self._open(account, order)
        if oco:
            group.open_qty = e.order_qty
            self._recount(group, 0)
        self._hold_for_group(group, e.exit_reserved)
        group.told_reserved = group.reserved
        group.told_qty = group.promised()

    def _apply_activated(self, e: m.LegsActivated, ts_us: int) -> None:
        group = self.groups[e.group_id]
        before = group.promised()
        more = e.open_qty - group.open_qty
        group.open_qty = e.open_qty
        group.pending_qty -= more
        check(group.pending_qty >= 0, "an exit comes alive for what its entry has filled")
        self._recount(group, before)
        if group.state == WAITING:
            group.state = ACTIVE
        group.told_reserved = group.reserved
        group.told_qty = group.promised()
        # A stop-loss beside a take-profit is held on, for a trade.
        self._unhold(e.tp_order_id if e.tp_order_id else e.sl_order_id, ts_us)

    def _apply_triggered(self, e: m.OrderTriggered, ts_us: int) -> None:
        order = self.orders[e.order_id]
        order.triggered_us = ts_us
        order.updated_us = ts_us
        if order.group is not None and order.role == STOP_LOSS:
            order.group.state = ELECTED
        self._unhold(e.order_id, ts_us)

    def _unhold(self, order_id: str, ts_us: int) -> None:
        order = self.orders[order_id]
        if not order.held:
            return
        order.held = False
        order.updated_us = ts_us
        if order.ord_status == HELD:
            order.ord_status = NEW

    def _apply_amend_requested(self, e: m.GroupAmendRequested) -> None:
        group = self.groups[e.group_id]
        group.amend_qty = e.order_qty
        self._hold_amend(self.accounts[e.account_id], group)

    def _apply_resized(self, e: m.GroupResized, ts_us: int) -> None:
        group = self.groups[e.group_id]
        self._drop_amend(group)
        before = group.promised()
        group.open_qty += e.order_qty - group.order_qty
        group.order_qty = e.order_qty
        for order_id, qty in ((e.tp_order_id, e.tp_qty), (e.sl_order_id, e.sl_qty)):
            if order_id:
                leg = self.orders[order_id]
                leg.order_qty = qty
                leg.leaves_qty = qty - leg.cum_qty
                leg.updated_us = ts_us
        self._recount(group, before)
        self._rehold_group(group)

    # ------------------------------------------------------------ settlement

    def _owe(
        self,
        account: Account,
        symbol: str,
        is_buy: bool,
        qty: int,
        cents: int,
        fee: int,
        day: str,
        position_qty: int,
    ) -> None:
        """Note what a fill leaves due until it settles. Asked before cash and position change."""
        dues = account.dues
        shares = account.unsettled.get(symbol)
        if shares is None:
            shares = settling.Unsettled()
            account.unsettled[symbol] = shares
        if is_buy:
            cost = cents + fee
            if account.account_type == CASH:
                lack = dues.lack(account.cash, cost)
                if lack:
                    shares.add_lot(dues.funded_until(lack, day), qty)
                    dues.pledge(lack)
            dues.pay(day, cost)
            shares.move(day, qty)
        else:
            proceeds = cents - fee
            if proceeds >= 0:
                dues.receive(day, proceeds)
            else:
                dues.pay(day, -proceeds)
            if shares.lots:
                shares.take(position_qty, qty)
            shares.move(day, -qty)
        if shares.empty():
            del account.unsettled[symbol]

    def _apply_settled(self, day: str) -> None:
        self.settled_date = day
        since = ""
        if settling.is_date(day):
            since = settling.days_after(day, -settling.VIOLATION_DAYS)
        for account in self.accounts.values():
            account.dues.settle(day)
            account.standing.forget(since)
            for symbol in list(account.unsettled):
                shares = account.unsettled[symbol]
                shares.settle(day)
                if shares.empty():
                    del account.unsettled[symbol]

    def _apply_busted(self, e: m.TradeBusted) -> None:
        account = self.accounts[e.account_id]
        position = account.position(e.symbol)
        due = e.settle_date != "" and e.settle_date > self.settled_date
        shares = account.unsettled.get(e.symbol)
        if due and shares is None:
            shares = settling.Unsettled()
            account.unsettled[e.symbol] = shares
        if e.side == BUY:
            account.cash += e.notional + e.fee
            position.trade(-e.last_qty, e.last_px)
            if due and shares is not None:
                account.dues.undo_pay(e.settle_date, e.notional + e.fee)
                shares.move(e.settle_date, -e.last_qty)
        else:
            account.cash -= e.notional - e.fee
            position.trade(e.last_qty, e.last_px)
            if due and shares is not None:
                account.dues.undo_receive(e.settle_date, e.notional - e.fee)
                shares.move(e.settle_date, e.last_qty)
        if shares is not None:
            shares.shrink(position.qty)
            if shares.empty():
                del account.unsettled[e.symbol]
        account.fees_paid -= e.fee
        self.house_fees -= e.fee
        self.busted[f"{e.symbol}:{e.trade_id}"] = True
        if len(self.busted) > BUSTED_MAX:
            del self.busted[next(iter(self.busted))]
        if position.overdrawn():
            account.overdrawn[e.symbol] = True
        account.forget_if_empty(e.symbol)

    # ------------------------------------------------------------ splits

    def _apply_split(self, e: m.PositionsSplit) -> None:
        """Scale positions, what of them is to settle, groups and prices; not the orders."""
        new, old = e.shares_new, e.shares_old
        instrument = self.instruments[e.symbol]
        tick = instrument.tick_size
        instrument.last_px = split_px(instrument.last_px, new, old, tick, False)
        instrument.prev_close_px = split_px(instrument.prev_close_px, new, old, tick, False)
        for account in self.accounts.values():
            position = account.positions.get(e.symbol)
            if position is not None:
                position.qty = split_qty(position.qty, new, old)
            shares = account.unsettled.get(e.symbol)
            if shares is not None:
                shares.split(new, old)
            sale = account.liquidations.get(e.symbol)
            if sale is not None:
                account.liquidations[e.symbol] = (sale[0], split_qty(sale[1], new, old))
            for group in account.groups.values():
                if group.symbol == e.symbol:
                    before = group.promised()
                    group.split(new, old)
                    self._recount(group, before)

        for loan in self.loans.values():
            for group_id in loan:
                lender = self.groups.get(group_id)
                if lender is not None and lender.symbol == e.symbol:
                    loan[group_id] = split_qty(loan[group_id], new, old)

    def _apply_restated(self, e: m.OrderRestated, ts_us: int) -> None:
        order = self.orders[e.order_id]
        account = self.accounts[e.account_id]
        instrument = self.instruments[order.symbol]
        position = account.position(order.symbol)
        position.count(order, -1)
        market = order.limit_px == 0 and order.stop_px == 0
        if market and order.hold_px and e.leaves_qty:
            # A market order's worst price is all that is known of its collar.
            order.hold_px = divide_up(order.hold_px * order.leaves_qty, e.leaves_qty)
        order.order_qty = e.order_qty
        order.cum_qty = e.cum_qty
        order.leaves_qty = e.leaves_qty
        order.limit_px = e.limit_px
        order.stop_px = e.stop_px
        order.trail_px = e.trail_px
        order.hwm_px = e.hwm_px
        order.updated_us = ts_us
        position.count(order, 1)
        group = order.group
        if group is not None and order.role != ENTRY:
            self._set_leg_hold(order, group, instrument)
            self._join_group(group, order)
            self._rehold_group(group)
            group.told_reserved = group.reserved
            group.told_qty = group.promised()
        else:
            if not market:
                self._set_hold(order, account, instrument, 0)
            needed = risk.hold(order)
            account.reserved += needed - order.reserved
            order.reserved = needed
        account.forget_if_empty(order.symbol)

    # ------------------------------------------------------------ accounts and instruments

    def _apply_opened(self, e: m.AccountOpened, ts_us: int) -> None:
        account = Account(e.account_id, e.account_type)
        account.created_us = ts_us
        account.cash = e.cash
        account.last_equity = e.cash
        account.maker_fee_ppm = e.maker_fee_ppm
        account.taker_fee_ppm = e.taker_fee_ppm
        account.shorting = e.shorting
        account.stp = e.stp
        account.open_orders_max = e.open_orders_max
        account.unsettled_usable = e.unsettled_usable
        self.accounts[e.account_id] = account
        self.paid_in += e.cash

    def _apply_configured(self, e: m.AccountConfigured) -> None:
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
        instrument.maintenance_addon_ppm = e.maintenance_addon_ppm
        self.definitions[e.symbol] = e

    def _apply_day_closed(self) -> None:
        for account in self.accounts.values():
            account.last_equity = risk.value(account, self.instruments).equity
        for instrument in self.instruments.values():
            instrument.prev_close_px = instrument.last_px
