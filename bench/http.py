"""The durable path over HTTP: accepted orders a second, and latency at a fixed rate.

Starts a venue of its own (`nexustrade up`, embedded PostgreSQL, fsync on) and drives it from this
process over keep-alive connections: 64 in a closed loop, one in a closed loop, and 2,000 orders a
second on a schedule, where a late answer counts from when its order was due (no coordinated
omission). Orders are limit orders in 20 symbols; with `CROSSING` of them one in two trades.

The load shares the venue's cores, so it is made cheap: bodies are written beforehand, and one epoll
loop over plain sockets writes them and reads status and length of the answers.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

CONNECTIONS = 64
SECONDS = 8.0
RATE_PER_S = 2_000
SYMBOLS = [f"S{n:02}" for n in range(20)]
SECRET = "bench-secret-bench-secret-bench-secret"
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 15.0
CROSSING = 0.5
BODIES = 20_000
"""Bodies written beforehand; they are sent again and again, each time as new orders."""


def venue_toml() -> str:
    """20 symbols, and an account for each connection with money enough for every order."""
    parts = ['[venue]\nname = "bench"\n', "[limits]\nrate_limit_per_s = 100_000\n"]
    parts += [f'[[instruments]]\nsymbol = "{s}"\nreference_price = "100"\n' for s in SYMBOLS]
    for n in range(CONNECTIONS):
        held = ", ".join(f'{{ symbol = "{s}", qty = 10_000_000 }}' for s in SYMBOLS)
        parts.append(
            f'[[accounts]]\nid = "a{n}"\ntype = "cash"\ncash = 1_000_000_000\n'
            f'open_orders_max = 100_000\nkey = "bench-key-{n}"\nsecret = "{SECRET}"\n'
            f"positions = [ {held} ]\n"
        )
    return "\n".join(parts)


class Connection:
    """One keep-alive connection: one request at a time."""

    def __init__(self, port: int, key: str) -> None:
        self._head = (
            f"POST /v2/orders HTTP/1.1\r\nhost: bench\r\nAPCA-API-KEY-ID: {key}\r\n"
            f"APCA-API-SECRET-KEY: {SECRET}\r\ncontent-type: application/json\r\ncontent-length: "
        ).encode()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self.since = 0.0

    def post(self, body: bytes, since: float) -> None:
        """Send an order that was due at `since`: its length, an empty line and its JSON."""
        self.since = since
        self.socket.sendall(self._head + body)

    def status(self) -> int:
        """Read what has come; the answer's status once all of it is here, else 0."""
        self._read += self.socket.recv(65_536)
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            if not self._read:
                raise SystemExit("the venue has closed a connection")
            return 0
        at = self._read.find(b"content-length: ") + 16
        if len(self._read) < end + 4 + int(self._read[at : self._read.find(b"\r", at)]):
            return 0
        status = int(self._read[9:12])
        self._read = b""
        return status


class Connections:
    """The open connections, and those of them that have something to read."""

    def __init__(self, port: int, count: int) -> None:
        self.all = [Connection(port, f"bench-key-{n}") for n in range(count)]
        self._by_fd = {one.socket.fileno(): one for one in self.all}
        self._epoll = select.epoll()
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)

    def readable(self, wait_s: float) -> Iterator[Connection]:
        """Those that can be read now, or within `wait_s`, which `epoll` would round up to a ms."""
        if wait_s > 0:
            select.select([self._epoll], [], [], wait_s)
        for fd, _ in self._epoll.poll(0):
            yield self._by_fd[fd]

    def close(self) -> None:
        self._epoll.close()
        for one in self.all:
            one.socket.close()


def bodies(seed: int) -> Iterator[bytes]:
    """Orders without end, from a seed: their length, an empty line and their JSON."""
    rng = random.Random(seed)

    def body() -> bytes:
        symbol = SYMBOLS[rng.randrange(len(SYMBOLS))]
        buy = rng.random() < 0.5
        away = 0 if rng.random() < CROSSING else rng.randint(1, 50)
        cents = 10_000 - away if buy else 10_000 + away
        text = (
            f'{{"symbol":"{symbol}","qty":"{rng.randint(1, 9)}","side":'
            f'"{"buy" if buy else "sell"}","type":"limit","time_in_force":"gtc",'
            f'"limit_price":"{cents / 100:.2f}"}}'
        )
        return f"{len(text)}\r\n\r\n{text}".encode()

    return cycle([body() for _ in range(BODIES)])


class Answers:
    """What became of the orders, and how long each took."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.latencies_ms: list[float] = []

    def note(self, status: int, since: float, now: float) -> None:
        if status == 200:
            self.accepted += 1
        else:
            self.refused += 1
        self.latencies_ms.append((now - since) * 1000)

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


def closed_loop(port: int, count: int, seconds: float) -> dict[str, object]:
    """Each connection posts its next order as soon as the last one is answered."""
    connections = Connections(port, count)
    orders = bodies(count)
    answers = Answers()
    started = now = time.perf_counter()
    for one in connections.all:
        one.post(next(orders), now)
    working = count
    while working:
        _check_alive(now)
        for one in connections.readable(ANSWER_TIMEOUT_S):
            status = one.status()
            if not status:
                continue
            now = time.perf_counter()
            answers.note(status, one.since, now)
            if now - started < seconds:
                one.post(next(orders), now)
            else:
                working -= 1
    connections.close()
    return answers.figures(now - started)


def fixed_rate(port: int, rate_per_s: int, seconds: float) -> dict[str, object]:
    """Orders come due on a schedule; one that finds no free connection waits, and that counts."""
    connections = Connections(port, CONNECTIONS)
    orders = bodies(rate_per_s)
    answers = Answers()
    free = list(connections.all)
    waiting: deque[float] = deque()
    total = int(rate_per_s * seconds)
    started = now = time.perf_counter()
    sent = 0
    while len(answers.latencies_ms) < total:
        _check_alive(now)
        while sent < total and started + sent / rate_per_s <= time.perf_counter():
            waiting.append(started + sent / rate_per_s)
            sent += 1
        while free and waiting:
            free.pop().post(next(orders), waiting.popleft())
        due = started + sent / rate_per_s if sent < total else now + ANSWER_TIMEOUT_S
        for one in connections.readable(due - time.perf_counter()):
            status = one.status()
            if status:
                now = time.perf_counter()
                answers.note(status, one.since, now)
                free.append(one)
    connections.close()
    return answers.figures(time.perf_counter() - started)


def _check_alive(answered: float) -> None:
    if time.perf_counter() - answered > ANSWER_TIMEOUT_S:
        raise SystemExit(f"no answer for {ANSWER_TIMEOUT_S} s")


class Processes:
    """The processor time of the venue, of its PostgreSQL and of the load (this process)."""

    def __init__(self, venue_pid: int, postgres_pid: int) -> None:
        self._venue_pid = venue_pid
        self._postgres_pid = postgres_pid

    def seconds(self) -> dict[str, float]:
        """Each one's processor time so far."""
        used = {"venue": 0.0, "postgresql": 0.0, "load": time.process_time()}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            pid, parent = int(path.parent.name), int(fields[1])
            ticks = int(fields[11]) + int(fields[12])
            if pid == self._venue_pid:
                used["venue"] += ticks / os.sysconf("SC_CLK_TCK")
            elif self._postgres_pid in (pid, parent):
                used["postgresql"] += ticks / os.sysconf("SC_CLK_TCK")
        return used


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
        server = json.loads((folder / "data" / "postgres" / "server.json").read_text())
        processes = Processes(process.pid, server["pid"])
        warm = closed_loop(port, CONNECTIONS, 2.0)
        before = processes.seconds()
        full = closed_loop(port, CONNECTIONS, seconds)
        after = processes.seconds()
        accepted = full["accepted"]
        assert isinstance(accepted, int)
        full["cpu_us_per_order"] = {
            name: round((after[name] - before[name]) / max(accepted, 1) * 1e6, 1) for name in after
        }
        return {
            "warm_up": warm,
            "connections_64": full,
            "fixed_rate_2000_per_s": fixed_rate(port, RATE_PER_S, seconds),
            "connection_1": closed_loop(port, 1, seconds),
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
