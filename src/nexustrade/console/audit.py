"""`nexustrade audit`: the stored events, and the proof that nobody changed them."""

import asyncio
import re
from collections import deque
from typing import Annotated, Any, Final

import psycopg
from cyclopts import App, Parameter
from psycopg.rows import dict_row

import nexustrade.orders.messages  # noqa: F401 - the codec knows all events from here on
from nexustrade.adapters.postgres import audit
from nexustrade.console.databases import database
from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import (
    OK,
    REFUSED,
    UNREACHABLE,
    USAGE,
    CommandError,
    complain,
    print_rows,
)

app = App(name="audit", help="The stored events, and the proof that nobody changed them.")

PROBLEMS_SHOWN_MAX: Final = 20
"""Problems of one stream that are printed; all are counted."""
CONNECT_TIMEOUT_S: Final = 5

_STREAMS: Final = ("stream", "events", "last_seq", "last_hash", "problems")
_EVENTS: Final = ("shard", "seq", "event_time", "event_type", "account_id", "symbol", "payload")
_KNOWN: Final = re.compile(r"(?P<shard>[a-z-]+[0-9]+):(?P<seq>[0-9]+):(?P<hash>[0-9a-f]{64})")


@app.command
def verify(
    *,
    stream: Annotated[str, Parameter(help="Only this stream, like orders-0.")] = "",
    known: Annotated[
        str,
        Parameter(help="STREAM:SEQ:HASH kept from an earlier audit: it must still be there."),
    ] = "",
    answer: Answer = PLAIN,
) -> int:
    """Check every event of each stream against the hash chain; 1 when one does not fit."""
    kept = _kept(known)
    with database(answer.directory, "trading") as dsn:
        rows = asyncio.run(_verify(dsn, stream, kept))
    print_rows(rows, _STREAMS, as_json=answer.json, empty="no events yet")
    for row in rows:
        for problem in row["first_problems"]:
            complain(problem)
    return REFUSED if any(row["problems"] for row in rows) else OK


def _kept(known: str) -> tuple[str, int, bytes] | None:
    if not known:
        return None
    match = _KNOWN.fullmatch(known)
    if match is None:
        raise CommandError("--known is written STREAM:SEQ:HASH", USAGE)
    return match["shard"], int(match["seq"]), bytes.fromhex(match["hash"])


async def _verify(
    dsn: str, stream: str, kept: tuple[str, int, bytes] | None
) -> list[dict[str, Any]]:
    streams = await audit.shards(dsn)
    for wanted in (stream, kept[0] if kept else ""):
        if wanted and wanted not in streams:
            raise CommandError(f"there is no stream {wanted}")
    rows = []
    for shard in [stream] if stream else streams:
        seen = audit.Audited()
        here = (kept[1], kept[2]) if kept and kept[0] == shard else None
        first: list[str] = []
        count = 0
        async for problem in audit.verify(dsn, shard, here, seen):
            count += 1
            if len(first) < PROBLEMS_SHOWN_MAX:
                first.append(problem)
        rows.append(
            {
                "stream": shard,
                "events": seen.events,
                "last_seq": seen.last_seq,
                "last_hash": seen.last_hash.hex(),
                "problems": count,
                "first_problems": first,
            }
        )
    return rows


@app.command
def log(
    *,
    order: Annotated[str, Parameter(help="Only events of this order, in all streams.")] = "",
    account: Annotated[str, Parameter(help="Only events of this account.")] = "",
    stream: Annotated[str, Parameter(help="Only this stream.")] = "",
    limit: Annotated[int, Parameter(help="At most so many, the latest.")] = 50,
    answer: Answer = PLAIN,
) -> int:
    """Show stored events in the order they happened, the latest last."""
    if limit < 1:
        raise CommandError("--limit is at least 1", USAGE)
    filters = {"order_id": order, "account_id": account, "shard": stream}
    with database(answer.directory, "trading") as dsn:
        rows = _events(dsn, {name: value for name, value in filters.items() if value}, limit)
    if order and not rows:
        raise CommandError(f"no event of order {order}")
    print_rows(rows, _EVENTS, as_json=answer.json, empty="no events")
    return OK


def _events(dsn: str, filters: dict[str, str], limit: int) -> list[dict[str, Any]]:
    conditions = [f"{name} = %({name})s" for name in filters] or ["true"]
    query = (
        "SELECT shard, seq, event_time, event_type, account_id, symbol, order_id, cause,"  # noqa: S608
        f" payload::text FROM order_events WHERE {' AND '.join(conditions)}"
        " ORDER BY event_time DESC, shard DESC, seq DESC LIMIT %(limit)s"
    )
    try:
        with psycopg.connect(
            dsn, connect_timeout=CONNECT_TIMEOUT_S, row_factory=dict_row
        ) as connection:
            rows = connection.execute(query, {**filters, "limit": limit}).fetchall()
    except psycopg.Error as error:
        raise CommandError(f"the event store does not answer: {error}", UNREACHABLE) from None
    told = in_order(list(reversed(rows)))
    return [row | {"event_time": row["event_time"].isoformat()} for row in told]


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of several streams by time, but none before the one that caused it.

    Events of one command have the same time in all streams.
    """
    streams: dict[str, deque[dict[str, Any]]] = {}
    for row in rows:
        streams.setdefault(row["shard"], deque()).append(row)
    waiting = {_place(row) for row in rows}
    told: list[dict[str, Any]] = []
    while waiting:
        heads = sorted((each[0] for each in streams.values() if each), key=_when)
        ready = next((each for each in heads if each["cause"] not in waiting), heads[0])
        waiting.discard(_place(ready))
        told.append(streams[ready["shard"]].popleft())
    return told


def _place(row: dict[str, Any]) -> str:
    return f"{row['shard']}:{row['seq']}"


def _when(row: dict[str, Any]) -> tuple[Any, str]:
    return row["event_time"], row["shard"]
