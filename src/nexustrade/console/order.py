"""`nexustrade order`: orders of an account."""

from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import OK, REFUSED, print_json, print_record, print_rows
from nexustrade.console.venue import segment, trader

app = App(name="order", help="Orders of an account.")

_COLUMNS: Final = (
    "id",
    "symbol",
    "side",
    "type",
    "time_in_force",
    "qty",
    "notional",
    "limit_price",
    "stop_price",
    "order_class",
    "filled_qty",
    "filled_avg_price",
    "status",
    "submitted_at",
)

_LEG_COLUMNS: Final = (
    "role",
    "id",
    "side",
    "type",
    "qty",
    "limit_price",
    "stop_price",
    "filled_qty",
    "status",
)

Account = Annotated[str | None, Parameter(help="The account (default: that of NEXUSTRADE_KEY).")]


@app.command(name="list")
def list_(
    *,
    account: Account = None,
    status: Literal["open", "closed", "all"] = "open",
    symbol: Annotated[str, Parameter(help="Only this symbol; several with commas.")] = "",
    limit: Annotated[int, Parameter(help="At most so many, up to 500.")] = 50,
    answer: Answer = PLAIN,
) -> int:
    """List orders, the latest first."""
    with trader(answer.directory, account) as client:
        rows = client.get("/v2/orders", status=status, symbols=symbol, limit=limit)
    print_rows(rows, _COLUMNS, as_json=answer.json, empty="no orders")
    return OK


@app.command
def show(order_id: str, /, *, account: Account = None, answer: Answer = PLAIN) -> int:
    """Show an order."""
    with trader(answer.directory, account) as client:
        order = client.get(f"/v2/orders/{segment(order_id)}")
    print_order(order, answer)
    return OK


def print_order(order: dict[str, Any], answer: Answer) -> None:
    """An order, in a table without the fields that say nothing, then its legs."""
    if answer.json:
        print_record(order, as_json=True)
        return
    told = {k: v for k, v in order.items() if v not in (None, "") and k != "legs"}
    print_record(told, as_json=False)
    if order.get("legs"):
        print_rows(order["legs"], _LEG_COLUMNS, as_json=False)


@app.command
def submit(
    symbol: str,
    side: Literal["buy", "sell"],
    qty: Annotated[str | None, Parameter(help="Shares; or give --notional.")] = None,
    /,
    *,
    limit: Annotated[str | None, Parameter(help="Limit price; without it a market order.")] = None,
    notional: Annotated[str | None, Parameter(help="USD to trade for, at the market.")] = None,
    stop: Annotated[
        str | None, Parameter(help="Stop price: a stop, or with --limit a stop-limit order.")
    ] = None,
    trail: Annotated[str | None, Parameter(help="A trailing stop so many USD away.")] = None,
    trail_percent: Annotated[str | None, Parameter(help="A trailing stop so far away.")] = None,
    take_profit: Annotated[
        str | None, Parameter(help="With --stop-loss a bracket, alone an oto: its limit price.")
    ] = None,
    stop_loss: Annotated[str | None, Parameter(help="The same: the stop price.")] = None,
    stop_loss_limit: Annotated[
        str | None, Parameter(help="Makes the stop-loss a stop-limit order.")
    ] = None,
    oco: Annotated[
        bool, Parameter(negative=(), help="Both are the exit of a position, without an entry.")
    ] = False,
    tif: Literal["day", "gtc", "ioc", "fok", "gtd", "opg", "cls"] = "day",
    expires_at: Annotated[str | None, Parameter(help="When a gtd order ends.")] = None,
    post_only: Annotated[bool, Parameter(negative=(), help="Never takes liquidity.")] = False,
    client_order_id: Annotated[str | None, Parameter(help="Your own id: used once.")] = None,
    account: Account = None,
    answer: Answer = PLAIN,
) -> int:
    """Send an order and show it."""
    body: dict[str, object] = {
        "symbol": symbol,
        "side": side,
        "type": _type(limit, stop, trail or trail_percent, oco=oco),
        "time_in_force": tif,
        "qty": qty,
        "notional": notional,
        "limit_price": limit,
        "expires_at": expires_at,
        "client_order_id": client_order_id,
        "post_only": post_only or None,
        "stop_price": stop,
        "trail_price": trail,
        "trail_percent": trail_percent,
        "order_class": _class(take_profit, stop_loss, oco=oco),
        "take_profit": None if take_profit is None else {"limit_price": take_profit},
        "stop_loss": _stop_loss(stop_loss, stop_loss_limit),
    }
    with trader(answer.directory, account) as client:
        order = client.post("/v2/orders", body)
    print_order(order, answer)
    return OK


def _type(limit: str | None, stop: str | None, trail: str | None, *, oco: bool) -> str:
    if trail is not None:
        return "trailing_stop"
    if stop is not None:
        return "stop" if limit is None else "stop_limit"
    return "market" if limit is None and not oco else "limit"


def _class(take_profit: str | None, stop_loss: str | None, *, oco: bool) -> str | None:
    if oco:
        return "oco"
    legs = (take_profit is not None) + (stop_loss is not None)
    return (None, "oto", "bracket")[legs]


def _stop_loss(stop_price: str | None, limit_price: str | None) -> dict[str, str] | None:
    if stop_price is None and limit_price is None:
        return None
    given = {"stop_price": stop_price, "limit_price": limit_price}
    return {name: price for name, price in given.items() if price is not None}


@app.command
def cancel(order_id: str, /, *, account: Account = None, answer: Answer = PLAIN) -> int:
    """Ask for an open order's cancel."""
    with trader(answer.directory, account) as client:
        client.delete(f"/v2/orders/{segment(order_id)}")
        order = client.get(f"/v2/orders/{segment(order_id)}")
    print_order(order, answer)
    return OK


@app.command
def cancel_all(
    *,
    symbol: Annotated[str, Parameter(help="Only orders in this symbol.")] = "",
    side: Literal["", "buy", "sell"] = "",
    account: Account = None,
    answer: Answer = PLAIN,
) -> int:
    """Cancel all open orders, or those of a symbol or side; 1 when one could not be."""
    with trader(answer.directory, account) as client:
        results = client.delete("/v1/orders", symbol=symbol, side=side)
    if answer.json:
        print_json(results)
    else:
        print_rows(results, ("id", "status"), as_json=False, empty="no open orders")
    return OK if all(each["status"] < 300 for each in results) else REFUSED
