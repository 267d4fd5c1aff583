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

_NULL: Final = "\\N"
_US_PER_S: Final = 1_000_000

_astuple: Final[Any] = msgspec.structs.astuple
_plans: Final[dict[type[Message], list[int]]] = {}


def _plan(event_class: type[Message]) -> list[int]:
    """The place of each column's field in a class of events; just past the last: it has none."""
    plan = _plans.get(event_class)
    if plan is None:
        names = [field.name for field in msgspec.structs.fields(event_class)]
        plan = [
            next((names.index(name) for name in source if name in names), len(names))
            for source in SOURCES
        ]
        _plans[event_class] = plan
    return plan


def columns(event: Message) -> list[Any]:
    """The values of the columns that come from the payload: six texts, price 1e-4, qty 1e-8.

    None stands for NULL.
    """
    values = (*_astuple(event), None)
    return [values[place] or None for place in _plan(type(event))]


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
    hash_text = ""
    last_hash = b""
    for stored in events:
        seq += 1
        if stored.seq != seq or stored.shard != shard or stored.event is None:
            check(False, f"{shard}: event {stored.seq} of {stored.shard} is appended as {seq}")
        ts_us = stored.ts_us
        if ts_us // _US_PER_S != second:
            # Whole batches lie within a second: its text is made once.
            second = ts_us // _US_PER_S
            second_text = to_datetime(second * _US_PER_S).strftime("%Y-%m-%d %H:%M:%S")
        # A leading one keeps the zeros, and is cut off: formatting with a width takes longer.
        micros = str(_US_PER_S + ts_us - second * _US_PER_S)[1:]
        payload = stored.payload.decode()
        if "\\" in payload:
            # JSON has no raw control characters: backslashes are all there is to escape.
            payload = payload.replace("\\", "\\\\")
        prev_text = hash_text if stored.prev_hash == last_hash else stored.prev_hash.hex()
        last_hash = stored.hash
        hash_text = last_hash.hex()
        lines.append(
            f"{shard_text}\t{seq}\t{second_text}.{micros}+00\t{stored.event_type}\t"
            f"{_column_text(stored.event, stored.cause)}\t{payload}\t"
            f"\\\\x{prev_text}\t\\\\x{hash_text}\n"
        )
    return "".join(lines).encode()


def _column_text(event: Any, cause: str) -> str:
    """The eight columns that come from the event, and the cause, with tabs between them."""
    values = (*_astuple(event), "")
    plan = _plan(type(event))
    # With their types, so that the compiled module need not ask for them.
    symbol: str = values[plan[0]]
    account_id: str = values[plan[1]]
    order_id: str = values[plan[2]]
    group_id: str = values[plan[3]]
    cl_ord_id: str = values[plan[4]]
    side: str = values[plan[5]]
    price: int = values[plan[6]] or 0
    quantity: int = values[plan[7]] or 0
    texts = f"{symbol}{account_id}{order_id}{group_id}{cl_ord_id}{side}{cause}"
    if "\\" in texts or not texts.isprintable():
        # Nearly all text is printable and has no backslash: one look spares escaping each.
        symbol = escaped(symbol)
        account_id = escaped(account_id)
        order_id = escaped(order_id)
        group_id = escaped(group_id)
        cl_ord_id = escaped(cl_ord_id)
        side = escaped(side)
        cause = escaped(cause)
    # An exponent in place of a decimal point: exact, and spares a division.
    price_text = f"{price}e-4" if price else _NULL
    quantity_text = f"{quantity}e-8" if quantity else _NULL
    return (
        f"{symbol or _NULL}\t{account_id or _NULL}\t{order_id or _NULL}\t{group_id or _NULL}\t"
        f"{cl_ord_id or _NULL}\t{side or _NULL}\t{price_text}\t{quantity_text}\t{cause}"
    )
