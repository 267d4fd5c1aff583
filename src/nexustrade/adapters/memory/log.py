"""The `Log` port in one process: batches handed to the subscribers, encoded on the way.

Every entry is encoded and decoded, so that a message that would not survive a real log does not
survive this one; and batches can be delivered again, as a real log may.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nexustrade.core.codec import decode, encode
from nexustrade.core.errors import Overloaded
from nexustrade.kernel.ports import LogEntry

BATCH_LEN_MAX: Final = 1_000
"""Most entries handed over in one call."""
KEPT_LEN_MAX: Final = 10_000
"""Most entries of a topic kept for redelivery."""
SUBSCRIBERS_MAX: Final = 1_000
"""Most subscribers of a topic."""

Receive = Callable[[Sequence[LogEntry]], Awaitable[None]]


class Topic:
    """The subscribers of one topic, and its latest entries."""

    def __init__(self, kept_len_max: int) -> None:
        self.turn = asyncio.Lock()
        self.subscribers: list[Receive] = []
        self.kept: deque[LogEntry] = deque(maxlen=kept_len_max)
        self.batches = 0


class MemoryLog:
    """Delivers each batch to every subscriber before `publish` returns.

    `redeliver_every` = n delivers each n-th batch twice (0: never). A subscriber must not wait
    for a publication to its own topic. When one fails, the others still get the batch, and
    `publish` raises what it raised.
    """

    def __init__(self, redeliver_every: int = 0, kept_len_max: int = 0) -> None:
        self._redeliver_every = redeliver_every
        self._kept_len_max = min(kept_len_max, KEPT_LEN_MAX)
        self._topics: dict[str, Topic] = {}

    async def publish(self, topic: str, entries: Sequence[LogEntry]) -> None:
        """Hand on events that are durable; returns when every present subscriber has them."""
        at = self._topic(topic)
        async with at.turn:
            for start in range(0, len(entries), BATCH_LEN_MAX):
                batch = [_carried(entry) for entry in entries[start : start + BATCH_LEN_MAX]]
                at.kept.extend(batch)
                at.batches += 1
                await _deliver(at, batch)
                if self._redeliver_every and at.batches % self._redeliver_every == 0:
                    await _deliver(at, batch)

    async def subscribe(self, topic: str, receive: Receive) -> Callable[[], Awaitable[None]]:
        """Call `receive` with each batch from now on; the returned function ends it."""
        at = self._topic(topic)
        if len(at.subscribers) >= SUBSCRIBERS_MAX:
            raise Overloaded(f"topic {topic} has {SUBSCRIBERS_MAX} subscribers already")

        # A subscriber of its own, so that the same function can subscribe twice.
        async def subscriber(batch: Sequence[LogEntry]) -> None:
            await receive(batch)

        at.subscribers.append(subscriber)

        async def end() -> None:
            if subscriber in at.subscribers:
                at.subscribers.remove(subscriber)

        return end

    async def redeliver(self, topic: str, last: int) -> None:
        """Deliver the latest `last` entries once more, of those that `kept_len_max` kept."""
        at = self._topic(topic)
        async with at.turn:
            again = list(at.kept)[-last:] if last > 0 else []
            for start in range(0, len(again), BATCH_LEN_MAX):
                await _deliver(at, again[start : start + BATCH_LEN_MAX])

    def _topic(self, name: str) -> Topic:
        at = self._topics.get(name)
        if at is None:
            at = self._topics[name] = Topic(self._kept_len_max)
        return at


async def _deliver(topic: Topic, batch: Sequence[LogEntry]) -> None:
    failure: Exception | None = None
    for receive in tuple(topic.subscribers):
        try:
            await receive(batch)
        except Exception as error:  # noqa: BLE001 - the other subscribers come first
            failure = failure or error
    if failure is not None:
        raise failure


def _carried(entry: LogEntry) -> LogEntry:
    """The entry as it comes out at the far end of a log."""
    payload = entry.payload or encode(entry.event)
    event = decode(type(entry.event).__name__, payload)
    return LogEntry(entry.shard, entry.seq, entry.ts_us, entry.cause, event, payload)
