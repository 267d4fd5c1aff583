"""Which stage partition a message is for. Part of the wiring, so it may name the services.

Accounts and symbols are spread by CRC-32 of their name: the same on every machine and for ever.
"""

from typing import Any, Final
from zlib import crc32

from nexustrade.core.codec import Message
from nexustrade.core.errors import InputError
from nexustrade.matching import messages as matching
from nexustrade.orders import messages as orders

ORDERS_TOPIC: Final = "orders.events"
MATCHING_TOPIC: Final = "matching.events"

# How the partitions of a message are found: from its account, its symbol, or all of a stage.
_ACCOUNT: Final = 1
_SYMBOL: Final = 2
_ALL_ORDERS: Final = 3
_ALL_MATCHING: Final = 4
_ALL: Final = 5
_TRADE: Final = 6

_COMMANDS: Final[dict[Any, int]] = {
    orders.SubmitOrder: _ACCOUNT,
    orders.ReplaceOrder: _ACCOUNT,
    orders.CancelOrder: _ACCOUNT,
    orders.CancelAllOrders: _ACCOUNT,
    orders.OpenAccount: _ACCOUNT,
    orders.ConfigureAccount: _ACCOUNT,
    orders.AdjustCash: _ACCOUNT,
    orders.AdjustPosition: _ACCOUNT,
    orders.BlockAccount: _ACCOUNT,
    orders.FreezeAccount: _ACCOUNT,
    orders.SubmitGroup: _ACCOUNT,
    orders.AmendGroup: _ACCOUNT,
    orders.CancelGroup: _ACCOUNT,
    orders.BustTrade: _ALL_ORDERS,
    orders.SettleDay: _ALL_ORDERS,
    orders.CheckMargin: _ALL_ORDERS,
    orders.BlockVenue: _ALL_ORDERS,
    orders.RestrictInstrument: _ALL,
    matching.BeginOpeningCall: _ALL_MATCHING,
    matching.BeginClosingCall: _ALL_MATCHING,
    matching.OpenSession: _ALL_MATCHING,
    matching.CloseSession: _ALL_MATCHING,
    matching.Tick: _ALL_MATCHING,
    matching.DefineInstrument: _ALL,
    matching.SplitInstrument: _SYMBOL,
}
_EVENTS: Final[dict[Any, int]] = {
    orders.OrderAccepted: _SYMBOL,
    orders.CancelRequested: _SYMBOL,
    orders.ReplaceRequested: _SYMBOL,
    orders.GroupAccepted: _SYMBOL,
    orders.GroupAmendRequested: _SYMBOL,
    orders.AccountFrozen: _ALL_MATCHING,
    matching.Traded: _TRADE,
    matching.Removed: _ACCOUNT,
    matching.Decremented: _ACCOUNT,
    matching.Amended: _ACCOUNT,
    matching.Refused: _ACCOUNT,
    matching.Marked: _ALL_ORDERS,
    matching.OpeningCallBegun: _ALL_ORDERS,
    matching.SessionOpened: _ALL_ORDERS,
    matching.SessionClosed: _ALL_ORDERS,
    matching.TrailRaised: _ACCOUNT,
    matching.StopElected: _ACCOUNT,
    matching.GroupOpened: _ACCOUNT,
    matching.GroupGrown: _ACCOUNT,
    matching.LegReduced: _ACCOUNT,
    matching.LegCancelled: _ACCOUNT,
    matching.GroupAmended: _ACCOUNT,
    matching.GroupClosed: _ACCOUNT,
    matching.GroupRefused: _ACCOUNT,
    matching.InstrumentSplit: _ALL_ORDERS,
}
_NOBODY: Final[list[str]] = []


class Routing:
    """The partitions of the two stages and the way of each message to them."""

    def __init__(self, orders_count: int, matching_count: int) -> None:
        self.orders_shards: list[str] = [f"orders-{n}" for n in range(orders_count)]
        self.matching_shards: list[str] = [f"matching-{n}" for n in range(matching_count)]
        self._one: dict[str, list[str]] = {shard: [shard] for shard in self.shards()}

    def shards(self) -> list[str]:
        """All streams, orders stages first."""
        return self.orders_shards + self.matching_shards

    def orders_of(self, account_id: str) -> str:
        """The orders stage partition of an account."""
        shards = self.orders_shards
        return shards[crc32(account_id.encode()) % len(shards)] if len(shards) > 1 else shards[0]

    def matching_of(self, symbol: str) -> str:
        """The matching stage partition of a symbol."""
        shards = self.matching_shards
        return shards[crc32(symbol.encode()) % len(shards)] if len(shards) > 1 else shards[0]

    def command(self, command: Message) -> list[str]:
        """The partitions that take a command; `InputError` when no stage does."""
        way = _COMMANDS.get(type(command), 0)
        if not way:
            raise InputError("command", type(command).__name__, "no stage takes it")
        return self._targets(way, command)

    def event(self, event: Message) -> list[str]:
        """The partitions that take a stage's event as their input; most events have none."""
        way = _EVENTS.get(type(event), 0)
        return self._targets(way, event) if way else _NOBODY

    def is_fixed(self, cls: type[Message]) -> bool:
        """Whether messages of a class all go the same way, whatever they say."""
        way = _COMMANDS.get(cls, 0) or _EVENTS.get(cls, 0)
        if way == _SYMBOL:
            return len(self.matching_shards) == 1
        return len(self.orders_shards) == 1 if way in (_ACCOUNT, _TRADE) else True

    def _targets(self, way: int, message: Any) -> list[str]:
        if way == _ACCOUNT:
            return self._one[self.orders_of(message.account_id)]
        if way == _SYMBOL:
            return self._one[self.matching_of(message.symbol)]
        if way == _TRADE:
            maker = self.orders_of(message.maker_account_id)
            taker = self.orders_of(message.taker_account_id)
            return self._one[maker] if maker == taker else [maker, taker]
        if way == _ALL_ORDERS:
            return self.orders_shards
        return self.matching_shards if way == _ALL_MATCHING else self.shards()

    def topic(self, shard: str) -> str:
        """The topic on which a stream's events are published."""
        return ORDERS_TOPIC if shard.startswith("orders-") else MATCHING_TOPIC
