"""What a tick submits, in which order, and what it remembers."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from nexustrade.core.codec import Message
from nexustrade.core.errors import StoreUnavailable
from nexustrade.core.terms import CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL
from nexustrade.core.time import US_PER_S, from_datetime
from nexustrade.kernel.calendar import calendar_for
from nexustrade.kernel.config import VenueConfig
from nexustrade.kernel.ports import LogEntry
from nexustrade.kernel.timekeeper import Timekeeper
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    OpenSession,
    Tick,
)
from nexustrade.orders.messages import CheckMargin, SettleDay

MARGIN = CheckMargin(3_600 * US_PER_S)
PHASES = {
    BeginOpeningCall: OPENING_CALL,
    OpenSession: CONTINUOUS,
    BeginClosingCall: CLOSING_CALL,
    CloseSession: CLOSED,
}


class Venue:
    """Clock, commands and both views of a venue that does what it is told."""

    def __init__(self, *, margin: bool = False) -> None:
        self.now = 0
        self.margin = margin
        self.place = ("2026-11-20", CLOSED)
        self.settled = "2026-11-20"
        self.submitted: list[Message] = []
        self.away = False
        config = VenueConfig(
            session="XNYS", opening_call_s=120, closing_call_s=60, margin_call_s=3_600
        )
        self.time = Timekeeper(config, calendar_for("XNYS"), self, self, self, self)

    def now_us(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now * 1_000

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        if self.away:
            raise StoreUnavailable("away")
        self.submitted.append(command)
        if isinstance(command, SettleDay):
            self.settled = command.settle_date
        elif isinstance(command, BeginOpeningCall | OpenSession | BeginClosingCall | CloseSession):
            self.place = (command.session_date, PHASES[type(command)])
        return []

    def session(self) -> tuple[str, str]:
        return self.place

    def settled_date(self) -> str:
        return self.settled

    def has_margin_accounts(self) -> bool:
        return self.margin

    async def at(self, text: str) -> list[Message]:
        """What a tick at that time in UTC submits."""
        self.now = from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
        self.submitted = []
        await self.time.tick()
        return self.submitted


async def test_a_day() -> None:
    venue = Venue()
    assert await venue.at("2026-11-23 14:27:59") == [Tick()]
    assert await venue.at("2026-11-23 14:28") == [
        BeginOpeningCall("2026-11-23", "2026-11-25"),
        Tick(),
    ]
    assert await venue.at("2026-11-23 14:30") == [OpenSession("2026-11-23", "2026-11-25"), Tick()]
    assert await venue.at("2026-11-23 17:00") == [Tick()]
    assert await venue.at("2026-11-23 20:59") == [BeginClosingCall("2026-11-23"), Tick()]
    assert await venue.at("2026-11-23 21:00") == [
        CloseSession("2026-11-23"),
        Tick(),
        SettleDay("2026-11-23"),
    ]
    assert await venue.at("2026-11-23 21:00:01") == [Tick()]


async def test_margin_is_looked_at_once_a_second_while_there_is_any() -> None:
    venue = Venue(margin=True)
    assert await venue.at("2026-11-23 12:00:00") == [Tick(), MARGIN]
    assert await venue.at("2026-11-23 12:00:00.999") == [Tick()]
    assert await venue.at("2026-11-23 12:00:01") == [Tick(), MARGIN]
    venue.margin = False
    assert await venue.at("2026-11-23 12:00:05") == [Tick()]
    venue.margin = True
    assert await venue.at("2026-11-23 12:00:05.500") == [Tick(), MARGIN]


async def test_what_could_not_be_told_is_told_at_the_next_tick() -> None:
    venue = Venue()
    venue.away = True
    with pytest.raises(StoreUnavailable):
        await venue.at("2026-11-23 14:30")
    venue.away = False
    assert await venue.at("2026-11-23 14:30:01") == [
        OpenSession("2026-11-23", "2026-11-25"),
        Tick(),
    ]


async def test_past_the_end_of_the_calendar_time_goes_on() -> None:
    venue = Venue(margin=True)
    venue.place, venue.settled = ("2031-12-31", CONTINUOUS), "2031-12-31"
    assert await venue.at("2032-06-01 15:00") == [CloseSession("2031-12-31"), Tick(), MARGIN]
