"""`nexustrade export`: orders, fills and events as CSV or JSON lines, however many there are."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TextIO

import psycopg
from cyclopts import App, Parameter
from psycopg.rows import dict_row

from nexustrade.console.databases import Which, database
from nexustrade.console.options import HERE, Where
from nexustrade.console.output import OK, UNREACHABLE, CommandError, complain

app = App(name="export", help="Orders, fills and events as files.")

Format = Literal["csv", "jsonl"]
Out = Annotated[Path, Parameter(allow_leading_hyphen=True, help="The file to write; - is stdout.")]
Account = Annotated[str, Parameter(help="Only this account.")]

FETCH_LEN: Final = 5_000
"""Rows that are in memory at once."""
CONNECT_TIMEOUT_S: Final = 5

_ORDERS: Final = """
    SELECT order_id, account_id, cl_ord_id, symbol, side, ord_type, time_in_force, ord_status,
        order_qty, notional, limit_px, cum_qty, leaves_qty, submitted_at, updated_at, closed_at,
        stop_px, trail_px, trail_ppm, order_class, group_id, role, triggered_at
    FROM order_history WHERE %(account)s IN ('', account_id) ORDER BY submitted_at, order_id
"""
_FILLS: Final = """
    SELECT account_id, ts_event, order_id, symbol, side, last_px, last_qty, notional, fee,
        liquidity, trade_id, trade_date::text AS trade_date, settle_date::text AS settle_date,
        busted_at
    FROM fills WHERE %(account)s IN ('', account_id) ORDER BY ts_event, account_id, order_id
"""
_EVENTS: Final = """
    SELECT shard, seq, event_time, event_type, symbol, account_id, order_id, cl_ord_id, side,
        price, quantity, cause, payload::text AS payload, encode(hash, 'hex') AS hash, group_id
    FROM order_events WHERE %(account)s IN ('', account_id) ORDER BY shard, seq
"""


@app.command
def orders(
    *,
    out: Out = Path("-"),
    format: Format = "csv",  # noqa: A002 - the option's name
    account: Account = "",
    where: Where = HERE,
) -> int:
    """Export orders with what became of them, the oldest first."""
    return _export(where, "accounts", _ORDERS, out, format, account)


@app.command
def fills(
    *,
    out: Out = Path("-"),
    format: Format = "csv",  # noqa: A002
    account: Account = "",
    where: Where = HERE,
) -> int:
    """Export fills with their fees, the oldest first."""
    return _export(where, "accounts", _FILLS, out, format, account)


@app.command
def events(
    *,
    out: Out = Path("-"),
    format: Format = "csv",  # noqa: A002
    account: Account = "",
    where: Where = HERE,
) -> int:
    """Export stored events with their hashes, stream by stream."""
    return _export(where, "trading", _EVENTS, out, format, account)


def _export(where: Where, which: Which, query: str, out: Path, kind: Format, account: str) -> int:
    with database(where.directory, which) as dsn, _opened(out) as file:
        try:
            # A cursor of the server: the rows come in pieces, and are one consistent picture.
            with (
                psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection,
                connection.cursor("export", row_factory=dict_row) as cursor,
            ):
                cursor.itersize = FETCH_LEN
                cursor.execute(query, {"account": account})
                count = write_rows(file, kind, _names(cursor), cursor)
        except psycopg.Error as error:
            raise CommandError(f"the database does not answer: {error}", UNREACHABLE) from None
    complain(f"{count} rows")
    return OK


def _names(cursor: psycopg.ServerCursor[dict[str, Any]]) -> list[str]:
    return [column.name for column in cursor.description or ()]


def write_rows(file: TextIO, kind: Format, names: list[str], rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as CSV with a heading, or as JSON objects, one a line; returns how many."""
    count = 0
    writer = csv.writer(file, lineterminator="\n")
    if kind == "csv":
        writer.writerow(names)
    for row in rows:
        told = {name: _told(row[name]) for name in names}
        if kind == "csv":
            writer.writerow(_harmless(value) for value in told.values())
        else:
            file.write(json.dumps(told, separators=(",", ":")) + "\n")
        count += 1
    return count


def _told(value: object) -> object:
    """A value in its exact text: decimals without needless zeros, instants in RFC 3339."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    starts = ("=", "+", "-", "@", "\t", "\r")
    if isinstance(value, str) and value.startswith(starts) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()


@contextmanager
def _opened(out: Path) -> Iterator[TextIO]:
    """The file, which appears only when it is whole; or standard output."""
    if str(out) == "-":
        yield sys.stdout
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as error:
        raise CommandError(f"{error.filename or out}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
