import base64
from typing import Any

import httpx
import pytest

from nexustrade.gateway.auth import credentials
from nexustrade.gateway.limits import RateLimit
from nexustrade.gateway.service import GatewaySettings
from nexustrade.gateway.web import AsgiMessage
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import ALICE, NOW_US, Setup, make_setup

UNAUTHORIZED = '{"code":40110000,"message":"request is not authorized"}'


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    "headers",
    [
        {"APCA-API-KEY-ID": "alice-key", "APCA-API-SECRET-KEY": "alice-secret"},
        {"Authorization": basic("alice-key:alice-secret")},
        {"Authorization": "Bearer alice-key:alice-secret"},
        {"Authorization": "bearer alice-key.alice-secret"},
    ],
)
async def test_each_way_to_send_credentials(venue: Setup, headers: dict[str, str]) -> None:
    async with client_of(venue, "") as client:
        answer = await client.get("/v2/account", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["account_number"] == ALICE


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"APCA-API-KEY-ID": "alice-key"},
        {"APCA-API-KEY-ID": "alice-key", "APCA-API-SECRET-KEY": "bob-secret"},
        {"APCA-API-KEY-ID": "nobody", "APCA-API-SECRET-KEY": "alice-secret"},
        {"APCA-API-KEY-ID": "a" * 300, "APCA-API-SECRET-KEY": "x"},
        {"Authorization": "Basic !!!"},
        {"Authorization": basic("alice-key")},
        {"Authorization": basic("\u2603:x")},
        {"Authorization": "Digest alice-key:alice-secret"},
        {"Authorization": "Bearer"},
    ],
)
async def test_bad_credentials(venue: Setup, headers: dict[str, str]) -> None:
    async with client_of(venue, "") as client:
        answer = await client.get("/v2/account", headers=headers)
    assert (answer.status_code, answer.text) == (401, UNAUTHORIZED)


def test_credentials_need_both_parts() -> None:
    assert credentials({b"authorization": b"Bearer abc"}) is None
    assert credentials({b"apca-api-secret-key": b"abc"}) is None


async def test_what_needs_no_key(venue: Setup) -> None:
    async with client_of(venue, "") as client:
        for path in ("/v1/health", "/openapi.json", "/docs", "/"):
            assert (await client.get(path)).status_code == 200
        book = await client.get("/v1beta3/crypto/us/latest/orderbooks", params={"symbols": "A"})
        assert (book.status_code, book.json()["code"]) == (404, 40410000)


async def test_a_revoked_key_is_dead_at_once_here_and_within_a_second_elsewhere(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    assert (await alice.get("/v2/account")).status_code == 200
    # Another process revokes it: this one asks the table once its cache is a second old.
    venue.keys.rows["alice-key"] = venue.keys.rows["alice-key"]._replace(revoked_us=NOW_US)
    venue.keys.version += 1
    venue.clock.ns += 900_000_000
    assert (await alice.get("/v2/account")).status_code == 200
    venue.clock.ns += 200_000_000
    assert (await alice.get("/v2/account")).status_code == 401


async def test_a_key_ends_when_it_expires(venue: Setup) -> None:
    venue.keys.add("short-key", "short-secret", ALICE, "read", until=NOW_US + 5)
    async with client_of(venue, "short") as client:
        assert (await client.get("/v2/account")).status_code == 200
        venue.clock.us += 5
        assert (await client.get("/v2/account")).status_code == 401


async def test_keys_serve_on_for_a_while_when_their_table_is_away(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    assert (await alice.get("/v2/account")).status_code == 200
    venue.keys.away = True
    venue.clock.ns += 30_000_000_000
    assert (await alice.get("/v2/account")).status_code == 200
    venue.clock.ns += 40_000_000_000
    answer = await alice.get("/v2/account")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    venue.keys.away = False
    assert (await alice.get("/v2/account")).status_code == 200


async def test_unknown_keys_do_not_reach_the_table(venue: Setup) -> None:
    async with client_of(venue, "nobody") as client:
        for _ in range(20):
            await client.get("/v2/account")
    assert venue.keys.looks == 1


# ---------------------------------------------------------------- scopes


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("reader", "GET", "/v2/account", 200),
        ("reader", "POST", "/v2/orders", 403),
        ("reader", "DELETE", "/v2/orders", 403),
        ("reader", "DELETE", "/v2/positions/AAPL", 403),
        ("reader", "PATCH", "/v2/account/configurations", 403),
        ("reader", "POST", "/v1/orders/preview", 403),
        ("alice", "GET", "/v2/orders", 200),
        ("alice", "GET", "/v1/accounts", 403),
        ("alice", "POST", "/v1/accounts", 403),
        ("alice", "POST", "/v1/keys", 403),
        ("alice", "POST", "/v1/venue/block", 403),
        ("alice", "POST", "/v1/accounts/bob/cash", 403),
        ("alice", "POST", "/v1/instruments/AAPL/state", 403),
        ("root", "GET", "/v1/accounts", 200),
        ("root", "GET", "/v2/orders", 403),
        ("root", "POST", "/v2/orders", 403),
    ],
)
async def test_scopes(venue: Setup, name: str, method: str, path: str, status: int) -> None:
    async with client_of(venue, name) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["message"].startswith("forbidden: the key lacks the scope")
        assert venue.venue.commands == []


# ---------------------------------------------------------------- limits


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    limit = RateLimit(rate_per_s=10, burst=3)
    assert [limit.take("a", 0).remaining for _ in range(3)] == [2, 1, 0]
    refused = limit.take("a", 0)
    assert (refused.allowed, refused.retry_in_ns) == (False, 100_000_000)
    assert limit.take("b", 0).allowed
    assert not limit.take("a", 99_999_999).allowed
    assert limit.take("a", 100_000_000).allowed
    assert not limit.take("a", 100_000_001).allowed
    assert limit.take("a", 10**10).remaining == 2


def test_full_buckets_are_forgotten_when_there_are_many() -> None:
    limit = RateLimit(rate_per_s=10, burst=3, keys_max=100)
    for at in range(1_000):
        limit.take(f"key-{at}", at * 1_000_000_000)
    assert len(limit._full_at_ns) <= 101


async def test_a_key_over_its_limit_is_told_when_to_come_back() -> None:
    setup = make_setup(GatewaySettings(rate_limit_per_s=1, rate_limit_burst=2))
    async with client_of(setup) as client, client_of(setup, "bob") as other:
        first = await client.get("/v2/account")
        assert first.headers["x-ratelimit-limit"] == "2"
        assert first.headers["x-ratelimit-remaining"] == "1"
        assert first.headers["x-ratelimit-reset"] == str(NOW_US // 1_000_000 + 1)
        await client.get("/v2/account")
        refused = await client.get("/v2/account")
        assert (refused.status_code, refused.text) == (
            429,
            '{"code":42910000,"message":"rate limit exceeded"}',
        )
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert (await other.get("/v2/account")).status_code == 200
        setup.clock.ns += 1_000_000_000
        assert (await client.get("/v2/account")).status_code == 200


async def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1_000

    message = {"code": 41310000, "message": "the request body is larger than 65536 bytes"}
    for content in (b" " * 65_537, pieces()):
        answer = await alice.post("/v2/orders", content=content)
        assert (answer.status_code, answer.json()) == (413, message)
    whole = await alice.post("/v2/orders", content=b" " * 65_536)
    assert whole.status_code == 400
    assert venue.venue.commands == []


async def test_a_body_in_pieces_is_put_together(alice: httpx.AsyncClient) -> None:
    async def pieces() -> Any:
        yield b'{"symbol":"AAPL","side":"buy","type":"mar'
        yield b'ket","time_in_force":"day","qty":1}'

    assert (await alice.post("/v2/orders", content=pieces())).status_code == 200


async def test_a_client_that_leaves_in_the_middle_changes_nothing(venue: Setup) -> None:
    sent: list[AsgiMessage] = []
    coming: list[AsgiMessage] = [
        {"type": "http.request", "body": b'{"symbol":"AAPL"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> AsgiMessage:
        return coming.pop(0)

    async def send(message: AsgiMessage) -> None:
        sent.append(message)

    headers = [(b"apca-api-key-id", b"alice-key"), (b"apca-api-secret-key", b"alice-secret")]
    scope = {
        "type": "http", "method": "POST", "path": "/v2/orders", "query_string": b"",
        "headers": headers,
    }  # fmt: skip
    await venue.app(scope, receive, send)
    assert sent == []
    assert venue.venue.commands == []


# ---------------------------------------------------------------- ids, paths, methods


async def test_every_answer_carries_a_request_id(venue: Setup, alice: httpx.AsyncClient) -> None:
    given = await alice.get("/v2/account", headers={"X-Request-ID": "trace-7"})
    assert given.headers["x-request-id"] == "trace-7"
    ids = [(await alice.get("/v2/account")).headers["x-request-id"] for _ in range(3)]
    bad = await alice.get("/v2/account", headers={"X-Request-ID": "a b\t<"})
    async with client_of(venue, "") as nobody:
        refused = await nobody.get("/v2/account")
        lost = await nobody.get("/v2/nothing")
    ids += [answer.headers["x-request-id"] for answer in (bad, refused, lost)]
    assert len(set(ids)) == 6
    assert "a b" not in "".join(ids)


@pytest.mark.parametrize(
    "path",
    ["/v2/nothing", "/v2/orders/", "/v2/stocks/snapshots", "/v2/orders/a/b", "/v2/account/", "/x"],
)
async def test_no_such_path_and_no_redirect(alice: httpx.AsyncClient, path: str) -> None:
    answer = await alice.get(path)
    assert answer.status_code == 404
    assert answer.text == '{"code":40410000,"message":"endpoint not found"}'
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v2/orders", "DELETE, GET, HEAD, POST"),
        ("POST", "/v2/orders/x", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/v2/assets/BTC/USD", "GET, HEAD"),
        ("OPTIONS", "/v2/clock", "GET, HEAD"),
    ],
)
async def test_no_such_method(alice: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    answer = await alice.request(method, path)
    assert answer.text == '{"code":40510000,"message":"method not allowed"}'
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


async def test_head_is_get_without_its_body(alice: httpx.AsyncClient) -> None:
    whole, head = await alice.get("/v2/clock"), await alice.head("/v2/clock")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
