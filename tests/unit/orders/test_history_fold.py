"""The order history folds to the very records that the orders stage gives."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.kernel.ports import LogEntry
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.history import Changes, Fold, Lines, OrderRow, stored_row
from nexustrade.orders.messages import (
    AccountOpened,
    CancelRejected,
    CashAdjusted,
    CashMovement,
    FillRecord,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRecord,
    ReplaceRejected,
)
from nexustrade.orders.service import order_record
from tests.property.test_stages import Step, _step, commands, venue
from tests.two_stages import TwoStages

SHARE = 100_000_000
SHARD = "orders-0"


class Table:
    """`order_history` as lines of COPY text; the fold knows an order again only from its line."""

    def __init__(self, rows_max: int) -> None:
        self.fold = Fold(rows_max)
        self.lines: dict[str, list[str | None]] = {}
        self.fills: list[FillRecord] = []
        self.movements: list[CashMovement] = []
        self.cash: dict[str, int] = {}

    def take(self, batch: Sequence[LogEntry]) -> Changes:
        missing = self.fold.missing([r.event for r in batch])
        self.fold.learn([self.row(name) for name in missing if name in self.lines])
        for r in batch:
            self.fold.apply(r.shard, r.seq, r.ts_us, r.event)
        changes = self.fold.take()
        for order_id, row in changes.rows.items():
            assert row.stored == (order_id in self.lines)
            self.lines[order_id] = fields(Lines().order(row))
        self.movements += changes.movements
        for movement in changes.movements:
            self._pay(movement.account_id, movement.amount)
        for fill, notional, _ in changes.fills:
            self.fills.append(fill)
            self._pay(fill.account_id, notional if fill.side == "SELL" else -notional)
        self.fold.settle(changes)
        return changes

    def _pay(self, account_id: str, amount: int) -> None:
        self.cash[account_id] = self.cash.get(account_id, 0) + amount

    def row(self, order_id: str) -> OrderRow:
        line = self.lines[order_id]
        assert line[17] is not None
        assert line[13] is not None
        return stored_row(line[17], int(line[13]), line[16] is not None, line[18])

    def record(self, order_id: str) -> OrderRecord:
        return order_record(self.row(order_id).order)


def fields(line: str) -> list[str | None]:
    assert line.endswith("\n")
    texts = line[:-1].split("\t")
    return [None if text == "\\N" else text.replace("\\\\", "\\") for text in texts]


def unreserved(record: OrderRecord) -> OrderRecord:
    """The record without what only the stage knows of an open order."""
    names = record.__struct_fields__
    values = {name: getattr(record, name) for name in names}
    return OrderRecord(**(values | {"reserved": 0, "reserved_qty": 0}))


def entries(v: TwoStages, shard: str) -> list[LogEntry]:
    return [LogEntry(s, r.seq, r.ts_us, r.cause, r.event) for s, r in v.log if s == shard]


def batches(log: list[LogEntry], sizes: list[int]) -> list[list[LogEntry]]:
    parts: list[list[LogEntry]] = []
    at = turn = 0
    while at < len(log):
        size = sizes[turn % len(sizes)]
        parts.append(log[at : at + size])
        at += size
        turn += 1
    return parts


@settings(deadline=None, max_examples=60)
@given(
    st.lists(_step, max_size=60),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 5),
)
def test_every_order_and_fill_is_as_the_stage_says(
    steps: list[Step], sizes: list[int], rows_max: int
) -> None:
    v = venue(2, 1)
    for number, step in enumerate(steps):
        for command in commands(v, number, step):
            v.run(command)
    for stage in v.orders:
        log = entries(v, stage.shard)
        table = Table(rows_max)
        for batch in batches(log, sizes):
            table.take(batch)
        _assert_same_orders(stage, table)
        assert table.fills == _fills(stage.shard, log)
        assert table.cash == {name: a.cash for name, a in stage.accounts.items()}


def _assert_same_orders(stage: OrdersStage, table: Table) -> None:
    closed = {order.order_id: order_record(order) for order in stage.closed}
    still_open = {
        order.order_id: unreserved(order_record(order))
        for account in stage.accounts.values()
        for order in account.open.values()
    }
    assert {name: table.record(name) for name in table.lines} == closed | still_open
    for name, line in table.lines.items():
        assert (line[16] is not None) == (name in closed)
        assert line[18] is None or stage.orders[name].replacement is not None
    for name in still_open:
        assert (table.lines[name][18] is None) == (stage.orders[name].replacement is None)


def _fills(shard: str, log: list[LogEntry]) -> list[FillRecord]:
    """The fills as a stage that follows the events sees them."""
    stage = OrdersStage(shard)
    found = []
    for r in log:
        stage.replay(r.seq, r.ts_us, r.event)
        e = r.event
        if isinstance(e, OrderFilled):
            o = order_record(stage.orders[e.order_id])
            found.append(
                FillRecord(
                    o.account_id, o.order_id, o.symbol, o.side, e.last_px, e.last_qty, o.cum_qty,
                    o.leaves_qty, e.fee, e.liquidity, e.trade_id, o.ord_status, r.ts_us,
                    e.settle_date,
                )
            )  # fmt: skip
    return found


ACCEPTED = OrderAccepted(
    "acc-1", "order-1", "mine\t\\1\n", "AAPL", "BUY", "LIMIT", "GTC", 10 * SHARE, 0, 1_000_000
)


def recorded(*events: Message, after: int = 0) -> list[LogEntry]:
    return [LogEntry(SHARD, n, 1_000 * n, "test", e) for n, e in enumerate(events, after + 1)]


def test_a_refused_replace_of_a_forgotten_order_and_unknown_cancels_change_nothing() -> None:
    table = Table(0)
    closed = OrderCanceled("acc-1", "order-1", 10 * SHARE, "BY_REQUEST")
    table.take(recorded(ACCEPTED, closed))
    late = recorded(
        CancelRejected("acc-1", "order-1", "UNKNOWN_ORDER"),
        CancelRejected("acc-2", "order-1", "ORDER_CLOSED", "CANCELED"),
        CancelRejected("acc-1", "no-such-order", "UNKNOWN_ORDER"),
        ReplaceRejected("acc-1", "order-2", "order-1", "UNKNOWN_ORDER"),
        ReplaceRejected("acc-1", "order-2", "no-such-order", "UNKNOWN_ORDER"),
        after=2,
    )
    assert table.take(late).rows == {}
    assert table.record("order-1").ord_status == "CANCELED"


def test_an_event_of_an_order_that_was_never_accepted_stops_the_fold() -> None:
    with pytest.raises(InvariantError, match="order-9 was accepted"):
        Table(5).take(recorded(OrderCanceled("acc-1", "order-9", 0, "BY_REQUEST")))


def test_an_order_that_closes_twice_stops_the_fold() -> None:
    closed = OrderCanceled("acc-1", "order-1", 10 * SHARE, "BY_REQUEST")
    with pytest.raises(InvariantError, match="closed once"):
        Table(5).take(recorded(ACCEPTED, closed, closed))


def test_cash_movements_are_signed_and_their_ids_are_their_own() -> None:
    table = Table(5)
    fill = OrderFilled(
        "acc-1", "order-1", "AAPL", "BUY", 1_000_000, 10 * SHARE, 100_000, 12, "MAKER", 7, True
    )
    log = recorded(
        AccountOpened("acc-1", "CASH", 5_000_00),
        AccountOpened("acc-2", "CASH"),
        CashAdjusted("acc-1", -40_00, "rent"),
        CashAdjusted("acc-1", 1, ""),
        ACCEPTED,
        fill,
    )
    table.take(log)
    told = [(m.activity_type, m.amount, m.description) for m in table.movements]
    assert told == [
        ("CSD", 5_000_00, "opening cash"),
        ("CSW", -40_00, "rent"),
        ("CSD", 1, ""),
        ("FEE", -12, "fee of trade 7 in AAPL"),
    ]
    ids = {m.activity_id for m in table.movements}
    assert len(ids) == 4
    again, elsewhere = Table(5), Table(5)
    again.take(log)
    elsewhere.take([entry._replace(shard="orders-1") for entry in log])
    assert {m.activity_id for m in again.movements} == ids
    assert not {m.activity_id for m in elsewhere.movements} & ids


def test_text_of_a_client_cannot_end_a_field_or_a_line() -> None:
    table = Table(5)
    table.take(recorded(ACCEPTED))
    assert table.lines["order-1"][2] == "mine\\t\\1\\n".replace("\\\\", "\\")
    assert table.record("order-1").cl_ord_id == ACCEPTED.cl_ord_id
