"""Events in words: what happened, with prices, quantities and amounts as decimals. Pure."""

from collections.abc import Callable
from typing import Any, Final

from nexustrade.core.codec import Message
from nexustrade.core.money import percent_text, price_text, qty_text, usd_text
from nexustrade.core.terms import BUY, ENTRY, OCO, STOP_LOSS, TAKE_PROFIT
from nexustrade.matching import messages as matching
from nexustrade.orders import messages as orders

_ROLES: Final = {ENTRY: "entry", TAKE_PROFIT: "take-profit", STOP_LOSS: "stop-loss"}


class Words:
    """Puts events in words, in the order in which they are told: it learns who is who on the way.

    Orders of the group are called by their role, others by their id.
    """

    def __init__(self) -> None:
        self._roles: dict[str, str] = {}

    def of(self, event: Message) -> str:
        """An event in words; one that nobody found words for, as its fields."""
        self._learn(event)
        say = _SAY.get(type(event))
        return say(self, event) if say is not None else _fields(event)

    def name(self, order_id: str) -> str:
        """What an order is called in the story."""
        role = self._roles.get(order_id)
        return f"the {_ROLES[role]}" if role else f"order {order_id}"

    def _learn(self, e: Any) -> None:
        if isinstance(e, orders.GroupAccepted | matching.GroupHeld | matching.GroupOpened):
            if e.order_class and e.order_class != OCO:
                self._roles.setdefault(e.group_id, ENTRY)
            for order_id, role in ((e.tp_order_id, TAKE_PROFIT), (e.sl_order_id, STOP_LOSS)):
                if order_id:
                    self._roles[order_id] = role
        elif isinstance(e, orders.OrderReplaced | matching.Amended):
            role = self._roles.get(e.orig_order_id, "")
            if role:
                self._roles[e.order_id] = role

    # ------------------------------------------------------------ orders

    def accepted(self, e: orders.OrderAccepted) -> str:
        terms = _terms(e.side, e.ord_type, e.order_qty, e.symbol, e.limit_px, e.stop_px)
        worth = f" for {usd_text(e.notional)} USD" if e.notional else ""
        return (
            f"{e.account_id}: order {e.order_id} accepted, {terms}{worth} {e.time_in_force}"
            f"{_trail(e)}{_holds(e.reserved, e.reserved_qty or e.cover_qty)}{_shrinks(e.shrinks)}"
        )

    def rejected(self, e: orders.OrderRejected) -> str:
        return f"{e.account_id}: order {e.order_id} rejected, {_reason(e)}"

    def cancel_requested(self, e: orders.CancelRequested) -> str:
        if e.group_id:
            return f"cancel of the whole group asked for, by {self.name(e.order_id)}"
        return f"cancel of {self.name(e.order_id)} asked for"

    def cancel_rejected(self, e: orders.CancelRejected) -> str:
        return f"cancel of {self.name(e.order_id)} refused: {e.reason}{_state(e.ord_status)}"

    def replace_requested(self, e: orders.ReplaceRequested) -> str:
        terms = [f"qty {qty_text(e.order_qty)}", *_prices(e.limit_px, e.stop_px), e.time_in_force]
        return (
            f"replace of {self.name(e.orig_order_id)} by {e.order_id} asked for:"
            f" {', '.join(terms)}{_trail(e)}{_holds(e.reserved, e.reserved_qty or e.cover_qty)}"
        )

    def replace_rejected(self, e: orders.ReplaceRejected) -> str:
        return f"replace of {self.name(e.orig_order_id)} refused: {_reason(e)}"

    def replaced(self, e: orders.OrderReplaced) -> str:
        return f"{self.name(e.orig_order_id)} is replaced: it goes on as {e.order_id}"

    def filled(self, e: orders.OrderFilled) -> str:
        settles = f", settles {e.settle_date}" if e.settle_date else ""
        done = "; it is done" if e.done else ""
        return (
            f"{e.account_id}: {self.name(e.order_id)} {_did(e.side)} {qty_text(e.last_qty)}"
            f" {e.symbol} at {price_text(e.last_px)} as {e.liquidity.lower()} in trade {e.trade_id}"
            f", fee {usd_text(e.fee)}{settles}{done}"
        )

    def decremented(self, e: orders.OrderDecremented) -> str:
        why = f": {e.reason}" if e.reason else " to keep it from trading with its own account"
        return f"{self.name(e.order_id)} is smaller by {qty_text(e.by_qty)}{why}"

    def canceled(self, e: orders.OrderCanceled) -> str:
        return f"{self.name(e.order_id)} is cancelled with {_open(e.leaves_qty)}: {e.reason}"

    def expired(self, e: orders.OrderExpired) -> str:
        return f"{self.name(e.order_id)} has expired with {_open(e.leaves_qty)}: {e.reason}"

    def restated(self, e: orders.OrderRestated) -> str:
        prices = [("limit", e.limit_px), ("stop", e.stop_px)]
        told = "".join(f", {name} {price_text(px)}" for name, px in prices if px)
        return f"{self.name(e.order_id)} after a split: {qty_text(e.leaves_qty)} open{told}"

    def triggered(self, e: orders.OrderTriggered) -> str:
        return (
            f"{self.name(e.order_id)} works: trade {e.trade_id} at {price_text(e.print_px)}"
            f" elected it{_gapped(e.gapped)}"
        )

    def trailed(self, e: orders.OrderTrailed) -> str:
        return (
            f"{self.name(e.order_id)} trails: best price {price_text(e.hwm_px)},"
            f" stop now {price_text(e.stop_px)}"
        )

    def busted(self, e: orders.TradeBusted) -> str:
        why = f": {e.reason}" if e.reason else ""
        return (
            f"{e.account_id}: trade {e.trade_id} of {self.name(e.order_id)} is undone,"
            f" {qty_text(e.last_qty)} {e.symbol} at {price_text(e.last_px)},"
            f" {usd_text(e.notional)} USD and fee {usd_text(e.fee)} go back{why}"
        )

    def violation(self, e: orders.ViolationFound) -> str:
        return (
            f"{e.account_id}: {e.kind} violation, {qty_text(e.qty)} {e.symbol} sold"
            f" on {e.trade_date} but paid for only by {e.funded_until}"
        )

    # ------------------------------------------------------------ groups, orders stage

    def group_accepted(self, e: orders.GroupAccepted) -> str:
        parts: list[str] = []
        if e.order_class != OCO:
            parts.append(f"entry {e.group_id}{_at(e.ord_type, e.limit_px, e.stop_px)}")
        if e.tp_order_id:
            parts.append(f"take-profit {e.tp_order_id}{_at('', e.tp_limit_px, 0)}")
        if e.sl_order_id:
            parts.append(f"stop-loss {e.sl_order_id}{_at('', e.sl_limit_px, e.sl_stop_px)}")
        return (
            f"{e.account_id}: {e.order_class} {e.group_id} accepted, {e.side.lower()}"
            f" {qty_text(e.order_qty)} {e.symbol} {e.time_in_force}, {e.policy};"
            f" {'; '.join(parts)}{_holds(e.reserved, e.reserved_qty or e.cover_qty)}"
        )

    def group_rejected(self, e: orders.GroupRejected) -> str:
        legs = "".join(f"; {name}: {text}" for name, text in e.legs.items())
        return f"{e.account_id}: {e.order_class} {e.group_id} rejected, {_reason(e)}{legs}"

    def legs_activated(self, e: orders.LegsActivated) -> str:
        held = _holds(e.reserved, e.reserved_qty or e.cover_qty)
        return f"the exit is alive for {qty_text(e.open_qty)}{held}"

    def reservation_changed(self, e: orders.ReservationChanged) -> str:
        return f"the group now holds {_held(e.reserved, e.reserved_qty)}"

    def reservation_released(self, e: orders.ReservationReleased) -> str:
        return f"released {_held(e.released, e.released_qty)}: the group is closed, {e.reason}"

    def amend_requested(self, e: orders.GroupAmendRequested) -> str:
        held = _holds(e.reserved, e.reserved_qty)
        return f"quantity {qty_text(e.order_qty)} for the group asked for{held}"

    def amend_rejected(self, e: orders.GroupAmendRejected) -> str:
        return f"change of the group's quantity refused: {_reason(e)}"

    def resized(self, e: orders.GroupResized) -> str:
        return f"the quantity of the group and its legs is {qty_text(e.order_qty)}"

    def liquidation(self, e: orders.LiquidationStarted) -> str:
        if not e.qty:
            return f"{e.account_id}: nothing is left to liquidate in {e.symbol}"
        verb = "sold" if e.qty > 0 else "bought back"
        return (
            f"{e.account_id}: a margin call was not met, {usd_text(e.deficit)} USD lack:"
            f" {qty_text(abs(e.qty))} {e.symbol} are {verb} by {self.name(e.order_id)}"
        )

    # ------------------------------------------------------------ matching stage

    def traded(self, e: matching.Traded) -> str:
        auction = " in an auction" if e.auction else ""
        return (
            f"trade {e.trade_id}: {qty_text(e.last_qty)} {e.symbol} at {price_text(e.last_px)}"
            f"{auction}, maker {self.name(e.maker_order_id)} ({e.maker_account_id},"
            f" {_open(e.maker_leaves_qty)}), taker {self.name(e.taker_order_id)}"
            f" ({e.taker_account_id}, {e.taker_side.lower()})"
        )

    def uncrossed(self, e: matching.Uncrossed) -> str:
        if not e.qty:
            return f"{e.symbol}: the {e.phase} ends without a trade"
        price = price_text(e.px)
        return f"{e.symbol}: the {e.phase} ends with {qty_text(e.qty)} at {price}"

    def queued(self, e: matching.Queued) -> str:
        return f"{self.name(e.order_id)} waits for the next session with {_open(e.order_qty)}"

    def rested(self, e: matching.Rested) -> str:
        price = price_text(e.limit_px)
        return f"{self.name(e.order_id)} stands in the book: {_open(e.leaves_qty)} at {price}"

    def parked(self, e: matching.Parked) -> str:
        return (
            f"{self.name(e.order_id)} waits for a trade at {price_text(e.stop_px)}"
            f"{_through(e.side)}, {_open(e.leaves_qty)}{_trail(e)}"
        )

    def trail_raised(self, e: matching.TrailRaised) -> str:
        return (
            f"best price {price_text(e.hwm_px)}: the stop of {self.name(e.order_id)}"
            f" moves to {price_text(e.stop_px)}"
        )

    def elected(self, e: matching.StopElected) -> str:
        return (
            f"{self.name(e.order_id)} is elected: trade {e.trade_id} at {price_text(e.print_px)}"
            f" reached its stop {price_text(e.stop_px)}{_gapped(e.gapped)}"
        )

    def activated(self, e: matching.StopActivated) -> str:
        return (
            f"{self.name(e.order_id)} enters the book with {_open(e.leaves_qty)},"
            f" limit {price_text(e.limit_px)}"
        )

    def group_held(self, e: matching.GroupHeld) -> str:
        what = "the next session" if e.order_class == OCO else "its entry"
        return f"the group waits for {what}: {e.side.lower()} {qty_text(e.order_qty)} {e.symbol}"

    def group_opened(self, e: matching.GroupOpened) -> str:
        rests = ", its take-profit in the book" if e.tp_rests else ""
        return f"the exit comes alive for {qty_text(e.open_qty)}{rests}"

    def group_grown(self, e: matching.GroupGrown) -> str:
        return f"the exit grows by {qty_text(e.by_qty)} to {qty_text(e.open_qty)}"

    def leg_reduced(self, e: matching.LegReduced) -> str:
        return (
            f"{self.name(e.order_id)} is reduced by {qty_text(e.by_qty)},"
            f" {_open(e.leaves_qty)}: {e.reason}"
        )

    def leg_cancelled(self, e: matching.LegCancelled) -> str:
        return f"{self.name(e.order_id)} ends with {_open(e.leaves_qty)}: {e.reason}"

    def group_amended(self, e: matching.GroupAmended) -> str:
        return f"the quantity of the group is {qty_text(e.order_qty)}"

    def group_closed(self, e: matching.GroupClosed) -> str:
        return f"the group is closed: {e.reason}"

    def group_refused(self, e: matching.GroupRefused) -> str:
        what = "the change of the group" if e.amend else "the group"
        return f"{what} is refused: {e.reason}"

    def removed(self, e: matching.Removed) -> str:
        return f"{self.name(e.order_id)} leaves with {_open(e.leaves_qty)}: {e.reason}"

    def self_trade(self, e: matching.Decremented) -> str:
        return f"{self.name(e.order_id)} gives up {qty_text(e.by_qty)} instead of a self-trade"

    def amended(self, e: matching.Amended) -> str:
        terms = [_open(e.leaves_qty), *_prices(e.limit_px, e.stop_px)]
        where = "at the end of the queue" if e.requeued else "in its place"
        new = f"as {e.order_id} {where}: {', '.join(terms)}{_trail(e)}"
        return f"{self.name(e.orig_order_id)} goes on {new}"

    def refused(self, e: matching.Refused) -> str:
        if e.orig_order_id:
            return f"the replace of {self.name(e.orig_order_id)} came too late: {e.reason}"
        return f"the cancel of {self.name(e.order_id)} came too late: {e.reason}"


_SAY: Final[dict[type[Message], Callable[[Words, Any], str]]] = {
    orders.OrderAccepted: Words.accepted,
    orders.OrderRejected: Words.rejected,
    orders.CancelRequested: Words.cancel_requested,
    orders.CancelRejected: Words.cancel_rejected,
    orders.ReplaceRequested: Words.replace_requested,
    orders.ReplaceRejected: Words.replace_rejected,
    orders.OrderReplaced: Words.replaced,
    orders.OrderFilled: Words.filled,
    orders.OrderDecremented: Words.decremented,
    orders.OrderRestated: Words.restated,
    orders.OrderCanceled: Words.canceled,
    orders.OrderExpired: Words.expired,
    orders.OrderTriggered: Words.triggered,
    orders.OrderTrailed: Words.trailed,
    orders.TradeBusted: Words.busted,
    orders.LiquidationStarted: Words.liquidation,
    orders.ViolationFound: Words.violation,
    orders.GroupAccepted: Words.group_accepted,
    orders.GroupRejected: Words.group_rejected,
    orders.LegsActivated: Words.legs_activated,
    orders.ReservationChanged: Words.reservation_changed,
    orders.ReservationReleased: Words.reservation_released,
    orders.GroupAmendRequested: Words.amend_requested,
    orders.GroupAmendRejected: Words.amend_rejected,
    orders.GroupResized: Words.resized,
    matching.Traded: Words.traded,
    matching.Uncrossed: Words.uncrossed,
    matching.Queued: Words.queued,
    matching.Rested: Words.rested,
    matching.Parked: Words.parked,
    matching.TrailRaised: Words.trail_raised,
    matching.StopElected: Words.elected,
    matching.StopActivated: Words.activated,
    matching.GroupHeld: Words.group_held,
    matching.GroupOpened: Words.group_opened,
    matching.GroupGrown: Words.group_grown,
    matching.LegReduced: Words.leg_reduced,
    matching.LegCancelled: Words.leg_cancelled,
    matching.GroupAmended: Words.group_amended,
    matching.GroupClosed: Words.group_closed,
    matching.GroupRefused: Words.group_refused,
    matching.Removed: Words.removed,
    matching.Decremented: Words.self_trade,
    matching.Amended: Words.amended,
    matching.Refused: Words.refused,
}


def _fields(event: Message) -> str:
    values = ((name, getattr(event, name)) for name in event.__struct_fields__)
    return ", ".join(f"{name} {value}" for name, value in values if value not in ("", 0, False))


def _terms(side: str, ord_type: str, qty: int, symbol: str, limit_px: int, stop_px: int) -> str:
    size = f" {qty_text(qty)}" if qty else ""
    return f"{side.lower()}{size} {symbol}{_at(ord_type, limit_px, stop_px)}"


def _at(ord_type: str, limit_px: int, stop_px: int) -> str:
    prices = _prices(limit_px, stop_px)
    kind = f" {ord_type.lower().replace('_', ' ')}" if ord_type and not prices else ""
    return kind + "".join(f", {price}" for price in prices)


def _prices(limit_px: int, stop_px: int) -> list[str]:
    named = (("stop", stop_px), ("limit", limit_px))
    return [f"{name} {price_text(price)}" for name, price in named if price]


def _trail(e: Any) -> str:
    if e.trail_px:
        return f", trailing by {price_text(e.trail_px)}"
    return f", trailing by {percent_text(e.trail_ppm)} %" if e.trail_ppm else ""


def _holds(cents: int, shares: int) -> str:
    return f", holds {_held(cents, shares)}" if cents or shares else ""


def _held(cents: int, shares: int) -> str:
    parts = [f"{usd_text(cents)} USD"] if cents else []
    if shares:
        parts.append(f"{qty_text(shares)} shares")
    return " and ".join(parts) or "nothing"


def _shrinks(groups: dict[str, int]) -> str:
    return "".join(f", takes {qty_text(qty)} from group {g}" for g, qty in groups.items())


def _reason(e: Any) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in e.facts.items())
    told = f"{e.reason} ({e.text})" if e.text else str(e.reason)
    return f"{told} [{figures}]" if figures else told


def _state(ord_status: str) -> str:
    return f", it is {ord_status}" if ord_status else ""


def _open(leaves_qty: int) -> str:
    return f"{qty_text(leaves_qty)} open"


def _did(side: str) -> str:
    return "bought" if side == BUY else "sold"


def _through(side: str) -> str:
    return " or above" if side == BUY else " or below"


def _gapped(gapped: bool) -> str:
    return ", gapped through it" if gapped else ""
