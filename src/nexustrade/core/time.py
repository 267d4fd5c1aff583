"""Time as integers: microseconds since 1970-01-01 UTC. Clocks are read by the `Clock` port."""

from datetime import UTC, datetime, timedelta
from typing import Final

US_PER_S: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(us: int) -> datetime:
    """The instant as an aware datetime in UTC, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=us)


def from_datetime(at: datetime) -> int:
    """Microseconds since the epoch; a datetime without a zone is read as UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(microseconds=1)


def rfc3339(us: int) -> str:
    """The instant as RFC 3339 text with six decimals and `Z`."""
    # isoformat is four times as fast as strftime, and pads every year to four digits.
    return to_datetime(us).isoformat(timespec="microseconds")[:-6] + "Z"
