"""Alpaca's own Python client, unchanged, against a running venue."""

import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from queue import Empty, Queue
from typing import Any
from uuid import uuid4

import pytest

from tests.running import RunningVenue

with warnings.catch_warnings():
    # The client itself uses what its libraries have deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import (
        AssetClass,
        OrderSide,
        OrderStatus,
        OrderType,
        PositionSide,
        QueryOrderStatus,
        TimeInForce,
    )
    from alpaca.trading.models import TradeUpdate
    from alpaca.trading.requests import (
        ClosePositionRequest,
        CreateWatchlistRequest,
        GetAssetsRequest,
        GetCalendarRequest,
        GetOrdersRequest,
        GetPortfolioHistoryRequest,
        LimitOrderRequest,
        MarketOrderRequest,
        ReplaceOrderRequest,
        StopOrderRequest,
        UpdateWatchlistRequest,
    )
    from alpaca.trading.stream import TradingStream

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HEAR_S_MAX = 30


@pytest.fixture
def alice(venue: RunningVenue) -> Iterator[Any]:
    client = TradingClient(venue.key, venue.secret, url_override=venue.url)
    client.cancel_orders()
    yield client
    client.cancel_orders()
    client._session.close()


@pytest.fixture
def bob(venue: RunningVenue) -> Iterator[Any]:
    client = TradingClient("bob-key", venue.secret, url_override=venue.url)
    client.cancel_orders()
    yield client
    client.cancel_orders()
    client._session.close()


def limit(side: OrderSide, price: float, qty: float = 5, **more: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol="AAPL", qty=qty, side=side, limit_price=price, time_in_force=TimeInForce.GTC, **more
    )


def test_account_clock_calendar_and_assets(alice: Any) -> None:
    account = alice.get_account()
    assert account.account_number == "alice"
    assert account.currency == "USD"
    assert alice.get_clock().is_open
    days = alice.get_calendar(GetCalendarRequest(start=date(2026, 11, 16), end=date(2026, 11, 18)))
    assert days[0].date == date(2026, 11, 16)
    assets = alice.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    assert {asset.symbol for asset in assets} == {"AAPL", "MSFT"}
    assert alice.get_asset("AAPL").id == alice.get_asset(assets[0].id).id


def test_settings_round_trip(alice: Any) -> None:
    before = alice.get_account_configurations()
    before.suspend_trade = True
    assert alice.set_account_configurations(before).suspend_trade is True
    with pytest.raises(APIError) as refused:
        alice.submit_order(limit(OrderSide.BUY, 100))
    assert (refused.value.status_code, refused.value.code) == (403, 40310000)
    assert refused.value.message == "new orders are rejected by user request"
    before.suspend_trade = False
    assert alice.set_account_configurations(before).suspend_trade is False


def test_the_life_of_an_order(alice: Any) -> None:
    mine = f"mine-{uuid4()}"
    order = alice.submit_order(limit(OrderSide.BUY, 150.25, client_order_id=mine))
    assert (order.status, order.qty, order.limit_price) == (OrderStatus.NEW, "5", "150.25")
    assert alice.get_order_by_id(order.id) == alice.get_order_by_client_id(mine) == order
    assert order.id in {o.id for o in alice.get_orders()}

    changed = alice.replace_order_by_id(order.id, ReplaceOrderRequest(qty=3, limit_price=151))
    assert (changed.qty, changed.limit_price, changed.replaces) == ("3", "151", order.id)
    old = alice.get_order_by_id(order.id)
    assert (old.status, old.replaced_by) == (OrderStatus.REPLACED, changed.id)

    alice.cancel_order_by_id(changed.id)
    assert alice.get_order_by_id(changed.id).status is OrderStatus.CANCELED
    with pytest.raises(APIError) as refused:
        alice.cancel_order_by_id(changed.id)
    assert refused.value.status_code == 422
    assert refused.value.message == 'order is already in "canceled" state'
    closed = alice.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, limit=2))
    assert {o.id for o in closed} == {order.id, changed.id}


def test_a_repeated_client_order_id(alice: Any) -> None:
    mine = f"mine-{uuid4()}"
    first = alice.submit_order(limit(OrderSide.BUY, 150, client_order_id=mine))
    with pytest.raises(APIError) as refused:
        alice.submit_order(limit(OrderSide.BUY, 150, client_order_id=mine))
    assert (refused.value.code, refused.value.message) == (
        40010001,
        "client_order_id must be unique",
    )
    assert str(first.id) in str(refused.value)


def test_cancel_orders_answers_each(alice: Any) -> None:
    orders = [alice.submit_order(limit(OrderSide.BUY, 150 + n)) for n in range(3)]
    answers = alice.cancel_orders()
    assert {answer.id for answer in answers} == {order.id for order in orders}
    assert {answer.status for answer in answers} == {200}
    assert alice.get_orders() == []


def test_refusals_in_the_texts_that_bots_know(alice: Any, bob: Any) -> None:
    def why(client: Any, request: Any) -> tuple[int, int, str]:
        with pytest.raises(APIError) as refused:
            client.submit_order(request)
        return refused.value.status_code, refused.value.code, refused.value.message

    sub_penny = (
        "invalid limit_price 100.0012."
        " sub-penny increment does not fulfill minimum pricing criteria"
    )
    assert why(alice, limit(OrderSide.BUY, 100.0012)) == (422, 42210000, sub_penny)
    assert why(alice, limit(OrderSide.BUY, 9_000, qty=1_000_000))[1:] == (
        40310000,
        "insufficient buying power",
    )
    held = bob.get_open_position("AAPL")
    refused = why(bob, limit(OrderSide.SELL, 900, qty=200_000))
    assert refused[:2] == (403, 40310000)
    assert refused[2] == (
        f"insufficient qty available for order (requested: 200000, available: {held.qty_available})"
    )
    stop = StopOrderRequest(
        symbol="AAPL", qty=1, side=OrderSide.SELL, stop_price=900, time_in_force=TimeInForce.GTC
    )
    assert why(alice, stop) == (422, 42210000, "stop price must be less than current price")


def test_trades_positions_and_what_they_leave(alice: Any, bob: Any) -> None:
    bob.submit_order(limit(OrderSide.SELL, 201.5, qty=20))
    bought = alice.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=8, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert (bought.status, bought.filled_avg_price) == (OrderStatus.FILLED, "201.5")
    assert bought.order_type is OrderType.MARKET
    position = alice.get_open_position("AAPL")
    assert (position.side, position.qty_available) == (PositionSide.LONG, position.qty)
    assert position in alice.get_all_positions()

    bob.submit_order(limit(OrderSide.BUY, 201, qty=50))
    part = alice.close_position("AAPL", ClosePositionRequest(qty="3"))
    assert (part.side, part.qty, part.status) == (OrderSide.SELL, "3", OrderStatus.FILLED)
    answers = alice.close_all_positions(cancel_orders=True)
    assert [(answer.symbol, answer.status) for answer in answers] == [("AAPL", 200)]
    with pytest.raises(APIError) as lost:
        alice.get_open_position("AAPL")
    assert (lost.value.status_code, lost.value.message) == (404, "position does not exist")

    fills = _eventually(
        lambda: alice.get("/account/activities/FILL", {"page_size": 100}),
        lambda rows: str(bought.id) in {row["order_id"] for row in rows},
    )
    fill = next(row for row in fills if row["order_id"] == str(bought.id))
    assert (fill["price"], fill["qty"], fill["side"], fill["type"]) == ("201.5", "8", "buy", "fill")


def test_an_order_by_value(alice: Any, bob: Any) -> None:
    bob.submit_order(limit(OrderSide.SELL, 200, qty=20))
    order = alice.submit_order(
        MarketOrderRequest(
            symbol="AAPL", notional=300, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
        )
    )
    assert (order.notional, order.filled_qty, order.filled_avg_price) == ("300", "1.5", "200")
    bob.cancel_orders()
    bob.submit_order(limit(OrderSide.BUY, 199, qty=20))
    alice.close_all_positions(cancel_orders=True)


def test_portfolio_history(alice: Any) -> None:
    history = alice.get_portfolio_history(GetPortfolioHistoryRequest(period="1D", timeframe="5Min"))
    assert len(history.timestamp) == len(history.equity) == len(history.profit_loss) >= 1
    assert history.timeframe == "5Min"


def test_watchlists(alice: Any) -> None:
    made = alice.create_watchlist(CreateWatchlistRequest(name=f"w-{uuid4()}", symbols=["AAPL"]))
    assert made.id in {row.id for row in alice.get_watchlists()}
    alice.add_asset_to_watchlist_by_id(made.id, "MSFT")
    symbols = [asset.symbol for asset in alice.get_watchlist_by_id(made.id).assets]
    assert symbols == ["AAPL", "MSFT"]
    left = alice.remove_asset_from_watchlist_by_id(made.id, "AAPL")
    assert [asset.symbol for asset in left.assets] == ["MSFT"]
    renamed = alice.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name=f"x-{uuid4()}"))
    assert renamed.name.startswith("x-")
    alice.delete_watchlist_by_id(made.id)
    with pytest.raises(APIError):
        alice.get_watchlist_by_id(made.id)


def test_a_wrong_secret(venue: RunningVenue) -> None:
    client = TradingClient(venue.key, "wrong", url_override=venue.url)
    with pytest.raises(APIError) as refused:
        client.get_account()
    assert refused.value.status_code == 401
    assert refused.value.message == "request is not authorized"
    client._session.close()


def test_the_trade_stream(venue: RunningVenue, alice: Any, bob: Any) -> None:
    heard: Queue[TradeUpdate] = Queue()

    async def keep(update: TradeUpdate) -> None:
        heard.put(update)

    stream = TradingStream(venue.key, venue.secret, url_override=f"{venue.ws_url}/stream")
    stream.subscribe_trade_updates(keep)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        probe = _first_heard(alice, heard)
        alice.cancel_order_by_id(probe.order.id)
        _until(heard, "canceled", probe.order.id)
        order = alice.submit_order(limit(OrderSide.BUY, 202, qty=4))
        bob.submit_order(limit(OrderSide.SELL, 202, qty=1))
        bob.submit_order(limit(OrderSide.SELL, 202, qty=3))
        new = _until(heard, "new", order.id)
        assert new.order.status is OrderStatus.NEW
        part = _until(heard, "partial_fill", order.id)
        assert (part.qty, part.price, part.order.filled_qty) == (1.0, 202.0, "1")
        whole = _until(heard, "fill", order.id)
        assert (whole.qty, whole.order.status) == (3.0, OrderStatus.FILLED)
        assert whole.position_qty is not None
        assert whole.execution_id != part.execution_id
    finally:
        stream.stop()
        thread.join(HEAR_S_MAX)
    bob.submit_order(limit(OrderSide.BUY, 201, qty=50))
    alice.close_all_positions(cancel_orders=True)


def _first_heard(client: Any, heard: "Queue[TradeUpdate]") -> TradeUpdate:
    """Place orders until the stream tells of any: then it listens, and tells of one more."""
    for _ in range(200):
        order = client.submit_order(limit(OrderSide.BUY, 100))
        client.cancel_order_by_id(order.id)
        try:
            heard.get(timeout=0.1)
        except Empty:
            continue
        probe = client.submit_order(limit(OrderSide.BUY, 100))
        return _until(heard, "new", probe.id)
    raise AssertionError("the stream told nothing")


def _until(heard: "Queue[TradeUpdate]", event: str, order_id: object) -> TradeUpdate:
    while True:
        update = heard.get(timeout=HEAR_S_MAX)
        if (update.event, update.order.id) == (event, order_id):
            return update


def _eventually(ask: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """Ask until the history, which follows the venue, has caught up."""
    for _ in range(600):
        answer = ask()
        if enough(answer):
            return answer
        threading.Event().wait(0.05)
    raise AssertionError("not in the history")
