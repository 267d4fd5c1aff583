"""The HTTP surface: every route, what it needs and what it answers, in one table.

The table is the only list of routes: the application and the OpenAPI document are made from it.
"""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from nexustrade.core import terms
from nexustrade.core.money import parse_signed_usd, parse_usd
from nexustrade.gateway import messages as w
from nexustrade.gateway import openapi, render, requests
from nexustrade.gateway.activities import activities
from nexustrade.gateway.auth import ADMIN, READ, SCOPES, TRADE, ApiKey
from nexustrade.gateway.guard import Guard, Public
from nexustrade.gateway.limits import RateLimit
from nexustrade.gateway.portfolio import portfolio_history, span
from nexustrade.gateway.refusals import METHOD_NOT_ALLOWED, NOT_FOUND, ApiError, invalid, not_found
from nexustrade.gateway.service import Gateway, rate_ppm
from nexustrade.gateway.store import NameTaken, WatchlistRow
from nexustrade.gateway.stream import TradeUpdates
from nexustrade.gateway.web import (
    NO_CONTENT,
    AsgiApp,
    Call,
    Endpoint,
    Reply,
    Resource,
    error_reply,
    json_reply,
)
from nexustrade.orders import messages as m

_PUBLIC: Final = Public(
    frozenset({"/", "/docs", "/openapi.json", "/v1/health"}), ("/v1beta3/crypto/",)
)
_STATES: Final = {"active": "ACTIVE", "halted": "HALTED", "restricted": "RESTRICTED"}
_ACCOUNT_TYPES: Final = {"cash": terms.CASH, "margin": terms.MARGIN}
_SIDES: Final = {"buy": terms.BUY, "sell": terms.SELL, "": ""}
_WATCHLIST_SYMBOLS_MAX: Final = 500
_NAME_LEN_MAX: Final = 64


def build_app(venue: Gateway) -> AsgiApp:
    """The whole gateway as one ASGI application: HTTP, WebSocket, documents, guard."""
    table = endpoints(venue)
    settings = venue.settings
    document = openapi.document(table)
    stream = TradeUpdates(venue)
    routes: list[BaseRoute] = [
        Route(path, Resource(list(same_path), settings.body_len_max))
        for path, same_path in groupby(
            [*table, *openapi.endpoints(document)], key=lambda endpoint: endpoint.path
        )
    ]
    routes.append(WebSocketRoute("/stream", stream))
    routes.append(WebSocketRoute("/stream/", stream))
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=routes)
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, _http_exception)
    limit = RateLimit(settings.rate_limit_per_s, settings.rate_limit_burst)
    return Guard(app, venue.keys, limit, venue.clock, _PUBLIC, settings.body_len_max)


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
    return [
        *_orders(OrderRoutes(venue)),
        *_account(AccountRoutes(venue)),
        *_market(MarketRoutes(venue)),
        *_watchlists(WatchlistRoutes(venue)),
        *_own(OwnRoutes(venue)),
        *_admin(AdminRoutes(venue)),
    ]


# ---------------------------------------------------------------- orders


class OrderRoutes:
    """Order entry and queries."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._replace = msgspec.json.Decoder(w.ReplaceRequest)

    async def post(self, call: Call) -> Reply:
        request = requests.decode_order(await call.body())
        return Reply(render.order_json(await self.venue.place(call.account_id, request)))

    async def get(self, call: Call) -> Reply:
        call.query(w.OrderParams)
        record = await self.venue.order(call.account_id, call.path("order_id"))
        return Reply(render.order_json(record))

    async def delete(self, call: Call) -> Reply:
        await self.venue.cancel(call.account_id, call.path("order_id"))
        return NO_CONTENT

    async def patch(self, call: Call) -> Reply:
        request = await call.model(self._replace)
        record = await self.venue.replace(call.account_id, call.path("order_id"), request)
        return Reply(render.order_json(record))

    async def list(self, call: Call) -> Reply:
        records = await self.venue.list_orders(call.account_id, call.query(w.OrdersParams))
        return json_reply([render.order(record) for record in records])

    async def cancel_all(self, call: Call) -> Reply:
        return json_reply(await self.venue.cancel_all(call.account_id), 207)

    async def by_cl_ord_id(self, call: Call) -> Reply:
        asked = call.query(w.ClientIdParams).client_order_id
        return Reply(render.order_json(await self.venue.order_by_cl_ord_id(call.account_id, asked)))


def _orders(r: OrderRoutes) -> list[Endpoint]:
    by_id, tag = "/v2/orders/{order_id}", "Orders"
    return [
        Endpoint(
            "POST",
            "/v2/orders",
            r.post,
            TRADE,
            "Submit an order",
            tag,
            w.Order,
            body=w.OrderRequest,
            errors=(400, 403, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/orders",
            r.list,
            READ,
            "List orders",
            tag,
            list[w.Order],
            query=w.OrdersParams,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "DELETE",
            "/v2/orders",
            r.cancel_all,
            TRADE,
            "Cancel all open orders",
            tag,
            list[w.CancelResult],
            status=207,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "GET",
            by_id,
            r.get,
            READ,
            "Get an order",
            tag,
            w.Order,
            query=w.OrderParams,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "PATCH",
            by_id,
            r.patch,
            TRADE,
            "Replace an order; answers the new one",
            tag,
            w.Order,
            body=w.ReplaceRequest,
            errors=(400, 403, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "DELETE",
            by_id,
            r.delete,
            TRADE,
            "Cancel an order",
            tag,
            status=204,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/orders:by_client_order_id",
            r.by_cl_ord_id,
            READ,
            "Get an order by its client order id",
            tag,
            w.Order,
            query=w.ClientIdParams,
            errors=(404, 422, 503),
        ),
    ]


# ---------------------------------------------------------------- account


class AccountRoutes:
    """The account, its settings, positions, activities and history."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._configuration = msgspec.json.Decoder(w.ConfigurationRequest)

    async def get(self, call: Call) -> Reply:
        return json_reply(render.account(self.venue.account(call.account_id)))

    async def configuration(self, call: Call) -> Reply:
        return json_reply(render.configuration(self.venue.account(call.account_id)))

    async def configure(self, call: Call) -> Reply:
        change = await call.model(self._configuration)
        return json_reply(await self.venue.configure(call.account_id, change))

    async def history(self, call: Call) -> Reply:
        now_us = self.venue.clock.now_us()
        account = self.venue.account(call.account_id)
        asked = span(call.query(w.PortfolioParams), now_us)
        samples = await self.venue.history.equity(account.account_id, asked.start_us, asked.end_us)
        return json_reply(portfolio_history(asked, samples, account.equity, now_us))

    async def activities(self, call: Call) -> Reply:
        return await self._activities(call, "")

    async def activities_of_type(self, call: Call) -> Reply:
        return await self._activities(call, call.path("activity_type"))

    async def _activities(self, call: Call, path_type: str) -> Reply:
        asked = call.query(w.ActivitiesParams)
        found = await activities(self.venue.history, call.account_id, path_type, asked)
        return json_reply(found)

    async def positions(self, call: Call) -> Reply:
        return json_reply([self._position(r) for r in self.venue.positions(call.account_id)])

    async def position(self, call: Call) -> Reply:
        record = self.venue.position(call.account_id, call.path("symbol_or_asset_id"))
        return json_reply(self._position(record))

    def _position(self, record: m.PositionRecord) -> w.Position:
        return render.position(record, self.venue.orders.instrument(record.symbol))

    async def close(self, call: Call) -> Reply:
        asked = call.query(w.ClosePositionParams)
        record = await self.venue.close_position(
            call.account_id, call.path("symbol_or_asset_id"), asked.qty, asked.percentage
        )
        return Reply(render.order_json(record))

    async def close_all(self, call: Call) -> Reply:
        asked = call.query(w.CloseAllParams)
        return json_reply(await self.venue.close_all(call.account_id, asked.cancel_orders), 207)


def _account(r: AccountRoutes) -> list[Endpoint]:
    tag, settings, reports = "Account", "/v2/account/configurations", "/v2/account/activities"
    one = "/v2/positions/{symbol_or_asset_id:path}"
    lost = (404, 422, 503)
    write = (400, 403, 404, 408, 413, 422, 503)
    return [
        Endpoint(
            "GET", "/v2/account", r.get, READ, "Get the account", tag, w.TradeAccount, errors=lost
        ),
        Endpoint(
            "GET",
            settings,
            r.configuration,
            READ,
            "Get the account's settings",
            tag,
            w.AccountConfiguration,
            errors=lost,
        ),
        Endpoint(
            "PATCH",
            settings,
            r.configure,
            TRADE,
            "Change the account's settings",
            tag,
            w.AccountConfiguration,
            body=w.ConfigurationRequest,
            errors=write,
        ),
        Endpoint(
            "GET",
            "/v2/account/portfolio/history",
            r.history,
            READ,
            "Get the equity over time",
            tag,
            w.PortfolioHistory,
            query=w.PortfolioParams,
            errors=lost,
        ),
        Endpoint(
            "GET",
            reports,
            r.activities,
            READ,
            "List fills and cash movements",
            tag,
            list[w.Activity],
            query=w.ActivitiesParams,
            errors=lost,
        ),
        Endpoint(
            "GET",
            reports + "/{activity_type}",
            r.activities_of_type,
            READ,
            "List activities of one type",
            tag,
            list[w.Activity],
            query=w.ActivitiesParams,
            errors=lost,
        ),
        Endpoint(
            "GET",
            "/v2/positions",
            r.positions,
            READ,
            "List open positions",
            "Positions",
            list[w.Position],
            errors=(503,),
        ),
        Endpoint(
            "DELETE",
            "/v2/positions",
            r.close_all,
            TRADE,
            "Close all positions",
            "Positions",
            list[w.CloseResult],
            status=207,
            query=w.CloseAllParams,
            errors=lost,
        ),
        Endpoint(
            "GET",
            one,
            r.position,
            READ,
            "Get an open position",
            "Positions",
            w.Position,
            errors=lost,
        ),
        Endpoint(
            "DELETE",
            one,
            r.close,
            TRADE,
            "Close a position or a part of it",
            "Positions",
            w.Order,
            query=w.ClosePositionParams,
            errors=(403, *lost),
        ),
    ]


# ---------------------------------------------------------------- market


class MarketRoutes:
    """Instruments, the clock and the calendar."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue

    async def assets(self, call: Call) -> Reply:
        asked = call.query(w.AssetsParams)
        found = [self.asset(i.symbol) for i in self.venue.orders.instruments()]
        return json_reply([a for a in found if a is not None and _wanted(a, asked)])

    async def one(self, call: Call) -> Reply:
        text = call.path("symbol_or_asset_id")
        found = self.asset(self.venue.symbol(text))
        if found is None:
            raise not_found(f"asset not found for {requests.shown(text)}")
        return json_reply(found)

    def asset(self, symbol: str) -> w.Asset | None:
        """An instrument as an asset; None when the venue has none of that symbol."""
        instrument = self.venue.orders.instrument(symbol)
        if instrument is None:
            return None
        return render.asset(instrument, self.venue.orders.instrument_state(symbol))

    async def clock(self, call: Call) -> Reply:
        del call
        now_us, calendar = self.venue.clock.now_us(), self.venue.calendar
        return json_reply(
            w.MarketClock(
                render.local_instant(now_us, calendar.zone),
                calendar.is_open(now_us),
                render.local_instant(calendar.next_open(now_us), calendar.zone),
                render.local_instant(calendar.next_close(now_us), calendar.zone),
            )
        )

    async def calendar(self, call: Call) -> Reply:
        asked = call.query(w.CalendarParams)
        today = date.fromisoformat(requests.utc_date(self.venue.clock.now_us()))
        start = _date("start", asked.start) or date(today.year, 1, 1)
        end = _date("end", asked.end) or date(today.year, 12, 31)
        return json_reply([_calendar_day(row) for row in self.venue.calendar.days(start, end)])


def _calendar_day(row: Any) -> w.CalendarDay:
    return w.CalendarDay(
        row.date.isoformat(),
        row.open,
        row.close,
        row.session_open,
        row.session_close,
        row.settlement_date.isoformat(),
    )


def _date(field: str, text: str) -> date | None:
    if not text:
        return None
    return date.fromisoformat(requests.utc_date(requests.instant_us(field, text)))


def _wanted(a: w.Asset, asked: w.AssetsParams) -> bool:
    if asked.status and a.status not in asked.status.split(","):
        return False
    if asked.asset_class and a.class_ not in asked.asset_class.split(","):
        return False
    if asked.exchange and a.exchange not in asked.exchange.split(","):
        return False
    return not asked.attributes or any(x in a.attributes for x in asked.attributes.split(","))


def _market(r: MarketRoutes) -> list[Endpoint]:
    tag = "Market"
    return [
        Endpoint(
            "GET",
            "/v2/assets",
            r.assets,
            READ,
            "List instruments",
            tag,
            list[w.Asset],
            query=w.AssetsParams,
            errors=(422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/assets/{symbol_or_asset_id:path}",
            r.one,
            READ,
            "Get an instrument",
            tag,
            w.Asset,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/clock",
            r.clock,
            READ,
            "Get the market clock",
            tag,
            w.MarketClock,
            errors=(503,),
        ),
        Endpoint(
            "GET",
            "/v2/calendar",
            r.calendar,
            READ,
            "List trading days",
            tag,
            list[w.CalendarDay],
            query=w.CalendarParams,
            errors=(422, 503),
        ),
    ]


# ---------------------------------------------------------------- watchlists


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
        if len(once) > _WATCHLIST_SYMBOLS_MAX:
            raise invalid(f"a watchlist has at most {_WATCHLIST_SYMBOLS_MAX} symbols")
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


def _watchlists(r: WatchlistRoutes) -> list[Endpoint]:
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


# ---------------------------------------------------------------- our own


class OwnRoutes:
    """What Alpaca has not: health, books, order preview, mass cancel."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue

    async def health(self, call: Call) -> Reply:
        del call
        return json_reply(
            w.Health(
                status="ok",
                live=True,
                ready=True,
                session_open=self.venue.books.session_open(),
                time=render.instant(self.venue.clock.now_us()),
            )
        )

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


def _own(r: OwnRoutes) -> list[Endpoint]:
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


# ---------------------------------------------------------------- operators


class AdminRoutes:
    """What keys with the scope `admin` may do, to any account and to the venue."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._account = msgspec.json.Decoder(w.OpenAccountRequest)
        self._cash = msgspec.json.Decoder(w.CashRequest)
        self._block = msgspec.json.Decoder(w.BlockRequest)
        self._key = msgspec.json.Decoder(w.KeyRequest)
        self._state = msgspec.json.Decoder(w.InstrumentStateRequest)

    async def open_account(self, call: Call) -> Reply:
        r = await call.model(self._account)
        account_id = r.account_id or self.venue.new_id(self.venue.clock.now_us())
        await self.venue.operate(
            m.OpenAccount(
                requests.account_id_text(account_id),
                requests.choice("account_type", r.account_type, _ACCOUNT_TYPES),
                requests.optional("cash", r.cash, parse_usd),
                rate_ppm("maker_fee", r.maker_fee),
                rate_ppm("taker_fee", r.taker_fee),
                r.shorting,
            )
        )
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def accounts(self, call: Call) -> Reply:
        del call
        records = [self.venue.orders.account(i) for i in self.venue.orders.account_ids()]
        return json_reply([render.opened_account(r) for r in records if r is not None])

    async def adjust_cash(self, call: Call) -> Reply:
        r = await call.model(self._cash)
        amount = requests.optional("amount", r.amount, parse_signed_usd)
        if not amount:
            raise invalid("amount is required and is not 0")
        account_id = self.venue.account(call.path("account_id")).account_id
        text = requests.free_text("description", r.description)
        await self.venue.operate(m.AdjustCash(account_id, amount, text))
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def block_account(self, call: Call) -> Reply:
        r = await call.model(self._block)
        account_id = self.venue.account(call.path("account_id")).account_id
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.BlockAccount(account_id, r.blocked, reason))
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def block_venue(self, call: Call) -> Reply:
        r = await call.model(self._block)
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.BlockVenue(r.blocked, reason))
        return json_reply(w.BlockState(r.blocked, reason))

    async def set_state(self, call: Call) -> Reply:
        r = await call.model(self._state)
        symbol = self.venue.symbol(call.path("symbol"))
        if self.venue.orders.instrument(symbol) is None:
            raise not_found(f"asset not found for {requests.shown(symbol)}")
        state = requests.choice("state", r.state, _STATES)
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.RestrictInstrument(symbol, state, reason))
        now = self.venue.orders.instrument_state(symbol)
        return json_reply(w.InstrumentState(symbol, now.lower()))

    async def create_key(self, call: Call) -> Reply:
        r = await call.model(self._key)
        account_id = self.venue.account(r.account_id).account_id
        scopes = [READ, TRADE] if r.scopes is None else r.scopes
        if not scopes or any(scope not in SCOPES for scope in scopes):
            raise invalid(f"invalid scopes. scopes are some of {', '.join(SCOPES)}")
        label = requests.free_text("label", r.label)
        expires_us = requests.instant_us("expires_at", r.expires_at or "")
        now_us = self.venue.clock.now_us()
        if expires_us and expires_us <= now_us:
            raise invalid("invalid expires_at. expires_at is in the future")
        key, secret = await self.venue.keys.create(account_id, scopes, label, expires_us, now_us)
        return json_reply(
            w.NewKey(
                key.key_id,
                secret,
                key.account_id,
                sorted(key.scopes),
                key.label,
                render.instant_or_none(key.expires_us),
            )
        )

    async def keys(self, call: Call) -> Reply:
        account_id = requests.free_text("account_id", call.query(w.KeysParams).account_id)
        return json_reply([_key_row(key) for key in await self.venue.keys.list(account_id)])

    async def revoke_key(self, call: Call) -> Reply:
        key_id = call.path("key_id")
        found = key_id.isprintable() and await self.venue.keys.revoke(
            key_id, self.venue.clock.now_us()
        )
        if not found:
            raise not_found(f"key not found for {requests.shown(key_id)}")
        return NO_CONTENT


def _key_row(key: ApiKey) -> w.KeyRow:
    return w.KeyRow(
        key.key_id,
        key.account_id,
        sorted(key.scopes),
        key.label,
        render.instant_or_none(key.created_us),
        render.instant_or_none(key.expires_us),
        render.instant_or_none(key.revoked_us),
    )


def _admin(r: AdminRoutes) -> list[Endpoint]:
    tag, base, one = "Admin", "/v1/accounts", "/v1/accounts/{account_id}"
    write = (400, 403, 404, 408, 413, 422, 503)
    return [
        Endpoint(
            "POST",
            base,
            r.open_account,
            ADMIN,
            "Open an account",
            tag,
            w.OpenedAccount,
            body=w.OpenAccountRequest,
            errors=write,
        ),
        Endpoint(
            "GET",
            base,
            r.accounts,
            ADMIN,
            "List accounts",
            tag,
            list[w.OpenedAccount],
            errors=(503,),
        ),
        Endpoint(
            "POST",
            one + "/cash",
            r.adjust_cash,
            ADMIN,
            "Deposit or withdraw cash",
            tag,
            w.OpenedAccount,
            body=w.CashRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            one + "/block",
            r.block_account,
            ADMIN,
            "An account's kill switch",
            tag,
            w.OpenedAccount,
            body=w.BlockRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/keys",
            r.create_key,
            ADMIN,
            "Make an API key",
            tag,
            w.NewKey,
            body=w.KeyRequest,
            errors=write,
        ),
        Endpoint(
            "GET",
            "/v1/keys",
            r.keys,
            ADMIN,
            "List API keys",
            tag,
            list[w.KeyRow],
            query=w.KeysParams,
            errors=(422, 503),
        ),
        Endpoint(
            "DELETE",
            "/v1/keys/{key_id}",
            r.revoke_key,
            ADMIN,
            "Revoke an API key",
            tag,
            status=204,
            errors=(404, 503),
        ),
        Endpoint(
            "POST",
            "/v1/venue/block",
            r.block_venue,
            ADMIN,
            "The venue's kill switch",
            tag,
            w.BlockState,
            body=w.BlockRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/instruments/{symbol:path}/state",
            r.set_state,
            ADMIN,
            "Halt, restrict or reopen an instrument",
            tag,
            w.InstrumentState,
            body=w.InstrumentStateRequest,
            errors=write,
        ),
    ]
