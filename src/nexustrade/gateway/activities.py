"""Account activities: fills and cash movements as one list, newest or oldest first, in pages.

An activity's id is `YYYYMMDDhhmmssmmm::uuid`. Ids sort as the activities do, and each holds its
instant to the microsecond, so that the last id seen is all a page token needs.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from nexustrade.core.ids import uuid7, uuid7_time_us
from nexustrade.core.money import price_text, qty_text, usd_text
from nexustrade.core.time import to_datetime
from nexustrade.gateway import render, requests
from nexustrade.gateway.messages import ActivitiesParams, CashActivity, FillActivity
from nexustrade.gateway.refusals import invalid
from nexustrade.orders.messages import CashMovement, FillRecord, HistoryQuery

FILL: Final = "FILL"
CASH_TYPES: Final = frozenset({"CSD", "CSW", "FEE", "DIV", "INT", "JNLC", "JNLS"})
_TIES_MAX: Final = 8
"""How many activities of one instant a page looks beyond its size for: a fill and its fee tie."""
_ENTROPY_BITS: Final = 62
_ID: Final = re.compile(
    r"\d{17}::([0-9a-f]{8}-[0-9a-f]{4}-7([0-9a-f]{3})-[0-9a-f]{4}-[0-9a-f]{12})"
)

Activity = FillActivity | CashActivity


def activity_id(at_us: int, *parts: object) -> str:
    """The id of an activity: its instant, and a UUID that is the same for the same parts."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    unique = int.from_bytes(digest[:8], "big") >> (64 - _ENTROPY_BITS)
    # RFC 9562, 6.2, method 3: the microseconds stand right after the milliseconds.
    uuid = uuid7(at_us, at_us % 1000 << _ENTROPY_BITS | unique)
    return f"{to_datetime(at_us):%Y%m%d%H%M%S}{at_us // 1000 % 1000:03d}::{uuid}"


def token_us(token: str) -> int:
    """The instant inside a page token; `ApiError` 422 when it is none."""
    found = _ID.fullmatch(token)
    if found is None:
        raise invalid(f"invalid page_token {requests.shown(token)}. it is the id of an activity")
    return uuid7_time_us(found.group(1)) + int(found.group(2), 16)


async def activities(
    history: HistoryQuery, account_id: str, path_type: str, p: ActivitiesParams
) -> list[Activity]:
    """One page of the account's activities."""
    types = _types(path_type, p)
    descending = requests.choice("direction", p.direction, {"asc": 0, "desc": 1}) == 1
    after_us, until_us = _bounds(p, descending)
    limit = p.page_size + _TIES_MAX
    found: list[Activity] = []
    if not types or FILL in types:
        fills = await history.fills(
            account_id, after_us=after_us, until_us=until_us, descending=descending, limit=limit
        )
        found.extend(fill_activity(fill) for fill in fills)
    if not types or types - {FILL}:
        movements = await history.cash_movements(
            account_id, after_us=after_us, until_us=until_us, descending=descending, limit=limit
        )
        found.extend(cash_activity(c) for c in movements if not types or c.activity_type in types)
    found.sort(key=lambda activity: activity.id, reverse=descending)
    return _after_token(found, p.page_token, descending)[: p.page_size]


def _after_token(found: Sequence[Activity], token: str, descending: bool) -> list[Activity]:
    if not token:
        return list(found)
    return [a for a in found if (a.id < token if descending else a.id > token)]


def _types(path_type: str, p: ActivitiesParams) -> set[str]:
    names = path_type or p.activity_types
    types = {name.strip().upper() for name in names.split(",") if name.strip()}
    if not types and p.category:
        category = requests.choice(
            "category", p.category, {"trade_activity": {FILL}, "non_trade_activity": CASH_TYPES}
        )
        types = set(category)
    for name in types:
        if not name.isalnum() or len(name) > 16:
            raise invalid(f"invalid activity_type {requests.shown(name)}")
    return types


def _bounds(p: ActivitiesParams, descending: bool) -> tuple[int, int]:
    """Exclusive bounds in microseconds; the token's own instant stays inside, as others may tie."""
    after_us = requests.instant_us("after", p.after)
    until_us = requests.instant_us("until", p.until)
    if p.date:
        start, end = requests.day_bounds_us("date", p.date)
        after_us, until_us = start - 1, end
    if p.page_token:
        at = token_us(p.page_token)
        if descending:
            until_us = min(until_us, at + 1) if until_us else at + 1
        else:
            after_us = max(after_us, at - 1)
    return after_us, until_us


def fill_activity(f: FillRecord) -> FillActivity:
    """A fill as an activity."""
    return FillActivity(
        id=activity_id(f.ts_event_us, f.order_id, f.trade_id),
        account_id=render.account_uuid(f.account_id),
        activity_type=FILL,
        transaction_time=render.instant(f.ts_event_us),
        type="fill" if f.leaves_qty == 0 else "partial_fill",
        price=price_text(f.last_px),
        qty=qty_text(f.last_qty),
        side=render.side_text(f.side),
        symbol=f.symbol,
        leaves_qty=qty_text(f.leaves_qty),
        order_id=f.order_id,
        cum_qty=qty_text(f.cum_qty),
        order_status=render.status_text(f.ord_status),
        fee=usd_text(f.fee),
        liquidity=f.liquidity.lower(),
        trade_id=f.trade_id,
        settle_date=f.settle_date or None,
        busted=f.busted,
    )


def cash_activity(c: CashMovement) -> CashActivity:
    """A cash movement as an activity."""
    return CashActivity(
        id=activity_id(c.ts_event_us, c.activity_id, c.activity_type),
        account_id=render.account_uuid(c.account_id),
        activity_type=c.activity_type,
        date=requests.utc_date(c.ts_event_us),
        created_at=render.instant(c.ts_event_us),
        net_amount=usd_text(c.amount),
        description=c.description,
        status="executed",
    )
