"""The command line, `nexustrade`. Imports little: each command's module waits until it is called.

Exit codes: 0 done; 1 refused, not found or wrong; 2 not a command; 3 the venue cannot be reached.
"""

import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from nexustrade import __version__
from nexustrade.core.errors import NexusError, StoreUnavailable

HELP: Final = "A self-hostable trading venue and brokerage."


def make_app() -> App:
    """The application with all of its commands."""
    app = App(name="nexustrade", help=HELP, version=__version__, result_action="return_value")
    commands = "nexustrade.console."
    app.command(commands + "up:up", name="up", help="Start a venue and run it in the foreground.")
    app.command(
        commands + "account:app",
        name="account",
        help="Accounts, their cash, kill switch and API keys.",
    )
    app.command(commands + "order:app", name="order", help="Orders of an account.")
    app.command(commands + "book:app", name="book", help="Order books.")
    app.command(commands + "venue_state:app", name="venue", help="The venue as a whole.")
    app.command(commands + "audit:app", name="audit", help="The stored events.")
    app.command(
        commands + "explain:explain", name="explain", help="Tell what became of an order, and why."
    )
    app.command(commands + "export:app", name="export", help="Orders, fills and events as files.")
    app.command(
        commands + "scenario:app",
        name="scenario",
        help="Drive a venue through a scenario and score its stops.",
    )
    app.command(commands + "doctor:doctor", name="doctor", help="Find what is wrong, and the mend.")
    app.command(commands + "about:version", name="version", help="Show versions and the build.")
    app.command(
        commands + "about:completion", name="completion", help="Print a shell's completion script."
    )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    app = make_app()
    try:
        code = app(
            list(sys.argv[1:] if arguments is None else arguments),
            print_error=False,
            exit_on_error=False,
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        # Who read our output has enough. Nothing may be left to be flushed into the closed pipe.
        sys.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115
        return 0
    except KeyboardInterrupt:
        return 130
    except NexusError as error:
        return _failure(error)
    return code if isinstance(code, int) else 0


def _failure(error: NexusError) -> int:
    from nexustrade.console.output import CommandError

    if isinstance(error, CommandError):
        return _fail(str(error), error.code)
    return _fail(str(error), 3 if isinstance(error, StoreUnavailable) else 1)


def _fail(text: str, code: int) -> int:
    from nexustrade.console.output import complain

    complain(" ".join(text.split()) if code == 2 else text)
    return code


if __name__ == "__main__":
    sys.exit(main())
