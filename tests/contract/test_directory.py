"""What every directory promises."""

import asyncio

import pytest

from nexustrade.adapters.memory import MemoryDirectory
from nexustrade.adapters.memory import directory as module
from nexustrade.core.errors import Overloaded
from nexustrade.kernel.ports import Directory, Instance


@pytest.fixture
def directory() -> Directory:
    return MemoryDirectory()


async def test_instances_are_found_by_service(directory: Directory) -> None:
    one, two = Instance("orders", "o-1", "127.0.0.1:1"), Instance("orders", "o-2", "127.0.0.1:2")
    for instance in (two, one, Instance("matching", "m-1", "127.0.0.1:3")):
        await directory.register(instance)
    assert list(await directory.find("orders")) == [one, two]
    moved = one._replace(address="127.0.0.1:9")
    await directory.register(moved)
    await directory.deregister("o-2")
    await directory.deregister("o-2")
    assert list(await directory.find("orders")) == [moved]
    assert list(await directory.find("settlement")) == []


async def test_a_lock_has_one_owner(directory: Directory) -> None:
    assert await directory.lock("orders-0", "a")
    assert await directory.lock("orders-0", "a")
    assert not await directory.lock("orders-0", "b")
    assert await directory.lock("orders-1", "b")
    await directory.unlock("orders-0", "b")
    assert not await directory.lock("orders-0", "b")
    await directory.unlock("orders-0", "a")
    assert await directory.lock("orders-0", "b")


async def test_settings_are_kept(directory: Directory) -> None:
    assert await directory.setting("k") is None
    await directory.put_setting("k", "1")
    await directory.put_setting("k", "2")
    assert await directory.setting("k") == "2"
    assert await directory.setting("other") is None


async def test_a_watcher_sees_the_value_and_each_change(directory: Directory) -> None:
    watch = directory.watch("k")
    assert await anext(watch) is None
    await directory.put_setting("k", "1")
    await directory.put_setting("other", "x")
    await directory.put_setting("k", "2")
    assert [await anext(watch), await anext(watch)] == ["1", "2"]
    later = directory.watch("k")
    assert await anext(later) == "2"
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    # A value that stays the same is no change.
    await directory.put_setting("k", "2")
    await asyncio.sleep(0)
    assert not waiting.done()
    await directory.put_setting("k", "3")
    assert [await waiting, await anext(later)] == ["3", "3"]


async def test_a_slow_watcher_loses_the_oldest_and_never_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WATCH_LEN_MAX", 2)
    directory = MemoryDirectory()
    watch = directory.watch("k")
    await anext(watch)
    for value in "abcd":
        await directory.put_setting("k", value)
    assert [await anext(watch), await anext(watch)] == ["c", "d"]


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("INSTANCES_MAX", "LOCKS_MAX", "SETTINGS_MAX"):
        monkeypatch.setattr(module, limit, 1)
    directory = MemoryDirectory()
    await directory.register(Instance("s", "a", ""))
    await directory.lock("a", "o")
    await directory.put_setting("a", "v")
    with pytest.raises(Overloaded):
        await directory.register(Instance("s", "b", ""))
    with pytest.raises(Overloaded):
        await directory.lock("b", "o")
    with pytest.raises(Overloaded):
        await directory.put_setting("b", "v")
    await directory.put_setting("a", "w")
