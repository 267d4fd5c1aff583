"""When the venue trades and settles. Owns the two calendars and the rules that move sessions on.

`always` trades around the clock in sessions of one UTC day that roll over at midnight. `XNYS` keeps
the hours of the New York Stock Exchange; its holidays come as rows with the package (xnys.toml).
Everything here is a pure function of the instant it is asked about.
"""

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, cast
from zoneinfo import ZoneInfo

from nexustrade.core.errors import InputError, NexusError, check
from nexustrade.core.terms import CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL
from nexustrade.core.time import US_PER_S, from_datetime, to_datetime
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    CloseSession,
    OpenSession,
)
from nexustrade.orders.messages import SettleDay

ALWAYS: Final = "always"
XNYS: Final = "XNYS"

_DAY: Final = timedelta(days=1)
_DAY_US: Final = 86_400 * US_PER_S
_SATURDAY: Final = 5
_NEW_YORK: Final = "America/New_York"
_ROWS: Final = Path(__file__).with_name("xnys.toml")
_GAP_DAYS_MAX: Final = 31
"""Longest stretch without a session that is searched; New York's longest was ten days."""
_SETTLED_MAX: Final = 31
"""Most days settled at once; those that are left follow at the next tick."""
_NOT_BEGUN: Final = ""
_PHASES: Final = (_NOT_BEGUN, OPENING_CALL, CONTINUOUS, CLOSING_CALL, CLOSED)
"""How far a session has come, in order."""

SessionCommand = BeginOpeningCall | OpenSession | BeginClosingCall | CloseSession


Date = date
"""The type, where `date` is a field's name."""


class CalendarEnded(NexusError):
    """The calendar's rows end before the day asked for: a newer version of the package has more."""


class CalendarDay(NamedTuple):
    """One session as the calendar answer shows it, in the calendar's own time zone.

    `open` and `close` are `HH:MM`; `session_open` and `session_close` are `HHMM` and take in the
    pre-market and after hours; `settlement_date` is when a trade of that day settles.
    """

    date: Date
    open: str
    close: str
    session_open: str
    session_close: str
    settlement_date: Date


class Session(NamedTuple):
    """One trading day: it is open from `open_us` on and closed from `close_us` on."""

    date: Date
    open_us: int
    close_us: int


class Calendar:
    """Sessions in time. `zone` is the zone of its dates and hours."""

    def __init__(self, name: str, zone: ZoneInfo, settlement_cycle_days: int) -> None:
        self.name = name
        self.zone = zone
        self.settlement_cycle_days = settlement_cycle_days

    def has_session(self, day: date) -> bool:
        """Whether the date is a business day."""
        raise NotImplementedError

    def session(self, day: date) -> Session | None:
        """The session of a date, or None when there is none."""
        raise NotImplementedError

    def _span(self) -> tuple[date, date]:
        """The first and the last date the calendar knows."""
        raise NotImplementedError

    def _hours(self, day: date) -> tuple[str, str, str, str]:
        """`open`, `close`, `session_open` and `session_close` of a date with a session."""
        raise NotImplementedError

    def local_date(self, now_us: int) -> date:
        """The date of an instant where the calendar is kept."""
        return to_datetime(now_us).astimezone(self.zone).date()

    def session_of(self, now_us: int) -> date | None:
        """The date of the session that is open at that instant, or None."""
        session = self.session(self.local_date(now_us))
        if session is None or not session.open_us <= now_us < session.close_us:
            return None
        return session.date

    def is_open(self, now_us: int) -> bool:
        """Whether a session is open at that instant."""
        return self.session_of(now_us) is not None

    def next_open(self, now_us: int) -> int:
        """When the next session opens, strictly later, in microseconds; `CalendarEnded`."""
        session = self._first_session(self.local_date(now_us))
        if session.open_us <= now_us:
            session = self._first_session(session.date + _DAY)
        return session.open_us

    def next_close(self, now_us: int) -> int:
        """When the open session, else the next one, closes, strictly later; `CalendarEnded`."""
        session = self._first_session(self.local_date(now_us))
        if session.close_us <= now_us:
            session = self._first_session(session.date + _DAY)
        return session.close_us

    def _first_session(self, day: date) -> Session:
        """The first session on or after a date."""
        session = self.session(self._business_day(day))
        check(session is not None, f"{self.name}: {day} is a business day without a session")
        return cast("Session", session)

    def _business_day(self, day: date) -> date:
        """The date, or the first business day after it."""
        for _ in range(_GAP_DAYS_MAX):
            if self.has_session(day):
                return day
            day += _DAY
        raise CalendarEnded(f"the calendar {self.name} has no session around {day}")

    def add_business_days(self, day: date, days: int) -> date:
        """The date `days` sessions after a date; 0 gives the date or the next session."""
        if days == 0:
            return self._business_day(day)
        for _ in range(days):
            day = self._business_day(day + _DAY)
        return day

    def days(self, start: date, end: date) -> list[CalendarDay]:
        """The sessions from `start` to `end`, both inclusive, as far as the calendar goes."""
        first, last = self._span()
        day, end = max(start, first), min(end, last)
        rows: list[CalendarDay] = []
        while day <= end:
            if self.has_session(day):
                rows.append(CalendarDay(day, *self._hours(day), self.settlement_date(day)))
            day += _DAY
        return rows

    def settlement_date(self, day: date) -> date:
        """When a trade of a session settles: T+n.

        Past the last row weekends alone are skipped, as holidays are not known yet.
        """
        last = self._span()[1]
        for _ in range(self.settlement_cycle_days):
            day += _DAY
            while day.weekday() >= _SATURDAY if day > last else not self.has_session(day):
                day += _DAY
        return day


class AlwaysCalendar(Calendar):
    """Around the clock: every UTC day is a session and a business day."""

    def __init__(self, settlement_cycle_days: int = 2) -> None:
        super().__init__(ALWAYS, ZoneInfo("UTC"), settlement_cycle_days)

    def has_session(self, day: date) -> bool:
        del day
        return True

    def session(self, day: date) -> Session:
        start = from_datetime(datetime.combine(day, time(), UTC))
        return Session(day, start, start + _DAY_US)

    def _span(self) -> tuple[date, date]:
        return date(1970, 1, 1), date(2099, 12, 31)

    def _hours(self, day: date) -> tuple[str, str, str, str]:
        del day
        # The wire's hours end at 23:59: clients read them with %H:%M, which knows no 24:00.
        return "00:00", "23:59", "0000", "2359"

    def settlement_date(self, day: date) -> date:
        return day + self.settlement_cycle_days * _DAY


class ExchangeCalendar(Calendar):
    """The New York Stock Exchange by its rows."""

    def __init__(self, settlement_cycle_days: int = 2) -> None:
        super().__init__(XNYS, ZoneInfo(_NEW_YORK), settlement_cycle_days)
        rows = tomllib.loads(_ROWS.read_text())
        self._first: date = rows["first"]
        self._last: date = rows["last"]
        self._holidays = frozenset(rows["holidays"])
        self._early_closes = frozenset(rows["early_closes"])

    def has_session(self, day: date) -> bool:
        if not self._first <= day <= self._last:
            return False
        return day.weekday() < _SATURDAY and day not in self._holidays

    def session(self, day: date) -> Session | None:
        if not self.has_session(day):
            return None
        close = time(13, 0) if day in self._early_closes else time(16, 0)
        return Session(day, self._at(day, time(9, 30)), self._at(day, close))

    def _at(self, day: date, at: time) -> int:
        return from_datetime(datetime.combine(day, at, self.zone))

    def _span(self) -> tuple[date, date]:
        return self._first, self._last

    def _hours(self, day: date) -> tuple[str, str, str, str]:
        if day in self._early_closes:
            return "09:30", "13:00", "0400", "1700"
        return "09:30", "16:00", "0400", "2000"


@lru_cache(maxsize=8)
def calendar_for(name: str, settlement_cycle_days: int = 2) -> Calendar:
    """The calendar named in the configuration: `always` or `XNYS`."""
    if name == ALWAYS:
        return AlwaysCalendar(settlement_cycle_days)
    if name == XNYS:
        return ExchangeCalendar(settlement_cycle_days)
    raise InputError("session", name, f"a session is {ALWAYS} or {XNYS}")


def session_commands(
    calendar: Calendar,
    last_date: str,
    phase: str,
    now_us: int,
    opening_call_us: int,
    closing_call_us: int,
) -> list[SessionCommand]:
    """What a matching partition must be told now. Call it on every tick.

    `last_date` is the date of the last session that the partition was told of ("" for none yet) and
    `phase` is how far that session has come: OPENING_CALL, CONTINUOUS, CLOSING_CALL, CLOSED. They
    are the only memory and only move forward, so a clock that jumps back starts nothing a second
    time, and one that jumps ahead ends the session that was on before it starts another. A call
    that is over is not made up for: a session whose call was missed opens without it, and a closing
    call gives way to the close. Orders that a call has collected get their auction, however late.
    A call of 0 microseconds is none.
    """
    commands: list[SessionCommand] = []
    if phase != CLOSED:
        session = calendar.session(date.fromisoformat(last_date))
        # A session the calendar does not know (it was changed) cannot end by it: it ends now.
        due = CLOSED
        if session is not None:
            due = _phase_at(session, now_us, opening_call_us, closing_call_us)
        commands += _steps(calendar, last_date, phase, due)
        if due != CLOSED:
            return commands
    session = calendar.session(calendar.local_date(now_us))
    if session is not None and session.date.isoformat() > last_date:
        due = _phase_at(session, now_us, opening_call_us, closing_call_us)
        if due != CLOSED:
            commands += _steps(calendar, session.date.isoformat(), _NOT_BEGUN, due)
    return commands


def _phase_at(session: Session, now_us: int, opening_call_us: int, closing_call_us: int) -> str:
    """How far the clock says that a session has come."""
    if now_us >= session.close_us:
        return CLOSED
    if now_us < session.open_us:
        return OPENING_CALL if now_us >= session.open_us - opening_call_us else _NOT_BEGUN
    return CLOSING_CALL if now_us >= session.close_us - closing_call_us else CONTINUOUS


def _steps(calendar: Calendar, day: str, phase: str, due: str) -> list[SessionCommand]:
    """The commands that bring a session from one phase to a later one; none to an earlier one."""
    at, to = _PHASES.index(phase), _PHASES.index(due)
    if to <= at:
        return []
    settle_date = ""
    if calendar.settlement_cycle_days:
        settle_date = calendar.settlement_date(date.fromisoformat(day)).isoformat()
    if due == OPENING_CALL:
        return [BeginOpeningCall(day, settle_date)]
    commands: list[SessionCommand] = []
    if at < _PHASES.index(CONTINUOUS):
        commands.append(OpenSession(day, settle_date))
    if due == CLOSING_CALL:
        commands.append(BeginClosingCall(day))
    elif due == CLOSED:
        commands.append(CloseSession(day))
    return commands


def settlement_commands(calendar: Calendar, last_settled_date: str, now_us: int) -> list[SettleDay]:
    """The business days to settle now: those that have closed since the last one settled.

    `last_settled_date` is the date of the last `SettleDay` that was carried out; before the first
    ("") the last day that has closed is enough, for it settles all before it. Past the calendar's
    rows nothing settles: there are no sessions there either. Call it on every tick, after the
    sessions.
    """
    last = _last_closed(calendar, now_us)
    if last is None:
        return []
    day = date.fromisoformat(last_settled_date) + _DAY if last_settled_date else last
    commands: list[SettleDay] = []
    while day <= last and len(commands) < _SETTLED_MAX:
        if calendar.has_session(day):
            commands.append(SettleDay(day.isoformat()))
        day += _DAY
    return commands


def _last_closed(calendar: Calendar, now_us: int) -> date | None:
    """The last date whose session has closed; None when there was none for long."""
    day = calendar.local_date(now_us)
    for _ in range(_GAP_DAYS_MAX):
        session = calendar.session(day)
        if session is not None and session.close_us <= now_us:
            return day
        day -= _DAY
    return None
