"""Instruments, the market clock and the calendar under /v2."""

from datetime import date
from typing import Any

from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import READ
from nexustrade.gateway.refusals import not_found
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import Call, Endpoint, Reply, json_reply


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


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = MarketRoutes(venue)
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
