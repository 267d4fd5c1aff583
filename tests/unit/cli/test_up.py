"""`nexustrade up` up to the point where the venue takes over."""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nexustrade.console.up import welcome
from nexustrade.core.errors import DatabaseNewer
from nexustrade.kernel.config import VenueConfig
from tests.unit.cli.conftest import Run


class Bootstrap:
    """Stands in for the module that runs a venue."""

    def __init__(self) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.fault: Exception | None = None
        self.code = 0

    async def run_venue(
        self,
        config: VenueConfig,
        data_dir: Path,
        http: tuple[str, int],
        demo: bool,
        progress: Any,
        ready: Any,
    ) -> int:
        self.called.append((config, data_dir, http, demo))
        progress("starting")
        if self.fault is not None:
            raise self.fault
        ready("http://127.0.0.1:8080", "NXDEMO", "the secret")
        return self.code


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> Bootstrap:
    stand_in = Bootstrap()
    module = ModuleType("nexustrade.kernel.bootstrap")
    module.run_venue = stand_in.run_venue  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nexustrade.kernel.bootstrap", module)
    mask = os.umask(0o022)
    os.umask(mask)
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    return stand_in


def test_the_default_venue_starts_with_its_demo(
    run: Run, bootstrap: Bootstrap, venue_data: Path
) -> None:
    ran = run("up")
    assert ran.code == 0
    ((config, directory, http, demo),) = bootstrap.called
    assert (directory, http, demo) == (venue_data, ("127.0.0.1", 8080), True)
    assert len(config.instruments) == 20
    assert "s  starting" in ran.out
    assert ran.out.rstrip().endswith("Ctrl-C stops the venue.")


def test_arguments_stand_above_the_file(
    run: Run, bootstrap: Bootstrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my venue.toml"
    file.write_text('[http]\naddress = "0.0.0.0:1"\n[databases]\ntrading = "of the file"')
    monkeypatch.setenv("NEXUSTRADE_ACCOUNTS_DSN", "of the environment")
    options = ["--http", "127.0.0.1:0", "--data", str(tmp_path), "--trading-dsn", "of the argument"]
    assert run("up", "--config", str(file), "--no-demo", *options).code == 0
    ((config, directory, http, demo),) = bootstrap.called
    assert (directory, http, demo) == (tmp_path, ("127.0.0.1", 0), False)
    assert config.databases.trading == "of the argument"
    assert config.databases.accounts == "of the environment"


def test_every_fault_of_the_file_is_told(run: Run, bootstrap: Bootstrap, tmp_path: Path) -> None:
    file = tmp_path / "venue.toml"
    file.write_text("[venue]\nnam = 'x'\n[stages]\norders = 0\n")
    ran = run("up", "--config", str(file))
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "nexustrade: venue.nam: this setting is not known; did you mean name?",
        "nexustrade: stages.orders: 0: a whole number from 1 to 64 is wanted",
    ]
    assert not bootstrap.called
    assert run("up", "--config", str(tmp_path / "none.toml")).code == 1


@pytest.mark.usefixtures("bootstrap")
def test_a_demo_needs_reference_prices(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "venue.toml"
    file.write_text('[[instruments]]\nsymbol = "AAPL"\n')
    assert run("up", "--config", str(file)).code == 0
    ran = run("up", "--config", str(file), "--demo")
    assert ran.code == 1
    assert "reference_price for AAPL" in ran.err


def test_a_venue_that_cannot_start_says_why_in_a_line(run: Run, bootstrap: Bootstrap) -> None:
    bootstrap.fault = DatabaseNewer("the trading database is newer")
    ran = run("up")
    assert (ran.code, ran.err) == (1, "nexustrade: the trading database is newer\n")
    bootstrap.fault = PermissionError(13, "Permission denied", "/some/where")
    ran = run("up")
    assert (ran.code, ran.err) == (1, "nexustrade: /some/where: Permission denied\n")
    bootstrap.fault = None
    bootstrap.code = 1
    assert run("up").code == 1


def test_the_last_lines_are_what_a_first_user_needs() -> None:
    text = welcome("http://127.0.0.1:8080", "NXDEMO", "the secret")
    assert "curl -H 'APCA-API-KEY-ID: NXDEMO' -H 'APCA-API-SECRET-KEY: the secret'" in text
    assert "http://127.0.0.1:8080/v2/account" in text
    assert "account open" in welcome("http://127.0.0.1:8080", "", "")
