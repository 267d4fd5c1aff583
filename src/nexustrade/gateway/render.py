"""From records to the JSON models of messages.py. Pure: all it shows comes as an argument."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from nexustrade.core.ids import derived_uuid
from nexustrade.core.money import (
    average_price,
    divide_half_even,
    notional,
    percent_text,
    price_text,
    qty_text,
    scaled_text,
    usd_text,
)
from nexustrade.core.terms import GTD
from nexustrade.core.time import US_PER_S, rfc3339, to_datetime
from nexustrade.gateway.messages import (
    AccountConfiguration,
    Asset,
    Book,
    BookLevel,
    Group,
    OpenedAccount,
    Order,
    OrderPreview,
    Position,
    TradeAccount,
)
from nexustrade.gateway.refusals import Terms, refusal
from nexustrade.matching.messages import BookSnapshot, InstrumentDefined
from nexustrade.orders.messages import (
    AccountRecord,
    GroupRecord,
    OrderRecord,
    PositionRecord,
    PreviewRecord,
    SubmitGroup,
    SubmitOrder,
)

# 1e-12 USD in a cent: prices have 4 decimals, quantities 8.
_E12_PER_CENT: Final = 10_000_000_000
_RATIO_DECIMALS: Final = 8
_RATE_DECIMALS: Final = 6
_RATIO_ONE: Final = 10**_RATIO_DECIMALS
_UUID_LEN: Final = 36

# Alpaca's closed list of exchanges; another one (a MIC) is shown in a field of its own.
_EXCHANGES: Final = {
    "XNAS": "NASDAQ",
    "XNYS": "NYSE",
    "XASE": "AMEX",
    "ARCX": "NYSEARCA",
    "BATS": "BATS",
    "NASDAQ": "NASDAQ",
    "NYSE": "NYSE",
    "AMEX": "AMEX",
    "ARCA": "ARCA",
    "NYSEARCA": "NYSEARCA",
    "OTC": "OTC",
}

encode_json: Final = msgspec.json.Encoder(decimal_format="number").encode


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return rfc3339(second * US_PER_S)[:20]


def instant(us: int) -> str:
    """An instant as RFC 3339 text; the same as `rfc3339`, the part up to the second remembered."""
    second, micros = divmod(us, US_PER_S)
    # A leading one keeps the zeros, and is cut off: formatting with a width takes longer.
    return f"{_second(second)}{str(US_PER_S + micros)[1:]}Z"


def instant_or_none(us: int) -> str | None:
    """The instant, or None for 0."""
    return instant(us) if us else None


def local_instant(us: int, zone: tzinfo) -> str:
    """The instant with the offset of a zone, which clients of the market clock read."""
    at: datetime = to_datetime(us).astimezone(zone)
    return at.isoformat()


@lru_cache(maxsize=65_536)
def asset_id(symbol: str) -> str:
    """The asset's UUID: always the same for a symbol."""
    return derived_uuid("asset", symbol)


@lru_cache(maxsize=65_536)
def account_uuid(account_id: str) -> str:
    """The account's UUID: its id when that is one, else always the same for it."""
    if len(account_id) == _UUID_LEN and account_id.count("-") == 4:
        return account_id
    return derived_uuid("account", account_id)


def asset_class(symbol: str) -> str:
    """Alpaca's class: pairs are crypto, everything else is a US equity."""
    return "crypto" if "/" in symbol else "us_equity"


_STATUS: Final = {
    name: name.lower()
    for name in (
        "NEW",
        "PARTIALLY_FILLED",
        "FILLED",
        "CANCELED",
        "EXPIRED",
        "REPLACED",
        "REJECTED",
        "PENDING_CANCEL",
        "PENDING_REPLACE",
        "HELD",
    )
}
_LOWER: Final = {
    "BUY": "buy",
    "SELL": "sell",
    "MARKET": "market",
    "LIMIT": "limit",
    "DAY": "day",
    "GTC": "gtc",
    "IOC": "ioc",
    "FOK": "fok",
    "STOP": "stop",
    "STOP_LIMIT": "stop_limit",
    "TRAILING_STOP": "trailing_stop",
    "OPG": "opg",
    "CLS": "cls",
    GTD: "gtc",  # the clients' list is closed and has no GTD: it shows as gtc with expires_at
}


def status_text(ord_status: str) -> str:
    """Alpaca's word for an order's status."""
    return _STATUS.get(ord_status) or ord_status.lower()


def side_text(side: str) -> str:
    """Alpaca's word for a side."""
    return _LOWER[side]


def order(r: OrderRecord, legs: Sequence[OrderRecord] = ()) -> Order:
    """An order as it stands, with its legs."""
    submitted = instant(r.submitted_us)
    ord_type = _LOWER[r.ord_type]
    return Order(
        r.order_id,
        r.cl_ord_id,
        submitted,
        submitted if r.updated_us == r.submitted_us else instant(r.updated_us or r.submitted_us),
        submitted,
        instant(r.filled_us) if r.filled_us else None,
        instant(r.expired_us) if r.expired_us else None,
        instant(r.expire_us) if r.expire_us else None,
        instant(r.canceled_us) if r.canceled_us else None,
        instant(r.updated_us) if r.ord_status == "REJECTED" else None,
        instant(r.replaced_us) if r.replaced_us else None,
        r.replaced_by or None,
        r.replaces or None,
        asset_id(r.symbol),
        r.symbol,
        asset_class(r.symbol),
        usd_text(r.notional) if r.notional else None,
        None if r.notional else qty_text(r.order_qty),
        qty_text(r.cum_qty) if r.cum_qty else "0",
        price_text(r.avg_px) if r.cum_qty else None,
        r.order_class.lower(),
        ord_type,
        ord_type,
        _LOWER[r.side],
        _LOWER[r.time_in_force],
        price_text(r.limit_px) if r.limit_px else None,
        price_text(r.stop_px) if r.stop_px else None,
        status_text(r.ord_status),
        r.extended_hours,
        [order(leg) for leg in legs] if legs else None,
        percent_text(r.trail_ppm) if r.trail_ppm else None,
        price_text(r.trail_px) if r.trail_px else None,
        price_text(r.hwm_px) if r.hwm_px else None,
        r.position_intent.lower() or None,
        r.post_only,
        r.close_reason.lower() or None,
        r.group_id or None,
        r.role.lower() or None,
        instant(r.triggered_us) if r.triggered_us else None,
    )


def order_json(r: OrderRecord, legs: Sequence[OrderRecord] = ()) -> bytes:
    """An order as it stands, with its legs, as JSON."""
    return encode_json(order(r, legs))


def group(g: GroupRecord, orders: Sequence[OrderRecord]) -> Group:
    """A group with its orders as they stand."""
    return Group(
        group_id=g.group_id,
        symbol=g.symbol,
        order_class=g.order_class.lower(),
        side=side_text(g.side),
        state=g.state.lower(),
        policy=g.policy.lower(),
        activation=g.activation.lower(),
        auto_shrink=g.auto_shrink,
        qty=qty_text(g.order_qty),
        open_qty=qty_text(g.open_qty),
        remaining_qty=qty_text(g.remaining_qty),
        reserved=usd_text(g.reserved),
        reserved_qty=qty_text(g.reserved_qty),
        orders=[order(one) for one in orders],
    )


def account(r: AccountRecord) -> TradeAccount:
    """An account with its figures."""
    buying_power = usd_text(r.buying_power)
    market_value = r.long_market_value + r.short_market_value
    return TradeAccount(
        id=account_uuid(r.account_id),
        account_number=r.account_id,
        status="ACTIVE",
        crypto_status="INACTIVE",
        currency="USD",
        cash=usd_text(r.cash),
        buying_power=buying_power,
        regt_buying_power=buying_power,
        non_marginable_buying_power=usd_text(max(r.withdrawable, 0)),
        daytrading_buying_power="0",
        options_buying_power="0",
        effective_buying_power=buying_power,
        portfolio_value=usd_text(r.equity),
        equity=usd_text(r.equity),
        last_equity=usd_text(r.last_equity),
        long_market_value=usd_text(r.long_market_value),
        short_market_value=usd_text(r.short_market_value),
        position_market_value=usd_text(market_value),
        initial_margin=usd_text(r.initial_margin),
        maintenance_margin=usd_text(r.maintenance_margin),
        last_maintenance_margin=usd_text(r.maintenance_margin),
        sma="0",
        multiplier=str(r.multiplier),
        accrued_fees="0",
        pending_transfer_in="0",
        pending_transfer_out="0",
        trading_blocked=r.blocked or r.venue_blocked or r.frozen,
        transfers_blocked=False,
        account_blocked=r.blocked,
        trade_suspended_by_user=r.suspend_trade,
        shorting_enabled=r.shorting and not r.no_shorting,
        pattern_day_trader=False,
        daytrade_count=0,
        created_at=instant(r.created_us),
        reserved=usd_text(r.reserved),
        account_type=r.account_type.lower(),
        settled_cash=usd_text(r.settled_cash),
        unsettled={day: usd_text(cents) for day, cents in sorted(r.unsettled.items())},
        withdrawable=usd_text(r.withdrawable),
        good_faith_violations=r.good_faith_violations,
        free_riding_violations=r.free_riding_violations,
        restricted_until=r.restricted_until or None,
        margin_call=usd_text(r.margin_call),
        margin_call_due_at=instant_or_none(r.margin_call_due_us),
        frozen=r.frozen,
    )


def configuration(r: AccountRecord) -> AccountConfiguration:
    """An account's user settings."""
    return AccountConfiguration(
        dtbp_check="entry",
        fractional_trading=r.fractional_trading,
        max_margin_multiplier=r.max_margin_multiplier,
        no_shorting=r.no_shorting,
        pdt_check="entry",
        suspend_trade=r.suspend_trade,
        trade_confirm_email=r.trade_confirm_email,
        ptp_no_exception_entry=r.ptp_no_exception_entry,
    )


def opened_account(r: AccountRecord) -> OpenedAccount:
    """An account as operators see it."""
    return OpenedAccount(
        account_id=r.account_id,
        id=account_uuid(r.account_id),
        account_type=r.account_type.lower(),
        cash=usd_text(r.cash),
        equity=usd_text(r.equity),
        buying_power=usd_text(r.buying_power),
        reserved=usd_text(r.reserved),
        fees_paid=usd_text(r.fees_paid),
        maker_fee=rate_text(r.maker_fee_ppm),
        taker_fee=rate_text(r.taker_fee_ppm),
        shorting=r.shorting,
        blocked=r.blocked,
        open_orders=r.open_orders,
        created_at=instant(r.created_us),
        frozen=r.frozen,
        margin_call=usd_text(r.margin_call),
        restricted_until=r.restricted_until or None,
    )


def ratio_text(part: int, whole: int) -> str:
    """`part / whole` as decimal text with 8 decimals, half-even, for display; 0 of nothing."""
    if not whole:
        return "0"
    if whole < 0:
        part, whole = -part, -whole
    return scaled_text(divide_half_even(part * _RATIO_ONE, whole), _RATIO_DECIMALS)


def position(r: PositionRecord, instrument: InstrumentDefined | None) -> Position:
    """A position valued at the marked price; a short one has negative quantity and values."""
    previous_px = r.prev_close_px or r.last_px
    market_value = notional(r.last_px, r.qty)
    cost = divide_half_even(r.cost_e12, _E12_PER_CENT)
    day_start = notional(previous_px, r.qty)
    size = abs(r.qty)
    return Position(
        asset_id=asset_id(r.symbol),
        symbol=r.symbol,
        exchange=exchange(instrument.exchange) if instrument else "",
        asset_class=asset_class(r.symbol),
        asset_marginable=bool(instrument and instrument.marginable),
        avg_entry_price=price_text(average_price(abs(r.cost_e12), size)),
        qty=qty_text(r.qty),
        qty_available=qty_text(r.qty_available),
        side="long" if r.qty >= 0 else "short",
        market_value=usd_text(market_value),
        cost_basis=usd_text(cost),
        unrealized_pl=usd_text(market_value - cost),
        unrealized_plpc=ratio_text(market_value - cost, abs(cost)),
        unrealized_intraday_pl=usd_text(market_value - day_start),
        unrealized_intraday_plpc=ratio_text(market_value - day_start, abs(day_start)),
        current_price=price_text(r.last_px),
        lastday_price=price_text(previous_px),
        change_today=ratio_text(r.last_px - previous_px, previous_px),
    )


def exchange(mic: str) -> str:
    """Alpaca's exchange code of a MIC, or "" when its list has none."""
    return _EXCHANGES.get(mic, "")


def asset(i: InstrumentDefined, state: str) -> Asset:
    """An instrument with its rules and its state (ACTIVE, HALTED, RESTRICTED)."""
    step = qty_text(1) if i.fractionable else qty_text(i.lot_size)
    return Asset(
        id=asset_id(i.symbol),
        class_=asset_class(i.symbol),
        exchange=exchange(i.exchange),
        symbol=i.symbol,
        name=i.name or i.symbol,
        status="active",
        tradable=state != "HALTED",
        marginable=i.marginable,
        shortable=i.shortable,
        easy_to_borrow=i.shortable,
        fractionable=i.fractionable,
        min_order_size=step,
        min_trade_increment=step,
        price_increment=price_text(i.tick_size),
        maintenance_margin_requirement=30 if i.marginable else 100,
        attributes=[],
        mic=i.exchange,
        state=state.lower(),
        static_band=rate_text(i.static_band_ppm),
        dynamic_band=rate_text(i.dynamic_band_ppm),
        collar=rate_text(i.collar_ppm),
        call_s=i.call_s,
        maintenance_addon=rate_text(i.maintenance_addon_ppm),
    )


def rate_text(rate_ppm: int) -> str:
    """A rate in parts per million as decimal text: 50,000 is 0.05."""
    return scaled_text(rate_ppm, _RATE_DECIMALS)


def book(s: BookSnapshot) -> Book:
    """An order-book snapshot."""
    return Book(
        symbol=s.symbol,
        epoch=s.epoch,
        book_seq=s.book_seq,
        as_of=instant(s.as_of_us),
        session_open=s.session_open,
        phase=s.phase.lower(),
        indicative_price=price_text(s.indicative_px) if s.indicative_px else None,
        indicative_qty=qty_text(s.indicative_qty) if s.indicative_qty else None,
        imbalance_qty=qty_text(s.imbalance_qty) if s.imbalance_qty else None,
        imbalance_side=side_text(s.imbalance_side) if s.imbalance_side else None,
        last_price=price_text(s.last_px) if s.last_px else None,
        last_qty=qty_text(s.last_qty) if s.last_qty else None,
        last_trade_at=instant_or_none(s.last_trade_us),
        bids=[BookLevel(price_text(px), qty_text(qty), orders) for px, qty, orders in s.bids],
        asks=[BookLevel(price_text(px), qty_text(qty), orders) for px, qty, orders in s.asks],
    )


def preview(p: PreviewRecord, command: SubmitOrder | SubmitGroup) -> OrderPreview:
    """What an order would reserve, or the very refusal that posting it would get."""
    why: dict[str, Any] | None = None
    if p.reason:
        order_id = command.order_id if isinstance(command, SubmitOrder) else command.group_id
        terms = Terms(command.symbol, order_id, p.text)
        why = refusal(p.reason, p.facts, terms, p.legs).fields()
    return OrderPreview(
        accepted=not p.reason,
        reserved=usd_text(p.reserved),
        reserved_qty=qty_text(p.reserved_qty),
        fee_max=usd_text(p.fee_max),
        buying_power=usd_text(p.buying_power),
        buying_power_after=usd_text(p.buying_power_after),
        collar_price=price_text(p.collar_px) if p.collar_px else None,
        refusal=why,
        worst_leg=p.worst_leg.lower() or None,
        worst_price=price_text(p.worst_px) if p.worst_px else None,
        settled_cash_after=usd_text(p.settled_cash_after),
        withdrawable_after=usd_text(p.withdrawable_after),
        funded_until=p.funded_until or None,
        legs=p.legs,
    )
