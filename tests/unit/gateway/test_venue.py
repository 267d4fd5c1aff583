import json
from typing import Any

import httpx
import pytest

from nexustrade.matching.messages import SplitInstrument
from nexustrade.orders import messages as m
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import ALICE, BOB, NOW_US, ROOT, Setup
from tests.unit.gateway.test_orders import limit, posted


async def test_health(venue: Setup) -> None:
    async with client_of(venue, "") as client:
        answer = await client.get("/v1/health")
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "status": "ok",
                "live": True,
                "ready": True,
                "session_open": True,
                "time": "2026-11-18T11:06:40.123456Z",
            },
        )
        venue.gateway.ready = lambda: False
        answer = await client.get("/v1/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
        assert (answer.json()["live"], answer.json()["ready"]) == (True, False)


async def test_a_book(alice: httpx.AsyncClient) -> None:
    answer = await alice.get("/v1/books/AAPL", params={"depth": 1})
    assert answer.text == (
        '{"symbol":"AAPL","epoch":1,"book_seq":7,"as_of":"2026-11-18T11:06:40.123456Z",'
        '"session_open":true,"phase":"continuous","indicative_price":null,"indicative_qty":null,'
        '"imbalance_qty":null,"imbalance_side":null,"last_price":"100.05","last_qty":"1",'
        '"last_trade_at":"2026-11-18T11:06:40.123456Z",'
        '"bids":[{"price":"100.05","qty":"5","orders":2}],'
        '"asks":[{"price":"100.06","qty":"1.5","orders":1}]}'
    )
    assert len((await alice.get("/v1/books/AAPL")).json()["bids"]) == 2
    assert (await alice.get("/v1/books/BTC/USD")).status_code == 200
    assert (await alice.get("/v1/books/NOPE")).status_code == 404
    for depth in ("0", "1001", "x"):
        assert (await alice.get(f"/v1/books/AAPL?depth={depth}")).status_code == 422


async def test_a_preview_reserves_nothing(venue: Setup, alice: httpx.AsyncClient) -> None:
    fits = (await alice.post("/v1/orders/preview", json=limit())).json()
    assert fits == {
        "accepted": True,
        "reserved": "1000.5",
        "reserved_qty": "0",
        "fee_max": "0.51",
        "buying_power": "100000",
        "buying_power_after": "98998.99",
        "collar_price": "105",
        "refusal": None,
        "worst_leg": None,
        "worst_price": None,
        "settled_cash_after": "0",
        "withdrawable_after": "0",
        "funded_until": None,
        "legs": {},
    }
    too_big = (await alice.post("/v1/orders/preview", json=limit(qty=2000))).json()
    assert (too_big["accepted"], too_big["refusal"]) == (
        False,
        {
            "code": 40310000,
            "message": "insufficient buying power",
            "buying_power": "100000",
            "cost_basis": "1000000",
        },
    )
    assert venue.venue.commands == []


async def test_a_mass_cancel_takes_only_what_is_named(alice: httpx.AsyncClient) -> None:
    buy = await posted(alice)
    sell = await posted(alice, side="sell")
    answer = await alice.delete("/v1/orders", params={"symbol": "AAPL", "side": "sell"})
    assert (answer.status_code, [row["id"] for row in answer.json()]) == (207, [sell["id"]])
    assert (await alice.get(f"/v2/orders/{buy['id']}")).json()["status"] == "new"
    for query in ("side=both", "symbol=%00"):
        assert (await alice.delete(f"/v1/orders?{query}")).status_code == 422
    assert len((await alice.delete("/v1/orders")).json()) == 1


# ---------------------------------------------------------------- operators


async def test_an_account_is_opened_and_funded(venue: Setup, root: httpx.AsyncClient) -> None:
    body = b'{"account_id":"carol","account_type":"margin","cash":1000.10,"taker_fee":"0.0005"}'
    answer = await root.post("/v1/accounts", content=body)
    assert (answer.status_code, answer.json()["cash"]) == (200, "1000.1")
    assert venue.venue.commands == [m.OpenAccount("carol", "MARGIN", 100_010, 0, 500, False)]
    again = await root.post("/v1/accounts", content=body)
    assert (again.status_code, again.json()["message"]) == (422, "account carol exists")

    paid = await root.post("/v1/accounts/carol/cash", json={"amount": "-0.10"})
    assert paid.json()["cash"] == "1000"
    names = [row["account_id"] for row in (await root.get("/v1/accounts")).json()]
    assert names == [ALICE, BOB, ROOT, "carol"]
    assert len((await root.post("/v1/accounts", json={})).json()["account_id"]) == 36


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/accounts", {"account_id": "a/b"}),
        ("/v1/accounts", {"account_type": "gold"}),
        ("/v1/accounts", {"cash": "-1"}),
        ("/v1/accounts", {"cash": "1.001"}),
        ("/v1/accounts", {"taker_fee": "2"}),
        ("/v1/accounts/alice/cash", {"amount": 0}),
        ("/v1/accounts/alice/cash", {"amount": "1.001"}),
        ("/v1/accounts/alice/cash", {}),
        ("/v1/accounts/alice/cash", {"amount": 1, "description": "\x00"}),
        ("/v1/accounts/alice/block", {"blocked": "yes"}),
        ("/v1/venue/block", {}),
        ("/v1/instruments/AAPL/state", {"state": "open"}),
        ("/v1/keys", {"account_id": "alice", "scopes": []}),
        ("/v1/keys", {"account_id": "alice", "scopes": ["root"]}),
        ("/v1/keys", {"account_id": "alice", "expires_at": "2020-01-01"}),
        ("/v1/keys", {"account_id": "alice", "label": "x" * 300}),
    ],
)
async def test_operator_requests_that_mean_nothing(
    venue: Setup, root: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await root.post(path, content=json.dumps(body))
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001), answer.text
    assert venue.venue.commands == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/accounts/nobody/cash", {"amount": 1}),
        ("/v1/accounts/nobody/block", {"blocked": True}),
        ("/v1/instruments/NOPE/state", {"state": "halted"}),
        ("/v1/keys", {"account_id": "nobody"}),
    ],
)
async def test_operator_requests_for_what_is_not_there(
    venue: Setup, root: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await root.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, 40410000)
    assert venue.venue.commands == []


async def test_kill_switches_and_states(venue: Setup, root: httpx.AsyncClient) -> None:
    blocked = await root.post(f"/v1/accounts/{ALICE}/block", json={"blocked": True, "reason": "r"})
    assert blocked.json()["blocked"] is True
    whole = await root.post("/v1/venue/block", json={"blocked": True, "reason": "fire"})
    assert whole.json() == {"blocked": True, "reason": "fire"}
    halted = await root.post("/v1/instruments/BTC/USD/state", json={"state": "halted"})
    assert halted.json() == {"symbol": "BTC/USD", "state": "halted"}
    assert venue.venue.commands == [
        m.BlockAccount(ALICE, True, "r"),
        m.BlockVenue(True, "fire"),
        m.RestrictInstrument("BTC/USD", "HALTED", ""),
    ]


async def test_a_halted_instrument_is_split(venue: Setup, root: httpx.AsyncClient) -> None:
    path, body = "/v1/instruments/AAPL/split", {"shares_new": 4, "shares_old": 1, "reason": "4:1"}
    early = await root.post(path, json=body)
    assert (early.status_code, early.json()["message"]) == (
        422, 'asset "AAPL" must be halted to be split',
    )  # fmt: skip
    await root.post("/v1/instruments/AAPL/state", json={"state": "halted"})
    done = await root.post(path, json=body)
    assert done.json() == {"symbol": "AAPL"} | body
    assert venue.venue.commands[-1] == SplitInstrument("AAPL", 4, 1, "4:1")


@pytest.mark.parametrize(("new", "old"), [(1, 1), (0, 1), (1, 0), (1_001, 1), ("2", 1)])
async def test_a_split_by_senseless_numbers_is_refused(
    venue: Setup, root: httpx.AsyncClient, new: object, old: object
) -> None:
    body = {"shares_new": new, "shares_old": old}
    answer = await root.post("/v1/instruments/AAPL/split", json=body)
    assert answer.status_code == 422
    assert "shares_" in answer.json()["message"]
    assert venue.venue.commands == []


async def test_a_key_works_from_its_answer_until_it_is_revoked(
    venue: Setup, root: httpx.AsyncClient
) -> None:
    made = await root.post("/v1/keys", json={"account_id": ALICE, "label": "bot"})
    key = made.json()
    assert (key["scopes"], key["label"], key["expires_at"]) == (["read", "trade"], "bot", None)
    headers = {"APCA-API-KEY-ID": key["key_id"], "APCA-API-SECRET-KEY": key["secret"]}
    async with client_of(venue, "") as client:
        assert (await client.get("/v2/account", headers=headers)).status_code == 200
        rows = (await root.get("/v1/keys", params={"account_id": ALICE})).json()
        row = next(row for row in rows if row["key_id"] == key["key_id"])
        assert (row["created_at"] is None, row["revoked_at"]) == (False, None)
        assert key["secret"] not in json.dumps(rows)
        path = f"/v1/keys/{key['key_id']}"
        assert (await root.delete(path)).status_code == 204
        assert (await client.get("/v2/account", headers=headers)).status_code == 401
    assert (await root.delete("/v1/keys/nobody")).status_code == 404
    later = await root.post(
        "/v1/keys", json={"account_id": ALICE, "scopes": ["read"], "expires_at": "2027-01-01"}
    )
    assert later.json()["expires_at"] == "2027-01-01T00:00:00.000000Z"
    assert NOW_US < 1_798_761_600_000_000
