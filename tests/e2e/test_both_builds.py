"""The same tests on both builds: what is installed is compiled, this runs the rest uncompiled."""

import os
import subprocess
import sys
from pathlib import Path

from nexustrade import build

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("tests/unit", "tests/property", "tests/golden")


def uncompiled_environment() -> dict[str, str]:
    """Variables under which the source of the checkout is imported as it is."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NEXUSTRADE_TESTED_BUILD": "uncompiled"}


if build.compiled():

    def test_the_suites_pass_uncompiled() -> None:
        suites = [suite for suite in SUITES if (ROOT / suite).is_dir()]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites],
            cwd=ROOT,
            env=uncompiled_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"on the uncompiled build:\n{done.stdout[-20_000:]}"


def test_the_source_of_the_checkout_is_uncompiled() -> None:
    program = (
        "from nexustrade import build; print(build.uncompiled_modules() == "
        "list(build.COMPILED_MODULES))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=uncompiled_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
