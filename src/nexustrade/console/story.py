"""Stored events as a story: in the order of cause and effect, numbered. Pure.

Every stream keeps its own order. Between streams an event follows at once what caused it: a trade,
the maker's fill, the taker's, what it does to a group, what that frees; then the next trade.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nexustrade.console.words import Words
from nexustrade.core.terms import MAKER
from nexustrade.core.time import rfc3339
from nexustrade.kernel.ports import LogEntry
from nexustrade.orders.messages import OrderFilled, ReservationChanged


class Told(NamedTuple):
    """One event of the story. `by` is the number of the event that caused it, 0 for none of them.

    `cause` is that event's place, or the command that was given. `depth` counts causes before it.
    """

    number: int
    by: int
    depth: int
    cause: str
    entry: LogEntry
    words: str


def place(entry: LogEntry) -> str:
    """Where an event is stored: its stream and number."""
    return f"{entry.shard}:{entry.seq}"


def cause_of(entry: LogEntry) -> str:
    """What caused an event: what it says itself, else the message that its stage was handed."""
    return getattr(entry.event, "cause", "") or entry.cause


def tell(entries: Iterable[LogEntry]) -> list[Told]:
    """All events in the order of cause and effect, numbered, in words."""
    told: list[Told] = []
    numbers: dict[str, int] = {}
    words = Words()
    for entry in in_order(entries):
        cause = cause_of(entry)
        by = numbers.get(cause, 0)
        number = len(told) + 1
        depth = told[by - 1].depth + 1 if by else 0
        told.append(Told(number, by, depth, cause, entry, words.of(entry.event)))
        numbers[place(entry)] = number
    return told


# ---------------------------------------------------------------- order


def in_order(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Depth-first by cause, but no stream out of its own order.

    Times of different streams are no order: they only tell which command came first.
    """
    known = {place(entry): entry for entry in entries}
    streams: dict[str, deque[LogEntry]] = {}
    for entry in sorted(known.values(), key=_position):
        streams.setdefault(entry.shard, deque()).append(entry)
    told: dict[str, int] = {}
    found: list[LogEntry] = []
    command = ""
    while len(found) < len(known):
        heads = [stream[0] for stream in streams.values() if stream]
        ready = [one for one in heads if _caused(one, known, told)] or heads
        following = [one for one in ready if _command(one, known) == command]
        chosen = min(following, key=_Nearest(told)) if following else min(ready, key=_time)
        command = _command(chosen, known)
        told[place(chosen)] = len(found)
        found.append(chosen)
        streams[chosen.shard].popleft()
    return found


class _Nearest:
    """The effect of what was told last comes first.

    Of several: fills, then what else the orders stages say of it, what it does to the group, and
    what that frees.
    """

    def __init__(self, told: dict[str, int]) -> None:
        self._told = told

    def __call__(self, entry: LogEntry) -> tuple[int, int, int]:
        return -self._told.get(cause_of(entry), -1), _rank(entry), entry.seq


def _rank(entry: LogEntry) -> int:
    event = entry.event
    if isinstance(event, OrderFilled):
        return 0 if event.liquidity == MAKER else 1
    if isinstance(event, ReservationChanged):
        return 4
    return 2 if entry.shard.startswith("orders-") else 3


def _position(entry: LogEntry) -> tuple[str, int]:
    return entry.shard, entry.seq


def _time(entry: LogEntry) -> tuple[int, str]:
    return entry.ts_us, entry.shard


def _caused(entry: LogEntry, known: dict[str, LogEntry], told: dict[str, int]) -> bool:
    """Whether all that an event follows from is told."""
    return all(cause not in known or cause in told for cause in (entry.cause, cause_of(entry)))


def _command(entry: LogEntry, known: dict[str, LogEntry]) -> str:
    """The place of the first event of the command that an event belongs to."""
    seen = {place(entry)}
    while (before := known.get(entry.cause)) is not None and place(before) not in seen:
        entry = before
        seen.add(place(entry))
    return place(entry)


# ---------------------------------------------------------------- lines


def lines(told: Sequence[Told]) -> list[dict[str, Any]]:
    """The story as rows: what a table shows, and JSON lines without the message itself."""
    return [
        {
            "number": one.number,
            "time": rfc3339(one.entry.ts_us),
            "at": place(one.entry),
            "by": one.by or None,
            "cause": one.cause,
            "depth": one.depth,
            "event": type(one.entry.event).__name__,
            "words": one.words,
        }
        for one in told
    ]
