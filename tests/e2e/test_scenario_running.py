"""A scenario on a venue that runs ends as it does on one in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexustrade.cli import main
from nexustrade.scenario import plan
from nexustrade.scenario.running import venue_toml
from tests.running import RunningVenue


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The halt, without the waits that make it a story; its auction lasts a second."""
    text = plan.find_file("halt-reopen").read_text()
    quick = [line for line in text.splitlines() if not line.startswith("wait_ms")]
    auction = '[[steps]]\ndo = "wait"'
    told = "\n".join(quick).replace("auction_s = 300", "auction_s = 1")
    assert told.count(auction) == 1
    path = tmp_path_factory.mktemp("scenario") / "quick.toml"
    path.write_text(told.replace(auction, f"{auction}\nwait_ms = 1_000"))
    return path


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory, scenario: Path) -> Iterator[RunningVenue]:
    folder = tmp_path_factory.mktemp("running")
    running = RunningVenue(folder, venue_toml(plan.load_scenario(scenario))).start()
    yield running
    assert running.stop() == 0, running.log_path.read_text()


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    code = main(["scenario", "run", *arguments, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    card: dict[str, Any] = json.loads(captured.out)
    return card


def of_time(card: dict[str, Any]) -> dict[str, Any]:
    """A scorecard without what depends on where and when it ran."""
    card = {name: value for name, value in card.items() if name not in {"venue", "commands"}}
    times = [stop.pop("unprotected_us") for stop in card["elected"]]
    assert all(time is not None for time in times)
    return card


def test_a_scenario_ends_there_as_it_does_in_memory(
    venue: RunningVenue, scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ran(capsys, str(scenario), "--running", "--data", str(venue.data))
    assert there["venue"] == venue.url
    assert there["groups_closed"] == {"CANCELLED": 1, "SL_FILLED": 2, "TP_FILLED": 1}
    assert of_time(there) == of_time(ran(capsys, str(scenario)))

    # What it borrowed is given back: its orders, its keys, the symbol's rules.
    assert venue.admin("GET", "/v1/books/ACME").body["asks"] == []
    lent = [row for row in venue.admin("GET", "/v1/keys").body if row["label"] == "scenario"]
    assert lent
    assert all(row["revoked_at"] for row in lent)

    again = main(["scenario", "run", str(scenario), "--running", "--data", str(venue.data)])
    assert again == 1
    assert "alice needs 100 ACME that nothing holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gap-open", "steps[9]: close_call: a running venue keeps its own hours"),
        ("no-venue", "no venue runs on"),
    ],
)
def test_what_cannot_run_there(
    venue: RunningVenue,
    scenario: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    why: str,
) -> None:
    data = venue.data if name == "gap-open" else tmp_path
    file = name if name == "gap-open" else str(scenario)
    code = main(["scenario", "run", file, "--running", "--data", str(data)])
    assert (code, why in capsys.readouterr().err) == (1 if name == "gap-open" else 3, True)
