"""What stands before every route: request ids, credentials, rate limit and request size.

Pure ASGI, so that it costs a few microseconds. Each HTTP answer that leaves carries X-Request-ID,
and X-RateLimit-* where a key was given. WebSockets pass: they authenticate by message.
"""

import os
import re
from collections.abc import Mapping
from itertools import count
from typing import Final, NamedTuple

from nexustrade.core.time import US_PER_S
from nexustrade.gateway.auth import ApiKey, Keys, credentials, unauthorized
from nexustrade.gateway.limits import NS_PER_S, RateLimit, Verdict
from nexustrade.gateway.refusals import RATE_LIMITED, ApiError
from nexustrade.gateway.web import (
    KEY,
    AsgiApp,
    AsgiMessage,
    ClientGone,
    FastLane,
    Receive,
    Reply,
    Resource,
    Scope,
    Send,
    failure,
    send_reply,
    too_large,
)
from nexustrade.kernel.ports import Clock

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")
_DIGITS_MAX: Final = 12
"""A Content-Length with more digits is too large whatever they are."""

Header = tuple[bytes, bytes]


class Public(NamedTuple):
    """The paths that are served without a key."""

    paths: frozenset[str]
    prefixes: tuple[str, ...]

    def has(self, path: str) -> bool:
        """Whether a path needs no key."""
        return path in self.paths or path.startswith(self.prefixes)


class Guard:
    """The outermost ASGI application, with all others behind it.

    `find` and `answer` are the way of a server that has the whole request at hand already: what a
    path in the fast lane is answered, without ASGI's messages.
    """

    def __init__(
        self,
        app: AsgiApp,
        lane: FastLane,
        keys: Keys,
        limit: RateLimit,
        clock: Clock,
        public: Public,
        body_len_max: int,
    ) -> None:
        self._app = app
        self.find = lane.find
        self._keys = keys
        self._limit = limit
        self._clock = clock
        self._public = public
        self._body_len_max = body_len_max
        self._burst = str(limit.burst).encode()
        self._id_prefix = os.urandom(6).hex()
        self._ids = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = self.find(scope["path"])
        if found is None:
            await self._guarded(scope, receive, send)
            return
        resource, scope["path_params"] = found
        try:
            reply = await self.answer(resource, scope, receive)
        except ClientGone:
            return
        await send_reply(send, reply, head=scope["method"] == "HEAD")

    async def answer(self, resource: Resource, scope: Scope, receive: Receive) -> Reply:
        """The reply of a resource, with the headers that the guard adds; raises `ClientGone`.

        Of the scope it takes method, path, path_params, query_string and headers.
        """
        extra: list[Header] = []
        try:
            await self._admit(scope, extra)
            reply = await resource.reply(scope, receive)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - every failure gets the one error shape
            reply = failure(error, f"{scope['method']} {scope['path']}")
        return Reply(reply.body, reply.status, [*reply.headers, *extra])

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the application behind, whose answers get the headers that the guard adds."""
        extra: list[Header] = []
        started = False

        async def send_with_headers(message: AsgiMessage) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        try:
            await self._admit(scope, extra)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            reply = failure(error, f"{scope['method']} {scope['path']}")
            await send_reply(send_with_headers, reply, head=scope["method"] == "HEAD")

    async def _admit(self, scope: Scope, extra: list[Header]) -> None:
        """Let the request pass or raise; `extra` gets the headers that its answer carries."""
        by_name: dict[bytes, bytes] = dict(scope["headers"])
        request_id = by_name.get(b"x-request-id", b"")
        if not request_id or not _REQUEST_ID.fullmatch(request_id):
            request_id = f"{self._id_prefix}-{next(self._ids):x}".encode()
        extra.append((b"x-request-id", request_id))
        if not self._public.has(scope["path"]):
            scope[KEY] = key = await self._authenticate(by_name)
            self._take(key, extra)
        body_len = by_name.get(b"content-length", b"")
        if body_len.isdigit() and self._is_too_long(body_len):
            raise too_large(self._body_len_max)

    def _is_too_long(self, body_len: bytes) -> bool:
        return len(body_len) > _DIGITS_MAX or int(body_len) > self._body_len_max

    async def _authenticate(self, headers: Mapping[bytes, bytes]) -> ApiKey:
        given = credentials(headers)
        now_us = self._clock.now_us()
        key = await self._keys.authenticate(*given, now_us) if given is not None else None
        if key is None:
            raise unauthorized()
        return key

    def _take(self, key: ApiKey, extra: list[Header]) -> None:
        verdict = self._limit.take(key.key_id, self._clock.monotonic_ns())
        full_at_s = self._clock.now_us() // US_PER_S + _seconds_up(verdict.full_in_ns)
        extra.append((b"x-ratelimit-limit", self._burst))
        extra.append((b"x-ratelimit-remaining", b"%d" % verdict.remaining))
        extra.append((b"x-ratelimit-reset", b"%d" % full_at_s))
        if not verdict.allowed:
            raise _limited(verdict)


def _seconds_up(ns: int) -> int:
    return -(-ns // NS_PER_S)


def _limited(verdict: Verdict) -> ApiError:
    seconds = str(max(1, _seconds_up(verdict.retry_in_ns)))
    return ApiError(429, RATE_LIMITED, "rate limit exceeded", headers={"Retry-After": seconds})
