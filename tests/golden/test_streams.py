"""Golden event logs: commands, every event they lead to, and the hash of the state at the end.

A file has a line `> Command {...}` for each command, a line `< stream seq Event {...} cause` for
each event and, last, a line `= stream seq hash` for each stream. What a stored event looks like
and what state it replays to must not change unnoticed: old logs are read for ever. When a change
is meant, `python -m tests.golden.test_streams` writes the files anew, to be read before a commit.
"""

import sys
from hashlib import sha256
from pathlib import Path

import pytest

from nexustrade.core.codec import Message, decode, encode
from tests.two_stages import TwoStages

FOLDER = Path(__file__).parent / "streams"
FILES = sorted(FOLDER.glob("*.log"))


def commands(text: str) -> list[Message]:
    """The commands of a golden file."""
    found = []
    for line in text.splitlines():
        if line.startswith("> "):
            _, name, payload = line.split(" ", 2)
            found.append(decode(name, payload))
    return found


def played(given: list[Message]) -> str:
    """The golden text of commands: what they lead to, and the state they leave."""
    v = TwoStages()
    lines = []
    for command in given:
        lines.append(f"> {type(command).__name__} {encode(command).decode()}")
        first = len(v.log)
        v.run(command)
        for shard, r in v.log[first:]:
            event = f"{type(r.event).__name__} {encode(r.event).decode()}"
            lines.append(f"< {shard} {r.seq} {event} {r.cause}")
    v.verify()
    for shard, stage in v.stages.items():
        lines.append(f"= {shard} {stage.seq} {sha256(stage.dump()).hexdigest()}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_commands_lead_to_the_same_events_and_state_as_ever(file: Path) -> None:
    text = file.read_text()
    assert played(commands(text)).splitlines() == text.splitlines()


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_stored_events_alone_replay_to_the_same_state(file: Path) -> None:
    v = TwoStages()
    now_us = v.now_us
    ends: list[str] = []
    for line in file.read_text().splitlines():
        if line.startswith("> "):
            now_us += 1_000
        elif line.startswith("< "):
            _, shard, seq, name, rest = line.split(" ", 4)
            payload = rest.rsplit(" ", 1)[0]
            stage = v.stages[shard]
            stage.replay(int(seq), max(stage.ts_us + 1, now_us), decode(name, payload))
        else:
            ends.append(line)
    assert ends == [
        f"= {shard} {stage.seq} {sha256(stage.dump()).hexdigest()}"
        for shard, stage in v.stages.items()
    ]


def test_there_are_golden_logs() -> None:
    assert {file.stem for file in FILES} >= {"lifecycle", "margin", "self_trade", "session"}


if __name__ == "__main__":
    for path in sys.argv[1:] or [str(file) for file in FILES]:
        Path(path).write_text(played(commands(Path(path).read_text())))
