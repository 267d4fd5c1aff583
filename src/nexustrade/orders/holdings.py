"""What a partition of the orders stage keeps, and the steps in which orders come and go.

Owns accounts, orders and groups of the partition. Promises that what an order or a group holds is
counted in its account while it is open and released exactly when it ends.
"""

from collections import deque
from typing import Final

from nexustrade.core.errors import InvariantError
from nexustrade.core.terms import BUY, ENTRY, REPLACED, TAKE_PROFIT
from nexustrade.kernel.stage import Stage
from nexustrade.matching.messages import SHARES_SOLD, InstrumentDefined
from nexustrade.orders import risk
from nexustrade.orders.groups import CLOSED, Group
from nexustrade.orders.state import Account, Instrument, Order, Position

CLOSED_KEEP_US: Final = 600 * 1_000_000
"""How long a closed order stays in memory, for queries and for duplicates of its client id."""


class Holdings(Stage):
    """State of one partition of accounts, without decisions."""

    def __init__(self, shard: str, closed_keep_us: int = CLOSED_KEEP_US) -> None:
        super().__init__(shard)
        self.closed_keep_us: int = closed_keep_us
        self.accounts: dict[str, Account] = {}
        self.instruments: dict[str, Instrument] = {}
        self.definitions: dict[str, InstrumentDefined] = {}
        self.orders: dict[str, Order] = {}
        self.closed: deque[Order] = deque()
        self.groups: dict[str, Group] = {}
        self.closed_groups: deque[Group] = deque()
        # No closed order is old enough to be forgotten before this.
        self._forget_us: int = 0
        # What groups gave up for orders, by order: it goes back when the order cannot have it.
        self.loans: dict[str, dict[str, int]] = {}
        # Trades that were undone ("symbol:trade_id"), so that none is twice.
        self.busted: dict[str, bool] = {}
        self.blocked: bool = False
        # The day that trades are of and when they settle; the last day that is settled.
        self.trade_date: str = ""
        self.settle_date: str = ""
        self.settled_date: str = ""
        self.house_fees: int = 0
        # Cash that came from or went to outside, so that conservation can be checked.
        self.paid_in: int = 0

    # ------------------------------------------------------------ orders

    def _open(self, account: Account, order: Order) -> None:
        account.open[order.order_id] = order
        account.cl_ord_ids[order.cl_ord_id] = order.order_id
        self.orders[order.order_id] = order

    def _close(
        self,
        account: Account,
        position: Position,
        order: Order,
        status: str,
        reason: str,
        ts_us: int,
    ) -> None:
        if order.replacement is not None:
            self._drop_extra(account, order)
        account.reserved -= order.reserved
        order.reserved = 0
        position.count(order, -1)
        if order.group is not None:
            self._leave_group(order.group, order, status)
        order.leaves_qty = 0
        order.ord_status = status
        order.close_reason = reason
        order.closed_us = ts_us
        order.updated_us = ts_us
        del account.open[order.order_id]
        self.closed.append(order)
        if self.loans:
            self._end_loan(order.order_id, reason)
        if account.liquidations:
            sale = account.liquidations.get(order.symbol)
            if sale is not None and sale[0] == order.order_id:
                del account.liquidations[order.symbol]

    def _end(self, order: Order, status: str, reason: str, ts_us: int) -> None:
        """An order ends without a fill."""
        account = self.accounts[order.account_id]
        position = account.position(order.symbol)
        self._close(account, position, order, status, reason, ts_us)
        account.forget(position)

    def _forget(self, order: Order) -> None:
        del self.orders[order.order_id]
        account = self.accounts[order.account_id]
        if account.cl_ord_ids.get(order.cl_ord_id) == order.order_id:
            del account.cl_ord_ids[order.cl_ord_id]

    # ------------------------------------------------------------ what an order holds

    def _set_hold(
        self, order: Order, account: Account, instrument: Instrument, collar_px: int
    ) -> None:
        """Fix the worst price and the rates that the order's reservation is computed with."""
        maker, taker = account.maker_fee_ppm, account.taker_fee_ppm
        order.fee_ppm = maker if maker > taker else taker
        if order.side == BUY:
            if order.limit_px == 0 and order.stop_px:
                order.hold_px = risk.stop_worst(instrument, order.stop_px)
            else:
                order.hold_px = order.limit_px if order.limit_px else collar_px
            order.hold_ppm = risk.hold_ppm(account, instrument, BUY)
        elif order.closes:
            order.hold_ppm = 0
        else:
            order.hold_px = risk.exit_px(
                instrument, order.side, False, order.limit_px, order.stop_px
            )
            order.hold_ppm = risk.hold_ppm(account, instrument, order.side)

    def _set_leg_hold(self, leg: Order, group: Group, instrument: Instrument) -> None:
        """Fix the worst price of a leg."""
        leg.hold_px = risk.exit_px(instrument, group.side, group.closes, leg.limit_px, leg.stop_px)

    def _rehold(self, account: Account, order: Order) -> None:
        """Hold what the order needs now and release the rest; for a leg its group does."""
        if order.group is not None and order.role != ENTRY:
            self._rehold_group(order.group)
            return
        needed = risk.hold(order)
        if needed > order.reserved:
            raise InvariantError("a reservation only falls as an order fills")
        account.reserved -= order.reserved - needed
        order.reserved = needed

    def _count_extra(self, account: Account, order: Order, sign: int) -> None:
        """A pending replace to more shares already counts with what it would do."""
        position = account.position(order.symbol)
        position.promise(order.side, order.closes, sign * order.extra_qty)

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

    # ------------------------------------------------------------ groups

    def _join_group(self, group: Group, order: Order) -> None:
        """An order takes its place in a group: it is new, or replaces the one that was there."""
        order.group = group
        if order.role == ENTRY:
            group.entry_order_id = order.order_id
            group.entry_open = True
        elif order.role == TAKE_PROFIT:
            group.tp_order_id = order.order_id
            group.tp_hold_px = order.hold_px
        else:
            group.sl_order_id = order.order_id
            group.sl_hold_px = order.hold_px

    def _leave_group(self, group: Group, order: Order, status: str) -> None:
        """An order of a group has ended. What an entry has not filled never comes to the exit."""
        if order.role == ENTRY:
            if status != REPLACED:
                group.entry_open = False
                group.order_qty -= order.leaves_qty
        elif order.role == TAKE_PROFIT:
            group.tp_hold_px = 0
        else:
            group.sl_hold_px = 0
        if status != REPLACED:
            self._rehold_group(group)

    def _recount(self, group: Group, before: int) -> None:
        """Count in the position what the exit is for now, where it was `before`."""
        more = group.promised() - before
        if more:
            account = self.accounts[group.account_id]
            account.position(group.symbol).promise(group.side, group.closes, more)

    def _rehold_group(self, group: Group) -> None:
        """Hold what the exit needs now; what is left when it has ended goes with the group."""
        if group.has_life():
            self._hold_for_group(group, group.needs())

    def _hold_for_group(self, group: Group, reserved: int) -> None:
        """Change what a group holds in its account, in cents."""
        self.accounts[group.account_id].reserved += reserved - group.reserved
        group.reserved = reserved

    def _close_group(self, group: Group, ts_us: int) -> None:
        """A group is over: it holds nothing and promises nothing any more."""
        account = self.accounts[group.account_id]
        self._drop_amend(group)
        self._hold_for_group(group, 0)
        before = group.promised()
        group.open_qty = group.filled_qty
        group.pending_qty = 0
        group.lent_qty = 0
        self._recount(group, before)
        group.state = CLOSED
        group.closed_us = ts_us
        if group.auto_shrink:
            account.shrinkable -= 1
        del account.groups[group.group_id]
        self.closed_groups.append(group)
        account.forget_if_empty(group.symbol)

    def _lend(self, group: Group, qty: int) -> None:
        """Promise shares of a group to another order, or (below 0) take the promise back."""
        before = group.promised()
        group.lent_qty += qty
        if group.lent_qty < 0:
            group.lent_qty = 0
        self._recount(group, before)

    def _end_loan(self, order_id: str, reason: str) -> None:
        """The order has ended. Only when it could not have the shares do they go back."""
        loan = self.loans.pop(order_id, None)
        if loan is None or reason != SHARES_SOLD:
            return
        for group_id, qty in loan.items():
            group = self.groups.get(group_id)
            if group is not None and group.state != CLOSED:
                self._lend(group, -qty)

    def _drop_amend(self, group: Group) -> None:
        """End a pending amend: what was held for it in addition is released."""
        if not group.amend_qty:
            return
        account = self.accounts[group.account_id]
        account.reserved -= group.extra
        account.position(group.symbol).promise(group.side, group.closes, -group.extra_qty)
        group.extra = 0
        group.extra_qty = 0
        group.amend_qty = 0
