"""Order entry over the stream's WebSocket: the requests and answers of REST on one connection.

A client that has authenticated on `/stream` may send, as JSON,

    {"action": "new_order", "id": "1", "data": {…as POST /v2/orders…}}
    {"action": "replace_order", "id": "2", "order_id": "…", "data": {…as PATCH…}}
    {"action": "cancel_order", "id": "3", "order_id": "…"}
    {"action": "cancel_all_orders", "id": "4"}

and gets `{"stream": "order_entry", "data": {"id", "action", "status", "body"}}` for each, with the
status and the body that REST would have given, once everything is durable. Requests of one
connection are carried out in the order in which they came; answers may come in another.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import TRADE, ApiKey, lacks_scope, unauthorized
from nexustrade.gateway.limits import RateLimit
from nexustrade.gateway.refusals import BAD_BODY, RATE_LIMITED, ApiError
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import Reply, failure, json_reply

log: Final = logging.getLogger("nexustrade.gateway")

ACTIONS: Final = ("new_order", "replace_order", "cancel_order", "cancel_all_orders")
IN_FLIGHT_MAX: Final = 256
"""Requests of one connection that may wait for their answers; its reader stops beyond."""
ID_LEN_MAX: Final = 128

_EMPTY: Final = Raw(b"{}")


class Entry(Struct, frozen=True):
    """One request. `id` comes back with the answer; `data` is REST's body, read from its text."""

    action: str
    id: str | int | None = None
    order_id: str = ""
    data: Raw = _EMPTY


class Answered(Struct, frozen=True):
    """One answer, with the status and the body of the same request over REST."""

    id: str | int | None
    action: str
    status: int
    body: Raw | None


class _Told(Struct, frozen=True):
    stream: str
    data: Answered


_decode_entry: Final = msgspec.json.Decoder(Entry)
_decode_replace: Final = msgspec.json.Decoder(w.ReplaceRequest)
_encode: Final = msgspec.json.encode


class OrderEntry:
    """The order entry of one connection. `put` queues an answer for the client."""

    def __init__(self, venue: Gateway, limit: RateLimit, put: Callable[[bytes], None]) -> None:
        self._venue = venue
        self._limit = limit
        self._put = put
        self._free = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, key: ApiKey | None, message: bytes) -> None:
        """Begin one request; returns at once unless too many are waiting for their answers."""
        await self._free.acquire()
        task = asyncio.create_task(self._run(key, message))
        self._tasks.add(task)
        task.add_done_callback(self._end)
        # The request has entered the venue's queue before the next one is read.
        await asyncio.sleep(0)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()

    async def _run(self, key: ApiKey | None, message: bytes) -> None:
        entry = Entry("")
        try:
            entry = _entry(message)
            reply = await self._reply(key, entry)
        except Exception as error:  # noqa: BLE001 - every failure gets the one error shape
            reply = failure(error, f"order entry {entry.action}")
        body = Raw(reply.body) if reply.body else None
        answer = Answered(entry.id, entry.action, reply.status, body)
        self._put(_encode(_Told("order_entry", answer)))

    async def _reply(self, key: ApiKey | None, entry: Entry) -> Reply:
        if key is None:
            raise unauthorized()
        if not key.may(TRADE):
            raise lacks_scope(TRADE)
        if not self._limit.take(key.key_id, self._venue.clock.monotonic_ns()).allowed:
            raise ApiError(429, RATE_LIMITED, "rate limit exceeded")
        account_id, body = key.account_id, bytes(entry.data)
        if entry.action == "new_order":
            placed = await self._venue.place(account_id, requests.decode_order(body))
            return Reply(render.order_json(placed, self._venue.legs(placed)))
        if entry.action == "replace_order":
            change = requests.decode(body, _decode_replace)
            replaced = await self._venue.replace(account_id, entry.order_id, change)
            return Reply(render.order_json(replaced, self._venue.legs(replaced)))
        if entry.action == "cancel_order":
            await self._venue.cancel(account_id, entry.order_id)
            return Reply(b"", 204)
        return json_reply(await self._venue.cancel_all(account_id), 207)


def _entry(message: bytes) -> Entry:
    try:
        entry = _decode_entry.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, BAD_BODY, f"request format is invalid: {error}") from None
    if isinstance(entry.id, str) and len(entry.id) > ID_LEN_MAX:
        raise ApiError(400, BAD_BODY, f"id has at most {ID_LEN_MAX} characters")
    return entry
