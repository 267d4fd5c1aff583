"""What Alpaca has not, under /v1: health, books, order preview, mass cancel."""

from typing import Final

import msgspec

from nexustrade.core import terms
from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import READ, TRADE
from nexustrade.gateway.refusals import UNAVAILABLE, ApiError, not_found
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import Call, Endpoint, Reply, json_reply

_SIDES: Final = {"buy": terms.BUY, "sell": terms.SELL, "": ""}


class OwnRoutes:
    """What Alpaca has not: health, books, order preview, mass cancel."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue

    async def health(self, call: Call) -> Reply:
        del call
        ready = self.venue.ready()
        health = w.Health(
            status="ok" if ready else "degraded",
            live=True,
            ready=ready,
            session_open=self.venue.books.session_open(),
            time=render.instant(self.venue.clock.now_us()),
        )
        if not ready:
            raise ApiError(
                503, UNAVAILABLE, "the venue is not ready", msgspec.structs.asdict(health)
            )
        return json_reply(health)

    async def book(self, call: Call) -> Reply:
        symbol = call.path("symbol")
        depth = call.query(w.BookParams).depth
        snapshot = self.venue.books.snapshot(self.venue.symbol(symbol), depth)
        if snapshot is None:
            raise not_found(f"asset not found for {requests.shown(symbol)}")
        return json_reply(render.book(snapshot))

    async def preview(self, call: Call) -> Reply:
        request = requests.decode_order(await call.body())
        return json_reply(await self.venue.preview(call.account_id, request))

    async def mass_cancel(self, call: Call) -> Reply:
        asked = call.query(w.MassCancelParams)
        symbol = requests.symbol_text("symbol", asked.symbol) if asked.symbol else ""
        side = requests.choice("side", asked.side, _SIDES)
        return json_reply(await self.venue.cancel_all(call.account_id, symbol, side), 207)


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = OwnRoutes(venue)
    tag = "Venue"
    return [
        Endpoint(
            "GET",
            "/v1/health",
            r.health,
            "",
            "Whether the venue lives and is ready",
            tag,
            w.Health,
            errors=(503,),
        ),
        Endpoint(
            "GET",
            "/v1/books/{symbol:path}",
            r.book,
            READ,
            "Get an order book",
            tag,
            w.Book,
            query=w.BookParams,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "POST",
            "/v1/orders/preview",
            r.preview,
            TRADE,
            "What an order would reserve",
            tag,
            w.OrderPreview,
            body=w.OrderRequest,
            errors=(400, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "DELETE",
            "/v1/orders",
            r.mass_cancel,
            TRADE,
            "Cancel open orders of a symbol, a side, or all",
            tag,
            list[w.CancelResult],
            status=207,
            query=w.MassCancelParams,
            errors=(404, 422, 503),
        ),
    ]
