"""The order service's read side and its guard against repeated client order ids."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import Final

import msgspec

from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable, check
from nexustrade.core.money import fee, notional_up
from nexustrade.core.terms import BUY, CANCELED, CASH, EXPIRED, MARGIN, OCO, REPLACED
from nexustrade.kernel.ports import Clock, Commands, LogEntry
from nexustrade.matching.messages import InstrumentDefined
from nexustrade.orders import risk, terms
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.groups import CLOSED, Group
from nexustrade.orders.messages import (
    AccountRecord,
    GroupRecord,
    OrderRecord,
    PositionRecord,
    PreviewRecord,
    ReplaceOrder,
    SubmitGroup,
    SubmitOrder,
)
from nexustrade.orders.settling import FREE_RIDING, GOOD_FAITH
from nexustrade.orders.state import Account, Order
from nexustrade.orders.terms import Assessment

LISTENERS_MAX: Final = 10_000
LOOKUP_LEN_MAX: Final = 1_000
"""Most client order ids looked up in one query."""
LOOKUP_WAIT_S: Final = 2.0
"""How long orders wait for one query before they are refused."""
US_PER_DAY: Final = 86_400_000_000

_NO_PAIR: Final = ("", "")

Receive = Callable[[LogEntry, OrderRecord | None], None]
Pair = tuple[str, str]


class OrdersView:
    """`OrdersQuery` over replicas of the orders stages, folded from their committed events.

    A replica is the stage itself, which only ever applies: what readers see is what was decided,
    never ahead of what is durable.
    """

    def __init__(self, replicas: Sequence[OrdersStage], shard_of: Callable[[str], str]) -> None:
        self._replicas = {replica.shard: replica for replica in replicas}
        self._shard_of = shard_of
        self._listeners: list[tuple[Receive, Container[str]]] = []
        self._accounts_seen = 0
        self._margin_seen = False

    async def receive(self, entries: Sequence[LogEntry]) -> None:
        """Fold a batch of the log; what was folded before is dropped."""
        for entry in entries:
            replica = self._replicas[entry.shard]
            if entry.seq <= replica.seq:
                continue
            replica.replay(entry.seq, entry.ts_us, entry.event)
            if self._listeners:
                self._tell(entry, replica)

    def _tell(self, entry: LogEntry, replica: OrdersStage) -> None:
        account_id = getattr(entry.event, "account_id", "")
        wanted = [receive for receive, accounts in self._listeners if account_id in accounts]
        if not wanted:
            return
        order_id = getattr(entry.event, "order_id", "")
        order = replica.orders.get(order_id) if order_id else None
        record = order_record(order) if order is not None else None
        for receive in wanted:
            receive(entry, record)

    def listen(self, receive: Receive, accounts: Container[str]) -> Callable[[], None]:
        """Call `receive` right after each committed event of `accounts`, with its order then."""
        check(len(self._listeners) < LISTENERS_MAX, "listeners are bounded")
        listener = (receive, accounts)
        self._listeners.append(listener)

        def end() -> None:
            self._listeners[:] = [one for one in self._listeners if one is not listener]

        return end

    # ------------------------------------------------------------ accounts

    def _stage(self, account_id: str) -> OrdersStage:
        return self._replicas[self._shard_of(account_id)]

    def account_ids(self) -> Sequence[str]:
        """All accounts, in the order in which they were opened."""
        return [name for replica in self._replicas.values() for name in replica.accounts]

    def account(self, account_id: str) -> AccountRecord | None:
        """The account valued at the marked prices."""
        stage = self._stage(account_id)
        account = stage.accounts.get(account_id)
        return account_record(stage, account) if account is not None else None

    def positions(self, account_id: str) -> Sequence[PositionRecord]:
        """All positions that hold something."""
        account = self._stage(account_id).accounts.get(account_id)
        if account is None:
            return ()
        found = (self.position(account_id, symbol) for symbol in account.positions)
        return [position for position in found if position is not None]

    def position(self, account_id: str, symbol: str) -> PositionRecord | None:
        """The position in a symbol, None when nothing is held."""
        stage = self._stage(account_id)
        account = stage.accounts.get(account_id)
        position = account.positions.get(symbol) if account is not None else None
        if position is None or position.qty == 0:
            return None
        instrument = stage.instruments[symbol]
        return PositionRecord(
            account_id,
            symbol,
            position.qty,
            position.available(),
            position.cost_e12,
            instrument.last_px,
            instrument.prev_close_px,
        )

    # ------------------------------------------------------------ orders

    def order(self, order_id: str) -> OrderRecord | None:
        """An order that is still in memory."""
        for replica in self._replicas.values():
            order = replica.orders.get(order_id)
            if order is not None:
                return order_record(order)
        return None

    def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> OrderRecord | None:
        """The order of an account with that client order id."""
        account = self._stage(account_id).accounts.get(account_id)
        order_id = account.cl_ord_ids.get(cl_ord_id) if account is not None else None
        return self.order(order_id) if order_id is not None else None

    def orders(self, account_id: str) -> Sequence[OrderRecord]:
        """Open orders, then lately closed ones."""
        stage = self._stage(account_id)
        closed = [order_record(one) for one in stage.closed if one.account_id == account_id]
        return [*self.open_orders(account_id), *closed]

    def open_orders(self, account_id: str) -> Sequence[OrderRecord]:
        """Open orders in the order in which they were accepted."""
        account = self._stage(account_id).accounts.get(account_id)
        if account is None:
            return ()
        return [order_record(order) for order in account.open.values()]

    def group(self, group_id: str) -> GroupRecord | None:
        """A group that is open or lately closed."""
        for replica in self._replicas.values():
            group = replica.groups.get(group_id)
            if group is not None:
                return group_record(group)
        return None

    def groups(self, account_id: str) -> Sequence[GroupRecord]:
        """Open groups in the order in which they were accepted."""
        account = self._stage(account_id).accounts.get(account_id)
        if account is None:
            return ()
        return [group_record(group) for group in account.groups.values()]

    def preview(self, order: SubmitOrder | SubmitGroup) -> PreviewRecord:
        """What the order or the group would hold and leave, or why it would be rejected."""
        stage = self._stage(order.account_id)
        account = stage.accounts.get(order.account_id)
        if isinstance(order, SubmitGroup):
            return _preview_group(stage, account, order)
        a = stage.assess(order)
        if account is None:
            return PreviewRecord(0, 0, 0, 0, 0, 0, a.reason, a.text, a.facts)
        return _preview_order(stage, account, a)

    # ------------------------------------------------------------ instruments

    def _any(self) -> OrdersStage:
        # Instruments are the same in every partition.
        return next(iter(self._replicas.values()))

    def instruments(self) -> Sequence[InstrumentDefined]:
        """All instruments, in the order in which they were listed."""
        return list(self._any().definitions.values())

    def instrument(self, symbol: str) -> InstrumentDefined | None:
        """An instrument's rules."""
        return self._any().definitions.get(symbol)

    def instrument_state(self, symbol: str) -> str:
        """ACTIVE, HALTED or RESTRICTED."""
        instrument = self._any().instruments.get(symbol)
        return instrument.state if instrument is not None else ""

    # ------------------------------------------------------------ what the clock has to know

    def settled_date(self) -> str:
        """The last business day that every partition has settled; empty for none."""
        return min(replica.settled_date for replica in self._replicas.values())

    def has_margin_accounts(self) -> bool:
        """Whether there is an account whose margin may have to be called."""
        opened = sum(len(replica.accounts) for replica in self._replicas.values())
        # Accounts are not closed and keep their type: only new ones are worth a look.
        if opened != self._accounts_seen and not self._margin_seen:
            self._accounts_seen = opened
            self._margin_seen = any(
                account.account_type == MARGIN
                for replica in self._replicas.values()
                for account in replica.accounts.values()
            )
        return self._margin_seen


class OneIdOneOrder:
    """`Commands` that keeps a client order id unique for longer than closed orders are in memory.

    The stage knows the ids of open and lately closed orders; older ones are looked up in the event
    store. Lookups of orders that arrive together share one query, one query at a time. An id that
    the venue made (equal to the order id) needs no lookup.
    """

    def __init__(
        self,
        commands: Commands,
        find: Callable[[Sequence[Pair], int], Awaitable[Mapping[Pair, str]]],
        clock: Clock,
        keep_days: int,
    ) -> None:
        self._commands = commands
        self._find = find
        self._clock = clock
        self._keep_us = keep_days * US_PER_DAY
        self._waiting: dict[Pair, list[asyncio.Future[str]]] = {}
        self._lookup: asyncio.Task[None] | None = None
        self._stuck = False

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        """As `Commands.submit`; a new order with a used id is rejected as a duplicate."""
        if isinstance(command, (SubmitOrder, ReplaceOrder)):
            if command.cl_ord_id == command.order_id and self._lookup is None:
                return await self._commands.submit(command)
            made = [command.order_id]
            known = await self._first_known(command.account_id, made, [command.cl_ord_id])
        elif isinstance(command, SubmitGroup):
            made = [command.group_id, command.tp_order_id, command.sl_order_id, ""]
            ids = [command.cl_ord_id, command.tp_cl_ord_id, command.sl_cl_ord_id]
            known = await self._first_known(command.account_id, made, ids)
        else:
            return await self._commands.submit(command)
        if known:
            command = msgspec.structs.replace(command, known_order_id=known)
        return await self._commands.submit(command)

    async def _first_known(
        self, account_id: str, made: Sequence[str], cl_ord_ids: Sequence[str]
    ) -> str:
        """The older order with one of these ids; `made` are those that the venue made."""
        asked = [self._ask((account_id, one)) for one in cl_ord_ids if one not in made]
        if not asked and self._lookup is not None:
            # It waits like those before it, so that no order overtakes another.
            asked = [self._ask(_NO_PAIR)]
        known = ""
        for found in asked:
            known = await found or known
        return known

    def _ask(self, pair: Pair) -> asyncio.Future[str]:
        if self._stuck:
            raise StoreUnavailable("the event store does not answer")
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(pair, []).append(found)
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up(), name="client order ids")
        return found

    async def _look_up(self) -> None:
        try:
            while self._waiting:
                pairs = list(self._waiting)[:LOOKUP_LEN_MAX]
                waiting = [(pair, self._waiting.pop(pair)) for pair in pairs]
                try:
                    known = await self._found(pairs, [one for _, each in waiting for one in each])
                except Exception as error:  # noqa: BLE001 - whatever it is, the waiting are told
                    for _, futures in waiting:
                        _fail(futures, error)
                    continue
                for pair, futures in waiting:
                    for future in futures:
                        if not future.done():
                            future.set_result(known.get(pair, ""))
        finally:
            self._lookup = None

    async def _found(
        self, pairs: Sequence[Pair], futures: Sequence[asyncio.Future[str]]
    ) -> Mapping[Pair, str]:
        """What the store knows of the ids; while it hangs, those who wait and come are refused."""
        since_us = self._clock.now_us() - self._keep_us
        query = asyncio.ensure_future(self._find(pairs, since_us))
        try:
            done, _ = await asyncio.wait([query], timeout=LOOKUP_WAIT_S)
            if not done:
                self._stuck = True
                error = StoreUnavailable("the event store does not answer")
                for each in (futures, *self._waiting.values()):
                    _fail(each, error)
                self._waiting.clear()
            return await query
        finally:
            self._stuck = False


def _fail(futures: Sequence[asyncio.Future[str]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _preview_order(stage: OrdersStage, account: Account, a: Assessment) -> PreviewRecord:
    o = a.order
    free = risk.excess(account, stage.instruments)
    rate = max(account.maker_fee_ppm, account.taker_fee_ppm)
    worst_px = o.limit_px or a.collar_px or o.hold_px or o.stop_px
    worst = o.notional or notional_up(worst_px, o.order_qty)
    settled, withdrawable, funded_until = _left(stage, account, a.reserved, o.side)
    return PreviewRecord(
        a.reserved,
        o.order_qty if o.closes else 0,
        fee(worst, rate),
        risk.buying_power(account, free),
        risk.buying_power(account, free - a.reserved),
        a.collar_px,
        a.reason,
        a.text,
        a.facts,
        "",
        worst_px,
        settled,
        withdrawable,
        funded_until,
    )


def _preview_group(stage: OrdersStage, account: Account | None, c: SubmitGroup) -> PreviewRecord:
    """The worst leg of a group, and what its one reservation leaves."""
    g = stage.assess_group(c)
    if account is None:
        return PreviewRecord(0, 0, 0, 0, 0, 0, g.reason, g.text, g.facts, legs=g.legs)
    free = risk.excess(account, stage.instruments)
    rate = max(account.maker_fee_ppm, account.taker_fee_ppm)
    entry = terms.entry_of(c)
    entry_px = 0 if c.order_class == OCO else entry.limit_px or g.collar_px or entry.stop_px
    settled, withdrawable, funded_until = _left(stage, account, g.reserved, c.side)
    return PreviewRecord(
        g.reserved,
        g.held_qty,
        fee(notional_up(entry_px, c.order_qty), rate)
        + fee(notional_up(g.worst_px, c.order_qty), rate),
        risk.buying_power(account, free),
        risk.buying_power(account, free - g.reserved),
        g.collar_px,
        g.reason,
        g.text,
        g.facts,
        g.worst_leg,
        g.worst_px,
        settled,
        withdrawable,
        funded_until,
        g.legs,
    )


def _left(stage: OrdersStage, account: Account, reserved: int, side: str) -> tuple[int, int, str]:
    """Settled cash and withdrawable cash after a reservation; until when it is not paid for."""
    settled = account.dues.free(account.cash) - account.reserved - reserved
    withdrawable = stage.withdrawable(account) - reserved
    funded_until = ""
    if account.account_type == CASH and side == BUY and stage.settle_date:
        # A cash account holds all that a purchase may cost: other orders have what they hold.
        lack = account.dues.lack(account.cash - account.reserved, reserved)
        funded_until = account.dues.funded_until(lack, stage.settle_date)
    return settled, max(0, withdrawable), funded_until


def order_record(o: Order) -> OrderRecord:
    """The order as queries answer it."""
    group = o.group
    return OrderRecord(
        o.order_id,
        o.account_id,
        o.cl_ord_id,
        o.symbol,
        o.side,
        o.ord_type,
        o.time_in_force,
        o.ord_status,
        o.order_qty,
        o.notional,
        o.limit_px,
        o.expire_us,
        o.post_only,
        o.extended_hours,
        o.position_intent,
        o.cum_qty,
        o.leaves_qty,
        o.avg_px(),
        o.submitted_us,
        o.updated_us,
        o.filled_us,
        o.closed_us if o.ord_status == CANCELED else 0,
        o.closed_us if o.ord_status == EXPIRED else 0,
        o.closed_us if o.ord_status == REPLACED else 0,
        o.replaces,
        o.replaced_by,
        o.reserved,
        o.leaves_qty if o.closes else 0,
        o.close_reason,
        o.stop_px,
        o.trail_px,
        o.trail_ppm,
        o.hwm_px,
        group.order_class if group is not None else "",
        group.group_id if group is not None else "",
        o.role,
        o.triggered_us,
        o.held,
    )


def group_record(g: Group) -> GroupRecord:
    """The group as queries answer it."""
    return GroupRecord(
        g.group_id,
        g.account_id,
        g.symbol,
        g.order_class,
        g.side,
        g.state,
        g.policy,
        g.activation,
        g.order_qty,
        g.open_qty,
        g.remaining() if g.state != CLOSED else 0,
        g.reserved,
        g.promised() if g.closes else 0,
        g.auto_shrink,
        tuple(g.order_ids()),
    )


def account_record(stage: OrdersStage, a: Account) -> AccountRecord:
    """The account as queries answer it, valued at the marked prices."""
    v = risk.value(a, stage.instruments)
    free = risk.excess(a, stage.instruments)
    return AccountRecord(
        a.account_id,
        a.account_type,
        a.created_us,
        a.cash,
        a.reserved,
        v.long_value,
        v.short_value,
        v.equity,
        a.last_equity,
        v.initial,
        v.maintenance,
        risk.buying_power(a, free),
        stage.withdrawable(a),
        a.fees_paid,
        1 if a.account_type == CASH else 2,
        a.shorting,
        a.blocked,
        stage.blocked,
        a.no_shorting,
        a.suspend_trade,
        a.fractional_trading,
        a.trade_confirm_email,
        a.max_margin_multiplier,
        a.ptp_no_exception_entry,
        a.stp,
        a.maker_fee_ppm,
        a.taker_fee_ppm,
        len(a.open),
        a.dues.settled(a.cash),
        a.dues.net(),
        not a.settled_only(),
        a.standing.count(GOOD_FAITH),
        a.standing.count(FREE_RIDING),
        a.standing.restricted_until,
        a.call_deficit,
        a.call_due_us,
        a.frozen,
    )
