"""kill -9 between any two events of a group's life: what is left is whole, and the life goes on."""

import asyncio
import contextlib
import itertools
import multiprocessing
import random
import signal
from multiprocessing.context import ForkServerContext

import pytest

from nexustrade.adapters.memory import MemoryEventStore
from nexustrade.adapters.memory.event_store import MemoryDatabase
from nexustrade.adapters.postgres import audit
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.kernel.ports import Snapshot
from nexustrade.orders.messages import CheckMargin
from tests.chaos import mortal
from tests.chaos.cuts import Span, consistent, database_at, heads, some
from tests.chaos.lives import LIVES, Life, Step
from tests.chaos.mortal import LANDED, LOST, Death
from tests.chaos.sittings import (
    Outcome,
    Rows,
    Sitting,
    Uninterrupted,
    copied,
    folded,
    outcome,
    stored,
    uninterrupted,
)
from tests.conftest import NewDatabase

CHILD_TIMEOUT_S = 60
PLACES = [(1, 1), (2, 2)]
"""Partitions of the orders and of the matching stage."""
GOES_ON_EVERY = 5
LAGS = 8
LAGS_TRIED = 20_000


# ---------------------------------------------------------------- every commit, in one process


@pytest.mark.parametrize(
    ("partitions", "batch_len_max"), [((1, 1), 512), ((2, 2), 1)], ids=["1+1", "2+2, one by one"]
)
@pytest.mark.parametrize("name", LIVES)
async def test_a_life_goes_on_wherever_it_was_killed(
    name: str, partitions: tuple[int, int], batch_len_max: int
) -> None:
    life = LIVES[name]
    told = await uninterrupted(life, partitions, batch_len_max)
    assert set(told.outcome.accepted.values()) == {1}
    after = list(zip(told.databases, told.steps, strict=True))
    for number, (database, step) in enumerate(after):
        left = copied(database)
        if number % 2:
            await keep_snapshots(left, number)
        # Killed right after this commit, its clients not answered; and right before the next one.
        following = after[number + 1][1] if number + 1 < len(after) else step
        for first in {step, following}:
            found = await carried_on(copied(left), life, partitions, first)
            assert found == told.outcome, f"after commit {number}, from step {first}"


async def keep_snapshots(database: MemoryDatabase, number: int) -> None:
    """Leave snapshots of the stages behind, at the heads of their streams or a little before."""
    store = MemoryEventStore(database)
    rows = {shard: each[: len(each) - number % 3] for shard, each in database.rows.items()}
    for shard, stage in folded(rows).items():
        last = rows[shard][-1]
        await store.save_snapshot(Snapshot(shard, last.seq, last.ts_us, last.hash, stage.dump()))


async def carried_on(
    database: MemoryDatabase, life: Life, partitions: tuple[int, int], first: int
) -> Outcome:
    """Start on what a kill has left and play on from the step that was not answered."""
    steps = life.steps[first:]
    sitting = await Sitting(MemoryEventStore(database), partitions).start(steps[0].at_s)
    # What is told to several partitions may have reached some of them: it is told again below.
    told_at_once = all(len(sitting.routing.command(one)) == 1 for one in steps[0].commands)
    await sitting.check(balanced=told_at_once)
    await sitting.play(steps[:1], 1)
    await sitting.check(balanced=told_at_once)
    await sitting.play(steps[1:], 1)
    await sitting.end()
    return outcome(database.rows)


# ---------------------------------------------------------------- every commit, with SIGKILL


class Nursery:
    """Starts processes that die, out of one that has all they need in memory."""

    def __init__(self, context: ForkServerContext, dsn: str) -> None:
        self._context = context
        self._dsn = dsn

    def set_up(self) -> None:
        """Make the venue, without a kill."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=mortal.set_up, args=(self._dsn, theirs))
        process.start()
        process.join(CHILD_TIMEOUT_S)
        assert process.exitcode == 0
        ours.close()
        theirs.close()

    def live(self, name: str, first: int, attempt: int, death: Death) -> int:
        """Let a process live and die; the first step that it left unanswered."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=mortal.live, args=(self._dsn, name, first, attempt, death, theirs)
        )
        process.start()
        theirs.close()
        process.join(CHILD_TIMEOUT_S)
        assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
        with contextlib.suppress(EOFError):
            while True:
                first = ours.recv() + 1
        ours.close()
        return first


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.chaos.mortal"])
    return made


@pytest.mark.parametrize("name", LIVES)
def test_a_process_is_killed_at_every_commit(
    name: str, context: ForkServerContext, new_database: NewDatabase
) -> None:
    life = LIVES[name]
    told = asyncio.run(uninterrupted(life, (1, 1)))
    dsn = new_database("trading")
    nursery = Nursery(context, dsn)
    nursery.set_up()
    first = kills = 0
    deaths = [
        Death(step, commit, place)
        for step in range(len(life.steps))
        # In each commit: first nothing of it is kept; then it is, and nobody hears of it.
        for commit in range(1, told.steps[1:].count(step) + 1)
        for place in (LOST[step % 2], LANDED[step // 2 % 2])
    ]
    for attempt, death in enumerate(deaths):
        if first <= death.step:
            first = nursery.live(name, first, attempt, death)
            kills += first == death.step
    # What is left to ask again does not die any more.
    assert nursery.live(name, first, len(deaths), Death(first, 0, "")) == len(life.steps)
    # A step that was asked again may have nothing left to commit.
    assert kills >= len(deaths) - 3
    found = asyncio.run(all_rows(dsn))
    assert outcome(found) == told.outcome
    assert asyncio.run(audited(dsn)) == []


async def all_rows(dsn: str) -> Rows:
    store = PostgresEventStore(dsn)
    try:
        return {shard: await stored(store, shard) for shard in ("orders-0", "matching-0")}
    finally:
        await store.close()


async def audited(dsn: str) -> list[str]:
    return [p for shard in ("orders-0", "matching-0") async for p in audit.verify(dsn, shard)]


# ---------------------------------------------------------------- stages in different places


@pytest.mark.parametrize("partitions", PLACES, ids=["1+1", "2+2"])
@pytest.mark.parametrize("name", LIVES)
async def test_stages_that_were_cut_apart_catch_up(name: str, partitions: tuple[int, int]) -> None:
    """Each stream ends where a stage of its own place may have ended, within a command."""
    life = one_by_one(LIVES[name])
    told = await uninterrupted(life, partitions)
    for number in range(1, len(told.databases)):
        span = Span(told.databases[number - 1], told.databases[number])
        step = told.steps[number]
        there = outcome(span.after.rows)
        for at, cut in enumerate(consistent(span)):
            left = database_at(span, cut, dict.fromkeys(cut, heads(span.before)))
            await catch_up(left, life, partitions, step)
            # As one goes on from there on, so do all. (A margin that is checked again may find that
            # the call is met, which else the next check does.)
            checks = isinstance(life.steps[step].commands[0], CheckMargin)
            last = len(life.steps) if checks or at % GOES_ON_EVERY == 0 else step + 1
            until = life._replace(steps=life.steps[:last])
            found = await carried_on(left, until, partitions, step)
            expected = told.outcome if last == len(life.steps) else there
            assert found == expected, f"{cut} in step {step}"


async def catch_up(
    database: MemoryDatabase, life: Life, partitions: tuple[int, int], step: int
) -> None:
    """A start delivers what was missed, each event once and in order; the next finds nothing."""
    at_s = life.steps[step].at_s
    sitting = await Sitting(MemoryEventStore(database), partitions).start(at_s)
    await sitting.end()
    taken_in_order(database.rows)
    before = heads(database)
    sitting = await Sitting(MemoryEventStore(database), partitions).start(at_s)
    await sitting.check(balanced=False)
    await sitting.end()
    assert heads(database) == before


@pytest.mark.parametrize("partitions", PLACES, ids=["1+1", "2+2"])
@pytest.mark.parametrize("name", LIVES)
async def test_a_stage_that_lags_by_many_steps_tears_nothing(
    name: str, partitions: tuple[int, int]
) -> None:
    """What comes of it is another life, for the stages hear of things in another order."""
    life = one_by_one(LIVES[name])
    told = await uninterrupted(life, partitions)
    chance = random.Random(f"{name} {partitions}")
    span = Span(told.databases[0], told.databases[-1])
    for cut in itertools.islice(some(span, chance, LAGS_TRIED), LAGS):
        ends = {shard: last_step(told, shard, length) for shard, length in cut.items()}
        taken = {shard: heads(told.databases[at]) for shard, at in ends.items()}
        left = database_at(span, cut, taken)
        first = told.steps[min(ends.values())]
        await catch_up(left, life, partitions, first)
        found = await played_on(left, life, partitions, first)
        assert set(found.accepted.values()) == {1}


async def played_on(
    database: MemoryDatabase, life: Life, partitions: tuple[int, int], first: int
) -> Outcome:
    """Ask for everything again from a step on: whatever it leads to, nothing is torn."""
    sitting = await Sitting(MemoryEventStore(database), partitions).start(life.steps[first].at_s)
    for step in life.steps[first:]:
        await sitting.play([step], 1)
        await sitting.check(balanced=False)
    await sitting.end()
    return outcome(database.rows)


def last_step(told: Uninterrupted, shard: str, length: int) -> int:
    """The last database that a stream of this length has all events of."""
    return max(at for at, each in enumerate(told.databases) if len(each.rows[shard]) <= length)


def one_by_one(life: Life) -> Life:
    """The life with each command a step of its own."""
    steps = [Step(step.at_s, (command,)) for step in life.steps for command in step.commands]
    return life._replace(steps=tuple(steps))


def taken_in_order(rows: Rows) -> None:
    """Every stream has taken each other one's events in their order, and none twice."""
    for stream in rows.values():
        taken: dict[str, int] = {}
        causes = [row.cause for row in stream]
        for cause, _ in itertools.groupby(causes):
            source, _, seq = cause.partition(":")
            if seq:
                assert int(seq) > taken.get(source, 0), f"{cause} after {source}:{taken[source]}"
                taken[source] = int(seq)
