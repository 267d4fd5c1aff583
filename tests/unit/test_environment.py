"""The set-up: a step is done once, again when what it is made from changes, and never half."""

import sys
from functools import partial
from pathlib import Path

import pytest

from tools import environment


@pytest.fixture
def done() -> list[str]:
    return []


def test_a_step_is_done_once(
    tmp_path: Path, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for made_from in ("a", "a", "b", "b", "a"):
        work = partial(done.append, made_from)
        environment.step(tmp_path, "packages", made_from, "some packages", work)
    assert done == ["a", "b", "a"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "set-up: some packages ..."
    assert lines[1].startswith("set-up: some packages: done in ")
    assert len(lines) == 6


def test_a_step_that_fails_is_done_again(tmp_path: Path, done: list[str]) -> None:
    def fail() -> None:
        sys.exit("no network")

    environment.step(tmp_path, "packages", "a", "packages", lambda: done.append("a"))
    with pytest.raises(SystemExit):
        environment.step(tmp_path, "packages", "b", "packages", fail)
    # Not even the older state counts as done: the work may have left anything behind.
    environment.step(tmp_path, "packages", "a", "packages", lambda: done.append("again"))
    assert done == ["a", "again"]


def test_the_stamp_of_a_new_environment_survives_its_making(tmp_path: Path) -> None:
    place = tmp_path / "an environment"
    environment.step(place, "python", "a", "python", place.mkdir)
    environment.step(place, "python", "a", "python", lambda: pytest.fail("made twice"))


def test_a_digest_covers_names_content_and_words(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("1")
    seen = {
        environment.digest([one]),
        environment.digest([other]),
        environment.digest([one, other]),
        environment.digest([one], "word"),
        environment.digest([one], "w", "ord"),
    }
    one.write_text("2")
    seen.add(environment.digest([one]))
    assert len(seen) == 6
    assert environment.digest([one, other]) == environment.digest([other, one])


def test_a_failing_command_shows_its_output_and_stops(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="set-up: failed"):
        environment.run(sys.executable, "-c", "print('the reason'); raise SystemExit(3)")
    assert "the reason" in capsys.readouterr().out
    assert environment.run(sys.executable, "-c", "print('fine')") == "fine\n"
