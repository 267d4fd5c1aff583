"""Clients that trade hard and write down what they were told: the truth the faults are held to.

Two accounts trade with each other from several threads, with stops and groups among their orders.
Every order has a client order id; one that got no answer is sent again, unchanged, once the venue
serves again.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.running import SECRET, RunningVenue

ACCOUNTS = ("alice", "bob")
PRICE_CENTS = 20_000
SPREAD_CENTS = 30
REQUEST_TIMEOUT_S = 60.0
QTY_ONE = 100_000_000


def qty_units(text: str) -> int:
    """A quantity of the API in units of 1e-8."""
    whole, _, part = text.partition(".")
    return int(whole) * QTY_ONE + int(part.ljust(8, "0") or 0)


class Told:
    """What the venue has told its clients, by client order id. Its lock guards all of it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.accepted: dict[str, dict[str, Any]] = {}
        """The latest answer that showed the order."""
        self.filled: dict[str, int] = {}
        """order id -> highest filled quantity shown, in 1e-8."""
        self.unanswered: dict[str, dict[str, Any]] = {}
        """Orders whose requests ended without an answer, or with one that says so: body."""
        self.unanswered_replaces: set[str] = set()
        self.refused: set[str] = set()
        """Answered 503: never there, unless sent again."""
        self.rejected: set[str] = set()
        self.canceled: set[str] = set()
        """order ids whose cancel was confirmed."""
        self.replaced: dict[str, str] = {}
        """order id -> id of the order that was confirmed in its place."""
        self.existing: int = 0
        self.statuses: dict[int, int] = {}
        self.errors: list[str] = []
        self.slowest_s: dict[int, float] = {}

    def count(self, status: int, took_s: float = 0.0) -> None:
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.slowest_s[status] = max(self.slowest_s.get(status, 0.0), took_s)

    def order(self, body: dict[str, Any]) -> None:
        """An answer showed this order."""
        with self.lock:
            cl_ord_id, order_id = body["client_order_id"], body["id"]
            known = self.accepted.get(cl_ord_id)
            if known is not None and known["id"] != order_id:
                self.errors.append(f"{cl_ord_id} is {known['id']} and {order_id}")
            self.accepted[cl_ord_id] = body
            filled = qty_units(body["filled_qty"])
            self.filled[order_id] = max(filled, self.filled.get(order_id, 0))
            self.unanswered.pop(cl_ord_id, None)

    def wrong(self, what: str) -> None:
        with self.lock:
            self.errors.append(what)


class Client(threading.Thread):
    """One keep-alive connection of one account; stops when told or when the venue is gone."""

    def __init__(
        self, name: str, account: str, url: str, told: Told, seed: int, stop: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.account = account
        self.told = told
        self.random = random.Random(seed)
        at = urlsplit(url)
        self.connection = http.client.HTTPConnection(
            at.hostname or "", at.port, timeout=REQUEST_TIMEOUT_S
        )
        self._halt = stop
        self._sent = 0
        self._open: list[str] = []
        self.gone = False

    def run(self) -> None:
        try:
            while not self._halt.is_set() and not self.gone:
                self._act()
        except Exception as error:  # noqa: BLE001 - shown by the test, not lost in a thread
            self.told.wrong(f"{self.name}: {error!r}")
        finally:
            self.connection.close()

    def _act(self) -> None:
        dice = self.random.random()
        if dice < 0.15 and self._open:
            self._cancel(self._open.pop(self.random.randrange(len(self._open))))
        elif dice < 0.3 and self._open:
            self._replace(self._open.pop(self.random.randrange(len(self._open))))
        else:
            self.place(self._order())

    def _order(self) -> dict[str, Any]:
        self._sent += 1
        side = self.random.choice(("buy", "sell"))
        body: dict[str, Any] = {
            "symbol": self.random.choice(("AAPL", "MSFT")),
            "qty": str(self.random.randint(1, 9)),
            "side": side,
            "client_order_id": f"{self.name}-{self._sent}",
        }
        chance = self.random.random()
        if chance < 0.15:
            return body | {"type": "market", "time_in_force": "day"}
        if chance < 0.25:
            return body | self._stop_order(body)
        if chance < 0.45:
            return body | self._group_order(body)
        return body | {"type": "limit", "time_in_force": "gtc", "limit_price": self._price(body)}

    def _stop_order(self, body: dict[str, Any]) -> dict[str, Any]:
        away = 1 if body["side"] == "buy" else -1
        return {"type": "stop", "time_in_force": "gtc", "stop_price": self._price(body, away)}

    def _group_order(self, body: dict[str, Any]) -> dict[str, Any]:
        """A bracket, or an OCO: its legs are on both sides of the market."""
        order_class = self.random.choice(("bracket", "oco"))
        away = 1 if (body["side"] == "sell") == (order_class == "oco") else -1
        legs = {
            "order_class": order_class,
            "take_profit": {"limit_price": self._price(body, away)},
            "stop_loss": {"stop_price": self._price(body, -away)},
        }
        if order_class == "bracket":
            legs["limit_price"] = self._price(body)
        return legs | {"type": "limit", "time_in_force": "gtc"}

    def _price(self, body: dict[str, Any], away: int = 0) -> str:
        """A price near the market; above it for `away` 1, below for -1."""
        base = PRICE_CENTS if body["symbol"] == "AAPL" else 2 * PRICE_CENTS
        cents = base + away * SPREAD_CENTS + self.random.randint(-SPREAD_CENTS, SPREAD_CENTS)
        return f"{cents // 100}.{cents % 100:02}"

    def place(self, body: dict[str, Any]) -> int:
        """Send an order and note what was said; 0 when nothing was."""
        cl_ord_id = body["client_order_id"]
        with self.told.lock:
            again = cl_ord_id in self.told.unanswered
            # Written down before it is sent: from here on it may be there.
            self.told.unanswered[cl_ord_id] = body
            self.told.refused.discard(cl_ord_id)
        status, answer = self._ask("POST", "/v2/orders", body)
        if status == 200:
            self.told.order(answer)
            if answer["status"] in ("new", "partially_filled"):
                self._open.append(answer["id"])
        elif status == 422 and "existing_order_id" in answer:
            self._existing(again, cl_ord_id, answer["existing_order_id"])
        elif status == 503 and not again:
            with self.told.lock:
                self.told.refused.add(cl_ord_id)
                self.told.unanswered.pop(cl_ord_id)
        elif status in (403, 422):
            with self.told.lock:
                self.told.rejected.add(cl_ord_id)
                self.told.unanswered.pop(cl_ord_id)
        return status

    def _existing(self, again: bool, cl_ord_id: str, order_id: str) -> None:
        """A repeat was answered with the order that is there already."""
        if not again:
            self.told.wrong(f"{cl_ord_id} was new and is said to exist")
        status, answer = self._ask("GET", f"/v2/orders/{order_id}", None)
        if status == 200:
            if answer["client_order_id"] != cl_ord_id:
                self.told.wrong(f"{cl_ord_id} is said to be {answer}")
            self.told.order(answer)
            with self.told.lock:
                self.told.existing += 1
        elif status:
            self.told.wrong(f"{cl_ord_id} exists as {order_id}: {status} {answer}")

    def _cancel(self, order_id: str) -> None:
        status, _ = self._ask("DELETE", f"/v2/orders/{order_id}", None)
        if status == 204:
            with self.told.lock:
                self.told.canceled.add(order_id)

    def _replace(self, order_id: str) -> None:
        self._sent += 1
        cl_ord_id = f"{self.name}-{self._sent}"
        with self.told.lock:
            self.told.unanswered_replaces.add(cl_ord_id)
        body = {"qty": self.random.randint(1, 12), "client_order_id": cl_ord_id}
        status, answer = self._ask("PATCH", f"/v2/orders/{order_id}", body)
        with self.told.lock:
            if status and status != 500:
                self.told.unanswered_replaces.discard(cl_ord_id)
            if status == 503:
                self.told.refused.add(cl_ord_id)
            if status in (403, 422):
                self.told.rejected.add(cl_ord_id)
            if status == 200:
                self.told.replaced[order_id] = answer["id"]
        if status == 200:
            self.told.order(answer)
            self._open.append(answer["id"])

    def _ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        headers = {
            "APCA-API-KEY-ID": f"{self.account}-key",
            "APCA-API-SECRET-KEY": SECRET,
        }
        content = None if body is None else json.dumps(body)
        since = time.monotonic()
        try:
            self.connection.request(method, path, content, headers)
            response = self.connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.gone = True
            return 0, None
        self.told.count(response.status, time.monotonic() - since)
        if response.status not in (200, 204, 403, 404, 422, 500, 503):
            self.told.wrong(f"{method} {path}: {response.status} {raw!r}")
        return response.status, json.loads(raw) if raw else None


class Load:
    """Rounds of clients on one venue, all writing to one `told`."""

    def __init__(self, venue: RunningVenue, seed: int, clients: int = 4) -> None:
        self.venue = venue
        self.told = Told()
        self.seed = seed
        self.clients = clients
        self.rounds = 0
        self._threads: list[Client] = []
        self._halt = threading.Event()

    def start(self) -> None:
        """Start the clients of a new round, with new connections."""
        self.rounds += 1
        self._halt = threading.Event()
        url = self.venue.url
        self._threads = [
            Client(
                f"r{self.rounds}-c{n}",
                ACCOUNTS[n % 2],
                url,
                self.told,
                self.seed * 1_000_003 + self.rounds * 101 + n,
                self._halt,
            )
            for n in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the clients finish what they have sent, or learn that the venue is gone."""
        self._halt.set()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_S + 10)
            assert not thread.is_alive(), "a client waits for ever"

    @property
    def answers(self) -> int:
        """How many requests have been answered, in all rounds."""
        return sum(self.told.statuses.values())

    def wait_answers(self, count: int, timeout_s: float = 60.0) -> None:
        """Return once that many more requests were answered."""
        upto = self.answers + count
        wait_until(lambda: self.answers >= upto, timeout_s, f"{count} answers")

    @property
    def gone(self) -> bool:
        """Whether a client has lost its connection."""
        return any(thread.gone for thread in self._threads)

    def retry_unanswered(self) -> None:
        """Send each order that got no answer once more, with its client order id."""
        by_account: dict[str, list[dict[str, Any]]] = {account: [] for account in ACCOUNTS}
        for cl_ord_id, body in list(self.told.unanswered.items()):
            by_account[account_of(cl_ord_id)].append(body)
        for account, bodies in by_account.items():
            client = Client("retry", account, self.venue.url, self.told, 0, self._halt)
            for body in bodies:
                status = client.place(body)
                assert status in (200, 403, 422), f"{body}: {status}"
            client.connection.close()


def account_of(cl_ord_id: str) -> str:
    """The account of the client that made up the id."""
    return ACCOUNTS[int(cl_ord_id.split("-")[1][1:]) % 2]


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)
