"""The trade stream of a running venue: what it tells agrees with what REST answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from tests.running import Answer, RunningVenue

HEAR_S_MAX = 30


@asynccontextmanager
async def listening(
    venue: RunningVenue, key: str, **options: Any
) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(f"{venue.ws_url}/stream", **options) as stream:
        auth = {"action": "auth", "key": key, "secret": venue.secret}
        await stream.send(json.dumps(auth))
        await hear(stream)
        await stream.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        await hear(stream)
        yield stream


async def hear(stream: ClientConnection, *, msgpack: bool = False) -> Any:
    async with asyncio.timeout(HEAR_S_MAX):
        message = await stream.recv()
    assert isinstance(message, bytes)
    return msgspec.msgpack.decode(message) if msgpack else json.loads(message)


async def ask(venue: RunningVenue, method: str, path: str, body: object, key: str) -> Answer:
    return await asyncio.to_thread(venue.request, method, path, body, key=key)


def order(side: str, qty: int, price: str, tif: str = "gtc") -> dict[str, Any]:
    return {
        "symbol": "MSFT", "qty": qty, "side": side, "type": "limit", "time_in_force": tif,
        "limit_price": price,
    }  # fmt: skip


async def test_both_sides_of_a_trade_hear_it_as_rest_shows_it(venue: RunningVenue) -> None:
    async with listening(venue, "alice-key") as buyer, listening(venue, "bob-key") as seller:
        sell = (await ask(venue, "POST", "/v2/orders", order("sell", 5, "400"), "bob-key")).body
        buy = (
            await ask(venue, "POST", "/v2/orders", order("buy", 5, "401", "ioc"), "alice-key")
        ).body
        assert buy["status"] == "filled"
        bought = [(await hear(buyer))["data"] for _ in range(2)]
        sold = [(await hear(seller))["data"] for _ in range(2)]
    assert [update["event"] for update in bought] == [update["event"] for update in sold]
    assert [update["event"] for update in bought] == ["new", "fill"]
    assert bought[1]["order"] == buy
    assert sold[0]["order"] == sell
    assert (sold[1]["price"], sold[1]["qty"]) == (bought[1]["price"], bought[1]["qty"])
    assert sold[1]["execution_id"] != bought[1]["execution_id"]
    now = (await ask(venue, "GET", f"/v2/orders/{sell['id']}", None, "bob-key")).body
    assert sold[1]["order"] == now


async def test_the_rest_of_an_ioc_order_is_told_as_cancelled(venue: RunningVenue) -> None:
    async with listening(venue, "alice-key") as buyer:
        await ask(venue, "POST", "/v2/orders", order("sell", 2, "399"), "bob-key")
        body = order("buy", 5, "399", "ioc")
        answer = (await ask(venue, "POST", "/v2/orders", body, "alice-key")).body
        events = [(await hear(buyer))["data"] for _ in range(3)]
    assert [update["event"] for update in events] == ["new", "partial_fill", "canceled"]
    assert (answer["status"], answer["filled_qty"]) == ("canceled", "2")
    assert events[2]["order"] == answer


async def test_a_refused_order_is_told_as_rejected(venue: RunningVenue) -> None:
    async with listening(venue, "alice-key") as stream:
        await ask(venue, "POST", "/v2/orders", order("buy", 1, "100.001"), "alice-key")
        update = (await hear(stream))["data"]
    assert (update["event"], update["order"]["status"]) == ("rejected", "rejected")


async def test_messagepack(venue: RunningVenue) -> None:
    headers = {"Content-Type": "application/msgpack"}
    async with websockets.connect(f"{venue.ws_url}/stream", additional_headers=headers) as stream:
        auth = {"action": "auth", "key": venue.key, "secret": venue.secret}
        await stream.send(msgspec.msgpack.encode(auth))
        assert (await hear(stream, msgpack=True))["data"]["status"] == "authorized"


async def test_a_wrong_key_is_told_and_cut(venue: RunningVenue) -> None:
    async with websockets.connect(f"{venue.ws_url}/stream") as stream:
        await stream.send(json.dumps({"action": "auth", "key": venue.key, "secret": "wrong"}))
        assert (await hear(stream))["data"]["status"] == "unauthorized"
        with pytest.raises(websockets.ConnectionClosed):
            await hear(stream)
