"""Which orders belong together: the legs of a parent, and listings with legs under their parents.

A group's parent is its entry, or the take-profit of an OCO. Orders that were replaced have handed
their place on: they are nobody's legs and have none.
"""

from collections.abc import Iterable, Sequence

from nexustrade.core import terms
from nexustrade.orders.messages import HistoryQuery, OrderRecord, OrdersQuery

Legs = dict[str, list[OrderRecord]]
"""By the order id of the parent: its legs, the take-profit first."""


def is_parent(r: OrderRecord) -> bool:
    """Whether an order leads a group now."""
    if not r.group_id or r.ord_status == terms.REPLACED:
        return False
    return r.role == (terms.TAKE_PROFIT if r.order_class == terms.OCO else terms.ENTRY)


def is_leg(r: OrderRecord) -> bool:
    """Whether an order stands under the parent of its group now."""
    return bool(r.group_id) and r.ord_status != terms.REPLACED and not is_parent(r)


def legs_in_memory(orders: OrdersQuery, r: OrderRecord) -> list[OrderRecord]:
    """The legs of an order, as far as they are open or lately closed; none of an order without."""
    group = orders.group(r.group_id) if is_parent(r) else None
    if group is None:
        return []
    found = (orders.order(order_id) for order_id in group.order_ids[1:])
    return [leg for leg in found if leg is not None]


async def legs_of(
    orders: OrdersQuery, history: HistoryQuery, records: Iterable[OrderRecord]
) -> Legs:
    """The legs of those records that are parents; one query for what has left memory."""
    legs: Legs = {}
    incomplete: list[OrderRecord] = []
    for r in filter(is_parent, records):
        legs[r.order_id] = legs_in_memory(orders, r)
        group = orders.group(r.group_id)
        if group is None or len(legs[r.order_id]) < len(group.order_ids) - 1:
            incomplete.append(r)
    if incomplete:
        group_ids = [r.group_id for r in incomplete]
        kept = await history.orders_of_groups(incomplete[0].account_id, group_ids)
        for r in incomplete:
            _complete(legs[r.order_id], [k for k in kept if k.group_id == r.group_id])
    return legs


def _complete(legs: list[OrderRecord], kept: Sequence[OrderRecord]) -> None:
    """Add the legs of the history that memory does not have."""
    known = {leg.order_id for leg in legs}
    legs.extend(k for k in kept if is_leg(k) and k.order_id not in known)
    legs.sort(key=lambda leg: leg.role == terms.STOP_LOSS)


def rolled_up(records: Sequence[OrderRecord]) -> list[OrderRecord]:
    """A listing without the legs whose parents are in it."""
    parents = {r.group_id for r in records if is_parent(r)}
    return [r for r in records if not (is_leg(r) and r.group_id in parents)]
