"""Carries a message through the stage partitions hosted together, to its last effect.

An output for a partition hosted here is run at once, until nothing is left; what is for another
place is left to the log. Pure: what is new is collected, for the runtime to commit.
"""

from nexustrade.core.codec import Message
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage


class Effect:
    """An event with its stream."""

    def __init__(self, shard: str, recorded: Recorded) -> None:
        self.shard = shard
        self.recorded = recorded


class Flow:
    """The stage partitions of one process. `effects` are all new events, in the order they arose."""

    def __init__(self, stages: dict[str, Stage], routing: Routing) -> None:
        self.stages = stages
        self.routing = routing
        self.effects: list[Effect] = []

    def run(self, command: Message, now_us: int) -> list[Effect]:
        """Run a command to its last effect; returns the events of the stages that took it."""
        answer: list[Effect] = []
        cause = type(command).__name__
        for shard in self.routing.command(command):
            first = len(self.effects)
            self._take(shard, command, now_us, cause)
            answer.extend(self.effects[first:])
            self._follow(first, now_us)
        return answer

    def deliver(self, target: str, source: str, seq: int, event: Message, now_us: int) -> None:
        """Run one event that a partition has missed, and whatever it leads to."""
        first = len(self.effects)
        self._take(target, event, now_us, f"{source}:{seq}")
        self._follow(first, now_us)

    def collect(self) -> dict[str, list[Recorded]]:
        """All new events by stream, which are then no longer kept here."""
        streams: dict[str, list[Recorded]] = {}
        for effect in self.effects:
            shard = effect.shard
            stream = streams.get(shard)
            if stream is None:
                stream = []
                streams[shard] = stream
            stream.append(effect.recorded)
        self.effects = []
        return streams

    def _take(self, shard: str, message: Message, now_us: int, cause: str) -> None:
        for recorded in self.stages[shard].take(message, now_us, cause):
            self.effects.append(Effect(shard, recorded))

    def _follow(self, at: int, now_us: int) -> None:
        """Hand each new event to the partitions that take it; what that brings comes after."""
        while at < len(self.effects):
            effect = self.effects[at]
            at += 1
            event = effect.recorded.event
            targets = self.routing.event(event)
            if targets:
                cause = f"{effect.shard}:{effect.recorded.seq}"
                for target in targets:
                    if target in self.stages:
                        self._take(target, event, now_us, cause)
