"""`nexustrade up`: start a venue and run it in the foreground."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import uvloop
from cyclopts import Parameter

from nexustrade import __version__
from nexustrade.build import compiled
from nexustrade.console.options import HERE, Where
from nexustrade.console.output import USAGE, CommandError
from nexustrade.core.errors import InputError
from nexustrade.kernel.config import Secret, VenueConfig, load_config, parse_address

PRIVATE: Final = 0o077
"""What nobody else may do with the venue's files."""


def up(
    *,
    config: Annotated[
        Path | None,
        Parameter(
            env_var="NEXUSTRADE_CONFIG",
            help="The venue's file (default: twenty symbols, a demo account and a demo market).",
        ),
    ] = None,
    http: Annotated[
        str | None,
        Parameter(
            env_var="NEXUSTRADE_HTTP",
            help="HOST:PORT to listen on (default: the file's, else 127.0.0.1:8080).",
        ),
    ] = None,
    demo: Annotated[
        bool | None, Parameter(help="With the demo market, or without (default: as the file says).")
    ] = None,
    trading_dsn: Annotated[
        str | None,
        Parameter(
            env_var="NEXUSTRADE_TRADING_DSN",
            help="A PostgreSQL database for the events, instead of the embedded server's. One with"
            " a password belongs into the environment, where other users cannot see it.",
        ),
    ] = None,
    accounts_dsn: Annotated[
        str | None,
        Parameter(
            env_var="NEXUSTRADE_ACCOUNTS_DSN",
            help="The same for API keys and the order history.",
        ),
    ] = None,
    where: Where = HERE,
) -> int:
    """Start a venue and run it in the foreground until Ctrl-C or SIGTERM."""
    progress = Progress()
    progress(f"NexusTrade {__version__}{'' if compiled() else ' (uncompiled: slower)'}")
    # The default venue takes its accounts and instruments from the package.
    venue = load_config(config)
    progress(f"read {config or 'the default venue'}: {len(venue.instruments)} instruments")
    venue = _override(venue, trading_dsn, accounts_dsn)
    address = _address(http, venue)
    wanted = venue.demo.enabled if demo is None else demo
    _check_demo(venue, wanted=wanted)
    os.umask(PRIVATE)
    directory = where.directory
    progress(f"data in {directory}")

    def ready(url: str, key: str, secret: str) -> None:
        progress("ready")
        print(welcome(url, key, secret), flush=True)  # noqa: T201

    # Imported last: the lines above appear at once.
    from nexustrade.kernel.bootstrap import run_venue  # noqa: PLC0415

    try:
        return uvloop.run(run_venue(venue, directory, address, wanted, progress, ready))
    except PermissionError as error:
        raise CommandError(f"{error.filename or directory}: {error.strerror}") from None
    except OSError as error:
        if error.filename is None:
            raise
        raise CommandError(f"{error.filename}: {error.strerror}") from None


class Progress:
    """Prints a line for each step with the seconds since the start."""

    def __init__(self) -> None:
        self._started_ns = time.monotonic_ns()

    def __call__(self, step: str) -> None:
        """Tell that a step begins."""
        elapsed_s = (time.monotonic_ns() - self._started_ns) / 1e9
        print(f"{elapsed_s:6.1f} s  {step}", file=sys.stdout, flush=True)  # noqa: T201


def _override(
    config: VenueConfig, trading_dsn: str | None, accounts_dsn: str | None
) -> VenueConfig:
    """The configuration with the DSNs of arguments and environment above its own."""
    databases = msgspec.structs.replace(
        config.databases,
        trading=Secret(trading_dsn or config.databases.trading),
        accounts=Secret(accounts_dsn or config.databases.accounts),
    )
    return msgspec.structs.replace(config, databases=databases)


def _address(http: str | None, config: VenueConfig) -> tuple[str, int]:
    if http is None:
        return config.http.host, config.http.port
    try:
        return parse_address(http)
    except InputError as error:
        raise CommandError(f"--http {http}: {error.rule}", USAGE) from None


def _check_demo(config: VenueConfig, *, wanted: bool) -> None:
    """The demo market quotes around reference prices: every instrument must have one."""
    without = [each.symbol for each in config.instruments if not each.reference_px]
    if wanted and without:
        symbols = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        raise CommandError(f"the demo market needs a reference_price for {symbols}")


def welcome(url: str, key: str, secret: str) -> str:
    """What a first user needs: the URL, a key where there is one, and a line to try."""
    lines = ["", f"  URL     {url}    (API: {url}/docs)"]
    if key:
        lines += [
            f"  Key     {key}",
            f"  Secret  {secret}",
            "",
            "  Try:",
            f"  curl -H 'APCA-API-KEY-ID: {key}' -H 'APCA-API-SECRET-KEY: {secret}' \\",
            f"    {url}/v2/account",
        ]
    else:
        lines += ["", "  Open an account:  nexustrade account open alice --cash 100000"]
    return "\n".join([*lines, "", "  Ctrl-C stops the venue.", ""])
