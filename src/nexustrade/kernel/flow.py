"""Carries a message through the stage partitions hosted together, to its last effect.

An output for a partition hosted here is run at once, until nothing is left; what is for another
place is left to the log. Pure: what is new is collected, for the runtime to commit.
"""

from typing import Any

from nexustrade.core.codec import Message
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage


class Takers:
    """Who takes the messages of a class, where that depends on nothing else about them."""

    def __init__(self, name: str, stages: list[Stage]) -> None:
        self.name = name
        self.stages = stages


class Flow:
    """The stage partitions of one process. `events` are all new ones, in the order they arose."""

    def __init__(self, stages: dict[str, Stage], routing: Routing) -> None:
        self.stages = stages
        self.routing = routing
        self.events: list[Recorded] = []
        # By class of message; with one partition of each stage soon every class is here.
        self._command_takers: dict[Any, Takers] = {}
        self._event_takers: dict[Any, Takers] = {}

    def run(self, command: Message, now_us: int) -> list[Recorded]:
        """Run a command to its last effect; returns the events of the stages that took it.

        Those that followed are among them: a client hears what became of its command in the book.
        """
        takers = self._command_takers.get(type(command))
        if takers is None:
            takers = self._takers_of_command(command)
        events = self.events
        start = len(events)
        for stage in takers.stages:
            first = len(events)
            stage.take_into(events, command, now_us, takers.name)
            self._follow(first, now_us)
        if len(takers.stages) == 1:
            shard = takers.stages[0].shard
            return [recorded for recorded in events[start:] if recorded.shard == shard]
        shards = [stage.shard for stage in takers.stages]
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
        known = self._event_takers
        while at < len(events):
            recorded = events[at]
            at += 1
            event = recorded.event
            takers = known.get(type(event))
            if takers is None:
                takers = self._takers_of_event(event)
            if takers.stages:
                cause = f"{recorded.shard}:{recorded.seq}"
                for stage in takers.stages:
                    stage.take_into(events, event, now_us, cause)

    def _takers_of_command(self, command: Message) -> Takers:
        stages = [self.stages[shard] for shard in self.routing.command(command)]
        takers = Takers(type(command).__name__, stages)
        if self.routing.is_fixed(type(command)):
            self._command_takers[type(command)] = takers
        return takers

    def _takers_of_event(self, event: Message) -> Takers:
        hosted = [shard for shard in self.routing.event(event) if shard in self.stages]
        takers = Takers(type(event).__name__, [self.stages[shard] for shard in hosted])
        if self.routing.is_fixed(type(event)):
            self._event_takers[type(event)] = takers
        return takers
