"""The codec: canonical bytes, exact round trips, versions, and what it refuses."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core import codec
from nexustrade.core.codec import Message, Price, Qty, Usd
from nexustrade.core.errors import InputError
from nexustrade.matching.messages import Traded
from nexustrade.orders.messages import OrderAccepted, OrderRejected
from tests.unit.core.messages import filled, message_classes

CLASSES = message_classes()


class Sample(Message, frozen=True, gc=False):
    """A field before and after "v", and every kind of value; version 3."""

    VERSION = 3

    zeta: str
    price: Price
    amount: Usd = 0
    qty: Qty = 100_000_000
    whole: int = 7
    yes: bool = True
    facts: dict[str, str] = {}
    levels: tuple[tuple[int, int], ...] = ()


codec.register(Sample)


@pytest.fixture
def upcasters() -> Iterator[None]:
    """Version 1 had floats, version 2 called `price` by another name."""

    @codec.upcaster("Sample", 1)
    def exact(fields: dict[str, Any]) -> dict[str, Any]:
        return codec.exact_decimals(fields, "px")

    @codec.upcaster("Sample", 2)
    def renamed(fields: dict[str, Any]) -> dict[str, Any]:
        return {("price" if name == "px" else name): value for name, value in fields.items()}

    yield
    codec._upcasters.clear()


def test_keys_are_sorted_the_version_among_them_and_defaults_left_out() -> None:
    message = Sample("z", 1_000_500, facts={"b": "2", "a": "1"}, yes=False)
    assert codec.encode(message) == (
        b'{"facts":{"a":"1","b":"2"},"price":"100.05","v":3,"yes":false,"zeta":"z"}'
    )
    full = Sample("", 0, -5, 0, 0, True, {}, ((1, -2), (3, 4)))
    assert codec.encode(full) == (
        b'{"amount":"-0.05","levels":[[1,-2],[3,4]],"price":"0","qty":"0","v":3,"whole":0,"zeta":""}'
    )


def test_an_order_as_it_is_stored() -> None:
    message = OrderAccepted(
        account_id="a1",
        order_id="o1",
        cl_ord_id="\u00e9\n\u2028\U0001f600",
        symbol="AAPL",
        side="BUY",
        ord_type="LIMIT",
        time_in_force="DAY",
        order_qty=150_000_000,
        limit_px=1_895_000,
    )
    payload = codec.encode(message)
    assert payload.decode() == (
        '{"account_id":"a1","cl_ord_id":"\u00e9\\n\u2028\U0001f600","limit_px":"189.5",'
        '"ord_type":"LIMIT","order_id":"o1","order_qty":"1.5","side":"BUY","symbol":"AAPL",'
        '"time_in_force":"DAY","v":1}'
    )
    assert codec.decode("OrderAccepted", payload) == message


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=30)  # for each of more than fifty messages
@given(st.data())
def test_round_trip_of_every_message(cls: type[Message], choice: st.DataObject) -> None:
    message = choice.draw(filled(cls))
    payload = codec.encode(message)
    again = codec.decode(cls.__name__, payload)
    assert again == message
    assert type(again) is cls
    assert codec.encode(again) == payload
    assert codec.decode(cls.__name__, payload.decode()) == message
    # What jsonb makes of it: other spacing, other order of keys.
    content = json.loads(payload)
    respaced = json.dumps(dict(reversed(content.items())), indent=1)
    assert codec.canonical(respaced) == payload
    assert codec.canonical(respaced.encode()) == payload
    assert codec.decode(cls.__name__, respaced) == message
    assert hashlib.sha256(codec.canonical(respaced)).digest() == hashlib.sha256(payload).digest()
    # No number carries a fraction or an exponent: there is no float on the wire.
    json.loads(payload, parse_float=pytest.fail)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_messages_are_frozen_and_leave_the_name_of_the_version_free(cls: type[Message]) -> None:
    assert cls.__struct_config__.frozen
    assert "v" not in cls.__struct_fields__


def test_equal_values_are_left_out_whether_or_not_they_are_the_same_object() -> None:
    stp = "cancel_newest".upper()
    message = OrderAccepted("a", "o", "c", "S", "BUY", "LIMIT", "DAY", stp=stp)
    assert b"stp" not in codec.encode(message)
    rejected = OrderRejected("a", "o", "c", "S", "BUY", "LIMIT", "WHY", "text", facts={})
    assert b"facts" not in codec.encode(rejected)


def test_amounts_beyond_64_bits_are_exact() -> None:
    message = Sample("z", 10**25 + 1, whole=-(2**90))
    payload = codec.encode(message)
    assert b'"whole":-1237940039285380274899124224' in payload
    assert codec.canonical(payload) == payload
    assert codec.decode("Sample", payload) == message


def test_fields_of_a_newer_writer_are_passed_over() -> None:
    payload = b'{"later":[1,{"x":null}],"price":"1","v":3,"zeta":"z"}'
    assert codec.decode("Sample", payload) == Sample("z", 10_000)


@pytest.mark.usefixtures("upcasters")
def test_a_message_without_a_version_is_version_1() -> None:
    assert codec.decode("Sample", b'{"px":100.05,"zeta":"z"}') == Sample("z", 1_000_500)


@pytest.mark.parametrize(
    ("number", "price"),
    [("100.05", 1_000_500), ("1e-4", 1), ("0.1", 1_000), ("1e5", 10**9), ("-2.5", -25_000)],
)
@pytest.mark.usefixtures("upcasters")
def test_floats_of_old_messages_are_read_exactly(number: str, price: int) -> None:
    payload = f'{{"px":{number},"v":1,"zeta":"z"}}'
    assert codec.decode("Sample", payload) == Sample("z", price)


@pytest.mark.usefixtures("upcasters")
def test_each_version_is_lifted_by_the_steps_it_lacks() -> None:
    assert codec.decode("Sample", b'{"px":"2","v":2,"zeta":"z"}') == Sample("z", 20_000)
    assert codec.decode("Sample", b'{"price":"2","v":3,"zeta":"z"}') == Sample("z", 20_000)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"price":"1","v":3}',
        b'{"price":"1","v":4,"zeta":"z"}',
        b'{"price":"1","v":2,"zeta":"z"}',
        b'{"price":"1","v":0,"zeta":"z"}',
        b'{"price":"1","v":"3","zeta":"z"}',
        b'{"price":"1","v":null,"zeta":"z"}',
        b'{"price":"1","v":3,"zeta":7}',
        b'{"price":"1","v":3,"zeta":null}',
        b'{"price":1,"v":3,"zeta":"z"}',
        b'{"price":1.5,"v":3,"zeta":"z"}',
        b'{"price":"1.00001","v":3,"zeta":"z"}',
        b'{"price":"1e2","v":3,"zeta":"z"}',
        b'{"price":"1_0","v":3,"zeta":"z"}',
        b'{"price":"NaN","v":3,"zeta":"z"}',
        b'{"price":"","v":3,"zeta":"z"}',
        b'{"price":"1","v":3,"whole":1.5,"zeta":"z"}',
        b'{"price":"1","v":3,"yes":1,"zeta":"z"}',
        b'{"price":"1","v":3,"zeta":"\xff"}',
        '{"price":"\u0661","v":3,"zeta":"z"}',
        '{"price":"1","v":3,"zeta":"\\ud800"}',
        b'{"price":"1","v":3,"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"zeta":"z"}',
    ],
)
def test_a_malformed_message_is_refused(payload: bytes | str) -> None:
    with pytest.raises(InputError):
        codec.decode("Sample", payload)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_a_message_or_refused(payload: bytes | str) -> None:
    with pytest.raises(InputError):
        codec.decode("Traded", payload)


@given(
    st.dictionaries(
        st.sampled_from([*Traded.__struct_fields__, "v"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none()),
    )
)
def test_any_object_is_a_message_or_refused(content: dict[str, object]) -> None:
    try:
        message = codec.decode("Traded", json.dumps(content))
    except InputError:
        return
    assert isinstance(message, Traded)
    assert codec.decode("Traded", codec.encode(message)) == message


def test_an_unknown_message_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="NoSuchThing"):
        codec.decode("NoSuchThing", b"{}")


def test_two_messages_of_one_name_are_refused() -> None:
    other = type("Sample", (Message,), {"__annotations__": {"a": str}}, frozen=True, gc=False)
    with pytest.raises(ValueError, match="Sample"):
        codec.register(other)
    codec.register(Sample)
