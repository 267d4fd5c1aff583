"""What the matching stage takes and emits: its contract.

It takes the orders stage's `OrderAccepted`, `CancelRequested` and `ReplaceRequested` events, and
the commands below. Everything it emits is an event; the orders stages read the events back as
executions. 0 and "" stand for "none".
"""

from typing import Protocol

from nexustrade.core.codec import Message, Price, Qty, Usd, register

# Reasons for which an order leaves the book or never gets there.
BY_REQUEST = "BY_REQUEST"
UNFILLED_REMAINDER = "UNFILLED_REMAINDER"
"""The rest of an IOC or market order, or a FOK order that could not be filled at once."""
SELF_TRADE = "SELF_TRADE"
POST_ONLY = "POST_ONLY"
"""A post-only order would have taken liquidity."""
END_OF_DAY = "END_OF_DAY"
EXPIRE_TIME = "EXPIRE_TIME"
MARKET_CLOSED = "MARKET_CLOSED"
"""An order that may not rest arrived outside the session."""
REDUCED_TO_FILLED = "REDUCED_TO_FILLED"
"""A replace asked for no more than what is filled already."""
UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
"""The symbol has no book here."""

# Why a cancel or a replace is refused.
UNKNOWN_ORDER = "UNKNOWN_ORDER"


class DefineInstrument(Message, frozen=True, gc=False):
    """Command to every stage partition: an instrument and its rules, new or changed."""

    symbol: str
    tick_size: Price
    lot_size: Qty
    name: str = ""
    exchange: str = ""
    fractionable: bool = False
    shortable: bool = False
    marginable: bool = False
    tier: int = 2
    collar_ppm: int = 50_000
    reference_px: Price = 0
    order_qty_max: Qty = 0
    order_notional_max: Usd = 0


class InstrumentDefined(Message, frozen=True, gc=False):
    """An instrument's rules as they stand from here on. `collar_ppm`: parts per million."""

    symbol: str
    tick_size: Price
    lot_size: Qty
    name: str = ""
    exchange: str = ""
    fractionable: bool = False
    shortable: bool = False
    marginable: bool = False
    tier: int = 2
    collar_ppm: int = 50_000
    reference_px: Price = 0
    order_qty_max: Qty = 0
    order_notional_max: Usd = 0


class OpenSession(Message, frozen=True, gc=False):
    """Command: continuous trading begins; orders queued while closed enter in their order."""

    session_date: str


class CloseSession(Message, frozen=True, gc=False):
    """Command: trading ends; DAY orders expire and new ones queue."""

    session_date: str


class Tick(Message, frozen=True, gc=False):
    """Command: time has passed. Orders past their expire time leave; changed prices are marked."""


class SessionOpened(Message, frozen=True, gc=False):
    session_date: str


class SessionClosed(Message, frozen=True, gc=False):
    session_date: str


class Queued(Message, frozen=True, gc=False):
    """An order came outside the session and waits for the next one, in order of arrival.

    `order_qty` counts `cum_qty`, what a replaced order had filled before.
    """

    order_id: str
    account_id: str
    symbol: str
    side: str
    ord_type: str
    time_in_force: str
    order_qty: Qty
    notional: Usd = 0
    limit_px: Price = 0
    expire_us: int = 0
    post_only: bool = False
    stp: str = ""
    step: Qty = 1
    collar_px: Price = 0
    cum_qty: Qty = 0


class Rested(Message, frozen=True, gc=False):
    """An order, or what its arrival left of it, stands in the book from here on."""

    order_id: str
    account_id: str
    symbol: str
    side: str
    time_in_force: str
    limit_px: Price
    leaves_qty: Qty
    expire_us: int = 0
    stp: str = ""
    cum_qty: Qty = 0
    post_only: bool = False


class Traded(Message, frozen=True, gc=False):
    """One match, at the maker's price. `taker_done` says that the taker has nothing left to do."""

    trade_id: int
    symbol: str
    taker_side: str
    last_px: Price
    last_qty: Qty
    maker_order_id: str
    maker_account_id: str
    maker_leaves_qty: Qty
    taker_order_id: str
    taker_account_id: str
    taker_done: bool = False


class Removed(Message, frozen=True, gc=False):
    """An order is no longer working, or never came to rest; `leaves_qty` was still open."""

    order_id: str
    account_id: str
    symbol: str
    leaves_qty: Qty
    reason: str


class Decremented(Message, frozen=True, gc=False):
    """Self-trade prevention took `by_qty` off an order without a trade."""

    order_id: str
    account_id: str
    symbol: str
    by_qty: Qty


class Amended(Message, frozen=True, gc=False):
    """A replace was carried out: `orig_order_id` goes on as `order_id`.

    With `requeued` the order left its place; what becomes of the new id follows (`Traded`,
    `Rested`, `Queued` or `Removed`). With `leaves_qty` 0 its `Removed` follows.
    """

    order_id: str
    orig_order_id: str
    account_id: str
    symbol: str
    limit_px: Price
    leaves_qty: Qty
    requeued: bool = False
    time_in_force: str = ""
    expire_us: int = 0


class Refused(Message, frozen=True, gc=False):
    """A cancel (`orig_order_id` empty) or a replace came too late; nothing changed."""

    order_id: str
    account_id: str
    symbol: str
    reason: str
    orig_order_id: str = ""


class Marked(Message, frozen=True, gc=False):
    """The last price of a symbol has changed since it was last told; every orders stage hears."""

    symbol: str
    last_px: Price


class BookSnapshot(Message, frozen=True, gc=False):
    """A book between two commands. Levels are (price 1e-4 USD, quantity 1e-8, orders), best first.

    `book_seq` counts the changes of this book; `as_of_us` is the stream's time at the last one.
    """

    symbol: str
    epoch: int
    book_seq: int
    as_of_us: int
    bids: tuple[tuple[int, int, int], ...]
    asks: tuple[tuple[int, int, int], ...]
    last_px: Price = 0
    last_qty: Qty = 0
    last_trade_us: int = 0
    session_open: bool = True


class BooksQuery(Protocol):
    """Committed books, as any reader may see them."""

    def snapshot(self, symbol: str, depth_max: int) -> BookSnapshot | None:
        """The book of a symbol, at most `depth_max` levels a side; None when it is not listed."""
        ...

    def session_open(self) -> bool:
        """Whether continuous trading is on."""
        ...


register(
    DefineInstrument,
    InstrumentDefined,
    OpenSession,
    CloseSession,
    Tick,
    SessionOpened,
    SessionClosed,
    Queued,
    Rested,
    Traded,
    Removed,
    Decremented,
    Amended,
    Refused,
    Marked,
)
