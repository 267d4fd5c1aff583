"""`python -m nexustrade.matching.conformance`: the book behind the tracebook-conformance protocol.

Newline-delimited JSON on stdin and stdout (protocol version 1): a `hello` with the semantics, then
one `event` at a time, each answered by its outcome, its trades and a hash over every resting order.
Prices are ticks and quantities 1e-12 units here, which is what the protocol writes at most.

That engine's rules differ from a venue's in three ways, and this adapter follows them: an id is
free again when its order is closed, a replace names the open quantity and always loses its place,
and a price between two ticks is rounded to the nearest one.
"""

import hashlib
import json
import sys
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, Final, TextIO

from nexustrade import __version__
from nexustrade.core.terms import FOK, GTC, IOC, LIMIT, MARKET, STP_ALLOW, STP_NEWEST, STP_OLDEST
from nexustrade.matching.book import RESTS, Book, Order, Side, Tape

PROTOCOL: Final = "tracebook.conformance"
PROTOCOL_VERSION: Final = 1

_DECIMALS_MAX: Final = 18
_NOBODY: Final = -1
"""The owner of orders without one, which trade with each other."""
_EXACT: Final = Context(prec=80)
_TIFS: Final = {"LIMIT": GTC, "MARKET": IOC, "IOC": IOC, "FOK": FOK}
_POLICIES: Final = {
    "NONE": STP_ALLOW,
    "CANCEL_RESTING": STP_OLDEST,
    "CANCEL_INCOMING": STP_NEWEST,
}


class ProtocolError(Exception):
    """A message that breaks the protocol; it ends the conversation."""


class Rejection(Exception):
    """An event that the rules refuse; the book stays as it was."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TradeTape(Tape):
    """Carries trades out and keeps them, in the protocol's form."""

    def __init__(self, adapter: "Adapter", symbol: str) -> None:
        self.adapter = adapter
        self.symbol = symbol
        self.trades: list[dict[str, object]] = []

    def trade(self, book: Book, maker: Order, taker: Order, qty: int) -> None:
        """Note the trade, and the maker shrinks."""
        buy, sell = (taker, maker) if taker.is_buy else (maker, taker)
        self.trades.append(
            {
                "symbol": self.symbol,
                "buy_order_id": int(buy.order_id),
                "sell_order_id": int(sell.order_id),
                "price": self.adapter.price_text(maker.limit_px),
                "quantity": self.adapter.qty_text(qty),
            }
        )
        book.fill(maker, qty)


class Adapter:
    """Books of any number of symbols under the protocol's events."""

    def __init__(self, config: dict[str, Any]) -> None:
        if config.get("matching_algorithm", "fifo") != "fifo":
            raise ProtocolError("the matching algorithm is fifo")
        policy = config.get("self_trade_policy", "NONE")
        if policy not in _POLICIES:
            raise ProtocolError(f"the self-trade policy is one of {', '.join(_POLICIES)}")
        self._stp = _POLICIES[policy]
        self._tick = _decimal(config.get("tick_size", "0.01"), "tick_size")
        decimals = config.get("quantity_decimal_places", 12)
        if not isinstance(decimals, int) or not 0 <= decimals <= _DECIMALS_MAX:
            raise ProtocolError(f"quantity_decimal_places is between 0 and {_DECIMALS_MAX}")
        self._qty_unit = Decimal(1).scaleb(-decimals)
        if self._tick <= 0:
            raise ProtocolError("tick_size is greater than 0")
        self._books: dict[str, Book] = {}

    # ---- events

    def apply(self, event: dict[str, Any]) -> tuple[dict[str, object], list[dict[str, object]]]:
        """The outcome of one event and its trades."""
        symbol = event["symbol"]
        op = event["op"]
        tape = TradeTape(self, symbol)
        try:
            book = self._books.get(symbol)
            if book is None:
                # Only an event that could put an order into the book brings it into being.
                book = Book()
                if op in {"new", "clear"}:
                    self._books[symbol] = book
            self._carry_out(book, op, event, tape)
        except Rejection as rejection:
            outcome: dict[str, object] = {
                "status": "rejected",
                "reason": rejection.reason,
                "message": str(rejection),
            }
            return outcome, []
        return {"status": "applied", "reason": None, "message": None}, tape.trades

    def _carry_out(self, book: Book, op: str, event: dict[str, Any], tape: TradeTape) -> None:
        if op == "new":
            self._new(book, event, tape)
        elif op == "cancel":
            book.remove(_active(book, event))
        elif op == "reduce":
            self._reduce(book, event)
        elif op == "replace":
            self._replace(book, event, tape)
        elif op == "clear":
            self._books[event["symbol"]] = Book()
        else:
            raise ProtocolError(f"op {op!r} is not known")

    def _new(self, book: Book, event: dict[str, Any], tape: TradeTape) -> None:
        order_id = str(event["order_id"])
        if order_id in book.orders:
            raise Rejection("DUPLICATE_ORDER_ID", f"order {order_id} is already active")
        order_type = event["order_type"]
        is_market = order_type == "MARKET"
        price = _decimal(event["price"], "price")
        if is_market and price != 0:
            raise Rejection("INVALID_ORDER", "a market order has no price")
        order = Order(
            order_id,
            str(event["owner"]),
            event["side"] == "BUY",
            0 if is_market else self._ticks(price, "INVALID_ORDER"),
            self._units(event["quantity"], "INVALID_ORDER"),
            _TIFS[order_type],
            STP_ALLOW if event["owner"] == _NOBODY else self._stp,
            ord_type=MARKET if is_market else LIMIT,
        )
        if book.enter(order, tape) == RESTS:
            book.rest(order)

    def _reduce(self, book: Book, event: dict[str, Any]) -> None:
        order = _active(book, event)
        qty = self._units(event["quantity"], "INVALID_ORDER")
        if qty > order.leaves_qty:
            raise Rejection("INVALID_ORDER", "a reduction is at most what is open")
        book.shrink(order, qty)

    def _replace(self, book: Book, event: dict[str, Any], tape: TradeTape) -> None:
        order = _active(book, event)
        price, qty = event.get("price"), event.get("quantity")
        limit_px = order.limit_px
        if price is not None:
            limit_px = self._ticks(_decimal(price, "price"), "INVALID_REPLACEMENT")
        if qty is not None:
            qty = self._units(qty, "INVALID_REPLACEMENT")
        book.remove(order)
        order.limit_px = limit_px
        order.leaves_qty = order.leaves_qty if qty is None else qty
        if book.enter(order, tape) == RESTS:
            book.rest(order)

    # ---- numbers

    def _ticks(self, price: Decimal, reason: str) -> int:
        ticks = int((price / self._tick).quantize(Decimal(1), ROUND_HALF_EVEN, _EXACT))
        if ticks <= 0:
            raise Rejection(reason, "a price is greater than 0")
        return ticks

    def _units(self, value: object, reason: str) -> int:
        qty = _decimal(value, "quantity")
        units = int((qty / self._qty_unit).quantize(Decimal(1), ROUND_HALF_EVEN, _EXACT))
        if units <= 0:
            raise Rejection(reason, "a quantity is greater than 0")
        return units

    def price_text(self, ticks: int) -> str:
        """A price in ticks as canonical decimal text."""
        return _text(self._tick * ticks)

    def qty_text(self, units: int) -> str:
        """A quantity in units as canonical decimal text."""
        return _text(self._qty_unit * units)

    # ---- state

    def state(self) -> dict[str, object]:
        """Every resting order of every symbol in priority order."""
        return {
            "books": [
                {
                    "symbol": symbol,
                    "bids": self._side(self._books[symbol].bids),
                    "asks": self._side(self._books[symbol].asks),
                }
                for symbol in sorted(self._books)
            ]
        }

    def _side(self, side: Side) -> list[dict[str, object]]:
        return [
            {
                "order_id": int(order.order_id),
                "price": self.price_text(order.limit_px),
                "remaining_quantity": self.qty_text(order.leaves_qty),
                "owner": int(order.account_id),
                "order_type": "LIMIT",
            }
            for order in side.orders()
        ]

    def observe(self, index: int, event: dict[str, Any]) -> dict[str, object]:
        """The answer to one event."""
        outcome, trades = self.apply(event)
        state = json.dumps(
            self.state(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
        return {
            "type": "observation",
            "index": index,
            "outcome": outcome,
            "trades": trades,
            "state_hash": hashlib.sha256(state).hexdigest(),
            "resting_order_count": sum(len(book.orders) for book in self._books.values()),
        }


def _active(book: Book, event: dict[str, Any]) -> Order:
    order = book.orders.get(str(event["order_id"]))
    if order is None:
        raise Rejection("ORDER_NOT_ACTIVE", f"order {event['order_id']} is not active")
    return order


def _decimal(value: object, field: str) -> Decimal:
    """A JSON number, read from its text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ProtocolError(f"{field} is a number, not {value!r}") from None
    if isinstance(value, bool) or not number.is_finite():
        raise ProtocolError(f"{field} is a finite number, not {value!r}")
    return number


def _text(value: Decimal) -> str:
    return "0" if value == 0 else format(value.normalize(_EXACT), "f")


def converse(source: TextIO, sink: TextIO) -> int:
    """Answer messages until `finish`; the exit code is 2 when the protocol was broken."""
    try:
        adapter = _greeted(_message(source.readline()))
        _send(sink, _ready())
        last = 0
        for line in source:
            if line.strip():
                answer = _answer(adapter, _message(line), last)
                _send(sink, answer)
                if answer["type"] == "observation":
                    last += 1
                elif answer["type"] == "complete":
                    return 0
        fault = "the conversation ended before its finish"
    except KeyError as missing:
        fault = f"{missing} is missing"
    except (ProtocolError, TypeError, ValueError, ArithmeticError) as broken:
        fault = str(broken)
    _send(sink, {"type": "error", "code": "PROTOCOL_ERROR", "message": fault})
    return 2


def _greeted(hello: dict[str, Any]) -> Adapter:
    if hello.get("type") != "hello" or hello.get("protocol") != PROTOCOL:
        raise ProtocolError("the first message is a hello of this protocol")
    if hello.get("protocol_version") != PROTOCOL_VERSION:
        raise ProtocolError(f"the protocol version is {PROTOCOL_VERSION}")
    return Adapter(hello.get("config", {}))


def _answer(adapter: Adapter, message: dict[str, Any], last: int) -> dict[str, object]:
    """The answer to a message that comes after event `last`."""
    kind = message.get("type")
    if kind == "event" and message.get("index") == last + 1:
        return adapter.observe(last + 1, message["event"])
    if kind == "snapshot" and message.get("index") == last:
        return {"type": "snapshot", "index": last, "state": adapter.state()}
    if kind == "finish" and message.get("event_count") == last:
        return {"type": "complete", "event_count": last}
    raise ProtocolError(f"a {kind!r} message does not belong after event {last}")


def _ready() -> dict[str, object]:
    return {
        "type": "ready",
        "protocol": PROTOCOL,
        "protocol_version": PROTOCOL_VERSION,
        "engine": {"name": "nexustrade", "version": __version__, "language": "Python"},
    }


def _message(line: str) -> dict[str, Any]:
    message = json.loads(line, parse_float=Decimal)
    if not isinstance(message, dict):
        raise ProtocolError("a message is an object")
    return message


def _send(sink: TextIO, message: dict[str, object]) -> None:
    sink.write(json.dumps(message, separators=(",", ":")) + "\n")
    sink.flush()


if __name__ == "__main__":
    sys.exit(converse(sys.stdin, sys.stdout))
