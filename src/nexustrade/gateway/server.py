"""The HTTP server: uvicorn, with the limits that keep a hostile client from costing much.

It runs in the caller's event loop (uvloop, when that is what the caller runs), installs no signal
handlers and writes no access log.

A request of the guard's fast lane that has come as a whole is answered by `Guard.answer` at once.
All others (a body that is still to come, HTTP/1.0, a connection to close, one request behind
another) go the common way by ASGI, which ends in the same function.
"""

import asyncio
import socket
from asyncio import TimerHandle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from nexustrade.gateway.guard import Guard
from nexustrade.gateway.stream import ABORT
from nexustrade.gateway.web import AsgiMessage, Reply, Resource, Scope, reply_headers

CONNECTIONS_MAX: Final = 1024
"""Open connections, streams included; one more is answered 503 and closed."""
BACKLOG_MAX: Final = 2048
KEEP_ALIVE_S: Final = 75
GRACEFUL_STOP_S: Final = 5
WS_MESSAGE_LEN_MAX: Final = 65_536
WS_PING_S: Final = 20.0
HEAD_LEN_MAX: Final = 65_536
"""Bytes of a request's line and headers."""
HEAD_S_MAX: Final = 10.0
"""Time for a request's line and headers to arrive, and for a new connection's first request."""


class Whole(RequestResponseCycle):
    """A request that has come as a whole, in the place of uvicorn's cycle of messages."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.scope = scope  # type: ignore[assignment]
        self.task: asyncio.Task[None]
        self.message = {"type": "http.request", "body": body, "more_body": False}
        self.message_event = _NOBODY_WAITS
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = True

    async def receive(self) -> AsgiMessage:  # type: ignore[override]
        return self.message


class BoundedHttp(HttpToolsProtocol):
    """HTTP with limits on the size and the time of a request's head, which the parser has not."""

    _head_len = 0
    _in_head = True
    _head_timer: TimerHandle | None = None
    # The body so far of a request that may be answered directly; None: there is none.
    _body: bytes | None = None

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn would refuse everybody's requests while there are too many connections; refusing
        # the connections over the limit leaves those who have one alone.
        connections_max, self.limit_concurrency = self.limit_concurrency, None
        if connections_max is not None and len(self.connections) > connections_max:
            self._refuse(b"503 Service Unavailable", 50310000, "too many connections")
            return
        self._head_timer = self.loop.call_later(HEAD_S_MAX, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_len += len(data)
            if self._head_len > HEAD_LEN_MAX and len(data) < self._head_len:
                self._refuse(b"431 Request Header Fields Too Large", 43110000, "headers too long")
                return
        super().data_received(data)
        if self._body is not None:
            self._go_by_asgi()
        if self._in_head and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S_MAX, self._head_is_late)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_len = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        if self._may_be_direct():
            self._body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._body is None:
            super().on_message_complete()
            return
        path, _, query = self.url.decode("ascii").partition("?")
        found = self._guard.find(path)
        if found is None:
            self._go_by_asgi()
            super().on_message_complete()
            return
        resource, parts = found
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = path
        scope["query_string"] = query.encode("ascii")
        scope["path_params"] = parts  # type: ignore[typeddict-unknown-key]
        whole = Whole(scope, self._body)  # type: ignore[arg-type]
        self._body = None
        self.cycle = whole
        # Its end is noted by itself: a callback would cost the loop another step.
        task = self.loop.create_task(self._answer(resource, whole))
        self.tasks.add(task)
        whole.task = task

    def _may_be_direct(self) -> bool:
        """Whether a request, once it is whole, may be answered without ASGI's messages."""
        before: RequestResponseCycle | None = self.cycle
        parser = self.parser
        url = self.url
        return (
            (before is None or before.response_complete)
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and parser.get_method() != b"HEAD"
            and url.startswith(b"/")
            and url.isascii()
            and b"%" not in url
            and b"#" not in url
        )

    def _go_by_asgi(self) -> None:
        """Begin the request as uvicorn does; what has come of its body goes along."""
        body, self._body = self._body, None
        super().on_headers_complete()
        if body:
            super().on_body(body)

    async def _answer(self, resource: Resource, whole: Whole) -> None:
        try:
            scope = cast(Scope, whole.scope)
            reply = await self._guard.answer(resource, scope, whole.receive)
            if self.flow.write_paused:
                await self.flow.drain()
            whole.response_complete = True
            if not self.transport.is_closing():
                self._write(reply, close=not whole.keep_alive)
            self.on_response_complete()
        finally:
            self.tasks.discard(whole.task)

    def _write(self, reply: Reply, *, close: bool) -> None:
        parts = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply_headers(reply)):
            parts += (name, b": ", value, b"\r\n")
        if close:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", reply.body)
        self.transport.write(b"".join(parts))
        if close:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", 40010000, msg)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", 40810000, "the request did not arrive in time")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes, code: int, message: str) -> None:
        body = f'{{"code":{code},"message":"{message}"}}'.encode()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()


_NOBODY_WAITS: Final = asyncio.Event()
"""Set by uvicorn when a client is gone; nobody waits for more of a request that is whole."""


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose application may drop the transport when the peer reads no more.

    A polite close waits until everything written is read: for ever, with such a peer.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][ABORT] = self.transport.abort


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers; `ready` is set once it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class HttpServer:
    """A server that runs; `port` is where."""

    def __init__(self, server: _Server, task: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._task = task
        self.port = port

    async def stop(self) -> None:
        """Take no more connections, let running requests finish, close the rest, return."""
        self._server.should_exit = True
        await self._task


async def serve(
    app: Guard,
    host: str,
    port: int,
    *,
    connections_max: int = CONNECTIONS_MAX,
    backlog: int = BACKLOG_MAX,
    keep_alive_s: int = KEEP_ALIVE_S,
    graceful_stop_s: int = GRACEFUL_STOP_S,
) -> HttpServer:
    """Serve an application and return once it can be reached; port 0 takes any free one.

    Raises `OSError` when the address cannot be had.
    """
    listener = _listen(host, port, backlog)
    config = uvicorn.Config(
        app,
        http=partial(BoundedHttp, guard=app),  # type: ignore[arg-type]
        ws=AbortableWebSocket,
        lifespan="off",
        ws_max_size=WS_MESSAGE_LEN_MAX,
        ws_ping_interval=WS_PING_S,
        ws_ping_timeout=WS_PING_S,
        ws_per_message_deflate=False,
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=connections_max,
        backlog=backlog,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=graceful_stop_s,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="gateway-http")
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        ready.cancel()
        listener.close()
        task.result()
    return HttpServer(server, task, listener.getsockname()[1])


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
