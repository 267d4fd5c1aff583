"""The orders stage: order lifecycle, accounts and reservations of one partition of the accounts.

It promises that no order reaches matching before its worst case is reserved, that what an order
holds is released exactly when it ends, and that cash and shares are conserved: what one side of a
trade pays the other receives, and every fee is on the house's account.

A message is decided here, for groups in `exits` and for what the clock and operators bring about in
`upkeep`; `admission` says what may come in, and `applied` is how events change the state.
"""

from typing import Any, Final, cast

import msgspec

from nexustrade.core.codec import Message, fields_of
from nexustrade.core.errors import InvariantError
from nexustrade.core.money import fee, notional, usd_text
from nexustrade.core.terms import (
    BUY,
    CANCELED,
    CASH,
    EXPIRED,
    MAKER,
    MARGIN,
    SELL,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
    TAKER,
)
from nexustrade.matching.messages import (
    END_OF_DAY,
    EXPIRE_TIME,
    Amended,
    Decremented,
    DefineInstrument,
    GroupAmended,
    GroupClosed,
    GroupGrown,
    GroupOpened,
    GroupRefused,
    InstrumentDefined,
    InstrumentSplit,
    LegCancelled,
    LegReduced,
    Marked,
    OpeningCallBegun,
    Refused,
    Removed,
    RemovedFields,
    SessionClosed,
    SessionOpened,
    StopElected,
    Traded,
    TradedFields,
    TrailRaised,
)
from nexustrade.orders import messages as m
from nexustrade.orders import risk
from nexustrade.orders.messages import (
    AccountBlocked,
    AccountConfigured,
    AccountFrozen,
    AccountOpened,
    AdjustCash,
    AdjustPosition,
    AmendGroup,
    BlockAccount,
    BlockVenue,
    BustTrade,
    CancelAllOrders,
    CancelGroup,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    CashAdjusted,
    CheckMargin,
    CommandRejected,
    ConfigureAccount,
    DayClosed,
    FreezeAccount,
    InstrumentRestricted,
    OpenAccount,
    OrderAccepted,
    OrderCanceled,
    OrderDecremented,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTrailed,
    PositionAdjusted,
    PriceMarked,
    ReplaceOrder,
    ReplaceRejected,
    ReplaceRequested,
    RestrictInstrument,
    SettleDay,
    SubmitGroup,
    SubmitOrder,
    VenueBlocked,
)
from nexustrade.orders.state import Account
from nexustrade.orders.upkeep import Upkeep

_STP_MODES: Final = (STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT)
_INSTRUMENT_STATES: Final = ("ACTIVE", "HALTED", "RESTRICTED")

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
    SubmitGroup: 10,
    GroupOpened: 11,
    GroupGrown: 11,
    LegReduced: 12,
    LegCancelled: 13,
    GroupClosed: 14,
    StopElected: 15,
    TrailRaised: 16,
}


class OrdersStage(Upkeep):
    """State of one partition of accounts. See the module's promise and `verify`."""

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
        elif kind >= 10:
            self._decide_of_group(kind, message)
        else:
            self._decide_rare(message)

    def _decide_of_group(self, kind: int, message: Message) -> None:
        if kind == 10:
            self._submit_group(cast(SubmitGroup, message))
        elif kind == 11:
            self._opened(cast(Any, message))
        elif kind == 12:
            self._leg_reduced(cast(LegReduced, message))
        elif kind == 13:
            self._leg_cancelled(cast(LegCancelled, message))
        elif kind == 14:
            self._group_closed(cast(GroupClosed, message))
        elif kind == 15:
            self._elected(cast(StopElected, message))
        else:
            self._trailed(cast(TrailRaised, message))

    def _decide_rare(self, message: Message) -> None:
        if isinstance(message, CancelAllOrders):
            self._cancel_all(message)
        elif isinstance(message, CancelGroup):
            self._cancel_group(message)
        elif isinstance(message, AmendGroup):
            self._amend_group(message)
        elif isinstance(message, GroupAmended):
            self._group_amended(message)
        elif isinstance(message, GroupRefused):
            self._group_refused(message)
        elif isinstance(message, (OpeningCallBegun, SessionOpened)):
            self._session_begun(message)
        elif isinstance(message, SessionClosed):
            self.emit(DayClosed(message.session_date))
        elif isinstance(message, InstrumentSplit):
            self._split(message)
        elif isinstance(message, SettleDay):
            self._settle(message)
        elif isinstance(message, CheckMargin):
            self._check_margin(message)
        elif isinstance(message, BustTrade):
            self._bust(message)
        elif isinstance(message, BlockVenue):
            self.emit(VenueBlocked(message.blocked, message.reason))
        elif isinstance(message, RestrictInstrument):
            self._restrict(message)
        elif isinstance(message, DefineInstrument):
            self._define(message)
        else:
            self._decide_account(message)

    def _decide_account(self, message: Message) -> None:
        if isinstance(message, OpenAccount):
            self._open_account(message)
        elif isinstance(message, ConfigureAccount):
            self._configure(message)
        elif isinstance(message, AdjustCash):
            self._adjust_cash(message)
        elif isinstance(message, AdjustPosition):
            self._adjust_position(message)
        elif isinstance(message, BlockAccount):
            self._block_account(message)
        elif isinstance(message, FreezeAccount):
            self._freeze_account(message)

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
        account = self.accounts[o.account_id]
        instrument = self.instruments[o.symbol]
        ts_us = self.record(
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
                account.stp,
                1,
                a.reserved,
                o.order_qty if o.closes and o.side == SELL else 0,
                o.order_qty if o.closes and o.side == BUY else 0,
                o.stop_px,
                o.trail_px,
                o.trail_ppm,
                a.shrinks,
                o.hwm_px,
            )
        )
        self._take_on(account, instrument, o, a.collar_px, a.reserved, a.shrinks, ts_us)

    # -- cancel and replace

    def _cancel(self, c: CancelOrder) -> None:
        account_id: str = c.account_id
        order_id: str = c.order_id
        order = self.orders.get(order_id)
        if order is None or order.account_id != account_id:
            self.emit(CancelRejected(account_id, order_id, m.UNKNOWN_ORDER))
        elif order.closed_us:
            self.emit(CancelRejected(account_id, order_id, m.ORDER_CLOSED, order.ord_status))
        elif order.is_pending() or (order.group is not None and order.group.canceling):
            self.emit(CancelRejected(account_id, order_id, m.ORDER_PENDING, order.ord_status))
        else:
            ts_us = self.record(CancelRequested(account_id, order_id, order.symbol))
            self._await_cancel(order, ts_us)

    def _cancel_all(self, c: CancelAllOrders) -> None:
        account = self.accounts.get(c.account_id)
        if account is None:
            self.emit(
                CommandRejected(c.account_id, "CancelAllOrders", m.UNKNOWN_ACCOUNT, "no account")
            )
            return
        self._cancel_open(account, c.symbol, c.side)

    def _replace(self, c: ReplaceOrder) -> None:
        order = self.orders.get(c.orig_order_id)
        if order is None or order.account_id != c.account_id:
            self._reject_replace(c, m.UNKNOWN_ORDER, f"order not found for {c.orig_order_id}", "")
            return
        if order.closed_us:
            self._reject_replace(c, m.ORDER_CLOSED, "", order.ord_status)
            return
        if order.is_pending() or (order.group is not None and order.group.canceling):
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
                a.order.limit_px,
                c.time_in_force if c.time_in_force else order.time_in_force,
                self._expire_us(c, order),
                a.reserved,
                a.order.leaves_qty if order.closes and order.side == SELL else 0,
                a.order.leaves_qty if order.closes and order.side == BUY else 0,
                a.order.stop_px,
                a.order.trail_px,
                a.order.trail_ppm,
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

    # -- executions

    def _traded(self, t: Traded) -> None:
        """Both sides of a trade, as far as their accounts are here; what follows comes after."""
        (
            trade_id,
            symbol,
            _taker_side,
            px,
            qty,
            maker_order_id,
            maker_account_id,
            maker_leaves_qty,
            taker_order_id,
            taker_account_id,
            taker_done,
            _auction,
            _maker_group_id,
            _taker_group_id,
        ) = cast(TradedFields, fields_of(t))
        cents = notional(px, qty)
        maker = self.accounts.get(maker_account_id)
        taker = self.accounts.get(taker_account_id)
        if maker is not None:
            done = maker_leaves_qty == 0
            cost = fee(cents, maker.maker_fee_ppm)
            self._fill(maker, maker_order_id, px, qty, cents, cost, MAKER, trade_id, done)
        if taker is not None:
            cost = fee(cents, taker.taker_fee_ppm)
            self._fill(taker, taker_order_id, px, qty, cents, cost, TAKER, trade_id, taker_done)
        if maker is not None and (maker.groups or maker.liquidations):
            self._follow_fill(maker, maker_order_id, symbol)
        if taker is not None and (taker.groups or taker.liquidations):
            self._follow_fill(taker, taker_order_id, symbol)

    def _fill(
        self,
        account: Account,
        order_id: str,
        px: int,
        qty: int,
        cents: int,
        cost: int,
        liquidity: str,
        trade_id: int,
        done: bool,
    ) -> None:
        order = self.orders[order_id]
        if order.group is not None:
            # More of a bracket's leg may come alive: it is done when nothing of it is left at all.
            done = order.leaves_qty == qty
        late = 0
        funded_until = ""
        if account.unsettled and order.side == SELL and account.account_type == CASH:
            late, funded_until = self._unpaid(account, order.symbol, qty)
        settle_date = self.settle_date
        ts_us = self.record(
            OrderFilled(
                account.account_id,
                order_id,
                order.symbol,
                order.side,
                px,
                qty,
                cents,
                cost,
                liquidity,
                trade_id,
                done,
                self.trade_date if settle_date else "",
                settle_date,
            )
        )
        self._take_fill(account, order, px, qty, cents, cost, done, settle_date, ts_us)
        if late:
            self._find_violation(account, order, late, funded_until, trade_id)

    def _follow_fill(self, account: Account, order_id: str, symbol: str) -> None:
        """What a fill changes in what a group holds, and whether a liquidation may go on."""
        order = self.orders[order_id]
        group = order.group
        if group is not None and order.is_leg() and group.has_life():
            # With another leg alive the effect on that one comes first.
            if not group.sibling_alive(order.role):
                self._tell_hold(group)
        elif account.liquidations:
            self._sell_what_is_called(account, symbol)

    def _removed(self, r: Removed) -> None:
        order_id, account_id, symbol, leaves_qty, reason, _ = cast(RemovedFields, fields_of(r))
        account = self.accounts.get(account_id)
        if account is None:
            return
        order = self.orders.get(order_id)
        if order is None or order.closed_us:
            raise InvariantError(f"removed order {order_id} is open")
        if reason == END_OF_DAY or reason == EXPIRE_TIME:
            ts_us = self.record(OrderExpired(account_id, order_id, leaves_qty, reason))
            self._end(order, EXPIRED, reason, ts_us)
        else:
            ts_us = self.record(OrderCanceled(account_id, order_id, leaves_qty, reason))
            self._end(order, CANCELED, reason, ts_us)
        if account.liquidations:
            self._sell_what_is_called(account, symbol)

    def _amended(self, a: Amended) -> None:
        if a.account_id in self.accounts:
            self.emit(OrderReplaced(a.account_id, a.order_id, a.orig_order_id))
            order = self.orders[a.order_id]
            if a.stop_px != order.stop_px and (order.trail_px or order.trail_ppm):
                # The best price has moved since the replace was asked for.
                self.emit(OrderTrailed(a.account_id, a.order_id, order.hwm_px, a.stop_px))
            if order.group is not None and order.is_leg():
                self._tell_hold(order.group)

    def _decremented(self, d: Decremented) -> None:
        if d.account_id in self.accounts:
            self.emit(OrderDecremented(d.account_id, d.order_id, d.by_qty))
            order = self.orders[d.order_id]
            if order.group is not None and order.is_leg():
                self._tell_hold(order.group)

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
        """Cents that may leave the account.

        Settled, and free of reservations, margin and short proceeds.
        """
        free = risk.excess(account, self.instruments)
        own = account.dues.free(account.cash) - account.reserved
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
        if c.qty > 0 and sells_short(account, c.symbol):
            text = f"a bracket that sells {c.symbol} short is open: cancel it first"
            self._reject_command(c.account_id, "AdjustPosition", m.INVALID_ORDER, text)
            return
        position = account.positions.get(c.symbol)
        free = position.available() if position is not None else 0
        # An account that may sell short may come to the venue with a short position.
        opens_short = position is None and account.shorting
        short = free + c.qty < 0 and not opens_short
        if c.qty == 0 or short or (position is not None and position.qty < 0):
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

    def _freeze_account(self, c: FreezeAccount) -> None:
        if c.account_id not in self.accounts:
            self._reject_command(c.account_id, "FreezeAccount", m.UNKNOWN_ACCOUNT, "no account")
        else:
            self.emit(AccountFrozen(c.account_id, c.frozen, c.reason))

    def _restrict(self, c: RestrictInstrument) -> None:
        if c.symbol not in self.instruments:
            self._reject_command("", "RestrictInstrument", m.UNKNOWN_SYMBOL, "no instrument")
        elif c.state not in _INSTRUMENT_STATES:
            self._reject_command(
                "", "RestrictInstrument", m.INVALID_ORDER, "state: ACTIVE, HALTED or RESTRICTED"
            )
        else:
            self.emit(InstrumentRestricted(c.symbol, c.state, c.reason))


def sells_short(account: Account, symbol: str) -> bool:
    """Whether the entry of a bracket is open that sells short: its exit counts on that."""
    return any(
        group.entry_open and group.symbol == symbol and group.side == BUY
        for group in account.groups.values()
    )
