"""What a split makes of the orders and groups of a book, and which it leaves whole. Pure."""

from nexustrade.core.ticks import split_px, split_qty, splits_evenly
from nexustrade.matching.book import UNBOUNDED, Order
from nexustrade.matching.groups import Group


def order_divides(order: Order, shares_new: int, shares_old: int) -> bool:
    """Whether an order's quantities are whole numbers of 1e-8 shares after a split."""
    if not splits_evenly(order.cum_qty, shares_new, shares_old):
        return False
    return order.leaves_qty == UNBOUNDED or splits_evenly(order.leaves_qty, shares_new, shares_old)


def group_divides(group: Group, shares_new: int, shares_old: int) -> bool:
    """Whether every quantity that a group counts is a whole number of 1e-8 shares after a split."""
    for qty in (
        group.order_qty,
        group.open_qty,
        group.tp_cum_qty,
        group.sl_cum_qty,
        group.entry_cum_qty,
        group.entry_open_qty,
    ):
        if not splits_evenly(qty, shares_new, shares_old):
            return False
    return True


def split_order(order: Order, shares_new: int, shares_old: int, tick_size: int) -> None:
    """Scale an order that stands nowhere; no price comes closer to the market by rounding."""
    sells = not order.is_buy
    order.cum_qty = split_qty(order.cum_qty, shares_new, shares_old)
    if order.leaves_qty != UNBOUNDED:
        order.leaves_qty = split_qty(order.leaves_qty, shares_new, shares_old)
    order.limit_px = split_px(order.limit_px, shares_new, shares_old, tick_size, sells)
    order.stop_px = split_px(order.stop_px, shares_new, shares_old, tick_size, not sells)
    order.trail_px = split_px(order.trail_px, shares_new, shares_old, tick_size, True)
    order.hwm_px = split_px(order.hwm_px, shares_new, shares_old, tick_size, not sells)
    order.print_px = split_px(order.print_px, shares_new, shares_old, tick_size, False)


def split_group(group: Group, shares_new: int, shares_old: int, tick_size: int) -> None:
    """Scale what a group counts, and the prices of its legs as those of orders."""
    sells = not group.is_buy
    group.order_qty = split_qty(group.order_qty, shares_new, shares_old)
    group.open_qty = split_qty(group.open_qty, shares_new, shares_old)
    group.tp_cum_qty = split_qty(group.tp_cum_qty, shares_new, shares_old)
    group.sl_cum_qty = split_qty(group.sl_cum_qty, shares_new, shares_old)
    group.entry_cum_qty = split_qty(group.entry_cum_qty, shares_new, shares_old)
    group.entry_open_qty = split_qty(group.entry_open_qty, shares_new, shares_old)
    group.tp_limit_px = split_px(group.tp_limit_px, shares_new, shares_old, tick_size, sells)
    group.sl_stop_px = split_px(group.sl_stop_px, shares_new, shares_old, tick_size, not sells)
    group.sl_limit_px = split_px(group.sl_limit_px, shares_new, shares_old, tick_size, sells)
