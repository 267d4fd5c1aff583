from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nexustrade.cli import main
from tests.unit.cli.fake_venue import FakeVenue, fake_venue


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def venue_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that commands take without being told, where no venue runs."""
    for name in ("KEY", "SECRET", "URL", "TRADING_DSN", "ACCOUNTS_DSN", "CONFIG", "HTTP"):
        monkeypatch.delenv(f"NEXUSTRADE_{name}", raising=False)
    directory = tmp_path / "a venue"
    monkeypatch.setenv("NEXUSTRADE_DATA", str(directory))
    return directory


@pytest.fixture
def run(venue_data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call it with a command's arguments."""
    assert not venue_data.exists() or venue_data.is_dir()

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def venue(venue_data: Path) -> Iterator[FakeVenue]:
    """A venue that runs on that directory."""
    with fake_venue(venue_data) as found:
        yield found
