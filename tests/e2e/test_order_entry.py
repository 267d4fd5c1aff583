"""Orders over a real WebSocket connection, beside the stream of their updates."""

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.running import RunningVenue


async def _heard(socket: ClientConnection, stream: str) -> dict[str, Any]:
    while True:
        message = json.loads(await socket.recv())
        if message["stream"] == stream:
            found: dict[str, Any] = message["data"]
            return found


async def test_an_order_goes_in_and_its_updates_come_out_of_one_connection(
    venue: RunningVenue,
) -> None:
    async with connect(f"{venue.ws_url}/stream") as socket:
        keys = {"key_id": venue.key, "secret_key": venue.secret}
        await socket.send(json.dumps({"action": "authenticate", "data": keys}))
        assert (await _heard(socket, "authorization"))["status"] == "authorized"
        await socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        await _heard(socket, "listening")
        order = {
            "symbol": "MSFT",
            "qty": 1,
            "side": "buy",
            "type": "limit",
            "time_in_force": "gtc",
            "limit_price": 300.05,  # float: clients may send JSON numbers
        }
        await socket.send(json.dumps({"action": "new_order", "id": "n1", "data": order}))
        update = await _heard(socket, "trade_updates")
        assert (update["event"], update["order"]["limit_price"]) == ("new", "300.05")
        order_id = update["order"]["id"]
        await socket.send(json.dumps({"action": "cancel_order", "id": 2, "order_id": order_id}))
        answer = await _heard(socket, "order_entry")
        while answer["id"] != 2:
            answer = await _heard(socket, "order_entry")
        assert answer["status"] == 204
    assert venue.request("GET", f"/v2/orders/{order_id}").body["status"] == "canceled"
