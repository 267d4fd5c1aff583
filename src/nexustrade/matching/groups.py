"""An OCO, bracket or OTO group as the matching stage keeps it.

The group counts fills; its legs, where they are alive, are orders of the book. R, what the exit may
still trade, is `open_qty` less the fills of both legs: each live leg is for exactly R (I2), so that
both together never trade more than `open_qty` (I1).
"""

from typing import Any, Final

# The life of a group.
WAITING: Final = "HELD"
"""For its entry, or for the next session."""
ACTIVE: Final = "ACTIVE"
ELECTED: Final = "ELECTED"
"""The stop-loss was elected: it waits to run, runs or rests; the take-profit is gone."""


class Group:
    """Terms and state of a group. `is_buy` is the side of the exit; an empty id: no such leg.

    `order_qty` is what it is meant for, `open_qty` what of it has come alive (less what was taken
    off it), `entry_cum_qty` what its entry has filled and `entry_open_qty` how much of that has
    brought the exit to life. A leg's flag says whether it is alive: it may still trade.
    """

    def __init__(
        self,
        group_id: str,
        account_id: str,
        symbol: str,
        order_class: str,
        is_buy: bool,
        time_in_force: str,
        order_qty: int,
    ) -> None:
        self.group_id = group_id
        self.account_id = account_id
        self.symbol = symbol
        self.order_class = order_class
        self.is_buy = is_buy
        self.time_in_force = time_in_force
        self.order_qty = order_qty
        self.tp_order_id: str = ""
        self.tp_limit_px: int = 0
        self.sl_order_id: str = ""
        self.sl_stop_px: int = 0
        self.sl_limit_px: int = 0
        self.cancels: bool = False
        self.waits_for_all: bool = False
        self.expire_us: int = 0
        self.stp: str = ""
        self.reduces: bool = False
        self.state: str = WAITING
        self.entry_order_id: str = ""
        self.entry_alive: bool = False
        self.entry_cum_qty: int = 0
        self.entry_open_qty: int = 0
        self.open_qty: int = 0
        self.tp_cum_qty: int = 0
        self.sl_cum_qty: int = 0
        self.tp_alive: bool = False
        self.sl_alive: bool = False

    def remaining(self) -> int:
        """R: what the exit may still trade."""
        return self.open_qty - self.tp_cum_qty - self.sl_cum_qty

    def row(self) -> list[Any]:
        """All of the group as JSON values; `group_from` reads them."""
        return [
            self.group_id,
            self.account_id,
            self.symbol,
            self.order_class,
            self.is_buy,
            self.time_in_force,
            self.order_qty,
            self.tp_order_id,
            self.tp_limit_px,
            self.sl_order_id,
            self.sl_stop_px,
            self.sl_limit_px,
            self.cancels,
            self.waits_for_all,
            self.expire_us,
            self.stp,
            self.reduces,
            self.state,
            self.entry_order_id,
            self.entry_alive,
            self.entry_cum_qty,
            self.entry_open_qty,
            self.open_qty,
            self.tp_cum_qty,
            self.sl_cum_qty,
            self.tp_alive,
            self.sl_alive,
        ]


def group_from(row: list[Any]) -> Group:
    """The group that `Group.row` wrote."""
    group = Group(row[0], row[1], row[2], row[3], row[4], row[5], row[6])
    group.tp_order_id = row[7]
    group.tp_limit_px = row[8]
    group.sl_order_id = row[9]
    group.sl_stop_px = row[10]
    group.sl_limit_px = row[11]
    group.cancels = row[12]
    group.waits_for_all = row[13]
    group.expire_us = row[14]
    group.stp = row[15]
    group.reduces = row[16]
    group.state = row[17]
    group.entry_order_id = row[18]
    group.entry_alive = row[19]
    group.entry_cum_qty = row[20]
    group.entry_open_qty = row[21]
    group.open_qty = row[22]
    group.tp_cum_qty = row[23]
    group.sl_cum_qty = row[24]
    group.tp_alive = row[25]
    group.sl_alive = row[26]
    return group
