"""SIGTERM under load: what was answered is there, the snapshots are of the head, the code is 0."""

import asyncio
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from nexustrade.adapters.postgres.embedded import EmbeddedServer
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from tests.chaos.folded import SHARDS, Folded, everything_holds
from tests.chaos.load import Load
from tests.running import STOP_TIMEOUT_S, RunningVenue

SEED = 15


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RunningVenue]:
    running = RunningVenue(tmp_path).start()
    yield running
    running.kill()


@contextmanager
def stored(venue: RunningVenue) -> Iterator[str]:
    """The DSN of a stopped venue's event store."""
    server = EmbeddedServer(venue.data)
    server.start()
    try:
        yield server.dsn("trading")
    finally:
        server.stop()


async def snapshots_are_of_the_head(dsn: str, folded: Folded) -> None:
    store = PostgresEventStore(dsn)
    try:
        for stage in folded.stages:
            snapshot = await store.latest_snapshot(stage.shard)
            assert snapshot is not None
            assert (snapshot.seq, snapshot.ts_us) == (stage.seq, stage.ts_us)
            assert snapshot.state == stage.dump()
    finally:
        await store.close()


def seen(venue: RunningVenue) -> list[object]:
    """What both clients see of their accounts."""
    return [
        venue.request("GET", path, key=f"{account}-key").body
        for account in ("alice", "bob")
        for path in ("/v2/account", "/v2/positions", "/v2/orders?status=all&limit=500")
    ]


def test_a_stop_under_load_keeps_what_was_answered(venue: RunningVenue) -> None:
    load = Load(venue, SEED)
    load.start()
    load.wait_answers(300)
    assert venue.process is not None
    venue.process.send_signal(signal.SIGTERM)
    venue.process.send_signal(signal.SIGTERM)
    venue.process.send_signal(signal.SIGINT)
    code = venue.process.wait(STOP_TIMEOUT_S)
    load.stop()
    assert code == 0, venue.log_path.read_text()[-5_000:]
    assert not venue.server_tree(), "the server is left behind"
    with stored(venue) as dsn:
        folded = asyncio.run(everything_holds(dsn, load.told))
        asyncio.run(snapshots_are_of_the_head(dsn, folded))
    venue.start()
    load.retry_unanswered()
    asyncio.run(everything_holds(venue.trading_dsn, load.told))
    assert venue.stop() == 0


def test_snapshots_only_make_a_start_faster(venue: RunningVenue) -> None:
    """Gone, broken or swapped, they change nothing: the same state comes out of the events."""
    load = Load(venue, SEED + 1)
    load.start()
    load.wait_answers(300)
    load.stop()
    before = seen(venue)
    for spoil in (nothing, delete, flip, rewrite, truncate, other_link, other_time):
        assert venue.stop() == 0, venue.log_path.read_text()[-5_000:]
        with stored(venue) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
            spoil(connection)
        venue.start()
        assert seen(venue) == before, spoil.__name__
    load.start()
    load.wait_answers(50)
    load.stop()
    asyncio.run(everything_holds(venue.trading_dsn, load.told))
    assert venue.stop() == 0


def nothing(connection: psycopg.Connection) -> None:
    rows = connection.execute("SELECT DISTINCT shard FROM es_snapshot ORDER BY 1").fetchall()
    assert {row[0] for row in rows} == set(SHARDS)


def delete(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM es_snapshot")


def flip(connection: psycopg.Connection) -> None:
    """One bit of each state."""
    connection.execute(
        "UPDATE es_snapshot SET state = set_bit(state, (length(state) * 4)::bigint,"
        " 1 - get_bit(state, (length(state) * 4)::bigint))"
    )


def rewrite(connection: psycopg.Connection) -> None:
    """Other states, well compressed, under the hashes of the old ones."""
    connection.execute("UPDATE es_snapshot SET state = %s", (zlib.compress(b'{"accounts":[]}'),))


def truncate(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE es_snapshot SET state = substr(state, 1, length(state) / 2)")


def other_link(connection: psycopg.Connection) -> None:
    """The states are whole, but the next events would be chained to something else."""
    connection.execute("UPDATE es_snapshot SET last_hash = sha256(last_hash)")


def other_time(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE es_snapshot SET event_time = event_time + interval '1 day'")
