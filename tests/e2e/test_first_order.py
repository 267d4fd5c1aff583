"""The thinnest way through a whole venue: an order in, a trade out, all of it still there later."""

from pathlib import Path

from tests.running import SECRET, RunningVenue


def test_two_accounts_trade_and_a_restart_keeps_it(tmp_path: Path) -> None:
    venue = RunningVenue(tmp_path).start()
    sell = {"symbol": "AAPL", "qty": 10, "side": "sell", "type": "limit", "time_in_force": "gtc"}
    buy = {"symbol": "AAPL", "qty": "4", "side": "buy", "type": "market", "time_in_force": "day"}
    resting = venue.request("POST", "/v2/orders", sell | {"limit_price": "200.5"}, key="bob-key")
    bought = venue.request("POST", "/v2/orders", buy)
    assert (resting.status, bought.status) == (200, 200), (resting.body, bought.body)
    assert bought.body["status"] == "filled"
    assert bought.body["filled_avg_price"] == "200.5"
    before = (
        venue.request("GET", "/v2/account").body,
        venue.request("GET", "/v2/positions").body,
        venue.request("GET", "/v2/orders?status=all", key="bob-key", secret=SECRET).body,
    )
    # 10,000,000 less 4 at 200.50; bob pays one basis point of 802.00, rounded up, as the maker.
    assert before[0]["cash"] == "9999198"
    assert venue.request("GET", "/v2/account", key="bob-key").body["cash"] == "10000801.91"
    assert venue.stop() == 0, venue.log_path.read_text()

    venue.start()
    after = (
        venue.request("GET", "/v2/account").body,
        venue.request("GET", "/v2/positions").body,
        venue.request("GET", "/v2/orders?status=all", key="bob-key", secret=SECRET).body,
    )
    assert after == before
    left = venue.request("DELETE", f"/v2/orders/{resting.body['id']}", key="bob-key")
    assert left.status == 204
    assert venue.stop() == 0, venue.log_path.read_text()
