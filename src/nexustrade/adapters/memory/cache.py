"""The `Cache` port in one process."""

import secrets
from typing import Final

from nexustrade.core.errors import Overloaded
from nexustrade.kernel.ports import Clock, Lease

ENTRIES_MAX: Final = 100_000
"""Most values kept; the one put longest ago makes room for a new one."""
LEASES_MAX: Final = 100_000
"""Most leases held at the same time; more are refused."""

_NS_PER_MS: Final = 1_000_000


class MemoryCache:
    """Values and leases that end by themselves, on the given clock's monotonic time."""

    def __init__(self, clock: Clock, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._values: dict[str, tuple[int, bytes]] = {}
        self._leases: dict[str, tuple[int, str]] = {}

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or its time is over."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= self._clock.monotonic_ns():
            del self._values[key]
            return None
        return found[1]

    async def put(self, key: str, value: bytes, ttl_ms: int) -> None:
        """Keep the value for that long, in place of the one before."""
        self._values.pop(key, None)
        while len(self._values) >= self._entries_max:
            del self._values[next(iter(self._values))]
        self._values[key] = (self._due_ns(ttl_ms), bytes(value))

    async def delete(self, key: str) -> None:
        """Forget the value."""
        self._values.pop(key, None)

    async def acquire(self, key: str, ttl_ms: int) -> Lease | None:
        """The lease, or None when somebody holds it."""
        now_ns = self._clock.monotonic_ns()
        held = self._leases.get(key)
        if held is not None and held[0] > now_ns:
            return None
        if len(self._leases) >= LEASES_MAX:
            self._leases = {k: v for k, v in self._leases.items() if v[0] > now_ns}
            if len(self._leases) >= LEASES_MAX:
                raise Overloaded(f"{LEASES_MAX} leases are held")
        token = secrets.token_hex(16)
        self._leases[key] = (self._due_ns(ttl_ms), token)
        return Lease(key, token)

    async def release(self, lease: Lease) -> bool:
        """Give the lease back; False when it was no longer ours."""
        held = self._leases.get(lease.key)
        if held is None or held[1] != lease.token:
            return False
        del self._leases[lease.key]
        return held[0] > self._clock.monotonic_ns()

    def _due_ns(self, ttl_ms: int) -> int:
        return self._clock.monotonic_ns() + ttl_ms * _NS_PER_MS
