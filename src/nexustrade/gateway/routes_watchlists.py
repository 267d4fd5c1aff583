"""Watchlists under /v2/watchlists."""

from collections.abc import Sequence
from typing import Final

import msgspec

from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import READ, TRADE
from nexustrade.gateway.refusals import ApiError, invalid, not_found
from nexustrade.gateway.routes_market import MarketRoutes
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.store import NameTaken, WatchlistRow
from nexustrade.gateway.web import NO_CONTENT, Call, Endpoint, Reply, json_reply

_SYMBOLS_MAX: Final = 500
_NAME_LEN_MAX: Final = 64


class WatchlistRoutes:
    """Watchlists of the account."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._assets = MarketRoutes(venue)
        self._list = msgspec.json.Decoder(w.WatchlistRequest)
        self._symbol = msgspec.json.Decoder(w.SymbolRequest)

    async def all(self, call: Call) -> Reply:
        rows = await self.venue.watchlists.all(call.account_id)
        return json_reply([_summary(row) for row in rows])

    async def create(self, call: Call) -> Reply:
        request = await call.model(self._list)
        name = self._name(request.name or "")
        symbols = self._symbols(request.symbols or ())
        now_us = self.venue.clock.now_us()
        try:
            row = await self.venue.watchlists.create(call.account_id, name, symbols, now_us)
        except NameTaken:
            raise _name_taken() from None
        return json_reply(self._watchlist(row))

    async def get(self, call: Call) -> Reply:
        return json_reply(self._watchlist(await self._row(call)))

    async def update(self, call: Call) -> Reply:
        request = await call.model(self._list)
        row = await self._row(call)
        name = self._name(request.name) if request.name is not None else row.name
        symbols = row.symbols if request.symbols is None else self._symbols(request.symbols)
        return await self._save(row, name, symbols)

    async def add(self, call: Call) -> Reply:
        request = await call.model(self._symbol)
        row = await self._row(call)
        return await self._save(row, row.name, self._symbols([*row.symbols, request.symbol]))

    async def remove(self, call: Call) -> Reply:
        row = await self._row(call)
        symbol = call.path("symbol")
        if symbol not in row.symbols:
            raise not_found(f"asset not found for {requests.shown(symbol)}")
        return await self._save(row, row.name, [s for s in row.symbols if s != symbol])

    async def delete(self, call: Call) -> Reply:
        if not await self.venue.watchlists.delete(call.account_id, call.path("watchlist_id")):
            raise not_found("watchlist not found")
        return NO_CONTENT

    async def _save(self, row: WatchlistRow, name: str, symbols: Sequence[str]) -> Reply:
        try:
            saved = await self.venue.watchlists.update(
                row.account_id, row.id, name, symbols, self.venue.clock.now_us()
            )
        except NameTaken:
            raise _name_taken() from None
        if saved is None:
            raise not_found("watchlist not found")
        return json_reply(self._watchlist(saved))

    async def _row(self, call: Call) -> WatchlistRow:
        row = await self.venue.watchlists.get(call.account_id, call.path("watchlist_id"))
        if row is None:
            raise not_found("watchlist not found")
        return row

    def _name(self, name: str) -> str:
        if not name:
            raise invalid("name is required")
        return requests.free_text("name", name, _NAME_LEN_MAX)

    def _symbols(self, symbols: Sequence[str]) -> list[str]:
        once = list(dict.fromkeys(symbols))
        if len(once) > _SYMBOLS_MAX:
            raise invalid(f"a watchlist has at most {_SYMBOLS_MAX} symbols")
        for symbol in once:
            if self.venue.orders.instrument(symbol) is None:
                raise invalid(f"asset not found for {requests.shown(symbol)}")
        return once

    def _watchlist(self, row: WatchlistRow) -> w.Watchlist:
        found = [self._assets.asset(symbol) for symbol in row.symbols]
        head = _summary(row)
        return w.Watchlist(
            head.id,
            head.account_id,
            head.name,
            head.created_at,
            head.updated_at,
            [asset for asset in found if asset is not None],
        )


def _name_taken() -> ApiError:
    return invalid("watchlist name must be unique")


def _summary(row: WatchlistRow) -> w.WatchlistSummary:
    return w.WatchlistSummary(
        row.id,
        render.account_uuid(row.account_id),
        row.name,
        render.instant(row.created_us),
        render.instant(row.updated_us),
    )


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = WatchlistRoutes(venue)
    tag, base, one = "Watchlists", "/v2/watchlists", "/v2/watchlists/{watchlist_id}"
    write = (400, 404, 408, 413, 422, 503)
    return [
        Endpoint(
            "GET",
            base,
            r.all,
            READ,
            "List watchlists",
            tag,
            list[w.WatchlistSummary],
            errors=(503,),
        ),
        Endpoint(
            "POST",
            base,
            r.create,
            TRADE,
            "Make a watchlist",
            tag,
            w.Watchlist,
            body=w.WatchlistRequest,
            errors=write,
        ),
        Endpoint("GET", one, r.get, READ, "Get a watchlist", tag, w.Watchlist, errors=(404, 503)),
        Endpoint(
            "PUT",
            one,
            r.update,
            TRADE,
            "Change a watchlist",
            tag,
            w.Watchlist,
            body=w.WatchlistRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            one,
            r.add,
            TRADE,
            "Add a symbol",
            tag,
            w.Watchlist,
            body=w.SymbolRequest,
            errors=write,
        ),
        Endpoint(
            "DELETE", one, r.delete, TRADE, "Delete a watchlist", tag, status=204, errors=(404, 503)
        ),
        Endpoint(
            "DELETE",
            one + "/{symbol:path}",
            r.remove,
            TRADE,
            "Take a symbol off",
            tag,
            w.Watchlist,
            errors=(404, 422, 503),
        ),
    ]
