"""Options that many commands have, and where a venue's files are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

ROOT_HOME: Final = Path("/var/lib/nexustrade")


def default_directory(environ: Mapping[str, str], *, root: bool) -> Path:
    """Where a venue's files are when nobody says where."""
    if root:
        return ROOT_HOME
    share = environ.get("XDG_DATA_HOME", "")
    base = Path(share) if share.startswith("/") else Path.home() / ".local" / "share"
    return base / "nexustrade"


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which venue a command is about."""

    data: Annotated[
        Path | None,
        Parameter(
            env_var="NEXUSTRADE_DATA",
            help="Directory of the venue (default: /var/lib/nexustrade for root, else"
            " ~/.local/share/nexustrade).",
        ),
    ] = None

    @property
    def directory(self) -> Path:
        """The venue's directory."""
        if self.data is not None:
            return self.data.expanduser()
        return default_directory(os.environ, root=os.geteuid() == 0)


@Parameter(name="*")
@dataclass(frozen=True)
class Answer(Where):
    """Which venue, and how to answer."""

    json: Annotated[bool, Parameter(negative=(), help="Answer in JSON.")] = False


HERE: Final = Where()
PLAIN: Final = Answer()
"""What holds when none of the options is given."""
