"""Tells the stages what the clock and the calendar say: sessions, settlement, margin, time itself.

Keeps nothing but when it last asked for margin: what is due follows from what the stages were told
before. So it may tick at any time and as often as it likes, and it starts where another left off.
"""

from typing import Final, Protocol

from nexustrade.core.time import US_PER_S
from nexustrade.kernel.calendar import Calendar, session_commands, settlement_commands
from nexustrade.kernel.config import VenueConfig
from nexustrade.kernel.ports import Clock, Commands
from nexustrade.matching.messages import Tick
from nexustrade.orders.messages import CheckMargin

MARGIN_CHECK_NS: Final = 1_000_000_000
"""Shortest time between two looks at the margin of all accounts."""


class Sessions(Protocol):
    """How far the matching stages have come."""

    def session(self) -> tuple[str, str]:
        """The date of the last session they were told of ("" for none), and its phase."""
        ...


class Settlement(Protocol):
    """How far the orders stages have come."""

    def settled_date(self) -> str:
        """The last business day that is settled; empty for none."""
        ...

    def has_margin_accounts(self) -> bool:
        """Whether there is an account whose margin may have to be called."""
        ...


class Timekeeper:
    """The clock of a venue, as its stages see it."""

    def __init__(
        self,
        config: VenueConfig,
        calendar: Calendar,
        clock: Clock,
        commands: Commands,
        books: Sessions,
        orders: Settlement,
    ) -> None:
        self._calendar = calendar
        self._clock = clock
        self._commands = commands
        self._books = books
        self._orders = orders
        self._opening_call_us = config.opening_call_s * US_PER_S
        self._closing_call_us = config.closing_call_s * US_PER_S
        self._margin_call_us = config.margin_call_s * US_PER_S
        self._margin_checked_ns = 0

    async def tick(self) -> None:
        """Submit what is due now; raises what `Commands.submit` raises, and then begins anew."""
        now_us = self._clock.now_us()
        last_date, phase = self._books.session()
        for command in session_commands(
            self._calendar,
            last_date,
            phase,
            now_us,
            self._opening_call_us,
            self._closing_call_us,
        ):
            await self._commands.submit(command)
        await self._commands.submit(Tick())
        # After the sessions: the trades of a day's closing auction belong to the day that settles.
        settled_date = self._orders.settled_date()
        for day in settlement_commands(self._calendar, settled_date, now_us):
            await self._commands.submit(day)
        await self._check_margin()

    async def _check_margin(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._margin_checked_ns and now_ns - self._margin_checked_ns < MARGIN_CHECK_NS:
            return
        if self._orders.has_margin_accounts():
            self._margin_checked_ns = now_ns
            await self._commands.submit(CheckMargin(self._margin_call_us))
