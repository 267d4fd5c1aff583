"""Writes src/nexustrade/kernel/xnys.toml: the New York sessions as rows the package ships.

exchange-calendars (a development dependency) knows the holidays; the product does not need it, nor
pandas. Run it again when the exchange announces a change or the years run out:

    python tools/make_calendar.py
"""

import sys
from collections.abc import Iterable
from datetime import date, time, timedelta
from pathlib import Path

import exchange_calendars  # type: ignore[import-untyped]

FIRST = date(2020, 1, 1)
LAST = date(2031, 12, 31)
REGULAR_CLOSE = time(16, 0)
EARLY_CLOSE = time(13, 0)
SATURDAY = 5
OUT = Path(__file__).parent.parent / "src" / "nexustrade" / "kernel" / "xnys.toml"


def sessions() -> dict[date, time]:
    """Each session with its close in New York time."""
    calendar = exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST))
    closes = calendar.schedule["close"].dt.tz_convert("America/New_York")
    return {session.date(): close.time() for session, close in closes.items()}


def rows(name: str, dates: Iterable[date]) -> str:
    """A TOML array of dates, one year a line."""
    years: dict[int, list[str]] = {}
    for day in dates:
        years.setdefault(day.year, []).append(day.isoformat())
    lines = [f"  {', '.join(days)}," for days in years.values()]
    return "\n".join([f"{name} = [", *lines, "]"])


def main() -> int:
    """Write the file; 1 when a session has hours that the rows cannot express."""
    closes = sessions()
    odd = {day: at for day, at in closes.items() if at not in (REGULAR_CLOSE, EARLY_CLOSE)}
    if odd:
        print(f"sessions with unusual hours: {odd}", file=sys.stderr)
        return 1
    every = (FIRST + timedelta(days=at) for at in range((LAST - FIRST).days + 1))
    holidays = [day for day in every if day.weekday() < SATURDAY and day not in closes]
    early = [day for day, at in closes.items() if at == EARLY_CLOSE]
    OUT.write_text(
        "\n".join(
            [
                "# New York Stock Exchange: weekdays without a session, and sessions that close at",
                "# 13:00. All others are 09:30 to 16:00, New York time.",
                "# Written by tools/make_calendar.py; do not edit.",
                f"first = {FIRST}",
                f"last = {LAST}",
                rows("holidays", holidays),
                rows("early_closes", early),
                "",
            ]
        )
    )
    print(
        f"{OUT.name}: {len(closes)} sessions, {len(holidays)} holidays, {len(early)} early closes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
