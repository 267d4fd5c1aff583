"""Commands that talk to a running venue: what they ask, and how they answer."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_venue import FakeVenue

ALICE = {
    "account_id": "alice",
    "account_type": "cash",
    "cash": "1000.5",
    "equity": "1000.5",
    "buying_power": "1000.5",
    "reserved": "0",
    "open_orders": 0,
    "blocked": False,
}
ORDER = {
    "id": "0190-1",
    "symbol": "AAPL",
    "side": "buy",
    "type": "limit",
    "qty": "3",
    "limit_price": "100.05",
    "status": "new",
    "submitted_at": "2026-11-23T10:00:00Z",
    "notional": None,
}


def test_accounts_are_listed_with_the_operators_key(run: Run, venue: FakeVenue) -> None:
    venue.answer("GET", "/v1/accounts", [ALICE])
    table = run("account", "list")
    assert table.code == 0
    assert "alice" in table.out
    assert "1000.5" in table.out
    assert json.loads(run("account", "list", "--json").out) == [ALICE]
    assert {(each.key, each.secret) for each in venue.asked} == {("NXADMIN", "admin secret")}


def test_an_account_is_opened(run: Run, venue: FakeVenue) -> None:
    venue.answer("POST", "/v1/accounts", ALICE)
    options = ["--type", "margin", "--cash", "1000.50", "--taker-fee", "0.0005", "--shorting"]
    ran = run("account", "open", "alice", *options, "--json")
    assert json.loads(ran.out) == ALICE
    assert venue.asked[0].body == {
        "account_id": "alice",
        "account_type": "margin",
        "cash": "1000.50",
        "maker_fee": "0",
        "taker_fee": "0.0005",
        "shorting": True,
    }


@pytest.mark.parametrize(("command", "sent"), [("deposit", "12.50"), ("withdraw", "-12.50")])
def test_cash_goes_in_and_out(run: Run, venue: FakeVenue, command: str, sent: str) -> None:
    venue.answer("POST", "/v1/accounts/a%2Fb/cash", ALICE)
    assert run("account", command, "a/b", "12.50", "--description", "gift").code == 0
    assert venue.asked[0].body == {"amount": sent, "description": "gift"}


@pytest.mark.parametrize(("command", "blocked"), [("block", True), ("unblock", False)])
def test_kill_switches(run: Run, venue: FakeVenue, command: str, blocked: bool) -> None:
    venue.answer("POST", "/v1/accounts/alice/block", ALICE)
    venue.answer("POST", "/v1/venue/block", {"blocked": blocked, "reason": "drill"})
    assert run("account", command, "alice", "--reason", "drill").code == 0
    assert run("venue", command, "--reason", "drill").code == 0
    assert [each.body for each in venue.asked] == [{"blocked": blocked, "reason": "drill"}] * 2


def test_an_account_is_shown_with_its_positions(run: Run, venue: FakeVenue) -> None:
    venue.answer("GET", "/v1/accounts", [ALICE])
    venue.answer("GET", "/v2/positions", [{"symbol": "AAPL", "qty": "3", "side": "long"}])
    told = json.loads(run("account", "show", "alice", "--json").out)
    assert told["positions"][0]["symbol"] == "AAPL"
    assert "AAPL" in run("account", "show", "alice").out
    assert run("account", "show", "bob").code == 1


def test_keys_are_made_listed_and_revoked(run: Run, venue: FakeVenue) -> None:
    made = {"key_id": "NX1", "secret": "s", "account_id": "alice", "scopes": ["read"]}
    venue.answer("POST", "/v1/keys", made)
    venue.answer("GET", "/v1/keys", [{"key_id": "NX1", "account_id": "alice", "scopes": ["read"]}])
    venue.answer("DELETE", "/v1/keys/NX1", None, 204)
    assert "NX1" in run("account", "key", "create", "alice", "--scope", "read").out
    assert venue.asked[0].body == {"account_id": "alice", "scopes": ["read"], "label": ""}
    assert "NX1" in run("account", "key", "list", "alice").out
    assert venue.lines[-1] == "GET /v1/keys?account_id=alice"
    assert run("account", "key", "revoke", "NX1").code == 0
    assert run("account", "key", "revoke", "NX2").code == 1


def test_an_order_is_sent_with_a_key_lent_for_the_while(run: Run, venue: FakeVenue) -> None:
    venue.answer("POST", "/v2/orders", ORDER)
    ran = run("order", "submit", "AAPL", "buy", "3", "--limit", "100.05", "--account", "alice")
    assert ran.code == 0
    assert "0190-1" in ran.out
    assert "notional" not in ran.out
    assert venue.lines == ["POST /v1/keys", "POST /v2/orders", "DELETE /v1/keys/NXLENT"]
    lent, sent, ended = venue.asked
    assert (lent.key, lent.body["account_id"]) == ("NXADMIN", "alice")
    assert "expires_at" in lent.body
    assert "scopes" not in lent.body
    assert (sent.key, sent.secret) == ("NXLENT", "lent secret")
    assert sent.body == {
        "symbol": "AAPL",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "qty": "3",
        "limit_price": "100.05",
    }
    assert ended.key == "NXADMIN"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--stop", "90"], {"type": "stop", "stop_price": "90"}),
        (
            ["--stop", "90", "--limit", "89"],
            {"type": "stop_limit", "stop_price": "90", "limit_price": "89"},
        ),
        (["--trail-percent", "5"], {"type": "trailing_stop", "trail_percent": "5"}),
        (["--trail", "2.5"], {"type": "trailing_stop", "trail_price": "2.5"}),
        (
            ["--stop-loss", "90"],
            {"type": "market", "order_class": "oto", "stop_loss": {"stop_price": "90"}},
        ),
        (
            ["--limit", "95", "--take-profit", "110", "--stop-loss", "90"],
            {
                "type": "limit",
                "limit_price": "95",
                "order_class": "bracket",
                "take_profit": {"limit_price": "110"},
                "stop_loss": {"stop_price": "90"},
            },
        ),
        (
            ["--oco", "--take-profit", "110", "--stop-loss", "90", "--stop-loss-limit", "89"],
            {
                "type": "limit",
                "order_class": "oco",
                "take_profit": {"limit_price": "110"},
                "stop_loss": {"stop_price": "90", "limit_price": "89"},
            },
        ),
        (["--tif", "opg"], {"type": "market", "time_in_force": "opg"}),
    ],
)
def test_stops_and_groups_are_sent(
    run: Run, venue: FakeVenue, options: list[str], sent: dict[str, object]
) -> None:
    venue.answer("POST", "/v2/orders", ORDER)
    assert run("order", "submit", "AAPL", "sell", "3", *options, "--account", "alice").code == 0
    plain = {"symbol": "AAPL", "side": "sell", "time_in_force": "day", "qty": "3"}
    assert venue.asked[1].body == plain | sent


def test_an_order_is_shown_with_its_legs(run: Run, venue: FakeVenue) -> None:
    leg = {"role": "stop_loss", "id": "0190-2", "type": "stop", "status": "held"}
    venue.answer("GET", "/v2/orders/0190-1", ORDER | {"legs": [leg]})
    shown = run("order", "show", "0190-1", "--account", "alice").out.splitlines()
    assert shown[-1].split() == ["stop_loss", "0190-2", "-", "stop", "-", "-", "-", "-", "held"]


def test_a_lent_key_ends_when_the_order_is_refused(run: Run, venue: FakeVenue) -> None:
    venue.answer("POST", "/v2/orders", {"code": 1, "message": "insufficient buying power"}, 403)
    ran = run("order", "submit", "AAPL", "buy", "--notional", "5", "--account", "alice")
    assert (ran.code, ran.err) == (1, "nexustrade: insufficient buying power\n")
    assert venue.lines[-1] == "DELETE /v1/keys/NXLENT"
    assert venue.asked[1].body["notional"] == "5"
    assert venue.asked[1].body["type"] == "market"


def test_a_key_in_the_environment_is_used_as_it_is(
    run: Run, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUSTRADE_KEY", "NXMINE")
    monkeypatch.setenv("NEXUSTRADE_SECRET", "my secret")
    venue.answer("GET", "/v2/orders", [ORDER])
    ran = run("order", "list", "--status", "all", "--symbol", "AAPL,MSFT")
    assert "0190-1" in ran.out
    assert venue.lines == ["GET /v2/orders?status=all&symbols=AAPL%2CMSFT&limit=50"]
    assert (venue.asked[0].key, venue.asked[0].secret) == ("NXMINE", "my secret")


def test_orders_are_shown_and_cancelled(run: Run, venue: FakeVenue) -> None:
    venue.answer("GET", "/v2/orders/0190-1", ORDER)
    venue.answer("DELETE", "/v2/orders/0190-1", None, 204)
    venue.answer("DELETE", "/v1/orders", [{"id": "0190-1", "status": 200}], 207)
    at = ["--account", "alice"]
    assert json.loads(run("order", "show", "0190-1", *at, "--json").out) == ORDER
    assert run("order", "cancel", "0190-1", *at).code == 0
    assert run("order", "cancel-all", "--side", "buy", *at).code == 0
    assert "DELETE /v1/orders?side=buy" in venue.lines
    venue.answer("DELETE", "/v1/orders", [{"id": "0190-1", "status": 422}], 207)
    assert run("order", "cancel-all", *at).code == 1


def test_a_book_is_shown_side_by_side(run: Run, venue: FakeVenue) -> None:
    book = {
        "symbol": "BTC/USD",
        "as_of": "2026-11-23T10:00:00Z",
        "session_open": True,
        "phase": "volatility_auction",
        "indicative_price": "100",
        "indicative_qty": "3",
        "imbalance_qty": "2",
        "imbalance_side": "sell",
        "last_price": None,
        "bids": [{"price": "99.5", "qty": "3", "orders": 1}],
        "asks": [{"price": "100.5", "qty": "4", "orders": 2}, {"price": "101", "qty": "1"}],
    }
    venue.answer("GET", "/v1/books/BTC%2FUSD", book)
    table = run("book", "show", "BTC/USD", "--depth", "2").out
    assert venue.lines == ["GET /v1/books/BTC%2FUSD?depth=2"]
    assert "99.5" in table
    assert "101" in table
    assert "no trade yet  volatility auction" in table
    assert "would trade 3 at 100, 2 sell left over" in table
    assert json.loads(run("book", "show", "BTC/USD", "--json").out) == book


def test_the_venues_state_and_an_instruments(run: Run, venue: FakeVenue) -> None:
    venue.answer("GET", "/v1/health", {"status": "ok"})
    venue.answer("POST", "/v1/instruments/AAPL/state", {"symbol": "AAPL", "state": "halted"})
    assert venue.url in run("venue", "status").out
    assert "halted" in run("venue", "instrument", "AAPL", "halted", "--reason", "news").out
    assert venue.asked[-1].body == {"state": "halted", "reason": "news"}
    venue.answer("GET", "/v1/health", {"status": "degraded"})
    assert run("venue", "status").code == 1


def test_a_book_plays_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "some orders.csv"
    file.write_text("N,1,S,L,GTC,100,5,,\nN,2,B,L,GTC,100,3,,\n")
    ran = run("book", "play", str(file), "--events", "--book")
    assert ran.code == 0
    assert ran.out.splitlines() == ["A,1,1", "A,2,2", "T,2,1,2,100,3", "B,S,1,100,2"]
    assert "commands/s" in run("book", "play", str(file), "--bench", "2").out
    assert run("book", "play", str(tmp_path / "none.csv")).code == 2
