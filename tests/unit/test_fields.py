"""The tuple types that compiled code unpacks messages with say what the messages hold.

A message that gains a field changes what `fields_of` gives: its tuple type must follow.
"""

from types import ModuleType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from nexustrade.core.codec import fields_of
from nexustrade.matching import messages as matching
from nexustrade.orders import messages as orders

TUPLES = [
    (module, name) for module in (matching, orders) for name in vars(module) if "Fields" in name
]


def plain(hint: Any) -> Any:
    """The type of a field without what it is annotated with."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


@pytest.mark.parametrize(("module", "name"), TUPLES, ids=[name for _, name in TUPLES])
def test_a_tuple_type_has_the_fields_of_its_message_in_order(module: ModuleType, name: str) -> None:
    message = getattr(module, name.removesuffix("Fields"))
    hints = get_type_hints(message, include_extras=True)
    names = [field.name for field in msgspec.structs.fields(message)]
    assert get_args(getattr(module, name)) == tuple(plain(hints[each]) for each in names)


def test_fields_come_in_the_order_of_the_message() -> None:
    removed = matching.Removed("order", "account", "AAPL", 5, "BY_REQUEST", "group")
    assert fields_of(removed) == ("order", "account", "AAPL", 5, "BY_REQUEST", "group")


def test_there_are_tuple_types() -> None:
    assert "TradedFields" in [name for _, name in TUPLES]
