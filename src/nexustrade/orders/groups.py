"""An OCO, bracket or OTO group as the orders stage keeps it, and what its exit must hold.

Owns the one reservation of the exit's two legs: never less than what the dearer leg may cost for
what is left of the group, never the sum of both, as only one of them can fill. Its orders are
ordinary orders of the account; the legs among them hold nothing themselves.
"""

from typing import Any, Final

from nexustrade.core.money import fee, notional_up, share_up
from nexustrade.core.terms import BRACKET, BUY, OCO, PARTIAL, REDUCE, SELL, STOP_LOSS, TAKE_PROFIT
from nexustrade.core.ticks import split_qty

# The life of a group.
WAITING: Final = "HELD"
"""The exit waits for fills of its entry."""
ACTIVE: Final = "ACTIVE"
ELECTED: Final = "ELECTED"
"""The stop-loss was elected; the take-profit is gone."""
CLOSED: Final = "CLOSED"

ORDER_CLASSES: Final = (OCO, BRACKET, "OTO")


class Group:
    """Terms and state of a group. `side` is that of its exit; an empty order id: no such order.

    `order_qty` is what the exit is meant for and `open_qty` what of it has come alive; its legs
    have filled `filled_qty` together, and `lent_qty` is promised to other orders (`auto_shrink`).
    `tp_hold_px` and `sl_hold_px` are the worst prices of the legs that are alive, 0 for one that is
    not. `pending_qty` is what the entry has filled and has not come alive. `told_qty` and
    `told_reserved` are what the group was last told to hold. An amend under way to `amend_qty`
    holds `extra` cents and `extra_qty` shares in addition.
    """

    def __init__(
        self, group_id: str, account_id: str, symbol: str, order_class: str, side: str
    ) -> None:
        self.group_id: str = group_id
        self.account_id: str = account_id
        self.symbol: str = symbol
        self.order_class: str = order_class
        self.side: str = side
        self.policy: str = REDUCE
        self.activation: str = PARTIAL
        self.state: str = WAITING
        self.auto_shrink: bool = False
        self.closes: bool = True
        self.canceling: bool = False
        self.entry_open: bool = False
        self.entry_order_id: str = ""
        self.tp_order_id: str = ""
        self.sl_order_id: str = ""
        self.tp_hold_px: int = 0
        self.sl_hold_px: int = 0
        self.hold_ppm: int = 0
        self.fee_ppm: int = 0
        self.order_qty: int = 0
        self.open_qty: int = 0
        self.filled_qty: int = 0
        self.lent_qty: int = 0
        self.pending_qty: int = 0
        self.told_qty: int = 0
        self.told_reserved: int = 0
        self.reserved: int = 0
        self.amend_qty: int = 0
        self.extra: int = 0
        self.extra_qty: int = 0
        self.closed_us: int = 0

    def remaining(self) -> int:
        """R: what the exit may still trade."""
        return self.open_qty - self.filled_qty

    def promised(self) -> int:
        """The shares of the position that count for the exit.

        R and what the entry has filled beyond, less what other orders take.
        """
        left = self.open_qty + self.pending_qty - self.filled_qty - self.lent_qty
        return left if left > 0 else 0

    def needs(self) -> int:
        """Cents that the exit must hold now: the dearer leg, for all that it may come to trade."""
        return self.needs_for(self.order_qty - self.filled_qty)

    def needs_for(self, qty: int) -> int:
        """Cents that the dearer of the legs that are alive needs for a quantity."""
        return self.hold_of(max(self.tp_hold_px, self.sl_hold_px), qty)

    def hold_of(self, px: int, qty: int) -> int:
        """Cents to hold for `qty` at the worst price `px`: margin (if it opens) and fee."""
        return exit_hold(self.side, self.closes, px, qty, self.hold_ppm, self.fee_ppm)

    def has_life(self) -> bool:
        """Whether anything of the group may still fill."""
        return self.entry_open or self.tp_hold_px > 0 or self.sl_hold_px > 0

    def sibling_alive(self, role: str) -> bool:
        """Whether the other leg may still fill."""
        return (self.sl_hold_px if role == TAKE_PROFIT else self.tp_hold_px) > 0

    def leads(self, role: str) -> bool:
        """Whether a leg is the one whose changes of quantity stand for the group's."""
        return role == TAKE_PROFIT or (role == STOP_LOSS and self.tp_hold_px == 0)

    def order_ids(self) -> list[str]:
        """The orders of the group, the parent first."""
        ids = [self.entry_order_id, self.tp_order_id, self.sl_order_id]
        return [order_id for order_id in ids if order_id]

    def split(self, shares_new: int, shares_old: int) -> None:
        """A split of the symbol: what is left, to come and filled is scaled, each by itself."""
        to_come = split_qty(self.order_qty - self.filled_qty, shares_new, shares_old)
        left = split_qty(self.remaining(), shares_new, shares_old)
        self.filled_qty = split_qty(self.filled_qty, shares_new, shares_old)
        self.order_qty = self.filled_qty + to_come
        self.open_qty = self.filled_qty + left
        self.pending_qty = split_qty(self.pending_qty, shares_new, shares_old)
        self.lent_qty = split_qty(self.lent_qty, shares_new, shares_old)

    def row(self) -> list[Any]:
        """All of the group as JSON values; `group_from` reads them."""
        return [
            self.group_id,
            self.account_id,
            self.symbol,
            self.order_class,
            self.side,
            self.policy,
            self.activation,
            self.state,
            self.auto_shrink,
            self.closes,
            self.canceling,
            self.entry_open,
            self.entry_order_id,
            self.tp_order_id,
            self.sl_order_id,
            self.tp_hold_px,
            self.sl_hold_px,
            self.hold_ppm,
            self.fee_ppm,
            self.order_qty,
            self.open_qty,
            self.filled_qty,
            self.lent_qty,
            self.told_qty,
            self.reserved,
            self.amend_qty,
            self.extra,
            self.extra_qty,
            self.closed_us,
            self.pending_qty,
            self.told_reserved,
        ]


def group_from(row: list[Any]) -> Group:
    """The group that `Group.row` wrote."""
    group = Group(row[0], row[1], row[2], row[3], row[4])
    group.policy = row[5]
    group.activation = row[6]
    group.state = row[7]
    group.auto_shrink = row[8]
    group.closes = row[9]
    group.canceling = row[10]
    group.entry_open = row[11]
    group.entry_order_id = row[12]
    group.tp_order_id = row[13]
    group.sl_order_id = row[14]
    group.tp_hold_px = row[15]
    group.sl_hold_px = row[16]
    group.hold_ppm = row[17]
    group.fee_ppm = row[18]
    group.order_qty = row[19]
    group.open_qty = row[20]
    group.filled_qty = row[21]
    group.lent_qty = row[22]
    group.told_qty = row[23]
    group.reserved = row[24]
    group.amend_qty = row[25]
    group.extra = row[26]
    group.extra_qty = row[27]
    group.closed_us = row[28]
    group.pending_qty = row[29]
    group.told_reserved = row[30]
    return group


def exit_hold(side: str, closes: bool, px: int, qty: int, hold_ppm: int, fee_ppm: int) -> int:
    """Cents to hold for an exit of `qty` at the worst price `px`.

    What sells shares of its own holds those; what buys back a short holds the fee; an exit that
    opens a position needs margin as well.
    """
    if closes and side == SELL:
        return 0
    worst = notional_up(px, qty)
    margin = 0 if closes else share_up(worst, hold_ppm)
    return margin + fee(worst, fee_ppm)


def exit_side(order_class: str, side: str) -> str:
    """The side of a group's exit: an OCO's own, else the opposite of its entry's."""
    if order_class == OCO:
        return side
    return SELL if side == BUY else BUY
