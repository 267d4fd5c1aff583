"""`nexustrade scenario`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest

from nexustrade.console.scenario import time_text
from nexustrade.scenario.plan import BUILTIN, builtin_names
from tests.unit.cli.conftest import Run


def test_the_built_in_scenarios_are_listed_and_shown(run: Run) -> None:
    listed = json.loads(run("scenario", "list", "--json").out)
    assert [each["name"] for each in listed] == builtin_names()
    shown = run("scenario", "show", "gap-open")
    assert (shown.code, shown.out) == (0, (BUILTIN / "gap-open.toml").read_text())
    assert run("scenario", "check", "gap-open").out == "gap-open: 17 steps, no fault\n"


def test_a_scorecard_for_people(run: Run) -> None:
    ran = run("scenario", "run", "gap-open", "--stops", "1")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["groups", "torn", "0"] in rows
    assert ["stop", "at", "print", "filled", "average", "slip", "bp", "unprotected"] in rows
    assert ["carol.stop_loss", "sell", "95", "85", "100", "84.3", "10.7", "1126.32", "0:00"] in rows
    assert "and 3 more stops, none of them worse" in ran.out


def test_a_scorecard_for_programs(run: Run) -> None:
    ran = run("scenario", "run", "thin-book", "--json", "--seed", "7")
    card = json.loads(ran.out)
    assert (ran.code, card["seed"], card["groups_torn"]) == (0, 7, 0)
    assert [(s["stop"], s["slippage_per_share"]) for s in card["elected"]] == [
        ("carol", "4.5"),
        ("alice.stop_loss", "2.7"),
        ("bob.stop_loss", "1"),
    ]


def test_what_cannot_be_run(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\nseed = 0.5\n')
    ran = run("scenario", "run", str(mine))
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "nexustrade: seed: 0.5: a whole number from 0 to 9223372036854775807 is wanted",
        "nexustrade: instrument: is missing",
        "nexustrade: steps: is missing: a scenario has at least one step",
    ]
    assert run("scenario", "run", "no-such").code == 1
    assert run("scenario", "run", "gap-open", "--seed", "-1").code == 2


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0:00"), (2_000, "0:00.002"), (61_000_001, "1:01.000001"), (3_600_000_000, "60:00")],
)
def test_times(us: int, text: str) -> None:
    assert time_text(us) == text
