"""Brackets, OCOs, OTOs and stops with Alpaca's own Python client against a running venue."""

import threading
import warnings
from collections.abc import Iterator
from queue import Empty, Queue
from typing import Any

import pytest

from tests.e2e.group_venue import SYMBOLS, Market, group_venue, leg_states
from tests.running import RunningVenue

with warnings.catch_warnings():
    # The client itself uses what its libraries have deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import (
        OrderClass,
        OrderSide,
        OrderStatus,
        OrderType,
        QueryOrderStatus,
        TimeInForce,
    )
    from alpaca.trading.models import TradeUpdate
    from alpaca.trading.requests import (
        GetOrdersRequest,
        LimitOrderRequest,
        MarketOrderRequest,
        ReplaceOrderRequest,
        StopLimitOrderRequest,
        StopLossRequest,
        StopOrderRequest,
        TakeProfitRequest,
        TrailingStopOrderRequest,
    )
    from alpaca.trading.stream import TradingStream

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HEAR_S_MAX = 30
BUY, SELL = OrderSide.BUY, OrderSide.SELL
GTC, DAY = TimeInForce.GTC, TimeInForce.DAY
Told = tuple[str, str, float | None]


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVenue]:
    with group_venue(tmp_path_factory.mktemp("groups")) as running:
        yield running


@pytest.fixture(scope="module")
def symbols() -> Iterator[str]:
    return iter(SYMBOLS)


@pytest.fixture
def market(venue: RunningVenue, symbols: Iterator[str]) -> Market:
    """A symbol that no other test has traded; alice holds 10 shares of it."""
    found = Market(venue, next(symbols))
    found.hold()
    return found


@pytest.fixture
def alice(venue: RunningVenue) -> Iterator[Any]:
    client = TradingClient("alice-key", venue.secret, url_override=venue.url)
    yield client
    client.cancel_orders()
    client._session.close()


class Ear:
    """The stream of alice's updates, in the order in which they come."""

    def __init__(self, venue: RunningVenue) -> None:
        self.heard: Queue[TradeUpdate] = Queue()
        self.stream = TradingStream(
            "alice-key", venue.secret, url_override=f"{venue.ws_url}/stream"
        )
        self.stream.subscribe_trade_updates(self._keep)
        self.thread = threading.Thread(target=self.stream.run, daemon=True)
        self.thread.start()

    async def _keep(self, update: TradeUpdate) -> None:
        self.heard.put(update)

    def listens(self, alice: Any, symbol: str) -> None:
        """Place orders until the stream tells of any, and forget what it told."""
        request = LimitOrderRequest(
            symbol=symbol, qty=1, side=BUY, limit_price=1, time_in_force=GTC
        )
        for _ in range(200):
            order = alice.submit_order(request)
            alice.cancel_order_by_id(order.id)
            try:
                self.heard.get(timeout=0.1)
            except Empty:
                continue
            self.until(alice, request)
            return
        raise AssertionError("the stream told nothing")

    def until(self, alice: Any, probe: Any) -> list[Told]:
        """All that is told until now, which a probe marks."""
        marked = alice.submit_order(probe)
        alice.cancel_order_by_id(marked.id)
        told: list[Told] = []
        while True:
            update = self.heard.get(timeout=HEAR_S_MAX)
            if update.order.id == marked.id:
                if update.event == "canceled":
                    return told
                continue
            told.append((str(update.event), str(update.order.id), update.qty))


@pytest.fixture(scope="module")
def one_ear(venue: RunningVenue, symbols: Iterator[str]) -> Iterator[Ear]:
    client = TradingClient("alice-key", venue.secret, url_override=venue.url)
    found = Ear(venue)
    found.listens(client, next(symbols))
    yield found
    client._session.close()
    found.stream.stop()
    found.thread.join(HEAR_S_MAX)


@pytest.fixture
def ear(one_ear: Ear, alice: Any, market: Market) -> Ear:
    """The stream, which has told all that was before."""
    heard(one_ear, alice, market, {})
    return one_ear


def heard(ear: Ear, alice: Any, market: Market, names: dict[Any, str]) -> list[tuple[Any, ...]]:
    """Event and order, and the quantity of a fill, of what was told of some orders."""
    probe = LimitOrderRequest(
        symbol=market.symbol, qty=1, side=BUY, limit_price=1, time_in_force=GTC
    )
    known = {str(order_id): name for order_id, name in names.items()}
    return [
        (event, known[order_id], qty) if qty else (event, known[order_id])
        for event, order_id, qty in ear.until(alice, probe)
        if order_id in known
    ]


def bracket(market: Market, **more: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol=market.symbol, qty=10, side=BUY, limit_price=95, time_in_force=GTC,
        order_class=OrderClass.BRACKET, take_profit=TakeProfitRequest(limit_price=110),
        stop_loss=StopLossRequest(stop_price=90), **more,
    )  # fmt: skip


def oco(market: Market, stop_loss: StopLossRequest | None = None, **more: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol=market.symbol, qty=10, side=SELL, time_in_force=GTC, order_class=OrderClass.OCO,
        take_profit=TakeProfitRequest(limit_price=110),
        stop_loss=stop_loss or StopLossRequest(stop_price=90), **more,
    )  # fmt: skip


def names(order: Any) -> dict[Any, str]:
    """The orders of a group by what they are."""
    legs = order.legs or []
    parent = "tp" if order.order_class is OrderClass.OCO else "entry"
    found = {order.id: parent}
    for leg in legs:
        found[leg.id] = "tp" if leg.order_type is OrderType.LIMIT else "sl"
    return found


# ---------------------------------------------------------------- brackets


def test_a_bracket_whose_take_profit_fills(alice: Any, market: Market, ear: Ear) -> None:
    order = alice.submit_order(bracket(market))
    assert order.order_class is OrderClass.BRACKET
    assert (order.status, order.order_type) == (OrderStatus.NEW, OrderType.LIMIT)
    take_profit, stop_loss = order.legs
    assert (take_profit.order_type, take_profit.limit_price) == (OrderType.LIMIT, "110")
    assert (stop_loss.order_type, stop_loss.stop_price) == (OrderType.STOP, "90")
    assert {leg.status for leg in order.legs} == {OrderStatus.HELD}
    assert {leg.side for leg in order.legs} == {SELL}
    assert all(leg.submitted_at and leg.created_at for leg in order.legs)

    market.bob("sell", 95, 10)
    assert [leg.status for leg in alice.get_order_by_id(order.id).legs] == [
        OrderStatus.NEW,
        OrderStatus.HELD,
    ]
    market.bob("buy", 110, 4)
    market.bob("buy", 110, 6)
    assert leg_states(market.get(order.id)) == [
        ("entry", "filled", "10"),
        ("take_profit", "filled", "10"),
        ("stop_loss", "canceled", "0"),
    ]
    assert heard(ear, alice, market, names(order)) == [
        ("new", "entry"),
        ("held", "tp"),
        ("held", "sl"),
        ("fill", "entry", 10),
        ("new", "tp"),
        ("partial_fill", "tp", 4),
        ("restated", "sl"),
        ("fill", "tp", 6),
        ("canceled", "sl"),
    ]


def test_a_bracket_whose_stop_is_hit(alice: Any, market: Market, ear: Ear) -> None:
    order = alice.submit_order(bracket(market))
    market.bob("sell", 95, 4)
    market.bob("sell", 95, 6)
    market.trade(90)
    assert leg_states(market.get(order.id)) == [
        ("entry", "filled", "10"),
        ("take_profit", "canceled", "0"),
        ("stop_loss", "filled", "10"),
    ]
    assert heard(ear, alice, market, names(order)) == [
        ("new", "entry"),
        ("held", "tp"),
        ("held", "sl"),
        ("partial_fill", "entry", 4),
        ("new", "tp"),
        ("fill", "entry", 6),
        ("canceled", "tp"),
        ("new", "sl"),
        ("fill", "sl", 10),
    ]


def test_the_orders_of_a_bracket_are_replaced(alice: Any, market: Market) -> None:
    order = alice.submit_order(bracket(market))
    entry = alice.replace_order_by_id(order.id, ReplaceOrderRequest(limit_price=96))
    assert (entry.replaces, entry.limit_price) == (order.id, "96")
    assert [leg.id for leg in entry.legs] == [leg.id for leg in order.legs]
    stop = alice.replace_order_by_id(order.legs[1].id, ReplaceOrderRequest(stop_price=91))
    assert (stop.status, stop.stop_price) == (OrderStatus.HELD, "91")
    market.bob("sell", 96, 10)
    profit = alice.replace_order_by_id(order.legs[0].id, ReplaceOrderRequest(limit_price=108))
    assert profit.status is OrderStatus.NEW
    now = alice.get_order_by_id(entry.id)
    assert [(leg.id, leg.limit_price or leg.stop_price) for leg in now.legs] == [
        (profit.id, "108"),
        (stop.id, "91"),
    ]
    market.bob("buy", 108, 10)
    assert alice.get_order_by_id(profit.id).status is OrderStatus.FILLED
    assert alice.get_order_by_id(stop.id).status is OrderStatus.CANCELED


def test_an_entry_that_is_cancelled_takes_its_legs_along(
    alice: Any, market: Market, ear: Ear
) -> None:
    order = alice.submit_order(bracket(market))
    alice.cancel_order_by_id(order.id)
    assert leg_states(market.get(order.id)) == [
        ("entry", "canceled", "0"),
        ("take_profit", "canceled", "0"),
        ("stop_loss", "canceled", "0"),
    ]
    # LEAN needs the `held` of a child before its `canceled`.
    assert heard(ear, alice, market, names(order)) == [
        ("new", "entry"),
        ("held", "tp"),
        ("held", "sl"),
        ("pending_cancel", "entry"),
        ("canceled", "entry"),
        ("canceled", "tp"),
        ("canceled", "sl"),
    ]


def test_a_market_entry_fills_before_it_is_answered(alice: Any, market: Market) -> None:
    market.bob("sell", 100, 10)
    request = MarketOrderRequest(
        symbol=market.symbol, qty=10, side=BUY, time_in_force=DAY,
        order_class=OrderClass.BRACKET, take_profit=TakeProfitRequest(limit_price=110),
        stop_loss=StopLossRequest(stop_price=90, limit_price=89),
    )  # fmt: skip
    order = alice.submit_order(request)
    assert order.status is OrderStatus.FILLED
    assert [leg.status for leg in order.legs] == [OrderStatus.NEW, OrderStatus.HELD]
    assert (order.legs[1].order_type, order.legs[1].limit_price) == (OrderType.STOP_LIMIT, "89")


# ---------------------------------------------------------------- OCO and OTO


@pytest.mark.parametrize(
    ("stop_loss", "kind"),
    [
        (StopLossRequest(stop_price=90), OrderType.STOP),
        (StopLossRequest(stop_price=90, limit_price=89.5), OrderType.STOP_LIMIT),
    ],
)
def test_an_oco(alice: Any, market: Market, stop_loss: Any, kind: OrderType) -> None:
    order = alice.submit_order(oco(market, stop_loss))
    assert (order.order_type, order.limit_price, order.status) == (
        OrderType.LIMIT,
        "110",
        OrderStatus.NEW,
    )
    assert [(leg.order_type, leg.status) for leg in order.legs] == [(kind, OrderStatus.HELD)]
    # One reservation for both legs.
    assert alice.get_open_position(market.symbol).qty_available == "0"
    flat = {row.id for row in alice.get_orders(GetOrdersRequest(symbols=[market.symbol]))}
    assert flat == {order.id, order.legs[0].id}
    nested = alice.get_orders(GetOrdersRequest(symbols=[market.symbol], nested=True))
    assert [(row.id, [leg.id for leg in row.legs]) for row in nested] == [
        (order.id, [order.legs[0].id])
    ]
    alice.cancel_order_by_id(order.legs[0].id)
    assert alice.get_order_by_id(order.id).status is OrderStatus.CANCELED
    assert alice.get_open_position(market.symbol).qty_available == "10"


def test_an_oco_whose_stop_is_hit(alice: Any, market: Market, ear: Ear) -> None:
    market.hold(5)
    order = alice.submit_order(oco(market))
    market.trade("89.5")
    assert heard(ear, alice, market, names(order)) == [
        ("new", "tp"),
        ("held", "sl"),
        ("canceled", "tp"),
        ("new", "sl"),
        ("fill", "sl", 10),
    ]
    closed = alice.get_orders(
        GetOrdersRequest(symbols=[market.symbol], status=QueryOrderStatus.CLOSED, nested=True)
    )
    mine = next(row for row in closed if row.id == order.id)
    assert [(leg.status, leg.filled_avg_price) for leg in mine.legs] == [
        (OrderStatus.FILLED, "89.5")
    ]


def test_an_oto(alice: Any, market: Market, ear: Ear) -> None:
    order = alice.submit_order(
        LimitOrderRequest(
            symbol=market.symbol, qty=10, side=BUY, limit_price=95, time_in_force=GTC,
            order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=90),
        )
    )  # fmt: skip
    market.bob("sell", 95, 10)
    market.trade(90)
    assert leg_states(market.get(order.id)) == [
        ("entry", "filled", "10"),
        ("stop_loss", "filled", "10"),
    ]
    assert heard(ear, alice, market, names(order)) == [
        ("new", "entry"),
        ("held", "sl"),
        ("fill", "entry", 10),
        ("new", "sl"),
        ("restated", "sl"),
        ("fill", "sl", 10),
    ]


def test_cancel_orders_cancels_whole_groups(alice: Any, market: Market) -> None:
    order = alice.submit_order(oco(market))
    answers = {answer.id: answer.status for answer in alice.cancel_orders()}
    assert {order.id: 200, order.legs[0].id: 200}.items() <= answers.items()
    assert alice.get_orders() == []


def test_a_position_that_a_group_holds(alice: Any, market: Market) -> None:
    alice.submit_order(oco(market))
    with pytest.raises(APIError) as refused:
        alice.close_position(market.symbol)
    assert (refused.value.status_code, refused.value.code, refused.value.message) == (
        403,
        40310000,
        "insufficient qty available for order (requested: 10, available: 0)",
    )
    market.bob("buy", 99, 10)
    closed = {row.symbol: row for row in alice.close_all_positions(cancel_orders=True)}
    assert closed[market.symbol].body.status is OrderStatus.FILLED


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("terms", "status", "body"),
    [
        (
            {"take_profit": {"limit_price": "99"}},
            422,
            {"code": 42210000, "message": "take_profit.limit_price must be > current price"},
        ),
        (
            {"stop_loss": {"stop_price": "100"}},
            422,
            {"code": 42210000, "message": "stop price must be less than current price"},
        ),
        (
            {"qty": "11"},
            403,
            {
                "code": 40310000,
                "message": ("insufficient qty available for order (requested: 11, available: 10)"),
                "available": "10",
                "existing_qty": "10",
                "held_for_orders": "0",
            },
        ),
        (
            {"take_profit": {"limit_price": "110.005"}},
            422,
            {
                "code": 42210000,
                "message": (
                    "invalid take_profit.limit_price 110.005."
                    " sub-penny increment does not fulfill minimum pricing criteria"
                ),
            },
        ),
        (
            {"take_profit": None},
            422,
            {"code": 40010001, "message": "oco orders require take_profit.limit_price"},
        ),
        (
            {"stop_loss": None},
            422,
            {"code": 40010001, "message": "oco orders require stop_loss.stop_price"},
        ),
        (
            {"type": "market"},
            422,
            {"code": 40010001, "message": "oco orders must be limit orders"},
        ),
        (
            {"time_in_force": "ioc"},
            422,
            {
                "code": 40010001,
                "message": "oco orders must have time_in_force day, gtc or gtd",
            },
        ),
        (
            {"order_class": "bracket", "side": "buy", "limit_price": "95", "take_profit": None},
            422,
            {"code": 40010001, "message": "bracket orders require take_profit.limit_price"},
        ),
        (
            {"order_class": "simple", "limit_price": "95"},
            422,
            {
                "code": 40010001,
                "message": "take_profit is only accepted with order_class bracket, oco or oto",
            },
        ),
    ],
)
def test_a_group_that_is_refused(
    market: Market, terms: dict[str, Any], status: int, body: dict[str, Any]
) -> None:
    asked = {
        "order_class": "oco",
        "take_profit": {"limit_price": "110"},
        "stop_loss": {"stop_price": "90"},
    }
    told = market.order(**(asked | terms))
    assert told.status == status, told
    assert {name: told.body[name] for name in body} == body
    assert market.ask("GET", f"/v2/orders?symbols={market.symbol}").body == []
    assert market.ask("GET", f"/v2/positions/{market.symbol}").body["qty_available"] == "10"


def test_a_group_that_only_the_book_can_refuse(alice: Any, market: Market, ear: Ear) -> None:
    """The best bid is above the take-profit, the last trade is not."""
    market.bob("buy", 104, 5)
    with pytest.raises(APIError) as refused:
        alice.submit_order(
            LimitOrderRequest(
                symbol=market.symbol, qty=10, side=SELL, time_in_force=GTC,
                order_class=OrderClass.OCO, take_profit=TakeProfitRequest(limit_price=104),
                stop_loss=StopLossRequest(stop_price=90),
            )
        )  # fmt: skip
    assert (refused.value.status_code, refused.value.code) == (422, 42210000)
    assert refused.value.message == (
        "take_profit.limit_price and stop_loss.stop_price must have the market between them"
    )
    assert alice.get_open_position(market.symbol).qty_available == "10"


def test_changes_that_are_refused(alice: Any, market: Market) -> None:
    order = alice.submit_order(oco(market))

    def why(order_id: Any, **terms: Any) -> tuple[int, str]:
        told = market.ask("PATCH", f"/v2/orders/{order_id}", terms)
        return told.status, told.body["message"]

    assert why(order.id, qty="5") == (
        422,
        "invalid qty. the orders of a group have one quantity, which PATCH /v1/groups changes",
    )
    assert why(order.id, limit_price="99") == (
        422,
        "take_profit.limit_price must be > current price",
    )
    assert why(order.legs[0].id, stop_price="100") == (
        422,
        "stop price must be less than current price",
    )
    # Nobody bids: the elected stop stands at its protection limit, and is past being changed.
    market.bob("buy", 90, 1)
    market.hold(1)
    market.order(side="sell", qty="1", limit_price="90", time_in_force="ioc")
    assert alice.get_order_by_id(order.legs[0].id).status is OrderStatus.NEW
    assert why(order.legs[0].id, stop_price="80")[0] == 422
    alice.cancel_order_by_id(order.legs[0].id)


# ---------------------------------------------------------------- stops


def test_stops(alice: Any, market: Market) -> None:
    stop = alice.submit_order(
        StopOrderRequest(symbol=market.symbol, qty=2, side=SELL, stop_price=95, time_in_force=GTC)
    )
    limited = alice.submit_order(
        StopLimitOrderRequest(
            symbol=market.symbol, qty=2, side=SELL, stop_price=95, limit_price=96, time_in_force=GTC
        )
    )
    assert (stop.order_type, stop.status) == (OrderType.STOP, OrderStatus.NEW)
    assert (limited.order_type, limited.status) == (OrderType.STOP_LIMIT, OrderStatus.NEW)
    higher = alice.replace_order_by_id(stop.id, ReplaceOrderRequest(stop_price=96))
    market.trade(95)
    assert alice.get_order_by_id(higher.id).filled_avg_price == "95"
    # Elected, and at a limit that the bids do not reach.
    assert alice.get_order_by_id(limited.id).status is OrderStatus.NEW
    market.bob("buy", 96, 2)
    assert alice.get_order_by_id(limited.id).filled_avg_price == "96"


def test_a_trailing_stop(alice: Any, market: Market) -> None:
    request = TrailingStopOrderRequest(
        symbol=market.symbol, qty=5, side=SELL, trail_percent=5, time_in_force=GTC
    )
    order = alice.submit_order(request)
    assert (order.hwm, order.stop_price, order.trail_percent) == ("100", "95", "5")
    market.bob("sell", 110, 1)
    market.order(side="buy", qty="1", limit_price="110")
    raised = alice.get_order_by_id(order.id)
    assert (raised.hwm, raised.stop_price) == ("110", "104.5")
    closer = alice.replace_order_by_id(order.id, ReplaceOrderRequest(trail=2))
    assert (closer.hwm, closer.stop_price, closer.trail_percent) == ("110", "107.8", "2")
    market.trade(107)
    assert alice.get_order_by_id(closer.id).filled_avg_price == "107"


def test_orders_for_an_auction(alice: Any, market: Market) -> None:
    """The session is open: the opening auction is over, and the closing one is to come."""

    def submit(time_in_force: TimeInForce) -> Any:
        request = MarketOrderRequest(
            symbol=market.symbol, qty=1, side=BUY, time_in_force=time_in_force
        )
        return alice.submit_order(request)

    assert submit(TimeInForce.OPG).status is OrderStatus.CANCELED
    assert submit(TimeInForce.CLS).status is OrderStatus.NEW


# ---------------------------------------------------------------- beside the client


def test_the_quantity_of_a_group(market: Market) -> None:
    order = market.order(
        order_class="oco", take_profit={"limit_price": "110"}, stop_loss={"stop_price": "90"}
    ).body
    path = f"/v1/groups/{order['group_id']}"
    assert market.ask("PATCH", path, {"qty": "4"}).body["remaining_qty"] == "4"
    assert market.ask("GET", f"/v2/positions/{market.symbol}").body["qty_available"] == "6"
    assert market.ask("PATCH", path, {"qty": "11"}).status == 403
    assert market.ask("PATCH", path, {"qty": "1.5"}).status == 422
    for method, body in (("GET", None), ("PATCH", {"qty": "1"}), ("DELETE", None)):
        assert market.ask(method, path, body, key="bob-key").status == 404
    assert market.ask("DELETE", path).status == 204
    assert leg_states(market.get(order["id"])) == [
        ("take_profit", "canceled", "0"),
        ("stop_loss", "canceled", "0"),
    ]
    assert market.ask("PATCH", path, {"qty": "1"}).status == 422
    assert market.ask("DELETE", path).status == 422


def test_a_preview_shows_the_worst_leg(market: Market) -> None:
    asked = {
        "symbol": market.symbol,
        "side": "buy",
        "qty": "10",
        "type": "limit",
        "time_in_force": "gtc",
        "order_class": "oco",
        "take_profit": {"limit_price": "90"},
        "stop_loss": {"stop_price": "110"},
    }
    told = market.ask("POST", "/v1/orders/preview", asked).body
    # A stop may buy up to its protection limit, 5 % above; half of it is the initial margin.
    assert (told["accepted"], told["worst_leg"], told["worst_price"], told["reserved"]) == (
        True,
        "stop_loss",
        "115.5",
        "577.5",
    )
    refused = market.ask("POST", "/v1/orders/preview", asked | {"stop_loss": {"stop_price": "80"}})
    assert refused.body["accepted"] is False
    assert refused.body["legs"] == {
        "stop_loss.stop_price": "stop price must be greater than current price"
    }
    assert market.ask("GET", f"/v2/orders?symbols={market.symbol}").body == []


def test_what_a_sale_leaves_before_it_settles(venue: RunningVenue, market: Market) -> None:
    before = market.ask("GET", "/v2/account", key="cash-key").body
    market.bob("sell", 100, 10)
    bought = market.order("cash-key", side="buy", limit_price="100")
    assert bought.body["status"] == "filled"
    market.bob("buy", 101, 10)
    market.order("cash-key", side="sell", limit_price="101")
    after = market.ask("GET", "/v2/account", key="cash-key").body
    assert (before["settled_cash"], after["settled_cash"]) == ("10000", "10000")
    assert [*after["unsettled"].values()] == ["10"]
    assert (after["cash"], after["withdrawable"]) == ("10010", "9000")
    preview = market.ask(
        "POST",
        "/v1/orders/preview",
        {
            "symbol": market.symbol,
            "side": "buy",
            "type": "limit",
            "limit_price": "100",
            "qty": "100",
            "time_in_force": "day",
        },
        key="cash-key",
    ).body
    # Part of it would be bought with what the sale brings, and is paid for when that has settled.
    assert (preview["accepted"], preview["funded_until"]) == (True, *after["unsettled"])


def test_a_halt_and_the_auction_that_ends_it(
    venue: RunningVenue, alice: Any, market: Market
) -> None:
    market.hold()
    order = alice.submit_order(oco(market))
    path = f"/v1/instruments/{market.symbol}/state"
    assert market.ask("POST", path, {"state": "halted"}).status == 403
    halted = venue.admin("POST", path, {"state": "halted", "reason": "news pending"})
    assert halted.body == {"symbol": market.symbol, "state": "halted"}
    refused = market.ask("PATCH", f"/v2/orders/{order.id}", {"limit_price": "111"})
    assert (refused.status, refused.body["message"]) == (
        422,
        f'asset "{market.symbol}" is not tradable',
    )
    assert market.order(side="buy", limit_price="90").status == 422
    told = market.ask("PATCH", f"/v1/groups/{order.id}", {"qty": "5"})
    assert told.body["message"] == f'asset "{market.symbol}" is not tradable'
    venue.admin("POST", path, {"state": "active", "reason": "news published"})
    # The reopening auction collects for a second; its trade at 88 elects the stop.
    market.bob("buy", 88, 50)
    market.order(side="sell", qty="10", limit_price="88")
    for _ in range(600):
        if market.get(order.id)["legs"][0]["status"] == "filled":
            break
        threading.Event().wait(0.05)
    assert leg_states(market.get(order.id)) == [
        ("take_profit", "canceled", "0"),
        ("stop_loss", "filled", "10"),
    ]
    assert market.get(order.id)["legs"][0]["filled_avg_price"] == "88"


def test_a_frozen_account(venue: RunningVenue, alice: Any, market: Market) -> None:
    """Takes no new orders; a stop that protects a position sells all the same."""
    order = alice.submit_order(oco(market))
    path = "/v1/accounts/alice/freeze"
    assert venue.admin("POST", path, {"frozen": True, "reason": "a look"}).body["frozen"] is True
    try:
        refused = market.order(limit_price="120", qty="1")
        assert (refused.status, refused.body["message"]) == (
            403,
            "new orders are rejected: the account is frozen",
        )
        market.bob("buy", 90, 20)
        market.order("cash-key", side="buy", qty="1", limit_price="91")
        market.order("bob-key", side="sell", qty="1", limit_price="91")
        assert market.get(order.legs[0].id)["status"] == "held"
    finally:
        venue.admin("POST", path, {"frozen": False, "reason": "seen"})
    market.order("cash-key", side="sell", qty="1", limit_price="90")
    assert market.get(order.legs[0].id)["status"] == "filled"


def test_a_trade_is_undone(venue: RunningVenue, alice: Any, market: Market) -> None:
    order = alice.submit_order(oco(market))
    market.bob("buy", 110, 10)
    filled = market.get(order.id)
    assert filled["status"] == "filled"
    fill = _fill_of(market, filled["id"])
    path = f"/v1/instruments/{market.symbol}/trades/{fill['trade_id']}/bust"
    assert market.ask("POST", path, {"reason": "no"}).status == 403
    busted = venue.admin("POST", path, {"reason": "clearly erroneous"})
    assert (busted.status, busted.body["sell_order_id"]) == (200, filled["id"])
    assert venue.admin("POST", path, {"reason": "again"}).status == 404
    # The shares are back; what had ended stays so.
    position = alice.get_open_position(market.symbol)
    assert (position.qty, position.qty_available) == ("10", "10")
    assert market.get(order.legs[0].id)["status"] == "canceled"


def _fill_of(market: Market, order_id: str) -> dict[str, Any]:
    """The fill of an order, once the history, which follows the venue, has it."""
    for _ in range(600):
        for row in market.ask("GET", "/v2/account/activities/FILL").body:
            if row["order_id"] == order_id:
                found: dict[str, Any] = row
                return found
        threading.Event().wait(0.05)
    raise AssertionError("the fill is not in the history")
