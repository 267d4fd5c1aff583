"""The account under /v2: settings, positions, activities, equity over time."""

import msgspec

from nexustrade.gateway import messages as w
from nexustrade.gateway import render
from nexustrade.gateway.activities import activities
from nexustrade.gateway.auth import READ, TRADE
from nexustrade.gateway.portfolio import portfolio_history, span
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import Call, Endpoint, Reply, json_reply
from nexustrade.orders import messages as m


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


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = AccountRoutes(venue)
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
