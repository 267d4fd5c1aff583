"""Write the golden file of each message version that has none: tests/golden/messages/.

A golden file fixes how a version is written on disk and on the wire, for ever: existing files are
never rewritten here. Each has a full message and one with its defaults: the fields as they are in
memory (scaled integers) and the canonical text.

    PYTHONPATH=src:. python tools/golden_messages.py
"""

import json
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from nexustrade.core import codec
from nexustrade.core.codec import Message
from tests.unit.core.messages import message_classes

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "golden" / "messages"


def version(cls: type[Message]) -> int:
    """The version that a message class writes."""
    return int(getattr(cls, "VERSION", 1))


def golden_path(cls: type[Message]) -> Path:
    """The golden file of the version that a message class writes."""
    return FOLDER / f"{cls.__name__}.v{version(cls)}.json"


def sample(hint: Any, name: str, place: int) -> Any:
    """A telling value of a type: numbers whose digits show the decimals, text with its name."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return 123_000_000 + 4_560 + 7 * (place + 1)
    if origin in {Union, UnionType}:
        return sample(arguments[0], name, place)
    if origin is dict:
        if arguments[1] is int:
            return {"b": 2_000 + place, "a": 1_000 + place}
        return {"b": f"{name} \u00e9", "a": '"\\\n'}
    if origin is list:
        return [sample(arguments[0], name, place)]
    if origin is tuple:
        inner = arguments[:-1] if arguments[-1] is Ellipsis else arguments
        return tuple(sample(kind, name, place + at) for at, kind in enumerate(inner))
    plain: dict[Any, Any] = {str: f"{name.upper()}-{place}", int: 1_000 + place, bool: True}
    return plain[hint]


def full(cls: type[Message]) -> Message:
    """A message with no field at its default, where its type has another value."""
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    for place, field in enumerate(msgspec.structs.fields(cls)):
        value = sample(hints[field.name], field.name, place)
        values[field.name] = not value if value is field.default else value
    return cls(**values)


def plain(cls: type[Message]) -> Message:
    """A message with every default."""
    hints = get_type_hints(cls, include_extras=True)
    required = [
        (place, field.name)
        for place, field in enumerate(msgspec.structs.fields(cls))
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    ]
    return cls(**{name: sample(hints[name], name, place) for place, name in required})


def golden(cls: type[Message]) -> str:
    """The text of a message class's golden file."""
    cases = [
        {"fields": msgspec.structs.asdict(message), "text": codec.encode(message).decode()}
        for message in (full(cls), plain(cls))
    ]
    return json.dumps(cases, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write what is missing and name it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for cls in message_classes():
        path = golden_path(cls)
        if not path.exists():
            path.write_text(golden(cls), encoding="utf-8")
            print(f"golden: {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
