"""The `trade_updates` stream: every change of an account's orders, as it becomes durable.

The same connection takes orders (order_entry.py).

Each event is rendered once, at the instant it is told, and put into the queue of every connection
that listens. A queue is bounded: a reader that falls behind is cut off, never waited for.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from nexustrade.core import terms
from nexustrade.core.errors import StoreUnavailable
from nexustrade.core.ids import derived_uuid
from nexustrade.core.money import price_text, qty_text
from nexustrade.gateway import render
from nexustrade.gateway.auth import READ, ApiKey
from nexustrade.gateway.groups import is_leg, legs_in_memory
from nexustrade.gateway.limits import RateLimit
from nexustrade.gateway.messages import Order
from nexustrade.gateway.order_entry import ACTIONS, OrderEntry
from nexustrade.gateway.service import Gateway, GatewaySettings
from nexustrade.gateway.web import AsgiMessage, Receive, Scope, Send
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import SIBLING_ELECTED
from nexustrade.orders import messages as m

log: Final = logging.getLogger("nexustrade.gateway")

TRADE_UPDATES: Final = "trade_updates"
ABORT: Final = "nexustrade.abort"
"""The ASGI extension with which the server lets a connection be dropped at once (server.py)."""

POLICY: Final = 1008
TOO_BIG: Final = 1009
TRY_LATER: Final = 1013


class TradeUpdate(Struct, frozen=True):
    """One event of the stream. Price and quantities are there on fills only."""

    event: str
    timestamp: str
    order: Order
    execution_id: str
    price: str | UnsetType = UNSET
    qty: str | UnsetType = UNSET
    position_qty: str | UnsetType = UNSET


class Codec(NamedTuple):
    """How messages are written and read; JSON in binary frames unless the client asks otherwise."""

    name: str
    encode: Callable[[object], bytes]
    decode: Callable[[bytes], Any]


JSON: Final = Codec("json", msgspec.json.encode, msgspec.json.decode)
MSGPACK: Final = Codec("msgpack", msgspec.msgpack.encode, msgspec.msgpack.decode)


def codec_of(scope: Scope) -> Codec:
    """MessagePack when the handshake asks for it, else JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type" and value.lower().startswith(b"application/msgpack"):
            return MSGPACK
    return JSON


# ---------------------------------------------------------------- events


_NAMES: Final[dict[type, str]] = {
    m.OrderAccepted: "new",
    m.OrderRejected: "rejected",
    m.OrderFilled: "fill",
    m.OrderDecremented: "restated",
    m.OrderRestated: "restated",
    m.OrderCanceled: "canceled",
    m.OrderExpired: "expired",
    m.OrderTriggered: "restated",
    m.CancelRequested: "pending_cancel",
    m.CancelRejected: "order_cancel_rejected",
    m.ReplaceRequested: "pending_replace",
    m.ReplaceRejected: "order_replace_rejected",
    m.OrderReplaced: "replaced",
    m.TradeBusted: "trade_bust",
}
_OTHER_LEG: Final = {
    terms.TAKE_PROFIT: terms.STOP_LOSS,
    terms.STOP_LOSS: terms.TAKE_PROFIT,
}
_OF_GROUPS: Final = (
    m.GroupAccepted | m.GroupRejected | m.LegsActivated | m.GroupResized | m.GroupAmendRejected
)


def trade_updates(
    entry: LogEntry, record: m.OrderRecord | None, orders: m.OrdersQuery
) -> list[TradeUpdate]:
    """What the stream tells of a committed event; nothing for events that concern no order."""
    event: Any = entry.event
    name = _NAMES.get(type(event))
    if name is None:
        return _of_group(entry, event, orders) if isinstance(event, _OF_GROUPS) else []
    if isinstance(event, m.OrderReplaced):
        return _replaced(entry, event, record, orders)
    if isinstance(event, m.ReplaceRequested | m.ReplaceRejected):
        record = orders.order(event.orig_order_id)
    elif isinstance(event, m.OrderRejected):
        record = record or _rejected(event, entry.ts_us)
    if record is None:
        return []
    if isinstance(event, m.OrderFilled | m.TradeBusted):
        return [_traded(name, entry, event, record, orders)]
    if isinstance(event, m.OrderTriggered):
        take_profit = _sibling(record, orders)
        if take_profit is not None and take_profit.leaves_qty:
            # Told after the take-profit's end, which follows: clients know it in this order.
            return []
        name = "restated" if take_profit is None else "new"
    updates = [_update(name, entry, record, orders)]
    if isinstance(event, m.OrderCanceled) and event.reason == SIBLING_ELECTED:
        stop_loss = _sibling(record, orders)
        if stop_loss is not None:
            updates.append(_update("new", entry, stop_loss, orders))
    return updates


def _update(
    name: str, entry: LogEntry, record: m.OrderRecord, orders: m.OrdersQuery
) -> TradeUpdate:
    execution_id = derived_uuid("execution", entry.shard, entry.seq, name, record.order_id)
    shown = render.order(record, legs_in_memory(orders, record))
    return TradeUpdate(name, render.instant(entry.ts_us), shown, execution_id)


def _traded(
    name: str,
    entry: LogEntry,
    event: m.OrderFilled | m.TradeBusted,
    record: m.OrderRecord,
    orders: m.OrdersQuery,
) -> TradeUpdate:
    """A fill, or a trade that was undone."""
    position = orders.position(event.account_id, event.symbol)
    if name == "fill" and record.ord_status != terms.FILLED:
        name = "partial_fill"
    kind = "execution" if isinstance(event, m.OrderFilled) else "bust"
    return TradeUpdate(
        name,
        render.instant(entry.ts_us),
        render.order(record, legs_in_memory(orders, record)),
        derived_uuid(kind, event.symbol, event.trade_id, event.side),
        price_text(event.last_px),
        qty_text(event.last_qty),
        qty_text(position.qty) if position is not None else "0",
    )


def _replaced(
    entry: LogEntry, event: m.OrderReplaced, record: m.OrderRecord | None, orders: m.OrdersQuery
) -> list[TradeUpdate]:
    """The old order as replaced, then the one in its place as new, or as held like it."""
    old = orders.order(event.orig_order_id)
    new = orders.order(event.order_id) or record
    updates = [_update("replaced", entry, old, orders)] if old is not None else []
    if new is not None:
        updates.append(_update(_first_name(new), entry, new, orders))
    return updates


def _sibling(r: m.OrderRecord, orders: m.OrdersQuery) -> m.OrderRecord | None:
    """The other leg beside a leg; None for what is no leg, or has none beside it."""
    role = _OTHER_LEG.get(r.role)
    group = orders.group(r.group_id) if role else None
    found = (orders.order(order_id) for order_id in (group.order_ids if group else ()))
    return next((o for o in found if o is not None and o.role == role), None)


def _first_name(r: m.OrderRecord) -> str:
    return "held" if r.ord_status == terms.HELD else "new"


def _of_group(entry: LogEntry, event: Any, orders: m.OrdersQuery) -> list[TradeUpdate]:
    """What the orders of a group are told of an event of the whole group, the parent first."""
    if isinstance(event, m.GroupRejected):
        return [_update("rejected", entry, _rejected_group(event, entry.ts_us), orders)]
    group = orders.group(event.group_id)
    found = [orders.order(order_id) for order_id in group.order_ids] if group is not None else []
    records = [record for record in found if record is not None]
    if isinstance(event, m.GroupAccepted):
        names = ["new", *["held"] * len(records)]
        return [
            _update(name, entry, record, orders)
            for name, record in zip(names, records, strict=False)
        ]
    if isinstance(event, m.GroupAmendRejected):
        return [_update("order_replace_rejected", entry, r, orders) for r in records[:1]]
    if isinstance(event, m.LegsActivated):
        # A leg comes alive once; that it grows with its entry's later fills changes nothing of it.
        alive = [r for r in records if is_leg(r) and r.updated_us == entry.ts_us]
        return [_update("new", entry, r, orders) for r in alive]
    return [_update("restated", entry, r, orders) for r in records if r.leaves_qty]


def _rejected(e: m.OrderRejected, ts_us: int) -> m.OrderRecord:
    """A rejected order is kept nowhere: its record is made of what the rejection says."""
    return _rejected_record(e, e.order_id, e.ord_type, e.limit_px, ts_us)


def _rejected_group(e: m.GroupRejected, ts_us: int) -> m.OrderRecord:
    """The parent of a group that was refused."""
    record = _rejected_record(e, e.group_id, terms.LIMIT, 0, ts_us)
    return msgspec.structs.replace(record, order_class=e.order_class, group_id=e.group_id)


def _rejected_record(
    e: m.OrderRejected | m.GroupRejected, order_id: str, ord_type: str, limit_px: int, ts_us: int
) -> m.OrderRecord:
    return m.OrderRecord(
        order_id=order_id,
        account_id=e.account_id,
        cl_ord_id=e.cl_ord_id,
        symbol=e.symbol,
        side=e.side,
        ord_type=ord_type,
        time_in_force=terms.DAY,
        ord_status=terms.REJECTED,
        order_qty=e.order_qty,
        notional=0,
        limit_px=limit_px,
        expire_us=0,
        post_only=False,
        extended_hours=False,
        position_intent="",
        cum_qty=0,
        leaves_qty=0,
        avg_px=0,
        submitted_us=ts_us,
        updated_us=ts_us,
        close_reason=e.reason,
    )


# ---------------------------------------------------------------- connections


class Connection:
    """One client of the stream: its codec, its caller once known, and its bounded queue."""

    def __init__(self, codec: Codec, settings: GatewaySettings) -> None:
        self.codec = codec
        self.key: ApiKey | None = None
        self.credentials = ("", "")
        self.listens = False
        self.orders: OrderEntry | None = None
        self.close_code = 0
        self.cut = asyncio.Event()
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._len_max = settings.stream_queue_len_max
        self._bytes_max = settings.stream_queue_bytes_max
        self._wake = asyncio.Event()
        self.close_s_max = settings.stream_close_s_max

    def put(self, message: bytes) -> None:
        """Queue a message, or cut the connection off when its queue is full."""
        if self.close_code:
            return
        if len(self._queue) >= self._len_max or self._queue_bytes + len(message) > self._bytes_max:
            self.end(POLICY)
            self._queue.clear()
            return
        self._queue.append(message)
        self._queue_bytes += len(message)
        self._wake.set()

    def tell(self, stream: str, fields: dict[str, Any]) -> None:
        """Queue a control message."""
        self.put(self.codec.encode({"stream": stream, "data": fields}))

    def end(self, code: int) -> None:
        """Close the connection as soon as its tasks see it."""
        if not self.close_code:
            self.close_code = code
            self.cut.set()
            self._wake.set()

    async def write(self, send: Send) -> None:
        """Send what is queued, until cancelled."""
        while True:
            while self._queue:
                message = self._queue.popleft()
                self._queue_bytes -= len(message)
                await send({"type": "websocket.send", "bytes": message})
            self._wake.clear()
            if not self._queue:
                await self._wake.wait()

    async def flush(self, send: Send) -> None:
        """Send what is still queued: the reason, before the connection closes."""
        while self._queue:
            await send({"type": "websocket.send", "bytes": self._queue.popleft()})


class TradeUpdates:
    """The ASGI application of `/stream`, and the one listener behind all its connections."""

    def __init__(self, venue: Gateway, limit: RateLimit) -> None:
        self._venue = venue
        self._limit = limit
        self._by_account: dict[str, set[Connection]] = {}
        self._by_key: dict[str, int] = {}
        venue.orders.listen(self.tell, self._by_account)

    def tell(self, entry: LogEntry, record: m.OrderRecord | None) -> None:
        """Put a committed event into the queues of those who listen to its account."""
        account_id: str = getattr(entry.event, "account_id", "")
        connections = self._by_account.get(account_id)
        if not connections:
            return
        for update in trade_updates(entry, record, self._venue.orders):
            encoded: dict[str, bytes] = {}
            for connection in connections:
                codec = connection.codec
                if codec.name not in encoded:
                    encoded[codec.name] = codec.encode({"stream": TRADE_UPDATES, "data": update})
                connection.put(encoded[codec.name])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        await send({"type": "websocket.accept"})
        connection = Connection(codec_of(scope), self._venue.settings)
        abort = scope.get("extensions", {}).get(ABORT)
        try:
            await self._serve(connection, receive, send)
        finally:
            self._forget(connection)
        await _close(connection, receive, send, abort)

    async def _serve(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Read and write until the client leaves or is cut off."""
        tasks = [
            asyncio.create_task(self._read(connection, receive)),
            asyncio.create_task(connection.write(send)),
            asyncio.create_task(connection.cut.wait()),
            asyncio.create_task(self._watch(connection)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    # The transport says so when the client is gone; there is nobody to tell.
                    log.debug("stream connection ended: %r", result)

    async def _watch(self, connection: Connection) -> None:
        """End the connection when nobody authenticates in time, or when its key ends."""
        settings, keys, clock = self._venue.settings, self._venue.keys, self._venue.clock
        await asyncio.sleep(0)
        waited_s = 0.0
        while True:
            pause_s = min(settings.stream_key_check_s, settings.stream_auth_s_max)
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            if connection.key is None:
                if waited_s >= settings.stream_auth_s_max:
                    connection.end(POLICY)
                continue
            try:
                alive = await keys.authenticate(*connection.credentials, clock.now_us())
            except StoreUnavailable:
                continue
            if alive is None:
                connection.end(POLICY)

    async def _read(self, connection: Connection, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            text = message.get("text") or ""
            size = len(data) if data is not None else len(text)
            if size > self._venue.settings.stream_message_len_max:
                connection.end(TOO_BIG)
                return
            said = _decoded(connection.codec, message)
            if said.get("action") in ACTIONS and connection.codec is JSON:
                await self._enter(connection, data if data is not None else text.encode())
            else:
                await self._take(connection, said)

    async def _enter(self, connection: Connection, message: bytes) -> None:
        """Begin an order request; its numbers are read from the message's own text."""
        if connection.orders is None:
            connection.orders = OrderEntry(self._venue, self._limit, connection.put)
        await connection.orders.take(connection.key, message)

    async def _take(self, connection: Connection, said: dict[str, Any]) -> None:
        """Answer one message of the client."""
        action = said.get("action")
        inner = said.get("data")
        fields: dict[str, Any] = inner if isinstance(inner, dict) else said
        if action in ("authenticate", "auth"):
            await self._authenticate(connection, fields)
        elif action == "listen":
            self._listen(connection, fields)
        else:
            connection.tell("error", {"code": 400, "error": "invalid syntax"})

    async def _authenticate(self, connection: Connection, fields: dict[str, Any]) -> None:
        if connection.key is not None:
            connection.tell("authorization", {"status": "authorized", "action": "authenticate"})
            return
        key_id = fields.get("key_id", fields.get("key"))
        secret = fields.get("secret_key", fields.get("secret"))
        key = None
        if isinstance(key_id, str) and isinstance(secret, str):
            try:
                key = await self._venue.keys.authenticate(
                    key_id, secret, self._venue.clock.now_us()
                )
            except StoreUnavailable:
                connection.end(TRY_LATER)
                return
        if key is None or not key.may(READ) or not self._has_room(key.key_id):
            connection.tell("authorization", {"status": "unauthorized", "action": "authenticate"})
            connection.end(POLICY)
            return
        connection.key = key
        connection.credentials = (str(key_id), str(secret))
        self._by_key[key.key_id] = self._by_key.get(key.key_id, 0) + 1
        connection.tell("authorization", {"status": "authorized", "action": "authenticate"})

    def _has_room(self, key_id: str) -> bool:
        return self._by_key.get(key_id, 0) < self._venue.settings.stream_connections_max

    def _listen(self, connection: Connection, fields: dict[str, Any]) -> None:
        if connection.key is None:
            connection.tell("authorization", {"status": "unauthorized", "action": "listen"})
            return
        asked = fields.get("streams")
        connection.listens = isinstance(asked, list) and TRADE_UPDATES in asked
        listeners = self._by_account.setdefault(connection.key.account_id, set())
        if connection.listens:
            listeners.add(connection)
        else:
            listeners.discard(connection)
        # The answer goes into the queue after the subscription: no event is lost between them.
        connection.tell("listening", {"streams": [TRADE_UPDATES] if connection.listens else []})

    def _forget(self, connection: Connection) -> None:
        key = connection.key
        if key is None:
            return
        left = self._by_key.get(key.key_id, 1) - 1
        if left:
            self._by_key[key.key_id] = left
        else:
            self._by_key.pop(key.key_id, None)
        listeners = self._by_account.get(key.account_id)
        if listeners is not None:
            listeners.discard(connection)
            if not listeners:
                del self._by_account[key.account_id]


def _decoded(codec: Codec, message: AsgiMessage) -> dict[str, Any]:
    """What a client said; {} when it cannot be understood."""
    data = message.get("bytes")
    try:
        said = codec.decode(data) if data is not None else JSON.decode(message["text"].encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


async def _close(
    connection: Connection, receive: Receive, send: Send, abort: Callable[[], None] | None
) -> None:
    """Close with the connection's code, politely for a moment; then drop the transport."""
    if not connection.close_code:
        return
    try:
        async with asyncio.timeout(connection.close_s_max):
            await connection.flush(send)
            await send({"type": "websocket.close", "code": connection.close_code})
            while (await receive())["type"] != "websocket.disconnect":
                pass
    except TimeoutError:
        if abort is not None:
            abort()
    except Exception as error:  # noqa: BLE001 - the server's own "client is gone"
        log.debug("stream connection was gone: %r", error)
