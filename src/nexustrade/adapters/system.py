"""The machine's own clock behind the `Clock` port."""

import asyncio
import time


class SystemClock:
    """Time as the operating system has it."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since 1970-01-01 UTC; may jump."""
        return time.time_ns() // 1000

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences mean anything."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Return after that long, or at once when it is not above 0."""
        await asyncio.sleep(max(seconds, 0))
