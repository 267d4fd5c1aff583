"""A naive twin of one partition of the orders stage: groups and reservations by its events alone.

It knows what was accepted, filled, cancelled and changed, and counts from the start each time what
must be held for it: whatever the stage keeps in running sums is checked against that.
"""

from fractions import Fraction
from math import ceil

from nexustrade.core.codec import Message
from nexustrade.core.money import PPM_ONE
from nexustrade.core.terms import BUY, CANCEL, OCO, SELL
from nexustrade.matching.messages import (
    BY_REQUEST,
    ENTRY_CANCELLED,
    GROUP_CANCELLED,
    POSITION_SHRUNK,
    SELF_TRADE,
    SHARES_SOLD,
    SIBLING_FILL,
    InstrumentDefined,
)
from nexustrade.orders import messages as m

CENT_E10 = 10_000_000_000
"""Price x quantity of one cent."""
TICK = 100
MAY_END_A_STOP = {BY_REQUEST, GROUP_CANCELLED, SELF_TRADE}
"""Own orders, too: one that meets the stop-loss, by the account's self-trade prevention."""


class Order:
    """An order as its events tell it; `px` is its worst price and `rate` the margin for it."""

    def __init__(self, account_id: str, order_id: str, symbol: str, side: str, qty: int) -> None:
        self.account_id = account_id
        self.order_id = order_id
        self.symbol = symbol
        self.side = side
        self.qty = qty
        self.cum = 0
        self.notional = 0
        self.spent = 0
        self.limit_px = 0
        self.stop_px = 0
        self.px = 0
        self.rate = Fraction(1)
        self.closes = False
        self.group: Group | None = None
        self.role = ""

    def left(self) -> int:
        return self.qty - self.cum


class Group:
    """A group as its events tell it: what it is for, what is alive, which legs are."""

    def __init__(self, e: m.GroupAccepted) -> None:
        self.group_id = e.group_id
        self.account_id = e.account_id
        self.symbol = e.symbol
        self.is_oco = e.order_class == OCO
        self.side = e.side if self.is_oco else (SELL if e.side == BUY else BUY)
        self.cancels = e.policy == CANCEL
        self.has_two_legs = bool(e.tp_order_id and e.sl_order_id)
        self.closes = not self.is_oco or e.reserved_qty + e.cover_qty > 0
        self.qty = e.order_qty
        self.alive_qty = e.order_qty if self.is_oco else 0
        self.entry_filled = e.order_qty if self.is_oco else 0
        self.lent = 0
        self.filled = {"TP": 0, "SL": 0}
        self.legs: dict[str, Order] = {}
        self.entry: Order | None = None
        self.triggered = False
        self.rate = Fraction(1)

    def exit_filled(self) -> int:
        return sum(self.filled.values())


class GroupsTwin:
    """Accounts, orders and groups of a partition. `hear` takes its events in their order."""

    def __init__(self) -> None:
        self.accounts: dict[str, m.AccountOpened] = {}
        self.instruments: dict[str, InstrumentDefined] = {}
        self.last_px: dict[str, int] = {}
        self.orders: dict[str, Order] = {}
        self.groups: dict[str, Group] = {}
        self.replaces: dict[str, Order] = {}
        self.loans: dict[str, dict[str, int]] = {}
        self.seen = 0
        self.closed: dict[str, str] = {}

    # ------------------------------------------------------------ events

    def hear(self, event: Message) -> None:
        tell = getattr(self, f"_{type(event).__name__}", None)
        if tell is not None:
            tell(event)

    def _AccountOpened(self, e: m.AccountOpened) -> None:  # noqa: N802 - named by its event
        self.accounts[e.account_id] = e

    def _InstrumentDefined(self, e: InstrumentDefined) -> None:  # noqa: N802
        self.instruments[e.symbol] = e
        self.last_px.setdefault(e.symbol, e.reference_px)

    def _PriceMarked(self, e: m.PriceMarked) -> None:  # noqa: N802
        self.last_px[e.symbol] = e.last_px

    def _OrderAccepted(self, e: m.OrderAccepted) -> None:  # noqa: N802
        order = Order(e.account_id, e.order_id, e.symbol, e.side, e.order_qty)
        order.notional = e.notional
        order.limit_px = e.limit_px if e.limit_px else e.collar_px
        order.stop_px = self._stop_px(e)
        order.closes = e.reserved_qty + e.cover_qty > 0
        self._fix(order)
        self.orders[e.order_id] = order
        if e.shrinks:
            self.loans[e.order_id] = dict(e.shrinks)
            for group_id, qty in e.shrinks.items():
                self.groups[group_id].lent += qty

    def _stop_px(self, e: m.OrderAccepted) -> int:
        if not (e.trail_px or e.trail_ppm):
            return e.stop_px
        best = self.last_px[e.symbol]
        way = e.trail_px if e.trail_px else ceil(Fraction(best * e.trail_ppm, PPM_ONE))
        if e.side == BUY:
            return ceil(Fraction(best + way, TICK)) * TICK
        return max((best - way) // TICK * TICK, TICK)

    def _GroupAccepted(self, e: m.GroupAccepted) -> None:  # noqa: N802
        group = Group(e)
        self.groups[e.group_id] = group
        self.seen += 1
        if not group.is_oco:
            entry = Order(e.account_id, e.group_id, e.symbol, e.side, e.order_qty)
            entry.limit_px = e.limit_px if e.limit_px else e.collar_px
            entry.stop_px = e.stop_px
            entry.role = "ENTRY"
            entry.group = group
            self._fix(entry)
            group.entry = entry
            self.orders[e.group_id] = entry
        for role, order_id, limit_px, stop_px in (
            ("TP", e.tp_order_id, e.tp_limit_px, 0),
            ("SL", e.sl_order_id, e.sl_limit_px, e.sl_stop_px),
        ):
            if order_id:
                leg = Order(e.account_id, order_id, e.symbol, group.side, e.order_qty)
                leg.limit_px = limit_px
                leg.stop_px = stop_px
                leg.role = role
                leg.closes = group.closes
                leg.group = group
                self._fix(leg)
                group.rate = leg.rate
                group.legs[role] = leg
                self.orders[order_id] = leg

    def _LegsActivated(self, e: m.LegsActivated) -> None:  # noqa: N802
        group = self.groups[e.group_id]
        assert group.alive_qty < e.open_qty <= group.entry_filled
        group.alive_qty = e.open_qty

    def _OrderFilled(self, e: m.OrderFilled) -> None:  # noqa: N802
        self.last_px[e.symbol] = e.last_px
        order = self.orders[e.order_id]
        order.cum += e.last_qty
        order.spent += e.notional
        group = order.group
        if group is not None and order.role == "ENTRY":
            group.entry_filled += e.last_qty
        elif group is not None:
            assert order.role in group.legs, "a leg that has ended fills nothing"
            # I3: once the stop-loss was elected the take-profit trades no more.
            assert order.role == "SL" or not group.triggered
            group.filled[order.role] += e.last_qty
            # I1, after each fill.
            assert group.exit_filled() <= group.alive_qty
        if e.done:
            self._end(order)

    def _OrderTriggered(self, e: m.OrderTriggered) -> None:  # noqa: N802
        order = self.orders[e.order_id]
        if order.group is not None and order.role == "SL":
            order.group.triggered = True

    def _OrderDecremented(self, e: m.OrderDecremented) -> None:  # noqa: N802
        order = self.orders[e.order_id]
        order.qty -= e.by_qty
        group = order.group
        if group is None:
            return
        if order.role == "ENTRY":
            group.qty -= e.by_qty
        elif e.reason not in {SIBLING_FILL, ENTRY_CANCELLED} and self._counts(group, order):
            group.qty -= e.by_qty
            group.alive_qty -= e.by_qty
            group.entry_filled -= e.by_qty
            if e.reason == POSITION_SHRUNK:
                group.lent -= e.by_qty
        if e.reason == ENTRY_CANCELLED and order.left() == 0 and order.cum:
            self._end(order)

    def _counts(self, group: Group, order: Order) -> bool:
        """Both legs are told of one change of their group: it counts once."""
        return order.role == "TP" or "TP" not in group.legs

    def _OrderCanceled(self, e: m.OrderCanceled) -> None:  # noqa: N802
        order = self.orders[e.order_id]
        if order.role == "SL" and order.closes and order.group is not None:
            # A stop-loss that was elected does not die of what it finds, nor of what it costs.
            assert not order.group.triggered or e.reason in MAY_END_A_STOP
        self._end(order)
        loan = self.loans.pop(e.order_id, {})
        if e.reason == SHARES_SOLD:
            for group_id, qty in loan.items():
                if group_id in self.groups:
                    self.groups[group_id].lent -= qty

    def _OrderExpired(self, e: m.OrderExpired) -> None:  # noqa: N802
        self._end(self.orders[e.order_id])

    def _ReplaceRequested(self, e: m.ReplaceRequested) -> None:  # noqa: N802
        order = self.orders[e.orig_order_id]
        new = Order(order.account_id, e.order_id, order.symbol, order.side, e.order_qty)
        new.limit_px = e.limit_px
        new.stop_px = e.stop_px
        new.closes = order.closes
        new.group = order.group
        new.role = order.role
        self._fix(new)
        if new.group is not None and new.role != "ENTRY":
            new.rate = new.group.rate
        self.replaces[e.order_id] = new

    def _OrderReplaced(self, e: m.OrderReplaced) -> None:  # noqa: N802
        order = self.orders.pop(e.orig_order_id)
        new = self.replaces.pop(e.order_id)
        new.cum = order.cum
        new.spent = order.spent
        if order.group is not None:
            new.qty = order.qty
            if order.role == "ENTRY":
                order.group.entry = new
            else:
                order.group.legs[order.role] = new
        new.qty = max(new.qty, new.cum)
        self.orders[e.order_id] = new

    def _ReplaceRejected(self, e: m.ReplaceRejected) -> None:  # noqa: N802
        self.replaces.pop(e.order_id, None)

    def _GroupResized(self, e: m.GroupResized) -> None:  # noqa: N802
        group = self.groups[e.group_id]
        more = e.order_qty - group.qty
        group.qty += more
        group.alive_qty += more
        group.entry_filled += more
        for order_id, qty in ((e.tp_order_id, e.tp_qty), (e.sl_order_id, e.sl_qty)):
            if order_id:
                self.orders[order_id].qty = qty

    def _ReservationChanged(self, e: m.ReservationChanged) -> None:  # noqa: N802
        group = self.groups[e.group_id]
        assert e.reserved == self.hold_of(group)
        assert e.reserved_qty == (self.promised(group) if group.closes else 0)

    def _ReservationReleased(self, e: m.ReservationReleased) -> None:  # noqa: N802
        group = self.groups.pop(e.group_id)
        assert not group.legs
        assert group.entry is None
        self.closed[e.group_id] = e.reason

    def _PositionsSplit(self, e: m.PositionsSplit) -> None:  # noqa: N802
        last_px = self.last_px[e.symbol] * e.shares_old // e.shares_new
        self.last_px[e.symbol] = last_px // TICK * TICK
        for group in self.groups.values():
            if group.symbol == e.symbol:
                group.qty = group.qty * e.shares_new // e.shares_old
                group.alive_qty = group.alive_qty * e.shares_new // e.shares_old
                group.entry_filled = group.entry_filled * e.shares_new // e.shares_old
                group.lent = group.lent * e.shares_new // e.shares_old
                for role, qty in group.filled.items():
                    group.filled[role] = qty * e.shares_new // e.shares_old
                for loan in self.loans.values():
                    if group.group_id in loan:
                        loan[group.group_id] = loan[group.group_id] * e.shares_new // e.shares_old

    def _OrderRestated(self, e: m.OrderRestated) -> None:  # noqa: N802
        order = self.orders[e.order_id]
        left = order.left()
        order.qty = e.order_qty
        order.cum = e.cum_qty
        if e.limit_px or e.stop_px:
            order.limit_px = e.limit_px
            order.stop_px = e.stop_px
            self._fix(order)
            if order.group is not None and order.role != "ENTRY":
                order.rate = order.group.rate
        elif e.leaves_qty:
            # A market order costs what it did.
            order.px = ceil(Fraction(order.px * left, e.leaves_qty))

    def _end(self, order: Order) -> None:
        del self.orders[order.order_id]
        group = order.group
        if group is not None and order.role == "ENTRY":
            group.entry = None
            group.qty -= order.left()
        elif group is not None:
            del group.legs[order.role]

    # ------------------------------------------------------------ what must be held

    def _fix(self, order: Order) -> None:
        """The worst price and the margin rate of an order, by the rules and prices of now."""
        order.px = self._worst_px(order)
        rules = self.instruments[order.symbol]
        addon = Fraction(rules.maintenance_addon_ppm, PPM_ONE)
        half = Fraction(1, 2)
        if order.side == SELL:
            order.rate = max(half, Fraction(30, 100) + addon)
        elif self.accounts[order.account_id].account_type != "MARGIN" or not rules.marginable:
            order.rate = Fraction(1)
        else:
            order.rate = min(Fraction(1), max(half, Fraction(25, 100) + addon))

    def _worst_px(self, order: Order) -> int:
        """The worst price of an order: its limit, or its stop and the collar beyond."""
        own = order.limit_px if order.limit_px else order.stop_px
        rules = self.instruments[order.symbol]
        if order.side == BUY:
            if order.limit_px:
                return own
            return ceil(Fraction(own * (PPM_ONE + rules.collar_ppm) // PPM_ONE, TICK)) * TICK
        if order.closes:
            return own
        last = self.last_px[order.symbol]
        return max(own, last * (PPM_ONE + rules.collar_ppm) // PPM_ONE // TICK * TICK)

    def _cents(self, order: Order, px: int, qty: int, *, closes: bool) -> int:
        """What `qty` at worst `px` needs: margin, unless it closes a position, and the fee."""
        worst = ceil(Fraction(px * qty, CENT_E10))
        if order.notional and order.side == BUY:
            worst = order.notional - order.spent
        account = self.accounts[order.account_id]
        margin = 0 if closes else ceil(worst * order.rate)
        rate = max(account.maker_fee_ppm, account.taker_fee_ppm)
        return margin + ceil(Fraction(worst * rate, PPM_ONE))

    def hold_of(self, group: Group) -> int:
        """I4: the dearer of the legs that are alive, for what is left; never both."""
        if not group.legs or (group.closes and group.side == SELL):
            return 0
        px = max(leg.px for leg in group.legs.values())
        leg = next(iter(group.legs.values()))
        return self._cents(leg, px, group.qty - group.exit_filled(), closes=group.closes)

    def promised(self, group: Group) -> int:
        """Shares that count for the exit: what the entry has bought, less what was sold or lent."""
        return max(0, group.entry_filled - group.exit_filled() - group.lent)

    def reserved(self) -> dict[str, int]:
        """Cents that each account must hold."""
        cents = dict.fromkeys(self.accounts, 0)
        for order in self.orders.values():
            if order.role in {"TP", "SL"} or (order.side == SELL and order.closes):
                continue
            cents[order.account_id] += self._cents(
                order, order.px, order.left(), closes=order.closes
            )
        for group in self.groups.values():
            cents[group.account_id] += self.hold_of(group)
        return cents

    def held(self) -> dict[tuple[str, str], int]:
        """Shares that each account has promised: to sell, or to buy back."""
        qty: dict[tuple[str, str], int] = {}
        for order in self.orders.values():
            if order.closes and order.role not in {"TP", "SL"}:
                key = order.account_id, order.symbol
                qty[key] = qty.get(key, 0) + order.left()
        for group in self.groups.values():
            if group.closes:
                key = group.account_id, group.symbol
                qty[key] = qty.get(key, 0) + self.promised(group)
        return {key: one for key, one in qty.items() if one}

    def check_groups(self) -> None:
        """I2, I3 and I5 after a command."""
        for group in self.groups.values():
            left = group.qty - group.exit_filled()
            for role, leg in group.legs.items():
                done = group.entry is None
                assert leg.left() == left or (not done and leg.left() > left), (role, left)
            if group.triggered:
                assert set(group.legs) == {"SL"}
            elif group.has_two_legs and len(group.legs) == 1:
                assert group.cancels
                assert set(group.legs) == {"TP"}
                assert group.filled["TP"] > 0
