"""Given a market and orders, when one command comes, then this whole story of both stages.

A story is every event of both stages in the order of cause and effect, as `nexustrade explain`
tells it: `4 <2 LegReduced sl by 4 to 6 SIBLING_FILL` is the fourth event, and the second caused it.

Every step also checks what must hold after any step: the invariants of all stages, and that stages
which only folded the events, or were loaded from a dump, have the same state.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from nexustrade.console.story import cause_of, in_order, place
from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.money import price_text, qty_text, usd_text
from nexustrade.core.terms import BUY
from nexustrade.kernel.ports import LogEntry
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import OpenSession
from nexustrade.matching.state import ListedBook
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import (
    AdjustPosition,
    AmendGroup,
    CancelGroup,
    CancelOrder,
    LiquidationStarted,
    PriceMarked,
    ReplaceOrder,
    SubmitGroup,
    SubmitOrder,
)
from nexustrade.orders.service import account_record, group_record, order_record
from tests.two_stages import TwoStages, make_stage

SYMBOL = "AAPL"
SHARE = 100_000_000
USD = 10_000
DAY_1 = "2026-11-23"
DAY_2 = "2026-11-24"


class Scene(TwoStages):
    """Both stages with `AAPL`, last traded at 100 by bob and cat.

    `ann` is long 10 shares, short when they are below 0; bob, cat and dan have shares and money.
    """

    def __init__(
        self,
        partitions: tuple[int, int] = (2, 2),
        *,
        account_type: str = "CASH",
        shares: int = 10,
        opened: bool = True,
        last: bool = True,
        rules: dict[str, object] | None = None,
        **fields: object,
    ) -> None:
        super().__init__(*partitions)
        self.list(SYMBOL, shortable=True, marginable=True, **(rules or {}))
        self.open("ann", account_type, shorting=account_type == "MARGIN", **fields)
        for account in ("bob", "cat", "dan"):
            self.open(account)
            self.run(AdjustPosition(account, SYMBOL, 1_000 * SHARE, 100 * USD))
        if shares > 0:
            self.run(AdjustPosition("ann", SYMBOL, shares * SHARE, 100 * USD))
        if opened:
            self.run(OpenSession(DAY_1))
        if last and opened:
            self.given(sell("last-ask", 1, 100), buy("last-bid", 1, 100, "cat"))
        if shares < 0:
            self.given(
                buy("short-bid", -shares, 100), sell("short", -shares, 100, "ann"), buy("x", 1, 1)
            )
            self.run(CancelOrder("bob", "x"))

    def given(self, *commands: Message) -> "Scene":
        """Run commands that are the background of a row; none of them may be rejected."""
        for command in commands:
            answer = type(self.run(command)[0]).__name__
            assert "Rejected" not in answer, (command, self.log[-1][1].event)
            self.check()
        return self

    def when(self, command: Message) -> list[str]:
        """Run a command; its story."""
        first = len(self.log)
        self.run(command)
        self.check()
        return told(self._of_symbol(self.log[first:]))

    def _of_symbol(self, log: list[tuple[str, Recorded]]) -> list[LogEntry]:
        """Every matching partition lists every symbol: what the others say and bring is left."""
        own = self.routing.matching_of(SYMBOL)
        entries = []
        for shard, r in log:
            source = r.cause.rpartition(":")[0]
            if isinstance(r.event, PriceMarked):
                # Only a partition that neither side of the trade is in has to be told.
                continue
            if not any(one.startswith("matching-") and one != own for one in (shard, source)):
                entries.append(LogEntry(shard, r.seq, r.ts_us, r.cause, r.event))
        return entries

    def wait(self, seconds: int) -> "Scene":
        """Let time pass before the next command."""
        self.now_us += seconds * 1_000_000
        return self

    def check(self) -> None:
        """The invariants of all stages; replay and load give the same state."""
        self.verify()
        twin = self.replayed()
        for shard, stage in self.stages.items():
            state = stage.dump()
            assert twin.stages[shard].dump() == state
            loaded = make_stage(shard)
            loaded.load(state, stage.seq, stage.ts_us)
            loaded.verify()
            assert loaded.dump() == state

    def stage_of(self, account_id: str) -> OrdersStage:
        """The orders stage partition of an account."""
        stage = self.stages[self.routing.orders_of(account_id)]
        assert isinstance(stage, OrdersStage)
        return stage

    def resting(self, side: str) -> list[str]:
        """Orders of a side of the book in priority order, with what is open of each."""
        book = self.book()
        orders = book.bids.orders() if side == BUY else book.asks.orders()
        return [f"{one.order_id} {qty_text(one.leaves_qty)}" for one in orders]

    def parked(self, side: str) -> list[str]:
        """Parked stops of a side in the order in which they would be elected."""
        stops = self.book().stops
        orders = stops.buys.orders() if side == BUY else stops.sells.orders()
        return [f"{one.order_id} {qty_text(one.leaves_qty)}" for one in orders]

    def book(self) -> ListedBook:
        """The book of the symbol."""
        stage = self.stages[self.routing.matching_of(SYMBOL)]
        assert isinstance(stage, MatchingStage)
        return stage.books[SYMBOL]

    def stands(self, *names: str, account_id: str = "ann") -> list[str]:
        """The records of an account and of groups and orders of it, each on a line."""
        stage = self.stage_of(account_id)
        account = stage.accounts[account_id]
        record = account_record(stage, account)
        position = account.positions.get(SYMBOL)
        held = position.held_qty + position.covered_qty if position is not None else 0
        qty = position.qty if position is not None else 0
        lines = [
            f"{account_id} cash {usd_text(record.cash)} position {qty_text(qty)}"
            f" {_holds(record.reserved, held)}"
        ]
        for name in names:
            if name in stage.groups:
                g = group_record(stage.groups[name])
                lines.append(
                    f"group {g.state} {qty_text(g.order_qty)} R {qty_text(g.remaining_qty)}"
                    f" {_holds(g.reserved, g.reserved_qty)}"
                )
        for name in names:
            if name in stage.orders:
                o = order_record(stage.orders[name])
                lines.append(
                    f"{name} {o.ord_status} {qty_text(o.cum_qty)} of {qty_text(o.order_qty)}"
                    f" open {qty_text(o.leaves_qty)}"
                )
        return lines


def story(text: str) -> list[str]:
    """The lines of an expected story."""
    return [line.strip() for line in text.splitlines() if line.strip()]


# ---------------------------------------------------------------- commands


def sell(name: str, qty: int, usd: int = 0, account: str = "bob", **more: object) -> SubmitOrder:
    """A limit order to sell, at the market without a price."""
    return _order(name, "SELL", qty, usd, account, more)


def buy(name: str, qty: int, usd: int = 0, account: str = "bob", **more: object) -> SubmitOrder:
    """A limit order to buy, at the market without a price."""
    return _order(name, "BUY", qty, usd, account, more)


def _order(
    name: str, side: str, qty: int, usd: int, account: str, more: dict[str, object]
) -> SubmitOrder:
    kind = "LIMIT" if usd else "MARKET"
    fields: dict[str, object] = {"limit_px": usd * USD} | more
    tif = str(fields.pop("time_in_force", "GTC" if usd else "DAY"))
    kind = str(fields.pop("ord_type", kind))
    return SubmitOrder(
        account, name, name, SYMBOL, side, kind, tif, qty * SHARE, **fields  # type: ignore[arg-type]
    )  # fmt: skip


def stop(name: str, side: str, qty: int, usd: int, account: str = "cat") -> SubmitOrder:
    """A stop order of its own."""
    return _order(name, side, qty, 0, account, {
        "ord_type": "STOP", "time_in_force": "GTC", "stop_px": usd * USD,
    })  # fmt: skip


def oco(
    policy: str = "REDUCE",
    *,
    name: str = "tp",
    sl: str = "sl",
    account: str = "ann",
    side: str = "SELL",
    qty: int = 10,
    tp_usd: int = 110,
    sl_usd: int = 90,
    sl_limit: int = 0,
    **more: object,
) -> SubmitGroup:
    """The exit of 10 shares: take-profit 110, stop-loss 90."""
    fields: dict[str, object] = {"time_in_force": "GTC"} | more
    return SubmitGroup(
        account, name, name, "OCO", SYMBOL, side, order_qty=qty * SHARE, tp_order_id=name,
        tp_limit_px=tp_usd * USD, sl_order_id=sl, sl_stop_px=sl_usd * USD,
        sl_limit_px=sl_limit * USD, policy=policy, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def bracket(
    policy: str = "REDUCE", *, usd: int = 100, qty: int = 10, **more: object
) -> SubmitGroup:
    """Buy 10 shares at 100 with an exit: take-profit 110, stop-loss 90."""
    fields: dict[str, object] = {
        "time_in_force": "GTC", "tp_limit_px": 110 * USD, "sl_stop_px": 90 * USD,
        "ord_type": "LIMIT", "limit_px": usd * USD,
        "activation": "FULL" if policy == "CANCEL" else "PARTIAL",
    } | more  # fmt: skip
    return SubmitGroup(
        "ann", "g", "g", "BRACKET", SYMBOL, "BUY", order_qty=qty * SHARE, tp_order_id="tp",
        sl_order_id="sl", policy=policy, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def cancel(name: str, account: str = "ann") -> CancelOrder:
    return CancelOrder(account, name)


def cancel_group(name: str = "tp") -> CancelGroup:
    return CancelGroup("ann", name)


def amend(qty: int, name: str = "tp") -> AmendGroup:
    return AmendGroup("ann", name, qty * SHARE)


def replace(orig: str, *, qty: int = 0, limit: int = 0, stop: int = 0) -> ReplaceOrder:
    """Replace an order of ann by one that is called as it was, with an accent."""
    return ReplaceOrder(
        "ann", f"{orig}'", orig, f"{orig}'", qty * SHARE, limit * USD, stop_px=stop * USD
    )


# ---------------------------------------------------------------- stories


def told(entries: Iterable[LogEntry]) -> list[str]:
    """The story of events: numbered, with causes, what several partitions say told once."""
    lines: list[str] = []
    numbers: dict[str, int] = {}
    seen: dict[Message, int] = {}
    sales: list[str] = []
    for entry in in_order(entries):
        event = entry.event
        name = type(event).__name__
        assert codec.decode(name, codec.encode(event)) == event
        if name in _TOLD_BY_ALL and event in seen:
            numbers[place(entry)] = seen[event]
            continue
        number = len(lines) + 1
        numbers[place(entry)] = number
        if name in _TOLD_BY_ALL:
            seen[event] = number
        by = numbers.get(cause_of(entry), 0)
        line = f"{number} {f'<{by} ' if by else ''}{name} {_SAY[name](event)}".strip()
        if isinstance(event, LiquidationStarted):
            sales.append(event.order_id)
        for order_id in sales:
            line = line.replace(order_id, "the-sale")
        lines.append(line)
    return lines


_TOLD_BY_ALL: Final = {
    "OpeningCallBegun", "SessionOpened", "ClosingCallBegun", "SessionClosed", "DayClosed",
    "SessionBegun", "InstrumentRestricted", "FreezeNoted", "DaySettled",
}  # fmt: skip


def _holds(cents: int, qty: int) -> str:
    return f"holds {usd_text(cents)} and {qty_text(qty)}"


def _px(px: int) -> str:
    return price_text(px).removesuffix(".00")


def _terms(e: Any) -> str:
    """Side, quantity and prices of an order."""
    words = [e.side, qty_text(e.order_qty), e.ord_type]
    if e.limit_px:
        words.append(_px(e.limit_px))
    if e.stop_px:
        words.append(f"stop {_px(e.stop_px)}")
    if getattr(e, "collar_px", 0):
        words.append(f"collar {_px(e.collar_px)}")
    return " ".join(words)


def _legs(e: Any) -> str:
    words = []
    if e.tp_order_id:
        words.append(f"{e.tp_order_id} {_px(e.tp_limit_px)}")
    if e.sl_order_id:
        limit = f" limit {_px(e.sl_limit_px)}" if e.sl_limit_px else ""
        words.append(f"{e.sl_order_id} {_px(e.sl_stop_px)}{limit}")
    return " ".join(words)


def _order_accepted(e: Any) -> str:
    shrinks = "".join(f" shrinks {name} by {qty_text(qty)}" for name, qty in e.shrinks.items())
    held = _holds(e.reserved, e.reserved_qty + e.cover_qty)
    return f"{e.account_id} {e.order_id} {_terms(e)} {e.time_in_force} {held}{shrinks}"


def _group_accepted(e: Any) -> str:
    entry = f" {_terms(e)}" if e.ord_type and e.order_class != "OCO" else (
        f" {e.side} {qty_text(e.order_qty)}"
    )  # fmt: skip
    held = _holds(e.reserved, e.reserved_qty + e.cover_qty)
    return f"{e.group_id} {e.order_class}{entry} {_legs(e)} {e.policy} {held}"


def _opened(e: Any) -> str:
    rests = " tp rests" if e.tp_rests else ""
    return f"{e.group_id} {qty_text(e.open_qty)} alive{rests}"


def _facts(e: Any) -> str:
    return " ".join([e.group_id, e.reason, *e.legs])


def _uncrossed(e: Any) -> str:
    surplus = f" surplus {e.surplus_side} {qty_text(e.surplus_qty)}" if e.surplus_qty else ""
    return f"{e.phase} {qty_text(e.qty)} at {_px(e.px)}{surplus}"


def _traded(e: Any) -> str:
    done = " done" if e.taker_done else ""
    auction = " auction" if e.auction else ""
    return (
        f"{e.trade_id}: {qty_text(e.last_qty)} at {_px(e.last_px)}, maker {e.maker_order_id}"
        f" left {qty_text(e.maker_leaves_qty)}, taker {e.taker_order_id}{done}{auction}"
    )


def _filled(e: Any) -> str:
    done = " done" if e.done else ""
    fee = f" fee {usd_text(e.fee)}" if e.fee else ""
    return (
        f"{e.account_id} {e.order_id} {e.side} {qty_text(e.last_qty)} at {_px(e.last_px)}"
        f" {e.liquidity}{fee}{done}"
    )


def _ended(e: Any) -> str:
    return f"{e.order_id} {qty_text(e.leaves_qty)} {e.reason}"


def _refused(e: Any) -> str:
    return f"{e.order_id} {e.reason}"


def _reduced(e: Any) -> str:
    return f"{e.order_id} by {qty_text(e.by_qty)} to {qty_text(e.leaves_qty)} {e.reason}"


def _elected(e: Any) -> str:
    gapped = " gapped" if e.gapped else ""
    return f"{e.order_id} by {_px(e.print_px)} in trade {e.trade_id}{gapped}"


def _stands(e: Any) -> str:
    words = [e.order_id, e.side, qty_text(e.leaves_qty)]
    if e.limit_px:
        words.append(f"at {_px(e.limit_px)}")
    if getattr(e, "stop_px", 0):
        words.append(f"stop {_px(e.stop_px)}")
    return " ".join(words)


def _queued(e: Any) -> str:
    return f"{e.order_id} {_terms(e)}"


def _amended(e: Any) -> str:
    prices = "".join(
        f" {word} {_px(px)}"
        for word, px in (("at", e.limit_px), ("stop", e.stop_px))
        if px
    )  # fmt: skip
    requeued = " requeued" if e.requeued else ""
    return f"{e.orig_order_id} to {e.order_id} {qty_text(e.leaves_qty)}{prices}{requeued}"


def _replace_requested(e: Any) -> str:
    prices = "".join(
        f" {word} {_px(px)}"
        for word, px in (("at", e.limit_px), ("stop", e.stop_px))
        if px
    )  # fmt: skip
    return f"{e.orig_order_id} by {e.order_id} {qty_text(e.order_qty)}{prices}"


def _phase(e: Any) -> str:
    return f"{e.phase} {e.reason}"


def _resized(e: Any) -> str:
    return f"{e.group_id} {qty_text(e.order_qty)}"


def _busted(e: Any) -> str:
    return (
        f"{e.account_id} {e.order_id} {e.side} {qty_text(e.last_qty)} at {_px(e.last_px)}"
        f" trade {e.trade_id}"
    )


_SAY: Final[dict[str, Callable[[Any], str]]] = {
    "AccountFrozen": lambda e: f"{e.account_id} {e.frozen}",
    "Amended": _amended,
    "CancelRejected": _refused,
    "CancelRequested": lambda e: f"{e.order_id}{f' of {e.group_id}' if e.group_id else ''}",
    "CashAdjusted": lambda e: f"{e.account_id} {usd_text(e.amount)}",
    "ClosingCallBegun": lambda e: e.session_date,
    "CommandRejected": lambda e: f"{e.account_id} {e.command} {e.reason}",
    "DayClosed": lambda e: e.session_date,
    "Decremented": lambda e: f"{e.order_id} by {qty_text(e.by_qty)}",
    "FreezeNoted": lambda e: f"{e.account_id} {e.frozen}",
    "GroupAccepted": _group_accepted,
    "GroupAmendRejected": lambda e: f"{e.group_id} {e.reason}",
    "GroupAmendRequested": lambda e: (
        f"{e.group_id} {qty_text(e.order_qty)} {_holds(e.reserved, e.reserved_qty)}"
    ),
    "GroupAmended": _resized,
    "GroupClosed": lambda e: f"{e.group_id} {e.reason}",
    "GroupGrown": lambda e: (
        f"{e.group_id} by {qty_text(e.by_qty)} to {qty_text(e.open_qty)}"
        f"{' tp rests' if e.tp_rests else ''}"
    ),
    "GroupHeld": lambda e: f"{e.group_id} {qty_text(e.order_qty)} {_legs(e)}",
    "GroupOpened": _opened,
    "GroupRefused": lambda e: f"{e.group_id} {e.reason}",
    "GroupRejected": _facts,
    "GroupResized": _resized,
    "InstrumentRestricted": lambda e: e.state,
    "LegCancelled": _ended,
    "LegReduced": _reduced,
    "LegsActivated": lambda e: (
        f"{e.group_id} {qty_text(e.open_qty)} {_holds(e.reserved, e.reserved_qty + e.cover_qty)}"
    ),
    "LiquidationStarted": lambda e: f"{e.account_id} {qty_text(e.qty)} for {usd_text(e.deficit)}",
    "MarginCallIssued": lambda e: (
        f"{e.account_id} equity {usd_text(e.equity)} below {usd_text(e.maintenance_margin)}"
    ),
    "MarginCallMet": lambda e: f"{e.account_id} equity {usd_text(e.equity)}",
    "Marked": lambda e: _px(e.last_px),
    "OpeningCallBegun": lambda e: e.session_date,
    "OrderAccepted": _order_accepted,
    "OrderCanceled": _ended,
    "OrderDecremented": lambda e: f"{e.order_id} by {qty_text(e.by_qty)} {e.reason}".strip(),
    "OrderExpired": _ended,
    "OrderFilled": _filled,
    "OrderRejected": lambda e: f"{e.order_id} {e.reason}",
    "OrderReplaced": lambda e: f"{e.orig_order_id} by {e.order_id}",
    "OrderTriggered": _elected,
    "Parked": _stands,
    "PhaseChanged": _phase,
    "Queued": _queued,
    "Refused": _refused,
    "Removed": _ended,
    "ReplaceRejected": lambda e: f"{e.orig_order_id} {e.reason}",
    "ReplaceRequested": _replace_requested,
    "ReservationChanged": lambda e: f"{e.group_id} {_holds(e.reserved, e.reserved_qty)}",
    "ReservationReleased": lambda e: (
        f"{e.group_id} {e.reason} {usd_text(e.released)} and {qty_text(e.released_qty)}"
    ),
    "Rested": _stands,
    "SessionClosed": lambda e: e.session_date,
    "SessionOpened": lambda e: e.session_date,
    "StopActivated": lambda e: f"{e.order_id} {qty_text(e.leaves_qty)} at {_px(e.limit_px)}",
    "StopElected": _elected,
    "TradeBusted": _busted,
    "Traded": _traded,
    "Uncrossed": _uncrossed,
}
