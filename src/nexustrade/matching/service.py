"""The matching service's read side: committed books for any reader."""

from collections.abc import Callable, Sequence

from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import BookSnapshot


class BooksView:
    """`BooksQuery` over replicas of the matching stages, folded from their committed events.

    A replica is the stage itself, which only ever applies: a read never queues behind an order and
    never delays one, and sees nothing that is not durable.
    """

    def __init__(self, replicas: Sequence[MatchingStage], shard_of: Callable[[str], str]) -> None:
        self._replicas = {replica.shard: replica for replica in replicas}
        self._shard_of = shard_of

    async def receive(self, entries: Sequence[LogEntry]) -> None:
        """Fold a batch of the log; what was folded before is dropped."""
        for entry in entries:
            replica = self._replicas[entry.shard]
            if entry.seq > replica.seq:
                replica.replay(entry.seq, entry.ts_us, entry.event)

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        """The book of a symbol, at most `depth_max` levels a side; None when it is not listed."""
        return self._replicas[self._shard_of(symbol)].snapshot(symbol, depth_max)

    def session(self) -> tuple[str, bool]:
        """The date of the last session that was opened or closed, and whether it is open.

        All partitions are told the same; the one that lags behind decides what is to be told.
        """
        return min((one.session_date, one.is_open) for one in self._replicas.values())

    def session_open(self) -> bool:
        """Whether continuous trading is on."""
        return self.session()[1]
