"""How failure is told: one error shape, and one table from rejection reason to its answer.

The texts are matched by existing bots, so they are Alpaca's to the letter. Rejections that carry
their own text keep it unless the table has one.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from nexustrade.orders import messages as m

BAD_BODY: Final = 40010000
INVALID: Final = 40010001
UNAUTHORIZED: Final = 40110000
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
METHOD_NOT_ALLOWED: Final = 40510000
TOO_SLOW: Final = 40810000
TOO_LARGE: Final = 41310000
RULE: Final = 42210000
RATE_LIMITED: Final = 42910000
INTERNAL: Final = 50010000
UNKNOWN_OUTCOME: Final = 50010001
UNAVAILABLE: Final = 50310000

_encode: Final = msgspec.json.encode


class ApiError(Exception):
    """An answer other than success: HTTP status, code, text and further fields of the body."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra or {}
        self.headers = headers or {}

    def fields(self) -> dict[str, Any]:
        """The body as a dict, code first."""
        return {"code": self.code, "message": self.message, **self.extra}

    def body(self) -> bytes:
        """The body as compact JSON."""
        return _encode(self.fields())


def invalid(message: str) -> ApiError:
    """The request breaks a rule of its form: 422."""
    return ApiError(422, INVALID, message)


def not_found(message: str) -> ApiError:
    """What the request names is not there, or not the caller's: 404."""
    return ApiError(404, NOT_FOUND, message)


def unavailable(message: str) -> ApiError:
    """Nothing was done and it may be tried again: 503 with Retry-After."""
    return ApiError(503, UNAVAILABLE, message, headers={"Retry-After": "1"})


class Terms(NamedTuple):
    """What a rejection may speak of, as text."""

    symbol: str = ""
    order_id: str = ""
    text: str = ""
    ord_status: str = ""


class Rule(NamedTuple):
    """One row: status, code, text ("" keeps the rejection's own), facts shown in the body.

    `otherwise` is the text where the rejection has none: the market moved between check and book.
    """

    status: int
    code: int
    text: str = ""
    shown: tuple[str, ...] = ()
    otherwise: str = ""


RULES: Final[dict[str, Rule]] = {
    m.DUPLICATE_CL_ORD_ID: Rule(
        422, INVALID, "client_order_id must be unique", ("existing_order_id",)
    ),
    m.INVALID_ORDER: Rule(422, INVALID),
    m.ACCOUNT_EXISTS: Rule(422, INVALID),
    m.UNKNOWN_ACCOUNT: Rule(404, NOT_FOUND, "account not found"),
    m.UNKNOWN_ORDER: Rule(404, NOT_FOUND, "order not found for {order_id}"),
    m.ACCOUNT_BLOCKED: Rule(403, FORBIDDEN, "new orders are rejected: the account is blocked"),
    m.VENUE_BLOCKED: Rule(403, FORBIDDEN, "new orders are rejected: the venue is blocked"),
    m.SUSPENDED_BY_USER: Rule(403, FORBIDDEN, "new orders are rejected by user request"),
    m.INSUFFICIENT_BUYING_POWER: Rule(
        403, FORBIDDEN, "insufficient buying power", ("buying_power", "cost_basis")
    ),
    m.INSUFFICIENT_QTY: Rule(
        403,
        FORBIDDEN,
        "insufficient qty available for order (requested: {requested}, available: {available})",
        ("available", "existing_qty", "held_for_orders", "symbol"),
    ),
    m.INSUFFICIENT_CASH: Rule(403, FORBIDDEN),
    m.OPEN_ORDERS_MAX: Rule(403, FORBIDDEN, "", ("open_orders_max",)),
    m.UNKNOWN_SYMBOL: Rule(422, RULE, 'asset "{symbol}" not found'),
    m.NOT_TRADABLE: Rule(422, RULE, 'asset "{symbol}" is not tradable'),
    m.NOT_SHORTABLE: Rule(422, RULE),
    m.NOT_FRACTIONABLE: Rule(422, RULE, 'asset "{symbol}" is not fractionable'),
    m.ORDER_QTY_MAX: Rule(422, RULE),
    m.ORDER_NOTIONAL_MAX: Rule(422, RULE),
    m.TICK_SIZE: Rule(422, RULE),
    m.LOT_SIZE: Rule(422, RULE),
    m.PRICE_COLLAR: Rule(422, RULE),
    m.NO_REFERENCE_PRICE: Rule(422, RULE),
    m.STOP_WOULD_TRIGGER: Rule(
        422, RULE, "", ("base_price",), "invalid stop_price. the last trade has reached it already"
    ),
    m.OCO_PRICES_DO_NOT_STRADDLE: Rule(
        422,
        RULE,
        "",
        ("base_price",),
        "take_profit.limit_price and stop_loss.stop_price must have the market between them",
    ),
    m.QTY_IS_GROUP_LEVEL: Rule(
        422,
        RULE,
        "invalid qty. the orders of a group have one quantity, which PATCH /v1/groups changes",
        ("group_id",),
    ),
    m.TOO_LATE: Rule(
        422,
        RULE,
        "",
        (),
        "the stop has been elected: only its limit_price may be changed, or the rest cancelled",
    ),
    m.UNKNOWN_GROUP: Rule(404, NOT_FOUND, "group not found for {order_id}"),
    m.UNKNOWN_TRADE: Rule(404, NOT_FOUND),
    m.ACCOUNT_FROZEN: Rule(403, FORBIDDEN, "new orders are rejected: the account is frozen"),
    m.SETTLED_CASH_ONLY: Rule(403, FORBIDDEN, "", ("buying_power", "cost_basis")),
    m.MARGIN_CALL: Rule(403, FORBIDDEN),
    m.ORDER_CLOSED: Rule(422, RULE, 'order is already in "{ord_status}" state'),
    m.ORDER_PENDING: Rule(422, RULE, 'order is already in "{ord_status}" state'),
}
_OTHER: Final = Rule(422, RULE)


def refusal(
    reason: str, facts: Mapping[str, str], terms: Terms, legs: Mapping[str, str] | None = None
) -> ApiError:
    """The answer to a rejection, by the table; an unlisted reason is a 422 with its own text.

    `legs` says of each bad field of a group what is wrong with it.
    """
    rule = RULES.get(reason, _OTHER)
    known = {"symbol": terms.symbol, **facts}
    extra: dict[str, Any] = {name: known[name] for name in rule.shown if known.get(name)}
    if legs:
        extra["legs"] = dict(legs)
    template = rule.text
    if not template or (reason == m.INSUFFICIENT_QTY and "requested" not in facts):
        message = terms.text or rule.otherwise or reason.lower().replace("_", " ")
    else:
        message = template.format_map(
            known | {"order_id": terms.order_id, "ord_status": terms.ord_status}
        )
    return ApiError(rule.status, rule.code, message, extra)
