"""Readers' side of matching: replicas of the stages, folded from their published events."""

from collections.abc import Sequence

from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import BookSnapshot


class BooksView:
    """Committed books: a `BooksQuery` over one replica per matching stage partition.

    Replicas see events only once they are durable, so nobody reads what may yet be taken back.
    Entries of other streams, and entries that were there already, are passed over; a gap in a
    stream is a broken invariant.
    """

    def __init__(self) -> None:
        self._replicas: dict[str, MatchingStage] = {}

    def follow(
        self, shard: str, state: bytes | None, seq: int, ts_us: int, epoch: int = 0
    ) -> MatchingStage:
        """Start the replica of a stream from a stage's dump at `seq`, or from nothing."""
        replica = MatchingStage(shard)
        replica.epoch = epoch
        if state is not None:
            replica.load(state, seq, ts_us)
        self._replicas[shard] = replica
        return replica

    def receive(self, entries: Sequence[LogEntry]) -> None:
        """Fold published events."""
        for entry in entries:
            replica = self._replicas.get(entry.shard)
            if replica is not None and entry.seq > replica.seq:
                replica.replay(entry.seq, entry.ts_us, entry.event)

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        """The book of a symbol, at most `depth_max` levels a side; None when it is not listed."""
        for replica in self._replicas.values():
            found = replica.snapshot(symbol, depth_max)
            if found is not None:
                return found
        return None

    def session_open(self) -> bool:
        """Whether continuous trading is on, in every partition."""
        replicas = self._replicas.values()
        return len(replicas) > 0 and all(replica.is_open for replica in replicas)
