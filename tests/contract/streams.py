"""A writer of streams for the tests: numbers, times and chains events as the runtime does."""

from collections.abc import Sequence

from nexustrade.core.codec import Message
from nexustrade.kernel.chain import seal
from nexustrade.kernel.ports import Append, EventStore, ShardState, StoredEvent
from nexustrade.orders.messages import CashAdjusted, OrderAccepted

T0_US = 1_795_000_000_000_000


class Stream:
    """One stream as its writer sees it."""

    def __init__(self, state: ShardState) -> None:
        self.state = state
        self.written: list[StoredEvent] = []

    @classmethod
    async def claimed(cls, store: EventStore, shard: str) -> "Stream":
        return cls(await store.claim(shard))

    def next(self, *events: Message, cause: str = "test") -> Append:
        """The append of these events; the stream goes on after them only with `wrote`."""
        sealed: list[StoredEvent] = []
        link, ts_us = self.state.last_hash, max(self.state.last_ts_us, T0_US)
        for seq, event in enumerate(events, self.state.last_seq + 1):
            ts_us += 1
            sealed.append(seal(link, self.state.shard, seq, ts_us, cause, event))
            link = sealed[-1].hash
        return Append(self.state.shard, self.state.epoch, self.state.last_seq, sealed)

    def wrote(self, append: Append) -> None:
        last = append.events[-1]
        self.written += append.events
        self.state = self.state._replace(
            last_seq=last.seq, last_ts_us=last.ts_us, last_hash=last.hash
        )

    async def write(self, store: EventStore, *events: Message) -> None:
        append = self.next(*events)
        await store.append([append], {})
        self.wrote(append)


def cash(cents: int, text: str = "") -> CashAdjusted:
    return CashAdjusted("acc-1", cents, text)


def order(number: int, cl_ord_id: str = "", account_id: str = "acc-1") -> OrderAccepted:
    return OrderAccepted(
        account_id,
        f"order-{number}",
        cl_ord_id or f"cl-{number}",
        "AAPL",
        "BUY",
        "LIMIT",
        "DAY",
        order_qty=(100 + number) * 10**8,
        limit_px=1_234_500 + number,
    )


def bare(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The rows as a store gives them back."""
    return [event._replace(event=None) for event in events]


async def read_all(
    store: EventStore, shard: str, after_seq: int = 0, upto_seq: int | None = None
) -> list[StoredEvent]:
    rows: list[StoredEvent] = []
    async for batch in store.read(shard, after_seq, upto_seq):
        assert batch
        rows += batch
    return rows
