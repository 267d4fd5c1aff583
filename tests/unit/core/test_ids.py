"""Identifiers: well-formed, in the order of time, the same for the same key."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.ids import derived_uuid, uuid7, uuid7_time_us

INSTANTS = st.integers(0, 2**48 * 1000 - 1)
ENTROPY = st.integers(0, 2**80 - 1)


@given(INSTANTS, ENTROPY)
def test_a_version_7_uuid_holds_its_time(at_us: int, entropy: int) -> None:
    text = uuid7(at_us, entropy)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert uuid7_time_us(text) == at_us // 1000 * 1000


@given(st.tuples(INSTANTS, ENTROPY), st.tuples(INSTANTS, ENTROPY))
def test_later_milliseconds_sort_later(one: tuple[int, int], other: tuple[int, int]) -> None:
    if one[0] // 1000 < other[0] // 1000:
        assert uuid7(*one) < uuid7(*other)


@given(INSTANTS, ENTROPY, st.integers(0, 73))
def test_each_of_74_random_bits_counts(at_us: int, entropy: int, bit: int) -> None:
    assert uuid7(at_us, entropy) != uuid7(at_us, entropy ^ (1 << bit))


@given(st.lists(st.text(max_size=10), min_size=1, max_size=4))
def test_a_derived_uuid_is_a_version_8_uuid(parts: list[str]) -> None:
    text = derived_uuid(*parts)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert derived_uuid(*parts) == text


def test_derived_uuids_never_change() -> None:
    assert derived_uuid("account", "demo") == "009b0b47-040e-871c-a4c8-4a61f6881744"
    assert derived_uuid("a", "b") != derived_uuid("ab")
    assert derived_uuid("exec", 7) == derived_uuid("exec", "7")
