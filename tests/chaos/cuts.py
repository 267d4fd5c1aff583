"""Where the streams of a venue may end when its stages live in different places.

There each stage commits for itself: its stream ends between two of its inputs, and another's may
end earlier or later, as long as nothing is there whose cause is not. Which inputs a stage has
taken is in its watermarks, which are committed with its events.
"""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nexustrade.adapters.memory.event_store import MemoryDatabase
from nexustrade.kernel.ports import StoredEvent
from tests.chaos.sittings import Rows, copied

Cut = dict[str, int]
"""How many events of each stream are there."""


class Span(NamedTuple):
    """Two moments of a life: each stream is cut at the first, at the last, or between."""

    before: MemoryDatabase
    after: MemoryDatabase


def heads(database: MemoryDatabase) -> Cut:
    """How long the streams of a database are."""
    return {shard: len(rows) for shard, rows in database.rows.items()}


def consistent(span: Span) -> Iterator[Cut]:
    """Every way in which the streams may end between two moments, those two included."""
    ends = _all_ends(span)
    for lengths in itertools.product(*ends.values()):
        cut = dict(zip(ends, lengths, strict=True))
        if _is_consistent(span.after.rows, cut):
            yield cut


def some(span: Span, chance: random.Random, tries: int) -> Iterator[Cut]:
    """Some of those, where there are too many: as many as are found in so many tries."""
    ends = _all_ends(span)
    for _ in range(tries):
        cut = {shard: chance.choice(each) for shard, each in ends.items()}
        if _is_consistent(span.after.rows, cut):
            yield cut


def _all_ends(span: Span) -> dict[str, list[int]]:
    rows = span.after.rows
    return {shard: _ends(rows[shard], len(span.before.rows[shard])) for shard in rows}


def _is_consistent(rows: Rows, cut: Cut) -> bool:
    return all(_causes_kept(rows[shard], cut, shard) for shard in cut)


def _ends(rows: list[StoredEvent], first: int) -> list[int]:
    """Where a stream may end from `first` on: never inside of what one input led to."""
    inside = [at for at in range(first + 1, len(rows)) if rows[at].cause == rows[at - 1].cause]
    return [at for at in range(first, len(rows) + 1) if at not in inside]


def _causes_kept(rows: list[StoredEvent], cut: Cut, shard: str) -> bool:
    for row in rows[: cut[shard]]:
        source, _, seq = row.cause.partition(":")
        if seq and cut[source] < int(seq):
            return False
    return True


def database_at(span: Span, cut: Cut, taken: Mapping[str, Cut]) -> MemoryDatabase:
    """The database that a kill has left behind.

    `taken` says of each stream how far it had taken the others for sure, when its last step began;
    beyond, it has taken what has led to its own events.
    """
    database = copied(span.after)
    database.rows = {shard: rows[: cut[shard]] for shard, rows in span.after.rows.items()}
    database.marks = {}
    database.snapshots = {}
    for shard, rows in database.rows.items():
        last = rows[-1]
        database.shards[shard] = database.shards[shard]._replace(
            last_seq=last.seq, last_ts_us=last.ts_us, last_hash=last.hash
        )
        for source in database.rows:
            if source != shard:
                mark = min(taken[shard][source], cut[source])
                database.marks[shard, source] = max(mark, _last_taken(rows, source))
    kept = _client_ids(database.rows)
    ids = span.after.cl_ord_ids
    database.cl_ord_ids = {pair: at for pair, at in ids.items() if at[1] in kept}
    return database


def _last_taken(rows: list[StoredEvent], source: str) -> int:
    """The last event of another stream that has led to an event of this one."""
    causes = [row.cause.partition(":") for row in rows]
    return max((int(seq) for shard, _, seq in causes if seq and shard == source), default=0)


def _client_ids(rows: Rows) -> str:
    """All that was accepted, as one text: an order's id is in it when the order is there."""
    kinds = ("OrderAccepted", "GroupAccepted", "ReplaceRequested")
    return " ".join(
        row.payload.decode() for each in rows.values() for row in each if row.event_type in kinds
    )
