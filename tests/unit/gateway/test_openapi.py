from typing import Any

import httpx
import pytest

from nexustrade.gateway.api import endpoints
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.fakes import Setup


@pytest.fixture
async def document(venue: Setup) -> Any:
    async with client_of(venue, "") as client:
        return (await client.get("/openapi.json")).json()


def refs(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*(refs(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(refs(inner) for inner in value))
    return set()


def test_every_route_is_documented_with_its_errors(venue: Setup, document: Any) -> None:
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    routes = endpoints(venue.gateway)
    assert len(operations) == len(routes)
    for route in routes:
        operation = operations[route.method, route.path.replace(":path}", "}")]
        assert str(route.status) in operation["responses"]
        for status in ("405", "500", *(("401", "403", "429") if route.scope else ())):
            error = operation["responses"][status]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/Refusal"}
        assert bool(operation["security"]) == bool(route.scope)


def test_every_reference_leads_somewhere(document: Any) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert refs(document) <= known
    used = refs(document)
    assert known - used == set()


def test_operation_ids_are_unique(document: Any) -> None:
    ids = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_page_needs_nothing_from_elsewhere(document: Any) -> None:
    assert document["openapi"] == "3.1.0"


async def test_the_page(alice: httpx.AsyncClient) -> None:
    page = await alice.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "/v2/orders/{order_id}" in page.text
    assert 'id="TradeAccount"' in page.text
    assert "http" not in page.text.replace("<!doctype html>", "")
