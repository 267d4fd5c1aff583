"""A life played on a real runtime, by clients that ask again when they got no answer.

A sitting is what one process sees of a life: it recovers the streams, plays steps and ends, for
whatever reason. The next one goes on from the step that was not answered to its end.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from nexustrade.adapters.memory import MemoryEventStore
from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.event_store import MemoryDatabase
from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.core.codec import Message, decode
from nexustrade.core.time import US_PER_S
from nexustrade.kernel.ports import StoredEvent
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.runtime import Limits, Runtime
from nexustrade.kernel.stage import Stage
from nexustrade.orders import messages as m
from nexustrade.orders.service import OneIdOneOrder
from tests.chaos.lives import START_US, Life, Step, setup
from tests.chaos.whole import Truth
from tests.two_stages import make_stage

Store = MemoryEventStore | PostgresEventStore
Rows = dict[str, list[StoredEvent]]

ACCEPTED: Final = {
    "OrderAccepted": "order_id",
    "ReplaceRequested": "order_id",
    "GroupAccepted": "group_id",
}
_MARK: Final = "~"
"""Before the number of the attempt, at the end of the order ids that a client's attempt makes."""


class Sitting:
    """One process: a runtime on a store, at the times that the script says."""

    def __init__(
        self, store: Store, partitions: tuple[int, int] = (1, 1), batch_len_max: int = 512
    ) -> None:
        self.store = store
        self.routing = Routing(*partitions)
        self.clock = VirtualClock(START_US)
        self.runtime = Runtime(
            store,
            MemoryLog(),
            self.clock,
            self.routing,
            make_stage,
            self.routing.shards(),
            Limits(batch_len_max=batch_len_max),
        )
        self.commands = OneIdOneOrder(self.runtime, store.find_cl_ord_ids, self.clock, 90)
        self.ids: dict[str, str] = {}

    async def start(self, at_s: int = 0) -> "Sitting":
        """Recover at that time of the script; the client asks which of its orders there are."""
        self._set_clock(at_s)
        await self.runtime.start()
        for event in all_of(decoded(await self.rows())):
            self._note(event)
        return self

    async def set_up(self) -> "Sitting":
        """Give a new venue what every life begins with."""
        await self.start()
        for command in setup():
            answer = await self.runtime.submit(command)
            assert "Rejected" not in type(answer[0].event).__name__, answer[0].event
        return self

    def _set_clock(self, at_s: int) -> None:
        self.clock.jump(START_US + at_s * US_PER_S - self.clock.now_us())

    async def play(self, steps: Sequence[Step], attempt: int) -> None:
        """Send the commands of each step together, and wait until all of them are answered.

        A step that was not answered comes again with a higher `attempt`.
        """
        for step in steps:
            self._set_clock(step.at_s)
            # In the order of the script: each is in the queue before the next one is sent.
            tasks = [asyncio.ensure_future(self._send(one, attempt)) for one in step.commands]
            await asyncio.gather(*tasks)

    async def _send(self, command: Message, attempt: int) -> None:
        for entry in await self.commands.submit(self._addressed(command, attempt)):
            self._note(entry.event)

    def _addressed(self, command: Message, attempt: int) -> Message:
        """The command with the ids that the venue knows the orders by, or new ones for new ones."""
        made = f"{_MARK}{attempt}"
        new = {"order_id", "group_id"} & set(command.__struct_fields__)
        if isinstance(command, m.SubmitGroup):
            ids = {"group_id", "tp_order_id", "sl_order_id"}
            return _with(command, {field: getattr(command, field) + made for field in ids})
        if isinstance(command, m.SubmitOrder):
            return _with(command, {"order_id": command.order_id + made})
        if isinstance(command, m.ReplaceOrder):
            orig = self.ids.get(command.orig_order_id, command.orig_order_id)
            return _with(command, {"order_id": command.order_id + made, "orig_order_id": orig})
        known = new | ({"buy_order_id", "sell_order_id"} & set(command.__struct_fields__))
        names = {field: getattr(command, field) for field in known}
        return _with(command, {field: self.ids.get(name, name) for field, name in names.items()})

    def _note(self, event: Message) -> None:
        """Learn the ids of orders that were accepted."""
        field = ACCEPTED.get(type(event).__name__)
        if field is not None:
            self.ids[event.cl_ord_id] = getattr(event, field)  # type: ignore[attr-defined]
        if isinstance(event, m.GroupAccepted):
            for leg, name in (
                (event.tp_order_id, event.tp_cl_ord_id),
                (event.sl_order_id, event.sl_cl_ord_id),
            ):
                if name:
                    self.ids[name] = leg

    async def rows(self) -> Rows:
        """All that the store has."""
        return {shard: await stored(self.store, shard) for shard in self.routing.shards()}

    async def check(self, *, balanced: bool = True) -> None:
        """Every stage is whole, and so is every group across the stages; nothing is held twice."""
        truth = Truth(self.runtime.stages.values(), decoded(await self.rows()))
        truth.check(balanced=balanced)

    async def end(self) -> None:
        """End without a trace, as a process does that is killed."""
        mine = asyncio.current_task()
        names = ("runtime", "commit", "commit watch", "client order ids")
        tasks = [t for t in asyncio.all_tasks() if t is not mine and t.get_name() in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()


def _with(command: Message, fields: dict[str, Any]) -> Message:
    return msgspec.structs.replace(command, **fields) if fields else command


async def stored(store: Store, shard: str) -> list[StoredEvent]:
    """The rows of a stream."""
    return [row async for rows in store.read(shard, 0) for row in rows]


def decoded(rows: Rows) -> dict[str, list[Message]]:
    """The events of each stream."""
    return {shard: [_event(row) for row in each] for shard, each in rows.items()}


def _event(row: StoredEvent) -> Message:
    return _decoded(row.event_type, row.payload)


@lru_cache(maxsize=10_000)
def _decoded(event_type: str, payload: bytes) -> Message:
    """The event; the lives of a test have most of them in common."""
    return decode(event_type, payload)


def all_of(events: dict[str, list[Message]]) -> Iterator[Message]:
    """The events of all streams, stream by stream."""
    for stream in events.values():
        yield from stream


# ---------------------------------------------------------------- what came of a life


class Outcome(NamedTuple):
    """What a life has come to: the state of each stream, and what was accepted how often."""

    state: dict[str, str]
    accepted: dict[str, int]


def outcome(rows: Rows) -> Outcome:
    """Fold the rows of all streams anew."""
    stages = folded(rows)
    Truth(stages.values(), decoded(rows)).check()
    accepted: dict[str, int] = {}
    for event in all_of(decoded(rows)):
        field = ACCEPTED.get(type(event).__name__)
        if field is not None:
            name = event.cl_ord_id  # type: ignore[attr-defined]
            if name != getattr(event, field):  # else the venue made it, for a liquidation
                accepted[name] = accepted.get(name, 0) + 1
    state = {shard: comparable(stage.dump()) for shard, stage in stages.items()}
    return Outcome(state, accepted)


def folded(rows: Rows) -> dict[str, Stage]:
    """Fresh stages that have applied the rows."""
    stages = {shard: make_stage(shard) for shard in rows}
    for shard, stage in stages.items():
        for row in rows[shard]:
            stage.replay(row.seq, row.ts_us, _event(row))
    return stages


def comparable(dump: bytes) -> str:
    """A state without what a client's second attempt changes by right.

    That is the attempt in its order ids, the microseconds by which its events come later, and the
    id of a liquidation's sale, which is made from the number of an event. Nor does it matter in
    which order the orders stage heard from two matching stages that orders are closed.
    """
    text = re.sub(rf"{_MARK}\d+", "", dump.decode())
    text = re.sub(r"\b(179\d{7})\d{6}\b", r"\1", text)
    state = json.loads(re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "uuid", text))
    for field in ("closed", "closed_groups"):
        state.get(field, []).sort(key=str)
    return json.dumps(state, indent=0)


class Recording(MemoryEventStore):
    """A store that keeps what its database was after each append."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[MemoryDatabase] = []

    async def append(self, appends: Any, watermarks: Any) -> None:
        await super().append(appends, watermarks)
        self.after.append(copied(self.database))


def copied(database: MemoryDatabase) -> MemoryDatabase:
    """A database as it is now, without owners."""
    copy = MemoryDatabase()
    copy.rows = {shard: list(rows) for shard, rows in database.rows.items()}
    copy.shards = dict(database.shards)
    copy.marks = dict(database.marks)
    copy.snapshots = {shard: list(kept) for shard, kept in database.snapshots.items()}
    copy.cl_ord_ids = dict(database.cl_ord_ids)
    return copy


class Uninterrupted(NamedTuple):
    """A life without a kill: its database after the set-up and after each commit, its outcome.

    `steps[n]` is the step that the n-th database is in the middle of, or has just come to the end
    of.
    """

    databases: list[MemoryDatabase]
    steps: list[int]
    outcome: Outcome


async def uninterrupted(
    life: Life, partitions: tuple[int, int], batch_len_max: int = 512
) -> Uninterrupted:
    """Play a life to its end."""
    store = Recording()
    sitting = await Sitting(store, partitions, batch_len_max).set_up()
    store.after = store.after[-1:]
    steps = [0]
    for number in range(len(life.steps)):
        await sitting.play(life.steps[number : number + 1], 0)
        steps += [number] * (len(store.after) - len(steps))
        await sitting.check()
    await sitting.runtime.stop()
    rows = store.database.rows
    missing = life.seen - {row.event_type for each in rows.values() for row in each}
    assert not missing, f"{life.name}: {missing} did not happen"
    return Uninterrupted(store.after, steps, outcome(rows))
