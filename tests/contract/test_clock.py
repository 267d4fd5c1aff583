"""What every clock promises."""

import asyncio
import time

import pytest

from nexustrade.adapters.memory import VirtualClock
from nexustrade.adapters.memory import clock as module
from nexustrade.adapters.system import SystemClock
from nexustrade.kernel.ports import Clock


@pytest.fixture(params=[SystemClock, VirtualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


async def test_time_is_in_microseconds_and_does_not_go_back(clock: Clock) -> None:
    assert clock.now_us() > 1_500_000_000_000_000
    first = clock.monotonic_ns()
    assert clock.monotonic_ns() >= first


async def test_sleeping_no_time_returns_at_once(clock: Clock) -> None:
    await clock.sleep(0)
    await clock.sleep(-1)


async def test_sleeping_takes_its_time(clock: Clock) -> None:
    before = clock.monotonic_ns()
    sleeping = asyncio.ensure_future(clock.sleep(0.01))
    if isinstance(clock, VirtualClock):
        await clock.advance(0.01)
    await sleeping
    assert clock.monotonic_ns() - before >= 9_000_000


def test_the_system_clock_is_the_system_clock() -> None:
    before = time.time_ns() // 1000
    assert before <= SystemClock().now_us() <= time.time_ns() // 1000


async def test_sleepers_wake_in_their_order_and_at_their_instant() -> None:
    clock = VirtualClock(5_000_000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now_us()))

    tasks = [
        asyncio.ensure_future(sleeper("a", 3, 3)),
        asyncio.ensure_future(sleeper("b", 1, 1, 1)),
    ]
    await clock.advance(2.5)
    assert woken == [("b", 6_000_000), ("b", 7_000_000)]
    assert clock.now_us() == 7_500_000
    await clock.advance(10)
    assert woken[2:] == [("a", 8_000_000), ("b", 8_000_000), ("a", 11_000_000)]
    assert clock.monotonic_ns() == 12_500_000_000
    await asyncio.gather(*tasks)


async def test_a_jump_moves_the_wall_clock_alone() -> None:
    clock = VirtualClock(5_000_000)
    clock.jump(-1_000_000)
    assert (clock.now_us(), clock.monotonic_ns()) == (4_000_000, 0)


async def test_a_cancelled_sleeper_is_passed_over() -> None:
    clock = VirtualClock()
    sleeping = asyncio.ensure_future(clock.sleep(1))
    await asyncio.sleep(0)
    sleeping.cancel()
    await clock.advance(2)
    assert sleeping.cancelled()


async def test_sleepers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLEEPERS_MAX", 1)
    clock = VirtualClock()
    sleeping = asyncio.ensure_future(clock.sleep(1))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await clock.sleep(1)
    await clock.advance(1)
    await sleeping
