"""The readers' view of books: replicas fed by published events."""

import pytest

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.core.terms import BUY, SELL
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
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


def _listing(symbol: str) -> list[Message]:
    return [DefineInstrument(symbol, 100, SHARE), OpenSession(FIRST_DAY)]


def test_a_view_shows_what_was_published_once_however_often_it_comes() -> None:
    stage = MatchingStage("matching-0")
    view: BooksView = BooksView()
    query: BooksQuery = view
    replica = view.follow("matching-0", None, 0, 0, epoch=3)
    first = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    second = _published(stage, limit("s", SELL, 2, 100), limit("s2", SELL, 2, 101))
    view.receive(first)
    view.receive(first + second)
    view.receive(second)
    assert replica.dump() == stage.dump()
    stage.epoch = 3
    assert query.snapshot(SYMBOL, 10) == stage.snapshot(SYMBOL, 10)
    assert query.snapshot("NOPE", 10) is None


def test_a_view_starts_from_a_dump() -> None:
    stage = MatchingStage("matching-0")
    entries = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    state, seq, ts_us = stage.dump(), stage.seq, stage.ts_us
    entries += _published(stage, limit("s", SELL, 2, 100))
    view = BooksView()
    replica = view.follow("matching-0", state, seq, ts_us)
    view.receive(entries)
    assert replica.seq == stage.seq
    assert replica.dump() == stage.dump()


def test_a_gap_is_a_broken_invariant() -> None:
    stage = MatchingStage("matching-0")
    view = BooksView()
    view.follow("matching-0", None, 0, 0)
    entries = _published(stage, *_listing(SYMBOL), limit("b", BUY, 5, 100))
    with pytest.raises(InvariantError, match="event 2"):
        view.receive(entries[1:])


def test_partitions_stand_side_by_side() -> None:
    stages = [MatchingStage("matching-0"), MatchingStage("matching-1")]
    view = BooksView()
    assert not view.session_open()
    for stage in stages:
        view.follow(stage.shard, None, 0, 0)
    view.receive(_published(stages[0], *_listing("AAA")))
    assert not view.session_open()
    view.receive(_published(stages[1], *_listing("BBB"), limit("b", BUY, 5, 100, symbol="BBB")))
    assert view.session_open()
    found = view.snapshot("BBB", 1)
    assert found is not None
    assert found.bids == ((100 * 10_000, 5 * SHARE, 1),)
    assert view.snapshot("AAA", 1) is not None
    view.receive(_published(stages[0], CloseSession(FIRST_DAY)))
    assert not view.session_open()


def test_entries_of_other_streams_are_passed_over() -> None:
    other = MatchingStage("matching-7")
    view = BooksView()
    view.follow("matching-0", None, 0, 0)
    view.receive(_published(other, *_listing(SYMBOL)))
    assert view.snapshot(SYMBOL, 1) is None
