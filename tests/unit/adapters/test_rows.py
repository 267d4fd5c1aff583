"""How events become rows: the columns of every message, and text that tries to break out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.adapters.postgres.rows import COLUMNS, columns, copy_lines
from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.kernel.chain import GENESIS, seal
from nexustrade.matching.messages import Amended, Decremented, Queued, Removed, Rested, Traded
from nexustrade.orders import messages as orders

COPY_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def fields(line: bytes) -> list[str | None]:
    """The fields of a line as the server reads them."""
    read: list[str | None] = []
    for field in line.decode().removesuffix("\n").split("\t"):
        text, at = "", 0
        while at < len(field):
            pair = field[at : at + 2]
            text += COPY_ESCAPES[pair] if pair[0] == "\\" and field != "\\N" else field[at]
            at += 2 if pair[0] == "\\" and field != "\\N" else 1
        read.append(None if field == "\\N" else text)
    return read


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            orders.OrderAccepted(
                "a", "o", "c", "AAPL", "BUY", "LIMIT", "DAY", order_qty=5, limit_px=7
            ),
            ["AAPL", "a", "o", None, "c", "BUY", 7, 5],
        ),
        (
            orders.OrderFilled("a", "o", "AAPL", "SELL", 7, 5, 1, 0, "MAKER", 1),
            ["AAPL", "a", "o", None, None, "SELL", 7, 5],
        ),
        (orders.OrderCanceled("a", "o", 9, "R"), [None, "a", "o", None, None, None, None, 9]),
        (orders.OrderDecremented("a", "o", 3), [None, "a", "o", None, None, None, None, 3]),
        (orders.CashAdjusted("a", -5), [None, "a", None, None, None, None, None, None]),
        (
            orders.PositionAdjusted("a", "AAPL", -5, 7),
            ["AAPL", "a", None, None, None, None, 7, -5],
        ),
        (orders.PriceMarked("AAPL", 7), ["AAPL", None, None, None, None, None, 7, None]),
        (
            Traded(1, "AAPL", "BUY", 7, 5, "m", "am", 0, "t", "at"),
            ["AAPL", "at", "t", None, None, "BUY", 7, 5],
        ),
        (
            Rested("o", "a", "AAPL", "SELL", "DAY", 7, 5),
            ["AAPL", "a", "o", None, None, "SELL", 7, 5],
        ),
        (
            Queued("o", "a", "AAPL", "SELL", "LIMIT", "DAY", 5, limit_px=7),
            ["AAPL", "a", "o", None, None, "SELL", 7, 5],
        ),
        (Removed("o", "a", "AAPL", 5, "R"), ["AAPL", "a", "o", None, None, None, None, 5]),
        (Decremented("o", "a", "AAPL", 5), ["AAPL", "a", "o", None, None, None, None, 5]),
        (Amended("n", "o", "a", "AAPL", 7, 5), ["AAPL", "a", "n", None, None, None, 7, 5]),
    ],
)
def test_the_columns_of_an_event(event: Message, expected: list[object]) -> None:
    assert columns(event) == expected


def test_a_line_has_every_column_exactly() -> None:
    event = orders.OrderFilled("a", "o", "AAPL", "SELL", 1_234_567, 1, 12, 0, "MAKER", 1)
    stored = seal(GENESIS, "orders-0", 8, 1_795_000_000_000_007, "c", event)
    line = copy_lines("orders-0", 7, [stored])
    assert fields(line) == [
        "orders-0",
        "8",
        "2026-11-18 11:06:40.000007+00",
        "OrderFilled",
        "AAPL",
        "a",
        "o",
        None,
        None,
        "SELL",
        "1234567e-4",
        "1e-8",
        "c",
        stored.payload.decode(),
        "\\x" + bytes(32).hex(),
        "\\x" + stored.hash.hex(),
    ]
    assert len(fields(line)) == len(COLUMNS.split(","))


def test_lines_go_over_a_second() -> None:
    stamps = (1_794_999_999_999_999, 1_795_000_000_000_000)
    rows = [
        seal(GENESIS, "s", n, ts, "c", orders.CashAdjusted("a", 1)) for n, ts in enumerate(stamps)
    ]
    lines = copy_lines("s", -1, rows).splitlines(keepends=True)
    times = [fields(line)[2] for line in lines]
    assert times == ["2026-11-18 11:06:39.999999+00", "2026-11-18 11:06:40.000000+00"]


def test_an_event_without_its_content_or_out_of_place_is_refused() -> None:
    stored = seal(GENESIS, "s", 1, 1, "c", orders.CashAdjusted("a", 1))
    for wrong in (stored._replace(event=None), stored._replace(seq=2), stored._replace(shard="t")):
        with pytest.raises(InvariantError):
            copy_lines("s", 0, [wrong])


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    alphabet="\\\t\n\r\b\x0b\x7f.N\"'", max_size=8
)


@given(text=TEXT, other=TEXT, cause=TEXT, shard=TEXT)
def test_no_text_ends_its_field(text: str, other: str, cause: str, shard: str) -> None:
    event = orders.OrderRejected(
        text, other, text, other, "BUY", "LIMIT", "R", text, facts={other: text}
    )
    stored = seal(GENESIS, shard, 1, 1, cause, event)
    lines = copy_lines(shard, 0, [stored])
    assert lines.count(b"\n") == 1
    read = fields(lines)
    # Only an empty text and NULL are one in a column that comes from the event.
    assert read[0] == shard
    assert read[4:7] == [other or None, text or None, other or None]
    assert read[8] == (text or None)
    assert (read[12], read[13]) == (cause, stored.payload.decode())
