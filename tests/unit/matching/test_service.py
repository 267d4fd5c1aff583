"""The readers' view of books: replicas fed by published events."""

import pytest

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.core.terms import BUY, CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL, SELL
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    BeginClosingCall,
    BeginOpeningCall,
    BooksQuery,
    CloseSession,
    DefineInstrument,
    OpenSession,
)
from nexustrade.matching.service import BooksView
from tests.unit.matching.given import FIRST_DAY, SHARE, SYMBOL, limit


def _published(stage: MatchingStage, *messages: Message) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for message in messages:
        entries += [
            LogEntry(stage.shard, one.seq, one.ts_us, one.cause, one.event)
            for one in stage.take(message, stage.ts_us + 10, "c")
        ]
    return entries


def _owner(symbol: str) -> str:
    return "matching-1" if symbol == "BBB" else "matching-0"


def _listing(symbol: str) -> list[Message]:
    return [DefineInstrument(symbol, 100, SHARE), OpenSession(FIRST_DAY)]


async def test_a_view_shows_what_was_published_once_however_often_it_comes() -> None:
    stage, replica = MatchingStage("matching-0"), MatchingStage("matching-0")
    stage.epoch = replica.epoch = 3
    view = BooksView([replica], _owner)
    query: BooksQuery = view
    first = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    second = _published(stage, limit("s", SELL, 2, 100), limit("s2", SELL, 2, 101))
    await view.receive(first)
    await view.receive(first + second)
    await view.receive(second)
    assert replica.dump() == stage.dump()
    assert query.snapshot(SYMBOL, 10) == stage.snapshot(SYMBOL, 10)
    assert query.snapshot("NOPE", 10) is None


async def test_a_view_goes_on_from_a_loaded_replica() -> None:
    stage, replica = MatchingStage("matching-0"), MatchingStage("matching-0")
    entries = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    replica.load(stage.dump(), stage.seq, stage.ts_us)
    entries += _published(stage, limit("s", SELL, 2, 100))
    await BooksView([replica], _owner).receive(entries)
    assert replica.seq == stage.seq
    assert replica.dump() == stage.dump()


async def test_a_gap_is_a_broken_invariant() -> None:
    stage = MatchingStage("matching-0")
    view = BooksView([MatchingStage("matching-0")], _owner)
    entries = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    with pytest.raises(InvariantError, match="event 2"):
        await view.receive(entries[1:])


async def test_partitions_stand_side_by_side() -> None:
    stages = [MatchingStage("matching-0"), MatchingStage("matching-1")]
    view = BooksView([MatchingStage(stage.shard) for stage in stages], _owner)
    assert not view.session_open()
    # Every partition lists every symbol, and only one of them trades it.
    await view.receive(_published(stages[0], DefineInstrument("BBB", 100, SHARE), *_listing("AAA")))
    assert not view.session_open()
    assert view.session() == ("", CLOSED)
    await view.receive(
        _published(stages[1], *_listing("BBB"), limit("b", BUY, 5, 100, symbol="BBB"))
    )
    assert view.session_open()
    assert view.session() == (FIRST_DAY, CONTINUOUS)
    found = view.snapshot("BBB", 1)
    assert found is not None
    assert found.bids == ((100 * 10_000, 5 * SHARE, 1),)
    assert view.snapshot("AAA", 1) is not None
    await view.receive(_published(stages[0], CloseSession(FIRST_DAY)))
    assert not view.session_open()


async def test_entries_of_other_streams_are_passed_over() -> None:
    view = BooksView([MatchingStage("matching-0")], _owner)
    await view.receive(_published(MatchingStage("matching-7"), *_listing(SYMBOL)))
    assert view.snapshot(SYMBOL, 1) is None


async def test_the_partition_that_was_told_least_says_how_far_the_session_is() -> None:
    ahead, behind = MatchingStage("matching-0"), MatchingStage("matching-1")
    view = BooksView([MatchingStage(stage.shard) for stage in (ahead, behind)], _owner)
    steps = [
        (BeginOpeningCall(FIRST_DAY), OPENING_CALL),
        (OpenSession(FIRST_DAY), CONTINUOUS),
        (BeginClosingCall(FIRST_DAY), CLOSING_CALL),
        (CloseSession(FIRST_DAY), CLOSED),
    ]
    told = ("", CLOSED)
    for command, phase in steps:
        await view.receive(_published(ahead, command))
        assert view.session() == told
        told = (FIRST_DAY, phase)
        await view.receive(_published(behind, command))
        assert view.session() == told
        assert view.session_open() is (phase == CONTINUOUS)
