from typing import Any

import httpx
import pytest

from nexustrade.matching.messages import InstrumentDefined
from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import ALICE, BOB, Setup
from tests.unit.gateway.test_orders import posted

ONE = 10**8


async def test_settings_change_one_by_one(venue: Setup, alice: httpx.AsyncClient) -> None:
    before = (await alice.get("/v2/account/configurations")).json()
    answer = await alice.patch(
        "/v2/account/configurations",
        json={"suspend_trade": True, "no_shorting": None, "max_margin_multiplier": 2},
    )
    assert answer.status_code == 200
    assert answer.json() == before | {"suspend_trade": True, "max_margin_multiplier": "2"}
    assert (await alice.get("/v2/account")).json()["trade_suspended_by_user"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"trade_confirm_email": "some"},
        {"max_margin_multiplier": 3},
        {"no_shorting": "yes"},
        {"suspend_trade": 1},
    ],
)
async def test_settings_that_are_none(
    venue: Setup, alice: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await alice.patch("/v2/account/configurations", json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
    assert next(iter(change)) in answer.json()["message"]
    assert venue.venue.commands == []


async def test_an_account_that_the_venue_does_not_know(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    del venue.venue.accounts[ALICE]
    for path in ("/v2/account", "/v2/account/configurations", "/v2/account/portfolio/history"):
        answer = await alice.get(path)
        assert answer.text == '{"code":40410000,"message":"account not found"}'


# ---------------------------------------------------------------- positions


async def test_positions_by_symbol_and_by_asset_id(venue: Setup, alice: httpx.AsyncClient) -> None:
    venue.venue.hold(ALICE, "BTC/USD", ONE // 2, 500_000_000)
    venue.venue.hold(ALICE, "AAPL", 10 * ONE, 1_000_000)
    venue.venue.hold(BOB, "AAPL", 5 * ONE, 1_000_000)
    venue.venue.hold(ALICE, "GONE", 0, 1_000_000)
    rows = (await alice.get("/v2/positions")).json()
    assert [row["symbol"] for row in rows] == ["AAPL", "BTC/USD"]
    for path in ("AAPL", rows[0]["asset_id"], rows[0]["asset_id"].upper()):
        answer = await alice.get(f"/v2/positions/{path}")
        assert answer.json() == rows[0] or path.isupper()
    for path in ("BTC/USD", "BTC%2FUSD"):
        assert (await alice.get(f"/v2/positions/{path}")).json() == rows[1]
    lost = await alice.get("/v2/positions/GONE")
    assert (lost.status_code, lost.text) == (
        404,
        '{"code":40410000,"message":"position does not exist"}',
    )


async def test_figures_of_a_short_position_that_lost(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    record = m.PositionRecord(
        ALICE, "AAPL", -3 * ONE, 3 * ONE, -3 * ONE * 1_000_000, 1_100_000, 1_050_000
    )
    venue.venue.holdings[ALICE, "AAPL"] = record
    row = (await alice.get("/v2/positions/AAPL")).json()
    assert (row["side"], row["qty"], row["avg_entry_price"]) == ("short", "-3", "100")
    assert (row["market_value"], row["cost_basis"], row["unrealized_pl"]) == (
        "-330", "-300", "-30",
    )  # fmt: skip
    assert (row["unrealized_plpc"], row["unrealized_intraday_pl"]) == ("-0.1", "-15")
    assert row["change_today"] == "0.04761905"


@pytest.mark.parametrize(
    ("held", "params", "side", "qty"),
    [
        (10 * ONE, {}, "SELL", 10 * ONE),
        (-10 * ONE, {}, "BUY", 10 * ONE),
        (10 * ONE, {"qty": "2.5"}, "SELL", 250_000_000),
        (10 * ONE, {"percentage": "50"}, "SELL", 5 * ONE),
        (10 * ONE, {"percentage": "100"}, "SELL", 10 * ONE),
        (ONE // 3, {"percentage": "50"}, "SELL", 16_666_666),
    ],
)
async def test_closing_a_position_sends_the_opposite_market_order(
    venue: Setup,
    alice: httpx.AsyncClient,
    held: int,
    params: dict[str, str],
    side: str,
    qty: int,
) -> None:
    venue.venue.hold(ALICE, "AAPL", held, 1_000_000)
    answer = await alice.delete("/v2/positions/AAPL", params=params)
    assert answer.status_code == 200
    command = venue.venue.commands[0]
    assert isinstance(command, m.SubmitOrder)
    assert (command.side, command.order_qty, command.ord_type) == (side, qty, "MARKET")
    assert answer.json()["position_intent"] == f"{side.lower()}_to_close"


async def test_a_part_is_rounded_down_to_whole_lots(venue: Setup, alice: httpx.AsyncClient) -> None:
    venue.venue.symbols["AAPL"] = InstrumentDefined("AAPL", 100, ONE)
    venue.venue.hold(ALICE, "AAPL", 7 * ONE, 1_000_000)
    assert (await alice.delete("/v2/positions/AAPL?percentage=50")).json()["qty"] == "3"
    refused = await alice.delete("/v2/positions/AAPL?percentage=1")
    assert refused.json()["message"] == "invalid percentage 1. it is less than a lot"


@pytest.mark.parametrize(
    "query", ["percentage=101", "percentage=0", "percentage=x", "qty=0", "qty=1&percentage=1"]
)
async def test_parts_that_are_none(venue: Setup, alice: httpx.AsyncClient, query: str) -> None:
    venue.venue.hold(ALICE, "AAPL", 7 * ONE, 1_000_000)
    answer = await alice.delete(f"/v2/positions/AAPL?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
    assert venue.venue.commands == []


async def test_closing_everything_tells_each_position(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    await posted(alice)
    venue.venue.hold(ALICE, "AAPL", 7 * ONE, 1_000_000)
    venue.venue.hold(ALICE, "BTC/USD", ONE, 1_000_000)
    answer = await alice.delete("/v2/positions", params={"cancel_orders": "True"})
    assert answer.status_code == 207
    assert [(row["symbol"], row["status"]) for row in answer.json()] == [
        ("AAPL", 200),
        ("BTC/USD", 200),
    ]
    assert answer.json()[0]["body"]["side"] == "sell"
    kinds = [type(command) for command in venue.venue.commands]
    assert kinds == [m.SubmitOrder, m.CancelAllOrders, m.SubmitOrder, m.SubmitOrder]


async def test_closing_everything_tells_refusals_in_place(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    venue.venue.hold(ALICE, "AAPL", 7 * ONE, 1_000_000)
    venue.venue.refuse_with = m.OrderRejected(
        ALICE, "x", "c", "AAPL", "SELL", "MARKET", m.NOT_TRADABLE, ""
    )
    answer = await alice.delete("/v2/positions")
    assert answer.text == (
        '[{"symbol":"AAPL","status":422,"body":'
        '{"code":42210000,"message":"asset \\"AAPL\\" is not tradable"}}]'
    )
