"""What the gateway does for a caller: commands in, models out. Knows no HTTP.

Every method takes the caller's account and touches nothing of another one; what belongs to
somebody else is answered like what does not exist. Refusals are raised as `ApiError`.
"""

import os
import re
from collections.abc import Callable, Sequence
from datetime import date, tzinfo
from typing import Final, NamedTuple, Protocol

import msgspec

from nexustrade.core import terms
from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.core.ids import uuid7
from nexustrade.core.money import QTY_ONE, parse_qty, parse_rate
from nexustrade.gateway import groups, render, requests
from nexustrade.gateway.auth import Keys
from nexustrade.gateway.group_requests import GroupIds, order_class, submit_group
from nexustrade.gateway.messages import (
    AccountConfiguration,
    CancelResult,
    CloseResult,
    ConfigurationRequest,
    OrderPreview,
    OrderRequest,
    OrdersParams,
    ReplaceRequest,
)
from nexustrade.gateway.refusals import ApiError, Terms, invalid, not_found, refusal
from nexustrade.gateway.store import WatchlistRow
from nexustrade.kernel.ports import Clock, Commands, LogEntry
from nexustrade.matching.messages import BooksQuery
from nexustrade.orders import messages as m

OPEN_STATUSES: Final = frozenset(
    {
        terms.NEW,
        terms.HELD,
        terms.PARTIALLY_FILLED,
        terms.PENDING_CANCEL,
        terms.PENDING_REPLACE,
    }
)
_REFUSED_BY_BOOK: Final = frozenset({m.OCO_PRICES_DO_NOT_STRADDLE, m.STOP_WOULD_TRIGGER})
"""Why an order or group that passed all checks may not enter the book as it stands."""
_ENTROPY_LEN: Final = 10
"""Random bytes of an id."""
_GROUP_LEN: Final = 3
"""How many orders a group has at most, those that were replaced apart."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


Date = date
"""The type, where `date` is a field's name."""


class CalendarRow(Protocol):
    """One trading day, in exchange time."""

    @property
    def date(self) -> Date: ...

    @property
    def open(self) -> str: ...

    @property
    def close(self) -> str: ...

    @property
    def session_open(self) -> str: ...

    @property
    def session_close(self) -> str: ...

    @property
    def settlement_date(self) -> Date: ...


class Calendar(Protocol):
    """When the venue trades."""

    @property
    def zone(self) -> tzinfo: ...

    def is_open(self, now_us: int) -> bool: ...

    def next_open(self, now_us: int) -> int: ...

    def next_close(self, now_us: int) -> int: ...

    def days(self, start: Date, end: Date) -> Sequence[CalendarRow]: ...


class Watchlists(Protocol):
    """Where watchlists are kept; `store.WatchlistStore` in production."""

    async def all(self, account_id: str) -> Sequence[WatchlistRow]: ...

    async def get(self, account_id: str, list_id: str) -> WatchlistRow | None: ...

    async def create(
        self, account_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow: ...

    async def update(
        self, account_id: str, list_id: str, name: str, symbols: Sequence[str], now_us: int
    ) -> WatchlistRow | None: ...

    async def delete(self, account_id: str, list_id: str) -> bool: ...


class GatewaySettings(NamedTuple):
    """The gateway's limits, each with its unit."""

    rate_limit_per_s: int = 1_000
    """Requests a second for each API key, in the long run."""
    rate_limit_burst: int = 2_000
    """Requests of one key at once."""
    body_len_max: int = 65_536
    """Bytes of a request body."""
    stream_queue_len_max: int = 10_000
    """Events waiting for one stream connection; a reader that falls behind more is cut off."""
    stream_queue_bytes_max: int = 8 * 1024 * 1024
    stream_connections_max: int = 10
    """Stream connections of one API key."""
    stream_auth_s_max: float = 10.0
    stream_close_s_max: float = 2.0
    """How long a connection that is cut off may take to close politely."""
    stream_key_check_s: float = 1.0
    """How often a connection's key is looked at again."""
    stream_message_len_max: int = 65_536
    """Bytes of one message from a stream client."""


class Gateway:
    """Everything the routes need. Give it the venue's ports and queries.

    `ready` says whether orders can be taken now, for `/v1/health`.
    """

    def __init__(
        self,
        commands: Commands,
        orders: m.OrdersQuery,
        history: m.HistoryQuery,
        books: BooksQuery,
        keys: Keys,
        watchlists: Watchlists,
        calendar: Calendar,
        clock: Clock,
        settings: GatewaySettings | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.commands = commands
        self.orders = orders
        self.history = history
        self.books = books
        self.keys = keys
        self.watchlists = watchlists
        self.calendar = calendar
        self.clock = clock
        self.settings = settings or GatewaySettings()
        self.ready = ready
        self._symbol_by_asset: dict[str, str] = {}
        self._random = b""
        self._random_at = 0

    # ------------------------------------------------------------ orders

    def new_id(self, now_us: int) -> str:
        """A new order id."""
        at = self._random_at
        if at == len(self._random):
            # Many ids' worth at once: asking the system costs more than making the id.
            self._random = os.urandom(_ENTROPY_LEN * 400)
            at = 0
        self._random_at = at + _ENTROPY_LEN
        return uuid7(now_us, int.from_bytes(self._random[at : at + _ENTROPY_LEN], "big"))

    async def place(self, account_id: str, request: OrderRequest) -> m.OrderRecord:
        """Submit an order, or with an `order_class` a group.

        Its record (a group's parent's) as it stands once everything it led to is durable.
        """
        # An id that the venue makes is new by itself, and equal to the order's: nobody looks it up.
        return await self.submit(self._command(account_id, request))

    def _command(self, account_id: str, request: OrderRequest) -> m.SubmitOrder | m.SubmitGroup:
        now_us = self.clock.now_us()
        if not order_class(request):
            order_id = self.new_id(now_us)
            return requests.submit_order(request, account_id, order_id, order_id, now_us)
        # Sorted, so that a listing by time and id has the parent before its legs.
        ids = GroupIds(*sorted(self.new_id(now_us) for _ in range(3)))
        return submit_group(request, account_id, ids, ids.group_id, now_us)

    async def submit(self, command: m.SubmitOrder | m.SubmitGroup) -> m.OrderRecord:
        """Run the command of a new order or group."""
        order_id = command.order_id if isinstance(command, m.SubmitOrder) else command.group_id
        entries = await self.commands.submit(command)
        event = entries[0].event
        if isinstance(event, m.OrderRejected | m.GroupRejected):
            legs = event.legs if isinstance(event, m.GroupRejected) else {}
            asked = Terms(command.symbol, order_id, event.text)
            raise refusal(event.reason, event.facts, asked, legs)
        record = self.orders.order(order_id)
        if record is None:
            raise InvariantError(f"order {order_id} is accepted but not in the view")
        if record.ord_status == terms.CANCELED and record.close_reason in _REFUSED_BY_BOOK:
            raise refusal(record.close_reason, {}, Terms(command.symbol, order_id))
        return record

    def legs(self, record: m.OrderRecord) -> list[m.OrderRecord]:
        """The legs of an order that was open just now."""
        return groups.legs_in_memory(self.orders, record)

    async def legs_of(self, records: Sequence[m.OrderRecord]) -> groups.Legs:
        """The legs of those orders that are parents, by their order ids."""
        return await groups.legs_of(self.orders, self.history, records)

    async def order(self, account_id: str, order_id: str) -> m.OrderRecord:
        """One order of the account, from memory or from the history; 404."""
        record = await self.find_order(account_id, order_id)
        if record is None:
            raise not_found(f"order not found for {requests.shown(order_id)}")
        return record

    async def find_order(self, account_id: str, order_id: str) -> m.OrderRecord | None:
        """One order of the account, or None."""
        record = self.orders.order(order_id)
        if record is None and _looks_like_uuid(order_id):
            record = await self.history.order(account_id, order_id)
        return record if record is not None and record.account_id == account_id else None

    async def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> m.OrderRecord:
        """The order with a client order id; 404."""
        record = None
        if cl_ord_id and cl_ord_id.isprintable():
            record = self.orders.order_by_cl_ord_id(account_id, cl_ord_id)
            if record is None:
                record = await self.history.order_by_cl_ord_id(account_id, cl_ord_id)
        if record is None:
            raise not_found(f"order not found for {requests.shown(cl_ord_id)}")
        return record

    async def replace(
        self, account_id: str, order_id: str, request: ReplaceRequest
    ) -> m.OrderRecord:
        """Replace an open order; the record of the new one."""
        now_us = self.clock.now_us()
        new_id = self.new_id(now_us)
        old = await self.order(account_id, order_id)
        command = requests.replace_order(request, old, new_id, new_id, now_us)
        for entry in await self.commands.submit(command):
            event = entry.event
            if isinstance(event, m.ReplaceRejected) and event.order_id == new_id:
                raise self._late(event, old)
        return self.orders.order(new_id) or _successor(old, command, now_us)

    async def cancel(self, account_id: str, order_id: str) -> None:
        """Cancel an open order; 404 when there is none, 422 when it is closed."""
        if self._own_order(account_id, order_id) is None:
            closed = await self.order(account_id, order_id)
            raise _already(closed.ord_status)
        for entry in await self.commands.submit(m.CancelOrder(account_id, order_id)):
            event = entry.event
            if isinstance(event, m.CancelRejected) and event.order_id == order_id:
                raise self._late(event, self._own_order(account_id, order_id))

    def _own_order(self, account_id: str, order_id: str) -> m.OrderRecord | None:
        record = self.orders.order(order_id)
        return record if record is not None and record.account_id == account_id else None

    def _late(
        self, event: m.ReplaceRejected | m.CancelRejected, known: m.OrderRecord | None
    ) -> ApiError:
        """The refusal of a cancel or replace; "unknown" to the book means closed by now."""
        is_replace = isinstance(event, m.ReplaceRejected)
        order_id = event.orig_order_id if isinstance(event, m.ReplaceRejected) else event.order_id
        text = event.text if isinstance(event, m.ReplaceRejected) else ""
        facts = event.facts if isinstance(event, m.ReplaceRejected) else {}
        known = self.orders.order(order_id) or known
        status = event.ord_status or (known.ord_status if known is not None else "")
        reason = event.reason
        if reason == m.UNKNOWN_ORDER and known is not None:
            reason = m.ORDER_CLOSED
        symbol = known.symbol if known is not None and is_replace else ""
        return refusal(reason, facts, Terms(symbol, order_id, text, render.status_text(status)))

    async def cancel_all(
        self, account_id: str, symbol: str = "", side: str = ""
    ) -> list[CancelResult]:
        """Cancel every open order, or those of a symbol and side; one result for each.

        A group is cancelled once, as a whole: each of its open orders has its result.
        """
        together: dict[str, list[str]] = {}
        for r in self.orders.open_orders(account_id):
            if r.group_id:
                together.setdefault(r.group_id, []).append(r.order_id)
        entries = await self.commands.submit(m.CancelAllOrders(account_id, symbol, side))
        self.refuse_rejected(entries)
        late = {e.event.order_id: e.event for e in entries if isinstance(e.event, m.CancelRejected)}
        results: list[CancelResult] = []
        for entry in entries:
            event = entry.event
            if not isinstance(event, m.CancelRequested):
                continue
            refused = late.get(event.order_id)
            if refused is None:
                ids = together.get(event.group_id) or [event.order_id]
                results.extend(CancelResult(order_id, 200) for order_id in ids)
            else:
                error = self._late(refused, self.orders.order(event.order_id))
                results.append(CancelResult(event.order_id, error.status, error.fields()))
        return results

    async def list_orders(self, account_id: str, p: OrdersParams) -> list[m.OrderRecord]:
        """The account's orders as asked for, from memory and from the history, each once.

        Nested, legs are left out that stand under a parent in the listing.
        """
        wanted = await self._order_filter(account_id, p)
        if p.status == "open":
            found = [r for r in self.orders.open_orders(account_id) if wanted.takes(r)]
        else:
            records = {r.order_id: r for r in self.orders.orders(account_id)}
            for record in await self.history.orders(
                account_id,
                after_us=wanted.after_us,
                until_us=wanted.until_us,
                symbols=sorted(wanted.symbols),
                side=wanted.side,
                descending=wanted.descending,
                limit=p.limit * _GROUP_LEN if p.nested else p.limit,
            ):
                records.setdefault(record.order_id, record)
            found = [r for r in records.values() if wanted.takes(r)]
        found.sort(key=_by_submission, reverse=wanted.descending)
        return (groups.rolled_up(found) if p.nested else found)[: p.limit]

    async def _order_filter(self, account_id: str, p: OrdersParams) -> "OrderFilter":
        status = requests.choice(
            "status", p.status, {"open": "open", "closed": "closed", "all": ""}
        )
        descending = requests.choice("direction", p.direction, {"asc": 0, "desc": 1}) == 1
        side = requests.choice("side", p.side, {"buy": terms.BUY, "sell": terms.SELL, "": ""})
        after_us = requests.instant_us("after", p.after)
        until_us = requests.instant_us("until", p.until)
        if p.after_order_id:
            after_us = (await self.order(account_id, p.after_order_id)).submitted_us
        if p.before_order_id:
            until_us = (await self.order(account_id, p.before_order_id)).submitted_us
        symbols = frozenset(
            requests.symbol_text("symbols", s.strip()) for s in p.symbols.split(",") if s.strip()
        )
        classes = frozenset(c for c in p.asset_class.split(",") if c)
        return OrderFilter(status, after_us, until_us, symbols, side, descending, classes)

    async def preview(self, account_id: str, request: OrderRequest) -> OrderPreview:
        """What an order would reserve and leave, or the refusal it would get."""
        command = self._command(account_id, request)
        if self.orders.account(account_id) is None:
            raise not_found("account not found")
        return render.preview(self.orders.preview(command), command)

    # ------------------------------------------------------------ account and positions

    def account(self, account_id: str) -> m.AccountRecord:
        """The account; 404 when the venue does not know it."""
        record = self.orders.account(account_id)
        if record is None:
            raise not_found("account not found")
        return record

    async def configure(
        self, account_id: str, change: ConfigurationRequest
    ) -> AccountConfiguration:
        """Change the account's settings and return them all."""
        now = self.account(account_id)
        email = change.trade_confirm_email or now.trade_confirm_email
        if email not in ("all", "none"):
            raise invalid(
                f"invalid trade_confirm_email {requests.shown(email)}."
                " trade_confirm_email is one of all, none"
            )
        multiplier = requests.number_text("max_margin_multiplier", change.max_margin_multiplier)
        if multiplier and multiplier not in ("1", "2", "4"):
            raise invalid(
                f"invalid max_margin_multiplier {requests.shown(multiplier)}."
                " max_margin_multiplier is one of 1, 2, 4"
            )
        entries = await self.commands.submit(
            m.ConfigureAccount(
                account_id,
                _or(change.no_shorting, now.no_shorting),
                _or(change.suspend_trade, now.suspend_trade),
                _or(change.fractional_trading, now.fractional_trading),
                email,
                multiplier or now.max_margin_multiplier,
                _or(change.ptp_no_exception_entry, now.ptp_no_exception_entry),
                now.stp,
            )
        )
        self.refuse_rejected(entries)
        return render.configuration(self.account(account_id))

    def position(self, account_id: str, symbol_or_id: str) -> m.PositionRecord:
        """An open position by symbol or asset id; 404."""
        record = self.orders.position(account_id, self.symbol(symbol_or_id))
        if record is None or record.qty == 0:
            raise not_found("position does not exist")
        return record

    def positions(self, account_id: str) -> list[m.PositionRecord]:
        """All open positions, by symbol."""
        open_ones = [r for r in self.orders.positions(account_id) if r.qty]
        open_ones.sort(key=lambda r: r.symbol)
        return open_ones

    async def close_position(
        self, account_id: str, symbol_or_id: str, qty_text: str, percentage: str
    ) -> m.OrderRecord:
        """Send the market order that closes a position, or a part of it."""
        record = self.position(account_id, symbol_or_id)
        if qty_text and percentage:
            raise invalid("only one of qty or percentage is accepted")
        qty = abs(record.qty)
        if qty_text:
            qty = parse_qty("qty", qty_text)
        elif percentage:
            qty = self._part(record, percentage)
        return await self._close(record, qty)

    def _part(self, record: m.PositionRecord, percentage: str) -> int:
        """That part of a position, rounded down to what the instrument trades in."""
        # A percentage has up to 8 decimals, as a quantity has; 100 is the whole position.
        ppm = parse_qty("percentage", percentage)
        if ppm > 100 * QTY_ONE:
            raise invalid(
                f"invalid percentage {requests.shown(percentage)}. a percentage is at most 100"
            )
        instrument = self.orders.instrument(record.symbol)
        size = abs(record.qty)
        if ppm == 100 * QTY_ONE:
            return size
        step = 1 if instrument is None or instrument.fractionable else instrument.lot_size
        qty = size * ppm // (100 * QTY_ONE) // step * step
        if not qty:
            raise invalid(f"invalid percentage {requests.shown(percentage)}. it is less than a lot")
        return qty

    async def _close(self, record: m.PositionRecord, qty: int) -> m.OrderRecord:
        now_us = self.clock.now_us()
        is_long = record.qty > 0
        return await self.submit(
            m.SubmitOrder(
                record.account_id,
                self.new_id(now_us),
                self.new_id(now_us),
                record.symbol,
                terms.SELL if is_long else terms.BUY,
                terms.MARKET,
                terms.DAY,
                qty,
                position_intent="SELL_TO_CLOSE" if is_long else "BUY_TO_CLOSE",
            )
        )

    async def close_all(self, account_id: str, cancel_orders: bool) -> list[CloseResult]:
        """Close every position, first cancelling all open orders when asked to."""
        if cancel_orders:
            await self.cancel_all(account_id)
        results: list[CloseResult] = []
        for record in self.positions(account_id):
            try:
                closing = await self._close(record, abs(record.qty))
                results.append(CloseResult(record.symbol, 200, render.order(closing)))
            except ApiError as error:
                results.append(CloseResult(record.symbol, error.status, error.fields()))
        return results

    # ------------------------------------------------------------ instruments

    def symbol(self, symbol_or_id: str) -> str:
        """The symbol of an asset id, or the text itself."""
        if not _looks_like_uuid(symbol_or_id):
            return symbol_or_id
        if symbol_or_id not in self._symbol_by_asset:
            self._symbol_by_asset = {
                render.asset_id(i.symbol): i.symbol for i in self.orders.instruments()
            }
        return self._symbol_by_asset.get(symbol_or_id, symbol_or_id)

    # ------------------------------------------------------------ operators

    async def operate(self, command: Message) -> Sequence[LogEntry]:
        """Run an account or operator command; its events."""
        entries = await self.commands.submit(command)
        self.refuse_rejected(entries)
        return entries

    def refuse_rejected(self, entries: Sequence[LogEntry]) -> None:
        """Raise when a command's answer is a rejection."""
        if entries and isinstance(entries[0].event, m.CommandRejected):
            event = entries[0].event
            raise refusal(event.reason, {}, Terms(text=event.text))


class OrderFilter(NamedTuple):
    """Which orders a listing takes; bounds exclusive, empty ones take everything."""

    status: str
    after_us: int
    until_us: int
    symbols: frozenset[str]
    side: str
    descending: bool
    asset_classes: frozenset[str]

    def takes(self, r: m.OrderRecord) -> bool:
        """Whether an order is wanted."""
        if self.status and (r.ord_status in OPEN_STATUSES) != (self.status == "open"):
            return False
        if self.after_us and r.submitted_us <= self.after_us:
            return False
        if self.until_us and r.submitted_us >= self.until_us:
            return False
        if self.side and r.side != self.side:
            return False
        if self.symbols and r.symbol not in self.symbols:
            return False
        return not self.asset_classes or render.asset_class(r.symbol) in self.asset_classes


def rate_ppm(field: str, raw: msgspec.Raw) -> int:
    """A rate of a request in parts per million; 0 when absent."""
    return requests.optional(field, raw, parse_rate)


def _or(new: bool | None, old: bool) -> bool:
    return old if new is None else new


def _by_submission(r: m.OrderRecord) -> tuple[int, str]:
    return r.submitted_us, r.order_id


def _already(ord_status: str) -> ApiError:
    return refusal(m.ORDER_CLOSED, {}, Terms(ord_status=render.status_text(ord_status)))


def _looks_like_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _successor(old: m.OrderRecord, c: m.ReplaceOrder, now_us: int) -> m.OrderRecord:
    """The new order of a replace that the book has not answered yet."""
    qty = c.order_qty or old.order_qty
    return msgspec.structs.replace(
        old,
        order_id=c.order_id,
        cl_ord_id=c.cl_ord_id,
        ord_status=terms.NEW,
        order_qty=qty,
        leaves_qty=qty - old.cum_qty,
        limit_px=c.limit_px or old.limit_px,
        stop_px=c.stop_px or old.stop_px,
        trail_px=c.trail_px or old.trail_px,
        trail_ppm=c.trail_ppm or old.trail_ppm,
        time_in_force=c.time_in_force or old.time_in_force,
        expire_us=c.expire_us or old.expire_us,
        submitted_us=now_us,
        updated_us=now_us,
        replaces=old.order_id,
    )
