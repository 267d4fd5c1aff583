"""The one codec for messages: a frozen struct to canonical JSON and back, exactly.

Canonical JSON is compact, with sorted keys, no floats, decimals as strings in the shortest form
and fields at their default left out; the same message gives the same bytes on every machine, so a
hash over them proves the content. Each message carries its version in `"v"`; an older version is
lifted by its upcaster before it is read.

Each message class gets two twins with decimals as text, which msgspec reads and writes in one call:
one with the fields in canonical order, UNSET where one is left out, to write; one with the fields
in the message's order, to read and to check the types on the way in.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from nexustrade.core.errors import InputError
from nexustrade.core.message import Message, Price, Qty, Usd
from nexustrade.core.money import scaled_text, unscaled

__all__ = [
    "Message",
    "Price",
    "Qty",
    "Usd",
    "canonical",
    "decode",
    "encode",
    "exact_decimals",
    "fields_of",
    "register",
    "registered",
    "upcaster",
]

# How a field is written, where it is not a number of decimals (>= 0).
_VERSION: Final = -3
_REQUIRED: Final = -2
_OPTIONAL: Final = -1

_UNSET: Final[Any] = msgspec.UNSET
_NODEFAULT: Final[Any] = msgspec.NODEFAULT
fields_of: Final[Any] = msgspec.structs.astuple
"""All fields of a message, in their order. Where most are wanted, compiled code reads them so:
cast to the tuple's type and unpacked, a field costs a third of what reading the attribute does."""

_encode_wire: Final[Any] = msgspec.json.Encoder(order="deterministic").encode
_encode_sorted: Final[Any] = msgspec.json.Encoder(order="sorted").encode
_decode_json: Final[Any] = msgspec.json.Decoder().decode

# What msgspec raises for JSON that it cannot take: the last is for absurdly deep nesting.
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Shape:
    """How one message class is written and read."""

    def __init__(self, cls: type[Message]) -> None:
        self.cls: Any = cls
        self.name: str = cls.__name__
        self.version: int = int(getattr(cls, "VERSION", 1))
        hints = get_type_hints(cls, include_extras=True)
        fields = msgspec.structs.fields(cls)
        names = [field.name for field in fields]
        self.defaults: list[Any] = [
            field.default if field.default_factory is _NODEFAULT else field.default_factory()
            for field in fields
        ]
        # Each field of the written twin in its order: its place in the message and its kind.
        self.places: list[int] = []
        self.kinds: list[int] = []
        # Each decimal of the message: its place and its number of decimals.
        self.decimals: list[tuple[int, int]] = []
        written: list[tuple[str, Any, Any]] = []
        read: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for name in sorted([*names, "v"]):
            place = -1 if name == "v" else names.index(name)
            self.places.append(place)
            self.kinds.append(self._kind(place, hints.get(name)))
            written.append((name, Any, _UNSET))
        for place, name in enumerate(names):
            decimals = _decimals(hints[name])
            if decimals >= 0:
                self.decimals.append((place, decimals))
            hint = hints[name] if decimals < 0 else str
            default = self.defaults[place]
            read.append((name, hint) if default is _NODEFAULT else (name, hint, default))
        read.append(("v", int, 1))
        self.written: Any = msgspec.defstruct(self.name, written, gc=False)
        self.twin: Any = msgspec.defstruct(self.name, read, gc=False)
        self.read: Any = msgspec.json.Decoder(self.twin).decode

    def _kind(self, place: int, hint: object) -> int:
        """How the field at a place of the message is written."""
        if place < 0:
            return _VERSION
        decimals = _decimals(hint)
        if decimals >= 0:
            return decimals
        return _REQUIRED if self.defaults[place] is _NODEFAULT else _OPTIONAL


def _decimals(hint: Any) -> int:
    """The decimals of a scaled number's type, or -1 for any other type."""
    if get_origin(hint) is Annotated:
        return int(get_args(hint)[1])
    return -1


_shapes: Final[dict[str, Shape]] = {}
_shapes_by_class: Final[dict[object, Shape]] = {}
_upcasters: Final[dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}


def register(*classes: type[Message]) -> None:
    """Make message classes known under their names, so that they can be written and read."""
    for cls in classes:
        known = _shapes.get(cls.__name__)
        if known is not None and known.cls is not cls:
            raise ValueError(f"another message is called {cls.__name__}")
        shape = Shape(cls)
        _shapes[cls.__name__] = shape
        _shapes_by_class[cls] = shape


def registered() -> list[type[Message]]:
    """Every message class that is known, by name."""
    return [_shapes[name].cls for name in sorted(_shapes)]


def upcaster(
    name: str, version: int
) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Callable[[dict[str, Any]], Any]]:
    """Register the function that lifts fields of `name` from `version` to `version + 1`."""

    def keep(lift: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
        _upcasters[name, version] = lift
        return lift

    return keep


def encode(message: Message) -> bytes:
    """The canonical JSON of a message, without its name (which is a column, a topic or a key)."""
    shape = _shapes_by_class[type(message)]
    values: tuple[Any, ...] = fields_of(message)
    places = shape.places
    defaults = shape.defaults
    wire_values: list[Any] = []
    for at, kind in enumerate(shape.kinds):
        if kind == _VERSION:
            wire_values.append(shape.version)
            continue
        place = places[at]
        value = values[place]
        if kind == _REQUIRED:
            wire_values.append(value)
        elif value == defaults[place]:
            wire_values.append(_UNSET)
        elif kind >= 0:
            wire_values.append(scaled_text(value, kind))
        else:
            wire_values.append(value)
    encoded: bytes = _encode_wire(shape.written(*wire_values))
    return encoded


def decode(name: str, payload: bytes | str) -> Message:
    """The message of class `name` in `payload`; `InputError` when it is unknown or malformed.

    Unknown fields are passed over: a newer writer of the same version may have appended some.
    """
    shape = _shapes.get(name)
    if shape is None:
        raise InputError("message", name, "the message type is not known")
    try:
        wire = shape.read(payload)
    except _MALFORMED:
        wire = None
    if wire is None or wire.v != shape.version:
        wire = _lifted(shape, payload)
    values = list(fields_of(wire))
    values.pop()  # the version
    for place, decimals in shape.decimals:
        value = values[place]
        if isinstance(value, str):  # else it was left out, and is the default
            values[place] = unscaled(name, value, decimals)
    message: Message = shape.cls(*values)
    return message


def _lifted(shape: Shape, payload: bytes | str) -> Any:
    """The wire twin of a message of an older version, or `InputError` with what is wrong."""
    try:
        fields = _decode_json(payload)
        version = fields.get("v", 1) if isinstance(fields, dict) else None
        if not isinstance(version, int):
            raise InputError("message", shape.name, "is not an object with a version")
        if version > shape.version:
            rule = f"the newest known is v{shape.version}"
            raise InputError("message", f"{shape.name} v{version}", rule)
        while version < shape.version:
            lift = _upcasters.get((shape.name, version))
            if lift is None:
                raise InputError("message", f"{shape.name} v{version}", "cannot be lifted")
            fields = lift(fields)
            version += 1
        return msgspec.convert({**fields, "v": version}, shape.twin)
    except _MALFORMED as fault:
        raise InputError("message", shape.name, f"is malformed: {fault}") from None


def exact_decimals(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """For upcasters: floats of an old message become decimal text, exact on their `repr`."""
    return fields | {
        name: format(Decimal(repr(fields[name])), "f")
        for name in names
        if isinstance(fields.get(name), float)
    }


def canonical(payload: str | bytes) -> bytes:
    """The canonical bytes of JSON that a database may have re-spaced or re-ordered."""
    encoded: bytes = _encode_sorted(_decode_json(payload))
    return encoded
