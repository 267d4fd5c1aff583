"""ccxt's class `alpaca`, unchanged, against a running venue."""

import warnings
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from tests.running import RunningVenue

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import ccxt  # type: ignore[import-untyped]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SYMBOL = "AAPL/USD"


def exchange(venue: RunningVenue, key: str) -> Any:
    client = ccxt.alpaca({"apiKey": key, "secret": venue.secret, "enableRateLimit": False})
    client.urls["api"] = {"trader": venue.url, "market": venue.url, "broker": venue.url}
    # By itself ccxt asks for crypto alone.
    client.load_markets(params={"asset_class": "us_equity"})
    return client


@pytest.fixture
def alice(venue: RunningVenue) -> Iterator[Any]:
    client = exchange(venue, venue.key)
    yield client
    client.cancel_all_orders()
    client.close()


@pytest.fixture
def bob(venue: RunningVenue) -> Iterator[Any]:
    client = exchange(venue, "bob-key")
    yield client
    client.cancel_all_orders()
    client.close()


def test_markets_clock_and_balance(alice: Any) -> None:
    market = alice.market(SYMBOL)
    assert (market["id"], market["active"], market["precision"]["price"]) == ("AAPL", True, 0.01)
    assert alice.fetch_time() > 1_700_000_000_000
    balance = alice.fetch_balance()
    assert balance["USD"]["free"] > 0
    assert balance["USD"]["total"] >= balance["USD"]["free"]


def test_orders_trades_and_what_they_leave(alice: Any, bob: Any) -> None:
    resting = bob.create_order(SYMBOL, "limit", "sell", 6, 203.5)
    assert (resting["status"], resting["timeInForce"], resting["price"]) == ("open", "GTC", 203.5)
    bought = alice.create_order(SYMBOL, "limit", "buy", 2, 203.5)
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 2.0, 203.5)
    assert bob.fetch_order(resting["id"])["filled"] == 2.0
    assert resting["id"] in {order["id"] for order in bob.fetch_open_orders(SYMBOL)}

    edited = bob.edit_order(resting["id"], SYMBOL, "limit", "sell", 5, 204.25)
    assert (edited["price"], edited["amount"]) == (204.25, 5.0)
    bob.cancel_order(edited["id"])
    assert bob.fetch_order(edited["id"])["status"] == "canceled"
    assert bought["id"] in {order["id"] for order in alice.fetch_closed_orders(SYMBOL)}
    assert _trade_of(alice, bought["id"])["price"] == 203.5

    bob.create_order(SYMBOL, "limit", "buy", 10, 203)
    sold = alice.create_order(SYMBOL, "market", "sell", 2)
    assert (sold["status"], sold["average"]) == ("closed", 203.0)


def test_refusals_become_ccxts_exceptions(venue: RunningVenue, alice: Any) -> None:
    with pytest.raises(ccxt.BaseError, match="insufficient buying power"):
        alice.create_order(SYMBOL, "limit", "buy", 1_000_000, 9_000)
    with pytest.raises(ccxt.BaseError):
        alice.fetch_order("01a1ee56-5e7b-7df5-8eff-f84fa21d6fc1")
    alice.secret = "wrong"
    with pytest.raises(ccxt.BaseError, match="40110000"):
        alice.fetch_balance()
    alice.secret = venue.secret


def test_orders_cancelled_together(alice: Any) -> None:
    made = {alice.create_order(SYMBOL, "limit", "buy", 1, 100 + n)["id"] for n in range(3)}
    assert {order["id"] for order in alice.cancel_all_orders()} == made
    assert alice.fetch_open_orders() == []


def test_stops_and_brackets(alice: Any) -> None:
    stop = alice.create_order(SYMBOL, "limit", "buy", 2, 910, {"triggerPrice": 900})
    assert (stop["status"], stop["triggerPrice"], stop["price"]) == ("open", 900.0, 910.0)
    assert stop["info"]["type"] == "stop_limit"
    trailing = alice.create_order(SYMBOL, "trailing_stop", "buy", 1, None, {"trail_percent": "50"})
    assert trailing["info"]["hwm"] is not None
    bracket = alice.create_order(
        SYMBOL, "limit", "buy", 1, 150,
        {
            "order_class": "bracket",
            "take_profit": {"limit_price": "160"},
            "stop_loss": {"stop_price": "140"},
        },
    )  # fmt: skip
    legs = bracket["info"]["legs"]
    assert [(leg["type"], leg["status"]) for leg in legs] == [("limit", "held"), ("stop", "held")]
    alice.cancel_order(bracket["id"])
    with pytest.raises(ccxt.BaseError, match="order is already in"):
        alice.cancel_order(legs[0]["id"])
    assert alice.fetch_order(legs[1]["id"])["status"] == "canceled"
    assert {each["id"] for each in alice.cancel_all_orders()} == {stop["id"], trailing["id"]}


def _trade_of(client: Any, order_id: str) -> Any:
    """The trade of an order, once the history, which follows the venue, has it."""
    for _ in range(600):
        for trade in client.fetch_my_trades(SYMBOL):
            if trade["order"] == order_id:
                return trade
        Event().wait(0.05)
    raise AssertionError("the trade is not in the history")
