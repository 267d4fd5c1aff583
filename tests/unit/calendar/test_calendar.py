"""The calendars: hours, business days, settlement dates."""

from datetime import UTC, date, datetime

import pytest

from nexustrade.core.errors import InputError
from nexustrade.core.time import from_datetime
from nexustrade.kernel.calendar import (
    AlwaysCalendar,
    CalendarDay,
    CalendarEnded,
    ExchangeCalendar,
    calendar_for,
)

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


@pytest.mark.parametrize(
    ("day", "settles"),
    [
        ("2026-11-23", "2026-11-25"),
        ("2026-11-25", "2026-11-30"),  # Thanksgiving and a weekend between
        ("2031-12-31", "2032-01-02"),  # past the rows weekends alone are known
    ],
)
def test_the_date_on_which_a_trade_settles(day: str, settles: str) -> None:
    assert NEW_YORK.settlement_date(date.fromisoformat(day)) == date.fromisoformat(settles)


def test_the_end_of_the_rows_is_said() -> None:
    with pytest.raises(CalendarEnded, match="XNYS"):
        NEW_YORK.next_open(utc("2031-12-31 22:00"))


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(InputError, match="always or XNYS"):
        calendar_for("XLON")
