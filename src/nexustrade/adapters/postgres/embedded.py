"""A private PostgreSQL server in a venue's directory: made, started, watched and stopped by it.

    DIRECTORY/venue.lock            held while a venue runs on the directory
    DIRECTORY/postgres/cluster      the server's data, owned by the server's user
    DIRECTORY/postgres/server.log   what the server says, bounded
    DIRECTORY/postgres/server.json  where a running server is: its pid and its socket
    DIRECTORY/postgres/password     of the role `nexustrade`, which owns the databases
    DIRECTORY/postgres/superuser    the password of the role `postgres`, used to make the others

It listens on a unix socket only, and asks for a password there too. The server outlives a venue
that is killed; the next one takes it over. Its data directory is its working directory, which it
finds as /proc/self/cwd: so its user need not be able to reach the place by its path.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from nexustrade.adapters.postgres.binaries import (
    ENVIRONMENT,
    Identity,
    Programs,
    ServerFault,
    find_programs,
    run_as,
    server_identity,
)

DATABASES: Final = ("trading", "accounts")
ROLE: Final = "nexustrade"
"""The role the venue connects as: owner of its databases, no superuser."""
SUPERUSER: Final = "postgres"

START_TIMEOUT_S: Final = 300.0
"""Longest wait for a start; recovery after a crash may take its time."""
STOP_TIMEOUT_S: Final = 20.0
"""Longest wait for a fast stop, which writes a checkpoint; then the server is stopped hard."""
KILL_TIMEOUT_S: Final = 5.0
"""Longest wait for each harder stop, and for orphaned server processes to end."""
POLL_S: Final = 0.01
WATCH_INTERVAL_S: Final = 0.1
RESTART_BACKOFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Waits before each next try to start a server that died; the last one repeats."""
LOG_BYTES_MAX: Final = 10_000_000
"""Largest size of the server's log; one older log of that size is kept."""
SOCKET_PATH_BYTES_MAX: Final = 107
"""Longest path of a unix socket."""

_PORT: Final = 5432
_SOCKET_NAME: Final = f".s.PGSQL.{_PORT}"
_HERE: Final = "/proc/self/cwd"
_RUN: Final = Path("/run/nexustrade")
_TMP: Final = Path("/tmp")  # noqa: S108 - what we make there is checked to be ours

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "cluster_name": "nexustrade",
    "max_connections": "40",
    # Durability: an acknowledged commit is on the disk.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # One call in place of one per file: a start after a crash takes no longer on a slow disk.
    "recovery_init_sync_method": "syncfs",
    # Memory: the venue and its server fit in 1 GB together.
    "shared_buffers": "96MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "16MB",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_max_workers": "2",
    # Commits: few and spread checkpoints, WAL files kept for use again.
    "wal_level": "replica",
    "max_wal_senders": "4",
    "min_wal_size": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # One clock and one language in what it says.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "password_encryption": "scram-sha-256",
}
"""What the server is started with, above anything in its own files."""


class RunningServer(NamedTuple):
    """A server of ours that runs: its first process, which user it is, and where it listens."""

    pid: int
    socket_directory: str
    version: str


class EmbeddedServer:
    """The private server of one venue directory. All methods block; `supervise` does not.

    `progress` hears "lock", "programs", "initdb", "adopt", "stop", "start" and "databases" as these
    steps begin. `settings` override `SETTINGS`; only tests should need that.
    """

    def __init__(
        self,
        directory: Path,
        *,
        databases: Sequence[str] = DATABASES,
        settings: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self._home = self.directory / "postgres"
        self._cluster = self._home / "cluster"
        self._databases = tuple(databases)
        self._settings = {**SETTINGS, **(settings or {})}
        self._progress = progress or _silent
        self._turn = threading.Lock()
        self._lock_file: int | None = None
        self._identity: Identity | None = None
        self._programs: Programs | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._running: RunningServer | None = None
        self._wanted = False

    @property
    def pid(self) -> int:
        """The process id of the server (its postmaster); 0 when it does not run."""
        return self._running.pid if self._running is not None else 0

    @property
    def log_path(self) -> Path:
        """What the server said."""
        return self._home / "server.log"

    def dsn(self, database: str) -> str:
        """How to connect to a database as the role that owns it."""
        return self._conninfo(database, ROLE)

    def start(self) -> None:
        """Lock the directory and have the server running, with its databases; again does nothing.

        Raises `ServerFault` when another venue has the directory or the server cannot run.
        """
        with self._turn:
            self._take_lock()
            self._wanted = True
            if not self._alive():
                self._start()

    def stop(self) -> None:
        """Stop the server in a bounded time, and give the directory free."""
        with self._turn:
            self._wanted = False
            if self._running is not None:
                _stop(self._running.pid, lambda: not self._alive())
                self._end_all()
                with suppress(OSError):
                    Path(self._running.socket_directory).rmdir()
                self._forget()
            self._give_lock()

    def alive(self) -> bool:
        """Whether the server's first process runs."""
        return self._alive()

    async def supervise(self) -> None:
        """Start the server again whenever it dies, until this task is cancelled or `stop` called.

        Waits longer after each start that fails; keeps the log within its limit.
        """
        failures = 0
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if not self._wanted or self._alive():
                failures = 0
                _bound_log(self.log_path)
                continue
            try:
                await asyncio.to_thread(self._restart)
                failures = 0
            except (ServerFault, subprocess.SubprocessError):
                await asyncio.sleep(RESTART_BACKOFF_S[min(failures, len(RESTART_BACKOFF_S) - 1)])
                failures += 1

    def _restart(self) -> None:
        with self._turn:
            if self._wanted and not self._alive():
                if not self._cluster.exists():
                    # A new, empty one in its place would pass for a venue without a past.
                    raise ServerFault(f"the data in {self._cluster} is gone")
                self._start()

    # ------------------------------------------------------------ one venue per directory

    def _take_lock(self) -> None:
        if self._lock_file is not None:
            return
        self._progress("lock")
        self._lock_file = lock_directory(self.directory)

    def _give_lock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    # ------------------------------------------------------------ start

    def _start(self) -> None:
        try:
            self._have_running()
        except (OSError, psycopg.Error) as error:
            raise ServerFault(f"PostgreSQL cannot be started: {error}") from error

    def _have_running(self) -> None:
        self._identity = self._owner() or server_identity()
        self._progress("programs")
        self._programs = find_programs(self._identity)
        self._home.mkdir(mode=0o700, exist_ok=True)
        found = _processes_in(self._cluster)
        if found and self._adopt(found):
            return
        self._end_all()
        self._make_cluster()
        self._check_version()
        self._launch()
        self._make_databases()

    def _owner(self) -> Identity | None:
        """The user a data directory that is there already belongs to, when we may be that user."""
        if os.geteuid() != 0 or not self._cluster.exists():
            return None
        owner = self._cluster.stat()
        return Identity(owner.st_uid, owner.st_gid, switch=True) if owner.st_uid else None

    def _adopt(self, found: Sequence[int]) -> bool:
        """Go on with the server a killed venue left behind, when it is as we would start it."""
        known = running_server(self.directory)
        if known is None or known.pid not in found or known.version != self._version():
            return False
        try:
            self._running = known
            with self._connect(SUPERUSER, timeout_s=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            self._running = None
            return False
        self._progress("adopt")
        self._child = None
        self._make_databases()
        return True

    def _version(self) -> str:
        """The version and settings a server is started with, so that a changed one is not kept."""
        programs = self._programs
        settings = json.dumps(sorted(self._settings.items()))
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        return f"{programs.version if programs else ''}+{digest}"

    def _end_all(self) -> None:
        """End every server process that is left in the data directory, the first one first.

        Nobody else may use the directory: its lock is ours.
        """
        found = _processes_in(self._cluster)
        if not found:
            return
        self._progress("stop")
        first = _pid_in_file(self._cluster)
        if first in found:
            _stop(first, lambda: not _runs_in(first, self._cluster))
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while found := _processes_in(self._cluster):
            if time.monotonic() > deadline + KILL_TIMEOUT_S:
                raise ServerFault(f"processes {found} of the last server do not end")
            if time.monotonic() > deadline:
                for pid in found:
                    _signal(pid, signal.SIGKILL)
            time.sleep(POLL_S)

    def _make_cluster(self) -> None:
        """Make the data directory beside its place and move it there once it is whole."""
        if self._cluster.exists():
            return
        self._progress("initdb")
        identity, programs = self._parts()
        superuser = _secret(self._home / "superuser")
        _secret(self._home / "password")
        fresh = self._home / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        os.chown(fresh, identity.uid, identity.gid)
        with self._password_file(superuser) as password_file:
            command = [
                str(programs.directory / "initdb"),
                f"--pgdata={_HERE}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--sync-method=syncfs",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ]
            try:
                run_as(identity, command, fresh)
            except subprocess.CalledProcessError as error:
                said = error.stderr.decode(errors="replace").strip()[-1000:]
                raise ServerFault(f"PostgreSQL's data directory cannot be made: {said}") from error
        fresh.rename(self._cluster)
        _sync_directory(self._home)

    @contextmanager
    def _password_file(self, password: str) -> Iterator[Path]:
        """A password where only the server's user can read it, for as long as it is needed."""
        identity, _ = self._parts()
        path = self._socket_directory() / "initdb-password"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, f"{password}\n".encode())
            os.fchown(descriptor, identity.uid, identity.gid)
            yield path
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _check_version(self) -> None:
        _, programs = self._parts()
        major = (self._cluster / "PG_VERSION").read_text().strip()
        if major != programs.major:
            raise ServerFault(
                f"the data in {self._cluster} was written by PostgreSQL {major}, and this is"
                f" PostgreSQL {programs.major}: use the older package to dump it, or another"
                " directory"
            )

    def _launch(self) -> None:
        self._progress("start")
        identity, programs = self._parts()
        socket_directory = self._socket_directory()
        for leftover in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
            (socket_directory / leftover).unlink(missing_ok=True)
        _drop_reused_pid_file(self._cluster)
        settings = {**self._settings, "unix_socket_directories": str(socket_directory)}
        command = [str(programs.directory / "postgres"), "-D", _HERE]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        _bound_log(self.log_path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(self.log_path, flags, 0o600)
        try:
            self._child = subprocess.Popen(
                command,
                cwd=self._cluster,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=identity.uid if identity.switch else None,
                group=identity.gid if identity.switch else None,
                extra_groups=[] if identity.switch else None,
            )
        finally:
            os.close(log)
        self._running = RunningServer(self._child.pid, str(socket_directory), self._version())
        _write_private(self._home / "server.json", json.dumps(self._running._asdict()))
        self._await_ready(self._child)

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _ready(self._cluster, child.pid):
            if child.poll() is not None:
                self._forget()
                raise ServerFault(f"PostgreSQL did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerFault(f"PostgreSQL is not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        telling = [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]
        return (telling or lines or ["it said nothing"])[-1]

    def _parts(self) -> tuple[Identity, Programs]:
        if self._identity is None or self._programs is None:
            raise ServerFault("the server has not been started")
        return self._identity, self._programs

    # ------------------------------------------------------------ socket and databases

    def _socket_directory(self) -> Path:
        """A folder of the server's user alone, with a path short enough for a socket."""
        identity, _ = self._parts()
        name = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        faults: list[str] = []
        for place in _socket_places(self._home, name, identity):
            if len(os.fsencode(place / _SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
                continue
            try:
                _own_directory(place, identity)
            except OSError as error:
                faults.append(str(error))
                continue
            return place
        raise ServerFault("there is no place for the server's socket: " + "; ".join(faults))

    def _make_databases(self) -> None:
        """The role and the databases, where they are missing."""
        self._progress("databases")
        password = _secret(self._home / "password")
        with self._connect(SUPERUSER, timeout_s=10) as connection:
            role = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,))
            if role.fetchone() is None:
                make = "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}"
                connection.execute(
                    sql.SQL(make).format(sql.Identifier(ROLE), sql.Literal(password))
                )
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
            for database in self._databases:
                if (database,) not in names:
                    self._make_database(connection, database)

    def _make_database(self, connection: psycopg.Connection, database: str) -> None:
        name, role = sql.Identifier(database), sql.Identifier(ROLE)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))

    def _connect(self, role: str, timeout_s: int) -> psycopg.Connection:
        conninfo = self._conninfo("postgres", role)
        return psycopg.connect(conninfo, autocommit=True, connect_timeout=timeout_s)

    def _conninfo(self, database: str, role: str) -> str:
        if self._running is None:
            raise ServerFault("the server does not run")
        return _conninfo(self._home, self._running, database, role)

    # ------------------------------------------------------------ life

    def _alive(self) -> bool:
        if self._running is None:
            return False
        if self._child is not None:
            return self._child.poll() is None
        return _runs_in(self._running.pid, self._cluster)

    def _forget(self) -> None:
        self._running = None
        self._child = None
        (self._home / "server.json").unlink(missing_ok=True)


def _silent(step: str) -> None:
    """The progress nobody watches."""


def lock_directory(directory: Path) -> int:
    """Take a venue's directory for this process; returns the file to keep open meanwhile.

    `ServerFault` when another venue has it. The lock ends with the process, however it ends.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(directory / "venue.lock", flags, 0o600)
    except OSError as error:
        raise ServerFault(f"the directory {directory} cannot be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        who = f" (process {holder})" if holder else ""
        raise ServerFault(f"another venue{who} runs on {directory}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def running_server(directory: Path) -> RunningServer | None:
    """The server that runs in a venue's directory, whoever started it; None when none does."""
    home = directory.resolve() / "postgres"
    try:
        known = RunningServer(**json.loads((home / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return known if _runs_in(known.pid, home / "cluster") else None


def running_dsn(directory: Path, database: str) -> str | None:
    """How to connect to a database of the server that runs in a directory, or None."""
    known = running_server(directory)
    if known is None:
        return None
    return _conninfo(directory.resolve() / "postgres", known, database, ROLE)


def _conninfo(home: Path, server: RunningServer, database: str, role: str) -> str:
    secret = home / ("superuser" if role == SUPERUSER else "password")
    return make_conninfo(
        host=server.socket_directory,
        port=_PORT,
        dbname=database,
        user=role,
        password=secret.read_text().strip(),
    )


def _socket_places(home: Path, name: str, identity: Identity) -> list[Path]:
    """Where the socket may be, best first."""
    if identity.switch:
        return [_RUN / name, _TMP / f"nexustrade-{name}"]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [home / "socket"]
    if runtime:
        places.append(Path(runtime) / "nexustrade" / name)
    return [*places, _TMP / f"nexustrade-{identity.uid}-{name}"]


def _own_directory(place: Path, identity: Identity) -> None:
    """Make a directory for the server's user alone; one that somebody else made is refused."""
    if place.parent != _TMP:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if place.parent == _RUN:
        # Whatever the umask was: the server's user passes through what root has made.
        place.parent.chmod(0o755)
    try:
        place.mkdir(mode=0o700)
        os.chown(place, identity.uid, identity.gid)
    except FileExistsError:
        pass
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid not in (identity.uid, os.geteuid()):
            raise PermissionError(f"{place} belongs to another user")
        os.fchown(descriptor, identity.uid, identity.gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _ready(cluster: Path, pid: int) -> bool:
    """Whether the server says, in its pid file, that it takes connections."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _drop_reused_pid_file(cluster: Path) -> None:
    """Remove the pid file of a dead server when its number now belongs to another program.

    PostgreSQL would take that program for the old server and refuse to start. No process works in
    the data directory by now; a pid file whose process is gone is PostgreSQL's own to judge.
    """
    pid = _pid_in_file(cluster)
    if pid and Path(f"/proc/{pid}").exists() and not _runs_in(pid, cluster):
        (cluster / "postmaster.pid").unlink()


def _pid_in_file(cluster: Path) -> int:
    """The process that the server's pid file names, or 0."""
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def _processes_in(cluster: Path) -> list[int]:
    """Every process that works in the data directory: the server and its children."""
    if not cluster.is_dir():
        return []
    numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [pid for pid in numbers if _runs_in(pid, cluster)]


def _runs_in(pid: int, cluster: Path) -> bool:
    """Whether a process is a server whose working directory is this data directory."""
    try:
        place = Path(f"/proc/{pid}")
        program = str((place / "exe").readlink()).removesuffix(" (deleted)")
        return program.endswith("/postgres") and (place / "cwd").samefile(cluster)
    except OSError:
        return False


def _stop(pid: int, ended: Callable[[], bool]) -> None:
    """Stop a server: fast, then at once, then hard, each for a bounded time."""
    steps = (
        (signal.SIGINT, STOP_TIMEOUT_S),
        (signal.SIGQUIT, KILL_TIMEOUT_S),
        (signal.SIGKILL, KILL_TIMEOUT_S),
    )
    for number, timeout_s in steps:
        if ended():
            return
        _signal(pid, number)
        deadline = time.monotonic() + timeout_s
        while not ended() and time.monotonic() < deadline:
            time.sleep(POLL_S)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _secret(path: Path) -> str:
    """The secret in a file of ours, made when it is missing."""
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, all of it or nothing."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.rename(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bound_log(path: Path) -> None:
    """Keep the server's log within its limit: the server appends to the same file for ever."""
    try:
        if path.stat().st_size <= LOG_BYTES_MAX:
            return
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError:
        return
