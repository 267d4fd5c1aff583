"""Time: exact to the microsecond, whatever the zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.time import US_PER_S, from_datetime, rfc3339, to_datetime


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-14, 14))  # noqa: DTZ001
def test_round_trip_in_any_zone(at: datetime, hours: int) -> None:
    zoned = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert to_datetime(from_datetime(zoned)) == zoned
    assert to_datetime(from_datetime(at)) == at.replace(tzinfo=UTC)


@given(st.integers(-(10**16), 10**16))
def test_text_is_exact_and_sorts_like_time(us: int) -> None:
    text = rfc3339(us)
    assert len(text) == len("2026-01-02T03:04:05.000006Z")
    assert from_datetime(datetime.fromisoformat(text)) == us
    assert text == to_datetime(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    assert rfc3339(us) < rfc3339(us + 1)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_767_323_045 * US_PER_S + 6, "2026-01-02T03:04:05.000006Z"),
    ],
)
def test_known_instants(us: int, text: str) -> None:
    assert rfc3339(us) == text
