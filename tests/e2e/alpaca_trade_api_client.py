"""Alpaca's former Python client, in the environment of its own that it needs; run as a script.

Takes the venue's URL, a key and a secret; ends with 0 when everything was as it should be.
"""

import asyncio
import os
import sys
import uuid
from collections.abc import Callable

import alpaca_trade_api as api  # type: ignore[import-not-found]
from alpaca_trade_api.stream import Stream  # type: ignore[import-not-found]


def main(url: str, key: str, secret: str) -> None:
    os.environ["APCA_API_STREAM_URL"] = url
    client = api.REST(key, secret, url)
    check_account(client)
    check_orders(client)
    check_groups_and_stops(client)
    check_positions(client)
    asyncio.run(check_stream(client, url, key, secret))


def check_account(client: api.REST) -> None:
    account = client.get_account()
    assert account.status == "ACTIVE", account
    assert client.get_clock().is_open is True
    assert client.get_calendar("2026-11-16", "2026-11-18")
    symbols = {asset.symbol for asset in client.list_assets(status="active")}
    assert "AAPL" in symbols, symbols
    assert client.get_asset("AAPL").tradable
    assert client.get_portfolio_history(period="1D", timeframe="5Min").df is not None
    assert isinstance(client.get_activities("FILL"), list)


def check_orders(client: api.REST) -> None:
    mine = f"old-{uuid.uuid4()}"
    order = client.submit_order(
        "AAPL", qty=3, side="buy", type="limit", time_in_force="gtc", limit_price="150.5",
        client_order_id=mine,
    )  # fmt: skip
    assert (order.status, order.qty) == ("new", "3"), order
    assert client.get_order(order.id).id == order.id
    assert client.get_order_by_client_order_id(mine).id == order.id
    changed = client.replace_order(order.id, qty="2", limit_price="151")
    assert changed.replaces == order.id, changed
    assert changed.id in {row.id for row in client.list_orders()}
    client.cancel_order(changed.id)
    error = refused(lambda: client.cancel_order(changed.id))
    assert str(error) == 'order is already in "canceled" state', error
    client.cancel_all_orders()


def check_groups_and_stops(client: api.REST) -> None:
    order = client.submit_order(
        "AAPL", qty=3, side="buy", type="limit", time_in_force="gtc", limit_price="150",
        order_class="bracket", take_profit={"limit_price": "160"},
        stop_loss={"stop_price": "140", "limit_price": "139"},
    )  # fmt: skip
    legs = [(leg.type, leg.status, leg.limit_price, leg.stop_price) for leg in order.legs]
    assert legs == [("limit", "held", "160", None), ("stop_limit", "held", "139", "140")], legs
    changed = client.replace_order(order.legs[1].id, stop_price="141")
    assert (changed.status, changed.stop_price) == ("held", "141"), changed
    nested = [row for row in client.list_orders(nested=True) if row.id == order.id]
    assert [leg.id for leg in nested[0].legs] == [order.legs[0].id, changed.id], nested
    client.cancel_order(order.id)
    told = client.get_order(order.id, nested=True)
    assert {row.status for row in (told, *told.legs)} == {"canceled"}, told

    stop = client.submit_order("AAPL", 1, "buy", "stop", "gtc", stop_price="900")
    assert (stop.type, stop.status, stop.stop_price) == ("stop", "new", "900"), stop
    trailing = client.submit_order("AAPL", 1, "buy", "trailing_stop", "day", trail_percent="50")
    assert (trailing.trail_percent, trailing.hwm is None) == ("50", False), trailing
    error = refused(
        lambda: client.submit_order("AAPL", 1, "buy", "market", "gtc", order_class="oto")
    )
    assert str(error) == "oto orders require one of take_profit and stop_loss", error
    client.cancel_all_orders()


def check_positions(client: api.REST) -> None:
    assert isinstance(client.list_positions(), list)
    error = refused(lambda: client.get_position("NONE"))
    assert (error.code, str(error)) == (40410000, "position does not exist"), error
    watchlist = client.create_watchlist(f"old-{uuid.uuid4()}", ["AAPL"])
    client.delete_watchlist(watchlist.id)


def refused(call: Callable[[], object]) -> api.rest.APIError:
    """The error with which a call has to be refused."""
    try:
        call()
    except api.rest.APIError as error:
        return error
    raise AssertionError("it was not refused")


async def check_stream(client: api.REST, url: str, key: str, secret: str) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    stream = Stream(key, secret, base_url=url, data_stream_url=url)
    stream.subscribe_trade_updates(heard.put)
    task = asyncio.create_task(stream._trading_ws._run_forever())
    loop = asyncio.get_running_loop()
    for _ in range(200):
        order = await loop.run_in_executor(
            None, lambda: client.submit_order("AAPL", 1, "buy", "limit", "gtc", limit_price="100")
        )
        try:
            update = await asyncio.wait_for(heard.get(), 0.2)
        except TimeoutError:
            continue
        assert update.event == "new", update  # type: ignore[attr-defined]
        assert update.order["id"] == order.id, update  # type: ignore[attr-defined]
        break
    else:
        raise AssertionError("the stream told nothing")
    await loop.run_in_executor(None, client.cancel_all_orders)
    await stream._trading_ws.stop_ws()
    task.cancel()


if __name__ == "__main__":
    main(*sys.argv[1:])
