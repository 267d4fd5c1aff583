"""The calendars and the rule that opens and closes sessions."""

from datetime import UTC, date, datetime, timedelta

import pytest

from nexustrade.core.errors import InputError
from nexustrade.core.time import from_datetime, to_datetime
from nexustrade.kernel.calendar import (
    AlwaysCalendar,
    Calendar,
    CalendarDay,
    CalendarEnded,
    ExchangeCalendar,
    calendar_for,
    session_commands,
)
from nexustrade.matching.messages import CloseSession, OpenSession

NEW_YORK = ExchangeCalendar()
ALWAYS = AlwaysCalendar()


def utc(text: str) -> int:
    """Microseconds of `YYYY-MM-DD HH:MM[:SS]` in UTC."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-11-23 14:29:59", None),  # Monday, winter: New York is at UTC-5
        ("2026-11-23 14:30", "2026-11-23"),
        ("2026-11-23 20:59:59", "2026-11-23"),
        ("2026-11-23 21:00", None),
        ("2026-07-06 13:29:59", None),  # summer: UTC-4
        ("2026-07-06 13:30", "2026-07-06"),
        ("2026-07-06 20:00", None),
        ("2026-11-26 16:00", None),  # Thanksgiving
        ("2026-11-27 17:59:59", "2026-11-27"),  # the day after it closes at 13:00
        ("2026-11-27 18:00", None),
        ("2026-11-21 16:00", None),  # Saturday
        ("2025-01-09 16:00", None),  # a day of mourning
        ("2026-03-09 13:30", "2026-03-09"),  # the Monday after the clocks went forward
        ("2026-11-02 14:29:59", None),  # and the one after they went back
        ("2026-11-02 14:30", "2026-11-02"),
    ],
)
def test_new_york_hours(at: str, session: str | None) -> None:
    expected = None if session is None else date.fromisoformat(session)
    assert NEW_YORK.session_of(utc(at)) == expected
    assert NEW_YORK.is_open(utc(at)) is (expected is not None)


@pytest.mark.parametrize(
    ("at", "opens", "closes"),
    [
        ("2026-11-23 12:00", "2026-11-23 14:30", "2026-11-23 21:00"),
        ("2026-11-23 14:30", "2026-11-24 14:30", "2026-11-23 21:00"),
        ("2026-11-23 21:00", "2026-11-24 14:30", "2026-11-24 21:00"),
        ("2026-11-25 22:00", "2026-11-27 14:30", "2026-11-27 18:00"),
        ("2026-11-27 18:00", "2026-11-30 14:30", "2026-11-30 21:00"),
        ("2026-11-24 01:00", "2026-11-24 14:30", "2026-11-24 21:00"),  # the evening before, there
    ],
)
def test_next_open_and_close(at: str, opens: str, closes: str) -> None:
    assert NEW_YORK.next_open(utc(at)) == utc(opens)
    assert NEW_YORK.next_close(utc(at)) == utc(closes)


def test_always_is_open_in_days_of_utc() -> None:
    at = utc("2026-11-23 23:59:59")
    assert ALWAYS.session_of(at) == date(2026, 11, 23)
    assert ALWAYS.session_of(at + 1_000_000) == date(2026, 11, 24)
    assert ALWAYS.next_open(at) == ALWAYS.next_close(at) == utc("2026-11-24 00:00")
    assert ALWAYS.next_close(utc("2026-11-24 00:00")) == utc("2026-11-25 00:00")


def test_days_of_new_york_around_thanksgiving() -> None:
    assert NEW_YORK.days(date(2026, 11, 25), date(2026, 11, 30)) == [
        CalendarDay(date(2026, 11, 25), "09:30", "16:00", "0400", "2000", date(2026, 11, 30)),
        CalendarDay(date(2026, 11, 27), "09:30", "13:00", "0400", "1700", date(2026, 12, 1)),
        CalendarDay(date(2026, 11, 30), "09:30", "16:00", "0400", "2000", date(2026, 12, 2)),
    ]


def test_days_of_always_are_all_days() -> None:
    assert ALWAYS.days(date(2026, 11, 28), date(2026, 11, 29)) == [
        CalendarDay(date(2026, 11, 28), "00:00", "23:59", "0000", "2359", date(2026, 11, 30)),
        CalendarDay(date(2026, 11, 29), "00:00", "23:59", "0000", "2359", date(2026, 12, 1)),
    ]


def test_days_are_clipped_to_what_is_known() -> None:
    rows = NEW_YORK.days(date(1970, 1, 1), date(2099, 12, 31))
    assert (rows[0].date, rows[-1].date) == (date(2020, 1, 2), date(2031, 12, 31))
    assert rows[-1].settlement_date == date(2032, 1, 2)
    assert NEW_YORK.days(date(2026, 2, 1), date(2026, 1, 1)) == []


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [
        ("2026-11-23", 0, "2026-11-23"),
        ("2026-11-22", 0, "2026-11-23"),
        ("2026-11-25", 1, "2026-11-27"),
        ("2026-11-22", 1, "2026-11-23"),
        ("2026-12-31", 2, "2027-01-05"),
    ],
)
def test_business_days(day: str, days: int, expected: str) -> None:
    assert NEW_YORK.add_business_days(date.fromisoformat(day), days) == date.fromisoformat(expected)


def test_the_settlement_cycle_is_the_configured_one() -> None:
    calendar = calendar_for("XNYS", 1)
    assert calendar.days(date(2026, 11, 23), date(2026, 11, 23))[0].settlement_date == date(
        2026, 11, 24
    )


def test_the_end_of_the_rows_is_said() -> None:
    with pytest.raises(CalendarEnded, match="XNYS"):
        NEW_YORK.next_open(utc("2031-12-31 22:00"))


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(InputError, match="always or XNYS"):
        calendar_for("XLON")


# ---------------------------------------------------------------- sessions


class Partition:
    """A matching partition as far as sessions go: what it was told last."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.last_date = ""
        self.open = False
        self.told: list[OpenSession | CloseSession] = []

    def tick(self, now_us: int) -> list[OpenSession | CloseSession]:
        commands = session_commands(self.calendar, self.last_date, self.open, now_us)
        for command in commands:
            assert self.open is isinstance(command, CloseSession)
            self.last_date, self.open = command.session_date, isinstance(command, OpenSession)
        self.told += commands
        return commands


def test_a_week_in_new_york_opens_and_closes_each_session_once() -> None:
    venue = Partition(NEW_YORK)
    start = utc("2026-11-22 00:00")
    for minute in range(0, 7 * 24 * 60, 7):
        venue.tick(start + minute * 60_000_000)
    dates = ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27"]
    assert venue.told == [make(day) for day in dates for make in (OpenSession, CloseSession)]


def test_always_rolls_at_midnight_without_a_pause() -> None:
    venue = Partition(ALWAYS)
    assert venue.tick(utc("2026-11-23 10:00")) == [OpenSession("2026-11-23")]
    assert venue.tick(utc("2026-11-23 23:59:59")) == []
    assert venue.tick(utc("2026-11-24 00:00")) == [
        CloseSession("2026-11-23"),
        OpenSession("2026-11-24"),
    ]


def test_a_clock_that_jumps_back_fires_nothing_twice() -> None:
    venue = Partition(NEW_YORK)
    venue.tick(utc("2026-11-23 15:00"))
    assert venue.tick(utc("2026-11-23 12:00")) == []  # before the open: the session stays open
    assert venue.tick(utc("2026-11-20 15:00")) == []
    assert venue.tick(utc("2026-11-23 21:00")) == [CloseSession("2026-11-23")]
    assert venue.tick(utc("2026-11-23 15:00")) == []  # inside the session that has closed
    assert venue.tick(utc("2026-11-20 15:00")) == []  # and inside one before it
    assert venue.tick(utc("2026-11-23 21:00")) == []


def test_a_clock_that_jumps_ahead_skips_no_close() -> None:
    venue = Partition(NEW_YORK)
    venue.tick(utc("2026-11-23 15:00"))
    assert venue.tick(utc("2026-12-01 15:00")) == [
        CloseSession("2026-11-23"),
        OpenSession("2026-12-01"),
    ]
    assert venue.tick(utc("2027-01-03 15:00")) == [CloseSession("2026-12-01")]


def test_a_session_the_calendar_does_not_know_is_closed() -> None:
    venue = Partition(NEW_YORK)
    venue.last_date, venue.open = "2026-11-22", True  # was `always` on a Sunday
    assert venue.tick(utc("2026-11-22 15:00")) == [CloseSession("2026-11-22")]


@pytest.mark.parametrize("calendar", [NEW_YORK, ALWAYS], ids=["XNYS", "always"])
def test_wherever_the_clock_goes_the_sessions_alternate_and_rise(calendar: Calendar) -> None:
    venue = Partition(calendar)
    at = to_datetime(utc("2026-11-01 00:00"))
    hours = [5, 9, -7, 30, -31, 200, -3, 1, 1, 1, -24, 48, 7, 7, -2, 90, 500, -499, 3, 600]
    for step in hours * 3:
        at += timedelta(hours=step)
        venue.tick(from_datetime(at))
    opened = [told.session_date for told in venue.told if isinstance(told, OpenSession)]
    closed = [told.session_date for told in venue.told if isinstance(told, CloseSession)]
    assert opened == sorted(set(opened))
    assert closed == opened[: len(closed)]
    assert len(opened) - len(closed) in (0, 1)
