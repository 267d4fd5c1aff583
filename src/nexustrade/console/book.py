"""`nexustrade book`: a symbol's order book, and a book on its own that plays a file."""

import sys
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from nexustrade.console.options import PLAIN, Answer

app = App(name="book", help="Order books.")


@app.command
def show(
    symbol: str,
    /,
    *,
    depth: Annotated[int, Parameter(help="Levels a side.")] = 10,
    answer: Answer = PLAIN,
) -> int:
    """Show a symbol's order book."""
    from nexustrade.console.output import OK, console, print_json, print_rows  # noqa: PLC0415
    from nexustrade.console.venue import admin, segment  # noqa: PLC0415

    book = admin(answer.directory).get(f"/v1/books/{segment(symbol)}", depth=depth)
    if answer.json:
        print_json(book)
        return OK
    last = f"last {book['last_price']}" if book["last_price"] else "no trade yet"
    phase = book["phase"].replace("_", " ")
    console().print(f"{book['symbol']}  {last}  {phase}  {book['as_of']}", markup=False)
    if book["indicative_price"]:
        surplus = f"{book['imbalance_qty'] or 0} {book['imbalance_side'] or ''} left over".strip()
        told = f"would trade {book['indicative_qty']} at {book['indicative_price']}, {surplus}"
        console().print(told, markup=False)
    no_level: dict[str, Any] = {}
    rows = [
        {
            "bid_orders": bid.get("orders", ""),
            "bid_qty": bid.get("qty", ""),
            "bid": bid.get("price", ""),
            "ask": ask.get("price", ""),
            "ask_qty": ask.get("qty", ""),
            "ask_orders": ask.get("orders", ""),
        }
        for bid, ask in zip_longest(book["bids"], book["asks"], fillvalue=no_level)
    ]
    columns = ("bid_orders", "bid_qty", "bid", "ask", "ask_qty", "ask_orders")
    print_rows(rows, columns, as_json=False, empty="the book is empty")
    return OK


@app.command
def play(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, help="The file; - is stdin.")],
    /,
    *,
    events: Annotated[bool, Parameter(negative=(), help="Print all events.")] = False,
    book: Annotated[bool, Parameter(negative=(), help="Print the final book.")] = False,
    bench: Annotated[int, Parameter(help="Print commands/s of so many plays.")] = 0,
    replace_requeues: Annotated[
        bool, Parameter(negative=(), help="Every replace loses its place.")
    ] = False,
) -> int:
    """Play a CSV of commands through one matching book and print the trades."""
    # This command is measured: nothing but the book is imported for it.
    from nexustrade.matching.play import run_play  # noqa: PLC0415

    path = Path("/dev/stdin") if str(file) == "-" else file
    return run_play(
        path,
        events=events,
        book=book,
        bench=bench,
        replace_requeues=replace_requeues,
        out=sys.stdout,
    )
