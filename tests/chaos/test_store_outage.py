"""PostgreSQL goes away under load, dead or hanging: orders are refused, and nothing is undone."""

import asyncio
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.postgres import event_store
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable
from nexustrade.kernel.ports import LogEntry
from nexustrade.orders import service
from nexustrade.orders.messages import SubmitOrder
from tests.chaos.folded import everything_holds
from tests.chaos.load import Load, Told, wait_until
from tests.running import RunningVenue

SEED = 4
RESUME_S_MAX = 60.0
COMMIT_DEADLINE_S = 2.0
"""The venue's default: past it a batch that is not in the store is refused."""


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RunningVenue]:
    running = RunningVenue(tmp_path).start()
    yield running
    for process in running.server_tree():
        process.resume()
    running.kill()


class Reader(threading.Thread):
    """Reads account and book for ever; counts answers and keeps the slowest."""

    def __init__(self, venue: RunningVenue) -> None:
        super().__init__(daemon=True)
        self.venue = venue
        self.answers = 0
        self.wrong: list[str] = []
        self.halt = threading.Event()

    def run(self) -> None:
        paths = ("/v2/account", "/v1/books/AAPL", "/v2/positions")
        while not self.halt.is_set():
            for path in paths:
                try:
                    status = self.venue.request("GET", path).status
                except OSError as error:
                    self.wrong.append(f"{path}: {error!r}")
                    continue
                if status != 200:
                    self.wrong.append(f"{path}: {status}")
                self.answers += 1

    def wait(self, count: int) -> None:
        upto = self.answers + count
        wait_until(lambda: self.answers >= upto, 30, f"{count} reads during the outage")

    def stop(self) -> None:
        self.halt.set()
        self.join(60)
        assert not self.wrong, self.wrong[:5]


def refused(told: Told) -> int:
    return told.statuses.get(503, 0)


def accepted(told: Told) -> int:
    return told.statuses.get(200, 0)


def wait_refused(load: Load, count: int) -> None:
    upto = refused(load.told) + count
    wait_until(lambda: refused(load.told) >= upto, 30, "orders are refused")


def wait_accepted(load: Load, count: int) -> None:
    upto = accepted(load.told) + count
    wait_until(lambda: accepted(load.told) >= upto, RESUME_S_MAX, "service resumes by itself")


def finish(venue: RunningVenue, load: Load) -> None:
    """End the load; what was told is so, and the venue was there all the time."""
    assert not load.gone, "a connection was cut"
    load.stop()
    assert set(load.told.statuses) <= {200, 204, 403, 404, 422, 500, 503}
    load.retry_unanswered()
    asyncio.run(everything_holds(venue.trading_dsn, load.told))
    assert venue.process is not None
    assert venue.process.poll() is None
    assert venue.stop() == 0, venue.log_path.read_text()[-5_000:]


def kill_server(venue: RunningVenue) -> None:
    """kill -9 of every process of the server."""
    victims = venue.server_tree()
    assert victims
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue


def signal_server(venue: RunningVenue, number: signal.Signals) -> None:
    for process in venue.server_tree():
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


async def test_a_read_from_a_server_that_hangs_ends_by_itself(
    postgres_store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "READ_TIMEOUT_S", 0.2)
    rows = await postgres_store._readers.rows("SELECT pg_backend_pid()", ())
    backend = psutil.Process(rows[0][0])
    backend.suspend()
    try:
        # On a new connection, since the rest of the server is well.
        assert (await asyncio.wait_for(postgres_store.head("orders-0"), 30)).last_seq == 0
        assert backend.status() == psutil.STATUS_STOPPED
    finally:
        backend.resume()


async def test_while_a_lookup_of_client_order_ids_hangs_orders_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "LOOKUP_WAIT_S", 0.05)
    answer: asyncio.Future[dict[tuple[str, str], str]] = asyncio.get_running_loop().create_future()
    taken: list[Message] = []

    async def find(pairs: Sequence[tuple[str, str]], since_us: int) -> dict[tuple[str, str], str]:
        return await answer

    class Taker:
        async def submit(self, command: Message) -> Sequence[LogEntry]:
            taken.append(command)
            return []

    guard = service.OneIdOneOrder(Taker(), find, VirtualClock(), keep_days=30)
    order = SubmitOrder("alice", "o1", "mine", "AAPL", "BUY", "MARKET", "DAY", 1)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(guard.submit(order), 30)
    assert not taken
    answer.set_result({})
    await asyncio.sleep(0)
    await asyncio.wait_for(guard.submit(order), 30)
    assert taken == [order]


def test_a_killed_server_is_started_again_and_nothing_is_undone(venue: RunningVenue) -> None:
    load = Load(venue, SEED)
    load.start()
    reader = Reader(venue)
    reader.start()
    for _ in range(5):
        load.wait_answers(100)
        kill_server(venue)
        wait_accepted(load, 50)
    reader.stop()
    finish(venue, load)


def test_a_server_that_stays_dead_refuses_orders_until_it_is_back(venue: RunningVenue) -> None:
    load = Load(venue, SEED + 1)
    load.start()
    load.wait_answers(100)
    # Without it the server cannot start: the venue's tries to bring it back fail.
    control = venue.data / "postgres" / "cluster" / "global" / "pg_control"
    hidden = control.with_name("pg_control.hidden")
    control.rename(hidden)
    kill_server(venue)
    wait_refused(load, 200)
    reader = Reader(venue)
    reader.start()
    reader.wait(30)
    # Not only those that came later: a batch was tried until its deadline.
    wait_until(
        lambda: load.told.slowest_s.get(503, 0.0) >= COMMIT_DEADLINE_S,
        30,
        "a batch is refused after its deadline",
    )
    wait_refused(load, 200)
    reader.stop()
    hidden.rename(control)
    wait_accepted(load, 50)
    finish(venue, load)


@pytest.mark.parametrize("hang_s", [1.0, 2.5 * COMMIT_DEADLINE_S, 13.0])
def test_a_server_that_hangs_is_survived(venue: RunningVenue, hang_s: float) -> None:
    """A short hang is not seen; past the deadline orders are refused; past the client's own limit
    the connection is cut with a commit in the air, which may yet happen and is waited for."""
    load = Load(venue, SEED + 2)
    load.start()
    load.wait_answers(100)
    reader = Reader(venue)
    reader.start()
    signal_server(venue, signal.SIGSTOP)
    hung = threading.Event()
    hung.wait(hang_s)
    if hang_s > COMMIT_DEADLINE_S:
        wait_refused(load, 20)
        reader.wait(30)
    signal_server(venue, signal.SIGCONT)
    wait_accepted(load, 50)
    reader.stop()
    finish(venue, load)
