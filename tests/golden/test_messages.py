"""Golden files: how each version of each message is stored and sent, for ever.

A file that no longer matches means that a stored log can no longer be read as it was written:
make a new version with an upcaster instead. tools/golden_messages.py writes the files of new
versions, and touches no other.
"""

import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from nexustrade.core import codec
from nexustrade.core.codec import Message
from tests.unit.core.messages import message_classes
from tools.golden_messages import FOLDER, golden_path, version

CLASSES = {cls.__name__: cls for cls in message_classes()}
FILES = sorted(FOLDER.glob("*.json"))


def test_every_message_has_a_golden_file_of_its_version() -> None:
    missing = [golden_path(cls).name for cls in CLASSES.values() if not golden_path(cls).exists()]
    assert missing == [], "run: PYTHONPATH=src:. python tools/golden_messages.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_is_read_and_written_as_it_was(path: Path) -> None:
    found = re.fullmatch(r"(\w+)\.v(\d+)\.json", path.name)
    assert found is not None
    cls = CLASSES[found[1]]
    for case in json.loads(path.read_text(encoding="utf-8")):
        message = codec.decode(found[1], case["text"])
        if int(found[2]) == version(cls):
            assert message == in_memory(cls, case["fields"])
            assert codec.encode(message).decode() == case["text"]
        else:
            assert codec.decode(found[1], codec.encode(message)) == message


def in_memory(cls: type[Message], fields: dict[str, Any]) -> Message:
    """The message with exactly these fields; JSON has lists where messages have tuples."""
    hints = get_type_hints(cls)
    return cls(
        **{
            name: _tupled(value) if _has_tuples(hints[name]) else value
            for name, value in fields.items()
        }
    )


def _has_tuples(hint: object) -> bool:
    return get_origin(hint) is tuple or any(_has_tuples(part) for part in get_args(hint))


def _tupled(value: Any) -> Any:
    return tuple(_tupled(part) for part in value) if isinstance(value, list) else value


def test_a_golden_file_shows_every_field() -> None:
    for cls in CLASSES.values():
        fields = [field.name for field in msgspec.structs.fields(cls)]
        cases = json.loads(golden_path(cls).read_text(encoding="utf-8"))
        shown = list(cases[0]["fields"])
        # Fields that were appended later, with their defaults, may be missing from the file.
        assert shown == fields[: len(shown)]
