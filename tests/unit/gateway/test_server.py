import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from nexustrade.gateway import server as server_module
from nexustrade.gateway.server import HttpServer, serve
from nexustrade.gateway.service import GatewaySettings
from nexustrade.orders.messages import OrderDecremented
from tests.unit.gateway.fakes import Setup, make_setup
from tests.unit.gateway.test_orders import LIMIT
from tests.unit.gateway.test_stream import AUTH, AUTHORIZED, LISTEN, LISTENING

HEADERS = {"APCA-API-KEY-ID": "alice-key", "APCA-API-SECRET-KEY": "alice-secret"}


@pytest.fixture
async def setup() -> Setup:
    return make_setup(GatewaySettings(stream_queue_len_max=200, stream_close_s_max=0.1))


@pytest.fixture
async def running(setup: Setup) -> AsyncIterator[HttpServer]:
    server = await serve(setup.app, "127.0.0.1", 0, graceful_stop_s=1)
    yield server
    await server.stop()


def url(server: HttpServer, path: str = "", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}{path}"


@contextmanager
def raw(server: HttpServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.setblocking(False)
        yield connection


async def heard(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    loop = asyncio.get_running_loop()
    parts: list[bytes] = []
    async with asyncio.timeout(10):
        while part := await loop.sock_recv(connection, 65_536):
            parts.append(part)
    return b"".join(parts)


async def said(connection: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        message = await connection.recv()
    assert isinstance(message, bytes)
    return json.loads(message)


async def test_orders_over_a_real_connection(running: HttpServer) -> None:
    async with httpx.AsyncClient(base_url=url(running), headers=HEADERS) as client:
        answer = await client.post("/v2/orders", json=LIMIT)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert len(answer.headers.get_list("date")) == 1
        by_slash = await client.get("/v2/assets/BTC%2FUSD")
        assert by_slash.json()["symbol"] == "BTC/USD"
        cancelled = await client.delete(f"/v2/orders/{answer.json()['id']}")
        assert (cancelled.status_code, cancelled.content) == (204, b"")


async def test_an_address_in_use_is_an_oserror(running: HttpServer, setup: Setup) -> None:
    with pytest.raises(OSError, match="in use"):
        await serve(setup.app, "127.0.0.1", running.port)


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"nonsense\r\n\r\n", b"400", b"40010000"),
        (b"GET / HTTP/1.1\r\nhost x\r\n\r\n", b"400", b"40010000"),
    ],
)
async def test_what_is_no_http_gets_the_one_error_shape(
    running: HttpServer, request_bytes: bytes, status: bytes, code: bytes
) -> None:
    with raw(running) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, request_bytes)
        answer = await heard(connection)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'{"code":' + code in answer


async def test_headers_without_end_are_refused(running: HttpServer) -> None:
    loop = asyncio.get_running_loop()
    with raw(running) as connection:
        await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\n")
        for _ in range(20):
            await asyncio.sleep(0.001)
            try:
                await loop.sock_sendall(connection, b"x-a: " + b"y" * 8_000 + b"\r\n")
            except OSError:
                break
        answer = await heard(connection)
    assert b"431 Request Header Fields Too Large" in answer


async def test_a_request_that_never_comes_is_refused(
    running: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HEAD_S_MAX", 0.05)
    with raw(running) as idle, raw(running) as slow:
        await asyncio.get_running_loop().sock_sendall(slow, b"GET / HTTP/1.1\r\nhos")
        assert b"408 Request Timeout" in await heard(idle)
        assert b"408 Request Timeout" in await heard(slow)


async def test_a_connection_over_the_limit_is_closed_and_the_others_are_served(
    setup: Setup,
) -> None:
    server = await serve(setup.app, "127.0.0.1", 0, connections_max=2, graceful_stop_s=1)
    request = b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
    with raw(server) as one, raw(server) as two:
        await _ask(one, request)
        await _ask(two, request)
        with raw(server) as three:
            refused = await heard(three)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b'{"code":50310000,"message":"too many connections"}' in refused
        assert (await _ask(one, request)).startswith(b"HTTP/1.1 200")
        assert (await _ask(two, request)).startswith(b"HTTP/1.1 200")
        two.close()
        while len(_connections(server)) > 1:
            await asyncio.sleep(0.001)
        with raw(server) as four:
            assert (await _ask(four, request)).startswith(b"HTTP/1.1 200")
    await server.stop()


async def _ask(connection: socket.socket, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        await loop.sock_sendall(connection, request)
        return await loop.sock_recv(connection, 65_536)


# ---------------------------------------------------------------- WebSockets


async def test_the_stream_over_a_real_connection(running: HttpServer) -> None:
    async with (
        httpx.AsyncClient(base_url=url(running), headers=HEADERS) as client,
        websockets.connect(url(running, "/stream", "ws")) as stream,
    ):
        await stream.send(json.dumps(AUTH))
        assert await said(stream) == AUTHORIZED
        # alpaca-py sends in fragments.
        text = json.dumps(LISTEN)
        await stream.send([text[:9], text[9:]])
        assert await said(stream) == LISTENING
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        update = (await said(stream))["data"]
        assert (update["event"], update["order"]) == ("new", order)
        pong = await stream.ping()
        async with asyncio.timeout(10):
            await pong


async def test_a_message_over_the_limit_closes(running: HttpServer) -> None:
    async with websockets.connect(url(running, "/stream", "ws")) as stream:
        await stream.send("x" * 70_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await said(stream)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_no_stream_elsewhere(running: HttpServer) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(url(running, "/elsewhere", "ws"))


async def test_a_peer_that_reads_nothing_is_dropped(running: HttpServer, setup: Setup) -> None:
    stream = await websockets.connect(url(running, "/stream", "ws"), ping_interval=None)
    await stream.send(json.dumps(AUTH))
    await said(stream)
    await stream.send(json.dumps(LISTEN))
    await said(stream)
    stream.transport.pause_reading()
    updates = setup.venue.listeners[0].__self__  # type: ignore[attr-defined]
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(base_url=url(running), headers=HEADERS) as client,
    ):
        body = {k: v for k, v in LIMIT.items() if k != "client_order_id"}
        order_id = (await client.post("/v2/orders", json=body)).json()["id"]
        record = setup.venue.records[order_id]
        entry = setup.venue.emit(OrderDecremented("alice", order_id, 1))
        while updates._by_account:
            for _ in range(50):
                updates.tell(entry, record)
            await asyncio.sleep(0)
        # The server's end is gone although the peer never read a byte of what was written.
        while any("WebSocket" in type(c).__name__ for c in _connections(running)):
            await asyncio.sleep(0.01)
    stream.transport.abort()


def _connections(server: HttpServer) -> set[Any]:
    return set(server._server.server_state.connections)


async def test_stopping_tells_the_streams_and_takes_no_more(setup: Setup) -> None:
    server = await serve(setup.app, "127.0.0.1", 0, graceful_stop_s=2)
    stream = await websockets.connect(url(server, "/stream", "ws"))
    await stream.send(json.dumps(AUTH))
    assert await said(stream) == AUTHORIZED
    await server.stop()
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await said(stream)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", server.port)
