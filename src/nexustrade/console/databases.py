"""The venue's databases as commands read them, whether the venue runs or not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from nexustrade.adapters.postgres.embedded import EmbeddedServer, running_dsn
from nexustrade.console.output import UNREACHABLE, CommandError
from nexustrade.console.venue import find_venue

Which = Literal["trading", "accounts"]

VARIABLES: Final[dict[Which, str]] = {
    "trading": "NEXUSTRADE_TRADING_DSN",
    "accounts": "NEXUSTRADE_ACCOUNTS_DSN",
}


@contextmanager
def database(directory: Path, which: Which) -> Iterator[str]:
    """The DSN of a database of the venue on a directory.

    It is the one the environment names, that of the running venue, or that of the directory's own
    server, which is started for the while when it does not run.
    """
    dsn = os.environ.get(VARIABLES[which], "") or _running(directory, which)
    if dsn:
        yield dsn
        return
    if not (directory / "postgres" / "cluster").exists():
        raise CommandError(f"there is no venue in {directory}", UNREACHABLE)
    server = EmbeddedServer(directory)
    server.start()
    try:
        yield server.dsn(which)
    finally:
        server.stop()


def _running(directory: Path, which: Which) -> str:
    try:
        venue = find_venue(directory)
    except CommandError:
        return running_dsn(directory, which) or ""
    return venue.trading_dsn if which == "trading" else venue.accounts_dsn
