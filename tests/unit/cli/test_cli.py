"""Usage, exit codes, and how a venue is found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nexustrade import __version__
from nexustrade.console.options import ROOT_HOME, default_directory
from nexustrade.console.output import cell
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_venue import FakeVenue, describe

GROUPS = ["account", "audit", "book", "doctor", "export", "order", "up", "venue", "version"]


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for group in GROUPS:
        assert f" {group} " in ran.out
    assert run().out == ran.out


@pytest.mark.parametrize("group", GROUPS)
def test_each_command_has_help(run: Run, group: str) -> None:
    ran = run(group, "--help")
    assert ran.code == 0
    assert f"nexustrade {group}" in ran.out


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from nexustrade.cli import main; main(['--help'])\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & set(sys.argv[1:])), file=sys.stderr)"
    )
    heavy = ["psycopg", "fastapi", "uvicorn", "alembic", "pydantic", "sqlalchemy", "uvloop"]
    done = subprocess.run(
        [sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_playing_a_book_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    script = (
        "import sys; from nexustrade.cli import main; main(['book', 'play', sys.argv[1]])\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & set(sys.argv[2:])))"
    )
    heavy = ["psycopg", "fastapi", "uvicorn", "alembic", "pydantic", "asyncio"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "empty.csv"), *heavy],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() in ("[]", "['asyncio']")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acount"], 'Unknown command "acount"'),
        (["account", "shw"], 'Unknown command "shw"'),
        (["account", "list", "--jsn"], "Unknown option"),
        (["account", "show"], "requires an argument"),
        (["order", "submit", "AAPL", "long", "1"], 'Invalid value "long"'),
        (["audit", "log", "--limit", "many"], 'unable to convert "many"'),
        (["audit", "log", "--limit", "0"], "--limit is at least 1"),
        (["audit", "verify", "--known", "x"], "STREAM:SEQ:HASH"),
        (["account", "deposit", "alice", "-5"], "not negative"),
        (["account", "deposit", "alice", "0"], "greater than 0"),
        (["account", "withdraw", "alice", "1.005"], "at most 2 decimals"),
        (["order", "list"], "say which account"),
        (["export", "orders", "--format", "xml"], 'Invalid value "xml"'),
        (["up", "--http", "8080"], "HOST:PORT"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("nexustrade: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["account", "list"],
        ["account", "key", "list"],
        ["order", "list", "--account", "alice"],
        ["book", "show", "AAPL"],
        ["venue", "status"],
        ["audit", "verify"],
        ["audit", "log"],
        ["export", "fills"],
    ],
)
def test_without_a_venue_the_exit_code_is_3(
    run: Run, venue_data: Path, arguments: list[str]
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (3, "")
    assert str(venue_data) in ran.err
    assert ran.err.count("\n") == 1


def test_a_venue_that_has_ended_is_no_venue(run: Run, venue_data: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    describe(venue_data, "http://127.0.0.1:1", pid=ended.pid)
    ran = run("account", "list")
    assert ran.code == 3
    assert "has ended" in ran.err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1}'])
def test_a_damaged_description_is_said(run: Run, venue_data: Path, content: str) -> None:
    venue_data.mkdir()
    (venue_data / "venue.json").write_text(content)
    ran = run("account", "list")
    assert ran.code == 3
    assert "venue.json" in ran.err


def test_a_venue_that_does_not_answer_is_exit_code_3(run: Run, venue_data: Path) -> None:
    describe(venue_data, "http://127.0.0.1:1")
    ran = run("account", "list")
    assert ran.code == 3
    assert "does not answer" in ran.err


def test_the_directory_can_be_named(run: Run, venue: FakeVenue, venue_data: Path) -> None:
    venue.answer("GET", "/v1/accounts", [])
    assert run("account", "list", "--data", str(venue_data / "other")).code == 3
    assert run("account", "list", "--data", str(venue_data)).code == 0


def test_refusals_are_told_in_the_venues_words(run: Run, venue: FakeVenue) -> None:
    refusal = {"code": 42210000, "message": "account_id is\x1b[2J taken"}
    venue.answer("POST", "/v1/accounts", refusal, 422)
    ran = run("account", "open", "alice")
    assert (ran.code, ran.out) == (1, "")
    assert "taken" in ran.err
    assert "\x1b" not in ran.err
    venue.answer("POST", "/v1/accounts", {"code": 1, "message": "later"}, 503)
    assert run("account", "open", "alice").code == 3
    venue.answer("POST", "/v1/accounts", None, 500)
    assert "answered 500" in run("account", "open", "alice").err


def test_where_a_venue_is_by_default() -> None:
    assert default_directory({}, root=True) == ROOT_HOME
    assert default_directory({}, root=False) == Path.home() / ".local/share/nexustrade"
    assert default_directory({"XDG_DATA_HOME": "/x"}, root=False) == Path("/x/nexustrade")


def test_version_and_completion(run: Run) -> None:
    assert json.loads(run("version", "--json").out)["nexustrade"] == __version__
    assert __version__ in run("--version").out
    for shell in ("bash", "zsh", "fish"):
        assert "nexustrade" in run("completion", shell).out


def test_cells_are_fit_for_a_terminal() -> None:
    assert cell(None) == "-"
    assert cell(value=True) == "yes"
    assert cell(["a", "b"]) == "a, b"
    assert "\x1b" not in cell("\x1b[31mred")


def test_a_reader_that_has_enough_is_no_failure() -> None:
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -m nexustrade.cli --help | true', sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
