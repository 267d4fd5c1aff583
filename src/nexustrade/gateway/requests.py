"""From what clients send to commands: every rule about the form of a request is here.

Rules about accounts and markets belong to the orders stage; here a request is only understood.
A refusal names the field, shows the value and says the rule.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from nexustrade.core import terms
from nexustrade.core.money import parse_price, parse_qty, parse_usd
from nexustrade.core.time import from_datetime
from nexustrade.gateway.messages import OrderRequest, ReplaceRequest
from nexustrade.gateway.refusals import BAD_BODY, ApiError, invalid
from nexustrade.orders.messages import ReplaceOrder, SubmitOrder

T = TypeVar("T")

CL_ORD_ID_LEN_MAX: Final = 128
SYMBOL_LEN_MAX: Final = 32
TEXT_LEN_MAX: Final = 256
_SHOWN_LEN_MAX: Final = 64
_QUERY_FIELDS_MAX: Final = 100
_DAY_US: Final = 86_400_000_000
_TIME_US_MAX: Final = 253_402_214_400_000_000
"""The last day of the year 9999."""

_SIDES: Final = {"buy": terms.BUY, "sell": terms.SELL}
_TYPES: Final = {"market": terms.MARKET, "limit": terms.LIMIT}
_TYPES_TO_COME: Final = frozenset({"stop", "stop_limit", "trailing_stop"})
_TIFS: Final = {
    "day": terms.DAY,
    "gtc": terms.GTC,
    "ioc": terms.IOC,
    "fok": terms.FOK,
    "gtd": terms.GTD,
}
_TIFS_TO_COME: Final = frozenset({"opg", "cls"})
_CLASSES_TO_COME: Final = frozenset({"bracket", "oco", "oto", "mleg"})
_INTENTS: Final = {
    "buy_to_open": "BUY_TO_OPEN",
    "buy_to_close": "BUY_TO_CLOSE",
    "sell_to_open": "SELL_TO_OPEN",
    "sell_to_close": "SELL_TO_CLOSE",
}

_order_decoder: Final = msgspec.json.Decoder(OrderRequest)
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH: Final = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"^Object missing required field `([^`]+)`")


def shown(value: str) -> str:
    """A value as a refusal may show it: short and printable."""
    text = value if value.isprintable() else ascii(value)
    return text if len(text) <= _SHOWN_LEN_MAX else text[:_SHOWN_LEN_MAX] + "..."


# ---------------------------------------------------------------- JSON and query


def decode_order(body: bytes) -> OrderRequest:
    """The body of a new order."""
    return decode(body, _order_decoder)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A request body; `ApiError` 400 when it is no JSON, 422 when it breaks the model."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, BAD_BODY, f"request body format is invalid: {error}") from None


def misfit(error: msgspec.ValidationError) -> ApiError:
    """The 422 of a value that does not fit its model, with the field's name in front."""
    text = str(error)
    missing = _MISSING.match(text)
    if missing:
        return invalid(f"{missing.group(1)} is required")
    at = _PATH.search(text)
    if at is None or not at.group(1):
        return invalid(f"invalid request: {text[: at.start()] if at else text}")
    return invalid(f"invalid {shown(at.group(1))}: {text[: at.start()]}")


def decode_query(query: bytes, kind: type[T]) -> T:
    """The query string as its model; unknown names are ignored, the last of a name counts."""
    if not query:
        return kind()
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=False, max_num_fields=_QUERY_FIELDS_MAX
        )
        fields = {name.removesuffix("[]"): value for name, value in pairs}
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise misfit(error) from None
    except ValueError as error:
        raise invalid(f"invalid query string: {shown(str(error))}") from None


# ---------------------------------------------------------------- values


def number_text(field: str, raw: msgspec.Raw) -> str:
    """The text of a JSON number or string; "" when absent or null."""
    data = bytes(raw)
    if not data or data == b"null":
        return ""
    text = data.decode("utf-8", "replace")
    if text[0] == '"':
        text = text[1:-1]
        if not text:
            raise invalid(f"invalid {field}. it is an empty string, not a decimal number")
        return text
    if text[0] in '[{tf"':
        raise invalid(f"invalid {field}. it is a decimal number or a string that holds one")
    return text


def optional(
    field: str, raw: msgspec.Raw, parse: Callable[[str, object], int], none: int = 0
) -> int:
    """A number through its parser, or `none` when absent or null."""
    text = number_text(field, raw)
    return parse(field, text) if text else none


def choice(field: str, value: str, choices: Mapping[str, T]) -> T:
    """The meaning of one of a few words."""
    meaning = choices.get(value)
    if meaning is None:
        known = ", ".join(choices)
        raise invalid(f"invalid {field} {shown(value)}. {field} is one of {known}")
    return meaning


def symbol_text(field: str, value: str) -> str:
    """A symbol as a client may write it."""
    if not value or len(value) > SYMBOL_LEN_MAX or not value.isascii() or not value.isprintable():
        raise invalid(
            f"invalid {field} {shown(value)}."
            f" a symbol is 1 to {SYMBOL_LEN_MAX} printable ASCII characters"
        )
    return value


def free_text(field: str, value: str, len_max: int = TEXT_LEN_MAX) -> str:
    """Text that is stored: bounded and printable, since the store cannot hold NUL."""
    if len(value) > len_max or not value.isprintable():
        raise invalid(
            f"invalid {field} {shown(value)}. {field} is at most {len_max} printable characters"
        )
    return value


def account_id_text(value: str) -> str:
    """An account id: what paths, logs and shell commands carry without quoting."""
    if not _ACCOUNT_ID.fullmatch(value):
        raise invalid(
            f"invalid account_id {shown(value)}."
            " an account_id is 1 to 64 letters, digits and any of . _ -"
        )
    return value


def cl_ord_id_text(value: str | None) -> str:
    """A client order id, or "" for the venue to make one."""
    return free_text("client_order_id", value, CL_ORD_ID_LEN_MAX) if value else ""


def instant_us(field: str, text: str) -> int:
    """An ISO 8601 instant in microseconds, UTC without a zone; 0 for ""."""
    if not text:
        return 0
    try:
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return within_time(from_datetime(at))
    except (ValueError, OverflowError):
        raise invalid(
            f"invalid {field} {shown(text)}. {field} is an ISO 8601 date and time"
        ) from None


def within_time(us: int) -> int:
    """An instant, or the nearest that calendars and databases can hold; never 0, which is none."""
    return min(max(us, 1), _TIME_US_MAX)


def end_of_day_us(field: str, text: str) -> int:
    """As `instant_us`, but a bare date stands for its end."""
    us = instant_us(field, text)
    if us and "T" not in text and ":" not in text:
        return within_time(us + _DAY_US)
    return us


def day_bounds_us(field: str, text: str) -> tuple[int, int]:
    """The first instant of a date and that of the day after, in UTC."""
    start = instant_us(field, text)
    start -= start % _DAY_US
    return max(start, 1), within_time(start + _DAY_US)


def utc_date(us: int) -> str:
    """The UTC date of an instant."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).date().isoformat()


# ---------------------------------------------------------------- orders


def submit_order(
    r: OrderRequest, account_id: str, order_id: str, cl_ord_id: str, now_us: int
) -> SubmitOrder:
    """The command of a new order. `cl_ord_id` is used when the client gave none."""
    if r.order_class and r.order_class != "simple":
        raise _unsupported_class(r.order_class)
    ord_type = _TYPES.get(r.type)
    if ord_type is None:
        raise _unsupported("type", r.type, _TYPES_TO_COME, _TYPES)
    tif = _TIFS.get(r.time_in_force)
    if tif is None:
        raise _unsupported("time_in_force", r.time_in_force, _TIFS_TO_COME, _TIFS)
    _refuse_stop_terms(r)
    qty = optional("qty", r.qty, parse_qty)
    value = optional("notional", r.notional, parse_usd)
    limit_px = optional("limit_price", r.limit_price, parse_price)
    _check_amounts(r, ord_type, qty, value, limit_px)
    if r.post_only and (ord_type == terms.MARKET or tif in (terms.IOC, terms.FOK)):
        raise invalid("post_only orders must be limit orders with time_in_force day, gtc or gtd")
    return SubmitOrder(
        account_id,
        order_id,
        cl_ord_id_text(r.client_order_id) or cl_ord_id,
        symbol_text("symbol", r.symbol),
        choice("side", r.side, _SIDES),
        ord_type,
        tif,
        qty,
        value,
        limit_px,
        _expiry(tif == terms.GTD, r.expires_at, now_us),
        bool(r.post_only),
        bool(r.extended_hours),
        choice("position_intent", r.position_intent, _INTENTS) if r.position_intent else "",
    )


def _check_amounts(r: OrderRequest, ord_type: str, qty: int, value: int, limit_px: int) -> None:
    if number_text("notional", r.notional) and not value:
        raise invalid("invalid notional 0. a notional is greater than 0")
    if qty and value:
        raise invalid("only one of qty or notional is accepted")
    if not qty and not value:
        raise invalid("qty or notional is required")
    if ord_type == terms.LIMIT:
        if value:
            raise invalid("notional is only accepted for market orders")
        if not limit_px:
            raise invalid("limit orders require a limit_price")
    elif limit_px:
        raise invalid("market orders require no limit_price")


def _refuse_stop_terms(r: OrderRequest) -> None:
    for field, raw in (
        ("stop_price", r.stop_price),
        ("trail_price", r.trail_price),
        ("trail_percent", r.trail_percent),
    ):
        if raw and number_text(field, raw):
            raise invalid(f"{field} is not accepted: stop orders are not supported yet")
    if r.take_profit is not None or r.stop_loss is not None or r.legs:
        raise invalid(
            "take_profit, stop_loss and legs are not accepted: only simple orders are supported yet"
        )


def _unsupported_class(value: str) -> ApiError:
    if value in _CLASSES_TO_COME:
        return invalid(f'order_class "{value}" is not supported yet: only simple orders are')
    return invalid(f"invalid order_class {shown(value)}. order_class is simple")


def _unsupported(
    field: str, value: str, to_come: frozenset[str], known: Mapping[str, Any]
) -> ApiError:
    words = ", ".join(known)
    if value in to_come:
        return invalid(f'{field} "{value}" is not supported yet: {field} is one of {words}')
    return invalid(f"invalid {field} {shown(value)}. {field} is one of {words}")


def _expiry(is_gtd: bool, text: str | None, now_us: int) -> int:
    if not text:
        if is_gtd:
            raise invalid("gtd orders require expires_at")
        return 0
    if not is_gtd:
        raise invalid("expires_at is only accepted with time_in_force gtd")
    at = instant_us("expires_at", text)
    if at <= now_us:
        raise invalid(f"invalid expires_at {shown(text)}. expires_at is in the future")
    return at


def replace_order(
    r: ReplaceRequest,
    account_id: str,
    order_id: str,
    orig_order_id: str,
    cl_ord_id: str,
    now_us: int,
) -> ReplaceOrder:
    """The command of a replace. `cl_ord_id` is used when the client gave none."""
    for field, raw in (("stop_price", r.stop_price), ("trail", r.trail)):
        if raw and number_text(field, raw):
            raise invalid(f"{field} is not accepted: stop orders are not supported yet")
    tif = ""
    if r.time_in_force:
        known = _TIFS.get(r.time_in_force)
        if known is None:
            raise _unsupported("time_in_force", r.time_in_force, _TIFS_TO_COME, _TIFS)
        tif = known
    qty = optional("qty", r.qty, parse_qty)
    limit_px = optional("limit_price", r.limit_price, parse_price)
    expire_us = _expiry(tif in (terms.GTD, ""), r.expires_at, now_us) if r.expires_at else 0
    if not (qty or limit_px or tif or expire_us or r.client_order_id):
        raise invalid("at least one of qty, time_in_force and limit_price is required")
    return ReplaceOrder(
        account_id,
        order_id,
        orig_order_id,
        cl_ord_id_text(r.client_order_id) or cl_ord_id,
        qty,
        limit_px,
        tif,
        expire_us,
    )
