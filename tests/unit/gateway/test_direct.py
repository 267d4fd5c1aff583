"""Requests that the server answers without ASGI's messages: the same answers, the same limits."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nexustrade.core.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from nexustrade.gateway import web
from nexustrade.gateway.guard import Guard
from nexustrade.gateway.server import HttpServer, serve
from nexustrade.gateway.service import GatewaySettings
from nexustrade.kernel.ports import LogEntry
from tests.unit.gateway.fakes import Setup, make_setup
from tests.unit.gateway.test_orders import LIMIT, UNKNOWN

ALICE = "apca-api-key-id: alice-key\r\napca-api-secret-key: alice-secret\r\nx-request-id: r1\r\n"
BODY = json.dumps({name: value for name, value in LIMIT.items() if name != "client_order_id"})
BODY_LEN_MAX = 1_000


def request(
    target: str, body: str = "", *, method: str = "POST", headers: str = ALICE, version: str = "1.1"
) -> bytes:
    head = f"{method} {target} HTTP/{version}\r\nhost: venue\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


ORDER = request("/v2/orders", BODY)


class Client:
    """A plain connection, read answer by answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._connection, data)

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """The next answer; status 0 when the server has closed the connection."""
        while b"\r\n\r\n" not in self._read:
            if not await self._more():
                return 0, {}, b""
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._read) < length:
            assert await self._more()
        body, self._read = self._read[:length], self._read[length:]
        return int(lines[0].split(" ")[1]), headers, body

    async def _more(self) -> bool:
        async with asyncio.timeout(10):
            part = await self._loop.sock_recv(self._connection, 65_536)
        self._read += part
        return bool(part)


@pytest.fixture
async def setup() -> Setup:
    return make_setup(
        GatewaySettings(body_len_max=BODY_LEN_MAX, rate_limit_per_s=1, rate_limit_burst=20)
    )


@pytest.fixture
async def running(setup: Setup) -> AsyncIterator[HttpServer]:
    server = await serve(setup.app, "127.0.0.1", 0, graceful_stop_s=1)
    yield server
    await server.stop()


@pytest.fixture
def by_asgi(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that went by ASGI."""
    paths: list[str] = []
    call = Guard.__call__

    async def noted(self: Guard, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await call(self, scope, receive, send)

    monkeypatch.setattr(Guard, "__call__", noted)
    return paths


@asynccontextmanager
async def connected(server: HttpServer) -> AsyncIterator[Client]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.setblocking(False)
        yield Client(connection)


class Gate:
    """Holds the venue's answers back until it is opened."""

    def __init__(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)
        submit = setup.venue.submit

        async def gated(command: Any) -> Sequence[LogEntry]:
            self.waiting.release()
            await self.open.wait()
            return await submit(command)

        monkeypatch.setattr(setup.venue, "submit", gated)


# ---------------------------------------------------------------- both ways


ASKED = [
    ORDER,
    request("/v2/orders", BODY, headers="x-request-id: r1\r\n"),
    request("/v2/orders", BODY, headers=ALICE.replace("alice-secret", "another")),
    request("/v2/orders", BODY, headers=ALICE.replace("alice", "reader")),
    request("/v2/orders", "{"),
    request("/v2/orders", '{"symbol":7}'),
    request("/v2/orders", BODY.replace("AAPL", "NONE")),
    request("/v2/orders", '{"symbol":"' + "A" * BODY_LEN_MAX + '"}'),
    request("/v2/orders", BODY, method="PUT"),
    request("/v2/orders?status=all&limit=5", method="GET"),
    request("/v2/orders?status=none", method="GET"),
    request("/v2/orders", method="DELETE"),
    request(f"/v2/orders/{UNKNOWN}", method="GET"),
    request(f"/v2/orders/{UNKNOWN}?nested=1", method="DELETE"),
    request("/v2/account", method="GET"),
    request("/v1/health", method="GET", headers="x-request-id: r1\r\n"),
    request("/v2/nothing", method="GET"),
    request("/v2/orders/", method="GET"),
]


async def test_both_ways_answer_the_same() -> None:
    ways: list[list[Any]] = []
    for extra in (b"", b"connection: close\r\n"):
        setup = make_setup(GatewaySettings(body_len_max=BODY_LEN_MAX))
        server = await serve(setup.app, "127.0.0.1", 0, graceful_stop_s=1)
        ways.append([])
        for asked in ASKED:
            async with connected(server) as client:
                await client.send(asked.replace(b"content-length", extra + b"content-length"))
                status, headers, body = await client.answer()
            ways[-1].append((asked, status, *told_alike(headers, json.loads(body))))
        await server.stop()
    assert ways[0] == ways[1]
    assert {status for _, status, *_ in ways[0]} == {200, 207, 400, 401, 403, 404, 405, 413, 422}


def told_alike(headers: dict[str, str], body: Any) -> tuple[dict[str, str], Any]:
    """What does not differ between two venues that are asked the same."""
    headers = {k: v for k, v in headers.items() if k not in {"date", "connection"}}
    orders = body if isinstance(body, list) else [body]
    for order in orders:
        for name in ("id", "client_order_id"):
            order.pop(name, None)
    return headers, body


async def test_a_whole_request_of_the_fast_lane_needs_no_asgi(
    running: HttpServer, by_asgi: list[str]
) -> None:
    async with connected(running) as client:
        await client.send(ORDER)
        status, headers, body = await client.answer()
        assert (status, headers["x-request-id"]) == (200, "r1")
        await client.send(request(f"/v2/orders/{json.loads(body)['id']}", method="GET"))
        assert (await client.answer())[2] == body
        assert by_asgi == []
        await client.send(request("/v2/orders", method="HEAD"))
        status, headers, _ = await client.answer(has_body=False)
        assert (status, int(headers["content-length"]) > 2) == (200, True)
        await client.send(request("/v2/%6frders", method="GET"))
        assert (await client.answer())[0] == 200
        assert by_asgi == ["/v2/orders", "/v2/orders"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (StoreUnavailable("away"), 503, 50310000),
        (Overloaded("full"), 503, 50310000),
        (OutcomeUnknown("hangs"), 500, 50010001),
        (RuntimeError("a fault"), 500, 50010000),
    ],
)
async def test_faults_get_the_one_error_shape(
    running: HttpServer, setup: Setup, fault: Exception, status: int, code: int
) -> None:
    setup.venue.fault = fault
    async with connected(running) as client:
        await client.send(ORDER)
        told, _, body = await client.answer()
        assert (told, json.loads(body)["code"]) == (status, code)
        setup.venue.fault = None
        await client.send(ORDER)
        assert (await client.answer())[0] == 200


async def test_the_rate_limit_is_one_for_both_ways(running: HttpServer) -> None:
    async with connected(running) as client:
        for n in range(20):
            path = "/v2/orders" if n % 2 else "/v2/%6frders"
            await client.send(request(path, method="GET"))
            assert (await client.answer())[0] == 200
        await client.send(ORDER)
        status, headers, _ = await client.answer()
        assert (status, headers["retry-after"]) == (429, "1")


# ---------------------------------------------------------------- how a request may come


async def test_one_after_the_other_on_one_connection(running: HttpServer, setup: Setup) -> None:
    async with connected(running) as client:
        for _ in range(5):
            await client.send(ORDER)
            assert (await client.answer())[0] == 200
    assert len(setup.venue.commands) == 5


async def test_requests_behind_each_other_are_answered_in_their_order(
    running: HttpServer, setup: Setup, monkeypatch: pytest.MonkeyPatch, by_asgi: list[str]
) -> None:
    gate = Gate(setup, monkeypatch)
    account = request("/v2/account", method="GET")
    async with connected(running) as client:
        await client.send(ORDER + account + request("/v2/orders", "{"))
        await gate.waiting.acquire()
        assert by_asgi == []
        gate.open.set()
        answers = [await client.answer() for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 400]
        assert b'"account_number"' in answers[1][2]
        await client.send(ORDER)
        assert (await client.answer())[0] == 200
    assert by_asgi == ["/v2/account", "/v2/orders"]


async def test_a_body_that_comes_in_pieces(running: HttpServer, setup: Setup) -> None:
    async with connected(running) as client:
        for at in (len(ORDER) - len(BODY) - 5, len(ORDER) - len(BODY), len(ORDER) - 7):
            await client.send(ORDER[:at])
            await asyncio.sleep(0.01)
            await client.send(ORDER[at:])
            assert (await client.answer())[0] == 200
    assert len(setup.venue.commands) == 3


async def test_a_body_that_never_comes_is_refused(
    running: HttpServer, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_BODY_S_MAX", 0.05)
    async with connected(running) as client:
        await client.send(ORDER[:-1])
        assert (await client.answer())[0] == 408
    assert setup.venue.commands == []


async def test_a_client_that_asks_whether_to_go_on(running: HttpServer) -> None:
    asked = request("/v2/orders", BODY, headers=ALICE + "expect: 100-continue\r\n")
    head, body = asked[: -len(BODY)], asked[-len(BODY) :]
    async with connected(running) as client:
        await client.send(head)
        assert (await client.answer())[0] == 100
        await client.send(body)
        assert (await client.answer())[0] == 200


async def test_chunks(running: HttpServer) -> None:
    head = f"POST /v2/orders HTTP/1.1\r\nhost: x\r\n{ALICE}transfer-encoding: chunked\r\n\r\n"
    chunks = f"5\r\n{BODY[:5]}\r\n{len(BODY) - 5:x}\r\n{BODY[5:]}\r\n0\r\n\r\n"
    too_much = f"{BODY_LEN_MAX + 1:x}\r\n{'1' * (BODY_LEN_MAX + 1)}\r\n0\r\n\r\n"
    async with connected(running) as client:
        await client.send((head + chunks).encode())
        assert (await client.answer())[0] == 200
        await client.send((head + too_much).encode())
        assert (await client.answer())[0] == 413


async def test_http_1_0_is_answered_and_closed(running: HttpServer) -> None:
    async with connected(running) as client:
        await client.send(request("/v2/orders", BODY, version="1.0"))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert (await client.answer())[0] == 0


# ---------------------------------------------------------------- how a connection may end


async def test_garbage_behind_a_request_is_refused(
    running: HttpServer, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(setup, monkeypatch)
    async with connected(running) as client:
        await client.send(ORDER + b"nonsense\r\n\r\n")
        await gate.waiting.acquire()
        assert (await client.answer())[0] == 400
        gate.open.set()
        assert (await client.answer())[0] == 0
    assert await alive(running)


async def test_a_client_that_does_not_wait_for_its_answer(
    running: HttpServer, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(setup, monkeypatch)
    async with connected(running) as client:
        await client.send(ORDER)
        await gate.waiting.acquire()
    while running._server.server_state.connections:
        await asyncio.sleep(0.001)
    gate.open.set()
    while running._server.server_state.tasks:
        await asyncio.sleep(0.001)
    assert len(setup.venue.commands) == 1
    assert await alive(running)


async def test_a_stop_lets_a_request_finish_and_closes(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(setup, monkeypatch)
    server = await serve(setup.app, "127.0.0.1", 0, graceful_stop_s=10)
    async with connected(server) as client, connected(server) as idle:
        await idle.send(request("/v2/account", method="GET"))
        assert (await idle.answer())[0] == 200
        await client.send(ORDER)
        await gate.waiting.acquire()
        stopping = asyncio.create_task(server.stop())
        assert (await idle.answer())[0] == 0
        gate.open.set()
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert (await client.answer())[0] == 0
        await stopping


async def alive(server: HttpServer) -> bool:
    async with connected(server) as client:
        await client.send(request("/v2/account", method="GET"))
        return (await client.answer())[0] == 200
