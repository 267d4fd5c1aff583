"""The rules that move sessions on and settle days, wherever the clock goes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.terms import CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL
from nexustrade.core.time import US_PER_S, from_datetime, to_datetime
from nexustrade.kernel.calendar import (
    AlwaysCalendar,
    Calendar,
    ExchangeCalendar,
    SessionCommand,
    session_commands,
    settlement_commands,
)
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    OpenSession,
)
from nexustrade.orders.messages import SettleDay

NEW_YORK = ExchangeCalendar()
ALWAYS = AlwaysCalendar()
OPENING_US = 120 * US_PER_S
CLOSING_US = 60 * US_PER_S

AFTER = {
    BeginOpeningCall: OPENING_CALL,
    OpenSession: CONTINUOUS,
    BeginClosingCall: CLOSING_CALL,
    CloseSession: CLOSED,
}
RANKS = [OPENING_CALL, CONTINUOUS, CLOSING_CALL, CLOSED]


def utc(text: str) -> int:
    """Microseconds of `YYYY-MM-DD HH:MM[:SS]` in UTC."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


class Partition:
    """A matching partition as far as sessions go: what it was told last."""

    def __init__(self, calendar: Calendar, *, calls: bool = True) -> None:
        self.calendar = calendar
        self.calls = (OPENING_US, CLOSING_US) if calls else (0, 0)
        self.last_date = ""
        self.phase = CLOSED
        self.told: list[SessionCommand] = []

    def tick(self, now_us: int) -> list[SessionCommand]:
        commands = session_commands(self.calendar, self.last_date, self.phase, now_us, *self.calls)
        for command in commands:
            self.last_date, self.phase = command.session_date, AFTER[type(command)]
        self.told += commands
        return commands


def whole(day: str, settles: str) -> list[SessionCommand]:
    """What a session with both calls consists of."""
    return [
        BeginOpeningCall(day, settles),
        OpenSession(day, settles),
        BeginClosingCall(day),
        CloseSession(day),
    ]


def test_a_week_in_new_york_has_each_step_of_each_session_once() -> None:
    venue = Partition(NEW_YORK)
    start = utc("2026-11-22 00:00")
    for minute in range(7 * 24 * 60):
        venue.tick(start + minute * 60 * US_PER_S)
    assert venue.told == [
        *whole("2026-11-23", "2026-11-25"),
        *whole("2026-11-24", "2026-11-27"),
        *whole("2026-11-25", "2026-11-30"),
        *whole("2026-11-27", "2026-12-01"),
    ]


def test_always_rolls_at_midnight_without_a_pause() -> None:
    venue = Partition(ALWAYS, calls=False)
    assert venue.tick(utc("2026-11-23 10:00")) == [OpenSession("2026-11-23", "2026-11-25")]
    assert venue.tick(utc("2026-11-23 23:59:59")) == []
    assert venue.tick(utc("2026-11-24 00:00")) == [
        CloseSession("2026-11-23"),
        OpenSession("2026-11-24", "2026-11-26"),
    ]


DAY = "2026-11-23"  # a Monday: 14:30 to 21:00 UTC
OPEN = OpenSession(DAY, "2026-11-25")
NEXT = OpenSession("2026-11-24", "2026-11-27")


@pytest.mark.parametrize(
    ("last_date", "phase", "now", "expected"),
    [
        # A venue that knows of no session yet.
        ("", CLOSED, f"{DAY} 14:27:59", []),
        ("", CLOSED, f"{DAY} 14:28", [BeginOpeningCall(DAY, "2026-11-25")]),
        ("", CLOSED, f"{DAY} 14:30", [OPEN]),
        ("", CLOSED, f"{DAY} 20:58:59", [OPEN]),
        ("", CLOSED, f"{DAY} 20:59", [OPEN, BeginClosingCall(DAY)]),
        ("", CLOSED, f"{DAY} 21:00", []),
        ("", CLOSED, "2026-11-22 15:00", []),  # a Sunday
        # One session after the other.
        ("2026-11-20", CLOSED, f"{DAY} 14:28", [BeginOpeningCall(DAY, "2026-11-25")]),
        ("2026-11-20", CLOSED, f"{DAY} 15:00", [OPEN]),
        (DAY, OPENING_CALL, f"{DAY} 14:29:59", []),
        (DAY, OPENING_CALL, f"{DAY} 14:30", [OPEN]),
        (DAY, CONTINUOUS, f"{DAY} 20:58:59", []),
        (DAY, CONTINUOUS, f"{DAY} 20:59", [BeginClosingCall(DAY)]),
        (DAY, CLOSING_CALL, f"{DAY} 20:59:59", []),
        (DAY, CLOSING_CALL, f"{DAY} 21:00", [CloseSession(DAY)]),
        (DAY, CLOSED, f"{DAY} 21:00", []),
        # The clock jumps ahead.
        (DAY, OPENING_CALL, f"{DAY} 20:59", [OPEN, BeginClosingCall(DAY)]),
        (DAY, OPENING_CALL, f"{DAY} 21:00", [OPEN, CloseSession(DAY)]),
        (DAY, OPENING_CALL, "2026-11-24 15:00", [OPEN, CloseSession(DAY), NEXT]),
        (DAY, CONTINUOUS, f"{DAY} 21:00", [CloseSession(DAY)]),
        (DAY, CONTINUOUS, "2026-11-24 15:00", [CloseSession(DAY), NEXT]),
        (DAY, CLOSING_CALL, "2026-11-24 15:00", [CloseSession(DAY), NEXT]),
        (DAY, CLOSING_CALL, "2026-11-22 15:00", []),
        # The clock jumps back.
        (DAY, OPENING_CALL, f"{DAY} 10:00", []),
        (DAY, CONTINUOUS, f"{DAY} 14:28", []),
        (DAY, CONTINUOUS, "2026-11-20 15:00", []),
        (DAY, CLOSING_CALL, f"{DAY} 14:28", []),
        (DAY, CLOSED, f"{DAY} 15:00", []),
        (DAY, CLOSED, "2026-11-20 15:00", []),
        # A session the calendar does not know: it was `always` on a Sunday.
        ("2026-11-22", CONTINUOUS, "2026-11-22 15:00", [CloseSession("2026-11-22")]),
    ],
)
def test_new_york(last_date: str, phase: str, now: str, expected: list[SessionCommand]) -> None:
    at = utc(now)
    assert session_commands(NEW_YORK, last_date, phase, at, OPENING_US, CLOSING_US) == expected


@pytest.mark.parametrize(
    ("phase", "now", "expected"),
    [
        (CLOSED, f"{DAY} 14:29:59", []),
        (CLOSED, f"{DAY} 14:30", [OPEN]),
        (CONTINUOUS, f"{DAY} 20:59:59", []),
        (CONTINUOUS, f"{DAY} 21:00", [CloseSession(DAY)]),
        (OPENING_CALL, f"{DAY} 14:29", []),  # the call was configured when it began
        (CLOSING_CALL, f"{DAY} 20:59", []),
    ],
)
def test_without_calls(phase: str, now: str, expected: list[SessionCommand]) -> None:
    last_date = "2026-11-20" if phase == CLOSED else DAY
    assert session_commands(NEW_YORK, last_date, phase, utc(now), 0, 0) == expected


def test_a_cycle_of_no_days_settles_at_once() -> None:
    calendar = ExchangeCalendar(settlement_cycle_days=0)
    found = session_commands(calendar, "", CLOSED, utc(f"{DAY} 15:00"), 0, 0)
    assert found == [OpenSession(DAY, "")]


def test_the_last_sessions_of_the_calendar_are_sessions() -> None:
    venue = Partition(NEW_YORK)
    assert venue.tick(utc("2031-12-31 15:00")) == [OpenSession("2031-12-31", "2032-01-02")]
    assert venue.tick(utc("2031-12-31 22:00")) == [CloseSession("2031-12-31")]
    assert venue.tick(utc("2032-01-02 15:00")) == []


# Steps of the clock, in seconds: through calls, sessions, weekends and back again.
steps = st.lists(
    st.one_of(
        st.integers(-200, 200),
        st.integers(-90_000, 90_000),
        st.integers(-12 * 86_400, 30 * 86_400),
        st.just(86_400),
    ),
    max_size=30,
)
starts = st.sampled_from(
    [f"{DAY} {at}" for at in ("14:27:59", "14:29:30", "20:58:30", "20:59:59", "00:00")]
)


@pytest.mark.parametrize("calendar", [NEW_YORK, ALWAYS], ids=["XNYS", "always"])
@given(start=starts, steps=steps)
def test_wherever_the_clock_goes_sessions_only_move_forward(
    calendar: Calendar, start: str, steps: list[int]
) -> None:
    venue = Partition(calendar, calls=calendar is NEW_YORK)
    at = to_datetime(utc(start))
    for step in [0, *steps]:
        at += timedelta(seconds=step)
        venue.tick(from_datetime(at))
        assert venue.tick(from_datetime(at)) == []  # once told, nothing is due any more
    places = [(told.session_date, RANKS.index(AFTER[type(told)])) for told in venue.told]
    assert places == sorted(set(places))
    opened = [told.session_date for told in venue.told if isinstance(told, OpenSession)]
    closed = [told.session_date for told in venue.told if isinstance(told, CloseSession)]
    called = [told.session_date for told in venue.told if isinstance(told, BeginOpeningCall)]
    assert closed == opened[: len(closed)]
    assert len(opened) - len(closed) in (0, 1)
    # Whatever a call has collected is uncrossed before its session ends.
    assert set(called) - set(opened) <= {venue.last_date}


@given(start=starts, steps=st.lists(st.integers(1, 3 * 86_400), max_size=30))
def test_a_clock_that_goes_forward_finds_the_session_that_the_calendar_has(
    start: str, steps: list[int]
) -> None:
    venue = Partition(NEW_YORK)
    now_us = utc(start)
    for step in [0, *steps]:
        now_us += step * US_PER_S
        venue.tick(now_us)
        is_open = venue.phase in (CONTINUOUS, CLOSING_CALL)
        assert is_open is NEW_YORK.is_open(now_us)
        if is_open:
            assert venue.last_date == str(NEW_YORK.session_of(now_us))


# ---------------------------------------------------------------- settlement


@pytest.mark.parametrize(
    ("last_settled_date", "now", "expected"),
    [
        # Before the first one, the last day that has closed is enough.
        ("", "2026-11-23 20:59:59", [SettleDay("2026-11-20")]),
        ("", "2026-11-23 21:00", [SettleDay("2026-11-23")]),
        ("2026-11-20", "2026-11-23 20:59:59", []),
        ("2026-11-20", "2026-11-23 21:00", [SettleDay("2026-11-23")]),
        ("2026-11-23", "2026-11-23 21:00", []),
        # Over Thanksgiving; the day after it closes at 18:00.
        ("2026-11-25", "2026-11-27 17:59:59", []),
        ("2026-11-25", "2026-11-27 18:00", [SettleDay("2026-11-27")]),
        # A venue that was down for two days.
        (
            "2026-11-20",
            "2026-11-24 22:00",
            [
                SettleDay("2026-11-23"),
                SettleDay("2026-11-24"),
            ],
        ),
        ("2026-11-23", "2026-11-20 22:00", []),  # the clock went back
        ("2028-02-28", "2028-02-29 22:00", [SettleDay("2028-02-29")]),
        ("2031-12-30", "2032-01-05 22:00", [SettleDay("2031-12-31")]),
        ("", "2040-01-05 22:00", []),  # far past the rows
    ],
)
def test_days_settle_when_they_close(
    last_settled_date: str, now: str, expected: list[SettleDay]
) -> None:
    assert settlement_commands(NEW_YORK, last_settled_date, utc(now)) == expected


def test_a_venue_that_was_down_for_long_settles_a_month_at_a_time() -> None:
    now_us = utc("2026-03-01 12:00")
    first = settlement_commands(ALWAYS, "2025-12-31", now_us)
    assert (len(first), first[-1].settle_date) == (31, "2026-01-31")
    second = settlement_commands(ALWAYS, "2026-01-31", now_us)
    assert (len(second), second[-1].settle_date) == (28, "2026-02-28")


def test_always_settles_at_midnight() -> None:
    assert settlement_commands(ALWAYS, "2026-11-22", utc("2026-11-23 23:59:59")) == []
    assert settlement_commands(ALWAYS, "2026-11-22", utc("2026-11-24 00:00")) == [
        SettleDay("2026-11-23")
    ]


@pytest.mark.parametrize("calendar", [NEW_YORK, ALWAYS], ids=["XNYS", "always"])
@given(start=starts, steps=steps)
def test_wherever_the_clock_goes_each_closed_day_settles_once(
    calendar: Calendar, start: str, steps: list[int]
) -> None:
    at = to_datetime(utc(start))
    told: list[str] = []
    furthest = 0
    for step in [0, *steps]:
        at += timedelta(seconds=step)
        furthest = max(furthest, from_datetime(at))
        while commands := settlement_commands(
            calendar, told[-1] if told else "", from_datetime(at)
        ):
            assert len(commands) <= 31
            told += [command.settle_date for command in commands]
    first = date.fromisoformat(told[0])
    days = [first + timedelta(days=n) for n in range((date.fromisoformat(told[-1]) - first).days)]
    assert told[:-1] == [str(day) for day in days if calendar.has_session(day)]
    after = calendar.session(date.fromisoformat(told[-1]) + timedelta(days=1))
    assert after is None or after.close_us > furthest
