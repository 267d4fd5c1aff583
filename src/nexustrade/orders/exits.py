"""Groups of orders: what is asked for them, and what the matching stage's effects on them mean.

An effect of the matching stage becomes the event of the order that it is about; what the group
holds is told next where that changed it (`ReservationChanged`), and when the group is closed what
was left is released. Each of these events names its cause.
"""

from nexustrade.core.terms import OCO, PENDING_CANCEL, SELL
from nexustrade.matching.messages import (
    AMENDED,
    END_OF_DAY,
    EXPIRE_TIME,
    GroupAmended,
    GroupClosed,
    GroupGrown,
    GroupOpened,
    GroupRefused,
    LegCancelled,
    LegReduced,
    StopElected,
    TrailRaised,
)
from nexustrade.orders import messages as m
from nexustrade.orders import terms
from nexustrade.orders.admission import Admission
from nexustrade.orders.groups import CLOSED, Group
from nexustrade.orders.state import Account, Order


class Exits(Admission):
    """Decisions about groups and stops."""

    # ------------------------------------------------------------ what is asked for

    def _submit_group(self, c: m.SubmitGroup) -> None:
        g = self.assess_group(c)
        if g.reason:
            self.emit(
                m.GroupRejected(
                    c.account_id,
                    c.group_id,
                    c.cl_ord_id,
                    c.order_class,
                    c.symbol,
                    c.side,
                    g.reason,
                    g.text,
                    c.order_qty,
                    g.facts,
                    g.legs,
                )
            )
            return
        sells = g.side == SELL
        self.emit(
            m.GroupAccepted(
                c.account_id,
                c.group_id,
                c.cl_ord_id if c.cl_ord_id else c.group_id,
                c.order_class,
                c.symbol,
                c.side,
                c.time_in_force,
                c.order_qty,
                terms.entry_of(c).ord_type,
                0 if c.order_class == OCO else c.limit_px,
                0 if c.order_class == OCO else c.stop_px,
                g.collar_px,
                c.tp_order_id,
                terms.tp_cl_ord_id(c) if c.tp_order_id else "",
                c.tp_limit_px if c.tp_order_id else 0,
                c.sl_order_id,
                terms.leg_cl_ord_id(c.sl_cl_ord_id, c.sl_order_id),
                c.sl_stop_px if c.sl_order_id else 0,
                c.sl_limit_px if c.sl_order_id else 0,
                c.policy,
                c.activation,
                c.auto_shrink,
                c.expire_us,
                c.position_intent,
                self.accounts[c.account_id].stp,
                g.reserved,
                g.exit_reserved,
                g.held_qty if sells else 0,
                0 if sells else g.held_qty,
            )
        )

    def _cancel_group(self, c: m.CancelGroup) -> None:
        group = self.groups.get(c.group_id)
        if group is None or group.account_id != c.account_id:
            self.emit(m.CancelRejected(c.account_id, c.group_id, m.UNKNOWN_GROUP))
        elif group.state == CLOSED or not group.has_life():
            # With nothing alive its end has happened; the word of it is on its way.
            self.emit(m.CancelRejected(c.account_id, c.group_id, m.ORDER_CLOSED, CLOSED))
        elif group.canceling:
            self.emit(m.CancelRejected(c.account_id, c.group_id, m.ORDER_PENDING, PENDING_CANCEL))
        else:
            self._request_group_cancel(group)

    def _request_group_cancel(self, group: Group) -> None:
        """Ask for the end of a group by its parent, or the first of its legs that is open."""
        for order_id in group.order_ids():
            order = self._alive(order_id)
            if order is not None:
                self.emit(
                    m.CancelRequested(group.account_id, order_id, group.symbol, group.group_id)
                )
                return
        # Its orders have ended, and the news that it is closed is on its way.
        self.emit(m.CancelRejected(group.account_id, group.group_id, m.ORDER_CLOSED, CLOSED))

    def _amend_group(self, c: m.AmendGroup) -> None:
        group = self.groups.get(c.group_id)
        if group is None or group.account_id != c.account_id:
            text = f"group not found for {c.group_id}"
            self.emit(m.GroupAmendRejected(c.account_id, c.group_id, m.UNKNOWN_GROUP, text))
            return
        if group.state == CLOSED or not group.has_life():
            text = "the group is closed"
            self.emit(m.GroupAmendRejected(c.account_id, c.group_id, m.ORDER_CLOSED, text))
            return
        if group.canceling or group.amend_qty:
            text = "a cancel or a change of the group is under way"
            self.emit(m.GroupAmendRejected(c.account_id, c.group_id, m.ORDER_PENDING, text))
            return
        a = self._assess_amend(c, group)
        if a.reason:
            self.emit(m.GroupAmendRejected(c.account_id, c.group_id, a.reason, a.text, a.facts))
            return
        self.emit(
            m.GroupAmendRequested(
                c.account_id,
                c.group_id,
                group.symbol,
                c.order_qty,
                a.reserved,
                c.order_qty - group.filled_qty if group.closes else 0,
            )
        )

    # ------------------------------------------------------------ what happened to stops

    def _elected(self, e: StopElected) -> None:
        if e.account_id in self.accounts:
            self.emit(
                m.OrderTriggered(
                    e.account_id, e.order_id, e.print_px, e.trade_id, e.gapped, self._cause
                )
            )

    def _trailed(self, e: TrailRaised) -> None:
        if e.account_id in self.accounts:
            self.emit(m.OrderTrailed(e.account_id, e.order_id, e.hwm_px, e.stop_px))

    # ------------------------------------------------------------ what happened to groups

    def _opened(self, e: GroupOpened | GroupGrown) -> None:
        """The exit is alive for more of what the entry has filled; an OCO was from the start."""
        if e.account_id not in self.accounts:
            return
        group = self.groups[e.group_id]
        if not group.pending_qty:
            return
        qty = group.promised()
        sells = group.side == SELL
        self.emit(
            m.LegsActivated(
                e.account_id,
                e.group_id,
                e.open_qty,
                group.reserved,
                qty if sells else 0,
                0 if sells else qty,
                self._cause,
                group.tp_order_id if group.tp_hold_px else "",
                group.sl_order_id if group.sl_hold_px else "",
            )
        )

    def _leg_reduced(self, e: LegReduced) -> None:
        if e.account_id not in self.accounts or e.reason == AMENDED:
            return
        self.emit(m.OrderDecremented(e.account_id, e.order_id, e.by_qty, e.reason, self._cause))
        self._tell_hold(self.groups[e.group_id])

    def _leg_cancelled(self, e: LegCancelled) -> None:
        if e.account_id not in self.accounts:
            return
        leaves_qty = self.orders[e.order_id].leaves_qty
        if e.reason == END_OF_DAY or e.reason == EXPIRE_TIME:
            self.emit(m.OrderExpired(e.account_id, e.order_id, leaves_qty, e.reason, self._cause))
        else:
            self.emit(m.OrderCanceled(e.account_id, e.order_id, leaves_qty, e.reason, self._cause))
        group = self.groups[e.group_id]
        if group.has_life():
            self._tell_hold(group)

    def _group_amended(self, e: GroupAmended) -> None:
        if e.account_id not in self.accounts:
            return
        group = self.groups[e.group_id]
        tp = self._alive(group.tp_order_id) if group.tp_hold_px else None
        sl = self._alive(group.sl_order_id) if group.sl_hold_px else None
        left = e.order_qty - group.filled_qty
        self.emit(
            m.GroupResized(
                e.account_id,
                e.group_id,
                e.order_qty,
                self._cause,
                tp.order_id if tp is not None else "",
                left + tp.cum_qty if tp is not None else 0,
                sl.order_id if sl is not None else "",
                left + sl.cum_qty if sl is not None else 0,
            )
        )
        self._tell_hold(group)

    def _alive(self, order_id: str) -> Order | None:
        order = self.orders.get(order_id)
        return order if order is not None and order.closed_us == 0 else None

    def _group_closed(self, e: GroupClosed) -> None:
        if e.account_id not in self.accounts:
            return
        group = self.groups[e.group_id]
        self._release(group, e.reason)
        account = self.accounts[e.account_id]
        if account.liquidations:
            self._sell_what_is_called(account, e.symbol)

    def _release(self, group: Group, reason: str) -> None:
        self.emit(
            m.ReservationReleased(
                group.account_id,
                group.group_id,
                reason,
                group.reserved + group.extra,
                group.promised() + group.extra_qty if group.closes else 0,
                self._cause,
            )
        )

    def _group_refused(self, e: GroupRefused) -> None:
        """The book has moved on since the group was checked: nothing of it entered."""
        if e.account_id not in self.accounts:
            return
        if e.amend:
            self.emit(m.GroupAmendRejected(e.account_id, e.group_id, e.reason))
            return
        group = self.groups[e.group_id]
        for order_id in group.order_ids():
            leaves_qty = self.orders[order_id].leaves_qty
            self.emit(m.OrderCanceled(e.account_id, order_id, leaves_qty, e.reason, self._cause))
        self._release(group, e.reason)
        account = self.accounts[e.account_id]
        if account.liquidations:
            self._sell_what_is_called(account, e.symbol)

    def _tell_hold(self, group: Group) -> None:
        """Say what a group holds when that is not what it was last told."""
        held_qty = group.promised()
        if group.reserved != group.told_reserved or held_qty != group.told_qty:
            self.emit(
                m.ReservationChanged(
                    group.account_id,
                    group.group_id,
                    group.reserved,
                    held_qty if group.closes else 0,
                    self._cause,
                )
            )

    def _sell_what_is_called(self, account: Account, symbol: str) -> None:
        raise NotImplementedError
