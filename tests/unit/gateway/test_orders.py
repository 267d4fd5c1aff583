import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from nexustrade.core.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from nexustrade.orders import messages as m
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import ALICE, Setup

LIMIT = {
    "symbol": "AAPL",
    "qty": 10,
    "side": "buy",
    "type": "limit",
    "time_in_force": "day",
    "limit_price": 100.05,
    "client_order_id": "mine-1",
}


def limit(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in (LIMIT | changes).items() if v is not ...}


async def post(client: httpx.AsyncClient, body: Mapping[str, Any] | bytes) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/v2/orders", content=content)


async def test_a_new_order_is_answered_with_every_field_of_the_model(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    answer = await post(alice, LIMIT)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    order_id = answer.json()["id"]
    assert answer.json() == {
        "id": order_id,
        "client_order_id": "mine-1",
        "created_at": "2026-11-18T11:06:40.123456Z",
        "updated_at": "2026-11-18T11:06:40.123456Z",
        "submitted_at": "2026-11-18T11:06:40.123456Z",
        "filled_at": None,
        "expired_at": None,
        "expires_at": None,
        "canceled_at": None,
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": "2d809db3-d209-8c11-8a50-7792f0816f70",
        "symbol": "AAPL",
        "asset_class": "us_equity",
        "notional": None,
        "qty": "10",
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "order_type": "limit",
        "type": "limit",
        "side": "buy",
        "time_in_force": "day",
        "limit_price": "100.05",
        "stop_price": None,
        "status": "new",
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "position_intent": None,
        "post_only": False,
        "close_reason": None,
    }
    command = venue.venue.commands[0]
    assert command == m.SubmitOrder(
        ALICE, order_id, "mine-1", "AAPL", "BUY", "LIMIT", "DAY", 10 * 10**8, 0, 1_000_500
    )
