"""The one codec for messages: a frozen struct to canonical JSON and back, exactly.

Canonical JSON is compact, with sorted keys, no floats, decimals as strings in the shortest form
and fields at their default left out; the same message gives the same bytes on every machine, so a
hash over them proves the content. Each message carries its version in `"v"`; an older version is
lifted by its upcaster before it is read.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from nexustrade.core.errors import InputError
from nexustrade.core.money import (
    PRICE_DECIMALS,
    QTY_DECIMALS,
    USD_DECIMALS,
    scaled_text,
)

Price = Annotated[int, PRICE_DECIMALS]
"""A price in 1e-4 USD; decimal text in JSON; 0 stands for none."""
Qty = Annotated[int, QTY_DECIMALS]
"""A quantity in 1e-8 shares; decimal text in JSON."""
Usd = Annotated[int, USD_DECIMALS]
"""An amount in cents; decimal text in JSON."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """Base of every command and event: immutable, compared by value, never reused.

    A subclass only ever gains fields at its end, with a default; anything else is a new version
    with an upcaster (`upcaster`).
    """


class Shape:
    """How one message class is written: its fields in canonical order with their decimals."""

    def __init__(self, cls: type[Message]) -> None:
        self.cls: type[Message] = cls
        self.version: int = int(getattr(cls, "VERSION", 1))
        hints = get_type_hints(cls, include_extras=True)
        fields = msgspec.structs.fields(cls)
        self.names: list[str] = [field.name for field in fields]
        self.defaults: list[Any] = [
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            for field in fields
        ]
        # -1: as it is; else an integer with that many decimals.
        self.decimals: list[int] = [_decimals(hints[field.name]) for field in fields]
        at = {name: i for i, name in enumerate(self.names)}
        self.canonical: list[tuple[int, str, str]] = [
            (at[name], name, f',"{name}":') for name in sorted(self.names)
        ]


def _decimals(hint: Any) -> int:
    if get_origin(hint) is Annotated:
        return int(get_args(hint)[1])
    return -1


_shapes: Final[dict[str, Shape]] = {}
_upcasters: Final[dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}
_encode_text: Final = msgspec.json.Encoder(order="sorted").encode
_decode_json: Final = msgspec.json.Decoder().decode


def register(*classes: type[Message]) -> None:
    """Make message classes known under their names, so that they can be decoded."""
    for cls in classes:
        _shapes[cls.__name__] = Shape(cls)


def upcaster(
    name: str, version: int
) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Callable[..., dict[str, Any]]]:
    """Register the function that lifts fields of `name` from `version` to `version + 1`."""

    def keep(lift: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        _upcasters[name, version] = lift
        return lift

    return keep


def encode(message: Message) -> bytes:
    """The canonical JSON of a message, without its name (which is a column, a topic or a key)."""
    shape = _shapes[type(message).__name__]
    parts: list[str] = []
    decimals = shape.decimals
    defaults = shape.defaults
    names = shape.names
    for at, name, key in shape.canonical:
        value = getattr(message, names[at])
        if value == defaults[at]:
            continue
        places = decimals[at]
        if places >= 0:
            parts.append(f'{key}"{scaled_text(value, places)}"')
        elif value is True:
            parts.append(f"{key}true")
        elif value is False:
            parts.append(f"{key}false")
        elif isinstance(value, int):
            parts.append(f"{key}{value}")
        else:
            parts.append(key + _encode_text(value).decode())
        del name
    parts.append(f',"v":{shape.version}}}')
    text = "".join(parts)
    return ("{" + text[1:]).encode()


def decode(name: str, data: bytes | str) -> Message:
    """The message of class `name` in `data`; `InputError` when it is unknown or malformed."""
    shape = _shapes.get(name)
    if shape is None:
        raise InputError("message", name, "the message type is not known")
    fields = _decode_json(data)
    version = fields.pop("v", 1)
    if version > shape.version:
        raise InputError("message", f"{name} v{version}", f"the newest known is v{shape.version}")
    while version < shape.version:
        fields = _upcasters[name, version](fields)
        version += 1
    values: list[Any] = []
    decimals = shape.decimals
    defaults = shape.defaults
    at = 0
    for field in shape.names:
        value = fields.get(field)
        if value is None:
            value = defaults[at]
            if value is msgspec.NODEFAULT:
                raise InputError(f"{name}.{field}", "", "is missing")
        elif decimals[at] >= 0:
            value = _unscaled(value, decimals[at])
        values.append(value)
        at += 1
    return shape.cls(*values)


def _unscaled(text: str, places: int) -> int:
    """The inverse of `scaled_text`, for text that `encode` wrote."""
    whole, point, part = text.partition(".")
    if not point:
        return int(whole) * int(10**places)
    return int(whole + part) * int(10 ** (places - len(part)))


def exact_decimals(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """For upcasters: floats of an old message become decimal text, exact on their `repr`."""
    return fields | {
        name: format(Decimal(repr(fields[name])), "f")
        for name in names
        if isinstance(fields.get(name), float)
    }


def canonical(payload: str | bytes) -> bytes:
    """The canonical bytes of JSON that a database may have re-spaced or re-ordered."""
    return _encode_text(json.loads(payload))
