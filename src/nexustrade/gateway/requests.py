"""From what clients send to commands: every rule about the form of a request is here.

Rules about accounts and markets belong to the orders stage; here a request is only understood.
A refusal names the field, shows the value and says the rule.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from nexustrade.core import terms
from nexustrade.core.money import parse_percent, parse_price, parse_qty, parse_usd
from nexustrade.core.time import from_datetime
from nexustrade.gateway.messages import OrderRequest, ReplaceRequest
from nexustrade.gateway.refusals import BAD_BODY, ApiError, invalid
from nexustrade.orders.messages import OrderRecord, ReplaceOrder, SubmitOrder

T = TypeVar("T")

CL_ORD_ID_LEN_MAX: Final = 128
SYMBOL_LEN_MAX: Final = 32
TEXT_LEN_MAX: Final = 256
_SHOWN_LEN_MAX: Final = 64
_QUERY_FIELDS_MAX: Final = 100
_DAY_US: Final = 86_400_000_000
_TIME_US_MAX: Final = 253_402_214_400_000_000
"""The last day of the year 9999."""

SIDES: Final = {"buy": terms.BUY, "sell": terms.SELL}
_TYPES: Final = {
    "market": terms.MARKET,
    "limit": terms.LIMIT,
    "stop": terms.STOP,
    "stop_limit": terms.STOP_LIMIT,
    "trailing_stop": terms.TRAILING_STOP,
}
TIFS: Final = {
    "day": terms.DAY,
    "gtc": terms.GTC,
    "ioc": terms.IOC,
    "fok": terms.FOK,
    "gtd": terms.GTD,
    "opg": terms.OPG,
    "cls": terms.CLS,
}
RESTING_TIFS: Final = (terms.DAY, terms.GTC, terms.GTD)
"""What an order may have that has to wait in the book or for its trigger."""
_AT_AN_AUCTION: Final = (terms.OPG, terms.CLS)
# Which prices an order of each type has; a trailing stop has one of its two.
_PRICES: Final[dict[str, tuple[str, ...]]] = {
    terms.MARKET: (),
    terms.LIMIT: ("limit_price",),
    terms.STOP: ("stop_price",),
    terms.STOP_LIMIT: ("limit_price", "stop_price"),
    terms.TRAILING_STOP: ("trail_price", "trail_percent"),
}
_NO_GROUP_TERMS: Final = (None,) * 6
_INTENTS: Final = {
    "buy_to_open": "BUY_TO_OPEN",
    "buy_to_close": "BUY_TO_CLOSE",
    "sell_to_open": "SELL_TO_OPEN",
    "sell_to_close": "SELL_TO_CLOSE",
}

_order_decoder: Final = msgspec.json.Decoder(OrderRequest)
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRADE_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
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
    if not raw:
        return none
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


def trade_id(text: str) -> int:
    """A trade's number in its symbol's book."""
    if not _TRADE_ID.fullmatch(text):
        raise invalid(f"invalid trade_id {shown(text)}. a trade_id is a whole number above 0")
    return int(text)


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


class Prices(NamedTuple):
    """The prices of an order, 0 where it has none; `trail_ppm` in parts per million."""

    limit_px: int
    stop_px: int
    trail_px: int
    trail_ppm: int


def submit_order(
    r: OrderRequest, account_id: str, order_id: str, cl_ord_id: str, now_us: int
) -> SubmitOrder:
    """The command of a new simple order. `cl_ord_id` is used when the client gave none."""
    _refuse_group_terms(r)
    ord_type = choice("type", r.type, _TYPES)
    tif = choice("time_in_force", r.time_in_force, TIFS)
    qty = optional("qty", r.qty, parse_qty)
    value = optional("notional", r.notional, parse_usd)
    px = prices(r)
    _check_amounts(r, ord_type, qty, value)
    check_prices(r, ord_type, px)
    _check_time_in_force(r, ord_type, tif)
    return SubmitOrder(
        account_id,
        order_id,
        cl_ord_id_text(r.client_order_id) or cl_ord_id,
        symbol_text("symbol", r.symbol),
        choice("side", r.side, SIDES),
        ord_type,
        tif,
        qty,
        value,
        px.limit_px,
        expiry(tif == terms.GTD, r.expires_at, now_us),
        bool(r.post_only),
        bool(r.extended_hours),
        position_intent(r),
        stop_px=px.stop_px,
        trail_px=px.trail_px,
        trail_ppm=px.trail_ppm,
    )


def position_intent(r: OrderRequest) -> str:
    """Whether a request opens or closes a position, "" when it does not say."""
    return choice("position_intent", r.position_intent, _INTENTS) if r.position_intent else ""


def prices(r: OrderRequest) -> Prices:
    """The prices of a request, whatever its type."""
    return Prices(
        optional("limit_price", r.limit_price, parse_price),
        optional("stop_price", r.stop_price, parse_price),
        optional("trail_price", r.trail_price, parse_price),
        optional("trail_percent", r.trail_percent, parse_percent),
    )


def check_prices(r: OrderRequest, ord_type: str, px: Prices) -> None:
    """Every type has its own prices: no other, and none missing."""
    has = _PRICES[ord_type]
    if ord_type == terms.LIMIT and px.limit_px and not (px.stop_px or px.trail_px or px.trail_ppm):
        return  # Most orders are like this.
    for field, value in (
        ("limit_price", px.limit_px),
        ("stop_price", px.stop_px),
        ("trail_price", px.trail_px),
        ("trail_percent", px.trail_ppm),
    ):
        if value and field not in has:
            raise invalid(f"{r.type} orders require no {field}")
        if field in has and not value and ord_type != terms.TRAILING_STOP:
            raise invalid(f"{r.type} orders require a {field}")
    if ord_type == terms.TRAILING_STOP and bool(px.trail_px) == bool(px.trail_ppm):
        raise invalid("trailing_stop orders require one of trail_price and trail_percent")


def _check_amounts(r: OrderRequest, ord_type: str, qty: int, value: int) -> None:
    if r.notional and not value and number_text("notional", r.notional):
        raise invalid("invalid notional 0. a notional is greater than 0")
    if qty and value:
        raise invalid("only one of qty or notional is accepted")
    if not qty and not value:
        raise invalid("qty or notional is required")
    if value and ord_type != terms.MARKET:
        raise invalid("notional is only accepted for market orders")


def _check_time_in_force(r: OrderRequest, ord_type: str, tif: str) -> None:
    """A stop waits for its trigger, and an auction takes market and limit orders alone."""
    if ord_type == terms.TRAILING_STOP and tif not in (terms.DAY, terms.GTC):
        raise invalid("trailing_stop orders must have time_in_force day or gtc")
    if ord_type in (terms.STOP, terms.STOP_LIMIT) and tif not in RESTING_TIFS:
        raise invalid(f"{r.type} orders must have time_in_force day, gtc or gtd")
    if r.post_only and (ord_type != terms.LIMIT or tif not in RESTING_TIFS):
        raise invalid("post_only orders must be limit orders with time_in_force day, gtc or gtd")
    if r.extended_hours and tif in _AT_AN_AUCTION:
        raise invalid(f"extended_hours is not accepted with time_in_force {r.time_in_force}")


def _refuse_group_terms(r: OrderRequest) -> None:
    """What only a group has, on a simple order."""
    asked = (r.take_profit, r.stop_loss, r.policy, r.activation, r.auto_shrink, r.legs)
    if asked == _NO_GROUP_TERMS:
        return
    for field, value in (
        ("take_profit", r.take_profit),
        ("stop_loss", r.stop_loss),
        ("policy", r.policy),
        ("activation", r.activation),
        ("auto_shrink", r.auto_shrink),
    ):
        if value is not None:
            raise invalid(f"{field} is only accepted with order_class bracket, oco or oto")
    if r.legs:
        raise invalid("legs is not accepted: multi-leg orders are not supported")


def expiry(is_gtd: bool, text: str | None, now_us: int) -> int:
    """When an order expires, 0 for one that is not good till a date."""
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
    r: ReplaceRequest, old: OrderRecord, order_id: str, cl_ord_id: str, now_us: int
) -> ReplaceOrder:
    """The command that replaces `old`. `cl_ord_id` is used when the client gave none."""
    tif = choice("time_in_force", r.time_in_force, TIFS) if r.time_in_force else ""
    qty = optional("qty", r.qty, parse_qty)
    limit_px = optional("limit_price", r.limit_price, parse_price)
    stop_px = optional("stop_price", r.stop_price, parse_price)
    trail_px, trail_ppm = _trail(r, old)
    expire_us = expiry(tif in (terms.GTD, ""), r.expires_at, now_us) if r.expires_at else 0
    changed = (qty, limit_px, stop_px, trail_px, trail_ppm, expire_us, tif, r.client_order_id)
    if not any(changed):
        raise invalid(
            "at least one of qty, time_in_force, limit_price, stop_price and trail is required"
        )
    return ReplaceOrder(
        old.account_id,
        order_id,
        old.order_id,
        cl_ord_id_text(r.client_order_id) or cl_ord_id,
        qty,
        limit_px,
        tif,
        expire_us,
        stop_px=stop_px,
        trail_px=trail_px,
        trail_ppm=trail_ppm,
    )


def _trail(r: ReplaceRequest, old: OrderRecord) -> tuple[int, int]:
    """The new distance of a trailing stop, in the unit that the order has."""
    if not r.trail or not number_text("trail", r.trail):
        return 0, 0
    if old.ord_type != terms.TRAILING_STOP:
        raise invalid("trail is only accepted for trailing_stop orders")
    if old.trail_ppm:
        return 0, optional("trail", r.trail, parse_percent)
    return optional("trail", r.trail, parse_price), 0
