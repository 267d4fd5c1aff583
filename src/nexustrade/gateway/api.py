"""The HTTP surface: every route, what it needs and what it answers, in one table.

The table is the only list of routes: the application and the OpenAPI document are made from it.
"""

from itertools import groupby
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from nexustrade.gateway import (
    openapi,
    routes_account,
    routes_admin,
    routes_groups,
    routes_market,
    routes_orders,
    routes_venue,
    routes_watchlists,
)
from nexustrade.gateway.guard import Guard, Public
from nexustrade.gateway.limits import RateLimit
from nexustrade.gateway.refusals import METHOD_NOT_ALLOWED, NOT_FOUND, ApiError
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.stream import TradeUpdates
from nexustrade.gateway.web import (
    Endpoint,
    FastLane,
    Resource,
    error_reply,
)

_PUBLIC: Final = Public(
    frozenset({"/", "/docs", "/openapi.json", "/v1/health"}), ("/v1beta3/crypto/",)
)


def build_app(venue: Gateway) -> Guard:
    """The whole gateway as one ASGI application: HTTP, WebSocket, documents, guard."""
    table = endpoints(venue)
    settings = venue.settings
    limit = RateLimit(settings.rate_limit_per_s, settings.rate_limit_burst)
    stream = TradeUpdates(venue, limit)
    resources = [
        Resource(list(same_path), settings.body_len_max)
        for _, same_path in groupby(
            [*table, *openapi.endpoints(table)], key=lambda endpoint: endpoint.path
        )
    ]
    routes: list[BaseRoute] = [Route(resource.path, resource) for resource in resources]
    routes.append(WebSocketRoute("/stream", stream))
    routes.append(WebSocketRoute("/stream/", stream))
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=routes)
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, _http_exception)
    lane = FastLane(resources, "/v2/orders/", "order_id")
    return Guard(app, lane, venue.keys, limit, venue.clock, _PUBLIC, settings.body_len_max)


async def _http_exception(_request: Request, error: Exception) -> Response:
    """What the router itself refuses, in the one error shape."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        told = ApiError(404, NOT_FOUND, "endpoint not found")
    else:
        told = ApiError(status, METHOD_NOT_ALLOWED, "method not allowed")
    reply = error_reply(told)
    return Response(reply.body, reply.status, media_type="application/json")


def endpoints(venue: Gateway) -> list[Endpoint]:
    """Every route of the gateway; those of one path stand next to each other, busy ones first."""
    modules = (
        routes_orders,
        routes_account,
        routes_market,
        routes_watchlists,
        routes_venue,
        routes_groups,
        routes_admin,
    )
    return [endpoint for module in modules for endpoint in module.endpoints(venue)]
