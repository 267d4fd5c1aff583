"""A venue in a few dictionaries: what the gateway needs of the stages, without their rules."""

from collections.abc import Callable, Container, Sequence
from datetime import UTC, date, timedelta, tzinfo
from typing import NamedTuple
from uuid import uuid4

import msgspec

from nexustrade.core import terms
from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable
from nexustrade.core.time import US_PER_S, to_datetime
from nexustrade.gateway.api import build_app
from nexustrade.gateway.auth import ApiKey, new_credentials, secret_hash
from nexustrade.gateway.guard import Guard
from nexustrade.gateway.service import Gateway, GatewaySettings
from nexustrade.gateway.store import KeyCache, NameTaken, WatchlistRow
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import (
    NOT_HALTED,
    BookSnapshot,
    DefineInstrument,
    InstrumentDefined,
    InstrumentSplit,
    Refused,
    SplitInstrument,
)
from nexustrade.orders import messages as m

NOW_US = 1_795_000_000_123_456
"""2026-11-18T11:06:40.123456Z, a Wednesday."""
ALICE, BOB, ROOT = "alice", "bob", "root"
OPEN = (terms.NEW, terms.HELD, terms.PARTIALLY_FILLED)
Listener = Callable[[LogEntry, m.OrderRecord | None], None]


class FakeClock:
    def __init__(self) -> None:
        self.us = NOW_US
        self.ns = 0

    def now_us(self) -> int:
        return self.us

    def monotonic_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


class FakeKeys(KeyCache):
    """Keys in a dict behind the real cache."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.rows: dict[str, ApiKey] = {}
        self.version = 0
        self.away = False
        self.looks = 0

    def add(self, key_id: str, secret: str, account_id: str, *scopes: str, until: int = 0) -> None:
        self.rows[key_id] = ApiKey(
            key_id, secret_hash(secret), account_id, frozenset(scopes), "", NOW_US, until
        )
        self.version += 1

    async def create(
        self, account_id: str, scopes: Sequence[str], label: str, expires_us: int, now_us: int
    ) -> tuple[ApiKey, str]:
        key_id, secret = new_credentials()
        self.add(key_id, secret, account_id, *scopes, until=expires_us)
        self.rows[key_id] = self.rows[key_id]._replace(label=label)
        self.expire()
        return self.rows[key_id], secret

    async def revoke(self, key_id: str, now_us: int) -> bool:
        if key_id not in self.rows:
            return False
        self.rows[key_id] = self.rows[key_id]._replace(revoked_us=now_us)
        self.version += 1
        self.expire()
        return True

    async def list(self, account_id: str) -> Sequence[ApiKey]:
        return await self._table_rows(account_id)

    async def _table_fingerprint(self) -> object:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.version

    async def _table_rows(self, account_id: str) -> Sequence[ApiKey]:
        return [key for key in self.rows.values() if account_id in {"", key.account_id}]


class FakeWatchlists:
    def __init__(self) -> None:
        self.rows: dict[str, WatchlistRow] = {}

    async def all(self, account_id: str) -> Sequence[WatchlistRow]:
        return [row for row in self.rows.values() if row.account_id == account_id]

    async def get(self, account_id: str, list_id: str) -> WatchlistRow | None:
        row = self.rows.get(list_id)
        return row if row is not None and row.account_id == account_id else None

    async def create(
        self, account_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow:
        if any(r.name == name for r in await self.all(account_id)):
            raise NameTaken
        row = WatchlistRow(str(uuid4()), account_id, name, tuple(symbols), now_us, now_us)
        self.rows[row.id] = row
        return row

    async def update(
        self, account_id: str, list_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow | None:
        row = await self.get(account_id, list_id)
        if row is None:
            return None
        if any(r.name == name and r.id != list_id for r in await self.all(account_id)):
            raise NameTaken
        self.rows[list_id] = row._replace(name=name, symbols=tuple(symbols), updated_us=now_us)
        return self.rows[list_id]

    async def delete(self, account_id: str, list_id: str) -> bool:
        if await self.get(account_id, list_id) is None:
            return False
        del self.rows[list_id]
        return True


Date = date


class FakeDay(NamedTuple):
    date: Date
    open: str
    close: str
    session_open: str
    session_close: str
    settlement_date: Date


class FakeCalendar:
    @property
    def zone(self) -> tzinfo:
        return UTC

    def is_open(self, now_us: int) -> bool:
        return True

    def next_open(self, now_us: int) -> int:
        return now_us + 3600 * US_PER_S

    def next_close(self, now_us: int) -> int:
        return now_us + 1800 * US_PER_S

    def days(self, start: date, end: date) -> Sequence[FakeDay]:
        count = min((end - start).days + 1, 400)
        days = [start + timedelta(days=n) for n in range(count)]
        return [
            FakeDay(d, "09:30", "16:00", "0400", "2000", d + timedelta(days=2))
            for d in days
            if d.weekday() < 5
        ]


class FakeVenue:
    """Commands, OrdersQuery, HistoryQuery and BooksQuery in one."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seq = 0
        self.records: dict[str, m.OrderRecord] = {}
        self.old: list[m.OrderRecord] = []
        self.old_fills: list[m.FillRecord] = []
        self.movements: list[m.CashMovement] = []
        self.samples: list[m.EquitySample] = []
        self.holdings: dict[tuple[str, str], m.PositionRecord] = {}
        self.groups_by_id: dict[str, m.GroupRecord] = {}
        self.old_trades: list[m.FillRecord] = []
        self.accounts = {name: account_record(name) for name in (ALICE, BOB, ROOT)}
        self.symbols = {
            "AAPL": InstrumentDefined(
                "AAPL", 100, 10**8, "Apple Inc.", "XNAS", True, True, True, reference_px=1_000_000
            ),
            "BTC/USD": InstrumentDefined("BTC/USD", 100, 10**4, "Bitcoin", "", True),
        }
        self.states: dict[str, str] = {}
        self.commands: list[Message] = []
        self.listeners: list[Listener] = []
        self.refuse_with: Message | None = None
        self.fault: Exception | None = None

    # -- Commands

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        self.commands.append(command)
        if self.fault is not None:
            raise self.fault
        if self.refuse_with is not None:
            return [self.emit(self.refuse_with)]
        if isinstance(command, m.SubmitOrder):
            return self._submit(command)
        if isinstance(command, m.SubmitGroup):
            return self._submit_group(command)
        if isinstance(command, m.CancelOrder):
            return self._cancel(command)
        if isinstance(command, m.AmendGroup):
            return self._amend_group(command)
        if isinstance(command, m.CancelGroup):
            return self._cancel_group(command.account_id, command.group_id)
        if isinstance(command, m.CancelAllOrders):
            found = [
                r
                for r in self.open_orders(command.account_id)
                if command.symbol in {"", r.symbol} and command.side in {"", r.side}
            ]
            parents = [r for r in found if not r.group_id or r.order_id == r.group_id]
            commands = [m.CancelOrder(r.account_id, r.order_id) for r in parents]
            return [entry for cancel in commands for entry in self._cancel(cancel)]
        if isinstance(command, m.ReplaceOrder):
            return self._replace(command)
        return self._operate(command)

    def emit(self, event: Message, record: m.OrderRecord | None = None) -> LogEntry:
        self.seq += 1
        entry = LogEntry("orders-0", self.seq, self.clock.us + self.seq, "test", event)
        for listener in self.listeners:
            listener(entry, record)
        return entry

    def _submit(self, c: m.SubmitOrder) -> Sequence[LogEntry]:
        record = m.OrderRecord(
            order_id=c.order_id,
            account_id=c.account_id,
            cl_ord_id=c.cl_ord_id,
            symbol=c.symbol,
            side=c.side,
            ord_type=c.ord_type,
            time_in_force=c.time_in_force,
            ord_status=terms.NEW,
            order_qty=c.order_qty,
            notional=c.notional,
            limit_px=c.limit_px,
            expire_us=c.expire_us,
            post_only=c.post_only,
            extended_hours=c.extended_hours,
            position_intent=c.position_intent,
            cum_qty=0,
            leaves_qty=c.order_qty,
            avg_px=0,
            submitted_us=self.clock.us + self.seq,
            updated_us=self.clock.us + self.seq,
            stop_px=c.stop_px,
            trail_px=c.trail_px,
            trail_ppm=c.trail_ppm,
        )
        self.records[c.order_id] = record
        event = m.OrderAccepted(
            c.account_id,
            c.order_id,
            c.cl_ord_id,
            c.symbol,
            c.side,
            c.ord_type,
            c.time_in_force,
            c.order_qty,
        )
        return [self.emit(event, record)]

    def _submit_group(self, c: m.SubmitGroup) -> Sequence[LogEntry]:
        is_oco = c.order_class == terms.OCO
        exit_side = c.side if is_oco else opposite(c.side)
        tp = self._leg(c, c.tp_order_id, c.tp_cl_ord_id, exit_side, terms.TAKE_PROFIT)
        sl = self._leg(c, c.sl_order_id, c.sl_cl_ord_id, exit_side, terms.STOP_LOSS)
        orders = [leg for leg in (tp, sl) if leg.order_id]
        if not is_oco:
            entry = self._leg(c, c.group_id, c.cl_ord_id, c.side, terms.ENTRY)
            orders.insert(0, msgspec.structs.replace(entry, position_intent=c.position_intent))
        orders[0] = msgspec.structs.replace(orders[0], ord_status=terms.NEW)
        for record in orders:
            self.records[record.order_id] = record
        self.groups_by_id[c.group_id] = m.GroupRecord(
            c.group_id,
            c.account_id,
            c.symbol,
            c.order_class,
            exit_side,
            "HELD",
            c.policy,
            c.activation,
            c.order_qty,
            0,
            c.order_qty,
            100_050,
            0,
            c.auto_shrink,
            tuple(record.order_id for record in orders),
        )
        return [self.emit(accepted(c))]

    def _leg(
        self, c: m.SubmitGroup, order_id: str, cl_ord_id: str, side: str, role: str
    ) -> m.OrderRecord:
        now = self.clock.us + self.seq
        stop_limit = terms.STOP_LIMIT if c.sl_limit_px else terms.STOP
        ord_type, limit_px, stop_px = {
            terms.ENTRY: (c.ord_type, c.limit_px, c.stop_px),
            terms.TAKE_PROFIT: (terms.LIMIT, c.tp_limit_px, 0),
            terms.STOP_LOSS: (stop_limit, c.sl_limit_px, c.sl_stop_px),
        }[role]
        return m.OrderRecord(
            order_id=order_id,
            account_id=c.account_id,
            cl_ord_id=cl_ord_id,
            symbol=c.symbol,
            side=side,
            ord_type=ord_type,
            time_in_force=c.time_in_force,
            ord_status=terms.HELD,
            order_qty=c.order_qty,
            notional=0,
            limit_px=limit_px,
            expire_us=c.expire_us,
            post_only=False,
            extended_hours=False,
            position_intent="",
            cum_qty=0,
            leaves_qty=c.order_qty,
            avg_px=0,
            submitted_us=now,
            updated_us=now,
            stop_px=stop_px,
            order_class=c.order_class,
            group_id=c.group_id,
            role=role,
        )

    def change(self, order_id: str, **changes: object) -> m.OrderRecord:
        """Set fields of an order, as the venue would."""
        record = msgspec.structs.replace(self.records[order_id], **changes)
        self.records[order_id] = record
        return record

    def _amend_group(self, c: m.AmendGroup) -> Sequence[LogEntry]:
        group = self.groups_by_id[c.group_id]
        self.groups_by_id[c.group_id] = msgspec.structs.replace(group, order_qty=c.order_qty)
        for order_id in group.order_ids:
            self.change(order_id, order_qty=c.order_qty, leaves_qty=c.order_qty)
        asked = m.GroupAmendRequested(c.account_id, c.group_id, group.symbol, c.order_qty)
        done = m.GroupResized(c.account_id, c.group_id, c.order_qty)
        return [self.emit(asked), self.emit(done)]

    def _cancel_group(self, account_id: str, group_id: str) -> Sequence[LogEntry]:
        group = self.groups_by_id[group_id]
        asked = m.CancelRequested(account_id, group.order_ids[0], group.symbol, group_id)
        entries = [self.emit(asked, self.records[group.order_ids[0]])]
        alive = [i for i in group.order_ids if self.records[i].leaves_qty]
        return [*entries, *(self.end(order_id, "GROUP_CANCELLED") for order_id in alive)]

    def end(self, order_id: str, reason: str) -> LogEntry:
        """Cancel an open order, as the venue would."""
        now = self.clock.us + self.seq
        r = self.change(
            order_id,
            ord_status=terms.CANCELED,
            canceled_us=now,
            updated_us=now,
            leaves_qty=0,
            close_reason=reason,
        )
        return self.emit(m.OrderCanceled(r.account_id, order_id, 0, reason), r)

    def fill(self, order_id: str, qty: int, price: int) -> None:
        """Fill a part of an open order, as the venue would."""
        r = self.records[order_id]
        cum_qty = r.cum_qty + qty
        leaves_qty = r.order_qty - cum_qty
        status = terms.FILLED if leaves_qty == 0 else terms.PARTIALLY_FILLED
        now = self.clock.us + self.seq
        r = msgspec.structs.replace(
            r,
            cum_qty=cum_qty,
            leaves_qty=leaves_qty,
            avg_px=price,
            ord_status=status,
            updated_us=now,
            filled_us=now if leaves_qty == 0 else 0,
        )
        self.records[order_id] = r
        held = self.holdings.get((r.account_id, r.symbol))
        signed = qty if r.side == terms.BUY else -qty
        total = (held.qty if held else 0) + signed
        self.hold(r.account_id, r.symbol, total, price)
        self.emit(
            m.OrderFilled(
                r.account_id, order_id, r.symbol, r.side, price, qty, 0, 0, terms.MAKER, self.seq
            ),
            r,
        )

    def hold(self, account_id: str, symbol: str, qty: int, price: int) -> None:
        self.holdings[account_id, symbol] = m.PositionRecord(
            account_id, symbol, qty, abs(qty), price * qty, price, price
        )

    def _cancel(self, c: m.CancelOrder) -> Sequence[LogEntry]:
        r = self.records.get(c.order_id)
        if r is None or r.account_id != c.account_id:
            return [self.emit(m.CancelRejected(c.account_id, c.order_id, m.UNKNOWN_ORDER))]
        if r.ord_status not in OPEN:
            event = m.CancelRejected(c.account_id, c.order_id, m.ORDER_CLOSED, r.ord_status)
            return [self.emit(event, r)]
        if r.group_id:
            return self._cancel_group(c.account_id, r.group_id)
        asked = self.emit(m.CancelRequested(c.account_id, c.order_id, r.symbol), r)
        return [asked, self.end(c.order_id, "BY_REQUEST")]

    def _replace(self, c: m.ReplaceOrder) -> Sequence[LogEntry]:
        old = self.records[c.orig_order_id]
        if old.ord_status not in OPEN:
            return [
                self.emit(
                    m.ReplaceRejected(
                        c.account_id,
                        c.order_id,
                        c.orig_order_id,
                        m.ORDER_CLOSED,
                        "",
                        old.ord_status,
                    )
                )
            ]
        now = self.clock.us + self.seq
        new = msgspec.structs.replace(
            old,
            order_id=c.order_id,
            cl_ord_id=c.cl_ord_id,
            order_qty=c.order_qty or old.order_qty,
            limit_px=c.limit_px or old.limit_px,
            stop_px=c.stop_px or old.stop_px,
            trail_px=c.trail_px or old.trail_px,
            trail_ppm=c.trail_ppm or old.trail_ppm,
            replaces=old.order_id,
            submitted_us=now,
            updated_us=now,
        )
        self.records[new.order_id] = new
        self.records[old.order_id] = msgspec.structs.replace(
            old, ord_status=terms.REPLACED, replaced_us=now, replaced_by=new.order_id
        )
        if old.group_id:
            group = self.groups_by_id[old.group_id]
            ids = tuple(new.order_id if i == old.order_id else i for i in group.order_ids)
            self.groups_by_id[old.group_id] = msgspec.structs.replace(group, order_ids=ids)
        asked = m.ReplaceRequested(
            c.account_id,
            c.order_id,
            c.orig_order_id,
            c.cl_ord_id,
            old.symbol,
            new.order_qty,
            new.limit_px,
            new.time_in_force,
        )
        done = m.OrderReplaced(c.account_id, c.order_id, c.orig_order_id)
        return [self.emit(asked, new), self.emit(done, new)]

    def _operate(self, c: Message) -> Sequence[LogEntry]:
        replace = msgspec.structs.replace
        if isinstance(c, m.OpenAccount):
            if c.account_id in self.accounts:
                text = f"account {c.account_id} exists"
                event = m.CommandRejected(c.account_id, "OpenAccount", m.ACCOUNT_EXISTS, text)
                return [self.emit(event)]
            self.accounts[c.account_id] = replace(account_record(c.account_id), cash=c.cash)
        elif isinstance(c, m.ConfigureAccount):
            self.accounts[c.account_id] = replace(
                self.accounts[c.account_id],
                no_shorting=c.no_shorting,
                suspend_trade=c.suspend_trade,
                fractional_trading=c.fractional_trading,
                trade_confirm_email=c.trade_confirm_email,
                max_margin_multiplier=c.max_margin_multiplier,
                ptp_no_exception_entry=c.ptp_no_exception_entry,
            )
        elif isinstance(c, m.AdjustCash):
            record = self.accounts[c.account_id]
            self.accounts[c.account_id] = replace(record, cash=record.cash + c.amount)
        elif isinstance(c, m.BlockAccount):
            self.accounts[c.account_id] = replace(self.accounts[c.account_id], blocked=c.blocked)
        elif isinstance(c, m.FreezeAccount):
            self.accounts[c.account_id] = replace(self.accounts[c.account_id], frozen=c.frozen)
        elif isinstance(c, DefineInstrument):
            self.symbols[c.symbol] = InstrumentDefined(*msgspec.structs.astuple(c))
        elif isinstance(c, m.RestrictInstrument):
            self.states[c.symbol] = c.state
        elif isinstance(c, SplitInstrument):
            if self.states.get(c.symbol) != "HALTED":
                return [self.emit(Refused("", "", c.symbol, NOT_HALTED))]
            return [self.emit(InstrumentSplit(c.symbol, c.shares_new, c.shares_old, c.text))]
        return [self.emit(m.VenueBlocked(True))]

    # -- OrdersQuery

    def account(self, account_id: str) -> m.AccountRecord | None:
        return self.accounts.get(account_id)

    def account_ids(self) -> Sequence[str]:
        return list(self.accounts)

    def order(self, order_id: str) -> m.OrderRecord | None:
        return self.records.get(order_id)

    def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> m.OrderRecord | None:
        for r in self.records.values():
            if r.account_id == account_id and r.cl_ord_id == cl_ord_id:
                return r
        return None

    def orders(self, account_id: str) -> Sequence[m.OrderRecord]:
        return [r for r in self.records.values() if r.account_id == account_id]

    def open_orders(self, account_id: str) -> Sequence[m.OrderRecord]:
        return [r for r in self.orders(account_id) if r.ord_status in OPEN]

    def group(self, group_id: str) -> m.GroupRecord | None:
        return self.groups_by_id.get(group_id)

    def groups(self, account_id: str) -> Sequence[m.GroupRecord]:
        return [g for g in self.groups_by_id.values() if g.account_id == account_id]

    def positions(self, account_id: str) -> Sequence[m.PositionRecord]:
        return [r for (owner, _), r in self.holdings.items() if owner == account_id]

    def position(self, account_id: str, symbol: str) -> m.PositionRecord | None:
        return self.holdings.get((account_id, symbol))

    def instruments(self) -> Sequence[InstrumentDefined]:
        return list(self.symbols.values())

    def instrument(self, symbol: str) -> InstrumentDefined | None:
        return self.symbols.get(symbol)

    def instrument_state(self, symbol: str) -> str:
        return self.states.get(symbol, "ACTIVE")

    def preview(self, order: m.SubmitOrder | m.SubmitGroup) -> m.PreviewRecord:
        if order.order_qty > 1000 * 10**8:
            facts = {"buying_power": "100000", "cost_basis": "1000000"}
            return m.PreviewRecord(0, 0, 0, 10**7, 10**7, 0, m.INSUFFICIENT_BUYING_POWER, "", facts)
        return m.PreviewRecord(100_050, 0, 51, 10_000_000, 9_899_899, 1_050_000)

    def listen(self, receive: Listener, accounts: Container[str]) -> Callable[[], None]:
        self.listeners.append(receive)
        return lambda: self.listeners.remove(receive)

    # -- BooksQuery

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        if symbol not in self.symbols:
            return None
        bids = ((1_000_500, 5 * 10**8, 2), (1_000_400, 10**8, 1))[:depth_max]
        asks = ((1_000_600, 150_000_000, 1),)
        return BookSnapshot(symbol, 1, 7, NOW_US, bids, asks, 1_000_500, 10**8, NOW_US)

    def session_open(self) -> bool:
        return True


def opposite(side: str) -> str:
    return terms.SELL if side == terms.BUY else terms.BUY


def accepted(c: m.SubmitGroup) -> m.GroupAccepted:
    """The acceptance of a group's command, with what both have."""
    taken = m.GroupAccepted.__struct_fields__
    asked = msgspec.structs.asdict(c)
    return m.GroupAccepted(**{name: asked[name] for name in taken if name in asked})


class FakeHistory:
    """HistoryQuery over the venue's lists; its names clash with OrdersQuery's."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue

    async def order(self, account_id: str, order_id: str) -> m.OrderRecord | None:
        for r in self.venue.old:
            if r.order_id == order_id and r.account_id == account_id:
                return r
        return None

    async def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> m.OrderRecord | None:
        for r in self.venue.old:
            if r.cl_ord_id == cl_ord_id and r.account_id == account_id:
                return r
        return None

    async def orders(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        symbols: Sequence[str] = (),
        side: str = "",
        descending: bool = True,
        limit: int = 500,
    ) -> Sequence[m.OrderRecord]:
        found = [r for r in self.venue.old if r.account_id == account_id]
        found.sort(key=lambda r: r.submitted_us, reverse=descending)
        return found[:limit]

    async def fills(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[m.FillRecord]:
        found = [
            r
            for r in self.venue.old_fills
            if r.account_id == account_id
            and (not after_us or r.ts_event_us > after_us)
            and (not until_us or r.ts_event_us < until_us)
        ]
        found.sort(key=lambda r: r.ts_event_us, reverse=descending)
        return found[:limit]

    async def orders_of_groups(
        self, account_id: str, group_ids: Sequence[str]
    ) -> Sequence[m.OrderRecord]:
        return [r for r in self.venue.old if r.account_id == account_id and r.group_id in group_ids]

    async def trade(self, symbol: str, trade_id: int) -> Sequence[m.FillRecord]:
        found = self.venue.old_trades
        return [f for f in found if (f.symbol, f.trade_id) == (symbol, trade_id)]

    async def cash_movements(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[m.CashMovement]:
        found = [
            r
            for r in self.venue.movements
            if r.account_id == account_id
            and (not after_us or r.ts_event_us > after_us)
            and (not until_us or r.ts_event_us < until_us)
        ]
        found.sort(key=lambda r: r.ts_event_us, reverse=descending)
        return found[:limit]

    async def equity(
        self, account_id: str, after_us: int, until_us: int
    ) -> Sequence[m.EquitySample]:
        return [
            s
            for s in self.venue.samples
            if s.account_id == account_id and after_us < s.ts_us < until_us
        ]


def account_record(account_id: str) -> m.AccountRecord:
    return m.AccountRecord(
        account_id=account_id,
        account_type=terms.MARGIN,
        created_us=NOW_US - US_PER_S,
        cash=10_000_000,
        reserved=50_025,
        long_market_value=1_000_050,
        short_market_value=0,
        equity=11_000_050,
        last_equity=10_990_000,
        initial_margin=500_025,
        maintenance_margin=300_015,
        buying_power=20_000_000,
        withdrawable=9_949_975,
        fees_paid=123,
        multiplier=2,
        shorting=True,
        blocked=False,
        venue_blocked=False,
        no_shorting=False,
        suspend_trade=False,
        fractional_trading=True,
        trade_confirm_email="all",
        max_margin_multiplier="4",
        ptp_no_exception_entry=False,
        stp=terms.STP_NEWEST,
        maker_fee_ppm=0,
        taker_fee_ppm=500,
        open_orders=1,
    )


class Setup(NamedTuple):
    """A gateway on a fake venue, with everything a test may turn."""

    app: Guard
    gateway: Gateway
    venue: FakeVenue
    keys: FakeKeys
    watchlists: FakeWatchlists
    clock: FakeClock


def make_setup(settings: GatewaySettings | None = None) -> Setup:
    clock = FakeClock()
    venue = FakeVenue(clock)
    keys = FakeKeys(clock)
    keys.add("alice-key", "alice-secret", ALICE, "trade")
    keys.add("reader-key", "reader-secret", ALICE, "read")
    keys.add("bob-key", "bob-secret", BOB, "read", "trade")
    keys.add("root-key", "root-secret", ROOT, "admin")
    watchlists = FakeWatchlists()
    gateway = Gateway(
        venue, venue, FakeHistory(venue), venue, keys, watchlists, FakeCalendar(), clock, settings
    )
    return Setup(build_app(gateway), gateway, venue, keys, watchlists, clock)


def today() -> date:
    return to_datetime(NOW_US).date()
