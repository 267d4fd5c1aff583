"""Wires a whole venue in one process and runs it: the only place that knows every part.

Start: server, schemas, recovery, what venue.toml declares, gateway, demo market. Stop: the gateway
finishes its requests, the runtime drains and snapshots, the server stops.
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from psycopg_pool import AsyncConnectionPool

from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.adapters.postgres.embedded import EmbeddedServer
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.adapters.system import SystemClock
from nexustrade.core.errors import (
    InputError,
    NexusError,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from nexustrade.demo.market import Demo, retire
from nexustrade.gateway.api import build_app
from nexustrade.gateway.server import HttpServer, serve
from nexustrade.gateway.service import Gateway, GatewaySettings
from nexustrade.gateway.store import KeyStore, WatchlistStore, create_key
from nexustrade.kernel.calendar import Calendar, calendar_for
from nexustrade.kernel.config import AccountConfig, VenueConfig
from nexustrade.kernel.ports import Commands
from nexustrade.kernel.routing import MATCHING_TOPIC, ORDERS_TOPIC, Routing
from nexustrade.kernel.runtime import Limits, Runtime
from nexustrade.kernel.stage import Stage
from nexustrade.kernel.timekeeper import Timekeeper
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.service import BooksView
from nexustrade.migrations import upgrade
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import CommandRejected, OpenAccount
from nexustrade.orders.service import OneIdOneOrder, OrdersView
from nexustrade.orders.store import History, HistoryWriter

_NO_ACCOUNT: Final = OpenAccount("", "CASH")
POOL_SIZE_MAX: Final = 4
POOL_WAIT_S: Final = 2.0
PARTITIONS_MAX: Final = 64
SNAPSHOT_CHECK_S: Final = 10.0
SNAPSHOT_TIMEOUT_S: Final = 1_800.0
OPEN_FILES_SPARE: Final = 256
GC_THRESHOLDS: Final = (2_000, 2, 20_000)
"""When the collector looks for cycles. The venue makes none while it works, and an order leaves a
dozen objects: it looks at few of them at a time, while they are in the processor's cache, and at
all there are once in some million orders. Looking at many at once is a stall of many milliseconds.
"""

Progress = Callable[[str], None]
log = structlog.get_logger()


def make_stage(shard: str, closed_keep_s: int) -> Stage:
    """A new, empty stage for a stream, by the stream's name."""
    if shard.startswith("orders-"):
        return OrdersStage(shard, closed_keep_s * 1_000_000)
    return MatchingStage(shard)


class Venue:
    """A running venue: what the steps of `run_venue` build on each other."""

    def __init__(
        self, config: VenueConfig, data_dir: Path, trading_dsn: str, accounts_dsn: str
    ) -> None:
        self.config = config
        self.data_dir = data_dir
        self.trading_dsn = trading_dsn
        self.accounts_dsn = accounts_dsn
        self.clock = SystemClock()
        self.routing = Routing(config.stages.orders, config.stages.matching)
        self.calendar: Calendar = calendar_for(config.session, config.settlement_cycle_days)
        self.store = PostgresEventStore(trading_dsn)
        self.log = MemoryLog()
        limits = config.limits
        self.runtime = Runtime(
            self.store,
            self.log,
            self.clock,
            self.routing,
            self.make_stage,
            self.routing.shards(),
            Limits(limits.batch_len_max, limits.queue_len_max, limits.commit_deadline_s),
        )
        self.commands: Commands = OneIdOneOrder(
            self.runtime, self.store.find_cl_ord_ids, self.clock, limits.cl_ord_id_days
        )
        self.orders: OrdersView
        self.books: BooksView
        self.time: Timekeeper
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.runtime.on_failure = self.fail

    def make_stage(self, shard: str) -> Stage:
        return make_stage(shard, self.config.limits.closed_orders_keep_s)

    def fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    # -- steps of the start

    async def recover(self) -> None:
        """Bring the stages to the heads of their streams, and the readers' replicas with them."""
        await self._check_partitions()
        await self.runtime.start()
        replicas = {shard: self._replica(stage) for shard, stage in self.runtime.stages.items()}
        self.orders = OrdersView(
            [one for one in replicas.values() if isinstance(one, OrdersStage)],
            self.routing.orders_of,
        )
        self.books = BooksView(
            [one for one in replicas.values() if isinstance(one, MatchingStage)],
            self.routing.matching_of,
        )
        self.time = Timekeeper(
            self.config, self.calendar, self.clock, self.commands, self.books, self.orders
        )
        await self.log.subscribe(ORDERS_TOPIC, self.orders.receive)
        await self.log.subscribe(MATCHING_TOPIC, self.books.receive)

    def _replica(self, stage: Stage) -> Stage:
        twin = self.make_stage(stage.shard)
        twin.load(stage.dump(), stage.seq, stage.ts_us)
        return twin

    async def _check_partitions(self) -> None:
        """The number of partitions is part of the stored streams: it cannot change by a setting."""
        for kind in ("orders", "matching"):
            used = 0
            while used < PARTITIONS_MAX and (await self.store.head(f"{kind}-{used}")).epoch:
                used += 1
            wanted = getattr(self.config.stages, kind)
            if used not in (0, wanted):
                raise InputError(f"stages.{kind}", wanted, f"this data has {used} partitions")

    async def declare(self) -> None:
        """Carry out what venue.toml declares and the venue does not have yet.

        Raises `NexusError` when a stage refuses an account or a position.
        """
        await asyncio.gather(*(self.commands.submit(one) for one in self.config.instruments))
        await self.time.tick()
        for account in self.config.accounts:
            if self.orders.account(account.account_id) is None:
                # In one batch: an account is not opened without its positions.
                answers = await asyncio.gather(
                    self.commands.submit(account.open),
                    *(self.commands.submit(position) for position in account.positions),
                )
                for entries in answers:
                    event = entries[0].event
                    if isinstance(event, CommandRejected):
                        raise NexusError(f"account {account.account_id}: {event.text}")

    async def keep_time(self) -> None:
        """Tick for ever; while the store is away there is nothing to tell."""
        while True:
            await asyncio.sleep(self.config.limits.tick_ms / 1000)
            with contextlib.suppress(StoreUnavailable, Overloaded, OutcomeUnknown):
                await self.time.tick()

    async def keep_snapshots(self) -> None:
        """Start the snapshot writer, a process of its own, whenever enough events are new."""
        done: dict[str, int] = {}
        for shard in self.routing.shards():
            newest = await self.store.latest_snapshot(shard)
            done[shard] = newest.seq if newest is not None else 0
        while True:
            await asyncio.sleep(SNAPSHOT_CHECK_S)
            due = {
                shard: stage.seq
                for shard, stage in self.runtime.stages.items()
                if stage.seq - done[shard] >= self.config.limits.snapshot_every_events
            }
            if due and await self._write_snapshots(list(due)):
                done.update(due)

    async def _write_snapshots(self, shards: Sequence[str]) -> bool:
        # The DSN holds a password: it goes by the environment, not by the arguments.
        writer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "nexustrade.kernel.snapshotter",
            str(self.config.limits.closed_orders_keep_s),
            *shards,
            env=os.environ | {"NEXUSTRADE_TRADING_DSN": self.trading_dsn},
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
                return await writer.wait() == 0
        finally:
            if writer.returncode is None:
                writer.kill()
                await writer.wait()


async def run_venue(
    config: VenueConfig,
    data_dir: Path,
    http: tuple[str, int],
    demo: bool,
    progress: Progress,
    ready: Callable[[str, str, str], None],
) -> int:
    """Run a venue until SIGTERM or SIGINT, or until it fails. Returns the exit code.

    `ready(url, key, secret)` is called once it serves, with the first account's key where there is
    one. Raises `NexusError` when it cannot start; the message says why.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    _allow_open_files(config.limits.connections_max)
    async with AsyncExitStack() as stack:
        trading_dsn, accounts_dsn = await _databases(stack, config, data_dir, progress)
        venue = Venue(config, data_dir, trading_dsn, accounts_dsn)
        stack.push_async_callback(venue.store.close)
        progress("recovering the streams")
        await venue.recover()
        stack.push_async_callback(venue.runtime.stop)
        pool = await stack.enter_async_context(_pool(accounts_dsn))
        keys = KeyStore(pool, venue.clock)
        await _start_history(stack, venue)
        progress("declaring instruments and accounts")
        await venue.declare()
        credentials = await _credentials(venue, pool)
        if demo:
            progress("quoting the demo market")
        await _start_demo(stack, venue, demo)
        stack.enter_context(_task(venue, venue.keep_time(), "clock"))
        stack.enter_context(_task(venue, venue.keep_snapshots(), "snapshots"))
        progress(f"listening on {http[0]}:{http[1]}")
        server = await _serve(venue, keys, pool, http)
        stack.push_async_callback(server.stop)
        url = f"http://{_shown(http[0])}:{server.port}"
        _describe(venue, url, credentials["admin"])
        stack.callback(_forget, data_dir)
        # What is here now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        ready(url, *_first(config, credentials))
        await _until(stop, venue.failed)
        progress("stopping")
    return 1 if venue.failed.done() else 0


async def _until(stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    ends: list[asyncio.Future[Any]] = [stopping, failed]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if failed.done():
        log.critical("the venue failed", error=repr(failed.exception()))


async def _databases(
    stack: AsyncExitStack, config: VenueConfig, data_dir: Path, progress: Progress
) -> tuple[str, str]:
    """DSNs of the two databases, migrated: given ones, or those of the embedded server."""
    given = config.databases
    await asyncio.to_thread(data_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    trading_dsn, accounts_dsn = str(given.trading), str(given.accounts)
    if not (trading_dsn and accounts_dsn):
        steps = {
            "programs": "preparing PostgreSQL",
            "initdb": "creating the database cluster",
            "adopt": "taking over the running PostgreSQL",
            "start": "starting PostgreSQL",
        }
        server = EmbeddedServer(
            data_dir, progress=lambda step: progress(steps[step]) if step in steps else None
        )
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        supervisor = asyncio.create_task(server.supervise(), name="postgresql")
        stack.callback(supervisor.cancel)
        trading_dsn = trading_dsn or server.dsn("trading")
        accounts_dsn = accounts_dsn or server.dsn("accounts")
    progress("migrating the schemas")
    await asyncio.to_thread(upgrade, trading_dsn, "trading")
    await asyncio.to_thread(upgrade, accounts_dsn, "accounts")
    return trading_dsn, accounts_dsn


@asynccontextmanager
async def _pool(dsn: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=POOL_SIZE_MAX,
        timeout=POOL_WAIT_S,
        open=False,
        kwargs={"autocommit": True},
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _start_history(stack: AsyncExitStack, venue: Venue) -> None:
    writer = HistoryWriter(
        venue.accounts_dsn, venue.routing.orders_shards, venue.store, venue.orders, venue.clock
    )
    await venue.log.subscribe(ORDERS_TOPIC, writer.receive)
    stack.enter_context(_task(venue, writer.run(), "history"))


async def _start_demo(stack: AsyncExitStack, venue: Venue, wanted: bool) -> None:
    if not wanted:
        await retire(venue.commands, venue.orders)
    else:
        market = Demo(
            venue.commands, venue.orders, venue.clock, venue.config, venue.books.session_open
        )
        await market.seed()
        stack.enter_context(_task(venue, market.run(), "demo"))


async def _serve(
    venue: Venue, keys: KeyStore, pool: AsyncConnectionPool[Any], http: tuple[str, int]
) -> HttpServer:
    limits = venue.config.limits
    gateway = Gateway(
        venue.commands,
        venue.orders,
        History(pool),
        venue.books,
        keys,
        WatchlistStore(pool),
        venue.calendar,
        venue.clock,
        GatewaySettings(
            rate_limit_per_s=limits.rate_limit_per_s,
            rate_limit_burst=limits.rate_limit_burst,
            body_len_max=limits.body_bytes_max,
            stream_queue_len_max=limits.stream_queue_len_max,
        ),
        lambda: venue.runtime.available,
    )
    try:
        return await serve(
            build_app(gateway),
            http[0],
            http[1],
            connections_max=limits.connections_max,
            graceful_stop_s=limits.drain_deadline_s,
        )
    except OSError as error:
        raise NexusError(f"cannot listen on {http[0]}:{http[1]}: {error.strerror}") from error


@contextlib.contextmanager
def _task(
    venue: Venue, work: Coroutine[Any, Any, None], name: str
) -> Any:  # a generator, as contextmanager wants it
    """Run `work` beside the venue; when it fails, so does the venue."""
    task = asyncio.create_task(work, name=name)

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            venue.fail(task.exception())  # type: ignore[arg-type]

    task.add_done_callback(done)
    try:
        yield
    finally:
        task.cancel()


# ---------------------------------------------------------------- keys and what operators find


async def _credentials(venue: Venue, pool: AsyncConnectionPool[Any]) -> dict[str, tuple[str, str]]:
    """Every configured account's key and secret, and the operator's (`admin`), made when new.

    Generated secrets are kept in the data directory, readable by its owner alone, so that a start
    can show them again; the database has only their hashes.
    """
    path = venue.data_dir / "credentials.json"
    kept: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    admin = AccountConfig(open=_NO_ACCOUNT, scopes=("admin", "trade", "read"))
    found: dict[str, tuple[str, str]] = {}
    now_us = venue.clock.now_us()
    async with pool.connection() as connection:
        for account in (admin, *venue.config.accounts):
            name = account.account_id or "admin"
            key, secret = (account.key, str(account.secret))
            if not secret:
                key, secret = kept.setdefault(name, [key or _new_key_id(), _new_secret()])
            await create_key(
                connection, account.account_id, account.scopes, now_us, name, 0, key, secret
            )
            found[name] = (key, secret)
    _write_private(path, kept)
    return found


def _new_key_id() -> str:
    return "NX" + secrets.token_hex(9).upper()


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _first(config: VenueConfig, credentials: dict[str, tuple[str, str]]) -> tuple[str, str]:
    return credentials[config.accounts[0].account_id] if config.accounts else ("", "")


def _describe(venue: Venue, url: str, admin: tuple[str, str]) -> None:
    """Leave in the data directory where the venue is and how its operator reaches it."""
    _write_private(
        venue.data_dir / "venue.json",
        {
            "url": url,
            "pid": os.getpid(),
            "admin_key": admin[0],
            "admin_secret": admin[1],
            "trading_dsn": venue.trading_dsn,
            "accounts_dsn": venue.accounts_dsn,
        },
    )


def _forget(data_dir: Path) -> None:
    (data_dir / "venue.json").unlink(missing_ok=True)


def _write_private(path: Path, content: object) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _allow_open_files(connections_max: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + OPEN_FILES_SPARE
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
