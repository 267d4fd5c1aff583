"""The base of every message and the kinds its numbers have.

Its own module because a `msgspec.Struct` stays uncompiled, while the codec is compiled.
"""

from typing import Annotated

import msgspec

from nexustrade.core.money import PRICE_DECIMALS, QTY_DECIMALS, USD_DECIMALS

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
