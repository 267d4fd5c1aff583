"""The disk is full: orders are refused, nothing is corrupt, and with room again service resumes.

No disk has to be filled: the server's processes get a limit on the size of their files. PostgreSQL
meets EFBIG where it would meet ENOSPC, in the same places.
"""

import asyncio
import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.chaos.folded import everything_holds
from tests.chaos.load import Load, Told, wait_until
from tests.running import RunningVenue

SEED = 9
KB = 1024
LOG_FILE_SIZE = 16 * KB * KB
RESUME_S_MAX = 60.0
COMMIT_DEADLINE_S = 2.0
"""The venue's default: past it a batch that is not in the store is refused."""


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RunningVenue]:
    running = RunningVenue(tmp_path).start()
    yield running
    running.kill()


class FullDisk(threading.Thread):
    """While it runs, no file of the server grows beyond a size, nor of one that is started anew."""

    def __init__(self, venue: RunningVenue, size: int) -> None:
        super().__init__(daemon=True)
        self.venue = venue
        self.size = size
        self._halt = threading.Event()

    def run(self) -> None:
        while not self._halt.wait(0.01):
            limit_files(self.venue.server_tree(), self.size)

    def lift(self) -> None:
        """There is room again."""
        self._halt.set()
        self.join()
        # The postmaster comes first: what it starts meanwhile has its limit. And once more.
        for _ in range(2):
            limit_files(self.venue.server_tree(), resource.RLIM_INFINITY)


def limit_files(processes: Sequence[psutil.Process], size: int) -> None:
    """Limit what processes of the server's user may write; only that user is allowed to."""
    by_user: dict[tuple[int, int], list[int]] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            user = (process.uids().real, process.gids().real)
            by_user.setdefault(user, []).append(process.pid)
    for (uid, gid), pids in by_user.items():
        child = os.fork()
        if child == 0:
            try:
                if uid != os.getuid():
                    os.setresgid(gid, gid, gid)
                    os.setresuid(uid, uid, uid)
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        limits = (size, resource.RLIM_INFINITY)
                        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a forked test must never go on
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0, "the limit could not be set"


def table_size(venue: RunningVenue) -> int:
    with psycopg.connect(venue.trading_dsn) as connection:
        row = connection.execute("SELECT pg_relation_size('order_events')").fetchone()
    assert row is not None
    return int(row[0])


def refuse_until_there_is_room(
    venue: RunningVenue, size: int, refused: Callable[[Told], bool]
) -> None:
    load = Load(venue, SEED)
    load.start()
    load.wait_answers(200)
    disk = FullDisk(venue, size)
    disk.start()
    wait_until(lambda: refused(load.told), 60, "orders are refused")
    shown = venue.request("GET", "/v2/account")
    assert shown.status == 200, shown
    disk.lift()
    accepted = load.told.statuses.get(200, 0) + 100
    wait_until(lambda: load.told.statuses.get(200, 0) >= accepted, RESUME_S_MAX, "service resumes")
    assert not load.gone, "a connection was cut"
    load.stop()
    load.retry_unanswered()
    folded = asyncio.run(everything_holds(venue.trading_dsn, load.told))
    assert folded.filled
    assert venue.process is not None
    assert venue.process.poll() is None
    assert venue.stop() == 0, venue.log_path.read_text()[-5_000:]


def grow_past_a_log_file(dsn: str) -> None:
    """Make the table's file larger than the server's log files are, and empty at its start."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE order_events SET (autovacuum_enabled = off)")
        connection.execute(
            """
            INSERT INTO order_events
            SELECT 'filler', n, now(), 'Filler', '', '', '', '', '', '', 0, 0, '',
                to_jsonb((SELECT string_agg(md5(n::text || m), '') FROM generate_series(1, 45) m)),
                '', ''
            FROM generate_series(1, 12000) n
            """
        )
        connection.execute("DELETE FROM order_events WHERE shard = 'filler'")


def test_a_table_that_cannot_grow_refuses_orders(venue: RunningVenue) -> None:
    """The server stays up and refuses rows: log files are written at their full size already."""
    grow_past_a_log_file(venue.trading_dsn)
    size = table_size(venue)
    assert size > LOG_FILE_SIZE

    def refused(told: Told) -> bool:
        # Not only those that came later: a batch was tried until its deadline.
        return told.slowest_s.get(503, 0.0) >= COMMIT_DEADLINE_S

    refuse_until_there_is_room(venue, size, refused)


def test_a_log_that_cannot_be_written_refuses_orders(venue: RunningVenue) -> None:
    """The server cannot write its log, panics and cannot start again before there is room."""
    size = LOG_FILE_SIZE // 2
    write_log_until(venue.trading_dsn, size + KB * KB)

    def refused(told: Told) -> bool:
        return told.statuses.get(503, 0) >= 200 and b"PANIC" in log_of(venue)

    refuse_until_there_is_room(venue, size, refused)


def log_of(venue: RunningVenue) -> bytes:
    return (venue.data / "postgres" / "server.log").read_bytes()


def write_log_until(dsn: str, offset: int) -> None:
    """Bring the server's log to that place in one of its files, or somewhat further."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
            assert row is not None
            if offset <= row[0] % LOG_FILE_SIZE < offset + 2 * KB * KB:
                return
            connection.execute(
                "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)"
            )
            connection.execute("DROP TABLE filler")
