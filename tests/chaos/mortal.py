"""A process that plays a life and kills itself, with SIGKILL, in the middle of a commit."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.adapters.postgres.wire import Wire
from nexustrade.kernel.ports import Append
from tests.chaos.lives import LIVES
from tests.chaos.sittings import Sitting

UNSENT: Final = "unsent"
"""The batch is decided, and nothing of it has been sent."""
SENT: Final = "sent"
"""All rows are with the server; the commit is not."""
IN_THE_AIR: Final = "in the air"
"""The commit is sent, and nobody is left to hear whether it succeeded."""
DURABLE: Final = "durable"
"""The server has answered; nobody has been told."""
LOST: Final = (UNSENT, SENT)
LANDED: Final = (IN_THE_AIR, DURABLE)


class Death(NamedTuple):
    """Where a process dies: in which commit of which step, and how far that has come."""

    step: int
    commit: int
    place: str


class MortalStore(PostgresEventStore):
    """An event store whose process dies at one of its appends."""

    def __init__(self, dsn: str, place: str) -> None:
        super().__init__(dsn)
        self.place = place
        self.dies_in = 0
        """The append, from now on, that is the last one; 0: none."""

    async def append(
        self, appends: Sequence[Append], watermarks: Mapping[tuple[str, str], int]
    ) -> None:
        dies = self.dies_in == 1
        self.dies_in -= 1
        if dies:
            self._arm(await self._connected())
        await super().append(appends, watermarks)
        if dies:
            _die()

    def _arm(self, wire: Wire) -> None:
        """Die at the right moment of the transaction that follows."""
        if self.place == UNSENT:
            _die()
        elif self.place == SENT:
            send = wire._send_rows

            async def send_and_die(rows: bytes) -> None:
                await send(rows)
                await wire._flush()
                _die()

            wire._send_rows = send_and_die  # type: ignore[method-assign]
        elif self.place == IN_THE_AIR:

            async def die() -> None:
                _die()

            wire._committed = die  # type: ignore[method-assign]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def set_up(dsn: str, told: Connection) -> None:
    """Give a new database what every life begins with."""

    async def run() -> None:
        sitting = await Sitting(PostgresEventStore(dsn)).set_up()
        await sitting.end()

    asyncio.run(run())
    told.close()


def live(dsn: str, name: str, first: int, attempt: int, death: Death, told: Connection) -> None:
    """Play a life from the step `first` on, up to the step in which this process dies.

    The number of each step that is answered is `told`. The first thing done is to look whether
    what the last process left is whole.
    """

    async def run() -> None:
        store = MortalStore(dsn, death.place)
        steps = LIVES[name].steps
        sitting = await Sitting(store).start(steps[first].at_s)
        await sitting.check()
        for at in range(first, death.step + 1):
            store.dies_in = death.commit if at == death.step else 0
            await sitting.play(steps[at : at + 1], attempt)
            told.send(at)
        await sitting.end()

    asyncio.run(run())
    told.close()
