"""What the doctor finds, one fault at a time."""

import json
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nexustrade.console import doctor
from nexustrade.console.doctor import FINE, WARNING, WRONG, Finding
from nexustrade.kernel.config import VenueConfig
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_venue import FakeVenue, describe


def findings(run: Run, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ran = run("doctor", "--json", *arguments)
    return ran.code, {row["name"]: row for row in json.loads(ran.out)}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_sound_machine(run: Run) -> None:
    _, found = findings(run, "--http", free_port())
    for name in ("python", "postgresql", "configuration", "calendar", "directory", "clock", "port"):
        assert found[name]["state"] == FINE, found[name]
    assert {"disk", "memory", "open files", "build", "venue"} <= set(found)
    assert "does not run" in found["database trading"]["found"]
    assert "python" in run("doctor").out


def test_a_port_in_use_and_a_faulty_file_are_wrong(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "venue.toml"
    file.write_text("[venue]\nnam = 1\nsession = 2\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, found = findings(run, "--http", address, "--config", str(file))
    assert code == 1
    assert found["port"]["state"] == WRONG
    assert "in use" in found["port"]["found"]
    assert found["port"]["mend"]
    assert found["configuration"]["state"] == WRONG
    assert "1 more" in found["configuration"]["found"]


def test_a_running_venue_is_asked(run: Run, venue: FakeVenue) -> None:
    venue.answer("GET", "/v1/health", {"status": "ok"})
    _, found = findings(run)
    assert found["venue"]["state"] == FINE
    assert "port" not in found
    venue.answer("GET", "/v1/health", {"status": "degraded"})
    code, found = findings(run)
    assert (code, found["venue"]["state"]) == (1, WRONG)


def test_a_venue_that_does_not_answer_is_wrong(run: Run, venue_data: Path) -> None:
    describe(venue_data, "http://127.0.0.1:1", trading_dsn="host=127.0.0.1 port=1 dbname=x")
    code, found = findings(run)
    assert code == 1
    assert found["venue"]["state"] == WRONG
    assert found["database trading"]["state"] == WRONG


def test_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.owner(tmp_path / "new" / "one").state == FINE
    assert doctor.owner(tmp_path).state == FINE
    (tmp_path / "file").write_text("")
    assert doctor.owner(tmp_path / "file").state == WRONG
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "chmod 700" in doctor.owner(shared).mend
    monkeypatch.setattr("os.geteuid", lambda: 54_321)
    assert "belongs to" in doctor.owner(tmp_path).found


def test_a_directory_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert doctor.owner(tmp_path / "new").state == WRONG
    assert "read-only" in doctor.owner(tmp_path).found


@pytest.mark.parametrize(("now_s", "state"), [(0, WRONG), (1_770_000_000, FINE)])
def test_the_clock(now_s: int, state: str) -> None:
    assert doctor.clock(now_s).state == state


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for free in (100, 600, 100_000):
        usage = type("Usage", (), {"free": free * doctor.MIB})
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        states.append(doctor.disk(tmp_path / "new").state)
    assert states == [WRONG, WARNING, FINE]
    assert doctor.memory().name == "memory"


def test_the_limit_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 2_048))
    assert doctor.open_files(1_000).state == FINE
    assert doctor.open_files(2_048).state == WARNING
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, unlimited))
    assert doctor.open_files(1_000_000).state == FINE


def test_a_missing_compiler_and_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "uncompiled_modules", lambda: ["nexustrade.core.money"])
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "gcc" in doctor.build().mend
    monkeypatch.setattr(doctor, "uncompiled_modules", list)
    assert doctor.build().state == FINE
    monkeypatch.setattr(doctor, "PYTHON_MIN", (99, 0))
    assert doctor.python().state == WRONG


def test_missing_server_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert doctor.server_programs().state == WRONG


def test_the_calendars_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 2_000_000_000 * 10**9)
    assert doctor.calendar().state == WRONG


def test_an_unwritten_address() -> None:
    assert doctor.port("8080", VenueConfig()).state == WRONG


def test_every_check_that_is_not_fine_has_a_mend(
    run: Run, venue_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[Callable[[], Finding]] = [doctor.server_programs, doctor.build]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert all(check().mend for check in checks if check().state != FINE)
    assert run("doctor", "--data", str(venue_data)).code == 1
