"""Hosts stage partitions: takes commands in batches, commits them in groups, then answers.

It promises that no client and no subscriber sees an event that is not durable; that a client that
was refused never finds its command carried out later, and one that was answered never finds it
gone; and that while the store is away new commands are refused at once.

One batch is committed at a time; while it commits, the next one is decided and fills. Its commit
begins before the clients of the one that is stored are answered, so that the store works meanwhile.
So the state in memory is never more than two batches ahead of the store. When a batch is not
stored, the one decided after it is refused with it, and the state is dropped and rebuilt.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from nexustrade.core.codec import Message, decode
from nexustrade.core.errors import (
    Fenced,
    InvariantError,
    NexusError,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    check,
)
from nexustrade.kernel.chain import GENESIS, link, seal_all
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.ports import (
    Append,
    Clock,
    CommitUnknown,
    EventStore,
    Log,
    LogEntry,
    Snapshot,
    StoredEvent,
)
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded, Stage

RETRY_FIRST_S: Final = 0.02
RETRY_MAX_S: Final = 0.5
"""Bounds of the wait between two tries while the store is away."""
ANSWERED_AT_ONCE: Final = 8
"""Clients answered before others on the loop have their turn: above all the next transaction."""

log = structlog.get_logger()


class Limits(NamedTuple):
    """The runtime's limits. Times in seconds."""

    batch_len_max: int = 512
    queue_len_max: int = 20_000
    commit_deadline_s: float = 2.0
    outcome_wait_s: float = 60.0


class _Pending(NamedTuple):
    """A client's command and where its answer goes."""

    command: Message
    answer: asyncio.Future[Sequence[LogEntry]]


class _Batch:
    """Commands decided together, with their events: one transaction."""

    def __init__(self) -> None:
        self.decided: list[tuple[_Pending, Sequence[Recorded]]] = []
        self.rows: dict[str, list[StoredEvent]] = {}
        # Its clients were refused: it must not be committed any more.
        self.refused = False

    def fail(self, error: Exception) -> None:
        """Tell every client that has no answer yet."""
        _fail([pending for pending, _ in self.decided], error)

    async def answer(self) -> None:
        """Give every client the events of its command."""
        for at, (pending, events) in enumerate(self.decided):
            if not pending.answer.done():
                pending.answer.set_result([_entry(recorded) for recorded in events])
            if at % ANSWERED_AT_ONCE == ANSWERED_AT_ONCE - 1:
                await asyncio.sleep(0)


class Runtime:
    """Runs the stages of one process. `start` recovers them, `stop` drains them."""

    def __init__(
        self,
        store: EventStore,
        publish_to: Log,
        clock: Clock,
        routing: Routing,
        make_stage: Callable[[str], Stage],
        shards: Sequence[str],
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._log = publish_to
        self._clock = clock
        self._routing = routing
        self._make_stage = make_stage
        self._shards = tuple(shards)
        self._limits = limits or Limits()
        self._queue: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        # The batch that fills, the one before it, and the transaction of that one.
        self._batch = _Batch()
        self._committing = _Batch()
        self._commit_task: asyncio.Task[bool] | None = None
        # When the commit that runs began; None: none runs.
        self._commit_since_ns: int | None = None
        self._draining = False
        self._epochs: dict[str, int] = {}
        self._hashes: dict[str, bytes] = {}
        self.stages: dict[str, Stage] = {}
        self._flow = Flow({}, routing)
        self.available = False
        self.failed: BaseException | None = None
        self.on_failure: Callable[[BaseException], None] = lambda _: None

    # ------------------------------------------------------------ clients

    async def submit(self, command: Message) -> Sequence[LogEntry]:
        """Run a command; its stages' own events, durable, of which the first is the answer.

        Raises `StoreUnavailable` or `Overloaded` (refused, nothing kept) and `OutcomeUnknown`.
        """
        if not self.available or self._draining:
            raise StoreUnavailable("the venue takes no commands now")
        if len(self._queue) >= self._limits.queue_len_max:
            raise Overloaded(f"{self._limits.queue_len_max} commands are waiting")
        answer: asyncio.Future[Sequence[LogEntry]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Pending(command, answer))
        self._wake.set()
        return await answer

    @property
    def queue_len(self) -> int:
        """How many commands are waiting."""
        return len(self._queue)

    # ------------------------------------------------------------ lifecycle

    async def start(self) -> None:
        """Claim and recover the streams, then take commands. Raises what the store raises."""
        await self._recover()
        self.available = True
        self._task = asyncio.create_task(self._run(), name="runtime")
        self._watch = asyncio.create_task(self._watch_commits(), name="commit watch")

    async def stop(self) -> None:
        """Take no more commands, finish those that wait, snapshot every stage."""
        self._draining = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._watch is not None:
            self._watch.cancel()
        if self.available and self.failed is None:
            for shard, stage in self.stages.items():
                await self._store.save_snapshot(
                    Snapshot(shard, stage.seq, stage.ts_us, self._hashes[shard], stage.dump())
                )

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                stored = await self._end_commit()
                self._decide()
                if self._commit_task is None and self._batch.decided:
                    self._begin_commit()
                if stored is not None:
                    await self._tell(stored)
                if self._draining and self._commit_task is None and not self._queue:
                    return
        except BaseException as error:
            await self._fail_all(error)
            if not isinstance(error, Exception):
                raise

    async def _fail_all(self, error: BaseException) -> None:
        """The runtime stops: nobody waits for an answer that will not come."""
        self.failed = error
        self.available = False
        stopped = StoreUnavailable("the venue has stopped")
        self._refuse_waiting(str(stopped))
        self._batch.fail(stopped)
        if self._commit_task is not None:
            await asyncio.wait([self._commit_task])
            self._committing.fail(OutcomeUnknown("the venue has stopped"))
        log.critical("runtime stopped", error=repr(error))
        self.on_failure(error)

    # ------------------------------------------------------------ batches

    def _decide(self) -> None:
        """Decide what waits into the batch that fills, whether or not another one commits."""
        batch = self._batch
        count = min(len(self._queue), self._limits.batch_len_max - len(batch.decided))
        if count <= 0:
            return
        taken = [self._queue.popleft() for _ in range(count)]
        try:
            for pending in taken:
                events = self._flow.run(pending.command, self._clock.now_us())
                batch.decided.append((pending, events))
            self._seal(batch)
        except BaseException as error:
            # Nothing of the batch is stored, and nothing of it may be answered.
            _fail(taken, StoreUnavailable("the venue has stopped"))
            raise InvariantError(f"a stage failed: {error!r}") from error

    def _seal(self, batch: _Batch) -> None:
        """Encode and chain the new events of each stream."""
        for shard, recorded in self._flow.collect().items():
            rows = seal_all(self._hashes[shard], shard, recorded)
            batch.rows.setdefault(shard, []).extend(rows)
            self._hashes[shard] = rows[-1].hash

    def _begin_commit(self) -> None:
        self._committing, self._batch = self._batch, _Batch()
        self._commit_task = asyncio.create_task(self._stored(self._committing), name="commit")
        self._commit_task.add_done_callback(lambda _: self._wake.set())
        if self._queue:
            self._wake.set()

    async def _end_commit(self) -> _Batch | None:
        """The batch whose transaction has ended; the state is rebuilt when it did not succeed."""
        task = self._commit_task
        if task is None or not task.done():
            return None
        self._commit_task = None
        batch = self._committing
        stored = task.result()
        if self._queue:
            self._wake.set()
        if stored and not self._batch.refused:
            return batch
        if stored:
            await self._tell(batch)
        # What was decided after the batch that failed stands on events that never came about.
        self._batch.fail(StoreUnavailable("the event store is not available"))
        self._batch = _Batch()
        await self._rebuild()
        self._wake.set()
        return None

    async def _stored(self, batch: _Batch) -> bool:
        """Commit a batch, or refuse it when it certainly is not in the store and never will be."""
        try:
            if batch.rows:
                await self._commit(batch, *self._appends(batch))
        except StoreUnavailable as error:
            batch.fail(error)
            return False
        except BaseException:
            # The venue stops; what became of the batch its clients have to ask later.
            batch.fail(OutcomeUnknown("the venue has stopped"))
            raise
        return True

    async def _tell(self, batch: _Batch) -> None:
        """Publish what is stored, then answer its clients."""
        try:
            for shard, rows in batch.rows.items():
                # The transaction that has begun is sent first.
                await asyncio.sleep(0)
                await self._publish(shard, rows)
            await batch.answer()
        except BaseException:
            batch.fail(OutcomeUnknown("the venue has stopped"))
            raise

    def _appends(self, batch: _Batch) -> tuple[list[Append], dict[tuple[str, str], int]]:
        """A batch as the store takes it: its events by stream, and the watermarks they bring."""
        appends = []
        watermarks = {}
        for shard, rows in batch.rows.items():
            appends.append(Append(shard, self._epochs[shard], rows[0].seq - 1, rows))
            for target in self._shards:
                # Every event of the batch was offered to every partition hosted here.
                if target != shard:
                    watermarks[target, shard] = rows[-1].seq
        return appends, watermarks

    async def _publish(self, shard: str, rows: Sequence[StoredEvent]) -> None:
        entries = [
            LogEntry(row.shard, row.seq, row.ts_us, row.cause, row.event, row.payload)
            for row in rows
            if row.event is not None
        ]
        await self._log.publish(self._routing.topic(shard), entries)

    # ------------------------------------------------------------ commit

    async def _commit(
        self,
        batch: _Batch,
        appends: Sequence[Append],
        watermarks: Mapping[tuple[str, str], int],
    ) -> None:
        """Return when the batch is durable; `StoreUnavailable` when it certainly is not, for good.

        Until the deadline a batch that was not applied is tried again.
        """
        deadline = self._deadline(self._limits.commit_deadline_s)
        wait_s = RETRY_FIRST_S
        self._commit_since_ns = self._clock.monotonic_ns()
        while True:
            try:
                await self._store.append(appends, watermarks)
            except CommitUnknown:
                if await self._applied(batch, appends[0]):
                    break
            except StoreUnavailable as error:
                self._pause(error)
            else:
                break
            if self._clock.monotonic_ns() >= deadline:
                self._commit_since_ns = None
                raise StoreUnavailable("the event store is not available")
            await self._clock.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
        self._commit_since_ns = None
        self.available = True

    async def _applied(self, batch: _Batch, append: Append) -> bool:
        """Whether the batch whose commit went unanswered is in the store. Waits until it can tell.

        Clients wait no longer than the limit; then they are told that the outcome is unknown.
        """
        limit = self._deadline(self._limits.outcome_wait_s)
        wait_s = RETRY_FIRST_S
        while True:
            try:
                head = await self._store.head(append.shard)
            except StoreUnavailable as error:
                self._pause(error)
            else:
                if head.epoch != append.epoch:
                    raise Fenced(f"stream {append.shard}: another owner has taken over")
                return head.last_seq >= append.events[-1].seq
            if self._clock.monotonic_ns() >= limit:
                batch.fail(OutcomeUnknown("the event store has not answered"))
                if self._draining:
                    # Whoever starts next reads what came of it; a stop does not wait for ever.
                    return False
            await self._clock.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _watch_commits(self) -> None:
        """A store that hangs says nothing: past the deadline of a commit it is away as well."""
        deadline_ns = int(self._limits.commit_deadline_s * 1_000_000_000)
        while True:
            await self._clock.sleep(self._limits.commit_deadline_s / 4)
            since_ns = self._commit_since_ns
            if since_ns is not None and self._clock.monotonic_ns() - since_ns >= deadline_ns:
                self._pause(StoreUnavailable("a commit gets no answer"))
                self._refuse_next()

    def _pause(self, error: NexusError) -> None:
        """Refuse what waits and what comes until the store is back."""
        if self.available:
            log.error("event store away", error=str(error))
        self.available = False
        self._refuse_waiting("the event store is not available")

    def _refuse_next(self) -> None:
        """Refuse the batch that fills: it waits for another one's commit for too long."""
        if self._batch.decided:
            self._batch.refused = True
            self._batch.fail(StoreUnavailable("the event store is not available"))

    def _refuse_waiting(self, why: str) -> None:
        waiting = list(self._queue)
        self._queue.clear()
        _fail(waiting, StoreUnavailable(why))

    def _deadline(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + int(seconds * 1_000_000_000)

    # ------------------------------------------------------------ recovery

    async def _rebuild(self) -> None:
        """Drop the state in memory, which the store does not have, and read it anew."""
        self.available = False
        wait_s = RETRY_FIRST_S
        while not self._draining:
            try:
                await self._recover()
            except StoreUnavailable:
                await self._clock.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
                continue
            self.available = True
            log.info("event store back", streams=len(self._shards))
            return

    async def _recover(self) -> None:
        stages: dict[str, Stage] = {}
        for shard in self._shards:
            state = await self._store.claim(shard)
            stage = self._make_stage(shard)
            self._hashes[shard] = await restore(self._store, stage)
            check(stage.seq == state.last_seq, f"{shard}: recovered up to its head")
            check(self._hashes[shard] == state.last_hash, f"{shard}: its chain ends in its head")
            self._epochs[shard] = state.epoch
            stages[shard] = stage
        self.stages = stages
        self._flow = Flow(stages, self._routing)
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Deliver what a stream hosted here had for another one and never reached it.

        Where all stages live in one process their streams commit together and there is nothing;
        after a change of placement there may be.
        """
        heads = {shard: stage.seq for shard, stage in self.stages.items()}
        taken: dict[tuple[str, str], int] = {}
        for target in self._shards:
            marks = await self._store.watermarks(target)
            for source, head in heads.items():
                if source != target and head > marks.get(source, 0):
                    await self._deliver_missed(target, source, marks.get(source, 0))
                    taken[target, source] = head
        if not taken:
            return
        self._flow.follow(self._clock.now_us())
        missed = _Batch()
        self._seal(missed)
        appends, watermarks = self._appends(missed)
        # What was delivered counts as taken whether or not it led to anything: else the next start
        # would deliver it again. A stream without new events is fenced all the same.
        for target in {target for target, _ in taken} - missed.rows.keys():
            appends.append(Append(target, self._epochs[target], heads[target], ()))
        await self._store.append(appends, taken | watermarks)

    async def _deliver_missed(self, target: str, source: str, after_seq: int) -> None:
        async for rows in self._store.read(source, after_seq):
            for row in rows:
                event = decode(row.event_type, row.payload)
                if target in self._routing.event(event):
                    self._flow.deliver(target, source, row.seq, event, self._clock.now_us())


async def restore(store: EventStore, stage: Stage, upto_seq: int | None = None) -> bytes:
    """Bring a new stage to its stream's head (or to `upto_seq`); returns the chain's hash there.

    From the newest snapshot, where there is one, and the later events, whose chain is checked.
    """
    linked = GENESIS
    snapshot = await store.latest_snapshot(stage.shard)
    if snapshot is not None and upto_seq is not None and snapshot.seq > upto_seq:
        snapshot = None
    if snapshot is not None and await _fits(store, snapshot):
        stage.load(snapshot.state, snapshot.seq, snapshot.ts_us)
        linked = snapshot.last_hash
    async for rows in store.read(stage.shard, stage.seq, upto_seq):
        for row in rows:
            linked = _checked_link(linked, row)
            stage.replay(row.seq, row.ts_us, decode(row.event_type, row.payload))
    return linked


async def _fits(store: EventStore, snapshot: Snapshot) -> bool:
    """Whether a snapshot says of its last event what the stream says; else it is not used."""
    async for rows in store.read(snapshot.shard, snapshot.seq - 1, snapshot.seq):
        if (rows[0].hash, rows[0].ts_us) == (snapshot.last_hash, snapshot.ts_us):
            return True
    log.warning("a snapshot does not fit its stream", shard=snapshot.shard, seq=snapshot.seq)
    return False


def _checked_link(linked: bytes, row: StoredEvent) -> bytes:
    found = link(linked, row.shard, row.seq, row.ts_us, row.event_type, row.cause, row.payload)
    check(found == row.hash, f"{row.shard}: event {row.seq} does not match its hash")
    return found


def _fail(pending: Sequence[_Pending], error: Exception) -> None:
    for one in pending:
        if not one.answer.done():
            one.answer.set_exception(error)


def _entry(r: Recorded) -> LogEntry:
    return LogEntry(r.shard, r.seq, r.ts_us, r.cause, r.event)
