"""What every log promises."""

import asyncio
from collections.abc import Sequence

import pytest

from nexustrade.adapters.memory import MemoryLog
from nexustrade.adapters.memory.log import BATCH_LEN_MAX
from nexustrade.core.codec import encode
from nexustrade.core.errors import InputError
from nexustrade.kernel.ports import Log, LogEntry
from nexustrade.orders.messages import CashAdjusted

TOPIC = "orders.events"


class Subscriber:
    """Drops what it has already, as every reader of a log must."""

    def __init__(self) -> None:
        self.batches: list[list[LogEntry]] = []
        self.applied: list[int] = []

    async def receive(self, batch: Sequence[LogEntry]) -> None:
        self.batches.append(list(batch))
        for entry in batch:
            if not self.applied or entry.seq > self.applied[-1]:
                self.applied.append(entry.seq)

    @property
    def received(self) -> list[int]:
        return [entry.seq for batch in self.batches for entry in batch]


def entries(first: int, last: int) -> list[LogEntry]:
    return [
        LogEntry("orders-0", seq, 1_000 + seq, "cause", CashAdjusted("acc", seq, "é\t\x00"))
        for seq in range(first, last + 1)
    ]


@pytest.fixture
def log() -> Log:
    return MemoryLog()


async def test_subscribers_get_what_is_published_in_order(log: Log) -> None:
    first, second, elsewhere = Subscriber(), Subscriber(), Subscriber()
    await log.subscribe(TOPIC, first.receive)
    await log.subscribe(TOPIC, second.receive)
    await log.subscribe("matching.events", elsewhere.receive)
    await log.publish(TOPIC, entries(1, 3))
    await log.publish(TOPIC, entries(4, 5))
    for subscriber in (first, second):
        assert subscriber.received == [1, 2, 3, 4, 5]
        assert [entry[:5] for entry in subscriber.batches[0]] == [e[:5] for e in entries(1, 3)]
    assert elsewhere.batches == []


async def test_an_entry_carries_its_encoded_event(log: Log) -> None:
    subscriber = Subscriber()
    await log.subscribe(TOPIC, subscriber.receive)
    plain = entries(1, 2)
    await log.publish(TOPIC, [plain[0], plain[1]._replace(payload=encode(plain[1].event))])
    got = subscriber.batches[0]
    assert [entry.payload for entry in got] == [encode(entry.event) for entry in plain]
    assert [entry.event for entry in got] == [entry.event for entry in plain]
    # It went through the codec: it is an event of its own.
    assert got[0].event is not plain[0].event
    assert got[1].event is not plain[1].event


async def test_what_cannot_be_decoded_does_not_pass(log: Log) -> None:
    await log.subscribe(TOPIC, Subscriber().receive)
    with pytest.raises(InputError):
        await log.publish(TOPIC, [entries(1, 1)[0]._replace(payload=b"{}")])


async def test_a_subscriber_hears_only_while_it_subscribes(log: Log) -> None:
    subscriber = Subscriber()
    await log.publish(TOPIC, entries(1, 1))
    end = await log.subscribe(TOPIC, subscriber.receive)
    await log.publish(TOPIC, entries(2, 2))
    await end()
    await end()
    await log.publish(TOPIC, entries(3, 3))
    assert subscriber.received == [2]


async def test_large_publications_come_in_bounded_batches(log: Log) -> None:
    subscriber = Subscriber()
    await log.subscribe(TOPIC, subscriber.receive)
    await log.publish(TOPIC, entries(1, 2 * BATCH_LEN_MAX + 1))
    assert [len(batch) for batch in subscriber.batches] == [BATCH_LEN_MAX, BATCH_LEN_MAX, 1]
    assert subscriber.received == list(range(1, 2 * BATCH_LEN_MAX + 2))


async def test_concurrent_publications_do_not_overtake(log: Log) -> None:
    seen: list[int] = []

    async def slow(batch: Sequence[LogEntry]) -> None:
        for entry in batch:
            await asyncio.sleep(0)
            seen.append(entry.seq)

    await log.subscribe(TOPIC, slow)
    await asyncio.gather(*(log.publish(TOPIC, entries(n, n + 2)) for n in (1, 4, 7)))
    assert seen == list(range(1, 10))


async def test_one_failing_subscriber_is_told_and_the_others_are_served(log: Log) -> None:
    subscriber = Subscriber()

    async def failing(batch: Sequence[LogEntry]) -> None:
        raise RuntimeError("broken")

    await log.subscribe(TOPIC, failing)
    await log.subscribe(TOPIC, subscriber.receive)
    with pytest.raises(RuntimeError, match="broken"):
        await log.publish(TOPIC, entries(1, 2))
    assert subscriber.received == [1, 2]


async def test_batches_can_come_again() -> None:
    log, subscriber = MemoryLog(redeliver_every=2), Subscriber()
    await log.subscribe(TOPIC, subscriber.receive)
    for seq in (1, 2, 3, 4):
        await log.publish(TOPIC, entries(seq, seq))
    assert subscriber.received == [1, 2, 2, 3, 4, 4]
    assert subscriber.applied == [1, 2, 3, 4]


async def test_the_latest_entries_can_be_delivered_again() -> None:
    log, subscriber = MemoryLog(kept_len_max=3), Subscriber()
    await log.subscribe(TOPIC, subscriber.receive)
    await log.publish(TOPIC, entries(1, 5))
    await log.redeliver(TOPIC, 2)
    await log.redeliver(TOPIC, 100)
    await log.redeliver(TOPIC, 0)
    assert subscriber.received == [1, 2, 3, 4, 5, 4, 5, 3, 4, 5]
    assert subscriber.applied == [1, 2, 3, 4, 5]
