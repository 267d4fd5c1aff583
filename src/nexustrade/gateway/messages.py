"""What the gateway takes and gives over HTTP: one frozen struct per JSON object.

The objects under /v2 are Alpaca's models, field by field; those under /v1 are our own. Money,
quantities and prices leave as decimal strings, and arrive as JSON numbers or strings that are read
from their text. The OpenAPI document is made from these classes, so they are its only source.
"""

from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from nexustrade.core.ticks import SPLIT_MAX


def _one_of(*values: str) -> Any:
    return Meta(extra_json_schema={"enum": list(values)})


def _any_of(*models: str) -> Any:
    refs = [{"$ref": f"#/components/schemas/{model}"} for model in models]
    return Meta(extra_json_schema={"anyOf": refs})


Side = Annotated[str, _one_of("buy", "sell")]
OrderType = Annotated[str, _one_of("market", "limit", "stop", "stop_limit", "trailing_stop")]
TimeInForce = Annotated[str, _one_of("day", "gtc", "opg", "cls", "ioc", "fok")]
OrderStatus = Annotated[
    str,
    _one_of(
        "new",
        "partially_filled",
        "filled",
        "done_for_day",
        "canceled",
        "expired",
        "replaced",
        "pending_cancel",
        "pending_replace",
        "pending_review",
        "accepted",
        "pending_new",
        "accepted_for_bidding",
        "stopped",
        "rejected",
        "suspended",
        "calculated",
        "held",
    ),
]
AssetClass = Annotated[str, _one_of("us_equity", "us_option", "crypto", "crypto_perp")]
ExchangeCode = Annotated[
    str,
    _one_of(
        "AMEX",
        "ARCA",
        "ASCX",
        "BATS",
        "NYSE",
        "NASDAQ",
        "NYSEARCA",
        "FTXU",
        "CBSE",
        "GNSS",
        "ERSX",
        "OTC",
        "CRYPTO",
        "",
    ),
]
Number = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"},
                {"type": "null"},
            ]
        }
    ),
]
"""A decimal as it stands in the JSON text: no decoder touches its digits. b"" when absent."""
DecimalText = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Phase = Annotated[
    str,
    _one_of("closed", "opening_call", "continuous", "volatility_auction", "halt", "closing_call"),
]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]


# ---------------------------------------------------------------- requests


class TakeProfit(Struct, frozen=True):
    limit_price: Number = field(default_factory=Raw)


class StopLoss(Struct, frozen=True):
    stop_price: Number = field(default_factory=Raw)
    limit_price: Number = field(default_factory=Raw)


class OrderRequest(Struct, frozen=True):
    """A new order. Exactly one of `qty` and `notional` (market orders only) is given.

    With an `order_class` it is the parent of a group: an entry whose fills bring a `take_profit`
    and a `stop_loss` (bracket) or one of them (oto) to life, or an exit of both (oco).

    `post_only` and the pair `time_in_force` "gtd" with `expires_at` are extensions of this venue,
    and so are three settings of a group. `policy`: a fill of one leg makes the other smaller
    (reduce, the default) or cancels it. `activation`: the exit comes alive with each fill of the
    entry (partial, the default) or when the entry is done (full, the default with policy cancel).
    `auto_shrink`: other orders may sell the shares of the group, which shrinks first.
    """

    symbol: str
    side: Annotated[str, _one_of("buy", "sell")]
    type: Annotated[str, _one_of("market", "limit", "stop", "stop_limit", "trailing_stop")]
    time_in_force: Annotated[str, _one_of("day", "gtc", "ioc", "fok", "gtd", "opg", "cls")]
    qty: Number = field(default_factory=Raw)
    notional: Number = field(default_factory=Raw)
    limit_price: Number = field(default_factory=Raw)
    stop_price: Number = field(default_factory=Raw)
    trail_price: Number = field(default_factory=Raw)
    trail_percent: Number = field(default_factory=Raw)
    extended_hours: bool | None = None
    client_order_id: str | None = None
    order_class: str | None = None
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None
    position_intent: str | None = None
    legs: list[dict[str, Any]] | None = None
    post_only: bool | None = None
    expires_at: str | None = None
    policy: Annotated[str, _one_of("reduce", "cancel")] | None = None
    activation: Annotated[str, _one_of("partial", "full")] | None = None
    auto_shrink: bool | None = None


class ReplaceRequest(Struct, frozen=True):
    """Changes to an open order; what is absent stays. `qty` is the new total, fills included.

    `trail` is a trailing stop's new `trail_price` or `trail_percent`, whichever it has. The
    quantity of a group's leg is the group's: see `/v1/groups`.
    """

    qty: Number = field(default_factory=Raw)
    time_in_force: str | None = None
    limit_price: Number = field(default_factory=Raw)
    stop_price: Number = field(default_factory=Raw)
    trail: Number = field(default_factory=Raw)
    client_order_id: str | None = None
    expires_at: str | None = None


class GroupRequest(Struct, frozen=True):
    """A new quantity of a group, for all of its orders; what is filled counts."""

    qty: Number


class ConfigurationRequest(Struct, frozen=True):
    """Account settings to change; what is absent or null stays."""

    no_shorting: bool | None = None
    suspend_trade: bool | None = None
    fractional_trading: bool | None = None
    trade_confirm_email: Annotated[str, _one_of("all", "none")] | None = None
    max_margin_multiplier: Number = field(default_factory=Raw)
    ptp_no_exception_entry: bool | None = None
    dtbp_check: str | None = None
    pdt_check: str | None = None


class WatchlistRequest(Struct, frozen=True):
    name: str | None = None
    symbols: list[str] | None = None


class SymbolRequest(Struct, frozen=True):
    symbol: str


class OpenAccountRequest(Struct, frozen=True):
    """A new account. Fees are rates of the notional: 0.0005 is 5 basis points."""

    account_id: str | None = None
    account_type: Annotated[str, _one_of("cash", "margin")] = "cash"
    cash: Number = field(default_factory=Raw)
    maker_fee: Number = field(default_factory=Raw)
    taker_fee: Number = field(default_factory=Raw)
    shorting: bool = False


class CashRequest(Struct, frozen=True):
    """A deposit (above 0) or a withdrawal (below 0) in USD."""

    amount: Number
    description: str = ""


class BlockRequest(Struct, frozen=True):
    blocked: bool
    reason: str = ""


class FreezeRequest(Struct, frozen=True):
    """A frozen account enters no new orders; open ones and stops that protect a position stay."""

    frozen: bool
    reason: str = ""


class BustRequest(Struct, frozen=True):
    reason: str = ""


class InstrumentRequest(Struct, frozen=True):
    """Rules of an instrument to change; rates as decimals (0.05 is 5 %), 0 for no band."""

    static_band: Number = field(default_factory=Raw)
    dynamic_band: Number = field(default_factory=Raw)
    collar: Number = field(default_factory=Raw)
    call_s: Annotated[int, Meta(ge=0, le=3600)] | None = None
    maintenance_addon: Number = field(default_factory=Raw)


class KeyRequest(Struct, frozen=True):
    """A new API key of an account; without `scopes` it may read and trade."""

    account_id: str
    scopes: list[str] | None = None
    label: str = ""
    expires_at: str | None = None


class InstrumentStateRequest(Struct, frozen=True):
    """`restricted` takes only orders that reduce a position; `halted` takes none."""

    state: Annotated[str, _one_of("active", "halted", "restricted")]
    reason: str = ""


class SplitRequest(Struct, frozen=True):
    """`shares_old` shares of a halted instrument become `shares_new`."""

    shares_new: Annotated[int, Meta(ge=1, le=SPLIT_MAX)]
    shares_old: Annotated[int, Meta(ge=1, le=SPLIT_MAX)]
    reason: str = ""


# ---------------------------------------------------------------- query parameters


class OrdersParams(Struct, frozen=True):
    status: str = "open"
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    after: str = ""
    until: str = ""
    direction: str = "desc"
    nested: bool = False
    symbols: str = ""
    side: str = ""
    asset_class: str = ""
    before_order_id: str = ""
    after_order_id: str = ""


class OrderParams(Struct, frozen=True):
    nested: bool = False


class ClientIdParams(Struct, frozen=True):
    client_order_id: str = ""


class ClosePositionParams(Struct, frozen=True):
    qty: str = ""
    percentage: str = ""


class CloseAllParams(Struct, frozen=True):
    cancel_orders: bool = False


class AssetsParams(Struct, frozen=True):
    status: str = ""
    asset_class: str = ""
    exchange: str = ""
    attributes: str = ""


class CalendarParams(Struct, frozen=True):
    start: str = ""
    end: str = ""
    date_type: str = ""


class ActivitiesParams(Struct, frozen=True):
    activity_types: str = ""
    date: str = ""
    after: str = ""
    until: str = ""
    direction: str = "desc"
    page_size: Annotated[int, Meta(ge=1, le=100)] = 100
    page_token: str = ""
    category: str = ""


class PortfolioParams(Struct, frozen=True):
    period: str = ""
    timeframe: str = ""
    intraday_reporting: str = ""
    start: str = ""
    end: str = ""
    date_end: str = ""
    pnl_reset: str = ""
    extended_hours: str = ""
    cashflow_types: str = ""


class BookParams(Struct, frozen=True):
    depth: Annotated[int, Meta(ge=1, le=1000)] = 10


class MassCancelParams(Struct, frozen=True):
    symbol: str = ""
    side: str = ""


class KeysParams(Struct, frozen=True):
    account_id: str = ""


# ---------------------------------------------------------------- answers


class Order(Struct, frozen=True, gc=False):
    """Alpaca's order. What stands after `position_intent` is an extension of this venue.

    `role` is what the order is in its group, and `triggered_at` is when a stop was elected.
    """

    id: Uuid
    client_order_id: str
    created_at: Instant
    updated_at: Instant
    submitted_at: Instant
    filled_at: Instant | None
    expired_at: Instant | None
    expires_at: Instant | None
    canceled_at: Instant | None
    failed_at: Instant | None
    replaced_at: Instant | None
    replaced_by: Uuid | None
    replaces: Uuid | None
    asset_id: Uuid
    symbol: str
    asset_class: AssetClass
    notional: DecimalText | None
    qty: DecimalText | None
    filled_qty: DecimalText
    filled_avg_price: DecimalText | None
    order_class: str
    order_type: OrderType
    type: OrderType
    side: Side
    time_in_force: TimeInForce
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    status: OrderStatus
    extended_hours: bool
    legs: "list[Order] | None"
    trail_percent: DecimalText | None
    trail_price: DecimalText | None
    hwm: DecimalText | None
    position_intent: str | None
    post_only: bool
    close_reason: str | None
    group_id: Uuid | None
    role: Annotated[str, _one_of("entry", "take_profit", "stop_loss")] | None
    triggered_at: Instant | None


class Group(Struct, frozen=True):
    """Orders that belong together, the parent first. `qty` is that of each of them.

    `open_qty` of the exit is alive, and it may still trade `remaining_qty`. `reserved` and
    `reserved_qty` are held once for the whole group: what its worst leg needs.
    """

    group_id: Uuid
    symbol: str
    order_class: Annotated[str, _one_of("bracket", "oco", "oto")]
    side: Side
    state: str
    policy: Annotated[str, _one_of("reduce", "cancel")]
    activation: Annotated[str, _one_of("partial", "full")]
    auto_shrink: bool
    qty: DecimalText
    open_qty: DecimalText
    remaining_qty: DecimalText
    reserved: DecimalText
    reserved_qty: DecimalText
    orders: list[Order]


class TradeAccount(Struct, frozen=True):
    """Alpaca's account. What stands after `created_at` is an extension of this venue.

    `unsettled` is what is due in, less what is due out, by settlement date. After too many
    violations the account may buy with settled cash alone until `restricted_until`. A
    `margin_call` that is not met by `margin_call_due_at` is followed by liquidation.
    """

    id: Uuid
    account_number: str
    status: str
    crypto_status: str
    currency: str
    cash: DecimalText
    buying_power: DecimalText
    regt_buying_power: DecimalText
    non_marginable_buying_power: DecimalText
    daytrading_buying_power: DecimalText
    options_buying_power: DecimalText
    effective_buying_power: DecimalText
    portfolio_value: DecimalText
    equity: DecimalText
    last_equity: DecimalText
    long_market_value: DecimalText
    short_market_value: DecimalText
    position_market_value: DecimalText
    initial_margin: DecimalText
    maintenance_margin: DecimalText
    last_maintenance_margin: DecimalText
    sma: DecimalText
    multiplier: DecimalText
    accrued_fees: DecimalText
    pending_transfer_in: DecimalText
    pending_transfer_out: DecimalText
    trading_blocked: bool
    transfers_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool
    shorting_enabled: bool
    pattern_day_trader: bool
    daytrade_count: int
    created_at: Instant
    reserved: DecimalText
    account_type: str
    settled_cash: DecimalText
    unsettled: dict[str, DecimalText]
    withdrawable: DecimalText
    good_faith_violations: int
    free_riding_violations: int
    restricted_until: str | None
    margin_call: DecimalText
    margin_call_due_at: Instant | None
    frozen: bool


class AccountConfiguration(Struct, frozen=True):
    dtbp_check: str
    fractional_trading: bool
    max_margin_multiplier: DecimalText
    no_shorting: bool
    pdt_check: str
    suspend_trade: bool
    trade_confirm_email: Annotated[str, _one_of("all", "none")]
    ptp_no_exception_entry: bool
    max_options_trading_level: int | None = None


class Position(Struct, frozen=True):
    asset_id: Uuid
    symbol: str
    exchange: ExchangeCode
    asset_class: AssetClass
    asset_marginable: bool
    avg_entry_price: DecimalText
    qty: DecimalText
    qty_available: DecimalText
    side: Annotated[str, _one_of("long", "short")]
    market_value: DecimalText
    cost_basis: DecimalText
    unrealized_pl: DecimalText
    unrealized_plpc: DecimalText
    unrealized_intraday_pl: DecimalText
    unrealized_intraday_plpc: DecimalText
    current_price: DecimalText
    lastday_price: DecimalText
    change_today: DecimalText


class Asset(Struct, frozen=True):
    """Alpaca's asset. What stands after `attributes` is an extension of this venue.

    Trades stay within `static_band` of the day's reference price and `dynamic_band` of the last
    trade (rates, 0 for none); beyond, an auction of `call_s` seconds follows. `collar` bounds
    market orders, and `maintenance_addon` is added to the maintenance margin rate.
    """

    id: Uuid
    class_: AssetClass = field(name="class")
    exchange: ExchangeCode
    symbol: str
    name: str
    status: Annotated[str, _one_of("active", "inactive")]
    tradable: bool
    marginable: bool
    shortable: bool
    easy_to_borrow: bool
    fractionable: bool
    min_order_size: DecimalText
    min_trade_increment: DecimalText
    price_increment: DecimalText
    maintenance_margin_requirement: int
    attributes: list[str]
    mic: str
    state: Annotated[str, _one_of("active", "halted", "restricted")]
    static_band: DecimalText
    dynamic_band: DecimalText
    collar: DecimalText
    call_s: int
    maintenance_addon: DecimalText


class MarketClock(Struct, frozen=True):
    timestamp: Instant
    is_open: bool
    next_open: Instant
    next_close: Instant


class CalendarDay(Struct, frozen=True):
    """A trading day in exchange time; `settlement_date` is the day its trades settle (T+2)."""

    date: str
    open: str
    close: str
    session_open: str
    session_close: str
    settlement_date: str


class PortfolioHistory(Struct, frozen=True):
    """Parallel lists; amounts are JSON numbers, as Alpaca's clients want them here."""

    timestamp: list[int]
    equity: list[Decimal]
    profit_loss: list[Decimal]
    profit_loss_pct: list[Decimal]
    base_value: Decimal
    timeframe: str
    cashflow: dict[str, list[Decimal]]


class FillActivity(Struct, frozen=True):
    """A fill; `id` sorts by time and is the page token."""

    id: str
    account_id: Uuid
    activity_type: str
    transaction_time: Instant
    type: Annotated[str, _one_of("fill", "partial_fill")]
    price: DecimalText
    qty: DecimalText
    side: Side
    symbol: str
    leaves_qty: DecimalText
    order_id: Uuid
    cum_qty: DecimalText
    order_status: OrderStatus
    fee: DecimalText
    liquidity: Annotated[str, _one_of("maker", "taker")]
    trade_id: int
    """The number by which an operator undoes the trade."""
    settle_date: str | None
    busted: bool


class CashActivity(Struct, frozen=True):
    """A change of cash that is not a fill: deposit CSD, withdrawal CSW, fee FEE."""

    id: str
    account_id: Uuid
    activity_type: str
    date: str
    created_at: Instant
    net_amount: DecimalText
    description: str
    status: str


Activity = Annotated[Any, _any_of("FillActivity", "CashActivity")]


class Watchlist(Struct, frozen=True):
    id: Uuid
    account_id: Uuid
    name: str
    created_at: Instant
    updated_at: Instant
    assets: list[Asset]


class WatchlistSummary(Struct, frozen=True):
    id: Uuid
    account_id: Uuid
    name: str
    created_at: Instant
    updated_at: Instant


class CancelResult(Struct, frozen=True):
    id: Uuid
    status: int
    body: dict[str, Any] | None = None


class CloseResult(Struct, frozen=True):
    symbol: str
    status: int
    body: Annotated[Any, _any_of("Order", "Refusal")]


class Refusal(Struct, frozen=True):
    """Every error: `code` first, then the text; some carry further fields named in the text."""

    code: int
    message: str


class Health(Struct, frozen=True):
    status: Annotated[str, _one_of("ok", "degraded")]
    live: bool
    ready: bool
    session_open: bool
    time: Instant


class BookLevel(Struct, frozen=True):
    price: DecimalText
    qty: DecimalText
    orders: int


class Book(Struct, frozen=True):
    """A book between two commands, best level first; `book_seq` counts its changes.

    While orders are collected for an auction, `indicative_price` and `indicative_qty` are what it
    would give now, and `imbalance_qty` what would be left at that price on `imbalance_side`.
    """

    symbol: str
    epoch: int
    book_seq: int
    as_of: Instant
    session_open: bool
    phase: Phase
    indicative_price: DecimalText | None
    indicative_qty: DecimalText | None
    imbalance_qty: DecimalText | None
    imbalance_side: Side | None
    last_price: DecimalText | None
    last_qty: DecimalText | None
    last_trade_at: Instant | None
    bids: list[BookLevel]
    asks: list[BookLevel]


class OrderPreview(Struct, frozen=True):
    """What an order would reserve and leave; `accepted` false says why it would be refused.

    A group reserves what its `worst_leg` needs at `worst_price`; `legs` names what is wrong with
    which of its fields. What is bought with money that has not settled is paid for on
    `funded_until`; sold before that day, it counts as a violation.
    """

    accepted: bool
    reserved: DecimalText
    reserved_qty: DecimalText
    fee_max: DecimalText
    buying_power: DecimalText
    buying_power_after: DecimalText
    collar_price: DecimalText | None
    refusal: dict[str, Any] | None
    worst_leg: str | None
    worst_price: DecimalText | None
    settled_cash_after: DecimalText
    withdrawable_after: DecimalText
    funded_until: str | None
    legs: dict[str, str]


class OpenedAccount(Struct, frozen=True):
    account_id: str
    id: Uuid
    account_type: str
    cash: DecimalText
    equity: DecimalText
    buying_power: DecimalText
    reserved: DecimalText
    fees_paid: DecimalText
    maker_fee: DecimalText
    taker_fee: DecimalText
    shorting: bool
    blocked: bool
    open_orders: int
    created_at: Instant
    frozen: bool
    margin_call: DecimalText
    restricted_until: str | None


class KeyRow(Struct, frozen=True):
    key_id: str
    account_id: str
    scopes: list[str]
    label: str
    created_at: Instant | None
    expires_at: Instant | None
    revoked_at: Instant | None


class NewKey(Struct, frozen=True):
    """A new key with its secret, which is shown once and stored only as a hash."""

    key_id: str
    secret: str
    account_id: str
    scopes: list[str]
    label: str
    expires_at: Instant | None


class BlockState(Struct, frozen=True):
    blocked: bool
    reason: str


class BustedTrade(Struct, frozen=True):
    """A trade that was undone: cash, shares and fees went back to both sides."""

    symbol: str
    trade_id: int
    price: DecimalText
    qty: DecimalText
    buy_order_id: Uuid
    sell_order_id: Uuid
    reason: str


class InstrumentSplit(Struct, frozen=True):
    """A split that took effect: orders, groups and positions are scaled."""

    symbol: str
    shares_new: int
    shares_old: int
    reason: str


class InstrumentState(Struct, frozen=True):
    symbol: str
    state: Annotated[str, _one_of("active", "halted", "restricted")]
