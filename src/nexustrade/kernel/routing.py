"""Which stage partition a message is for. Part of the wiring, so it may name the services.

Accounts and symbols are spread by CRC-32 of their name: the same on every machine and for ever.
"""

from collections.abc import Sequence
from zlib import crc32

from nexustrade.core.codec import Message
from nexustrade.core.errors import InputError
from nexustrade.matching import messages as matching
from nexustrade.orders import messages as orders

ORDERS_TOPIC = "orders.events"
MATCHING_TOPIC = "matching.events"

_TO_ACCOUNT = (
    orders.SubmitOrder,
    orders.ReplaceOrder,
    orders.CancelOrder,
    orders.CancelAllOrders,
    orders.OpenAccount,
    orders.ConfigureAccount,
    orders.AdjustCash,
    orders.AdjustPosition,
    orders.BlockAccount,
)
_TO_ALL_ORDERS = (orders.BlockVenue, orders.RestrictInstrument)
_TO_ALL_MATCHING = (matching.OpenSession, matching.CloseSession, matching.Tick)
_EXECUTIONS = (matching.Removed, matching.Decremented, matching.Amended, matching.Refused)


class Routing:
    """The partitions of the two stages and the way of each message to them."""

    def __init__(self, orders_count: int, matching_count: int) -> None:
        self.orders_shards = [f"orders-{n}" for n in range(orders_count)]
        self.matching_shards = [f"matching-{n}" for n in range(matching_count)]

    @property
    def shards(self) -> list[str]:
        """All streams, orders stages first."""
        return self.orders_shards + self.matching_shards

    def orders_of(self, account_id: str) -> str:
        """The orders stage partition of an account."""
        return self.orders_shards[crc32(account_id.encode()) % len(self.orders_shards)]

    def matching_of(self, symbol: str) -> str:
        """The matching stage partition of a symbol."""
        return self.matching_shards[crc32(symbol.encode()) % len(self.matching_shards)]

    def command(self, command: Message) -> Sequence[str]:
        """The partitions that take a command; `InputError` when no stage does."""
        kind = type(command)
        if kind in _TO_ACCOUNT:
            return (self.orders_of(command.account_id),)  # type: ignore[attr-defined]
        if kind in _TO_ALL_ORDERS:
            return self.orders_shards
        if kind in _TO_ALL_MATCHING:
            return self.matching_shards
        if kind is matching.DefineInstrument:
            return self.shards
        raise InputError("command", kind.__name__, "no stage takes it")

    def event(self, event: Message) -> Sequence[str]:
        """The partitions that take a stage's event as their input; most events have none."""
        kind = type(event)
        if kind is orders.OrderAccepted or kind is orders.CancelRequested:
            return (self.matching_of(event.symbol),)  # type: ignore[attr-defined]
        if kind is matching.Traded:
            maker = self.orders_of(event.maker_account_id)  # type: ignore[attr-defined]
            taker = self.orders_of(event.taker_account_id)  # type: ignore[attr-defined]
            return (maker,) if maker == taker else (maker, taker)
        if kind in _EXECUTIONS:
            return (self.orders_of(event.account_id),)  # type: ignore[attr-defined]
        if kind is orders.ReplaceRequested:
            return (self.matching_of(event.symbol),)  # type: ignore[attr-defined]
        if kind is matching.Marked or kind is matching.SessionClosed:
            return self.orders_shards
        return ()

    def topic(self, shard: str) -> str:
        """The topic on which a stream's events are published."""
        return ORDERS_TOPIC if shard.startswith("orders-") else MATCHING_TOPIC
