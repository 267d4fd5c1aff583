"""Every registered message class, and hypothesis strategies that fill them."""

import importlib.util
import pkgutil
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

import nexustrade
from nexustrade.core import codec
from nexustrade.core.codec import Message

# Not on the wire at all: half of a surrogate pair is no Unicode text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def message_classes() -> list[type[Message]]:
    """The classes of every service's `messages.py`, by name."""
    for service in pkgutil.iter_modules(nexustrade.__path__, "nexustrade."):
        if service.ispkg and importlib.util.find_spec(f"{service.name}.messages"):
            importlib.import_module(f"{service.name}.messages")
    return [cls for cls in codec.registered() if cls.__module__.startswith("nexustrade.")]


def filled(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Messages of a class with any content, each field at its default from time to time."""
    hints = get_type_hints(cls, include_extras=True)
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(cls):
        fields[field.name] = values(hints[field.name])
        if field.default is not msgspec.NODEFAULT:
            fields[field.name] |= st.just(field.default)
    return st.builds(cls, **fields)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return values(arguments[0])
    if origin in {Union, UnionType}:
        return st.one_of(*[values(argument) for argument in arguments])
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=4)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=4)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(argument) for argument in arguments])
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        int: st.integers(-(2**70), 2**70),
        type(None): st.none(),
    }
    return plain[hint]
