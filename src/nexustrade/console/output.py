"""How commands answer: tables for people, JSON for programs, one line for a failure."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nexustrade.core.errors import NexusError

OK: Final = 0
REFUSED: Final = 1
"""The venue refused, something was not found, or something is wrong."""
USAGE: Final = 2
UNREACHABLE: Final = 3
"""The venue or its database does not answer."""

PIPE_WIDTH: Final = 200
"""Width of a table that is not printed on a terminal."""

Row = Mapping[str, Any]


class CommandError(NexusError):
    """A command failed: its text is printed on one line, `code` is the exit code."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


def console() -> Console:
    """Standard output, wide enough for whole ids when it is not a terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PIPE_WIDTH)


def print_json(value: object) -> None:
    """A value as JSON for programs: decimals as text, instants as they come."""
    print(json.dumps(value, indent=2, default=_json_value), flush=True)  # noqa: T201


def _json_value(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def print_rows(
    rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str = "none"
) -> None:
    """Rows as a table of `columns`, or all of their fields as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        console().print(empty, style="dim", markup=False)
        return
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        right = any(_is_number(row.get(column)) for row in rows)
        table.add_column(
            column.replace("_", " "), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        # As Text: what clients sent is shown as it is, never read as markup.
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    console().print(table)


def print_record(record: Row, *, as_json: bool, columns: Iterable[str] | None = None) -> None:
    """One record as two columns, name and value, or as a JSON object."""
    if as_json:
        print_json(record)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name in columns if columns is not None else record:
        table.add_row(Text(name.replace("_", " ")), Text(cell(record.get(name))))
    console().print(table)


def cell(value: object) -> str:
    """A value as it stands in a table; control characters cannot reach the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(each) for each in value) or "-"
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text if text.isprintable() else ascii(text)


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | Decimal):
        return True
    return isinstance(value, str) and value.removeprefix("-").replace(".", "", 1).isdecimal()


def complain(text: str) -> None:
    """Each line of a text on standard error, as this program's."""
    for line in text.splitlines() or [""]:
        shown = line if line.isprintable() else ascii(line)
        print(f"nexustrade: {shown}", file=sys.stderr, flush=True)  # noqa: T201
