"""What the orders stage takes and emits: its contract.

Commands come from gateways, executions are the matching stage's events. 0 and "" stand for "none".
A command's first event is its answer: an accepted or requested event, or a rejection.
"""

from collections.abc import Callable, Container, Sequence
from typing import Final, Protocol

from nexustrade.core.codec import Message, Price, Qty, Usd, register
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import InstrumentDefined

# Why an order, a replace or a cancel is rejected (OrdRejReason, CxlRejReason and our own).
DUPLICATE_CL_ORD_ID: Final = "DUPLICATE_CL_ORD_ID"
UNKNOWN_ACCOUNT: Final = "UNKNOWN_ACCOUNT"
UNKNOWN_SYMBOL: Final = "UNKNOWN_SYMBOL"
NOT_TRADABLE: Final = "NOT_TRADABLE"
"""The symbol is restricted or halted."""
ACCOUNT_BLOCKED: Final = "ACCOUNT_BLOCKED"
"""The account's kill switch is on."""
VENUE_BLOCKED: Final = "VENUE_BLOCKED"
"""The venue's kill switch is on."""
SUSPENDED_BY_USER: Final = "SUSPENDED_BY_USER"
INSUFFICIENT_BUYING_POWER: Final = "INSUFFICIENT_BUYING_POWER"
INSUFFICIENT_QTY: Final = "INSUFFICIENT_QTY"
NOT_SHORTABLE: Final = "NOT_SHORTABLE"
NOT_FRACTIONABLE: Final = "NOT_FRACTIONABLE"
ORDER_QTY_MAX: Final = "ORDER_QTY_MAX"
ORDER_NOTIONAL_MAX: Final = "ORDER_NOTIONAL_MAX"
OPEN_ORDERS_MAX: Final = "OPEN_ORDERS_MAX"
TICK_SIZE: Final = "TICK_SIZE"
LOT_SIZE: Final = "LOT_SIZE"
PRICE_COLLAR: Final = "PRICE_COLLAR"
NO_REFERENCE_PRICE: Final = "NO_REFERENCE_PRICE"
INVALID_ORDER: Final = "INVALID_ORDER"
"""Terms of the order do not go together; the text says which."""
UNKNOWN_ORDER: Final = "UNKNOWN_ORDER"
ORDER_CLOSED: Final = "ORDER_CLOSED"
ORDER_PENDING: Final = "ORDER_PENDING"
"""A cancel or replace of the order is under way."""
STOP_WOULD_TRIGGER: Final = "STOP_WOULD_TRIGGER"
"""A stop price that the last trade has reached already."""
OCO_PRICES_DO_NOT_STRADDLE: Final = "OCO_PRICES_DO_NOT_STRADDLE"
"""The legs of a group do not have the price of the market (for a bracket: the entry's) between."""
QTY_IS_GROUP_LEVEL: Final = "QTY_IS_GROUP_LEVEL"
"""The legs of a group have one quantity: it is changed for the group as a whole."""
TOO_LATE: Final = "TOO_LATE"
"""The stop has been elected: only its limit price and a cancel are left to ask for."""
UNKNOWN_GROUP: Final = "UNKNOWN_GROUP"
ACCOUNT_FROZEN: Final = "ACCOUNT_FROZEN"
SETTLED_CASH_ONLY: Final = "SETTLED_CASH_ONLY"
"""The account may buy with settled cash alone, after violations."""
MARGIN_CALL: Final = "MARGIN_CALL"
"""The account has an open margin call: only orders that reduce a position are taken."""
UNKNOWN_TRADE: Final = "UNKNOWN_TRADE"
ACCOUNT_EXISTS: Final = "ACCOUNT_EXISTS"
INSUFFICIENT_CASH: Final = "INSUFFICIENT_CASH"


# ---------------------------------------------------------------- commands


class SubmitOrder(Message, frozen=True, gc=False):
    """A new order. Either `order_qty` or (market orders) `notional` is set."""

    account_id: str
    order_id: str
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str
    time_in_force: str
    order_qty: Qty = 0
    notional: Usd = 0
    limit_px: Price = 0
    expire_us: int = 0
    post_only: bool = False
    extended_hours: bool = False
    position_intent: str = ""
    known_order_id: str = ""
    """An older order with this client order id, found in the store: makes it a duplicate."""
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    """A trailing stop's distance: a price or parts per million, one of the two."""


SubmitOrderFields = tuple[
    str, str, str, str, str, str, str, int, int, int, int, bool, bool, str, str, int, int, int
]  # fmt: skip
"""What `fields_of` gives for `SubmitOrder`."""


class SubmitGroup(Message, frozen=True, gc=False):
    """New orders that belong together: accepted or rejected as one.

    A bracket is an entry (`side`, `ord_type`, `limit_px`, `stop_px`; its id is the group's) whose
    fills bring an exit of a take-profit and a stop-loss to life; an OTO has one of the two. An OCO
    is the exit alone: `side` is its side and `group_id` the id of its take-profit, which is its
    parent. A leg whose id is empty is not wanted.
    """

    account_id: str
    group_id: str
    cl_ord_id: str
    order_class: str
    symbol: str
    side: str
    time_in_force: str
    order_qty: Qty = 0
    ord_type: str = ""
    limit_px: Price = 0
    stop_px: Price = 0
    tp_order_id: str = ""
    tp_cl_ord_id: str = ""
    tp_limit_px: Price = 0
    sl_order_id: str = ""
    sl_cl_ord_id: str = ""
    sl_stop_px: Price = 0
    sl_limit_px: Price = 0
    """0 for a stop-loss that sells at the market; else it is a stop-limit."""
    policy: str = "REDUCE"
    activation: str = "PARTIAL"
    auto_shrink: bool = False
    """Other orders may take the group's shares: it shrinks first."""
    expire_us: int = 0
    position_intent: str = ""
    known_order_id: str = ""


class AmendGroup(Message, frozen=True, gc=False):
    """Change the quantity of a group, for all of its legs; `order_qty` counts what is filled."""

    account_id: str
    group_id: str
    order_qty: Qty


class CancelGroup(Message, frozen=True, gc=False):
    """Cancel whatever of a group is alive."""

    account_id: str
    group_id: str


class ReplaceOrder(Message, frozen=True, gc=False):
    """Change an open order. Empty fields keep the old value; `order_qty` is the new total."""

    account_id: str
    order_id: str
    orig_order_id: str
    cl_ord_id: str
    order_qty: Qty = 0
    limit_px: Price = 0
    time_in_force: str = ""
    expire_us: int = 0
    known_order_id: str = ""
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0


class CancelOrder(Message, frozen=True, gc=False):
    account_id: str
    order_id: str


class CancelAllOrders(Message, frozen=True, gc=False):
    """Cancel every open order of an account, or only those of a symbol and side."""

    account_id: str
    symbol: str = ""
    side: str = ""


class OpenAccount(Message, frozen=True, gc=False):
    """Open an account with its opening cash; rates in parts per million of the notional.

    `unsettled_usable`: the proceeds of its sales may buy before they settle.
    """

    account_id: str
    account_type: str
    cash: Usd = 0
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    shorting: bool = False
    stp: str = "CANCEL_NEWEST"
    open_orders_max: int = 100_000
    unsettled_usable: bool = True


class ConfigureAccount(Message, frozen=True, gc=False):
    """Set an account's user settings as a whole (Alpaca's account configurations)."""

    account_id: str
    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True
    trade_confirm_email: str = "all"
    max_margin_multiplier: str = "4"
    ptp_no_exception_entry: bool = False
    stp: str = ""


class AdjustCash(Message, frozen=True, gc=False):
    """Deposit (above 0) or withdraw (below 0) cash."""

    account_id: str
    amount: Usd
    description: str = ""


class AdjustPosition(Message, frozen=True, gc=False):
    """Deliver shares in (above 0) or out (below 0) free of payment, at a cost basis per share."""

    account_id: str
    symbol: str
    qty: Qty
    price: Price = 0
    description: str = ""


class BlockAccount(Message, frozen=True, gc=False):
    """The account's kill switch: on, it cancels all open orders and rejects new ones."""

    account_id: str
    blocked: bool
    reason: str = ""


class FreezeAccount(Message, frozen=True, gc=False):
    """Take no new orders of an account. Open ones stay, and stops that reduce a position work."""

    account_id: str
    frozen: bool
    reason: str = ""


class BustTrade(Message, frozen=True, gc=False):
    """Undo a trade by the operator's decision, as it stands in the stream of its symbol.

    Cash and shares go back with what they cost; orders and groups are not revived.
    """

    symbol: str
    trade_id: int
    last_px: Price
    last_qty: Qty
    buy_account_id: str
    buy_order_id: str
    buy_fee: Usd
    sell_account_id: str
    sell_order_id: str
    sell_fee: Usd
    settle_date: str = ""
    reason: str = ""


class SettleDay(Message, frozen=True, gc=False):
    """The end of a business day: what is due on it, or was before, is settled."""

    settle_date: str


class CheckMargin(Message, frozen=True, gc=False):
    """Compare every margin account's equity with its maintenance requirement.

    A call not met by its due time, `call_us` after it was issued, is followed by liquidation.
    """

    call_us: int


class BlockVenue(Message, frozen=True, gc=False):
    """The venue's kill switch, for every orders stage partition."""

    blocked: bool
    reason: str = ""


class RestrictInstrument(Message, frozen=True, gc=False):
    """Set a symbol's state: ACTIVE, HALTED or RESTRICTED (only orders that reduce a position)."""

    symbol: str
    state: str
    reason: str = ""


# ---------------------------------------------------------------- events


class OrderAccepted(Message, frozen=True, gc=False):
    """An order passed all checks and its margin is reserved; the matching stage takes it on.

    `collar_px` bounds a market order's price; `reserved` and `reserved_qty` are what is held.
    `step` is the smallest quantity a notional order trades in.
    """

    account_id: str
    order_id: str
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str
    time_in_force: str
    order_qty: Qty = 0
    notional: Usd = 0
    limit_px: Price = 0
    collar_px: Price = 0
    expire_us: int = 0
    post_only: bool = False
    extended_hours: bool = False
    position_intent: str = ""
    stp: str = "CANCEL_NEWEST"
    step: Qty = 1
    reserved: Usd = 0
    reserved_qty: Qty = 0
    cover_qty: Qty = 0
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    shrinks: dict[str, int] = {}
    """Groups that give up shares (1e-8) for this order, and how many each, before it enters."""
    hwm_px: Price = 0
    """The price that a trailing stop starts from."""


OrderAcceptedFields = tuple[
    str, str, str, str, str, str, str, int, int, int, int, int, bool, bool, str, str, int, int,
    int, int, int, int, int, dict[str, int], int,
]  # fmt: skip
"""What `fields_of` gives for `OrderAccepted`."""


class GroupAccepted(Message, frozen=True, gc=False):
    """A group passed all checks and its worst case is reserved, once; matching takes it on.

    The fields are those of `SubmitGroup`. `collar_px` bounds a market entry's price. `reserved` is
    what the whole group holds: its entry, and for the exit the dearer leg. `exit_reserved` is the
    exit's part. `reserved_qty` or `cover_qty` are the shares that an OCO holds.
    """

    account_id: str
    group_id: str
    cl_ord_id: str
    order_class: str
    symbol: str
    side: str
    time_in_force: str
    order_qty: Qty = 0
    ord_type: str = ""
    limit_px: Price = 0
    stop_px: Price = 0
    collar_px: Price = 0
    tp_order_id: str = ""
    tp_cl_ord_id: str = ""
    tp_limit_px: Price = 0
    sl_order_id: str = ""
    sl_cl_ord_id: str = ""
    sl_stop_px: Price = 0
    sl_limit_px: Price = 0
    policy: str = "REDUCE"
    activation: str = "PARTIAL"
    auto_shrink: bool = False
    expire_us: int = 0
    position_intent: str = ""
    stp: str = "CANCEL_NEWEST"
    reserved: Usd = 0
    exit_reserved: Usd = 0
    reserved_qty: Qty = 0
    cover_qty: Qty = 0


class GroupRejected(Message, frozen=True, gc=False):
    """A group was refused as a whole. `legs` names each bad part (field) and what is wrong."""

    account_id: str
    group_id: str
    cl_ord_id: str
    order_class: str
    symbol: str
    side: str
    reason: str
    text: str
    order_qty: Qty = 0
    facts: dict[str, str] = {}
    legs: dict[str, str] = {}


class LegsActivated(Message, frozen=True, gc=False):
    """The exit of a bracket is alive for `open_qty` shares of fills of its entry."""

    account_id: str
    group_id: str
    open_qty: Qty
    reserved: Usd = 0
    reserved_qty: Qty = 0
    cover_qty: Qty = 0
    cause: str = ""
    tp_order_id: str = ""
    sl_order_id: str = ""
    """The legs that are alive."""


class OrderTriggered(Message, frozen=True, gc=False):
    """A trade elected a stop order: it works from here on."""

    account_id: str
    order_id: str
    print_px: Price
    trade_id: int
    gapped: bool = False
    cause: str = ""


class OrderTrailed(Message, frozen=True, gc=False):
    """A trailing stop's price moved after the best trade."""

    account_id: str
    order_id: str
    hwm_px: Price
    stop_px: Price


class ReservationChanged(Message, frozen=True, gc=False):
    """What a group holds after an effect of its life: cents and shares in all."""

    account_id: str
    group_id: str
    reserved: Usd = 0
    reserved_qty: Qty = 0
    cause: str = ""


class ReservationReleased(Message, frozen=True, gc=False):
    """A group is closed and holds nothing any more; these cents and shares were left."""

    account_id: str
    group_id: str
    reason: str
    released: Usd = 0
    released_qty: Qty = 0
    cause: str = ""


class GroupAmendRequested(Message, frozen=True, gc=False):
    """A change of a group's quantity passed all checks; what more it needs is reserved."""

    account_id: str
    group_id: str
    symbol: str
    order_qty: Qty
    reserved: Usd = 0
    reserved_qty: Qty = 0


class GroupAmendRejected(Message, frozen=True, gc=False):
    account_id: str
    group_id: str
    reason: str
    text: str = ""
    facts: dict[str, str] = {}


class GroupResized(Message, frozen=True, gc=False):
    """The quantity of a group is `order_qty` from here on.

    `tp_qty` and `sl_qty` are those of its legs, which are what the other leg has not filled.
    """

    account_id: str
    group_id: str
    order_qty: Qty
    cause: str = ""
    tp_order_id: str = ""
    tp_qty: Qty = 0
    sl_order_id: str = ""
    sl_qty: Qty = 0


class OrderRejected(Message, frozen=True, gc=False):
    """An order was refused; nothing else changed. `facts` are the figures behind the reason."""

    account_id: str
    order_id: str
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str
    reason: str
    text: str
    order_qty: Qty = 0
    limit_px: Price = 0
    facts: dict[str, str] = {}


class CancelRequested(Message, frozen=True, gc=False):
    """With `group_id` whatever of that group is alive is to be cancelled."""

    account_id: str
    order_id: str
    symbol: str
    group_id: str = ""


class CancelRejected(Message, frozen=True, gc=False):
    account_id: str
    order_id: str
    reason: str
    ord_status: str = ""


class ReplaceRequested(Message, frozen=True, gc=False):
    """A replace passed all checks; `reserved` is what the new order needs in all."""

    account_id: str
    order_id: str
    orig_order_id: str
    cl_ord_id: str
    symbol: str
    order_qty: Qty
    limit_px: Price
    time_in_force: str
    expire_us: int = 0
    reserved: Usd = 0
    reserved_qty: Qty = 0
    cover_qty: Qty = 0
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0


class ReplaceRejected(Message, frozen=True, gc=False):
    """`ord_status` is the order's state where that is the reason."""

    account_id: str
    order_id: str
    orig_order_id: str
    reason: str
    text: str = ""
    ord_status: str = ""
    facts: dict[str, str] = {}


class OrderReplaced(Message, frozen=True, gc=False):
    """The matching stage carried the replace out: `orig_order_id` is closed, `order_id` works."""

    account_id: str
    order_id: str
    orig_order_id: str


class OrderFilled(Message, frozen=True, gc=False):
    """One side of a trade. `notional` is exchanged for the shares, `fee` goes to the house.

    With a `settle_date` the exchange is due then; without one it is done.
    """

    account_id: str
    order_id: str
    symbol: str
    side: str
    last_px: Price
    last_qty: Qty
    notional: Usd
    fee: Usd
    liquidity: str
    trade_id: int
    done: bool = False
    trade_date: str = ""
    settle_date: str = ""


OrderFilledFields = tuple[
    str, str, str, str, int, int, int, int, str, int, bool, str, str
]  # fmt: skip
"""What `fields_of` gives for `OrderFilled`."""


class PositionsSplit(Message, frozen=True, gc=False):
    """A split took effect: positions, groups and prices of the symbol are scaled from here on."""

    symbol: str
    shares_new: int
    shares_old: int
    text: str = ""


class OrderRestated(Message, frozen=True, gc=False):
    """A split has changed the terms of an open order: these are its quantities and prices now."""

    account_id: str
    order_id: str
    order_qty: Qty
    cum_qty: Qty
    leaves_qty: Qty
    limit_px: Price = 0
    stop_px: Price = 0
    trail_px: Price = 0
    hwm_px: Price = 0


class OrderDecremented(Message, frozen=True, gc=False):
    """Self-trade prevention, or for a `reason` of its group its sibling, made the order smaller."""

    account_id: str
    order_id: str
    by_qty: Qty
    reason: str = ""
    cause: str = ""


class OrderCanceled(Message, frozen=True, gc=False):
    """The order is closed with `leaves_qty` unfilled; its reservation is released."""

    account_id: str
    order_id: str
    leaves_qty: Qty
    reason: str
    cause: str = ""


class OrderExpired(Message, frozen=True, gc=False):
    account_id: str
    order_id: str
    leaves_qty: Qty
    reason: str
    cause: str = ""


class AccountOpened(Message, frozen=True, gc=False):
    account_id: str
    account_type: str
    cash: Usd = 0
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    shorting: bool = False
    stp: str = "CANCEL_NEWEST"
    open_orders_max: int = 100_000
    unsettled_usable: bool = True


class AccountConfigured(Message, frozen=True, gc=False):
    account_id: str
    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True
    trade_confirm_email: str = "all"
    max_margin_multiplier: str = "4"
    ptp_no_exception_entry: bool = False
    stp: str = ""


class CashAdjusted(Message, frozen=True, gc=False):
    account_id: str
    amount: Usd
    description: str = ""


class PositionAdjusted(Message, frozen=True, gc=False):
    account_id: str
    symbol: str
    qty: Qty
    price: Price = 0
    description: str = ""


class AccountBlocked(Message, frozen=True, gc=False):
    account_id: str
    blocked: bool
    reason: str = ""


class AccountFrozen(Message, frozen=True, gc=False):
    account_id: str
    frozen: bool
    reason: str = ""


class TradeBusted(Message, frozen=True, gc=False):
    """One side of a trade is undone: `notional` and `fee` go back, and so do the shares."""

    account_id: str
    order_id: str
    symbol: str
    side: str
    last_px: Price
    last_qty: Qty
    notional: Usd
    fee: Usd
    trade_id: int
    settle_date: str = ""
    reason: str = ""


class SessionBegun(Message, frozen=True, gc=False):
    """Trades are of `trade_date` and settle on `settle_date` from here on."""

    trade_date: str
    settle_date: str = ""


class DaySettled(Message, frozen=True, gc=False):
    """What was due on `settle_date` or before is settled."""

    settle_date: str


class ViolationFound(Message, frozen=True, gc=False):
    """GOOD_FAITH: shares sold before the money they were bought with had settled.

    FREE_RIDING: shares sold to pay for their own purchase.
    """

    account_id: str
    kind: str
    symbol: str
    qty: Qty
    trade_date: str
    funded_until: str
    order_id: str = ""
    trade_id: int = 0


class AccountRestricted(Message, frozen=True, gc=False):
    """The account may buy with settled cash alone until a date; empty: no longer."""

    account_id: str
    until: str
    violations: int = 0


class MarginCallIssued(Message, frozen=True, gc=False):
    """Equity is below the maintenance requirement; `due_us` is when liquidation follows."""

    account_id: str
    equity: Usd
    maintenance_margin: Usd
    deficit: Usd
    due_us: int


class MarginCallMet(Message, frozen=True, gc=False):
    account_id: str
    equity: Usd
    maintenance_margin: Usd


class LiquidationStarted(Message, frozen=True, gc=False):
    """A margin call was not met: groups and orders in the symbol are cancelled, then `qty` is sold.

    Below 0 that much is bought back. `order_id` is the sale's. `qty` 0: nothing was left to sell.
    """

    account_id: str
    symbol: str
    qty: Qty
    deficit: Usd
    order_id: str = ""


class VenueBlocked(Message, frozen=True, gc=False):
    blocked: bool
    reason: str = ""


class InstrumentRestricted(Message, frozen=True, gc=False):
    symbol: str
    state: str
    reason: str = ""


class PriceMarked(Message, frozen=True, gc=False):
    """The price at which positions are valued and market orders are collared from here on."""

    symbol: str
    last_px: Price


class DayClosed(Message, frozen=True, gc=False):
    """A session ended: last prices become previous closes, equities become last equities."""

    session_date: str


class CommandRejected(Message, frozen=True, gc=False):
    """An account or operator command was refused; nothing changed."""

    account_id: str
    command: str
    reason: str
    text: str = ""


register(
    SubmitOrder,
    ReplaceOrder,
    CancelOrder,
    CancelAllOrders,
    OpenAccount,
    ConfigureAccount,
    AdjustCash,
    AdjustPosition,
    BlockAccount,
    BlockVenue,
    RestrictInstrument,
    OrderAccepted,
    OrderRejected,
    CancelRequested,
    CancelRejected,
    ReplaceRequested,
    ReplaceRejected,
    OrderReplaced,
    OrderFilled,
    OrderDecremented,
    OrderCanceled,
    OrderExpired,
    AccountOpened,
    AccountConfigured,
    CashAdjusted,
    PositionAdjusted,
    AccountBlocked,
    VenueBlocked,
    InstrumentRestricted,
    PriceMarked,
    DayClosed,
    CommandRejected,
    SubmitGroup,
    AmendGroup,
    CancelGroup,
    FreezeAccount,
    BustTrade,
    SettleDay,
    CheckMargin,
    GroupAccepted,
    GroupRejected,
    LegsActivated,
    OrderTriggered,
    OrderTrailed,
    ReservationChanged,
    ReservationReleased,
    GroupAmendRequested,
    GroupAmendRejected,
    GroupResized,
    AccountFrozen,
    TradeBusted,
    SessionBegun,
    DaySettled,
    ViolationFound,
    AccountRestricted,
    MarginCallIssued,
    MarginCallMet,
    LiquidationStarted,
    OrderRestated,
    PositionsSplit,
)


# ---------------------------------------------------------------- what queries answer


class OrderRecord(Message, frozen=True, gc=False):
    """One order as it stands; the same from memory and from the order history."""

    order_id: str
    account_id: str
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str
    time_in_force: str
    ord_status: str
    order_qty: Qty
    notional: Usd
    limit_px: Price
    expire_us: int
    post_only: bool
    extended_hours: bool
    position_intent: str
    cum_qty: Qty
    leaves_qty: Qty
    avg_px: Price
    submitted_us: int
    updated_us: int
    filled_us: int = 0
    canceled_us: int = 0
    expired_us: int = 0
    replaced_us: int = 0
    replaces: str = ""
    replaced_by: str = ""
    reserved: Usd = 0
    reserved_qty: Qty = 0
    close_reason: str = ""
    stop_px: Price = 0
    trail_px: Price = 0
    trail_ppm: int = 0
    hwm_px: Price = 0
    order_class: str = ""
    group_id: str = ""
    """The id of the group's parent order."""
    role: str = ""
    """ENTRY, TAKE_PROFIT or STOP_LOSS in its group."""
    triggered_us: int = 0
    held: bool = False
    """A leg that waits for its entry, or (a stop-loss beside a take-profit) for a trade."""


class GroupRecord(Message, frozen=True, gc=False):
    """A group as it stands. `order_ids` are its orders now, the parent first.

    `remaining_qty` is what the exit may still trade.
    """

    group_id: str
    account_id: str
    symbol: str
    order_class: str
    side: str
    state: str
    policy: str
    activation: str
    order_qty: Qty
    open_qty: Qty
    remaining_qty: Qty
    reserved: Usd
    reserved_qty: Qty
    auto_shrink: bool
    order_ids: tuple[str, ...] = ()


class FillRecord(Message, frozen=True, gc=False):
    """One execution of one order, in the order they happened."""

    account_id: str
    order_id: str
    symbol: str
    side: str
    last_px: Price
    last_qty: Qty
    cum_qty: Qty
    leaves_qty: Qty
    fee: Usd
    liquidity: str
    trade_id: int
    ord_status: str
    ts_event_us: int
    settle_date: str = ""
    busted: bool = False
    """The trade was undone by the operator's decision."""


class PositionRecord(Message, frozen=True, gc=False):
    """A position; `cost_e12` is what it cost in 1e-12 USD (negative when short)."""

    account_id: str
    symbol: str
    qty: Qty
    qty_available: Qty
    cost_e12: int
    last_px: Price
    prev_close_px: Price


class AccountRecord(Message, frozen=True, gc=False):
    """An account with its figures at the marked prices, in cents."""

    account_id: str
    account_type: str
    created_us: int
    cash: Usd
    reserved: Usd
    long_market_value: Usd
    short_market_value: Usd
    equity: Usd
    last_equity: Usd
    initial_margin: Usd
    maintenance_margin: Usd
    buying_power: Usd
    withdrawable: Usd
    fees_paid: Usd
    multiplier: int
    shorting: bool
    blocked: bool
    venue_blocked: bool
    no_shorting: bool
    suspend_trade: bool
    fractional_trading: bool
    trade_confirm_email: str
    max_margin_multiplier: str
    ptp_no_exception_entry: bool
    stp: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    open_orders: int
    settled_cash: Usd = 0
    unsettled: dict[str, int] = {}
    """What is due in, less what is due out, by settlement date, in cents."""
    unsettled_usable: bool = False
    """Whether proceeds of sales may buy before they settle."""
    good_faith_violations: int = 0
    free_riding_violations: int = 0
    restricted_until: str = ""
    margin_call: Usd = 0
    margin_call_due_us: int = 0
    frozen: bool = False


class PreviewRecord(Message, frozen=True, gc=False):
    """What an order would reserve and leave, or the reason why it would be rejected."""

    reserved: Usd
    reserved_qty: Qty
    fee_max: Usd
    buying_power: Usd
    buying_power_after: Usd
    collar_px: Price = 0
    reason: str = ""
    text: str = ""
    facts: dict[str, str] = {}
    worst_leg: str = ""
    """Of a group, the leg that the reservation is for; its worst price is `worst_px`."""
    worst_px: Price = 0
    settled_cash_after: Usd = 0
    withdrawable_after: Usd = 0
    funded_until: str = ""
    """When what the order would buy is paid for with settled money; empty: it is."""
    legs: dict[str, str] = {}


register(GroupRecord, OrderRecord, FillRecord, PositionRecord, AccountRecord, PreviewRecord)


class CashMovement(Message, frozen=True, gc=False):
    """A change of cash that is not a fill: deposit (CSD), withdrawal (CSW), fee (FEE)."""

    account_id: str
    activity_id: str
    activity_type: str
    amount: Usd
    description: str
    ts_event_us: int


class EquitySample(Message, frozen=True, gc=False):
    """What an account was worth at an instant, for the portfolio history."""

    account_id: str
    ts_us: int
    equity: Usd


register(CashMovement, EquitySample)


class OrdersQuery(Protocol):
    """Committed state of the orders stages: accounts, positions, open and lately closed orders."""

    def account(self, account_id: str) -> AccountRecord | None: ...

    def account_ids(self) -> Sequence[str]: ...

    def order(self, order_id: str) -> OrderRecord | None: ...

    def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> OrderRecord | None: ...

    def orders(self, account_id: str) -> Sequence[OrderRecord]:
        """All orders of the account still in memory, open ones and lately closed ones."""
        ...

    def open_orders(self, account_id: str) -> Sequence[OrderRecord]: ...

    def positions(self, account_id: str) -> Sequence[PositionRecord]: ...

    def position(self, account_id: str, symbol: str) -> PositionRecord | None: ...

    def instruments(self) -> Sequence[InstrumentDefined]: ...

    def instrument(self, symbol: str) -> InstrumentDefined | None: ...

    def instrument_state(self, symbol: str) -> str:
        """ACTIVE, HALTED or RESTRICTED."""
        ...

    def preview(self, order: SubmitOrder | SubmitGroup) -> PreviewRecord: ...

    def group(self, group_id: str) -> GroupRecord | None:
        """A group by its parent's id, also while closed orders are kept."""
        ...

    def groups(self, account_id: str) -> Sequence[GroupRecord]:
        """The open groups of an account, oldest first."""
        ...

    def listen(
        self, receive: Callable[[LogEntry, OrderRecord | None], None], accounts: Container[str]
    ) -> Callable[[], None]:
        """Call `receive` right after each committed event of `accounts`, with its order then.

        `accounts` is asked at each event: it may change. The returned function ends it. `receive`
        must not block.
        """
        ...


class HistoryQuery(Protocol):
    """Closed orders and activities from the accounts database, however old."""

    async def order(self, account_id: str, order_id: str) -> OrderRecord | None: ...

    async def order_by_cl_ord_id(self, account_id: str, cl_ord_id: str) -> OrderRecord | None: ...

    async def orders(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        symbols: Sequence[str] = (),
        side: str = "",
        descending: bool = True,
        limit: int = 500,
    ) -> Sequence[OrderRecord]:
        """Orders by submitted_us, both bounds exclusive, 0 for none."""
        ...

    async def orders_of_groups(
        self, account_id: str, group_ids: Sequence[str]
    ) -> Sequence[OrderRecord]:
        """The orders of these groups, those that were replaced included."""
        ...

    async def trade(self, symbol: str, trade_id: int) -> Sequence[FillRecord]:
        """The two sides of a trade, of whatever accounts; empty when there is no such trade."""
        ...

    async def fills(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[FillRecord]:
        """Fills by ts_event_us, both bounds exclusive, 0 for none. ts_event_us is unique."""
        ...

    async def cash_movements(
        self,
        account_id: str,
        *,
        after_us: int = 0,
        until_us: int = 0,
        descending: bool = True,
        limit: int = 100,
    ) -> Sequence[CashMovement]: ...

    async def equity(self, account_id: str, after_us: int, until_us: int) -> Sequence[EquitySample]:
        """Samples in rising time, about one a minute."""
        ...
