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
    "filled_qty",
    "filled_avg_price",
    "status",
    "submitted_at",
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
    """An order, in a table without the fields that say nothing."""
    told = order if answer.json else {k: v for k, v in order.items() if v not in (None, "")}
    print_record(told, as_json=answer.json)


@app.command
def submit(
    symbol: str,
    side: Literal["buy", "sell"],
    qty: Annotated[str | None, Parameter(help="Shares; or give --notional.")] = None,
    /,
    *,
    limit: Annotated[str | None, Parameter(help="Limit price; without it a market order.")] = None,
    notional: Annotated[str | None, Parameter(help="USD to trade for, at the market.")] = None,
    tif: Literal["day", "gtc", "ioc", "fok", "gtd"] = "day",
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
        "type": "market" if limit is None else "limit",
        "time_in_force": tif,
        "qty": qty,
        "notional": notional,
        "limit_price": limit,
        "expires_at": expires_at,
        "client_order_id": client_order_id,
        "post_only": post_only or None,
    }
    with trader(answer.directory, account) as client:
        order = client.post("/v2/orders", body)
    print_order(order, answer)
    return OK


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
