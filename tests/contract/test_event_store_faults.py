"""The event store on PostgreSQL when connections break, servers die and disks fill."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from nexustrade import migrations
from nexustrade.adapters.memory import Fault, MemoryEventStore
from nexustrade.adapters.postgres import event_store as module
from nexustrade.adapters.postgres.embedded import EmbeddedServer
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.errors import Fenced, StoreUnavailable
from nexustrade.kernel.ports import Append, CommitUnknown, ShardState, Snapshot
from tests.contract.proxy import Loss, Proxy
from tests.contract.streams import Stream, bare, order, read_all

SHARD = "orders-0"


@pytest.fixture
async def proxy(trading_dsn: str) -> AsyncIterator[Proxy]:
    with TemporaryDirectory() as directory:
        proxy = Proxy(Path(directory), trading_dsn)
        yield proxy
        await proxy.stop()


@pytest.fixture
async def far_store(proxy: Proxy) -> AsyncIterator[PostgresEventStore]:
    """A store that reaches its database through the proxy."""
    store = PostgresEventStore(await proxy.start(), append_timeout_s=5.0)
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("loss", "outcome", "kept"),
    [
        (Loss.ROWS, StoreUnavailable, False),
        (Loss.COPY_DONE, CommitUnknown, False),
        (Loss.ANSWER, CommitUnknown, True),
    ],
)
async def test_a_lost_connection_tells_what_may_have_happened(
    proxy: Proxy,
    far_store: PostgresEventStore,
    loss: Loss,
    outcome: type[Exception],
    kept: bool,
) -> None:
    stream = await Stream.claimed(far_store, SHARD)
    await stream.write(far_store, order(1))
    append = stream.next(order(2), *(order(n) for n in range(3, 3000)))
    proxy.loss = loss
    # The largest appends are sent in several pieces: nothing is kept of a part.
    if loss is not Loss.ROWS:
        append = stream.next(order(2), order(3))
    with pytest.raises(outcome):
        await far_store.append([append], {(SHARD, "matching-0"): 5})
    assert proxy.lost.is_set()
    if kept:
        stream.wrote(append)
    assert await far_store.head(SHARD) == stream.state
    assert await far_store.watermarks(SHARD) == ({"matching-0": 5} if kept else {})
    await stream.write(far_store, order(9))
    assert await read_all(far_store, SHARD) == bare(stream.written)


async def test_a_refused_statement_keeps_nothing_and_the_connection(
    proxy: Proxy, far_store: PostgresEventStore, trading_dsn: str
) -> None:
    stream = await Stream.claimed(far_store, SHARD)
    forbid = "ALTER TABLE order_events ADD CONSTRAINT no_room CHECK (order_id <> 'order-2')"
    async with await psycopg.AsyncConnection.connect(trading_dsn) as connection:
        await connection.execute(forbid)
    before = proxy.connections
    with pytest.raises(StoreUnavailable, match="no_room"):
        await far_store.append([stream.next(order(1), order(2))], {})
    await stream.write(far_store, order(1))
    assert proxy.connections == before
    assert await read_all(far_store, SHARD) == bare(stream.written)


async def test_text_that_the_database_cannot_hold_is_refused(
    postgres_store: PostgresEventStore,
) -> None:
    stream = await Stream.claimed(postgres_store, SHARD)
    with pytest.raises(StoreUnavailable):
        await stream.write(postgres_store, order(1, "nul \x00"))
    await stream.write(postgres_store, order(1))


async def test_a_server_that_does_not_answer_is_given_up(proxy: Proxy, trading_dsn: str) -> None:
    store = PostgresEventStore(await proxy.start(), append_timeout_s=0.3)
    stream = await Stream.claimed(store, SHARD)
    proxy.loss = Loss.STALL
    with pytest.raises(StoreUnavailable, match="no answer"):
        await stream.write(store, order(1))
    proxy.loss = Loss.NOTHING
    await stream.write(store, order(1))
    await store.close()


async def test_an_unreachable_server_is_told_at_once(
    proxy: Proxy, far_store: PostgresEventStore
) -> None:
    stream = await Stream.claimed(far_store, SHARD)
    await far_store.head(SHARD)
    proxy.refusing = True
    proxy.cut()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await stream.write(far_store, order(1))
        with pytest.raises(StoreUnavailable):
            await far_store.head(SHARD)
        with pytest.raises(StoreUnavailable):
            await far_store.claim(SHARD)
    proxy.refusing = False
    assert await far_store.head(SHARD) == stream.state
    await stream.write(far_store, order(1))


async def test_idle_reading_connections_that_died_are_replaced(
    proxy: Proxy, far_store: PostgresEventStore
) -> None:
    await far_store.claim(SHARD)
    await asyncio.gather(*(far_store.head(SHARD) for _ in range(4)))
    proxy.cut()
    assert (await far_store.head(SHARD)).epoch == 1


async def test_a_lost_owner_is_fenced_by_the_next(
    proxy: Proxy,
    far_store: PostgresEventStore,
    postgres_store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLAIM_WAIT_S", 0.1)
    old = await Stream.claimed(far_store, SHARD)
    await old.write(far_store, order(1))
    proxy.refusing = True
    proxy.cut()
    new = await Stream.claimed(postgres_store, SHARD)
    await new.write(postgres_store, order(2))
    proxy.refusing = False
    with pytest.raises(Fenced):
        await old.write(far_store, order(2))
    with pytest.raises(Fenced, match="owned by another running venue"):
        await far_store.claim(SHARD)
    await new.write(postgres_store, order(3))
    assert len(await read_all(postgres_store, SHARD)) == 3


async def test_a_connection_made_again_holds_the_streams_again(
    proxy: Proxy,
    far_store: PostgresEventStore,
    postgres_store: PostgresEventStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLAIM_WAIT_S", 0.1)
    stream = await Stream.claimed(far_store, SHARD)
    proxy.cut()
    await stream.write(far_store, order(1))
    assert proxy.connections == 2
    with pytest.raises(Fenced, match="owned by another running venue"):
        await postgres_store.claim(SHARD)


async def test_the_head_waits_for_an_append_in_the_air(
    postgres_store: PostgresEventStore, trading_dsn: str
) -> None:
    stream = await Stream.claimed(postgres_store, SHARD)
    async with await psycopg.AsyncConnection.connect(trading_dsn) as connection:
        await connection.execute("UPDATE es_shard SET last_seq = 7")
        head = asyncio.create_task(postgres_store.head(SHARD))
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with await psycopg.AsyncConnection.connect(trading_dsn, autocommit=True) as watcher:
            while await (await watcher.execute(blocked)).fetchone() == (0,):
                await asyncio.sleep(0)
        assert not head.done()
        await connection.commit()
    assert await head == stream.state._replace(last_seq=7)


async def test_a_cancelled_append_happens_as_a_whole(
    postgres_store: PostgresEventStore,
) -> None:
    stream = await Stream.claimed(postgres_store, SHARD)
    for number in range(1, 20):
        append = stream.next(*(order(n) for n in range(number)))
        task = asyncio.create_task(postgres_store.append([append], {}))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        # The next append waits for the end of the one that nobody waits for.
        await postgres_store.append([], {("x", "y"): number})
        if (await postgres_store.head(SHARD)).last_seq != stream.state.last_seq:
            stream.wrote(append)
    assert await postgres_store.head(SHARD) == stream.state
    assert await read_all(postgres_store, SHARD) == bare(stream.written)


async def test_a_damaged_snapshot_is_passed_over(
    postgres_store: PostgresEventStore, trading_dsn: str
) -> None:
    shots = [Snapshot(SHARD, seq, 1, bytes(32), b"%d" % seq * 99) for seq in (1, 2)]
    for shot in shots:
        await postgres_store.save_snapshot(shot)
    damage = "UPDATE es_snapshot SET state = set_byte(state, 9, 255 - get_byte(state, 9))"
    async with await psycopg.AsyncConnection.connect(trading_dsn, autocommit=True) as connection:
        for change in (damage, "UPDATE es_snapshot SET state_hash = sha256(state)"):
            await connection.execute(f"{change} WHERE seq = 2")
            assert await postgres_store.latest_snapshot(SHARD) == shots[0]
            await postgres_store.save_snapshot(shots[1])
            assert await postgres_store.latest_snapshot(SHARD) == shots[1]
        await connection.execute("DELETE FROM es_snapshot WHERE seq = 2")
        await connection.execute(f"{damage} WHERE seq = 1")
        assert await postgres_store.latest_snapshot(SHARD) is None


async def test_a_session_the_server_still_keeps_is_ended_when_its_owner_returns(
    proxy: Proxy, trading_dsn: str
) -> None:
    store = PostgresEventStore(await proxy.start(), append_timeout_s=0.3)
    stream = await Stream.claimed(store, SHARD)
    # Cut off at our end only: at the server's end the session lives, and holds the lock.
    proxy.loss = Loss.STALL
    with pytest.raises(StoreUnavailable):
        await stream.write(store, order(1))
    proxy.loss = Loss.NOTHING
    await stream.write(store, order(1))
    locks = "SELECT count(*), count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'"
    async with await psycopg.AsyncConnection.connect(trading_dsn) as connection:
        cursor = await connection.execute(f"{locks} AND granted".encode())
        assert await cursor.fetchone() == (1, 1)
    await store.close()


@pytest.fixture
def own_server(venue_directory: Path) -> Iterator[EmbeddedServer]:
    """A server that can be killed, and that waits for the disk."""
    server = EmbeddedServer(venue_directory, databases=("trading",))
    server.start()
    migrations.upgrade(server.dsn("trading"), "trading")
    yield server
    server.stop()


async def test_a_server_killed_under_load_loses_nothing_it_acknowledged(
    own_server: EmbeddedServer,
) -> None:
    store = PostgresEventStore(own_server.dsn("trading"))
    watching = asyncio.create_task(own_server.supervise())
    stream = await Stream.claimed(store, SHARD)
    for kill in range(3):
        unknown = await _write_until_killed(own_server, store, stream, 20 + 7 * kill)
        head = await _head(store)
        if unknown is not None and head.last_seq != stream.state.last_seq:
            stream.wrote(unknown)
        assert head == stream.state
        await stream.write(store, order(0))
        assert await read_all(store, SHARD) == bare(stream.written)
    watching.cancel()
    await store.close()


async def _write_until_killed(
    server: EmbeddedServer, store: PostgresEventStore, stream: Stream, appends: int
) -> Append | None:
    """Append until the server's death is felt; returns what may or may not have been kept."""
    number = 0
    while True:
        number += 1
        append = stream.next(*(order(number) for _ in range(number % 5 + 1)))
        task = asyncio.create_task(store.append([append], {}))
        if number == appends:
            await asyncio.sleep(0)
            os.kill(server.pid, signal.SIGKILL)
            for pid in _backends(server.pid):
                os.kill(pid, signal.SIGKILL)
        try:
            await task
        except StoreUnavailable:
            return None
        except CommitUnknown:
            return append
        stream.wrote(append)


def _backends(postmaster: int) -> list[int]:
    """The server's other processes, as far as they still run."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in children.split()]


async def _head(store: PostgresEventStore) -> ShardState:
    while True:
        try:
            return await store.head(SHARD)
        except StoreUnavailable:
            await asyncio.sleep(0.01)


async def test_the_memory_store_fails_on_demand() -> None:
    store = MemoryEventStore()
    stream = await Stream.claimed(store, SHARD)
    store.faults.extend([Fault.UNAVAILABLE, Fault.UNKNOWN_LOST, Fault.UNKNOWN_APPLIED])
    append = stream.next(order(1))
    with pytest.raises(StoreUnavailable):
        await store.append([append], {(SHARD, "m"): 1})
    with pytest.raises(CommitUnknown):
        await store.append([append], {(SHARD, "m"): 1})
    assert (await store.head(SHARD)).last_seq == 0
    with pytest.raises(CommitUnknown):
        await store.append([append], {(SHARD, "m"): 1})
    assert (await store.head(SHARD)).last_seq == 1
    assert await store.watermarks(SHARD) == {"m": 1}
    store.down = True
    for call in (store.head(SHARD), store.claim(SHARD), store.append([append], {})):
        with pytest.raises(StoreUnavailable):
            await call
