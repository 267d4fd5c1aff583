import json

import httpx
import pytest

from tests.unit.gateway.fakes import Setup


async def test_assets_by_symbol_and_by_id_with_and_without_a_slash(
    alice: httpx.AsyncClient,
) -> None:
    rows = (await alice.get("/v2/assets")).json()
    assert [row["symbol"] for row in rows] == ["AAPL", "BTC/USD"]
    paths = ("BTC/USD", "BTC%2FUSD", rows[1]["id"])
    assert [(await alice.get(f"/v2/assets/{path}")).json() for path in paths] == [rows[1]] * 3
    lost = await alice.get("/v2/assets/NOPE")
    assert (lost.status_code, lost.text) == (
        404,
        '{"code":40410000,"message":"asset not found for NOPE"}',
    )


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ("status=active", ["AAPL", "BTC/USD"]),
        ("status=inactive", []),
        ("asset_class=us_equity&status=active", ["AAPL"]),
        ("asset_class=crypto", ["BTC/USD"]),
        ("exchange=NASDAQ", ["AAPL"]),
        ("attributes=options_enabled", []),
    ],
)
async def test_assets_that_are_asked_for(
    alice: httpx.AsyncClient, query: str, symbols: list[str]
) -> None:
    rows = (await alice.get(f"/v2/assets?{query}")).json()
    assert [row["symbol"] for row in rows] == symbols


async def test_a_halted_asset_is_not_tradable(venue: Setup, alice: httpx.AsyncClient) -> None:
    venue.venue.states["AAPL"] = "HALTED"
    row = (await alice.get("/v2/assets/AAPL")).json()
    assert (row["tradable"], row["state"], row["status"]) == (False, "halted", "active")


async def test_the_clock_has_an_offset(alice: httpx.AsyncClient) -> None:
    assert (await alice.get("/v2/clock")).json() == {
        "timestamp": "2026-11-18T11:06:40.123456+00:00",
        "is_open": True,
        "next_open": "2026-11-18T12:06:40.123456+00:00",
        "next_close": "2026-11-18T11:36:40.123456+00:00",
    }


async def test_the_calendar_is_inclusive(alice: httpx.AsyncClient) -> None:
    params = {"start": "2026-11-20", "end": "2026-11-23"}
    rows = (await alice.get("/v2/calendar", params=params)).json()
    assert rows[0] == {
        "date": "2026-11-20",
        "open": "09:30",
        "close": "16:00",
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": "2026-11-22",
    }
    assert [row["date"] for row in rows] == ["2026-11-20", "2026-11-23"]
    assert len((await alice.get("/v2/calendar")).json()) > 200
    assert (await alice.get("/v2/calendar?start=x")).status_code == 422


# ---------------------------------------------------------------- watchlists


async def test_the_life_of_a_watchlist(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    made = await alice.post("/v2/watchlists", json={"name": "tech", "symbols": ["AAPL"]})
    assert made.status_code == 200
    path = f"/v2/watchlists/{made.json()['id']}"
    assert [a["symbol"] for a in made.json()["assets"]] == ["AAPL"]
    assert "assets" not in (await alice.get("/v2/watchlists")).json()[0]

    added = (await alice.post(path, json={"symbol": "BTC/USD"})).json()
    assert [a["symbol"] for a in added["assets"]] == ["AAPL", "BTC/USD"]
    renamed = (await alice.put(path, json={"name": "mine"})).json()
    assert (renamed["name"], len(renamed["assets"])) == ("mine", 2)
    left = (await alice.delete(f"{path}/BTC%2FUSD")).json()
    assert [a["symbol"] for a in left["assets"]] == ["AAPL"]
    assert (await alice.delete(f"{path}/BTC/USD")).status_code == 404

    for method in ("GET", "DELETE"):
        assert (await bob.request(method, path)).status_code == 404
    assert (await bob.put(path, json={"name": "x"})).status_code == 404
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.get(path)).status_code == 404
    assert (await alice.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name is required"),
        ({"name": ""}, "name is required"),
        ({"name": "a\x00"}, "invalid name 'a\\x00'. name is at most 64 printable characters"),
        ({"name": "x", "symbols": ["NOPE"]}, "asset not found for NOPE"),
        ({"name": "x", "symbols": "AAPL"}, "invalid symbols: Expected `array | null`, got `str`"),
        ({"name": "taken"}, "watchlist name must be unique"),
    ],
)
async def test_watchlists_that_are_none(
    alice: httpx.AsyncClient, body: dict[str, object], message: str
) -> None:
    await alice.post("/v2/watchlists", json={"name": "taken"})
    answer = await alice.post("/v2/watchlists", content=json.dumps(body))
    assert (answer.status_code, answer.json()) == (422, {"code": 40010001, "message": message})


async def test_a_name_is_taken_for_changes_too(alice: httpx.AsyncClient) -> None:
    await alice.post("/v2/watchlists", json={"name": "one"})
    two = (await alice.post("/v2/watchlists", json={"name": "two"})).json()
    answer = await alice.put(f"/v2/watchlists/{two['id']}", json={"name": "one"})
    assert answer.json()["message"] == "watchlist name must be unique"
