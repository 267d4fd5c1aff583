"""The hash chain: what it is over, and that it finds every change."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from nexustrade.core.codec import encode
from nexustrade.kernel.chain import GENESIS, ChainCheck, link, seal
from nexustrade.kernel.ports import StoredEvent
from nexustrade.orders.messages import CashAdjusted

T0_US = 1_795_000_000_000_000


def stream(length: int, shard: str = "orders-0") -> list[StoredEvent]:
    rows: list[StoredEvent] = []
    last = GENESIS
    for seq in range(1, length + 1):
        rows.append(seal(last, shard, seq, T0_US + seq, "c", CashAdjusted("acc", seq)))
        last = rows[-1].hash
    return rows


def problems(rows: list[StoredEvent]) -> list[str]:
    check = ChainCheck("orders-0")
    return [f"{row.seq}: {problem}" for row in rows for problem in check.problems(row)]


def test_a_link_is_over_everything_that_makes_an_event() -> None:
    text = b"\x01" * 32 + b"orders-0\x1f7\x1f99\x1fCashAdjusted\x1fcause\x1f{}"
    linked = link(b"\x01" * 32, "orders-0", 7, 99, "CashAdjusted", "cause", b"{}")
    assert linked == sha256(text).digest()


def test_a_sealed_event_is_encoded_and_linked() -> None:
    event = CashAdjusted("acc", 5)
    payload = encode(event)
    linked = link(GENESIS, "orders-0", 1, T0_US, "CashAdjusted", "c", payload)
    sealed = seal(GENESIS, "orders-0", 1, T0_US, "c", event)
    row = ("orders-0", 1, T0_US, "CashAdjusted", "c", payload, GENESIS, linked, event)
    assert sealed == StoredEvent(*row)


def test_a_whole_stream_has_no_problems() -> None:
    rows = stream(5)
    assert problems(rows) == []
    check = ChainCheck("orders-0")
    for row in rows:
        check.problems(row)
    assert check.head_problems(5, T0_US + 5, rows[-1].hash) == []
    assert check.head_problems(6, T0_US + 6, rows[-1].hash)
    assert check.head_problems(5, T0_US + 6, rows[-1].hash)
    assert check.head_problems(5, T0_US + 5, GENESIS)


UNMATCHED = "its content does not match its hash"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda row: row._replace(payload=b"{}"), [f"3: {UNMATCHED}"]),
        (lambda row: row._replace(cause="d"), [f"3: {UNMATCHED}"]),
        (lambda row: row._replace(event_type="X"), [f"3: {UNMATCHED}"]),
        (lambda row: row._replace(hash=bytes(32)), [f"3: {UNMATCHED}", "4: is not linked"]),
        (
            lambda row: row._replace(prev_hash=bytes(32)),
            ["3: is not linked", f"3: {UNMATCHED}"],
        ),
        (lambda row: row._replace(shard="orders-1"), ["3: is in stream", f"3: {UNMATCHED}"]),
        (lambda row: row._replace(ts_us=T0_US + 2), ["3: its time", f"3: {UNMATCHED}"]),
        (
            lambda row: row._replace(seq=9),
            ["9: follows event 2", f"9: {UNMATCHED}", "4: follows event 9"],
        ),
    ],
)
def test_every_change_of_a_row_is_found(
    change: Callable[[StoredEvent], StoredEvent], found: list[str]
) -> None:
    rows = stream(5)
    rows[2] = change(rows[2])
    told = problems(rows)
    assert len(told) == len(found)
    for problem, start in zip(told, found, strict=True):
        assert problem.startswith(start)


def test_a_missing_an_added_and_a_moved_row_are_found() -> None:
    rows = stream(5)
    assert problems([rows[0], *rows[2:]])
    assert problems([*rows[:3], rows[2], *rows[3:]])
    assert problems([rows[0], rows[2], rows[1], *rows[3:]])
    assert problems(rows[1:])


def test_a_row_forged_with_a_hash_of_its_own_is_found_at_the_next() -> None:
    rows = stream(5)
    rows[2] = seal(rows[1].hash, "orders-0", 3, T0_US + 3, "c", CashAdjusted("acc", 999))
    assert problems(rows) == ["4: is not linked to the event before it"]
