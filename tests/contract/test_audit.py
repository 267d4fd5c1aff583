"""The audit of a stored stream: whoever changes anything in the database is found out."""

import psycopg
import pytest

from nexustrade.adapters.postgres import audit
from nexustrade.adapters.postgres.audit import Audited, shards, verify
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.errors import StoreUnavailable
from nexustrade.matching.messages import Traded
from nexustrade.orders.messages import OrderRejected, PositionAdjusted
from tests.contract.streams import Stream, cash, order

SHARD = "orders-0"


@pytest.fixture
async def stream(postgres_store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Seven events, looked at in batches of three."""
    monkeypatch.setattr(audit, "BATCH_LEN_MAX", 3)
    stream = await Stream.claimed(postgres_store, SHARD)
    rejected = OrderRejected("a", "o", "c\t\\", "AAPL", "BUY", "LIMIT", "R", "é", facts={"b": "1"})
    traded = Traded(1, "AAPL", "BUY", 1_000_001, 10**8, "m", "am", 0, "t", "at")
    moved = PositionAdjusted("acc-1", "AAPL", -150_000_001, 12_345)
    await stream.write(postgres_store, order(1), order(2), cash(-5, "x"), moved)
    await stream.write(postgres_store, rejected, traded, order(7))
    return stream


async def problems(dsn: str, known: tuple[int, bytes] | None = None) -> list[str]:
    return [problem async for problem in verify(dsn, SHARD, known)]


async def tamper(dsn: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        assert (await connection.execute(statement.encode())).rowcount > 0


async def test_a_whole_stream_has_no_problems(
    stream: Stream, postgres_store: PostgresEventStore, trading_dsn: str
) -> None:
    seen = Audited()
    assert [problem async for problem in verify(trading_dsn, SHARD, None, seen)] == []
    assert (seen.events, seen.last_seq, seen.last_hash) == (7, 7, stream.state.last_hash)
    await postgres_store.claim("matching-0")
    assert await shards(trading_dsn) == ["matching-0", SHARD]
    assert [problem async for problem in verify(trading_dsn, "matching-0")] == []
    assert [problem async for problem in verify(trading_dsn, "unknown")] == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("shard = 'orders-9'", "follows event 2"),
        ("seq = 99", "follows event 2"),
        ("event_time = event_time + interval '1 microsecond'", "does not match its hash"),
        ("event_time = event_time - interval '1 day'", "is not after"),
        ("event_type = 'CashBooked'", "does not match its hash"),
        ("symbol = 'MSFT'", "column symbol"),
        ("account_id = NULL", "column account_id"),
        ("order_id = 'x'", "column order_id"),
        ("group_id = ''", "column group_id"),
        ("cl_ord_id = 'x'", "column cl_ord_id"),
        ("side = 'BUY'", "column side"),
        ("price = 0.0001", "column price"),
        ("quantity = 0.00000001", "column quantity"),
        ("cause = 'x'", "does not match its hash"),
        ('payload = payload || \'{"amount": "5"}\'', "does not match its hash"),
        ("prev_hash = hash", "is not linked"),
        ("hash = prev_hash", "does not match its hash"),
    ],
)
async def test_any_changed_column_is_found(
    stream: Stream, trading_dsn: str, change: str, found: str
) -> None:
    await tamper(trading_dsn, f"UPDATE order_events SET {change} WHERE seq = 3")
    told = await problems(trading_dsn)
    assert any(found in problem for problem in told), told


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("price = price + 0.0001", "price"),
        ("price = NULL", "price"),
        ("quantity = -quantity", "quantity"),
        ("symbol = lower(symbol)", "symbol"),
    ],
)
@pytest.mark.parametrize("seq", [4, 6])
async def test_a_changed_figure_is_found(
    stream: Stream, trading_dsn: str, change: str, column: str, seq: int
) -> None:
    await tamper(trading_dsn, f"UPDATE order_events SET {change} WHERE seq = {seq}")
    assert await problems(trading_dsn) == [
        f"{SHARD} event {seq}: its column {column} is not its content's"
    ]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM order_events WHERE seq = 1", "event 2: follows event 0"),
        ("DELETE FROM order_events WHERE seq = 4", "event 5: follows event 3"),
        ("DELETE FROM order_events WHERE seq = 7", "the head says event 7, the last is 6"),
        ("DELETE FROM order_events", "the head says event 7, the last is 0"),
        ("UPDATE order_events SET seq = 8 WHERE seq = 7", "there are events after its head"),
        ("UPDATE order_events SET seq = 0 WHERE seq = 1", "event 0: follows event 0"),
        ("UPDATE es_shard SET last_seq = 6", "the head's"),
        ("UPDATE es_shard SET last_seq = 8", "the head says event 8"),
        ("UPDATE es_shard SET last_time = now()", "the head's time"),
        ("UPDATE es_shard SET last_hash = '\\x00'", "the head's hash"),
        ("DELETE FROM es_shard", "there is no head for its events"),
    ],
)
async def test_missing_and_moved_rows_and_a_wrong_head_are_found(
    stream: Stream, trading_dsn: str, statement: str, found: str
) -> None:
    await tamper(trading_dsn, statement)
    told = await problems(trading_dsn)
    assert any(found in problem for problem in told), told


async def test_two_swapped_rows_are_found(stream: Stream, trading_dsn: str) -> None:
    await tamper(trading_dsn, "UPDATE order_events SET seq = -1 WHERE seq = 2")
    await tamper(trading_dsn, "UPDATE order_events SET seq = 2 WHERE seq = 3")
    await tamper(trading_dsn, "UPDATE order_events SET seq = 3 WHERE seq = -1")
    assert await problems(trading_dsn)


async def test_a_cut_tail_is_found_with_a_hash_that_was_kept(
    stream: Stream, trading_dsn: str
) -> None:
    last, before = stream.written[6], stream.written[5]
    await tamper(trading_dsn, "DELETE FROM order_events WHERE seq = 7")
    cut = "last_seq = seq, last_time = event_time, last_hash = hash"
    await tamper(trading_dsn, f"UPDATE es_shard SET {cut} FROM order_events WHERE seq = 6")
    assert await problems(trading_dsn) == []
    assert await problems(trading_dsn, (before.seq, before.hash)) == []
    assert await problems(trading_dsn, (last.seq, last.hash)) == [
        f"{SHARD}: it no longer has event 7 with the hash that was kept"
    ]


async def test_appends_during_an_audit_are_no_problem(
    stream: Stream, postgres_store: PostgresEventStore, trading_dsn: str
) -> None:
    await tamper(trading_dsn, "UPDATE order_events SET symbol = 'X' WHERE seq IN (1, 4)")
    told = []
    async for problem in verify(trading_dsn, SHARD):
        told.append(problem)
        await stream.write(postgres_store, order(100 + len(told)))
    assert len(told) == 2


async def test_an_audit_without_its_database_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        await shards("host=/nowhere dbname=trading")
