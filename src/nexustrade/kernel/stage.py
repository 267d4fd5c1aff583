"""What every stage is: a deterministic state machine that owns one stream of events.

`decide(message, now)` never changes state by hand: it emits events, and each is applied at once.
Replay calls `apply` on the stored events, so that live and replayed state are equal by
construction. The base keeps the stream's numbers and times.
"""

from mypy_extensions import mypyc_attr

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError


@mypyc_attr(acyclic=True)
class Recorded:
    """One event of a stream: its number, its time (microseconds) and what caused it.

    Nothing it holds can lead back to it, so the garbage collector need not look at it (`acyclic`).
    """

    def __init__(self, shard: str, seq: int, ts_us: int, cause: str, event: Message) -> None:
        self.shard = shard
        self.seq = seq
        self.ts_us = ts_us
        self.cause = cause
        self.event = event


class Stage:
    """Base of the stages. A subclass gives `decide`, `apply`, `dump` and `load`."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.seq: int = 0
        self.ts_us: int = 0
        self.emitted: list[Recorded] = []
        self._now_us: int = 0
        self._cause: str = ""

    def take(self, message: Message, now_us: int, cause: str) -> list[Recorded]:
        """Decide on one message and return the events it led to, already applied."""
        events: list[Recorded] = []
        self.take_into(events, message, now_us, cause)
        return events

    def take_into(self, events: list[Recorded], message: Message, now_us: int, cause: str) -> None:
        """As `take`, but the events are added to a list."""
        self._now_us = now_us
        self._cause = cause
        self.emitted = events
        self.decide(message)

    def emit(self, event: Message) -> None:
        """Number and time an event, strictly after the one before, and apply it."""
        self.apply(event, self.record(event))

    def record(self, event: Message) -> int:
        """Number and time an event; the caller applies it at once, with the time returned.

        For frequent events: what the event was just made of is at hand, and is given to the
        function that `apply` calls with the same values read from the event.
        """
        ts_us = self.ts_us + 1
        if self._now_us > ts_us:
            ts_us = self._now_us
        seq = self.seq + 1
        self.seq = seq
        self.ts_us = ts_us
        self.emitted.append(Recorded(self.shard, seq, ts_us, self._cause, event))
        self.pass_time(ts_us)
        return ts_us

    def replay(self, seq: int, ts_us: int, event: Message) -> None:
        """Fold a stored event: the next of the stream, or a broken invariant."""
        if seq != self.seq + 1:
            raise InvariantError(f"{self.shard}: event {seq} does not follow {self.seq}")
        if ts_us <= self.ts_us:
            raise InvariantError(f"{self.shard}: time of event {seq} does not rise")
        self.seq = seq
        self.ts_us = ts_us
        self.pass_time(ts_us)
        self.apply(event, ts_us)

    def pass_time(self, ts_us: int) -> None:
        """What changes by time alone, before the event of that time is applied."""

    def decide(self, message: Message) -> None:
        """Emit the events that follow from a message."""
        raise NotImplementedError

    def apply(self, event: Message, ts_us: int) -> None:
        """Change the state as the event says; the only place where state changes."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """The whole state as canonical JSON: equal states give equal bytes."""
        raise NotImplementedError

    def load(self, state: bytes, seq: int, ts_us: int) -> None:
        """Take on a state that `dump` gave at `seq`."""
        raise NotImplementedError

    def verify(self) -> None:
        """Check every invariant of the state; `InvariantError` when one is broken."""
        raise NotImplementedError
