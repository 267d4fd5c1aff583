"""The clock jumps back and forth: no session, settlement, expiry or margin call comes twice.

The real timekeeper and calendars drive both stages on a real runtime; only the clock is not real.
"""

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from nexustrade.adapters.memory import MemoryEventStore
from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.event_store import MemoryDatabase
from nexustrade.adapters.memory.log import MemoryLog
from nexustrade.core.codec import Message, decode
from nexustrade.core.terms import BUY, CLOSED, CLOSING_CALL, CONTINUOUS, OPENING_CALL, SELL
from nexustrade.core.time import US_PER_S, from_datetime
from nexustrade.kernel.calendar import Calendar, calendar_for
from nexustrade.kernel.config import VenueConfig
from nexustrade.kernel.ports import LogEntry
from nexustrade.kernel.routing import MATCHING_TOPIC, ORDERS_TOPIC, Routing
from nexustrade.kernel.runtime import Runtime
from nexustrade.kernel.timekeeper import Timekeeper
from nexustrade.matching import messages as mm
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.service import BooksView
from nexustrade.orders import messages as m
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.service import OrdersView
from tests.chaos.lives import SHARE, USD
from tests.chaos.whole import Truth
from tests.two_stages import make_stage

DAY = timedelta(days=1)
MINUTE_US = 60 * US_PER_S
OPENING_CALL_S, CLOSING_CALL_S, MARGIN_CALL_S = 120, 60, 3_600
RANKS = ("", OPENING_CALL, CONTINUOUS, CLOSING_CALL, CLOSED)


class Killed(BaseException):
    """The process is gone, between two commands of a tick."""


class Venue:
    """A venue on a clock that goes where it is told, with what its streams have said so far."""

    def __init__(self, calendar: str, start: str, partitions: tuple[int, int] = (1, 1)) -> None:
        self.config = VenueConfig(
            session=calendar,
            opening_call_s=OPENING_CALL_S if calendar == "XNYS" else 0,
            closing_call_s=CLOSING_CALL_S if calendar == "XNYS" else 0,
            margin_call_s=MARGIN_CALL_S,
        )
        self.calendar: Calendar = calendar_for(calendar)
        self.clock = VirtualClock(utc(start))
        self.routing = Routing(*partitions)
        self.database = MemoryDatabase()
        self.heard: dict[str, int] = dict.fromkeys(self.routing.shards(), 0)
        self.dies_after: int | None = None
        self.sent = 0

    async def start(self) -> "Venue":
        """Recover, with new readers and a new timekeeper, as a process does that starts."""
        self.store = MemoryEventStore(self.database)
        log = MemoryLog(redeliver_every=3)
        shards = self.routing.shards()
        self.runtime = Runtime(self.store, log, self.clock, self.routing, make_stage, shards)
        await self.runtime.start()
        replicas = []
        for stage in self.runtime.stages.values():
            twin = make_stage(stage.shard)
            twin.load(stage.dump(), stage.seq, stage.ts_us)
            replicas.append(twin)
        self.orders = OrdersView(
            [one for one in replicas if isinstance(one, OrdersStage)], self.routing.orders_of
        )
        self.books = BooksView(
            [one for one in replicas if isinstance(one, MatchingStage)], self.routing.matching_of
        )
        await log.subscribe(ORDERS_TOPIC, self.orders.receive)
        await log.subscribe(MATCHING_TOPIC, self.books.receive)
        self.time = Timekeeper(
            self.config, self.calendar, self.clock, self, self.books, self.orders
        )
        return self

    async def stop(self) -> None:
        await self.runtime.stop()
        await self.store.close()

    async def submit(self, command: Message) -> list[LogEntry]:
        """As the runtime does, until the process dies."""
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise Killed
        return list(await self.runtime.submit(command))

    async def at(self, text: str) -> list[str]:
        """What a tick at that time in UTC leads to, in short."""
        return [short(event) for event in await self.events_at(text) if short(event)]

    async def events_at(self, text: str) -> list[Message]:
        """All events that a tick at that time in UTC leads to."""
        self.clock.jump(utc(text) - self.clock.now_us())
        return await self.tick()

    async def tick(self) -> list[Message]:
        """Let the clock be told and a second pass; what the streams have to say since."""
        await self.time.tick()
        await self.clock.advance(1.0)
        return self.news()

    def news(self) -> list[Message]:
        """The events that nobody has looked at yet, stream by stream."""
        found = []
        for shard, at in self.heard.items():
            rows = self.database.rows.get(shard, [])
            found += [decode(row.event_type, row.payload) for row in rows[at:]]
            self.heard[shard] = len(rows)
        return found

    async def declare(self) -> "Venue":
        """Two instruments, four accounts with a little of all there is to expire or to settle."""
        fields = {"shortable": True, "marginable": True, "reference_px": 100 * USD, "call_s": 30}
        commands: list[Message] = [
            mm.DefineInstrument("AAPL", 100, SHARE, **fields),  # type: ignore[arg-type]
            mm.DefineInstrument("MSFT", 100, SHARE, **fields),  # type: ignore[arg-type]
            m.OpenAccount("alice", "CASH", cash=100_000_000),
            m.OpenAccount("bob", "CASH", cash=100_000_000),
            m.OpenAccount("carol", "MARGIN", cash=300_000, shorting=True),
        ]
        for name in ("alice", "bob"):
            commands += [m.AdjustPosition(name, s, 1_000 * SHARE) for s in ("AAPL", "MSFT")]
        for command in commands:
            await self.runtime.submit(command)
        self.news()
        return self

    def check(self) -> None:
        stages = self.runtime.stages
        events = {
            shard: [decode(row.event_type, row.payload) for row in self.database.rows[shard]]
            for shard in stages
        }
        Truth(stages.values(), events).check()


def utc(text: str) -> int:
    """Microseconds of `YYYY-MM-DD HH:MM[:SS]` in UTC."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def short(event: Message) -> str:
    """An event of sessions and days in a few words; empty for the others."""
    if isinstance(event, mm.OpeningCallBegun | mm.SessionOpened | mm.ClosingCallBegun):
        return f"{type(event).__name__} {event.session_date}"
    if isinstance(event, mm.SessionClosed):
        return f"SessionClosed {event.session_date}"
    if isinstance(event, m.DaySettled):
        return f"DaySettled {event.settle_date}"
    if isinstance(event, m.OrderExpired):
        return f"{event.order_id} {event.reason}"
    return (
        f"Uncrossed {event.phase} {event.qty // SHARE}" if isinstance(event, mm.Uncrossed) else ""
    )


# ---------------------------------------------------------------- days one knows


def order(name: str, account: str, side: str, qty: int, px: int, tif: str) -> m.SubmitOrder:
    return m.SubmitOrder(
        account, name, name, "AAPL", side, "LIMIT", tif, qty * SHARE, limit_px=px * USD
    )


async def test_an_early_close_that_the_clock_goes_back_behind() -> None:
    """Thanksgiving has no session, and the day after it closes at 18:00 UTC, once."""
    venue = await (await Venue("XNYS", "2026-11-25 22:00").start()).declare()
    assert await venue.at("2026-11-25 22:00") == ["DaySettled 2026-11-25"]
    assert await venue.at("2026-11-26 15:00") == []
    assert await venue.at("2026-11-27 14:28:30") == ["OpeningCallBegun 2026-11-27"]
    await venue.submit(order("b1", "bob", BUY, 5, 101, "DAY"))
    await venue.submit(order("a1", "alice", SELL, 3, 100, "DAY"))
    assert await venue.at("2026-11-26 15:00") == []
    assert await venue.at("2026-11-27 14:30") == [
        "SessionOpened 2026-11-27",
        "Uncrossed OPENING_CALL 3",
    ]
    assert await venue.at("2026-11-27 14:28:30") == []
    assert await venue.at("2026-11-27 14:30") == []
    assert await venue.at("2026-11-27 17:59:10") == ["ClosingCallBegun 2026-11-27"]
    await venue.submit(order("a2", "alice", SELL, 1, 101, "CLS"))
    assert await venue.at("2026-11-27 15:00") == []
    assert await venue.at("2026-11-27 18:00") == [
        "b1 END_OF_DAY",
        "DaySettled 2026-11-27",
        "Uncrossed CLOSING_CALL 1",
        "SessionClosed 2026-11-27",
    ]
    await venue.submit(order("b2", "bob", BUY, 5, 99, "DAY"))
    for back in ("2026-11-27 17:59:30", "2026-11-27 14:30", "2026-11-25 20:59:30"):
        assert await venue.at(back) == []
    # What came after the close is for the next session.
    assert await venue.at("2026-11-30 14:30") == ["SessionOpened 2026-11-30"]
    assert await venue.at("2026-11-30 23:00") == [
        "b2 END_OF_DAY",
        "DaySettled 2026-11-30",
        "SessionClosed 2026-11-30",
    ]
    venue.check()
    await venue.stop()


@pytest.mark.parametrize(
    ("before", "after", "opens"),
    [("2026-10-30", "2026-11-02", "14:30"), ("2027-03-12", "2027-03-15", "13:30")],
)
async def test_hours_that_change_with_summer_time(before: str, after: str, opens: str) -> None:
    earlier = "13:30" if opens == "14:30" else "14:30"
    venue = await (await Venue("XNYS", f"{before} 12:00").start()).declare()
    await venue.at(f"{before} 12:00")
    assert await venue.at(f"{before} {earlier}") == [f"SessionOpened {before}"]
    assert await venue.at(f"{before} 23:00") == [f"DaySettled {before}", f"SessionClosed {before}"]
    too_early = "13:30" if opens == "14:30" else "13:00"
    assert await venue.at(f"{after} {too_early}") == []
    assert await venue.at(f"{after} {opens}") == [f"SessionOpened {after}"]
    assert await venue.at(f"{after} {too_early}") == []
    closes = "21:00" if opens == "14:30" else "20:00"
    assert await venue.at(f"{after} {closes}") == [f"DaySettled {after}", f"SessionClosed {after}"]
    await venue.stop()


async def test_midnight_passed_back_and_forth() -> None:
    """`always`: a day that has begun goes on when the clock falls back into the one before it."""
    venue = await (await Venue("always", "2026-11-24 23:59").start()).declare()
    await venue.at("2026-11-24 23:59")
    await venue.submit(order("b1", "bob", BUY, 5, 99, "DAY"))
    assert await venue.at("2026-11-25 00:00") == [
        "b1 END_OF_DAY",
        "DaySettled 2026-11-24",
        "SessionClosed 2026-11-24",
        "SessionOpened 2026-11-25",
    ]
    await venue.submit(order("b2", "bob", BUY, 5, 99, "DAY"))
    assert await venue.at("2026-11-24 23:59") == []
    assert await venue.at("2026-11-25 00:00") == []
    # Three days at once: those between have no session, and settle all the same.
    assert await venue.at("2026-11-28 12:00") == [
        "b2 END_OF_DAY",
        "DaySettled 2026-11-25",
        "DaySettled 2026-11-26",
        "DaySettled 2026-11-27",
        "SessionClosed 2026-11-25",
        "SessionOpened 2026-11-28",
    ]
    assert await venue.at("2026-11-26 12:00") == []
    await venue.stop()


async def test_a_margin_call_is_issued_once_and_liquidates_once() -> None:
    venue = await (await Venue("always", "2026-11-24 12:00").start()).declare()
    await venue.at("2026-11-24 12:00")
    for name, account, side, qty, px in (
        ("a1", "alice", SELL, 55, 100),
        ("c1", "carol", BUY, 55, 100),
        ("b1", "bob", BUY, 1, 60),
        ("a2", "alice", SELL, 1, 60),
        ("b2", "bob", BUY, 99, 60),
    ):
        await venue.submit(order(name, account, side, qty, px, "GTC"))
    venue.news()
    assert margin(await venue.events_at("2026-11-24 12:00:02")) == ["MarginCallIssued"]
    for on_time in ("12:30", "12:00", "10:00", "12:59"):
        assert margin(await venue.events_at(f"2026-11-24 {on_time}")) == []
    assert margin(await venue.events_at("2026-11-23 12:00")) == []
    assert margin(await venue.events_at("2026-11-24 13:00:02")) == ["LiquidationStarted"]
    assert margin(await venue.events_at("2026-11-24 11:00")) == ["MarginCallMet"]
    for later in ("2026-11-24 13:30", "2026-11-24 12:30", "2026-11-26 12:00"):
        assert margin(await venue.events_at(later)) == []
    venue.check()
    await venue.stop()


def margin(events: list[Message]) -> list[str]:
    """Those of the events that are about margin, by name."""
    about = (m.MarginCallIssued, m.MarginCallMet, m.LiquidationStarted)
    return [type(event).__name__ for event in events if isinstance(event, about)]


# ---------------------------------------------------------------- a clock gone mad


class Watch:
    """Holds what the streams say against the clock's time when they said it."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.place: dict[str, tuple[str, int]] = {}
        self.uncrossed: set[tuple[str, str, str]] = set()
        self.begun: set[str] = set()
        self.ticked: set[date] = set()
        self.settled: dict[str, list[str]] = {}
        self.calls: set[str] = set()
        self.issued = 0
        self.due: dict[str, int] = {}
        self.expires: dict[str, int] = {}
        self.days: set[str] = set()
        self.open: dict[str, str] = {}
        self.closed: set[str] = set()

    async def tick(self) -> None:
        """One tick, and what must be so after it."""
        now_us = self.venue.clock.now_us()
        self.ticked.add(self.venue.calendar.local_date(now_us))
        await self.venue.time.tick()
        self.hear(now_us)
        self.check_place(now_us)
        for order_id, expire_us in self.expires.items():
            assert now_us < expire_us or order_id in self.closed, f"{order_id} is past its time"

    def hear(self, now_us: int) -> None:
        """Look at what is new, at that time of the clock."""
        for shard in self.venue.heard:
            rows = self.venue.database.rows.get(shard, [])
            for row in rows[self.venue.heard[shard] :]:
                event = decode(row.event_type, row.payload)
                if shard.startswith("matching"):
                    self.hear_of_session(shard, event)
                else:
                    self.hear_of_order(shard, event, now_us)
            self.venue.heard[shard] = len(rows)

    def hear_of_session(self, shard: str, event: Message) -> None:
        phases = {
            mm.OpeningCallBegun: OPENING_CALL,
            mm.SessionOpened: CONTINUOUS,
            mm.ClosingCallBegun: CLOSING_CALL,
            mm.SessionClosed: CLOSED,
        }
        phase = phases.get(type(event))
        day, rank = self.place.get(shard, ("", RANKS.index(CLOSED)))
        if phase is not None:
            new_day: str = event.session_date  # type: ignore[attr-defined]
            new = (new_day, RANKS.index(phase))
            assert new > (day, rank), f"{new} after {(day, rank)}"
            # A session ends before another one begins, and one that never opened has no end.
            if new_day == day:
                assert phase != CLOSED or rank >= RANKS.index(CONTINUOUS)
            else:
                assert rank == RANKS.index(CLOSED)
                assert phase in (OPENING_CALL, CONTINUOUS)
                assert date.fromisoformat(new_day) in self.ticked, "a session that nobody saw"
                assert self.venue.calendar.has_session(date.fromisoformat(new_day))
            self.place[shard] = new
        elif isinstance(event, mm.Uncrossed) and event.phase == OPENING_CALL:
            # The auction is the first thing in its session, and there is one of it.
            assert rank == RANKS.index(CONTINUOUS)
            assert (event.symbol, day, event.phase) not in self.uncrossed
            self.uncrossed.add((event.symbol, day, event.phase))
        elif isinstance(event, mm.Uncrossed) and event.phase == CLOSING_CALL:
            assert rank == RANKS.index(CLOSING_CALL)
            self.uncrossed.add((event.symbol, day, event.phase))

    def hear_of_order(self, shard: str, event: Message, now_us: int) -> None:
        if isinstance(event, m.DaySettled):
            self.settled.setdefault(shard, []).append(event.settle_date)
        elif isinstance(event, m.OrderAccepted):
            self.open[event.order_id] = event.time_in_force
            if event.expire_us:
                self.expires[event.order_id] = event.expire_us
        elif isinstance(event, m.GroupAccepted):
            for leg in (event.tp_order_id, event.sl_order_id):
                self.open[leg] = event.time_in_force
                if event.expire_us:
                    self.expires[leg] = event.expire_us
        elif isinstance(event, m.OrderFilled):
            assert event.order_id not in self.closed
            settles = self.venue.calendar.settlement_date(date.fromisoformat(event.trade_date))
            assert event.settle_date == settles.isoformat()
            if event.done:
                self.close(event.order_id)
        elif isinstance(event, m.OrderCanceled):
            self.close(event.order_id)
        elif isinstance(event, m.OrderExpired):
            self.close(event.order_id)
            if event.reason == mm.END_OF_DAY:
                assert self.open[event.order_id] == "DAY"
                self.days.add(event.order_id)
            else:
                assert self.expires[event.order_id] <= now_us
        else:
            self.hear_of_margin(event, now_us)

    def close(self, order_id: str) -> None:
        assert order_id not in self.closed, f"{order_id} ends twice"
        self.closed.add(order_id)

    def hear_of_margin(self, event: Message, now_us: int) -> None:
        if isinstance(event, m.MarginCallIssued):
            assert event.account_id not in self.calls, "called twice"
            self.calls.add(event.account_id)
            self.issued += 1
            self.due[event.account_id] = event.due_us
            assert event.due_us == now_us + MARGIN_CALL_S * US_PER_S
        elif isinstance(event, m.MarginCallMet):
            self.calls.remove(event.account_id)
        elif isinstance(event, m.LiquidationStarted) and event.qty:
            assert event.account_id in self.calls
            assert self.due[event.account_id] <= now_us

    def check_place(self, now_us: int) -> None:
        """The calendar's session is on, unless the clock has fallen behind the last one."""
        wanted = self.venue.calendar.session_of(now_us)
        for day, rank in self.place.values():
            if wanted is not None and wanted.isoformat() > day:
                raise AssertionError(f"the session of {wanted} has not begun")
            if wanted is None and rank == RANKS.index(CONTINUOUS):
                session = self.venue.calendar.session(date.fromisoformat(day))
                assert session is not None
                assert now_us < session.close_us, f"{day} is over"

    def check_settled(self) -> None:
        """Each business day since the first, each once, in order, in every partition."""
        for days in self.settled.values():
            self.check_days(days)

    def check_days(self, found: list[str]) -> None:
        day, expected = date.fromisoformat(found[0]), []
        while day <= date.fromisoformat(found[-1]):
            if self.venue.calendar.has_session(day):
                expected.append(day.isoformat())
            day += DAY
        assert found == expected


def jump_us(venue: Venue, rng: random.Random) -> int:
    """Where the clock goes next: on, back, to where something is due, and sometimes far."""
    chance = rng.random()
    now_us = venue.clock.now_us()
    if chance < 0.3:
        return rng.randint(1, 90) * MINUTE_US
    if chance < 0.45:
        return -rng.randint(1, 600) * MINUTE_US
    if chance < 0.75:
        due = rng.choice((venue.calendar.next_open, venue.calendar.next_close))(now_us)
        return due - now_us + rng.randint(-130, 30) * US_PER_S
    if chance < 0.85:
        return rng.choice((-1, 1)) * rng.randint(1, 200) * US_PER_S
    if chance < 0.95:
        return rng.choice((24, 24, 72, -24)) * 60 * MINUTE_US
    return rng.randint(-20, 30) * 24 * 60 * MINUTE_US


def asked(venue: Venue, chance: random.Random) -> Message:
    """Something of a client: orders that end with the day, at a time, in an auction."""
    venue.sent += 1
    name = f"o{venue.sent}"
    account = chance.choice(("alice", "bob", "carol"))
    symbol = chance.choice(("AAPL", "MSFT"))
    side = BUY if account == "carol" else chance.choice((BUY, SELL))
    # The market falls and rises again, by half, so that margin is called.
    middle = 70 + abs(venue.sent % 160 - 80) // 2
    px = (middle + chance.randint(-8, 8)) * USD
    qty = chance.randint(1, 15 if account == "carol" else 60) * SHARE
    tif = chance.choice(("DAY", "DAY", "GTC", "GTD", "OPG", "CLS"))
    expire_us = venue.clock.now_us() + chance.randint(1, 3_000) * MINUTE_US if tif == "GTD" else 0
    if account != "carol" and chance.random() < 0.25:
        tif = tif if tif in ("DAY", "GTD") else "GTC"
        return m.SubmitGroup(
            account, name, name, "OCO", symbol, SELL, tif, qty,
            tp_order_id=name, tp_limit_px=(middle + chance.randint(2, 20)) * USD,
            sl_order_id=f"{name}.sl", sl_stop_px=(middle - chance.randint(2, 20)) * USD,
            expire_us=expire_us,
        )  # fmt: skip
    return m.SubmitOrder(
        account, name, name, symbol, side, "LIMIT", tif, qty, limit_px=px, expire_us=expire_us
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("calendar", "start", "partitions"),
    [
        ("always", "2026-11-24 23:50", (1, 1)),
        ("XNYS", "2026-11-25 14:00", (1, 1)),
        ("XNYS", "2026-10-30 13:00", (2, 2)),
        ("XNYS", "2027-03-12 14:00", (1, 2)),
    ],
)
async def test_wherever_the_clock_goes_nothing_comes_twice(
    calendar: str, start: str, partitions: tuple[int, int], seed: int
) -> None:
    chance = random.Random(f"{calendar} {start} {seed}")
    venue = await (await Venue(calendar, start, partitions).start()).declare()
    watch = Watch(venue)
    for number in range(200):
        await venue.clock.advance(1.0)
        venue.clock.jump(jump_us(venue, chance))
        venue.dies_after = chance.randint(0, 6) if chance.random() < 0.2 else None
        try:
            await watch.tick()
        except Killed:
            watch.hear(venue.clock.now_us())
            await restart(venue)
            await watch.tick()
        venue.dies_after = None
        for _ in range(chance.randint(0, 4)):
            await venue.submit(asked(venue, chance))
        watch.hear(venue.clock.now_us())
        if number % 20 == 0:
            venue.check()
    venue.check()
    watch.check_settled()
    assert watch.days, "no DAY order has expired"
    assert watch.uncrossed or calendar == "always"
    await venue.stop()


async def restart(venue: Venue) -> None:
    """The process is gone, and another one starts."""
    venue.dies_after = None
    await venue.stop()
    venue.database.snapshots.clear()
    await venue.start()
