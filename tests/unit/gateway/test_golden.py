"""The bytes of every model as clients get them, kept in files: a change has to be meant.

To change one, run the tests with NEXUS_GOLDEN_WRITE=1 and look at what differs.
"""

import json
import os
from pathlib import Path

import httpx
import pytest

from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import ALICE, NOW_US, Setup
from tests.unit.gateway.test_orders import posted
from tests.unit.gateway.test_reports import fill, movement

GOLDEN = Path(__file__).with_name("golden")
ONE = 10**8
ORDER_ID = "01a1ee56-5e7b-7df5-8eff-f84fa21d6fc1"


def record(**changes: object) -> m.OrderRecord:
    fields: dict[str, object] = {
        "order_id": ORDER_ID,
        "account_id": ALICE,
        "cl_ord_id": "mine-1",
        "symbol": "AAPL",
        "side": "BUY",
        "ord_type": "LIMIT",
        "time_in_force": "DAY",
        "ord_status": "NEW",
        "order_qty": 10 * ONE,
        "notional": 0,
        "limit_px": 1_000_500,
        "expire_us": 0,
        "post_only": False,
        "extended_hours": False,
        "position_intent": "",
        "cum_qty": 0,
        "leaves_qty": 10 * ONE,
        "avg_px": 0,
        "submitted_us": NOW_US,
        "updated_us": NOW_US,
    }
    return m.OrderRecord(**(fields | changes))  # type: ignore[arg-type]


ORDERS = {
    "order_new": record(),
    "order_partially_filled": record(
        ord_status="PARTIALLY_FILLED", cum_qty=4 * ONE, leaves_qty=6 * ONE, avg_px=1_000_450,
        updated_us=NOW_US + 1_000, post_only=True, position_intent="BUY_TO_OPEN",
    ),
    "order_filled_by_value": record(
        ord_type="MARKET", notional=50_025, order_qty=5 * ONE, limit_px=0, ord_status="FILLED",
        cum_qty=499_999_999, leaves_qty=0, avg_px=1_000_501, filled_us=NOW_US + 5,
        updated_us=NOW_US + 5,
    ),
    "order_gtd_expired": record(
        time_in_force="GTD", expire_us=NOW_US + 9, ord_status="EXPIRED", leaves_qty=0,
        expired_us=NOW_US + 9, updated_us=NOW_US + 9, close_reason="EXPIRE_TIME", side="SELL",
    ),
    "order_replaced": record(
        ord_status="REPLACED", replaced_us=NOW_US + 7, replaced_by=ORDER_ID[:-1] + "2",
        replaces=ORDER_ID[:-1] + "3", updated_us=NOW_US + 7, leaves_qty=0, extended_hours=True,
    ),
    "order_pending_cancel": record(ord_status="PENDING_CANCEL", symbol="BTC/USD"),
}  # fmt: skip

PATHS = {
    "account": "/v2/account",
    "configurations": "/v2/account/configurations",
    "position_long": "/v2/positions/AAPL",
    "position_short": "/v2/positions/BTC/USD",
    "asset": "/v2/assets/AAPL",
    "asset_crypto": "/v2/assets/BTC/USD",
    "clock": "/v2/clock",
    "calendar": "/v2/calendar?start=2026-11-20&end=2026-11-20",
    "activities": "/v2/account/activities?direction=asc",
    "portfolio_history": "/v2/account/portfolio/history?period=1D&timeframe=5Min",
    "book": "/v1/books/AAPL",
}


def check(name: str, body: bytes) -> None:
    path = GOLDEN / f"{name}.json"
    if os.environ.get("NEXUS_GOLDEN_WRITE"):
        path.write_bytes(body + b"\n")
    assert path.read_bytes() == body + b"\n"
    assert b": " not in body.replace(b'": "', b"")


@pytest.mark.parametrize("name", ORDERS)
async def test_orders(venue: Setup, alice: httpx.AsyncClient, name: str) -> None:
    venue.venue.records[ORDER_ID] = ORDERS[name]
    check(name, (await alice.get(f"/v2/orders/{ORDER_ID}")).content)


@pytest.mark.parametrize("name", PATHS)
async def test_models(venue: Setup, alice: httpx.AsyncClient, name: str) -> None:
    venue.venue.hold(ALICE, "AAPL", 10 * ONE + 1, 1_000_500)
    venue.venue.holdings[ALICE, "BTC/USD"] = m.PositionRecord(
        ALICE, "BTC/USD", -ONE // 4, ONE // 8, -ONE // 4 * 500_000_000, 510_000_000, 505_000_000
    )
    venue.venue.old_fills += [fill(NOW_US, 1), fill(NOW_US + 7, 2)]
    venue.venue.movements += [movement(NOW_US + 7, "FEE", -51), movement(NOW_US + 9, "CSD", 1_000)]
    venue.venue.samples.append(m.EquitySample(ALICE, NOW_US - 3_600_000_000, 10_000_001))
    check(name, (await alice.get(PATHS[name])).content)


async def test_a_golden_file_for_each_and_no_other(alice: httpx.AsyncClient) -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*ORDERS, *PATHS}
    order = await posted(alice)
    kept = json.loads((GOLDEN / "order_new.json").read_bytes())
    assert list(order) == list(kept)
