"""Whatever comes, the answer is a success or a refusal, never a fault."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import make_setup
from tests.unit.gateway.test_orders import LIMIT

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    | st.sampled_from(["NaN", "-0", "1e999", "0x10", "\x00", "1" * 60, "١٢", "buy", "limit"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(
    [*LIMIT, "notional", "stop_price", "expires_at", "post_only", "order_class", "take_profit",
     "legs", "extended_hours", "position_intent", "name", "symbols", "amount", "account_id"]
)  # fmt: skip
BODIES = st.builds(
    lambda changes: json.dumps(LIMIT | changes).encode(),
    st.dictionaries(FIELDS, ANYTHING, min_size=1, max_size=3),
)
ROUTES = st.sampled_from(
    [
        ("POST", "/v2/orders"),
        ("PATCH", "/v2/orders/01a1ee56-5e7b-7df5-8eff-f84fa21d6fc1"),
        ("POST", "/v1/orders/preview"),
        ("PATCH", "/v2/account/configurations"),
        ("POST", "/v2/watchlists"),
        ("POST", "/v1/accounts"),
        ("POST", "/v1/accounts/alice/cash"),
        ("POST", "/v1/keys"),
    ]
)
PATHS = st.sampled_from(
    ["/v2/orders", "/v2/account/activities", "/v2/account/portfolio/history", "/v2/calendar",
     "/v2/assets", "/v1/books/AAPL", "/v2/orders:by_client_order_id"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["status", "limit", "after", "until", "start", "end", "date", "page_token", "page_size",
     "direction", "period", "timeframe", "depth", "symbols", "client_order_id", "date_end"]
)  # fmt: skip

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(route=ROUTES, body=BODIES | st.binary(max_size=200))
async def test_any_body(route: tuple[str, str], body: bytes) -> None:
    setup = make_setup()
    setup.keys.add("all-key", "all-secret", "alice", "read", "trade", "admin")
    async with client_of(setup, "all") as client:
        answer = await client.request(*route, content=body)
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or list(answer.json())[:2] == ["code", "message"]


@quick
@given(path=PATHS, params=st.dictionaries(NAMES, ANYTHING.map(str), max_size=3))
async def test_any_query(path: str, params: dict[str, Any]) -> None:
    async with client_of(make_setup()) as client:
        params = {k: v.encode("utf-8", "replace").decode() for k, v in params.items()}
        answer = await client.get(path, params=params)
    assert answer.status_code in {200, 404, 422}, answer.text
