"""A commit that outlives its connection: it may land late, and no answer is given before it has.

The server is made to dwell inside COMMIT by a deferred trigger, so that the runtime gives up the
connection while the outcome is open. It is a real server: what the runtime relies on is PostgreSQL.
"""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.adapters.postgres import audit
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.adapters.system import SystemClock
from nexustrade.core.codec import decode
from nexustrade.core.errors import StoreUnavailable
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.runtime import Limits, Runtime
from nexustrade.orders import messages as m
from tests.two_stages import make_stage

APPEND_TIMEOUT_S = 0.3
DWELL_S = 1.5
LONG = 600
"""A dwelling that only the end of its session ends, in seconds."""

_TRIGGER = """
    CREATE TABLE dwell (seconds numeric);
    INSERT INTO dwell VALUES (0);
    CREATE FUNCTION dwell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(seconds) FROM dwell; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dwell AFTER INSERT ON order_events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.event_type = 'CashAdjusted') EXECUTE FUNCTION dwell()
"""


class Dwelling:
    """A runtime on a server whose commits of cash adjustments take as long as one says."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.store = PostgresEventStore(dsn, append_timeout_s=APPEND_TIMEOUT_S)
        routing = Routing(1, 1)
        # Past the deadline at once: whatever is found not applied is refused.
        limits = Limits(commit_deadline_s=0.0)
        self.runtime = Runtime(
            self.store, MemoryLog(), SystemClock(), routing, make_stage, routing.shards(), limits
        )

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    async def start(self) -> None:
        self.sql(_TRIGGER)
        await self.runtime.start()
        await self.runtime.submit(m.OpenAccount("alice", "CASH", cash=100))

    def deposit(self) -> "asyncio.Task[str]":
        """One cent as a client of its own; what it was told."""
        return asyncio.create_task(self._deposit())

    async def _deposit(self) -> str:
        try:
            await self.runtime.submit(m.AdjustCash("alice", 1))
        except StoreUnavailable:
            return "refused"
        return "answered"

    async def deposits(self) -> int:
        """How many the store has."""
        count = 0
        async for rows in self.store.read("orders-0", 0):
            events = [decode(row.event_type, row.payload) for row in rows]
            count += sum(isinstance(event, m.CashAdjusted) for event in events)
        return count

    async def until_committing(self) -> None:
        """Return once a session dwells inside its COMMIT and its client has given it up."""
        select = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        async with asyncio.timeout(30):
            async with await psycopg.AsyncConnection.connect(self.dsn) as connection:
                while True:
                    row = await (await connection.execute(select)).fetchone()
                    await connection.commit()
                    if row is not None and row[0]:
                        return
                    await asyncio.sleep(0.01)

    async def until_available(self) -> None:
        async with asyncio.timeout(30):
            while not self.runtime.available:
                await asyncio.sleep(0.01)


@pytest.fixture
async def dwelling(trading_dsn: str) -> AsyncIterator[Dwelling]:
    made = Dwelling(trading_dsn)
    await made.start()
    yield made
    await made.runtime.stop()
    await made.store.close()
    assert made.runtime.failed is None
    assert [p for s in ("orders-0", "matching-0") async for p in audit.verify(made.dsn, s)] == []


async def test_a_commit_that_lands_late_is_waited_for_and_answered(dwelling: Dwelling) -> None:
    dwelling.sql(f"UPDATE dwell SET seconds = {DWELL_S}")
    told = await asyncio.wait_for(dwelling.deposit(), 30)
    assert told == "answered"
    assert await dwelling.deposits() == 1
    dwelling.sql("UPDATE dwell SET seconds = 0")
    await dwelling.until_available()
    assert await asyncio.wait_for(dwelling.deposit(), 30) == "answered"
    assert await dwelling.deposits() == 2


async def test_a_commit_that_dies_with_its_session_is_refused_for_good(dwelling: Dwelling) -> None:
    dwelling.sql(f"UPDATE dwell SET seconds = {LONG}")
    client = dwelling.deposit()
    await dwelling.until_committing()
    dwelling.sql("UPDATE dwell SET seconds = 0")
    dwelling.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    )
    assert await asyncio.wait_for(client, 30) == "refused"
    assert await dwelling.deposits() == 0
    await dwelling.until_available()
    assert await asyncio.wait_for(dwelling.deposit(), 30) == "answered"
    assert await dwelling.deposits() == 1
