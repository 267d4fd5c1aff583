"""A clock that stands still until it is told to move: time in tests and simulations."""

import asyncio
import heapq
from typing import Final

SLEEPERS_MAX: Final = 100_000
"""Most tasks that may sleep at the same time."""

_NS_PER_S: Final = 1_000_000_000


class VirtualClock:
    """Time that only `advance` and `jump` change."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us
        self._monotonic_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def now_us(self) -> int:
        """Wall-clock time in microseconds since 1970-01-01 UTC."""
        return self._now_us

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        return self._monotonic_ns

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced that far, or at once when it is not above 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if len(self._sleepers) >= SLEEPERS_MAX:
            raise RuntimeError(f"more than {SLEEPERS_MAX} tasks sleep on one clock")
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        due_ns = self._monotonic_ns + round(seconds * _NS_PER_S)
        heapq.heappush(self._sleepers, (due_ns, self._order, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, waking each sleeper at its own instant and in order."""
        until_ns = self._monotonic_ns + round(seconds * _NS_PER_S)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until_ns:
            due_ns, _, woken = heapq.heappop(self._sleepers)
            self._move(due_ns)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._move(until_ns)

    def jump(self, us: int) -> None:
        """Set the wall clock forward or back by `us`, as an administrator or NTP may."""
        self._now_us += us

    def _move(self, to_ns: int) -> None:
        self._now_us += to_ns // 1000 - self._monotonic_ns // 1000
        self._monotonic_ns = to_ns

    async def _settle(self) -> None:
        # A woken task may go through a few futures before it sleeps again or stops.
        for _ in range(10):
            await asyncio.sleep(0)
