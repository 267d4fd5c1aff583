"""How an event becomes a row of `order_events`: its columns, and its line of COPY text.

The columns repeat parts of the payload for queries; the payload is the truth. Each column takes
the first of its fields that the event's class has, and 0 or "" there means NULL:

| column     | fields                                               |
|------------|------------------------------------------------------|
| symbol     | symbol                                               |
| account_id | account_id, taker_account_id                         |
| order_id   | order_id, taker_order_id                             |
| group_id   | group_id                                             |
| cl_ord_id  | cl_ord_id                                            |
| side       | side, taker_side                                     |
| price      | limit_px, last_px, price                             |
| quantity   | order_qty, last_qty, leaves_qty, by_qty, qty         |
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from nexustrade.core.codec import Message
from nexustrade.core.errors import check
from nexustrade.core.money import PRICE_DECIMALS, QTY_DECIMALS, scaled_text
from nexustrade.core.time import to_datetime
from nexustrade.kernel.ports import StoredEvent

SOURCES: Final[tuple[tuple[str, ...], ...]] = (
    ("symbol",),
    ("account_id", "taker_account_id"),
    ("order_id", "taker_order_id"),
    ("group_id",),
    ("cl_ord_id",),
    ("side", "taker_side"),
    ("limit_px", "last_px", "price"),
    ("order_qty", "last_qty", "leaves_qty", "by_qty", "qty"),
)
"""The fields each column may come from, in the order of the columns."""

COLUMNS: Final = (
    "shard, seq, event_time, event_type, symbol, account_id, order_id, group_id, cl_ord_id, side,"
    " price, quantity, cause, payload, prev_hash, hash"
)
"""The columns of `order_events`, in the order in which the lines give them."""

_TEXTS: Final = 6
"""How many of the sources are text; after them come price and quantity."""
_NULL: Final = "\\N"
_US_PER_S: Final = 1_000_000

_plans: Final[dict[type[Message], list[str]]] = {}


def _plan(event_class: type[Message]) -> list[str]:
    """The field behind each column for a class of events; "" where it has none."""
    plan = _plans.get(event_class)
    if plan is None:
        names = {field.name for field in msgspec.structs.fields(event_class)}
        plan = [next((name for name in source if name in names), "") for source in SOURCES]
        _plans[event_class] = plan
    return plan


def columns(event: Message) -> list[Any]:
    """The values of the columns that come from the payload: six texts, price 1e-4, qty 1e-8.

    None stands for NULL.
    """
    return [(getattr(event, name) or None) if name else None for name in _plan(type(event))]


def escaped(text: str) -> str:
    """Text as a field of COPY: nothing in it can end the field or the line."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def copy_lines(shard: str, last_seq: int, events: Sequence[StoredEvent]) -> bytes:
    """The events as lines of COPY text, one after the other from `last_seq + 1` on."""
    lines: list[str] = []
    seq = last_seq
    second = -1
    second_text = ""
    shard_text = escaped(shard)
    for stored in events:
        seq += 1
        check(
            stored.seq == seq and stored.shard == shard,
            f"{shard}: event {stored.seq} of {stored.shard} is appended as {seq}",
        )
        event = stored.event
        check(event is not None, f"{shard}: event {seq} is appended without its content")
        at_second = stored.ts_us // _US_PER_S
        if at_second != second:
            # Whole batches lie within a second: its text is made once.
            second = at_second
            second_text = to_datetime(second * _US_PER_S).strftime("%Y-%m-%d %H:%M:%S")
        micro = f"{stored.ts_us - second * _US_PER_S:06d}"
        lines.append(
            f"{shard_text}\t{seq}\t{second_text}.{micro}+00\t{stored.event_type}\t"
            f"{_column_text(event)}\t{_safe(stored.cause)}\t{_payload_text(stored.payload)}\t"
            f"\\\\x{stored.prev_hash.hex()}\t\\\\x{stored.hash.hex()}\n"
        )
    return "".join(lines).encode()


def _column_text(event: Any) -> str:
    """The eight columns that come from the event, separated by tabs."""
    texts: list[str] = []
    at = 0
    for name in _plan(type(event)):
        value = getattr(event, name) if name else None
        if not value:
            texts.append(_NULL)
        elif at < _TEXTS:
            texts.append(_safe(value))
        elif at == _TEXTS:
            texts.append(scaled_text(value, PRICE_DECIMALS))
        else:
            texts.append(scaled_text(value, QTY_DECIMALS))
        at += 1
    return "\t".join(texts)


def _safe(text: str) -> str:
    # Nearly all text is printable and has no backslash: two quick looks spare four replacements.
    if text.isprintable() and "\\" not in text:
        return text
    return escaped(text)


def _payload_text(payload: bytes) -> str:
    # JSON has no raw control characters: backslashes are all there is to escape.
    text = payload.decode()
    return text.replace("\\", "\\\\") if "\\" in text else text
