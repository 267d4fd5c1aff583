"""Carries a message through the stage partitions hosted together, to its last effect.

An output for a partition hosted here is run at once, until nothing is left; what is for another
place is left to the log. Pure: what is new is collected, for the runtime to commit.
"""

from nexustrade.core.codec import Message
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage


class Flow:
    """The stage partitions of one process. `events` are all new ones, in the order they arose."""

    def __init__(self, stages: dict[str, Stage], routing: Routing) -> None:
        self.stages = stages
        self.routing = routing
        self.events: list[Recorded] = []

    def run(self, command: Message, now_us: int) -> list[Recorded]:
        """Run a command to its last effect; returns the events of the stages that took it.

        Those that followed are among them: a client hears what became of its command in the book.
        """
        events = self.events
        start = len(events)
        cause = type(command).__name__
        shards = self.routing.command(command)
        for shard in shards:
            first = len(events)
            self.stages[shard].take_into(events, command, now_us, cause)
            self._follow(first, now_us)
        return [recorded for recorded in events[start:] if recorded.shard in shards]

    def deliver(self, target: str, source: str, seq: int, event: Message, now_us: int) -> None:
        """Run one event that a partition has missed; what it leads to waits for `follow`."""
        self.stages[target].take_into(self.events, event, now_us, f"{source}:{seq}")

    def follow(self, now_us: int) -> None:
        """Run whatever follows from the events that were delivered.

        Call it once all are: no partition takes a newer event of a stream before one it has missed.
        """
        self._follow(0, now_us)

    def collect(self) -> dict[str, list[Recorded]]:
        """All new events by stream, which are then no longer kept here."""
        streams: dict[str, list[Recorded]] = {}
        for recorded in self.events:
            shard = recorded.shard
            stream = streams.get(shard)
            if stream is None:
                stream = []
                streams[shard] = stream
            stream.append(recorded)
        self.events = []
        return streams

    def _follow(self, at: int, now_us: int) -> None:
        """Hand each new event to the partitions that take it; what that brings comes after."""
        events = self.events
        while at < len(events):
            recorded = events[at]
            at += 1
            for target in self.routing.event(recorded.event):
                stage = self.stages.get(target)
                if stage is not None:
                    cause = f"{recorded.shard}:{recorded.seq}"
                    stage.take_into(events, recorded.event, now_us, cause)
