import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from nexustrade.gateway.service import GatewaySettings
from nexustrade.gateway.stream import ABORT
from nexustrade.gateway.web import AsgiMessage
from nexustrade.orders import messages as m
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import ALICE, NOW_US, Setup, make_setup
from tests.unit.gateway.test_orders import posted

AUTH = {"action": "authenticate", "data": {"key_id": "alice-key", "secret_key": "alice-secret"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
AUTHORIZED = {
    "stream": "authorization",
    "data": {"status": "authorized", "action": "authenticate"},
}
UNAUTHORIZED = {
    "stream": "authorization",
    "data": {"status": "unauthorized", "action": "authenticate"},
}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


class Client:
    """The other end of one WebSocket connection to the application."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self.from_app: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self.blocked = False
        self.aborted = asyncio.Event()
        self.decode: Callable[[bytes], Any] = json.loads

    async def send(self, message: AsgiMessage) -> None:
        if self.blocked:
            await asyncio.Event().wait()
        await self.from_app.put(message)
        if message["type"] == "websocket.close":
            await self.to_app.put({"type": "websocket.disconnect", "code": message["code"]})

    def say(self, message: object) -> None:
        if isinstance(message, bytes):
            self.to_app.put_nowait({"type": "websocket.receive", "bytes": message})
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self.to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """The next message, which has to be in a binary frame."""
        async with asyncio.timeout(5):
            message = await self.from_app.get()
        assert message["type"] == "websocket.send"
        assert message.get("text") is None
        return self.decode(message["bytes"])

    async def closed(self) -> int:
        async with asyncio.timeout(5):
            message = await self.from_app.get()
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def listen(self, auth: object = None) -> None:
        self.say(auth or AUTH)
        assert await self.hear() == AUTHORIZED
        self.say(LISTEN)
        assert await self.hear() == LISTENING


@asynccontextmanager
async def connected(
    setup: Setup, headers: list[tuple[bytes, bytes]] | None = None, path: str = "/stream"
) -> AsyncIterator[Client]:
    client = Client()
    client.to_app.put_nowait({"type": "websocket.connect"})
    receive: Callable[[], Awaitable[AsgiMessage]] = client.to_app.get
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "",
        "headers": headers or [], "query_string": b"", "subprotocols": [], "state": {},
        "extensions": {ABORT: client.aborted.set},
    }  # fmt: skip
    task = asyncio.create_task(setup.app(scope, receive, client.send))
    assert (await client.from_app.get())["type"] == "websocket.accept"
    yield client
    client.to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
    async with asyncio.timeout(10):
        await task


def told(message: dict[str, Any]) -> tuple[str, str, str]:
    update = message["data"]
    return update["event"], update["order"]["client_order_id"], update["order"]["status"]


# ---------------------------------------------------------------- authentication and listening


@pytest.mark.parametrize("path", ["/stream", "/stream/"])
@pytest.mark.parametrize(
    "auth",
    [
        AUTH,
        {"action": "auth", "key": "alice-key", "secret": "alice-secret"},
        json.dumps(AUTH).encode(),
    ],
)
async def test_each_way_to_authenticate(venue: Setup, path: str, auth: object) -> None:
    async with connected(venue, path=path) as client:
        await client.listen(auth)


@pytest.mark.parametrize(
    "auth",
    [
        {"action": "authenticate", "data": {"key_id": "alice-key", "secret_key": "x"}},
        {"action": "authenticate", "data": {}},
        {"action": "authenticate"},
        {"action": "auth", "key": 5, "secret": None},
        {"action": "auth", "key": "root-key", "secret": "root-secret"},
    ],
)
async def test_who_may_not_listen_is_told_and_cut(venue: Setup, auth: object) -> None:
    async with connected(venue) as client:
        client.say(auth)
        assert await client.hear() == UNAUTHORIZED
        assert await client.closed() == 1008


async def test_listening_needs_authentication(venue: Setup) -> None:
    async with connected(venue) as client:
        client.say(LISTEN)
        assert await client.hear() == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "listen"},
        }
        await client.listen()


async def test_a_list_replaces_the_former_one(venue: Setup, alice: httpx.AsyncClient) -> None:
    async with connected(venue) as client:
        await client.listen()
        client.say({"action": "listen", "data": {"streams": ["account_updates"]}})
        assert await client.hear() == {"stream": "listening", "data": {"streams": []}}
        await posted(alice, client_order_id="unheard")
        client.say(LISTEN)
        assert await client.hear() == LISTENING
        await posted(alice, client_order_id="heard")
        assert told(await client.hear()) == ("new", "heard", "new")


@pytest.mark.parametrize("said", ["nonsense", "[1]", '"x"', "{}", b"\xff\x00", "[" * 5_000])
async def test_what_cannot_be_understood_is_told(venue: Setup, said: str | bytes) -> None:
    async with connected(venue) as client:
        client.say(said)
        assert await client.hear() == {
            "stream": "error",
            "data": {"code": 400, "error": "invalid syntax"},
        }
        await client.listen()


async def test_a_message_over_the_limit_ends_the_connection(venue: Setup) -> None:
    async with connected(venue) as client:
        client.say("x" * 65_537)
        assert await client.closed() == 1009


async def test_who_does_not_authenticate_in_time_is_cut() -> None:
    setup = make_setup(GatewaySettings(stream_auth_s_max=0.05))
    async with connected(setup) as client:
        assert await client.closed() == 1008


async def test_connections_of_a_key_are_counted() -> None:
    setup = make_setup(GatewaySettings(stream_connections_max=2))
    async with connected(setup) as one:
        await one.listen()
        async with connected(setup) as two:
            await two.listen()
            async with connected(setup) as three:
                three.say(AUTH)
                assert await three.hear() == UNAUTHORIZED
                assert await three.closed() == 1008
        async with connected(setup) as four:
            await four.listen()


async def test_a_connection_ends_with_its_key() -> None:
    setup = make_setup(GatewaySettings(stream_key_check_s=0.01))
    async with connected(setup) as client:
        await client.listen()
        await setup.keys.revoke("alice-key", NOW_US)
        assert await client.closed() == 1008


# ---------------------------------------------------------------- events


async def test_the_life_of_an_order_as_it_is_told(venue: Setup, alice: httpx.AsyncClient) -> None:
    async with connected(venue) as client:
        await client.listen()
        order = await posted(alice, client_order_id="a")
        venue.venue.fill(order["id"], 4 * 10**8, 1_000_500)
        await alice.delete(f"/v2/orders/{order['id']}")
        messages = [await client.hear() for _ in range(4)]
    assert [told(message) for message in messages] == [
        ("new", "a", "new"),
        ("partial_fill", "a", "partially_filled"),
        ("pending_cancel", "a", "partially_filled"),
        ("canceled", "a", "canceled"),
    ]
    first, fill = messages[0]["data"], messages[1]["data"]
    assert first["order"] == order
    assert "qty" not in first
    assert "price" not in first
    assert (fill["price"], fill["qty"], fill["position_qty"]) == ("100.05", "4", "4")
    assert fill["timestamp"].startswith("2026-11-18T11:06:40.1234")
    ids = [message["data"]["execution_id"] for message in messages]
    assert len({*ids}) == 4
    assert all(len(i) == 36 for i in ids)


async def test_a_whole_fill_of_a_sale(venue: Setup, alice: httpx.AsyncClient) -> None:
    async with connected(venue) as client:
        await client.listen()
        order = await posted(alice, client_order_id="s", side="sell")
        venue.venue.fill(order["id"], 10 * 10**8, 1_000_000)
        await client.hear()
        fill = (await client.hear())["data"]
    assert (fill["event"], fill["qty"], fill["position_qty"]) == ("fill", "10", "-10")


async def test_a_replace_tells_the_old_order_and_the_new(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    async with connected(venue) as client:
        await client.listen()
        old = await posted(alice, client_order_id="old")
        change = {"qty": 5, "client_order_id": "new"}
        new = (await alice.patch(f"/v2/orders/{old['id']}", json=change)).json()
        messages = [await client.hear() for _ in range(4)]
    assert [told(message) for message in messages[2:]] == [
        ("replaced", "old", "replaced"),
        ("new", "new", "new"),
    ]
    assert [message["data"]["event"] for message in messages[:2]] == ["new", "pending_replace"]
    assert messages[2]["data"]["order"]["replaced_by"] == new["id"]
    assert messages[3]["data"]["order"]["replaces"] == old["id"]


async def test_refusals_and_expiry(venue: Setup, alice: httpx.AsyncClient) -> None:
    async with connected(venue) as client:
        await client.listen()
        order = await posted(alice, client_order_id="a")
        record = venue.venue.records[order["id"]]
        emit = venue.venue.emit
        emit(m.CancelRejected(ALICE, order["id"], m.UNKNOWN_ORDER), record)
        emit(m.ReplaceRejected(ALICE, "n", order["id"], m.UNKNOWN_ORDER))
        emit(m.OrderDecremented(ALICE, order["id"], 10**8), record)
        emit(m.OrderExpired(ALICE, order["id"], 0, "END_OF_DAY"), record)
        emit(m.OrderRejected(ALICE, "x", "r", "AAPL", "BUY", "LIMIT", m.TICK_SIZE, "", 5 * 10**8))
        emit(m.CashAdjusted(ALICE, 5))
        emit(m.OrderCanceled(ALICE, "unknown", 0, "BY_REQUEST"))
        messages = [await client.hear() for _ in range(6)]
        await asyncio.sleep(0)
        assert client.from_app.empty()
    assert [message["data"]["event"] for message in messages] == [
        "new", "order_cancel_rejected", "order_replace_rejected", "restated", "expired",
        "rejected",
    ]  # fmt: skip
    rejected = messages[5]["data"]["order"]
    assert (rejected["status"], rejected["qty"], rejected["client_order_id"]) == (
        "rejected", "5", "r",
    )  # fmt: skip
    assert rejected["failed_at"] is not None
    assert rejected["close_reason"] == "tick_size"


async def test_messagepack_for_those_who_ask(venue: Setup, alice: httpx.AsyncClient) -> None:
    async with connected(venue, [(b"content-type", b"application/msgpack")]) as client:
        client.decode = msgspec.msgpack.decode
        await client.listen(msgspec.msgpack.encode(AUTH))
        order = await posted(alice)
        update = (await client.hear())["data"]
    assert (update["event"], update["order"]) == ("new", order)


async def test_accounts_hear_their_own_orders_alone(
    venue: Setup, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    async with connected(venue) as one, connected(venue) as two:
        await one.listen()
        await two.listen({"action": "auth", "key": "bob-key", "secret": "bob-secret"})
        await posted(bob, client_order_id="b")
        await posted(alice, client_order_id="a")
        assert told(await one.hear())[1] == "a"
        assert told(await two.hear())[1] == "b"
        assert one.from_app.empty()
        assert two.from_app.empty()


# ---------------------------------------------------------------- slow readers


async def test_a_reader_that_falls_behind_is_cut_off_and_others_are_not() -> None:
    setup = make_setup(GatewaySettings(stream_queue_len_max=5, stream_close_s_max=0.05))
    async with client_of(setup) as alice, connected(setup) as slow, connected(setup) as quick:
        await slow.listen()
        await quick.listen()
        slow.blocked = True
        for number in range(8):
            await posted(alice, client_order_id=f"n{number}")
            assert told(await quick.hear())[1] == f"n{number}"
        async with asyncio.timeout(10):
            await slow.aborted.wait()
        await posted(alice, client_order_id="last")
        assert told(await quick.hear())[1] == "last"
        assert len(setup.venue.listeners) == 1


async def test_a_queue_is_bounded_in_bytes_too() -> None:
    setup = make_setup(GatewaySettings(stream_queue_bytes_max=4_000, stream_close_s_max=0.05))
    async with client_of(setup) as alice, connected(setup) as slow:
        await slow.listen()
        slow.blocked = True
        for number in range(6):
            await posted(alice, client_order_id=f"{number}" * 100)
        async with asyncio.timeout(10):
            await slow.aborted.wait()


async def test_nothing_is_kept_of_a_connection_that_is_gone(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    async with connected(venue) as client:
        await client.listen()
    await posted(alice)
    stream = venue.venue.listeners[0].__self__  # type: ignore[attr-defined]
    assert (stream._by_account, stream._by_key) == ({}, {})
