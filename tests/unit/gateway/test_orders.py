import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from nexustrade.core.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import ALICE, Setup

LIMIT = {
    "symbol": "AAPL",
    "qty": 10,
    "side": "buy",
    "type": "limit",
    "time_in_force": "day",
    "limit_price": 100.05,  # float: clients may send JSON numbers
    "client_order_id": "mine-1",
}
GONE: Any = object()
UNKNOWN = "01a1ee56-5e7b-7df5-8eff-f84fa21d6fc1"


def limit(**changes: Any) -> dict[str, Any]:
    """The limit order with changes; `GONE` takes a field away."""
    return {name: value for name, value in (LIMIT | changes).items() if value is not GONE}


def market(**changes: Any) -> dict[str, Any]:
    return limit(**({"type": "market", "limit_price": GONE} | changes))


def stop(**changes: Any) -> dict[str, Any]:
    return limit(**({"type": "stop", "limit_price": GONE, "stop_price": 90} | changes))


def trailing(**changes: Any) -> dict[str, Any]:
    return stop(**({"type": "trailing_stop", "stop_price": GONE} | changes))


async def post(client: httpx.AsyncClient, body: Mapping[str, Any] | bytes) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/v2/orders", content=content)


async def posted(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await post(client, limit(**{"client_order_id": GONE} | changes))
    assert answer.status_code == 200, answer.text
    order: dict[str, Any] = answer.json()
    return order


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


# ---------------------------------------------------------------- taking an order in


async def test_a_new_order_becomes_a_command_and_is_answered_as_it_stands(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    answer = await post(alice, LIMIT)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    order_id = answer.json()["id"]
    assert venue.venue.commands == [
        m.SubmitOrder(
            ALICE, order_id, "mine-1", "AAPL", "BUY", "LIMIT", "DAY", 10 * 10**8, 0, 1_000_500
        )
    ]
    assert answer.json()["status"] == "new"


async def test_a_client_order_id_is_made_when_there_is_none(alice: httpx.AsyncClient) -> None:
    first, second = await posted(alice), await posted(alice)
    assert len(first["client_order_id"]) == 36
    assert first["client_order_id"] != second["client_order_id"]


@pytest.mark.parametrize(
    ("qty", "price", "qty_e8", "price_e4"),
    [
        (b"10.0", b"100.05", 1_000_000_000, 1_000_500),
        (b'"10"', b'"100.0500"', 1_000_000_000, 1_000_500),
        (b"0.00000001", b"1e2", 1, 1_000_000),
        (b"1E+1", b'"1.5e1"', 1_000_000_000, 150_000),
        # 0.1 + 0.2 as binary floats would not be 0.3.
        (b"0.30000000", b"179769.3134", 30_000_000, 1_797_693_134),
    ],
)
async def test_decimals_are_read_from_their_text(
    venue: Setup, alice: httpx.AsyncClient, qty: bytes, price: bytes, qty_e8: int, price_e4: int
) -> None:
    body = b'{"symbol":"AAPL","side":"buy","type":"limit","time_in_force":"day"'
    answer = await post(alice, body + b',"qty":' + qty + b',"limit_price":' + price + b"}")
    assert answer.status_code == 200, answer.text
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert (command.order_qty, command.limit_px) == (qty_e8, price_e4)


async def test_a_market_order_by_value(venue: Setup, alice: httpx.AsyncClient) -> None:
    answer = await post(alice, market(qty=GONE, notional="500.25"))
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert (command.notional, command.order_qty) == (50_025, 0)
    assert (answer.json()["notional"], answer.json()["qty"]) == ("500.25", None)


@pytest.mark.parametrize(
    ("body", "terms_sent"),
    [
        (stop(), ("STOP", "DAY", 0, 900_000, 0, 0)),
        (stop(time_in_force="gtc"), ("STOP", "GTC", 0, 900_000, 0, 0)),
        (stop(type="stop_limit", limit_price="88.5"),
         ("STOP_LIMIT", "DAY", 885_000, 900_000, 0, 0)),
        (trailing(trail_price="1.25"), ("TRAILING_STOP", "DAY", 0, 0, 12_500, 0)),
        (trailing(trail_percent="1.5"), ("TRAILING_STOP", "DAY", 0, 0, 0, 15_000)),
        (trailing(trail_percent="0.0001"), ("TRAILING_STOP", "DAY", 0, 0, 0, 1)),
        (trailing(trail_percent="99.9999"), ("TRAILING_STOP", "DAY", 0, 0, 0, 999_999)),
        (limit(time_in_force="opg"), ("LIMIT", "OPG", 1_000_500, 0, 0, 0)),
        (market(time_in_force="cls"), ("MARKET", "CLS", 0, 0, 0, 0)),
    ],
)  # fmt: skip
async def test_stops_and_orders_for_an_auction(
    venue: Setup, alice: httpx.AsyncClient, body: dict[str, Any], terms_sent: tuple[object, ...]
) -> None:
    answer = await post(alice, body)
    assert answer.status_code == 200, answer.text
    c = venue.venue.commands[0]
    assert isinstance(c, m.SubmitOrder)
    sent = (c.ord_type, c.time_in_force, c.limit_px, c.stop_px, c.trail_px, c.trail_ppm)
    assert sent == terms_sent
    shown = answer.json()
    assert shown["type"] == shown["order_type"] == body["type"]
    for field in ("time_in_force", "stop_price", "trail_price", "trail_percent"):
        expected = body.get(field)
        assert shown[field] == (None if expected is None else str(expected))


async def test_percentages_are_read_from_their_text(venue: Setup, alice: httpx.AsyncClient) -> None:
    body = b'{"symbol":"AAPL","side":"sell","type":"trailing_stop","time_in_force":"day","qty":1,'
    answer = await post(alice, body + b'"trail_percent":2.50}')
    assert answer.json()["trail_percent"] == "2.5"
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert command.trail_ppm == 25_000


async def test_gtd_is_shown_as_gtc_with_its_end(venue: Setup, alice: httpx.AsyncClient) -> None:
    order = await posted(alice, time_in_force="gtd", expires_at="2026-11-20T21:00:00Z")
    assert (order["time_in_force"], order["expires_at"]) == ("gtc", "2026-11-20T21:00:00.000000Z")
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert (command.time_in_force, command.expire_us) == ("GTD", 1_795_208_400_000_000)


async def test_unknown_fields_are_ignored_and_null_is_absent(alice: httpx.AsyncClient) -> None:
    order = await posted(alice, stop_price=None, notional=None, legs=None, whatever={"a": [1]})
    assert order["status"] == "new"


async def test_extensions_and_intent_reach_the_venue(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(
        alice, post_only=True, extended_hours=True, position_intent="buy_to_open", order_class=""
    )
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert (command.post_only, command.extended_hours) == (True, True)
    assert (order["post_only"], order["position_intent"]) == (True, "buy_to_open")


# ---------------------------------------------------------------- refusing it for its form


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (limit(symbol=GONE), "symbol is required"),
        (limit(side=GONE), "side is required"),
        (limit(symbol=5), "invalid symbol: Expected `str`, got `int`"),
        (limit(symbol=""), "invalid symbol . a symbol is 1 to 32 printable ASCII characters"),
        (limit(side="hold"), "invalid side hold. side is one of buy, sell"),
        (limit(type="peg"), "invalid type peg. type is one of market, limit, stop,"
         " stop_limit, trailing_stop"),
        (limit(qty=GONE), "qty or notional is required"),
        (limit(qty=0), "invalid qty 0. a quantity is greater than 0"),
        (limit(qty="-1"), "invalid qty -1. a quantity is greater than 0"),
        (limit(qty="NaN"), "invalid qty NaN. a quantity is finite"),
        (limit(qty="Infinity"), "invalid qty Infinity. a quantity is finite"),
        (limit(qty="1_0"), "invalid qty 1_0. a quantity is a decimal number"),
        (limit(qty=" 1"), "invalid qty  1. a quantity is a decimal number"),
        (limit(qty="ten"), "invalid qty ten. a quantity is a decimal number"),
        (limit(qty=""), "invalid qty. it is an empty string, not a decimal number"),
        (limit(qty=[1]), "invalid qty. it is a decimal number or a string that holds one"),
        (limit(qty=True), "invalid qty. it is a decimal number or a string that holds one"),
        (limit(qty="0.000000001"), "invalid qty 0.000000001. a quantity has at most 8 decimals"),
        (limit(qty="1e30"), "invalid qty 1e30. a quantity is at most 1000000000"),
        (limit(limit_price="1.00001"),
         "invalid limit_price 1.00001. a price has at most 4 decimals"),
        (limit(limit_price=GONE), "limit orders require a limit_price"),
        (limit(notional="10"), "only one of qty or notional is accepted"),
        (limit(qty=GONE, notional="10"), "notional is only accepted for market orders"),
        (market(qty=GONE, notional=0), "invalid notional 0. a notional is greater than 0"),
        (market(limit_price="5"), "market orders require no limit_price"),
        (market(post_only=True), "post_only orders must be limit orders with time_in_force day,"
         " gtc or gtd"),
        (limit(time_in_force="gtd"), "gtd orders require expires_at"),
        (limit(time_in_force="gtd", expires_at="soon"),
         "invalid expires_at soon. expires_at is an ISO 8601 date and time"),
        (limit(time_in_force="gtd", expires_at="2020-01-01"),
         "invalid expires_at 2020-01-01. expires_at is in the future"),
        (limit(expires_at="2027-01-01"), "expires_at is only accepted with time_in_force gtd"),
        (limit(client_order_id="x" * 129), "invalid client_order_id " + "x" * 64 + "...."
         " client_order_id is at most 128 printable characters"),
        (limit(client_order_id="a\x00b"), "invalid client_order_id 'a\\x00b'. client_order_id is at"
         " most 128 printable characters"),
        (limit(order_class="mleg"),
         "invalid order_class mleg. order_class is one of simple, bracket, oco, oto"),
        (limit(take_profit={"limit_price": 5}),
         "take_profit is only accepted with order_class bracket, oco or oto"),
        (limit(stop_loss={"stop_price": 5}),
         "stop_loss is only accepted with order_class bracket, oco or oto"),
        (limit(policy="reduce"), "policy is only accepted with order_class bracket, oco or oto"),
        (limit(activation="full"),
         "activation is only accepted with order_class bracket, oco or oto"),
        (limit(auto_shrink=False),
         "auto_shrink is only accepted with order_class bracket, oco or oto"),
        (limit(legs=[{}]), "legs is not accepted: multi-leg orders are not supported"),
        (limit(stop_price=5), "limit orders require no stop_price"),
        (market(trail_price=5), "market orders require no trail_price"),
        (stop(stop_price=GONE), "stop orders require a stop_price"),
        (stop(limit_price=5), "stop orders require no limit_price"),
        (stop(stop_price="90.00001"), "invalid stop_price 90.00001. a price has at most 4"
         " decimals"),
        (stop(stop_price=0), "invalid stop_price 0. a price is greater than 0"),
        (stop(type="stop_limit"), "stop_limit orders require a limit_price"),
        (stop(type="stop_limit", limit_price=5, stop_price=GONE),
         "stop_limit orders require a stop_price"),
        (stop(time_in_force="ioc"), "stop orders must have time_in_force day, gtc or gtd"),
        (stop(time_in_force="opg"), "stop orders must have time_in_force day, gtc or gtd"),
        (stop(post_only=True), "post_only orders must be limit orders with time_in_force day,"
         " gtc or gtd"),
        (stop(qty=GONE, notional=5), "notional is only accepted for market orders"),
        (trailing(), "trailing_stop orders require one of trail_price and trail_percent"),
        (trailing(trail_price=1, trail_percent=1),
         "trailing_stop orders require one of trail_price and trail_percent"),
        (trailing(trail_price=1, stop_price=5), "trailing_stop orders require no stop_price"),
        (trailing(trail_percent="1.50001"),
         "invalid trail_percent 1.50001. a percentage has at most 4 decimals"),
        (trailing(trail_percent=0),
         "invalid trail_percent 0. a percentage is greater than 0 and less than 100"),
        (trailing(trail_percent=100),
         "invalid trail_percent 100. a percentage is greater than 0 and less than 100"),
        (trailing(trail_price="0.00001"),
         "invalid trail_price 0.00001. a price has at most 4 decimals"),
        (trailing(trail_price=1, time_in_force="gtd", expires_at="2027-01-01"),
         "trailing_stop orders must have time_in_force day or gtc"),
        (limit(time_in_force="opg", post_only=True), "post_only orders must be limit orders with"
         " time_in_force day, gtc or gtd"),
        (limit(time_in_force="cls", extended_hours=True),
         "extended_hours is not accepted with time_in_force cls"),
        (limit(time_in_force="gtx"),
         "invalid time_in_force gtx. time_in_force is one of day, gtc, ioc, fok, gtd, opg, cls"),
    ],
)  # fmt: skip
async def test_a_refusal_names_field_value_and_rule(
    venue: Setup, alice: httpx.AsyncClient, body: dict[str, Any], message: str
) -> None:
    answer = await post(alice, body)
    assert (answer.status_code, answer.json()) == (422, {"code": 40010001, "message": message})
    assert venue.venue.commands == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"qty":NaN}', b"[" * 60_000, b'"\\ud800"']
)
async def test_what_is_no_json_is_refused(
    venue: Setup, alice: httpx.AsyncClient, body: bytes
) -> None:
    answer = await post(alice, body)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {40010000, 40010001}
    assert venue.venue.commands == []


async def test_numbers_without_measure_are_refused_at_once(alice: httpx.AsyncClient) -> None:
    for number in (b"1e999999999", b"1" * 5_000, b"0." + b"0" * 5_000 + b"1", b"1e-999999999"):
        body = b'{"symbol":"AAPL","side":"buy","type":"market","time_in_force":"day","qty":'
        answer = await post(alice, body + number + b"}")
        assert (answer.status_code, answer.json()["code"]) == (422, 40010001)


# ---------------------------------------------------------------- what the venue refuses


async def test_a_repeat_names_the_order_that_there_is(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    venue.venue.refuse_with = m.OrderRejected(
        ALICE, "x", "mine-1", "AAPL", "BUY", "LIMIT", m.DUPLICATE_CL_ORD_ID, "not unique",
        facts={"existing_order_id": UNKNOWN},
    )  # fmt: skip
    assert error(await post(alice, LIMIT)) == (
        422,
        '{"code":40010001,"message":"client_order_id must be unique",'
        f'"existing_order_id":"{UNKNOWN}"}}',
    )


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (StoreUnavailable("down"), 503, 50310000),
        (Overloaded("full"), 503, 50310000),
        (OutcomeUnknown("?"), 500, 50010001),
        (ValueError("a bug"), 500, 50010000),
    ],
)
async def test_faults_say_whether_to_try_again(
    venue: Setup, alice: httpx.AsyncClient, fault: Exception, status: int, code: int
) -> None:
    venue.venue.fault = fault
    answer = await post(alice, LIMIT)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    assert str(fault) not in answer.text


# ---------------------------------------------------------------- queries


async def test_an_order_is_found_by_either_id(alice: httpx.AsyncClient) -> None:
    order = await posted(alice, client_order_id="a b/c")
    by_id = await alice.get(f"/v2/orders/{order['id']}", params={"nested": "True"})
    by_client_id = await alice.get(
        "/v2/orders:by_client_order_id", params={"client_order_id": "a b/c"}
    )
    assert by_id.json() == by_client_id.json() == order


async def test_an_order_that_left_memory_is_found_in_the_history(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice, client_order_id="old")
    venue.venue.old.append(venue.venue.records.pop(order["id"]))
    assert (await alice.get(f"/v2/orders/{order['id']}")).json() == order
    asked = {"client_order_id": "old"}
    assert (await alice.get("/v2/orders:by_client_order_id", params=asked)).json() == order


async def test_nobody_sees_or_touches_the_orders_of_another(
    venue: Setup, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    order = await posted(alice, client_order_id="mine")
    path = f"/v2/orders/{order['id']}"
    lost = (404, f'{{"code":40410000,"message":"order not found for {order["id"]}"}}')
    assert error(await bob.get(path)) == lost
    assert error(await bob.delete(path)) == lost
    assert error(await bob.patch(path, json={"qty": "1"})) == lost
    asked = {"client_order_id": "mine"}
    assert (await bob.get("/v2/orders:by_client_order_id", params=asked)).status_code == 404
    assert (await bob.get("/v2/orders", params={"status": "all"})).json() == []
    venue.venue.old.append(venue.venue.records.pop(order["id"]))
    assert error(await bob.get(path)) == lost


@pytest.mark.parametrize("order_id", ["x", "%00", "a%2Fb", UNKNOWN, "..", "💥"])
async def test_an_order_that_is_not_there(alice: httpx.AsyncClient, order_id: str) -> None:
    assert (await alice.get(f"/v2/orders/{order_id}")).status_code == 404
    assert (await alice.delete(f"/v2/orders/{order_id}")).status_code == 404


async def listed(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v2/orders", params=params)
    assert answer.status_code == 200, answer.text
    return [order["client_order_id"] for order in answer.json()]


async def test_a_listing_merges_memory_and_history_and_shows_each_once(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    for name in "abcd":
        order = await posted(alice, client_order_id=name, side="buy" if name < "c" else "sell")
        if name in "ab":
            await alice.delete(f"/v2/orders/{order['id']}")
            record = venue.venue.records[order["id"]]
            venue.venue.old.append(record)
            if name == "a":
                del venue.venue.records[order["id"]]
    assert await listed(alice) == ["d", "c"]
    assert await listed(alice, status="closed") == ["b", "a"]
    assert await listed(alice, status="all") == ["d", "c", "b", "a"]
    assert await listed(alice, status="all", direction="asc") == ["a", "b", "c", "d"]
    assert await listed(alice, status="all", limit=3) == ["d", "c", "b"]
    assert await listed(alice, status="all", side="sell") == ["d", "c"]
    assert await listed(alice, status="all", symbols="MSFT,AAPL") == ["d", "c", "b", "a"]
    assert await listed(alice, status="all", symbols="MSFT") == []
    assert await listed(alice, status="all", asset_class="crypto") == []


async def test_bounds_of_a_listing_are_exclusive(venue: Setup, alice: httpx.AsyncClient) -> None:
    orders = [await posted(alice, client_order_id=name) for name in "abc"]
    at = orders[1]["submitted_at"]
    assert await listed(alice, after=at) == ["c"]
    assert await listed(alice, until=at) == ["a"]
    assert await listed(alice, after=at.replace("Z", "+00:00")) == ["c"]
    assert await listed(alice, after_order_id=orders[0]["id"]) == ["c", "b"]
    assert await listed(alice, before_order_id=orders[1]["id"]) == ["a"]


@pytest.mark.parametrize(
    "params",
    [
        {"status": "new"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"after": "yesterday"},
        {"direction": "up"},
        {"side": "both"},
        {"symbols": "\u2603"},
    ],
)
async def test_parameters_that_mean_nothing(
    alice: httpx.AsyncClient, params: dict[str, str]
) -> None:
    answer = await alice.get("/v2/orders", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
    assert f"invalid {next(iter(params))}" in answer.json()["message"]


# ---------------------------------------------------------------- cancel and replace


async def test_a_cancel_has_no_body_and_a_second_one_is_refused(alice: httpx.AsyncClient) -> None:
    path = f"/v2/orders/{(await posted(alice))['id']}"
    answer = await alice.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert error(await alice.delete(path)) == (
        422,
        '{"code":42210000,"message":"order is already in \\"canceled\\" state"}',
    )
    order = (await alice.get(path)).json()
    assert (order["status"], order["close_reason"]) == ("canceled", "by_request")
    assert order["canceled_at"] is not None


async def test_a_cancel_of_an_order_in_the_history_is_refused(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice)
    await alice.delete(f"/v2/orders/{order['id']}")
    venue.venue.old.append(venue.venue.records.pop(order["id"]))
    answer = await alice.delete(f"/v2/orders/{order['id']}")
    assert (answer.status_code, answer.json()["code"]) == (422, 42210000)


async def test_a_cancel_that_the_book_refuses_is_told_as_closed(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    order = await posted(alice)
    venue.venue.fill(order["id"], 10 * 10**8, 1_000_000)
    venue.venue.refuse_with = m.CancelRejected(ALICE, order["id"], m.UNKNOWN_ORDER)
    assert error(await alice.delete(f"/v2/orders/{order['id']}")) == (
        422,
        '{"code":42210000,"message":"order is already in \\"filled\\" state"}',
    )


async def test_cancel_all_tells_each_order(alice: httpx.AsyncClient) -> None:
    ids = {(await posted(alice))["id"] for _ in range(3)}
    answer = await alice.delete("/v2/orders")
    assert answer.status_code == 207
    assert {row["id"] for row in answer.json()} == ids
    assert {row["status"] for row in answer.json()} == {200}
    assert (await alice.delete("/v2/orders")).json() == []


async def test_a_replace_answers_the_new_order(venue: Setup, alice: httpx.AsyncClient) -> None:
    old = await posted(alice)
    answer = await alice.patch(
        f"/v2/orders/{old['id']}", json={"qty": 7, "limit_price": "101", "client_order_id": "n"}
    )
    assert answer.status_code == 200
    new = answer.json()
    assert new["id"] != old["id"]
    assert (new["replaces"], new["qty"], new["limit_price"]) == (old["id"], "7", "101")
    assert new["client_order_id"] == "n"
    before = (await alice.get(f"/v2/orders/{old['id']}")).json()
    assert (before["status"], before["replaced_by"]) == ("replaced", new["id"])


@pytest.mark.parametrize(
    ("order", "change", "field", "sent"),
    [
        (stop(), {"stop_price": 89.5}, "stop_price", (895_000, 0, 0)),  # float: JSON number
        (trailing(trail_price=1), {"trail": "2"}, "trail_price", (0, 20_000, 0)),
        (trailing(trail_percent=1), {"trail": "2"}, "trail_percent", (0, 0, 20_000)),
    ],
)
async def test_a_stop_is_replaced_in_the_terms_that_it_has(
    venue: Setup,
    alice: httpx.AsyncClient,
    order: dict[str, Any],
    change: dict[str, Any],
    field: str,
    sent: tuple[int, int, int],
) -> None:
    old = (await post(alice, order)).json()
    new = (await alice.patch(f"/v2/orders/{old['id']}", json=change)).json()
    assert (new["replaces"], new[field]) == (old["id"], str(*change.values()))
    command = venue.venue.commands[1]
    assert isinstance(command, m.ReplaceOrder)
    assert (command.stop_px, command.trail_px, command.trail_ppm) == sent


async def test_a_replace_of_a_closed_order_is_refused(alice: httpx.AsyncClient) -> None:
    path = f"/v2/orders/{(await posted(alice))['id']}"
    await alice.delete(path)
    assert error(await alice.patch(path, json={"qty": 7})) == (
        422,
        '{"code":42210000,"message":"order is already in \\"canceled\\" state"}',
    )


async def test_a_replace_that_the_book_has_not_answered_is_shown_as_asked(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    old = await posted(alice)
    venue.venue.refuse_with = m.ReplaceRequested(
        ALICE, "n", old["id"], "c", "AAPL", 10**8, 10**4, "DAY"
    )
    new = (await alice.patch(f"/v2/orders/{old['id']}", json={"limit_price": 99})).json()
    assert (new["replaces"], new["limit_price"], new["qty"]) == (old["id"], "99", "10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "at least one of qty, time_in_force, limit_price, stop_price and trail is required"),
        ({"qty": 0}, "invalid qty 0. a quantity is greater than 0"),
        ({"stop_price": "5.00001"}, "invalid stop_price 5.00001. a price has at most 4 decimals"),
        ({"trail": 5}, "trail is only accepted for trailing_stop orders"),
        ({"time_in_force": "x"}, "invalid time_in_force x. time_in_force is one of day, gtc, ioc,"
         " fok, gtd, opg, cls"),
    ],
)  # fmt: skip
async def test_a_replace_that_means_nothing(
    alice: httpx.AsyncClient, change: dict[str, Any], message: str
) -> None:
    order = await posted(alice)
    answer = await alice.patch(f"/v2/orders/{order['id']}", json=change)
    assert (answer.status_code, answer.json()["message"]) == (422, message)


async def test_a_filled_order_shows_its_fills(venue: Setup, alice: httpx.AsyncClient) -> None:
    order = await posted(alice)
    venue.venue.fill(order["id"], 4 * 10**8, 1_000_500)
    part = (await alice.get(f"/v2/orders/{order['id']}")).json()
    assert (part["status"], part["filled_qty"], part["filled_avg_price"]) == (
        "partially_filled", "4", "100.05",
    )  # fmt: skip
    assert part["filled_at"] is None
    venue.venue.fill(order["id"], 6 * 10**8, 1_000_500)
    whole = (await alice.get(f"/v2/orders/{order['id']}")).json()
    assert (whole["status"], whole["filled_qty"]) == ("filled", "10")
    assert whole["filled_at"] is not None


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_the_ends_of_time_are_bounds_like_any_other(
    alice: httpx.AsyncClient, at: str
) -> None:
    await posted(alice, client_order_id="a")
    expected = ["a"] if at.startswith("9") else []
    assert await listed(alice, status="all", until=at) == expected
    assert await listed(alice, status="all", after=at) == (["a"] if not expected else [])
