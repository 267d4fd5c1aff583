"""What every cache promises."""

import pytest

from nexustrade.adapters.memory import MemoryCache, VirtualClock
from nexustrade.adapters.memory import cache as module
from nexustrade.core.errors import Overloaded
from nexustrade.kernel.ports import Cache, Lease


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def cache(clock: VirtualClock) -> Cache:
    return MemoryCache(clock)


async def test_a_value_lasts_its_time(cache: Cache, clock: VirtualClock) -> None:
    assert await cache.get("k") is None
    await cache.put("k", b"\x00v", 1_000)
    await clock.advance(0.999)
    assert await cache.get("k") == b"\x00v"
    await clock.advance(0.001)
    assert await cache.get("k") is None


async def test_a_wall_clock_that_jumps_changes_nothing(cache: Cache, clock: VirtualClock) -> None:
    await cache.put("k", b"v", 1_000)
    clock.jump(3_600_000_000)
    assert await cache.get("k") == b"v"
    clock.jump(-7_200_000_000)
    await clock.advance(1)
    assert await cache.get("k") is None


async def test_a_value_is_replaced_with_its_time(cache: Cache, clock: VirtualClock) -> None:
    await cache.put("k", b"old", 1_000)
    await cache.put("k", b"new", 5_000)
    await clock.advance(2)
    assert await cache.get("k") == b"new"
    await cache.delete("k")
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_a_lease_has_one_holder(cache: Cache) -> None:
    lease = await cache.acquire("k", 1_000)
    assert lease is not None
    assert await cache.acquire("k", 1_000) is None
    assert await cache.acquire("other", 1_000) is not None
    assert not await cache.release(Lease("k", "guessed"))
    assert await cache.acquire("k", 1_000) is None
    assert await cache.release(lease)
    assert not await cache.release(lease)
    assert await cache.acquire("k", 1_000) is not None


async def test_a_lease_ends_by_itself(cache: Cache, clock: VirtualClock) -> None:
    late = await cache.acquire("k", 1_000)
    assert late is not None
    await clock.advance(1)
    now = await cache.acquire("k", 1_000)
    assert now is not None
    assert now.token != late.token
    assert not await cache.release(late)
    assert await cache.acquire("k", 1_000) is None
    await clock.advance(1)
    assert not await cache.release(now)


async def test_values_and_leases_are_apart(cache: Cache) -> None:
    await cache.put("k", b"v", 1_000)
    assert await cache.acquire("k", 1_000) is not None
    assert await cache.get("k") == b"v"


async def test_the_oldest_value_makes_room(clock: VirtualClock) -> None:
    cache = MemoryCache(clock, entries_max=2)
    for key in ("a", "b", "a", "c"):
        await cache.put(key, key.encode(), 1_000)
    assert [await cache.get(key) for key in "abc"] == [b"a", None, b"c"]


async def test_leases_are_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASES_MAX", 2)
    cache = MemoryCache(clock)
    assert await cache.acquire("a", 1_000)
    assert await cache.acquire("b", 2_000)
    with pytest.raises(Overloaded):
        await cache.acquire("c", 1_000)
    await clock.advance(1)
    assert await cache.acquire("c", 1_000)
