"""Readers' side of matching: replicas of the stages, folded from their published events."""

from collections.abc import Callable, Sequence
from typing import Final

from nexustrade.core.terms import CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import BookSnapshot

_PHASES: Final = (OPENING_CALL, CONTINUOUS, CLOSING_CALL, CLOSED)
"""How far a session has come, in order."""


class BooksView:
    """Committed books: a `BooksQuery` over one replica per matching stage partition.

    Replicas see events only once they are durable, so nobody reads what may yet be taken back, and
    a read neither queues behind an order nor delays one. Entries of other streams, and entries
    that were there already, are passed over; a gap in a stream is a broken invariant. Every
    partition lists every symbol; `shard_of` names the one whose book of it trades.
    """

    def __init__(self, replicas: Sequence[MatchingStage], shard_of: Callable[[str], str]) -> None:
        self._shard_of = shard_of
        self._replicas = {replica.shard: replica for replica in replicas}

    async def receive(self, entries: Sequence[LogEntry]) -> None:
        """Fold published events."""
        for entry in entries:
            replica = self._replicas.get(entry.shard)
            if replica is not None and entry.seq > replica.seq:
                replica.replay(entry.seq, entry.ts_us, entry.event)

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        """The book of a symbol, at most `depth_max` levels a side; None when it is not listed."""
        return self._replicas[self._shard_of(symbol)].snapshot(symbol, depth_max)

    def session(self) -> tuple[str, str]:
        """The date of the last session that the partitions were told of, and its phase.

        All partitions are told the same; the one that was told least decides what is due.
        """
        least = min(self._replicas.values(), key=_told)
        return least.session_date, least.phase

    def session_open(self) -> bool:
        """Whether continuous trading is on, in every partition."""
        return all(replica.phase == CONTINUOUS for replica in self._replicas.values())


def _told(replica: MatchingStage) -> tuple[str, int]:
    return replica.session_date, _PHASES.index(replica.phase)
