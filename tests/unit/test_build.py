"""Which build is under test: the installed one is this checkout, compiled as a whole or not at all.

`make test` runs everything on the installed build, and the unit, property and golden tests once
more on the uncompiled source (tests/e2e/test_both_builds.py).
"""

import importlib.util
import os
from pathlib import Path

import pytest

import nexustrade
from nexustrade import build

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "nexustrade"
PACKAGE = Path(nexustrade.__file__).parent


def test_every_module_to_compile_exists() -> None:
    lost = [name for name in build.COMPILED_MODULES if importlib.util.find_spec(name) is None]
    assert lost == []
    assert list(build.COMPILED_MODULES) == sorted(set(build.COMPILED_MODULES))


def test_the_modules_are_compiled_all_or_none() -> None:
    assert build.uncompiled_modules() in ([], list(build.COMPILED_MODULES))
    assert build.compiled() is (build.uncompiled_modules() == [])


def test_the_build_is_the_one_asked_for() -> None:
    asked = os.environ.get("NEXUSTRADE_TESTED_BUILD")
    if asked is not None:
        assert asked == ("compiled" if build.compiled() else "uncompiled")


def test_what_is_installed_is_this_checkout() -> None:
    """A stale installation would test yesterday's code: `make test` renews it."""
    if PACKAGE == SOURCE:
        return
    for path in SOURCE.rglob("*.py"):
        installed = PACKAGE / path.relative_to(SOURCE)
        assert installed.is_file(), f"{installed} is missing: run make test"
        assert installed.read_bytes() == path.read_bytes(), f"{installed} is stale: run make test"


def test_one_module_left_uncompiled_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = ("nexustrade.core.terms", "nexustrade.no_such_module")
    monkeypatch.setattr(build, "COMPILED_MODULES", lacking)
    assert build.uncompiled_modules() == list(lacking)
    assert not build.compiled()
