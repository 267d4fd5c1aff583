"""From an order request with an `order_class` to the command of a group.

As in requests.py a request is only understood here: whether the legs stand on the right sides of
the market, and whether there are shares or cash for them, is for the orders stage to say.
"""

from typing import Final, NamedTuple

from nexustrade.core import terms
from nexustrade.core.money import parse_price, parse_qty
from nexustrade.gateway import requests
from nexustrade.gateway.messages import OrderRequest
from nexustrade.gateway.refusals import invalid
from nexustrade.orders.messages import SubmitGroup

_CLASSES: Final = {
    "simple": "",
    "bracket": terms.BRACKET,
    "oco": terms.OCO,
    "oto": terms.OTO,
}
_ENTRY_TYPES: Final = {
    "market": terms.MARKET,
    "limit": terms.LIMIT,
    "stop": terms.STOP,
    "stop_limit": terms.STOP_LIMIT,
}
_POLICIES: Final = {"reduce": terms.REDUCE, "cancel": terms.CANCEL}
_ACTIVATIONS: Final = {"partial": terms.PARTIAL, "full": terms.FULL}

TP_LIMIT: Final = "take_profit.limit_price"
SL_STOP: Final = "stop_loss.stop_price"
SL_LIMIT: Final = "stop_loss.limit_price"


class GroupIds(NamedTuple):
    """The ids of a group's orders. An OCO's take-profit is the parent: it has the first one."""

    group_id: str
    tp_order_id: str
    sl_order_id: str


class _Exit(NamedTuple):
    """The prices of the legs, 0 for a leg that is not wanted."""

    tp_limit_px: int
    sl_stop_px: int
    sl_limit_px: int


def order_class(r: OrderRequest) -> str:
    """The class of a request: BRACKET, OCO, OTO, or "" for a simple order."""
    return requests.choice("order_class", r.order_class, _CLASSES) if r.order_class else ""


def submit_group(
    r: OrderRequest, account_id: str, ids: GroupIds, cl_ord_id: str, now_us: int
) -> SubmitGroup:
    """The command of a new group. `cl_ord_id` is used when the client gave none."""
    of_class = order_class(r)
    is_oco = of_class == terms.OCO
    tif = requests.choice("time_in_force", r.time_in_force, requests.TIFS)
    _check_terms(r, tif)
    qty = requests.optional("qty", r.qty, parse_qty)
    if not qty:
        raise invalid("qty is required")
    px = requests.prices(r)
    legs = _oco_exit(r, px) if is_oco else _exit(r)
    ord_type = terms.LIMIT if is_oco else _entry_type(r, px)
    parent_cl_ord_id = requests.cl_ord_id_text(r.client_order_id) or cl_ord_id
    tp_order_id = "" if not legs.tp_limit_px else ids.group_id if is_oco else ids.tp_order_id
    policy = r.policy or "reduce"
    # Legs that cancel each other cannot grow after one of them has filled.
    activation = r.activation or ("full" if policy == "cancel" and not is_oco else "partial")
    sl_order_id = ids.sl_order_id if legs.sl_stop_px else ""
    return SubmitGroup(
        account_id,
        ids.group_id,
        parent_cl_ord_id,
        of_class,
        requests.symbol_text("symbol", r.symbol),
        requests.choice("side", r.side, requests.SIDES),
        tif,
        qty,
        ord_type,
        0 if is_oco else px.limit_px,
        px.stop_px,
        tp_order_id,
        parent_cl_ord_id if is_oco else tp_order_id,
        legs.tp_limit_px,
        sl_order_id,
        sl_order_id,
        legs.sl_stop_px,
        legs.sl_limit_px,
        requests.choice("policy", policy, _POLICIES),
        requests.choice("activation", activation, _ACTIVATIONS),
        bool(r.auto_shrink),
        requests.expiry(tif == terms.GTD, r.expires_at, now_us),
        requests.position_intent(r),
    )


def _check_terms(r: OrderRequest, tif: str) -> None:
    """What a group may not have. `r` has a class."""
    if tif not in requests.RESTING_TIFS:
        raise invalid(f"{r.order_class} orders must have time_in_force day, gtc or gtd")
    if r.extended_hours:
        raise invalid(f"extended_hours is not accepted for {r.order_class} orders")
    if r.post_only:
        raise invalid(f"post_only is not accepted for {r.order_class} orders")
    if r.legs:
        raise invalid("legs is not accepted: multi-leg orders are not supported")
    if requests.number_text("notional", r.notional):
        raise invalid(f"notional is not accepted for {r.order_class} orders")


def _entry_type(r: OrderRequest, px: requests.Prices) -> str:
    ord_type = requests.choice("type", r.type, _ENTRY_TYPES)
    requests.check_prices(r, ord_type, px)
    return ord_type


def _exit(r: OrderRequest) -> _Exit:
    """The legs of a bracket (both) or an OTO (one)."""
    is_bracket = r.order_class == "bracket"
    if not is_bracket and (r.take_profit is None) == (r.stop_loss is None):
        raise invalid("oto orders require one of take_profit and stop_loss")
    tp_limit_px = _tp_limit_px(r)
    if not tp_limit_px and (is_bracket or r.take_profit is not None):
        raise invalid(f"{r.order_class} orders require {TP_LIMIT}")
    sl_stop_px, sl_limit_px = _sl_prices(r)
    if not sl_stop_px and (is_bracket or r.stop_loss is not None):
        raise invalid(f"{r.order_class} orders require {SL_STOP}")
    return _Exit(tp_limit_px, sl_stop_px, sl_limit_px)


def _oco_exit(r: OrderRequest, px: requests.Prices) -> _Exit:
    """The legs of an OCO: the order itself is the take-profit, at either of the two prices."""
    if r.type != "limit":
        raise invalid("oco orders must be limit orders")
    if r.activation is not None:
        raise invalid("activation is not accepted for oco orders")
    tp_limit_px = _tp_limit_px(r) or px.limit_px
    if not tp_limit_px:
        raise invalid(f"oco orders require {TP_LIMIT}")
    if px.limit_px and px.limit_px != tp_limit_px:
        raise invalid(f"limit_price and {TP_LIMIT} of oco orders must be equal")
    requests.check_prices(r, terms.LIMIT, px._replace(limit_px=tp_limit_px))
    sl_stop_px, sl_limit_px = _sl_prices(r)
    if not sl_stop_px:
        raise invalid(f"oco orders require {SL_STOP}")
    return _Exit(tp_limit_px, sl_stop_px, sl_limit_px)


def _tp_limit_px(r: OrderRequest) -> int:
    leg = r.take_profit
    return requests.optional(TP_LIMIT, leg.limit_price, parse_price) if leg is not None else 0


def _sl_prices(r: OrderRequest) -> tuple[int, int]:
    """Stop price and limit price of the stop-loss, the latter 0 for one at the market."""
    leg = r.stop_loss
    if leg is None:
        return 0, 0
    return (
        requests.optional(SL_STOP, leg.stop_price, parse_price),
        requests.optional(SL_LIMIT, leg.limit_price, parse_price),
    )
