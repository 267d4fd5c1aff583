"""A venue for tests of stops and groups: each test has a symbol of its own, last traded at 100."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import SECRET, Answer, RunningVenue

SYMBOLS = tuple(f"T{number:02d}" for number in range(40))

VENUE = (
    "[venue]\nname = 'groups'\n[demo]\nenabled = false\n"
    + "".join(
        f"[[instruments]]\nsymbol = '{symbol}'\nreference_price = 100\nshortable = true\n"
        "marginable = true\nvolatility_auction_s = 1\n"
        for symbol in SYMBOLS
    )
    + f"""
[[accounts]]
id = "alice"
type = "margin"
cash = 10_000_000
shorting = true
key = "alice-key"
secret = "{SECRET}"

[[accounts]]
id = "cash"
cash = 10_000
key = "cash-key"
secret = "{SECRET}"

[[accounts]]
id = "bob"
cash = 10_000_000
key = "bob-key"
secret = "{SECRET}"
positions = [ """
    + ", ".join(f"{{ symbol = '{symbol}', qty = 1_000 }}" for symbol in SYMBOLS)
    + " ]\n"
)


@contextmanager
def group_venue(folder: Path) -> Iterator[RunningVenue]:
    """The venue, which must end well."""
    running = RunningVenue(folder, VENUE).start()
    yield running
    assert running.stop() == 0, running.log_path.read_text()


class Market:
    """A symbol in which bob makes what happens to alice."""

    def __init__(self, venue: RunningVenue, symbol: str) -> None:
        self.venue = venue
        self.symbol = symbol

    def order(self, key: str = "alice-key", **terms: Any) -> Answer:
        """An order; limit, gtc and 10 shares unless told otherwise, None for not at all."""
        body = {
            "symbol": self.symbol,
            "side": "sell",
            "type": "limit",
            "time_in_force": "gtc",
            "qty": "10",
        }
        sent = {name: value for name, value in (body | terms).items() if value is not None}
        return self.venue.request("POST", "/v2/orders", sent, key=key)

    def ask(self, method: str, path: str, body: object = None, key: str = "alice-key") -> Answer:
        """Any request."""
        return self.venue.request(method, path, body, key=key)

    def hold(self, qty: int = 10) -> None:
        """Alice buys of bob at 100: both of them have shares, and there is a last trade."""
        self.bob("sell", 100, qty)
        bought = self.order(side="buy", qty=str(qty), limit_price="100").body
        assert bought["status"] == "filled", bought

    def bob(self, side: str, price: int | str, qty: int) -> str:
        """An order of bob's, which stands or takes what it finds; its id."""
        told = self.order("bob-key", side=side, limit_price=str(price), qty=str(qty))
        assert told.status == 200, told
        return str(told.body["id"])

    def trade(self, price: int | str) -> None:
        """One share from bob, who bids for many, to alice's sale: a trade at that price."""
        self.bob("buy", price, 50)
        self.order(side="sell", qty="1", limit_price=str(price), time_in_force="ioc")

    def get(self, order_id: object) -> dict[str, Any]:
        """An order of alice's as it stands."""
        found: dict[str, Any] = self.ask("GET", f"/v2/orders/{order_id}").body
        return found


def leg_states(order: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Role, status and filled quantity of an order and its legs."""
    legs: Sequence[dict[str, Any]] = order["legs"] or []
    return [(each["role"], each["status"], each["filled_qty"]) for each in (order, *legs)]
