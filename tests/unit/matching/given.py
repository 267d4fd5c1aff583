"""Given these commands, when that one comes, then exactly these events: for the matching stage.

Every step also checks what must hold after any step: the stage's invariants, that a replica folding
the events has the same state, and that a stage loaded from the dump has it too.
"""

import msgspec

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.terms import (
    BRACKET,
    BUY,
    DAY,
    GTC,
    LIMIT,
    MARKET,
    OCO,
    OTO,
    PARTIAL,
    REDUCE,
    SELL,
    STOP,
    STOP_LIMIT,
    STP_NEWEST,
    STP_OLDEST,
    TRAILING_STOP,
)
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    Amended,
    DefineInstrument,
    GroupClosed,
    GroupGrown,
    GroupHeld,
    GroupOpened,
    LegCancelled,
    LegReduced,
    OpenSession,
    Parked,
    Queued,
    Removed,
    Rested,
    StopActivated,
    StopElected,
    Traded,
    TrailRaised,
)
from nexustrade.orders.messages import (
    CancelRequested,
    GroupAccepted,
    GroupAmendRequested,
    OrderAccepted,
    ReplaceRequested,
)

SYMBOL = "AAPL"
USD = 10_000
SHARE = 100_000_000
FIRST_DAY = "2026-11-23"


class Scene:
    """A stage with a replica beside it; `when` gives the events of one message.

    `rules` are those of the instrument. With `last_usd` that is the last price, and the book empty.
    """

    def __init__(
        self,
        *given: Message,
        opened: bool = True,
        last_usd: int = 0,
        **rules: int,
    ) -> None:
        self.stage = MatchingStage("matching-0")
        self.replica = MatchingStage("matching-0")
        self.now_us = 1_000_000
        self.when(msgspec.structs.replace(DefineInstrument(SYMBOL, 100, SHARE), **rules))
        if opened:
            self.when(OpenSession(FIRST_DAY))
        if last_usd:
            self.trade(last_usd)
        for message in given:
            self.when(message)

    def when(self, message: Message, at_us: int = 0) -> list[Message]:
        self.now_us = at_us or self.now_us + 1_000
        recorded = self.stage.take(message, self.now_us, "cause")
        for one in recorded:
            assert one.cause == "cause"
            name = type(one.event).__name__
            read_back = codec.decode(name, codec.encode(one.event))
            assert read_back == one.event
            self.replica.replay(one.seq, one.ts_us, read_back)
        self.stage.verify()
        state = self.stage.dump()
        assert self.replica.dump() == state
        loaded = MatchingStage("matching-0")
        loaded.load(state, self.stage.seq, self.stage.ts_us)
        loaded.verify()
        assert loaded.dump() == state
        return [one.event for one in recorded]

    def trade(self, usd: int) -> list[Message]:
        """What a trade of one share between two others leads to."""
        self.when(limit(f"m{self.now_us}", BUY, 1, usd, "others"))
        return self.when(limit(f"t{self.now_us}", SELL, 1, usd, "more others"))

    def nth(self, number: int) -> str:
        """The name that the event of this number from now on will have, as a cause."""
        return f"matching-0:{self.stage.seq + number}"

    def parked(self) -> list[tuple[str, int, int]]:
        """(id, stop price in USD, shares) in the order of election, those that sell first."""
        stops = self.stage.books[SYMBOL].stops
        orders = stops.sells.orders() + stops.buys.orders()
        return [(o.order_id, o.stop_px // USD, o.leaves_qty // SHARE) for o in orders]

    def elected(self) -> list[str]:
        """Stops that were elected and have not run to their end, in their order."""
        return list(self.stage.books[SYMBOL].elected)

    def resting(self, side: str, symbol: str = SYMBOL) -> list[tuple[str, int, int]]:
        """(id, price in USD, shares) of a side in priority order."""
        book = self.stage.books[symbol]
        orders = book.bids.orders() if side == BUY else book.asks.orders()
        return [(o.order_id, o.limit_px // USD, o.leaves_qty // SHARE) for o in orders]


def limit(
    order_id: str,
    side: str,
    shares: int,
    usd: int,
    account: str = "",
    tif: str = GTC,
    *,
    stp: str = STP_NEWEST,
    post_only: bool = False,
    expire_us: int = 0,
    symbol: str = SYMBOL,
) -> OrderAccepted:
    """A limit order; without an account, each side has its own."""
    return OrderAccepted(
        account or side.lower(),
        order_id,
        f"client-{order_id}",
        symbol,
        side,
        LIMIT,
        tif,
        shares * SHARE,
        limit_px=usd * USD,
        post_only=post_only,
        expire_us=expire_us,
        stp=stp,
    )


def market(
    order_id: str,
    side: str,
    shares: int,
    collar_usd: int = 0,
    account: str = "",
    tif: str = DAY,
    *,
    stp: str = STP_NEWEST,
) -> OrderAccepted:
    return OrderAccepted(
        account or side.lower(),
        order_id,
        f"client-{order_id}",
        SYMBOL,
        side,
        MARKET,
        tif,
        shares * SHARE,
        collar_px=collar_usd * USD,
        stp=stp,
    )


def notional(
    order_id: str,
    side: str,
    cents: int,
    *,
    step: int = 1,
    collar_usd: int = 0,
    cap_shares: int = 0,
    tif: str = DAY,
    account: str = "",
    stp: str = STP_NEWEST,
) -> OrderAccepted:
    return OrderAccepted(
        account or side.lower(),
        order_id,
        f"client-{order_id}",
        SYMBOL,
        side,
        MARKET,
        tif,
        cap_shares * SHARE,
        cents,
        collar_px=collar_usd * USD,
        step=step,
        stp=stp,
    )


def cancel(order_id: str, account: str = "buy") -> CancelRequested:
    return CancelRequested(account, order_id, SYMBOL)


def replace(
    orig: str,
    order_id: str,
    shares: int,
    usd: int,
    *,
    account: str = "buy",
    tif: str = GTC,
    expire_us: int = 0,
) -> ReplaceRequested:
    return ReplaceRequested(
        account, order_id, orig, f"client-{order_id}", SYMBOL, shares * SHARE, usd * USD, tif,
        expire_us,
    )  # fmt: skip


def rested(
    order_id: str,
    side: str,
    shares: int,
    usd: int,
    *,
    account: str = "",
    tif: str = GTC,
    expire_us: int = 0,
    stp: str = STP_NEWEST,
    filled: int = 0,
    post_only: bool = False,
    symbol: str = SYMBOL,
    ord_type: str = LIMIT,
    group: str = "",
    reduces: bool = False,
    px: int = 0,
) -> Rested:
    """`px` is the price in 1e-4 USD where it is not whole dollars."""
    return Rested(
        order_id, account or side.lower(), symbol, side, tif, px or usd * USD, shares * SHARE,
        expire_us, stp, filled * SHARE, post_only, group, ord_type, reduces,
    )  # fmt: skip


def traded(
    trade_id: int,
    side: str,
    shares: int,
    usd: int,
    maker: str,
    maker_leaves: int,
    taker: str,
    *,
    done: bool = False,
    maker_account: str = "",
    taker_account: str = "",
    auction: bool = False,
    maker_group: str = "",
    taker_group: str = "",
) -> Traded:
    other = SELL if side == BUY else BUY
    return Traded(
        trade_id, SYMBOL, side, usd * USD, shares * SHARE, maker, maker_account or other.lower(),
        maker_leaves * SHARE, taker, taker_account or side.lower(), done, auction, maker_group,
        taker_group,
    )  # fmt: skip


def removed(
    order_id: str, shares: int, reason: str, account: str = "buy", group: str = ""
) -> Removed:
    return Removed(order_id, account, SYMBOL, shares * SHARE, reason, group)


def amended(
    order_id: str,
    orig: str,
    shares: int,
    usd: int,
    *,
    requeued: bool = False,
    account: str = "buy",
    tif: str = GTC,
    expire_us: int = 0,
) -> Amended:
    return Amended(
        order_id, orig, account, SYMBOL, usd * USD, shares * SHARE, requeued, tif, expire_us
    )


def queued(
    order_id: str,
    side: str,
    shares: int,
    usd: int,
    *,
    tif: str = GTC,
    ord_type: str = LIMIT,
    expire_us: int = 0,
    collar_usd: int = 0,
    filled: int = 0,
    cents: int = 0,
) -> Queued:
    return Queued(
        order_id, side.lower(), SYMBOL, side, ord_type, tif, shares * SHARE, cents, usd * USD,
        expire_us, False, STP_NEWEST, 1, collar_usd * USD, filled * SHARE,
    )  # fmt: skip


# ---- stops


def stop(
    order_id: str,
    side: str,
    shares: int,
    usd: int,
    *,
    limit_usd: int = 0,
    account: str = "",
    tif: str = GTC,
    closes: bool = False,
    expire_us: int = 0,
    stp: str = STP_NEWEST,
) -> OrderAccepted:
    """A stop, or with `limit_usd` a stop-limit order; `closes`: it reduces a position."""
    return OrderAccepted(
        account or side.lower(),
        order_id,
        f"client-{order_id}",
        SYMBOL,
        side,
        STOP_LIMIT if limit_usd else STOP,
        tif,
        shares * SHARE,
        limit_px=limit_usd * USD,
        expire_us=expire_us,
        stp=stp,
        reserved_qty=shares * SHARE if closes and side == SELL else 0,
        cover_qty=shares * SHARE if closes and side == BUY else 0,
        stop_px=usd * USD,
    )


def trailing(
    order_id: str,
    side: str,
    shares: int,
    *,
    trail_usd: int = 0,
    trail_ppm: int = 0,
    tif: str = GTC,
) -> OrderAccepted:
    return OrderAccepted(
        side.lower(), order_id, f"client-{order_id}", SYMBOL, side, TRAILING_STOP, tif,
        shares * SHARE, trail_px=trail_usd * USD, trail_ppm=trail_ppm,
    )  # fmt: skip


def parked(
    order_id: str,
    side: str,
    shares: int,
    usd: int,
    *,
    limit_usd: int = 0,
    tif: str = GTC,
    account: str = "",
    reduces: bool = False,
    stp: str = STP_NEWEST,
) -> Parked:
    return Parked(
        order_id, account or side.lower(), SYMBOL, side, STOP_LIMIT if limit_usd else STOP, tif,
        shares * SHARE, usd * USD, limit_usd * USD, stp=stp, reduces=reduces,
    )  # fmt: skip


def elected(
    order_id: str,
    stop_usd: int,
    print_usd: int,
    trade_id: int,
    *,
    account: str = "sell",
    group: str = "",
    cause: str,
) -> StopElected:
    return StopElected(
        order_id, account, SYMBOL, stop_usd * USD, print_usd * USD, trade_id,
        stop_usd != print_usd, group, cause,
    )  # fmt: skip


def activated(
    order_id: str,
    shares: int,
    px: int,
    *,
    account: str = "sell",
    group: str = "",
    cause: str,
) -> StopActivated:
    """A stop runs with the limit price `px` (1e-4 USD)."""
    return StopActivated(order_id, account, SYMBOL, px, shares * SHARE, group, cause)


def raised(order_id: str, hwm_px: int, stop_px: int, *, side: str, cause: str) -> TrailRaised:
    """Prices in 1e-4 USD."""
    return TrailRaised(order_id, side.lower(), SYMBOL, hwm_px, stop_px, cause)


# ---- groups


def oco(
    group_id: str,
    shares: int,
    tp_usd: int,
    sl_usd: int,
    *,
    side: str = SELL,
    limit_usd: int = 0,
    account: str = "",
    tif: str = GTC,
    policy: str = REDUCE,
    expire_us: int = 0,
    stp: str = STP_NEWEST,
) -> GroupAccepted:
    """An exit whose legs are called after it: `.tp`, `.sl`."""
    return GroupAccepted(
        account or side.lower(),
        group_id,
        f"client-{group_id}",
        OCO,
        SYMBOL,
        side,
        tif,
        shares * SHARE,
        tp_order_id=f"{group_id}.tp",
        tp_limit_px=tp_usd * USD,
        sl_order_id=f"{group_id}.sl",
        sl_stop_px=sl_usd * USD,
        sl_limit_px=limit_usd * USD,
        policy=policy,
        expire_us=expire_us,
        stp=stp,
        reserved_qty=shares * SHARE,
    )


def bracket(
    group_id: str,
    shares: int,
    usd: int,
    tp_usd: int,
    sl_usd: int,
    *,
    side: str = BUY,
    tif: str = GTC,
    policy: str = REDUCE,
    activation: str = PARTIAL,
    account: str = "owner",
    stp: str = STP_NEWEST,
    stop_usd: int = 0,
    ord_type: str = LIMIT,
) -> GroupAccepted:
    """An entry at `usd` and its exit; with one price left out (0) it is an OTO."""
    both = tp_usd and sl_usd
    return GroupAccepted(
        account,
        group_id,
        f"client-{group_id}",
        BRACKET if both else OTO,
        SYMBOL,
        side,
        tif,
        shares * SHARE,
        ord_type,
        usd * USD if ord_type == LIMIT else 0,
        stop_usd * USD,
        usd * USD if ord_type == MARKET else 0,
        tp_order_id=f"{group_id}.tp" if tp_usd else "",
        tp_limit_px=tp_usd * USD,
        sl_order_id=f"{group_id}.sl" if sl_usd else "",
        sl_stop_px=sl_usd * USD,
        policy=policy,
        activation=activation,
        stp=stp,
    )


def amend(group_id: str, shares: int, *, account: str = "sell") -> GroupAmendRequested:
    return GroupAmendRequested(account, group_id, SYMBOL, shares * SHARE)


def cancel_group(group_id: str, order_id: str = "", *, account: str = "sell") -> CancelRequested:
    return CancelRequested(account, order_id or group_id, SYMBOL, group_id)


def reprice(
    orig: str,
    order_id: str,
    *,
    limit_usd: int = 0,
    stop_usd: int = 0,
    account: str = "sell",
) -> ReplaceRequested:
    """New prices for a leg or a stop; what is 0 stays."""
    return ReplaceRequested(
        account, order_id, orig, f"client-{order_id}", SYMBOL, 0, limit_usd * USD, "",
        stop_px=stop_usd * USD,
    )  # fmt: skip


def held(accepted: GroupAccepted) -> GroupHeld:
    """That a group waits for its entry, or an OCO for the session."""
    a = accepted
    side = a.side
    if a.order_class != OCO:
        side = SELL if a.side == BUY else BUY
    return GroupHeld(
        a.group_id, a.account_id, a.symbol, a.order_class, side, a.time_in_force, a.order_qty,
        a.tp_order_id, a.tp_limit_px, a.sl_order_id, a.sl_stop_px, a.sl_limit_px, a.policy,
        a.activation, a.expire_us, STP_OLDEST, reduces=True,
    )  # fmt: skip


def opened(accepted: GroupAccepted) -> GroupOpened:
    """That an OCO that need not wait is alive."""
    a = accepted
    return GroupOpened(
        a.group_id, a.account_id, a.symbol, a.order_qty, True, "", a.order_class, a.side,
        a.time_in_force, a.tp_order_id, a.tp_limit_px, a.sl_order_id, a.sl_stop_px, a.sl_limit_px,
        a.policy, a.expire_us, STP_OLDEST, reduces=True,
    )  # fmt: skip


def exit_opened(
    group_id: str, shares: int, cause: str, *, tp_rests: bool = True, account: str = "owner"
) -> GroupOpened:
    return GroupOpened(group_id, account, SYMBOL, shares * SHARE, tp_rests, cause)


def exit_grown(
    group_id: str,
    by: int,
    shares: int,
    cause: str,
    *,
    tp_rests: bool = True,
    account: str = "owner",
) -> GroupGrown:
    return GroupGrown(group_id, account, SYMBOL, by * SHARE, shares * SHARE, tp_rests, cause)


def leg_reduced(
    order_id: str, by: int, left: int, reason: str, cause: str, *, account: str = "sell"
) -> LegReduced:
    """The leg of the group that its id begins with."""
    group_id = order_id.partition(".")[0]
    return LegReduced(order_id, account, SYMBOL, group_id, by * SHARE, left * SHARE, reason, cause)


def leg_cancelled(
    order_id: str, shares: int, reason: str, cause: str, *, account: str = "sell"
) -> LegCancelled:
    group_id = order_id.partition(".")[0]
    return LegCancelled(order_id, account, SYMBOL, group_id, shares * SHARE, reason, cause)


def closed(group_id: str, reason: str, cause: str, *, account: str = "sell") -> GroupClosed:
    return GroupClosed(group_id, account, SYMBOL, reason, cause)
