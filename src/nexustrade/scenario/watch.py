"""What is seen of a venue while a scenario runs: its stops, groups and trades. Pure.

`see` folds the events of both stages; what reaches the venue over HTTP tells the same through the
methods that `see` calls. The time of everything that one command led to is that command's: what
happened in one batch happened at once.
"""

from typing import Any, Final

from nexustrade.core.codec import Message
from nexustrade.core.terms import BUY, CANCEL, VOLATILITY_AUCTION
from nexustrade.matching import messages as m
from nexustrade.orders import messages as o

REFUSALS_MAX: Final = 1_000
"""Refusals that are kept; all are counted."""

PARKED: Final = "parked"
PENDING: Final = "elected, waiting"
WORKING: Final = "working"
FILLED: Final = "filled"
CANCELLED: Final = "cancelled"
_STOP_TYPES: Final = ("STOP", "STOP_LIMIT", "TRAILING_STOP")


class Refusal:
    """Something that the venue did not take."""

    def __init__(self, label: str, reason: str, text: str) -> None:
        self.label = label
        self.reason = reason
        self.text = text


class Stop:
    """A stop order from its entry to its end. Prices 1e-4 USD, quantities 1e-8.

    `qty` is what it was to trade when it was elected, `leaves_qty` what of that is open.
    """

    def __init__(self, order_id: str, label: str, account_id: str, is_buy: bool) -> None:
        self.order_id = order_id
        self.label = label
        self.account_id = account_id
        self.is_buy = is_buy
        self.group_id = ""
        self.stop_px = 0
        self.limit_px = 0
        self.protection_px = 0
        self.qty = 0
        self.leaves_qty = 0
        self.print_px = 0
        self.gapped = False
        self.elected_us = 0
        self.filled_us = 0
        self.cum_qty = 0
        self.cost = 0
        """Price times quantity of its fills, in 1e-12 USD."""
        self.status = PARKED

    def fill(self, now_us: int, px: int, qty: int) -> None:
        """It traded."""
        self.cum_qty += qty
        self.cost += px * qty
        self.leaves_qty = max(self.leaves_qty - qty, 0)
        self.filled_us = now_us
        if not self.leaves_qty:
            self.status = FILLED

    def is_elected(self) -> bool:
        """Whether a trade has reached it."""
        return self.elected_us > 0


class Leg:
    """One leg of a group, or a group's entry."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self.leaves_qty = 0
        self.cum_qty = 0
        self.cancelled = False


class Group:
    """A group from its entry to its end."""

    def __init__(self, group_id: str, label: str, account_id: str, is_buy: bool) -> None:
        self.group_id = group_id
        self.label = label
        self.account_id = account_id
        self.is_buy = is_buy
        """The side of the exit."""
        self.cancels = False
        self.tp_limit_px = 0
        self.sl_stop_px = 0
        self.take_profit: Leg | None = None
        self.stop_loss: Leg | None = None
        self.closed = ""
        self.reserved = 0
        self.reserved_qty = 0
        self.bare_us = 0
        """When its entry had a fill that no leg protects yet."""
        self.bare_max_us = 0
        """The longest that a fill of its entry was without legs."""
        self.torn = False

    def legs(self) -> list[Leg]:
        """Its legs."""
        return [leg for leg in (self.take_profit, self.stop_loss) if leg is not None]


class Watch:
    """Everything that was seen. `begin`, then `see` each event of a command, then `end`."""

    def __init__(self) -> None:
        self.now_us = 0
        self.labels: dict[str, str] = {}
        self.sides: dict[str, bool] = {}
        self.stops: dict[str, Stop] = {}
        self.groups: dict[str, Group] = {}
        self.legs: dict[str, tuple[Group, Leg]] = {}
        self.entries: dict[str, Group] = {}
        self.refusals: list[Refusal] = []
        self.refused = 0
        self.commands = 0
        self.prints: list[int] = []
        """Prices of the trades of the last command."""
        self.cum_qty: dict[str, int] = {}
        """What each order has filled."""
        self.heirs: dict[str, str] = {}
        self.trades = 0
        self.volume = 0
        self.elections = 0
        self.volatility_auctions: dict[str, int] = {}
        self.auctions: list[tuple[str, int, int]] = []
        """Uncrosses: the call that ended, price and quantity."""
        self.first_px = 0
        self.last_px = 0
        self.low_px = 0
        self.high_px = 0
        self.phase = ""
        self.due_us: dict[int, None] = {}
        """When calls end that have begun."""
        self.torn: dict[str, None] = {}
        self._touched: dict[str, None] = {}

    # -- a command

    def name(self, order_id: str, label: str) -> None:
        """Give an order that is about to be sent its name on the scorecard."""
        self.labels[order_id] = label

    def begin(self, now_us: int) -> None:
        """A command is run at this instant."""
        self.now_us = now_us
        self.prints = []

    def end(self) -> None:
        """The command is at its last effect: look whether it left a group torn (I5)."""
        for group_id in self._touched:
            if is_torn(self.groups[group_id], self.stops):
                self.groups[group_id].torn = True
                self.torn[group_id] = None
        self._touched = {}

    def see(self, event: Message) -> None:
        """Fold one event of either stage; most say nothing here."""
        fold = _FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)

    # -- orders

    def order(self, order_id: str, account_id: str, is_buy: bool) -> None:
        """An order was accepted."""
        self.sides[order_id] = is_buy
        self.labels.setdefault(order_id, f"{account_id}:{order_id}")

    def stop(self, order_id: str, account_id: str, is_buy: bool, qty: int) -> Stop:
        """A stop order was accepted."""
        self.order(order_id, account_id, is_buy)
        found = Stop(order_id, self.labels[order_id], account_id, is_buy)
        found.qty = found.leaves_qty = qty
        self.stops[order_id] = found
        return found

    def refuse(self, order_id: str, reason: str, text: str) -> None:
        """Something was refused."""
        self.refused += 1
        if len(self.refusals) < REFUSALS_MAX:
            self.refusals.append(Refusal(self.labels.get(order_id, order_id), reason, text))

    def elect(self, order_id: str, stop_px: int, print_px: int, gapped: bool) -> None:
        """A trade reached a stop."""
        self.elections += 1
        stop = self.stops[order_id]
        stop.elected_us = self.now_us
        stop.stop_px = stop_px
        stop.print_px = print_px
        stop.gapped = gapped
        stop.status = PENDING
        self._touch(stop.group_id)

    def fill(self, order_id: str, px: int, qty: int) -> None:
        """An order traded."""
        self.cum_qty[order_id] = self.cum_qty.get(order_id, 0) + qty
        stop = self.stops.get(order_id)
        if stop is not None:
            stop.fill(self.now_us, px, qty)
        found = self.legs.get(order_id)
        if found is not None:
            group, leg = found
            leg.cum_qty += qty
            leg.leaves_qty = max(leg.leaves_qty - qty, 0)
            self._touch(group.group_id)
        elif order_id in self.entries:
            group = self.entries[order_id]
            group.bare_us = group.bare_us or self.now_us

    def cancel(self, order_id: str) -> None:
        """An order ended unfilled, or with a part of it unfilled."""
        stop = self.stops.get(order_id)
        if stop is not None and stop.status != FILLED:
            stop.status = CANCELLED
        found = self.legs.get(order_id)
        if found is not None:
            found[1].leaves_qty = 0
            found[1].cancelled = True
            self._touch(found[0].group_id)

    def rename(self, orig_order_id: str, order_id: str) -> None:
        """A replace: an order goes on under another id, and keeps its name."""
        self.heirs[orig_order_id] = order_id
        self.labels[order_id] = self.labels.get(orig_order_id, order_id)
        if orig_order_id in self.sides:
            self.sides[order_id] = self.sides[orig_order_id]
        stop = self.stops.pop(orig_order_id, None)
        if stop is not None:
            stop.order_id = order_id
            self.stops[order_id] = stop
        found = self.legs.pop(orig_order_id, None)
        if found is not None:
            found[1].order_id = order_id
            self.legs[order_id] = found
        entry = self.entries.pop(orig_order_id, None)
        if entry is not None:
            self.entries[order_id] = entry

    def current(self, order_id: str) -> str:
        """The id under which an order goes on after its replaces."""
        while order_id in self.heirs:
            order_id = self.heirs[order_id]
        return order_id

    # -- groups

    def group(
        self,
        group_id: str,
        account_id: str,
        exit_is_buy: bool,
        tp_order_id: str,
        sl_order_id: str,
    ) -> Group:
        """A group was accepted; its legs are not alive yet."""
        label = self.labels.setdefault(group_id, f"{account_id}:{group_id}")
        found = Group(group_id, label, account_id, exit_is_buy)
        self.groups[group_id] = found
        if tp_order_id:
            self.labels[tp_order_id] = f"{label}.take_profit"
            self.sides[tp_order_id] = exit_is_buy
            found.take_profit = Leg(tp_order_id)
            self.legs[tp_order_id] = (found, found.take_profit)
        if sl_order_id:
            self.labels[sl_order_id] = f"{label}.stop_loss"
            found.stop_loss = Leg(sl_order_id)
            self.legs[sl_order_id] = (found, found.stop_loss)
            self.stop(sl_order_id, account_id, exit_is_buy, 0).group_id = group_id
        return found

    def grow(self, group_id: str, by_qty: int) -> None:
        """The exit of a group is alive for more."""
        group = self.groups[group_id]
        for leg in group.legs():
            if not leg.cancelled:
                leg.leaves_qty += by_qty
        stop = self.stops.get(group.stop_loss.order_id) if group.stop_loss else None
        if stop is not None and stop.status != CANCELLED:
            stop.qty += by_qty
            stop.leaves_qty += by_qty
        if group.bare_us:
            group.bare_max_us = max(group.bare_max_us, self.now_us - group.bare_us)
            group.bare_us = 0
        self._touch(group_id)

    def reduce(self, order_id: str, leaves_qty: int) -> None:
        """A leg is for less."""
        found = self.legs.get(order_id)
        if found is not None:
            found[1].leaves_qty = leaves_qty
            self._touch(found[0].group_id)
        stop = self.stops.get(order_id)
        if stop is not None:
            stop.leaves_qty = leaves_qty
            stop.qty = stop.cum_qty + leaves_qty

    def close(self, group_id: str, reason: str) -> None:
        """Nothing of a group is alive."""
        self.groups[group_id].closed = reason
        self._touch(group_id)

    def reserve(self, group_id: str, reserved: int, reserved_qty: int) -> None:
        """What a group holds from here on."""
        group = self.groups[group_id]
        group.reserved = reserved
        group.reserved_qty = reserved_qty

    # -- the market

    def trade(self, px: int, qty: int) -> None:
        """A trade."""
        self.trades += 1
        self.prints.append(px)
        self.volume += qty
        self.last_px = px
        self.first_px = self.first_px or px
        self.low_px = min(self.low_px or px, px)
        self.high_px = max(self.high_px, px)

    def change_phase(self, phase: str, reason: str, until_us: int) -> None:
        """The book goes its own way, or joins the session again."""
        self.phase = phase
        if phase == VOLATILITY_AUCTION:
            self.volatility_auctions[reason] = self.volatility_auctions.get(reason, 0) + 1
        if until_us:
            self.due_us[until_us] = None

    def _touch(self, group_id: str) -> None:
        if group_id:
            self._touched[group_id] = None


def is_torn(group: Group, stops: dict[str, Stop]) -> bool:
    """Whether one leg was cancelled and the other is alive, which no batch may leave (I5).

    Two survivors are as they should be: the elected stop-loss, and under CANCEL the leg whose fill
    cancelled the other.
    """
    legs = group.legs()
    if len(legs) < 2:
        return False
    for cancelled, other in ((legs[0], legs[1]), (legs[1], legs[0])):
        if not cancelled.cancelled or not other.leaves_qty:
            continue
        stop = stops.get(other.order_id)
        elected = stop is not None and stop.is_elected()
        if not elected and not (group.cancels and other.cum_qty):
            return True
    return False


# ---------------------------------------------------------------- events of the stages


def _order(watch: Watch, e: Any, order_id: str) -> None:
    if e.ord_type not in _STOP_TYPES:
        watch.order(order_id, e.account_id, e.side == BUY)
        return
    stop = watch.stop(order_id, e.account_id, e.side == BUY, e.order_qty)
    stop.stop_px = e.stop_px
    stop.limit_px = e.limit_px


def _order_accepted(watch: Watch, e: Any) -> None:
    _order(watch, e, e.order_id)


def _group_accepted(watch: Watch, e: Any) -> None:
    is_exit = e.order_class == "OCO"
    exit_is_buy = (e.side == BUY) == is_exit
    group = watch.group(e.group_id, e.account_id, exit_is_buy, e.tp_order_id, e.sl_order_id)
    group.cancels = e.policy == CANCEL
    group.tp_limit_px = e.tp_limit_px
    group.sl_stop_px = e.sl_stop_px
    watch.reserve(e.group_id, e.reserved, e.reserved_qty)
    if not is_exit:
        watch.entries[e.group_id] = group
        _order(watch, e, e.group_id)
    if e.sl_order_id:
        stop = watch.stops[e.sl_order_id]
        stop.stop_px = e.sl_stop_px
        stop.limit_px = e.sl_limit_px


def _rejected(watch: Watch, e: Any) -> None:
    watch.refuse(e.order_id, e.reason, getattr(e, "text", ""))


def _group_rejected(watch: Watch, e: Any) -> None:
    watch.refuse(e.group_id, e.reason, e.text)


def _command_rejected(watch: Watch, e: Any) -> None:
    watch.refuse(f"{e.command} of {e.account_id}", e.reason, e.text)


def _group_refused(watch: Watch, e: Any) -> None:
    watch.refuse(e.group_id, e.reason, "")


def _elected(watch: Watch, e: Any) -> None:
    watch.elect(e.order_id, e.stop_px, e.print_px, e.gapped)


def _activated(watch: Watch, e: Any) -> None:
    stop = watch.stops[e.order_id]
    stop.status = WORKING
    stop.protection_px = e.limit_px
    stop.qty = stop.cum_qty + e.leaves_qty
    stop.leaves_qty = e.leaves_qty


def _trailed(watch: Watch, e: Any) -> None:
    watch.stops[e.order_id].stop_px = e.stop_px


def _parked(watch: Watch, e: Any) -> None:
    watch.stops[e.order_id].stop_px = e.stop_px


def _traded(watch: Watch, e: Any) -> None:
    watch.trade(e.last_px, e.last_qty)
    watch.fill(e.maker_order_id, e.last_px, e.last_qty)
    watch.fill(e.taker_order_id, e.last_px, e.last_qty)


def _removed(watch: Watch, e: Any) -> None:
    watch.cancel(e.order_id)


def _amended(watch: Watch, e: Any) -> None:
    watch.rename(e.orig_order_id, e.order_id)
    stop = watch.stops.get(e.order_id)
    if stop is not None:
        stop.stop_px = e.stop_px or stop.stop_px
        stop.limit_px = e.limit_px
        if not stop.group_id:
            stop.qty = stop.cum_qty + e.leaves_qty
            stop.leaves_qty = e.leaves_qty
    found = watch.legs.get(e.order_id)
    if found is not None:
        group, leg = found
        if leg is group.stop_loss:
            group.sl_stop_px = e.stop_px or group.sl_stop_px
        else:
            group.tp_limit_px = e.limit_px


def _opened(watch: Watch, e: Any) -> None:
    watch.grow(e.group_id, e.open_qty)


def _grown(watch: Watch, e: Any) -> None:
    watch.grow(e.group_id, e.by_qty)


def _reduced(watch: Watch, e: Any) -> None:
    watch.reduce(e.order_id, e.leaves_qty)


def _closed(watch: Watch, e: Any) -> None:
    watch.close(e.group_id, e.reason)


def _reserved(watch: Watch, e: Any) -> None:
    watch.reserve(e.group_id, e.reserved, e.reserved_qty)


def _released(watch: Watch, e: Any) -> None:
    watch.reserve(e.group_id, 0, 0)


def _phase(watch: Watch, e: Any) -> None:
    watch.change_phase(e.phase, e.reason, e.until_us)


def _uncrossed(watch: Watch, e: Any) -> None:
    watch.auctions.append((e.phase, e.px, e.qty))


_FOLDS: Final[dict[Any, Any]] = {
    o.OrderAccepted: _order_accepted,
    o.GroupAccepted: _group_accepted,
    o.OrderRejected: _rejected,
    o.CancelRejected: _rejected,
    o.ReplaceRejected: _rejected,
    o.GroupRejected: _group_rejected,
    o.GroupAmendRejected: _group_rejected,
    o.CommandRejected: _command_rejected,
    o.ReservationChanged: _reserved,
    o.ReservationReleased: _released,
    m.Refused: _rejected,
    m.GroupRefused: _group_refused,
    m.StopElected: _elected,
    m.StopActivated: _activated,
    m.TrailRaised: _trailed,
    m.Parked: _parked,
    m.Traded: _traded,
    m.Removed: _removed,
    m.LegCancelled: _removed,
    m.LegReduced: _reduced,
    m.Amended: _amended,
    m.GroupOpened: _opened,
    m.GroupGrown: _grown,
    m.GroupClosed: _closed,
    m.PhaseChanged: _phase,
    m.Uncrossed: _uncrossed,
}
