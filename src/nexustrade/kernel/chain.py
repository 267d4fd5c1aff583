"""The hash chain that makes a stream tamper-evident: each event's hash covers the one before it.

Anybody who holds the hash of one event can prove that nothing up to it was changed, removed,
added or moved since. The chain starts at `GENESIS`, and a stream's head hash is the whole stream's.
"""

from hashlib import sha256
from typing import Final

from nexustrade.core.codec import Message, encode
from nexustrade.kernel.ports import StoredEvent
from nexustrade.kernel.stage import Recorded

GENESIS: Final = bytes(32)
"""What the first event of a stream is linked to."""


def link(
    prev_hash: bytes,
    shard: str,
    seq: int,
    ts_us: int,
    event_type: str,
    cause: str,
    payload: bytes,
) -> bytes:
    """The hash of an event: 32 bytes over the one before, its place, its time and its content."""
    place = f"{shard}\x1f{seq}\x1f{ts_us}\x1f{event_type}\x1f{cause}\x1f"
    return sha256(prev_hash + place.encode() + payload).digest()


def seal(
    prev_hash: bytes, shard: str, seq: int, ts_us: int, cause: str, event: Message
) -> StoredEvent:
    """The event as the store keeps it: encoded, and linked to the one before it."""
    event_type = type(event).__name__
    payload = encode(event)
    linked = link(prev_hash, shard, seq, ts_us, event_type, cause, payload)
    return StoredEvent(shard, seq, ts_us, event_type, cause, payload, prev_hash, linked, event)


def seal_all(prev_hash: bytes, shard: str, recorded: list[Recorded]) -> list[StoredEvent]:
    """New events of a stream, in order, encoded and each linked to the one before it."""
    rows: list[StoredEvent] = []
    for r in recorded:
        row = seal(prev_hash, shard, r.seq, r.ts_us, r.cause, r.event)
        prev_hash = row.hash
        rows.append(row)
    return rows


class ChainCheck:
    """Walks a stream from its first event and names every break of order, time or chain.

    After a break it goes on from what is stored, so that one changed row is one finding and not
    one for each row after it.
    """

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.seq: int = 0
        self.ts_us: int = 0
        self.last_hash: bytes = GENESIS

    def problems(self, row: StoredEvent) -> list[str]:
        """What is wrong with the next row of the stream; nothing, most of the time."""
        found: list[str] = []
        if row.shard != self.shard:
            found.append(f"is in stream {row.shard}")
        if row.seq != self.seq + 1:
            found.append(f"follows event {self.seq}")
        if row.ts_us <= self.ts_us:
            found.append(f"its time {row.ts_us} is not after {self.ts_us}")
        if row.prev_hash != self.last_hash:
            found.append("is not linked to the event before it")
        content = link(
            row.prev_hash, row.shard, row.seq, row.ts_us, row.event_type, row.cause, row.payload
        )
        if row.hash != content:
            found.append("its content does not match its hash")
        self.seq = row.seq
        self.ts_us = row.ts_us
        self.last_hash = row.hash
        return found

    def head_problems(self, last_seq: int, last_ts_us: int, last_hash: bytes) -> list[str]:
        """What does not fit between the last row walked and the stream's head."""
        found: list[str] = []
        if last_seq != self.seq:
            found.append(f"the head says event {last_seq}, the last is {self.seq}")
        elif last_ts_us != self.ts_us:
            found.append("the head's time is not the last event's")
        if last_seq == self.seq and last_hash != self.last_hash:
            found.append("the head's hash is not the last event's")
        return found
