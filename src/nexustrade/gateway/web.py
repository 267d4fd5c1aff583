"""The HTTP ground the routes stand on: calls, replies, endpoints and resources.

A resource is one path with an endpoint for each method. It is a plain ASGI application, so that a
route costs what msgspec and the handler cost. Every failure of a handler is turned into the one
error shape here, and nowhere else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from nexustrade.core.errors import (
    Fenced,
    InputError,
    NexusError,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from nexustrade.gateway.auth import ApiKey, lacks_scope, unauthorized
from nexustrade.gateway.refusals import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    TOO_SLOW,
    UNKNOWN_OUTCOME,
    ApiError,
    invalid,
    unavailable,
)
from nexustrade.gateway.render import encode_json
from nexustrade.gateway.requests import decode, decode_query

log: Final = logging.getLogger("nexustrade.gateway")

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
T = TypeVar("T")

KEY: Final = "nexustrade.key"
"""Where the guard leaves the caller's `ApiKey` in the ASGI scope."""

_JSON: Final = (b"content-type", b"application/json")
_BODY_S_MAX: Final = 15.0


class ClientGone(Exception):
    """The client went away before its request was complete."""


class Reply(NamedTuple):
    """An answer: its body as it goes out, status and further headers."""

    body: bytes
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()


def json_reply(model: object, status: int = 200) -> Reply:
    """A reply with a model as compact JSON."""
    return Reply(encode_json(model), status)


NO_CONTENT: Final = Reply(b"", 204)


class Call:
    """One request on its way through a handler."""

    __slots__ = ("body_len_max", "key", "receive", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, key: ApiKey | None, body_len_max: int
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.key = key
        self.body_len_max = body_len_max

    @property
    def account_id(self) -> str:
        """The caller's account."""
        if self.key is None:
            raise unauthorized()
        return self.key.account_id

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.scope["path_params"][name])

    def query(self, kind: type[T]) -> T:
        """The query string as a model."""
        return decode_query(self.scope["query_string"], kind)

    async def body(self) -> bytes:
        """The whole body, within its limits of size and time."""
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body = bytes(message.get("body", b""))
            if len(body) > self.body_len_max:
                raise too_large(self.body_len_max)
            return body
        try:
            async with asyncio.timeout(_BODY_S_MAX):
                return await self._pieces(message)
        except TimeoutError:
            raise ApiError(408, TOO_SLOW, "the request body did not arrive in time") from None

    async def _pieces(self, message: AsgiMessage) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > self.body_len_max:
                raise too_large(self.body_len_max)
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await self.receive()

    async def model(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as a model."""
        return decode(await self.body(), decoder)


Handler = Callable[[Call], Awaitable[Reply]]


class Endpoint(NamedTuple):
    """One method of one path, with what the OpenAPI document says of it."""

    method: str
    path: str
    handle: Handler
    scope: str
    """The scope a key needs; "" for no key at all."""
    summary: str
    tag: str
    answer: Any = None
    """The model of the body on success, None for an empty one."""
    status: int = 200
    body: Any = None
    query: Any = None
    errors: tuple[int, ...] = ()
    path_params: Mapping[str, str] = {}
    """Descriptions of the parts of the path."""


class Resource:
    """One path as an ASGI application."""

    def __init__(self, endpoints: Sequence[Endpoint], body_len_max: int) -> None:
        self.path = endpoints[0].path
        self._by_method = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]
        self._body_len_max = body_len_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self.reply(scope, receive)
        except ClientGone:
            return
        await send_reply(send, reply, head=scope["method"] == "HEAD")

    async def reply(self, scope: Scope, receive: Receive) -> Reply:
        """What the request is answered, errors included; only `ClientGone` is raised."""
        try:
            return await self._reply(scope, receive)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - every failure gets the one error shape
            return failure(error, f"{scope['method']} {self.path}")

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        endpoint = self._by_method.get(scope["method"])
        if endpoint is None:
            raise self._not_allowed()
        key: ApiKey | None = scope.get(KEY)
        if endpoint.scope:
            if key is None:
                raise unauthorized()
            if not key.may(endpoint.scope):
                raise lacks_scope(endpoint.scope)
        return await endpoint.handle(Call(scope, receive, key, self._body_len_max))

    def _not_allowed(self) -> ApiError:
        allowed = ", ".join(sorted(self._by_method))
        return ApiError(405, METHOD_NOT_ALLOWED, "method not allowed", headers={"Allow": allowed})


class FastLane:
    """Finds resources by their exact path.

    A dictionary costs a twentieth of what the application's own layers and patterns do, and order
    entry shares its core with the venue.
    One more resource, of `prefix` and a part called `name`, is found so, too.
    """

    def __init__(self, resources: Sequence[Resource], prefix: str, name: str) -> None:
        self._exact = {r.path: r for r in resources if "{" not in r.path}
        self._by_id = next(r for r in resources if r.path == f"{prefix}{{{name}}}")
        self._prefix = prefix
        self._name = name

    def find(self, path: str) -> tuple[Resource, dict[str, str]] | None:
        """The resource of a path and the parts of the path, or None when it is none of ours."""
        resource = self._exact.get(path)
        if resource is not None:
            return resource, {}
        part = path[len(self._prefix) :] if path.startswith(self._prefix) else ""
        return (self._by_id, {self._name: part}) if part and "/" not in part else None


def too_large(body_len_max: int) -> ApiError:
    """The body is over the limit: 413."""
    return ApiError(413, TOO_LARGE, f"the request body is larger than {body_len_max} bytes")


def api_error(error: Exception) -> ApiError | None:
    """The answer to a failure that has one; None for a fault of the program."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InputError):
        return invalid(str(error))
    if isinstance(error, StoreUnavailable | Fenced):
        return unavailable("the venue cannot store orders at the moment, nothing was done")
    if isinstance(error, Overloaded):
        return unavailable("the venue is overloaded, nothing was done")
    if isinstance(error, OutcomeUnknown):
        return ApiError(
            500,
            UNKNOWN_OUTCOME,
            "the outcome of the request is unknown: query the order by client_order_id",
        )
    if isinstance(error, NexusError):
        return unavailable(str(error))
    return None


def failure(error: Exception, what: str) -> Reply:
    """The reply to a failure; one without an answer is logged and told as 500."""
    told = api_error(error)
    if told is None:
        log.error("%s failed", what, exc_info=error)
        told = ApiError(500, INTERNAL, "internal server error occurred")
    return error_reply(told)


def error_reply(error: ApiError) -> Reply:
    """An `ApiError` as a reply."""
    headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in error.headers.items()]
    return Reply(error.body(), error.status, headers)


def reply_headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    """All headers of a reply: its own, and those that follow from its body."""
    if reply.status == 204:
        return list(reply.headers)
    length = (b"content-length", b"%d" % len(reply.body))
    own_type = reply.headers and b"content-type" in dict(reply.headers)
    return [length, *reply.headers] if own_type else [_JSON, length, *reply.headers]


async def send_reply(send: Send, reply: Reply, *, head: bool = False) -> None:
    """Write a reply out."""
    headers = reply_headers(reply)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
