"""Order entry over the stream's WebSocket gives the answers of REST."""

from typing import Any

import pytest

from nexustrade.gateway.service import GatewaySettings
from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import make_setup
from tests.unit.gateway.test_stream import AUTH, AUTHORIZED, Client, connected

ORDER = {
    "symbol": "AAPL",
    "qty": "2",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "limit_price": "100.05",
}


async def authenticated(client: Client) -> None:
    client.say(AUTH)
    assert await client.hear() == AUTHORIZED


async def asked(client: Client, message: object) -> dict[str, Any]:
    client.say(message)
    heard = await client.hear()
    assert heard["stream"] == "order_entry"
    answer: dict[str, Any] = heard["data"]
    return answer


async def test_an_order_is_placed_replaced_and_cancelled() -> None:
    setup = make_setup()
    async with connected(setup) as client:
        await authenticated(client)
        placed = await asked(client, {"action": "new_order", "id": "a", "data": ORDER})
        assert (placed["id"], placed["action"], placed["status"]) == ("a", "new_order", 200)
        assert placed["body"]["limit_price"] == "100.05"
        order_id = placed["body"]["id"]
        gone = await asked(client, {"action": "cancel_order", "id": 7, "order_id": order_id})
        assert gone == {"id": 7, "action": "cancel_order", "status": 204, "body": None}


async def test_numbers_are_read_from_their_text() -> None:
    setup = make_setup()
    async with connected(setup) as client:
        await authenticated(client)
        # As a binary float this price would have more than four decimals, and be refused.
        text = (
            '{"action":"new_order","id":1,"data":{"symbol":"AAPL","qty":2,"side":"buy",'
            '"type":"limit","time_in_force":"gtc","limit_price":100.10}}'
        )
        placed = await asked(client, text)
        assert (placed["status"], placed["body"]["limit_price"]) == (200, "100.1")
        precise = text.replace("100.10", "100.10000000000000000001")
        refused = await asked(client, precise)
        assert refused["status"] == 422


async def test_nobody_trades_before_authenticating() -> None:
    async with connected(make_setup()) as client:
        answer = await asked(client, {"action": "new_order", "id": 1, "data": ORDER})
        assert (answer["status"], answer["body"]["code"]) == (401, 40110000)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"action": "new_order", "id": 1}, 422),
        ({"action": "new_order", "id": 1, "data": []}, 422),
        ({"action": "new_order", "id": [1], "data": ORDER}, 400),
        ({"action": "new_order", "id": "x" * 200, "data": ORDER}, 400),
        ({"action": "new_order", "id": 1, "data": ORDER | {"qty": "-1"}}, 422),
        ({"action": "cancel_order", "id": 1, "order_id": "nobody"}, 404),
        ({"action": "replace_order", "id": 1, "order_id": "nobody", "data": {"qty": 1}}, 404),
        ({"action": "cancel_all_orders", "id": 1}, 207),
    ],
)
async def test_bad_requests_get_the_answers_of_rest(message: object, status: int) -> None:
    async with connected(make_setup()) as client:
        await authenticated(client)
        assert (await asked(client, message))["status"] == status


async def test_the_rate_limit_counts_here_too() -> None:
    setup = make_setup(GatewaySettings(rate_limit_per_s=1, rate_limit_burst=1))
    async with connected(setup) as client:
        await authenticated(client)
        first = await asked(client, {"action": "new_order", "id": 1, "data": ORDER})
        second = await asked(client, {"action": "new_order", "id": 2, "data": ORDER})
        assert (first["status"], second["status"]) == (200, 429)
        assert second["body"] == {"code": 42910000, "message": "rate limit exceeded"}


async def test_orders_sent_at_once_enter_in_their_order() -> None:
    setup = make_setup()
    async with connected(setup) as client:
        await authenticated(client)
        for n in range(50):
            data = ORDER | {"client_order_id": f"c-{n}"}
            client.say({"action": "new_order", "id": n, "data": data})
        heard = [(await client.hear())["data"]["id"] for _ in range(50)]
        assert sorted(heard) == list(range(50))
    submitted = [c for c in setup.venue.commands if isinstance(c, m.SubmitOrder)]
    assert [c.cl_ord_id for c in submitted] == [f"c-{n}" for n in range(50)]
