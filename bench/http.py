"""The durable path over HTTP: accepted orders a second, and latency at a fixed rate.

Starts a venue of its own (`nexustrade up`, embedded PostgreSQL, fsync on) and drives it from this
process over keep-alive connections: 64 in a closed loop, one in a closed loop, and 2,000 orders a
second on a schedule, where a late answer counts from when its order was due (no coordinated
omission). Orders are limit orders in 20 symbols; with `CROSSING` of them one in two trades.
"""

import asyncio
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

CONNECTIONS = 64
SECONDS = 8.0
RATE_PER_S = 2_000
SYMBOLS = [f"S{n:02}" for n in range(20)]
SECRET = "bench-secret-bench-secret-bench-secret"
START_TIMEOUT_S = 60.0
CROSSING = 0.5


def venue_toml() -> str:
    """20 symbols, and an account for each connection with money enough for every order."""
    parts = ['[venue]\nname = "bench"\n']
    parts += [f'[[instruments]]\nsymbol = "{s}"\nreference_price = "100"\n' for s in SYMBOLS]
    for n in range(CONNECTIONS):
        held = ", ".join(f'{{ symbol = "{s}", qty = 10_000_000 }}' for s in SYMBOLS)
        parts.append(
            f'[[accounts]]\nid = "a{n}"\ntype = "cash"\ncash = 1_000_000_000\n'
            f'open_orders_max = 100_000\nkey = "bench-key-{n}"\nsecret = "{SECRET}"\n'
            f"positions = [ {held} ]\n"
        )
    return "\n".join(parts)


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, its status and body to `done`."""

    def __init__(self, key: str) -> None:
        self.head = (
            f"POST /v2/orders HTTP/1.1\r\nhost: bench\r\nAPCA-API-KEY-ID: {key}\r\n"
            f"APCA-API-SECRET-KEY: {SECRET}\r\ncontent-type: application/json\r\ncontent-length: "
        ).encode()
        self.transport: asyncio.Transport
        self.buffer = b""
        self.done: Callable[[int], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def post(self, body: bytes) -> None:
        self.transport.write(self.head + str(len(body)).encode() + b"\r\n\r\n" + body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.find(b"content-length: ")
        length = int(self.buffer[at + 16 : self.buffer.find(b"\r\n", at)])
        if len(self.buffer) >= end + 4 + length:
            status = int(self.buffer[9:12])
            self.buffer = self.buffer[end + 4 + length :]
            self.done(status)


class Load:
    """Orders from a seed, and what became of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.accepted = 0
        self.refused = 0
        self.latencies_ms: list[float] = []

    def order(self) -> bytes:
        symbol = SYMBOLS[self.random.randrange(len(SYMBOLS))]
        buy = self.random.random() < 0.5
        away = 0 if self.random.random() < CROSSING else self.random.randint(1, 50)
        cents = 10_000 - away if buy else 10_000 + away
        return (
            f'{{"symbol":"{symbol}","qty":"{self.random.randint(1, 9)}","side":'
            f'"{"buy" if buy else "sell"}","type":"limit","time_in_force":"gtc",'
            f'"limit_price":"{cents / 100:.2f}"}}'
        ).encode()

    def note(self, status: int, since: float) -> None:
        if status == 200:
            self.accepted += 1
        else:
            self.refused += 1
        self.latencies_ms.append((time.perf_counter() - since) * 1000)

    def figures(self, elapsed: float) -> dict[str, object]:
        ordered = sorted(self.latencies_ms)
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "accepted_per_s": round(self.accepted / elapsed),
            "p50_ms": round(statistics.median(ordered), 3),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 3),
            "max_ms": round(ordered[-1], 3),
        }


async def connect(port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    opened = []
    for n in range(count):
        make = partial(Connection, f"bench-key-{n}")
        _, protocol = await loop.create_connection(make, "127.0.0.1", port)
        opened.append(protocol)
    return opened


async def closed_loop(port: int, count: int, seconds: float) -> dict[str, object]:
    """Each connection posts its next order as soon as the last one is answered."""
    connections = await connect(port, count)
    load = Load(count)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    started = time.perf_counter()
    working = count

    def run(connection: Connection) -> None:
        since = time.perf_counter()

        def done(status: int) -> None:
            nonlocal since, working
            load.note(status, since)
            since = time.perf_counter()
            if since - started < seconds:
                connection.post(load.order())
                return
            working -= 1
            if not working and not finished.done():
                finished.set_result(None)

        connection.done = done
        connection.post(load.order())

    for connection in connections:
        run(connection)
    await finished
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.transport.close()
    return load.figures(elapsed)


async def fixed_rate(port: int, rate_per_s: int, seconds: float) -> dict[str, object]:
    """Orders come due on a schedule; one that finds no free connection waits, and that counts."""
    connections = await connect(port, CONNECTIONS)
    load = Load(rate_per_s)
    free = list(connections)
    due: list[float] = []
    started = time.perf_counter()
    total = int(rate_per_s * seconds)
    answered = 0
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(connection: Connection, since: float) -> None:
        def done(status: int) -> None:
            nonlocal answered
            load.note(status, since)
            answered += 1
            if due:
                send(connection, due.pop(0))
            else:
                free.append(connection)
            if answered == total and not finished.done():
                finished.set_result(None)

        connection.done = done
        connection.post(load.order())

    for n in range(total):
        at = started + n / rate_per_s
        wait = at - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if free:
            send(free.pop(), at)
        else:
            due.append(at)
    await finished
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.transport.close()
    return load.figures(elapsed)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A venue in `folder`, once it serves, and its port."""
    config = folder / "venue.toml"
    config.write_text(venue_toml())
    command = [sys.executable, "-m", "nexustrade", "up", "--config", str(config), "--no-demo"]
    command += ["--data", str(folder / "data"), "--http", "127.0.0.1:0"]
    with (folder / "venue.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    described = folder / "data" / "venue.json"
    while not described.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((folder / "venue.log").read_text())
        time.sleep(0.05)
    return process, int(json.loads(described.read_text())["url"].rsplit(":", 1)[1])


def run(seconds: float = SECONDS) -> dict[str, object]:
    """All three figures from one venue."""
    folder = Path(tempfile.mkdtemp(prefix="nexustrade-bench-"))
    process, port = start(folder)
    try:
        warm = uvloop.run(closed_loop(port, CONNECTIONS, 2.0))
        return {
            "warm_up": warm,
            "connections_64": uvloop.run(closed_loop(port, CONNECTIONS, seconds)),
            "fixed_rate_2000_per_s": uvloop.run(fixed_rate(port, RATE_PER_S, seconds)),
            "connection_1": uvloop.run(closed_loop(port, 1, seconds)),
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
