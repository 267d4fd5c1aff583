"""What the matching stage takes and emits: its contract.

It takes the orders stage's `OrderAccepted`, `GroupAccepted`, `CancelRequested`, `ReplaceRequested`,
`GroupAmendRequested` and `AccountFrozen` events, its `RestrictInstrument` command, and the commands
below. Everything it emits is an event; the orders stages read the events back as
executions. 0 and "" stand for "none".
"""

from typing import Final, Protocol

from nexustrade.core.codec import Message, Price, Qty, Usd, register

# Reasons for which an order leaves the book or never gets there.
BY_REQUEST: Final = "BY_REQUEST"
UNFILLED_REMAINDER: Final = "UNFILLED_REMAINDER"
"""The rest of an IOC or market order, or a FOK order that could not be filled at once."""
SELF_TRADE: Final = "SELF_TRADE"
POST_ONLY: Final = "POST_ONLY"
"""A post-only order would have taken liquidity."""
END_OF_DAY: Final = "END_OF_DAY"
EXPIRE_TIME: Final = "EXPIRE_TIME"
MARKET_CLOSED: Final = "MARKET_CLOSED"
"""An order that may not rest arrived outside the session."""
REDUCED_TO_FILLED: Final = "REDUCED_TO_FILLED"
"""A replace asked for no more than what is filled already."""
UNKNOWN_SYMBOL: Final = "UNKNOWN_SYMBOL"
"""The symbol has no book here."""

STOP_WOULD_TRIGGER: Final = "STOP_WOULD_TRIGGER"
"""A stop price that the last trade has reached already."""
SIBLING_FILLED: Final = "SIBLING_FILLED"
"""The other leg of its group was filled."""
SIBLING_ELECTED: Final = "SIBLING_ELECTED"
"""The stop-loss of its group was elected."""
GROUP_CANCELLED: Final = "GROUP_CANCELLED"
"""The other leg, or the whole group, was cancelled."""
ENTRY_CANCELLED: Final = "ENTRY_CANCELLED"
"""The entry of its bracket ended without the fills that it was for."""
POSITION_SHRUNK: Final = "POSITION_SHRUNK"
"""Another sale took the shares; the group allows it (`auto_shrink`)."""
SHARES_SOLD: Final = "SHARES_SOLD"
"""The group that was to give up shares for this order has sold them."""
OCO_PRICES_DO_NOT_STRADDLE: Final = "OCO_PRICES_DO_NOT_STRADDLE"
"""The legs do not have the price of the market between them."""
MISSED_AUCTION: Final = "MISSED_AUCTION"
"""An order for an auction that came after it, or that the auction did not fill."""
NO_MATCHING: Final = "NO_MATCHING"
"""An order that must trade at once came while the book does not match (call, halt)."""

# Why a leg is reduced: a fill of its sibling, or one of the above.
SIBLING_FILL: Final = "SIBLING_FILL"
AMENDED: Final = "AMENDED"

# Why a group is closed.
TP_FILLED: Final = "TP_FILLED"
SL_FILLED: Final = "SL_FILLED"
GROUP_CLOSED_CANCELLED: Final = "CANCELLED"
GROUP_CLOSED_EXPIRED: Final = "EXPIRED"

# Why a cancel or a replace is refused.
UNKNOWN_ORDER: Final = "UNKNOWN_ORDER"
TOO_LATE: Final = "TOO_LATE"
"""The stop has been elected: only its limit price and a cancel are left to ask for."""
HALTED: Final = "HALTED"
"""While a book is halted orders may be cancelled, not changed."""

NOT_HALTED: Final = "NOT_HALTED"
"""A symbol is split while it is halted, and by sensible numbers."""
SPLIT: Final = "SPLIT"
"""A split left it with a quantity that nobody can trade."""
ENTRY_ALIVE: Final = "ENTRY_ALIVE"
"""The quantity of a bracket is its entry's while that is open."""

# Why the phase of a book changes.
PRICE_BAND: Final = "PRICE_BAND"
ELECTIONS_MAX: Final = "ELECTIONS_MAX"
CASCADE_COLLAR: Final = "CASCADE_COLLAR"
OPERATOR: Final = "OPERATOR"
CALL_ENDED: Final = "CALL_ENDED"


class DefineInstrument(Message, frozen=True, gc=False):
    """Command to every stage partition: an instrument and its rules, new or changed.

    Trades stay within `static_band_ppm` of the reference price of the day and `dynamic_band_ppm` of
    the last trade before a command (0: no band); beyond, a volatility auction of `call_s` seconds
    follows. `maintenance_addon_ppm` is added to the maintenance margin rate.
    """

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
    static_band_ppm: int = 0
    dynamic_band_ppm: int = 0
    call_s: int = 0
    maintenance_addon_ppm: int = 0


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
    static_band_ppm: int = 0
    dynamic_band_ppm: int = 0
    call_s: int = 0
    maintenance_addon_ppm: int = 0


class SplitInstrument(Message, frozen=True, gc=False):
    """Command: `shares_old` shares of a halted symbol become `shares_new`.

    Orders and groups whose quantities are then no whole number of 1e-8 shares end first.
    """

    symbol: str
    shares_new: int
    shares_old: int
    text: str = ""


class InstrumentSplit(Message, frozen=True, gc=False):
    """A split took effect: quantities and prices of the symbol are scaled from here on.

    Prices of orders to buy are rounded down to a tick, those to sell up, stops the other way.
    """

    symbol: str
    shares_new: int
    shares_old: int
    text: str = ""


class BeginOpeningCall(Message, frozen=True, gc=False):
    """Command: queued orders enter the books, which collect orders until `OpenSession` uncrosses.

    `settle_date` is when the day's trades settle; empty: at once.
    """

    session_date: str
    settle_date: str = ""


class OpenSession(Message, frozen=True, gc=False):
    """Command: the opening auction, where orders were collected, and then continuous trading."""

    session_date: str
    settle_date: str = ""


class BeginClosingCall(Message, frozen=True, gc=False):
    """Command: the books collect orders until `CloseSession` uncrosses them."""

    session_date: str


class CloseSession(Message, frozen=True, gc=False):
    """Command: the closing auction, if there was a closing call; then DAY orders expire."""

    session_date: str


class Tick(Message, frozen=True, gc=False):
    """Command: time has passed. Orders past their expire time leave; changed prices are marked."""


class OpeningCallBegun(Message, frozen=True, gc=False):
    session_date: str
    settle_date: str = ""


class SessionOpened(Message, frozen=True, gc=False):
    session_date: str
    settle_date: str = ""


class ClosingCallBegun(Message, frozen=True, gc=False):
    session_date: str


class SessionClosed(Message, frozen=True, gc=False):
    session_date: str


class PhaseChanged(Message, frozen=True, gc=False):
    """A book goes its own way (VOLATILITY_AUCTION until `until_us`, HALT) or joins the session."""

    symbol: str
    phase: str
    reason: str
    until_us: int = 0
    text: str = ""


class Uncrossed(Message, frozen=True, gc=False):
    """An auction's result: `qty` trades at `px`, in the trades that follow; 0 and 0 for none.

    What is left at that price is on `surplus_side`. `phase` is the call that ended.
    """

    symbol: str
    phase: str
    px: Price = 0
    qty: Qty = 0
    surplus_qty: Qty = 0
    surplus_side: str = ""


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
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    group_id: str = ""
    reduces: bool = False


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
    group_id: str = ""
    ord_type: str = "LIMIT"
    reduces: bool = False


RestedFields = tuple[
    str, str, str, str, str, int, int, int, str, int, bool, str, str, bool
]  # fmt: skip
"""What `fields_of` gives for `Rested`."""


class Parked(Message, frozen=True, gc=False):
    """A stop order waits, invisible, for a trade at or through `stop_px`.

    A trailing stop follows the best trade since (`hwm_px`) at a distance of `trail_px` or
    `trail_ppm`. Its place among stops of the same price is the time of this event. `limit_px` is a
    stop-limit's. `reduces`: it can only make a position smaller.
    """

    order_id: str
    account_id: str
    symbol: str
    side: str
    ord_type: str
    time_in_force: str
    leaves_qty: Qty
    stop_px: Price
    limit_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    hwm_px: Price = 0
    expire_us: int = 0
    stp: str = ""
    cum_qty: Qty = 0
    group_id: str = ""
    reduces: bool = False


class TrailRaised(Message, frozen=True, gc=False):
    """A trade moved a trailing stop: `hwm_px` is the best price since, `stop_px` follows it."""

    order_id: str
    account_id: str
    symbol: str
    hwm_px: Price
    stop_px: Price
    cause: str = ""


class StopElected(Message, frozen=True, gc=False):
    """A trade at `print_px` reached the stop price; `gapped`: it went through it.

    From here on the order is ELECTED_PENDING until its `StopActivated`.
    """

    order_id: str
    account_id: str
    symbol: str
    stop_px: Price
    print_px: Price
    trade_id: int
    gapped: bool = False
    group_id: str = ""
    cause: str = ""


class StopActivated(Message, frozen=True, gc=False):
    """An elected stop enters the book with `limit_px`: its own, or the protection limit."""

    order_id: str
    account_id: str
    symbol: str
    limit_px: Price
    leaves_qty: Qty
    group_id: str = ""
    cause: str = ""


class GroupHeld(Message, frozen=True, gc=False):
    """A group is in and waits: a bracket or OTO for its entry, an OCO for the next session.

    `side` is that of the exit. The entry of a bracket has the group's id; an empty leg id says that
    the group has no such leg.
    """

    group_id: str
    account_id: str
    symbol: str
    order_class: str
    side: str
    time_in_force: str
    order_qty: Qty
    tp_order_id: str = ""
    tp_limit_px: Price = 0
    sl_order_id: str = ""
    sl_stop_px: Price = 0
    sl_limit_px: Price = 0
    policy: str = "REDUCE"
    activation: str = "PARTIAL"
    expire_us: int = 0
    stp: str = ""
    reduces: bool = False


class GroupOpened(Message, frozen=True, gc=False):
    """The exit of a group is alive for `open_qty`: its stop-loss is parked from here on.

    With `tp_rests` its take-profit stands in the book from here on; else it arrives next, as any
    order does. An OCO that never waited carries its terms here; a group that was held has them.
    """

    group_id: str
    account_id: str
    symbol: str
    open_qty: Qty
    tp_rests: bool = False
    cause: str = ""
    order_class: str = ""
    side: str = ""
    time_in_force: str = ""
    tp_order_id: str = ""
    tp_limit_px: Price = 0
    sl_order_id: str = ""
    sl_stop_px: Price = 0
    sl_limit_px: Price = 0
    policy: str = "REDUCE"
    expire_us: int = 0
    stp: str = ""
    reduces: bool = False


class GroupGrown(Message, frozen=True, gc=False):
    """The exit of a group is alive for `by_qty` more, `open_qty` in all.

    Its legs that are alive grow; the take-profit loses its place. A leg that was filled before
    stands again.
    """

    group_id: str
    account_id: str
    symbol: str
    by_qty: Qty
    open_qty: Qty
    tp_rests: bool = False
    cause: str = ""


class LegReduced(Message, frozen=True, gc=False):
    """A leg is smaller by `by_qty` and keeps its place; `leaves_qty` is open."""

    order_id: str
    account_id: str
    symbol: str
    group_id: str
    by_qty: Qty
    leaves_qty: Qty
    reason: str
    cause: str = ""


class LegCancelled(Message, frozen=True, gc=False):
    """A leg ends for a reason of its group; `leaves_qty` was still open."""

    order_id: str
    account_id: str
    symbol: str
    group_id: str
    leaves_qty: Qty
    reason: str
    cause: str = ""


class GroupAmended(Message, frozen=True, gc=False):
    """The quantity of a group is `order_qty`; its `LegReduced` or `GroupGrown` follow."""

    group_id: str
    account_id: str
    symbol: str
    order_qty: Qty


class FreezeNoted(Message, frozen=True, gc=False):
    """Elected stops of a frozen account wait, those that reduce its position do not."""

    account_id: str
    frozen: bool


class GroupClosed(Message, frozen=True, gc=False):
    """Nothing of a group is alive any more."""

    group_id: str
    account_id: str
    symbol: str
    reason: str
    cause: str = ""


class GroupRefused(Message, frozen=True, gc=False):
    """A new group could not enter (nothing of it did), or (`amend`) its amend came too late."""

    group_id: str
    account_id: str
    symbol: str
    reason: str
    amend: bool = False


class Traded(Message, frozen=True, gc=False):
    """One match, at the maker's price. `taker_done` says that the taker has nothing left to do.

    In an `auction` both orders stood in the book and the price is that of the auction; the taker is
    the one that came later. The groups are those of the two orders.
    """

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
    auction: bool = False
    maker_group_id: str = ""
    taker_group_id: str = ""


TradedFields = tuple[
    int, str, str, int, int, str, str, int, str, str, bool, bool, str, str
]  # fmt: skip
"""What `fields_of` gives for `Traded`."""


class Removed(Message, frozen=True, gc=False):
    """An order is no longer working, or never came to rest; `leaves_qty` was still open.

    Legs of a group end by `LegCancelled`; the group of a removed entry is named.
    """

    order_id: str
    account_id: str
    symbol: str
    leaves_qty: Qty
    reason: str
    group_id: str = ""


RemovedFields = tuple[str, str, str, int, str, str]
"""What `fields_of` gives for `Removed`."""


class Decremented(Message, frozen=True, gc=False):
    """Self-trade prevention took `by_qty` off an order without a trade."""

    order_id: str
    account_id: str
    symbol: str
    by_qty: Qty


class Amended(Message, frozen=True, gc=False):
    """A replace was carried out: `orig_order_id` goes on as `order_id`.

    With `requeued` the order left its place; what becomes of the new id follows (`Traded`,
    `Rested`, `Parked`, `Queued` or `Removed`). With `leaves_qty` 0 its `Removed` follows, unless it
    is a leg: then nothing of it is alive until the entry fills more.
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
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    group_id: str = ""


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
    In a call `indicative_px` and `indicative_qty` are what an uncross now would give, and
    `imbalance_qty` is what it would leave at that price on `imbalance_side`.
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
    phase: str = "CONTINUOUS"
    indicative_px: Price = 0
    indicative_qty: Qty = 0
    imbalance_qty: Qty = 0
    imbalance_side: str = ""


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
    BeginOpeningCall,
    BeginClosingCall,
    OpeningCallBegun,
    ClosingCallBegun,
    PhaseChanged,
    Uncrossed,
    Parked,
    TrailRaised,
    StopElected,
    StopActivated,
    GroupHeld,
    GroupOpened,
    GroupGrown,
    LegReduced,
    LegCancelled,
    GroupAmended,
    GroupClosed,
    GroupRefused,
    FreezeNoted,
    SplitInstrument,
    InstrumentSplit,
)
