"""The `Directory` port in one process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from nexustrade.core.errors import Overloaded
from nexustrade.kernel.ports import Instance

INSTANCES_MAX: Final = 10_000
LOCKS_MAX: Final = 10_000
SETTINGS_MAX: Final = 10_000
WATCH_LEN_MAX: Final = 1_000
"""Most values that wait for a slow watcher; the oldest go first, the newest never."""


class Watch:
    """What one watcher has still to see."""

    def __init__(self) -> None:
        self.values: deque[str | None] = deque(maxlen=WATCH_LEN_MAX)
        self.changed = asyncio.Event()

    def tell(self, value: str | None) -> None:
        """Queue a value for the watcher."""
        self.values.append(value)
        self.changed.set()


class MemoryDirectory:
    """Instances, locks and settings of one process; locks last until they are given back."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._locks: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        self._watches: dict[str, list[Watch]] = {}

    async def register(self, instance: Instance) -> None:
        """Make an instance known, in place of an earlier one of the same id."""
        _bound(self._instances, instance.instance_id, INSTANCES_MAX)
        self._instances[instance.instance_id] = instance

    async def deregister(self, instance_id: str) -> None:
        """Forget an instance; nothing happens when it is not known."""
        self._instances.pop(instance_id, None)

    async def find(self, service: str) -> Sequence[Instance]:
        """The instances of a service, in order of their ids."""
        found = (one for one in self._instances.values() if one.service == service)
        return sorted(found, key=lambda one: one.instance_id)

    async def lock(self, name: str, owner: str) -> bool:
        """Take or keep the lock; False when another owner has it."""
        _bound(self._locks, name, LOCKS_MAX)
        return self._locks.setdefault(name, owner) == owner

    async def unlock(self, name: str, owner: str) -> None:
        """Give the lock back; nothing happens when another owner has it."""
        if self._locks.get(name) == owner:
            del self._locks[name]

    async def setting(self, key: str) -> str | None:
        """The value of a setting, or None."""
        return self._settings.get(key)

    async def put_setting(self, key: str, value: str) -> None:
        """Set a value and tell its watchers."""
        _bound(self._settings, key, SETTINGS_MAX)
        if self._settings.get(key) == value:
            return
        self._settings[key] = value
        for watch in self._watches.get(key, ()):
            watch.tell(value)

    async def watch(self, key: str) -> AsyncIterator[str | None]:
        """The value now, then each later one as it changes."""
        watch = Watch()
        watch.tell(self._settings.get(key))
        self._watches.setdefault(key, []).append(watch)
        try:
            while True:
                while watch.values:
                    yield watch.values.popleft()
                watch.changed.clear()
                await watch.changed.wait()
        finally:
            self._watches[key].remove(watch)
            if not self._watches[key]:
                del self._watches[key]


def _bound(held: dict[str, Instance] | dict[str, str], key: str, len_max: int) -> None:
    if key not in held and len(held) >= len_max:
        raise Overloaded(f"the directory holds {len_max} already")
