"""The five ports between stages and world; one contract suite per port runs on all adapters."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from nexustrade.core.codec import Message


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since 1970-01-01 UTC; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that long, or at once when it is not above 0."""
        ...


class LogEntry(NamedTuple):
    """One published event: (source stream, seq) identifies it for ever."""

    shard: str
    seq: int
    ts_us: int
    cause: str
    event: Message
    payload: bytes = b""
    """The event's canonical JSON where it is known already, so that it is not encoded twice."""


class Log(Protocol):
    """Ordered, at-least-once delivery of committed events, per source stream."""

    async def publish(self, topic: str, entries: Sequence[LogEntry]) -> None:
        """Hand on events that are durable; returns when every present subscriber has them."""
        ...

    async def subscribe(
        self, topic: str, receive: Callable[[Sequence[LogEntry]], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Call `receive` with each batch from now on; the returned function ends it.

        Batches of a stream come in order, and may come again; the receiver drops what it has.
        """
        ...


class StoredEvent(NamedTuple):
    """One row of the event store: the event's canonical JSON with its place and its hash."""

    shard: str
    seq: int
    ts_us: int
    event_type: str
    cause: str
    payload: bytes
    prev_hash: bytes
    hash: bytes
    event: Message | None = None
    """The event itself, when it is about to be appended: the store takes its columns from it."""


class Append(NamedTuple):
    """New events of one stream, numbered from `last_seq + 1` without gaps."""

    shard: str
    epoch: int
    last_seq: int
    events: Sequence[StoredEvent]


class ShardState(NamedTuple):
    """The row of one stream: its head and its fence."""

    shard: str
    last_seq: int
    last_ts_us: int
    epoch: int
    role: str
    last_hash: bytes


class Snapshot(NamedTuple):
    """A stage's state (`Stage.dump`) right after event `seq`, with the chain's hash there."""

    shard: str
    seq: int
    ts_us: int
    last_hash: bytes
    state: bytes


class CommitUnknown(Exception):
    """A commit was sent and no answer came: only reading the streams back tells."""


class Commands(Protocol):
    """The runtime as its clients see it; not a port, since there is only one runtime."""

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        """Run a command and return its stage's events, durable; the first is the answer.

        Raises `StoreUnavailable` or `Overloaded` (refused, nothing kept) and `OutcomeUnknown`.
        """
        ...


class EventStore(Protocol):
    """Append-only streams with one writer each, input watermarks and snapshots.

    Every method raises `StoreUnavailable` when the store is away and nothing was done, and
    `append` raises `CommitUnknown` when the outcome cannot be told, `Fenced` when another owner
    has the stream.
    """

    async def claim(self, shard: str) -> ShardState:
        """Become the owner of a stream (made when new): its epoch rises and fences older ones."""
        ...

    async def head(self, shard: str) -> ShardState:
        """The stream's row as it is now."""
        ...

    async def append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        """Append to any number of streams and set watermarks, all in one transaction or not at all.

        `watermarks`: (consumer stream, source stream) -> highest source seq applied.
        """
        ...

    def read(
        self, shard: str, after_seq: int, upto_seq: int | None = None
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        """The events of a stream after `after_seq`, in order, in bounded batches."""
        ...

    async def watermarks(self, consumer: str) -> dict[str, int]:
        """Source stream -> highest seq the consumer has applied."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; all but the newest two of a stream go."""
        ...

    async def latest_snapshot(self, shard: str) -> Snapshot | None:
        """The newest snapshot of a stream, or None."""
        ...

    async def close(self) -> None:
        """Give up all connections."""
        ...


class Lease(NamedTuple):
    """A lease on a key: only its token can release it; it ends by itself after its time."""

    key: str
    token: str


class Cache(Protocol):
    """Values with a time to live, and leases."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes, ttl_ms: int) -> None: ...

    async def delete(self, key: str) -> None: ...

    async def acquire(self, key: str, ttl_ms: int) -> Lease | None:
        """The lease, or None when somebody holds it."""
        ...

    async def release(self, lease: Lease) -> bool:
        """Give the lease back; False when it was no longer ours."""
        ...


class Instance(NamedTuple):
    """One running instance of a service."""

    service: str
    instance_id: str
    address: str


class Directory(Protocol):
    """Who runs where, who leads what, and settings that can change while running."""

    async def register(self, instance: Instance) -> None: ...

    async def deregister(self, instance_id: str) -> None: ...

    async def find(self, service: str) -> Sequence[Instance]: ...

    async def lock(self, name: str, owner: str) -> bool:
        """Take or keep the lock; False when another owner has it."""
        ...

    async def unlock(self, name: str, owner: str) -> None: ...

    async def setting(self, key: str) -> str | None: ...

    async def put_setting(self, key: str, value: str) -> None: ...

    def watch(self, key: str) -> AsyncIterator[str | None]:
        """The value now, then each later one as it changes."""
        ...
