"""Given these commands, when that one comes, then exactly these events: for the matching stage.

Every step also checks what must hold after any step: the stage's invariants, that a replica folding
the events has the same state, and that a stage loaded from the dump has it too.
"""

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, DAY, GTC, LIMIT, MARKET, SELL, STP_NEWEST
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    Amended,
    DefineInstrument,
    OpenSession,
    Queued,
    Removed,
    Rested,
    Traded,
)
from nexustrade.orders.messages import CancelRequested, OrderAccepted, ReplaceRequested

SYMBOL = "AAPL"
USD = 10_000
SHARE = 100_000_000
FIRST_DAY = "2026-11-23"


class Scene:
    """A stage with a replica beside it; `when` gives the events of one message."""

    def __init__(self, *given: Message, opened: bool = True) -> None:
        self.stage = MatchingStage("matching-0")
        self.replica = MatchingStage("matching-0")
        self.now_us = 1_000_000
        self.when(DefineInstrument(SYMBOL, 100, SHARE))
        if opened:
            self.when(OpenSession(FIRST_DAY))
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
) -> Rested:
    return Rested(
        order_id, account or side.lower(), symbol, side, tif, usd * USD, shares * SHARE, expire_us,
        stp, filled * SHARE, post_only, "", ord_type,
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
) -> Traded:
    other = SELL if side == BUY else BUY
    return Traded(
        trade_id, SYMBOL, side, usd * USD, shares * SHARE, maker, maker_account or other.lower(),
        maker_leaves * SHARE, taker, taker_account or side.lower(), done, auction,
    )  # fmt: skip


def removed(order_id: str, shares: int, reason: str, account: str = "buy") -> Removed:
    return Removed(order_id, account, SYMBOL, shares * SHARE, reason)


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
