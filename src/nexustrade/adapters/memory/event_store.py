"""The `EventStore` port in memory, for tests: same promises as PostgreSQL, faults on demand.

Nothing survives the process. What is kept is what a database would keep: encoded rows.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from typing import Final

from nexustrade.core.errors import Fenced, StoreUnavailable, check
from nexustrade.kernel.chain import GENESIS
from nexustrade.kernel.ports import Append, CommitUnknown, ShardState, Snapshot, StoredEvent

READ_LEN_MAX: Final = 5_000
"""Most events of one batch that `read` gives."""
SNAPSHOTS_KEPT: Final = 2
"""Snapshots kept of each stream."""
FAULTS_MAX: Final = 1_000
"""Most faults that may wait for their turn."""

Pair = tuple[str, str]


class Fault(Enum):
    """What goes wrong with the next append."""

    UNAVAILABLE = "the store is away; nothing is kept"
    UNKNOWN_APPLIED = "the answer is lost, after the commit"
    UNKNOWN_LOST = "the answer is lost, and so is the commit"


class MemoryDatabase:
    """What several `MemoryEventStore`s may share, as processes share a database."""

    def __init__(self) -> None:
        self.rows: dict[str, list[StoredEvent]] = {}
        self.shards: dict[str, ShardState] = {}
        self.marks: dict[Pair, int] = {}
        self.snapshots: dict[str, list[Snapshot]] = {}
        self.owners: dict[str, MemoryEventStore] = {}
        self.cl_ord_ids: dict[Pair, tuple[int, str]] = {}


class MemoryEventStore:
    """Streams in memory. `faults` are used up one per append; while `down`, nothing works."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = database or MemoryDatabase()
        self.down = False
        self.faults: deque[Fault] = deque(maxlen=FAULTS_MAX)
        self._closed = False

    async def claim(self, shard: str) -> ShardState:
        """Become the owner of a stream (made when new): its epoch rises, older owners are fenced.

        `Fenced` while another store has it and is not closed.
        """
        self._up()
        owner = self.database.owners.get(shard)
        if owner is not None and owner is not self:
            raise Fenced(f"stream {shard} is owned by another running venue")
        old = self.database.shards.get(shard) or ShardState(shard, 0, 0, 0, "primary", GENESIS)
        if old.role != "primary":
            raise Fenced(f"stream {shard} has the role {old.role} in this database")
        self.database.owners[shard] = self
        self.database.shards[shard] = old._replace(epoch=old.epoch + 1)
        return self.database.shards[shard]

    async def head(self, shard: str) -> ShardState:
        """The stream's row as it is now; epoch 0 and no role when there is none."""
        self._up()
        return self.database.shards.get(shard) or ShardState(shard, 0, 0, 0, "", GENESIS)

    async def append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        """Append to any number of streams and set watermarks, all at once or not at all."""
        self._up()
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.UNAVAILABLE:
            raise StoreUnavailable(fault.value)
        for append in appends:
            self._check(append)
        if fault is not Fault.UNKNOWN_LOST:
            for append in appends:
                self._keep(append)
            self.database.marks.update(watermarks)
        if fault is not None:
            raise CommitUnknown(fault.value)

    async def read(
        self, shard: str, after_seq: int, upto_seq: int | None = None
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        """The events of a stream after `after_seq`, in order, in batches of `READ_LEN_MAX`."""
        self._up()
        rows = self.database.rows.get(shard, [])
        end = len(rows) if upto_seq is None else min(upto_seq, len(rows))
        for start in range(after_seq, end, READ_LEN_MAX):
            self._up()
            yield rows[start : min(start + READ_LEN_MAX, end)]

    async def watermarks(self, consumer: str) -> dict[str, int]:
        """Source stream -> highest seq the consumer has applied."""
        self._up()
        marks = self.database.marks.items()
        return {source: seq for (owner, source), seq in marks if owner == consumer}

    async def find_cl_ord_ids(self, pairs: Sequence[Pair], since_us: int) -> dict[Pair, str]:
        """(account_id, cl_ord_id) -> order_id of those used since `since_us`."""
        self._up()
        used = self.database.cl_ord_ids
        return {pair: used[pair][1] for pair in pairs if pair in used and used[pair][0] >= since_us}

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; all but the newest two of a stream go."""
        self._up()
        kept = self.database.snapshots.get(snapshot.shard, [])
        kept = [one for one in kept if one.seq != snapshot.seq] + [snapshot]
        kept.sort(key=lambda one: one.seq)
        self.database.snapshots[snapshot.shard] = kept[-SNAPSHOTS_KEPT:]

    async def latest_snapshot(self, shard: str) -> Snapshot | None:
        """The newest snapshot of a stream, or None."""
        self._up()
        kept = self.database.snapshots.get(shard)
        return kept[-1] if kept else None

    async def close(self) -> None:
        """Give up all streams; the rows stay in the database."""
        self._closed = True
        owners = self.database.owners
        for shard in [shard for shard, owner in owners.items() if owner is self]:
            del owners[shard]

    def _up(self) -> None:
        if self.down or self._closed:
            raise StoreUnavailable("the store is down" if self.down else "the store is closed")

    def _check(self, append: Append) -> None:
        row = self.database.shards.get(append.shard)
        if row is None or row[1:2] + row[3:5] != (append.last_seq, append.epoch, "primary"):
            raise Fenced(f"stream {append.shard}: another owner has taken over")
        seq = append.last_seq
        for event in append.events:
            seq += 1
            check(
                event.seq == seq and event.shard == append.shard,
                f"{append.shard}: event {event.seq} of {event.shard} is appended as {seq}",
            )

    def _keep(self, append: Append) -> None:
        if not append.events:
            return
        rows = self.database.rows.setdefault(append.shard, [])
        for stored in append.events:
            rows.append(stored._replace(event=None))
            for cl_ord_id, order_id in _client_ids(stored):
                pair = (getattr(stored.event, "account_id", ""), getattr(stored.event, cl_ord_id))
                # A leg that is not wanted adds an empty id, which nobody looks up.
                self.database.cl_ord_ids[pair] = (stored.ts_us, getattr(stored.event, order_id))
        last = append.events[-1]
        row = self.database.shards[append.shard]
        self.database.shards[append.shard] = row._replace(
            last_seq=last.seq, last_ts_us=last.ts_us, last_hash=last.hash
        )


def _client_ids(stored: StoredEvent) -> tuple[Pair, ...]:
    """Where an event has client order ids, and the ids of their orders."""
    if stored.event_type == "GroupAccepted":
        return (
            ("cl_ord_id", "group_id"),
            ("tp_cl_ord_id", "tp_order_id"),
            ("sl_cl_ord_id", "sl_order_id"),
        )
    if stored.event_type in ("OrderAccepted", "ReplaceRequested"):
        return (("cl_ord_id", "order_id"),)
    return ()
