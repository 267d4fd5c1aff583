"""The order history folds to the very records that the orders stage gives."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core.codec import Message
from nexustrade.core.errors import InvariantError
from nexustrade.kernel.ports import LogEntry
from nexustrade.matching.messages import Amended, InstrumentDefined
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.history import Changes, Fold, Lines, OrderRow, stored_row
from nexustrade.orders.messages import (
    AccountOpened,
    CancelRejected,
    CancelRequested,
    CashAdjusted,
    CashMovement,
    FillRecord,
    GroupAccepted,
    GroupResized,
    LegsActivated,
    OrderAccepted,
    OrderCanceled,
    OrderDecremented,
    OrderFilled,
    OrderRecord,
    OrderReplaced,
    OrderRestated,
    OrderTrailed,
    OrderTriggered,
    PositionAdjusted,
    ReplaceRejected,
    ReplaceRequested,
    TradeBusted,
)
from nexustrade.orders.service import order_record
from tests.group_steps import Trader
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
        self.notionals: dict[tuple[str, str, int], int] = {}
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
            signed = notional if fill.side == "SELL" else -notional
            self.notionals[fill.order_id, fill.symbol, fill.trade_id] = signed
            self._pay(fill.account_id, signed)
        for e, _ in changes.busts:
            self._pay(e.account_id, -self.notionals.pop((e.order_id, e.symbol, e.trade_id)))
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
    st.integers(0, 2**32),
    st.integers(0, 80),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 5),
)
def test_stops_groups_and_busts_are_as_the_stage_says(
    seed: int, steps: int, sizes: list[int], rows_max: int
) -> None:
    trader = Trader(Random(seed))
    for _ in range(steps):
        trader.step()
    _assert_all_the_same(trader.venue, sizes, rows_max)


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
    _assert_all_the_same(v, sizes, rows_max)


def _assert_all_the_same(v: TwoStages, sizes: list[int], rows_max: int) -> None:
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


# ---------------------------------------------------------------- stops and groups, event by event

VENUE = (
    InstrumentDefined("AAPL", 100, SHARE, reference_px=1_000_000),
    AccountOpened("acc-1", "CASH", 100_000_00),
    PositionAdjusted("acc-1", "AAPL", 50 * SHARE, 1_000_000),
)
BRACKET = GroupAccepted(
    "acc-1", "b", "mine", "BRACKET", "AAPL", "BUY", "GTC", 10 * SHARE, "LIMIT", 1_000_000,
    tp_order_id="b-tp", tp_cl_ord_id="mine-tp", tp_limit_px=1_100_000, sl_order_id="b-sl",
    sl_cl_ord_id="b-sl", sl_stop_px=900_000, sl_limit_px=890_000, reserved=1_000_00,
    position_intent="buy_to_open",
)  # fmt: skip
OTO = GroupAccepted(
    "acc-1", "t", "t", "OTO", "AAPL", "BUY", "GTC", 10 * SHARE, "LIMIT", 1_000_000,
    sl_order_id="t-sl", sl_cl_ord_id="t-sl", sl_stop_px=900_000, reserved=1_000_00,
)  # fmt: skip
OCO = GroupAccepted(
    "acc-1", "o", "mine", "OCO", "AAPL", "SELL", "DAY", 10 * SHARE, "LIMIT", tp_order_id="o",
    tp_cl_ord_id="mine", tp_limit_px=1_100_000, sl_order_id="o-sl", sl_cl_ord_id="o-sl",
    sl_stop_px=900_000, reserved_qty=10 * SHARE, position_intent="sell_to_close",
)  # fmt: skip
STOP = OrderAccepted(
    "acc-1", "s", "s", "AAPL", "SELL", "STOP", "GTC", 10 * SHARE, reserved_qty=10 * SHARE,
    stop_px=900_000,
)  # fmt: skip
TRAIL = OrderAccepted(
    "acc-1", "r", "r", "AAPL", "SELL", "TRAILING_STOP", "GTC", 10 * SHARE,
    reserved_qty=10 * SHARE, stop_px=980_000, trail_px=20_000, hwm_px=1_000_000,
)  # fmt: skip


def filled(order_id: str, side: str, qty: int, *, done: bool = False, **more: Any) -> OrderFilled:
    return OrderFilled(
        "acc-1", order_id, "AAPL", side, 1_000_000, qty * SHARE, 100_00 * qty, 0, "MAKER", 7, done,
        **more,
    )  # fmt: skip


def replacing(order_id: str, by: str, **more: Any) -> ReplaceRequested:
    return ReplaceRequested("acc-1", by, order_id, by, "AAPL", 10 * SHARE, 0, "GTC", **more)


def told(*events: Message) -> dict[str, OrderRecord]:
    """The records after these events of a venue, each folded by a fold that knows nothing yet.

    After every event they are what the stage says.
    """
    stage, table = OrdersStage(SHARD), Table(0)
    for entry in recorded(*VENUE, *events):
        stage.replay(entry.seq, entry.ts_us, entry.event)
        table.fold = Fold(0)
        table.take([entry])
        same = {name: unreserved(order_record(one)) for name, one in stage.orders.items()}
        assert {name: table.record(name) for name in table.lines} == same
    return {name: table.record(name) for name in table.lines}


def changed(
    given: Sequence[Message], *when: Message, but: str = "updated_us"
) -> dict[str, dict[str, Any]]:
    """What fields of which records are other ones after some events, or of which are new."""
    before, after = told(*given), told(*given, *when)
    found = {}
    for name, record in after.items():
        old = before.get(name)
        if record != old:
            found[name] = {
                field: getattr(record, field)
                for field in record.__struct_fields__
                if field != but and (old is None or getattr(record, field) != getattr(old, field))
            }
    return found


def legs(records: dict[str, OrderRecord]) -> list[tuple[Any, ...]]:
    return [
        (
            r.order_id, r.cl_ord_id, r.role, r.side, r.ord_type, r.limit_px, r.stop_px,
            r.ord_status, r.held, r.position_intent,
        )
        for r in records.values()
    ]  # fmt: skip


def test_a_bracket_is_three_orders_of_which_two_are_held() -> None:
    records = told(BRACKET)
    assert legs(records) == [
        ("b", "mine", "ENTRY", "BUY", "LIMIT", 1_000_000, 0, "NEW", False, "buy_to_open"),
        ("b-tp", "mine-tp", "TAKE_PROFIT", "SELL", "LIMIT", 1_100_000, 0, "HELD", True, ""),
        ("b-sl", "b-sl", "STOP_LOSS", "SELL", "STOP_LIMIT", 890_000, 900_000, "HELD", True, ""),
    ]
    assert {(r.group_id, r.order_class, r.order_qty) for r in records.values()} == {
        ("b", "BRACKET", 10 * SHARE)
    }


def test_an_oco_is_two_orders_of_which_the_stop_loss_is_held() -> None:
    assert legs(told(OCO)) == [
        ("o", "mine", "TAKE_PROFIT", "SELL", "LIMIT", 1_100_000, 0, "NEW", False, "sell_to_close"),
        ("o-sl", "o-sl", "STOP_LOSS", "SELL", "STOP", 0, 900_000, "HELD", True, "sell_to_close"),
    ]


def test_an_oto_is_an_entry_and_one_leg() -> None:
    assert legs(told(OTO)) == [
        ("t", "t", "ENTRY", "BUY", "LIMIT", 1_000_000, 0, "NEW", False, ""),
        ("t-sl", "t-sl", "STOP_LOSS", "SELL", "STOP", 0, 900_000, "HELD", True, ""),
    ]


def test_the_columns_of_a_group_and_of_a_stop() -> None:
    table = Table(0)
    table.take(recorded(BRACKET, STOP, TRAIL, ACCEPTED))
    assert [line[19:] for line in table.lines.values()] == [
        ["0", "0", "0", "0", "BRACKET", "b", "ENTRY", None],
        ["0", "0", "0", "0", "BRACKET", "b", "TAKE_PROFIT", None],
        ["90", "0", "0", "0", "BRACKET", "b", "STOP_LOSS", None],
        ["90", "0", "0", "0", "", "", "", None],
        ["98", "2", "0", "100", "", "", "", None],
        ["0", "0", "0", "0", "", "", "", None],
    ]
    table.take(recorded(OrderTriggered("acc-1", "b-sl", 890_000, 1), after=4))
    assert table.lines["b-sl"][26] == "1970-01-01 00:00:00.005000+00"


OPENED = (BRACKET, filled("b", "BUY", 4))
HELD = (OCO,)
CANCEL = CancelRequested("acc-1", "o-sl", "AAPL")
STOPPING = (OCO, CANCEL)
ACTIVE = LegsActivated("acc-1", "b", 4 * SHARE, tp_order_id="b-tp", sl_order_id="b-sl")


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        (OPENED, ACTIVE, {"b-tp": {"ord_status": "NEW", "held": False}}),
        (
            (OTO, filled("t", "BUY", 4)),
            LegsActivated("acc-1", "t", 4 * SHARE, sl_order_id="t-sl"),
            {"t-sl": {"ord_status": "NEW", "held": False}},
        ),
        # Alive already: more of it is.
        (
            (*OPENED, ACTIVE, filled("b", "BUY", 2)),
            LegsActivated("acc-1", "b", 6 * SHARE, tp_order_id="b-tp", sl_order_id="b-sl"),
            {},
        ),
        (
            OPENED,
            filled("b-tp", "SELL", 1, trade_date="2026-11-23", settle_date="2026-11-25"),
            {
                "b-tp": {
                    "ord_status": "PARTIALLY_FILLED",
                    "cum_qty": SHARE,
                    "leaves_qty": 9 * SHARE,
                    "avg_px": 1_000_000,
                    "filled_us": 6_000,
                }
            },
        ),
        (
            HELD,
            OrderDecremented("acc-1", "o-sl", 3 * SHARE, "SIBLING_FILL"),
            {"o-sl": {"order_qty": 7 * SHARE, "leaves_qty": 7 * SHARE}},
        ),
        (
            HELD,
            OrderTriggered("acc-1", "o-sl", 890_000, 9),
            {"o-sl": {"ord_status": "NEW", "held": False, "triggered_us": 5_000}},
        ),
        ((STOP,), OrderTriggered("acc-1", "s", 890_000, 9), {"s": {"triggered_us": 5_000}}),
        (
            HELD,
            OrderCanceled("acc-1", "o-sl", 10 * SHARE, "SIBLING_FILLED"),
            {
                "o-sl": {
                    "ord_status": "CANCELED",
                    "leaves_qty": 0,
                    "canceled_us": 5_000,
                    "close_reason": "SIBLING_FILLED",
                }
            },
        ),
        (
            (*OPENED, ACTIVE, filled("b-tp", "SELL", 4)),
            OrderDecremented("acc-1", "b-tp", 6 * SHARE, "ENTRY_CANCELLED"),
            {"b-tp": {"ord_status": "FILLED", "order_qty": 4 * SHARE, "leaves_qty": 0}},
        ),
        (
            (*OPENED, ACTIVE, filled("b-tp", "SELL", 4)),
            OrderDecremented("acc-1", "b-tp", 6 * SHARE, "SIBLING_FILL"),
            {"b-tp": {"order_qty": 4 * SHARE, "leaves_qty": 0}},
        ),
        (
            (BRACKET,),
            OrderDecremented("acc-1", "b-tp", 10 * SHARE, "ENTRY_CANCELLED"),
            {"b-tp": {"order_qty": 0, "leaves_qty": 0}},
        ),
        (
            (OCO, filled("o", "SELL", 3)),
            GroupResized(
                "acc-1", "o", 20 * SHARE, tp_order_id="o", tp_qty=20 * SHARE, sl_order_id="o-sl",
                sl_qty=17 * SHARE,
            ),
            {
                "o": {"order_qty": 20 * SHARE, "leaves_qty": 17 * SHARE},
                "o-sl": {"order_qty": 17 * SHARE, "leaves_qty": 17 * SHARE},
            },
        ),
        (
            (BRACKET,),
            GroupResized("acc-1", "b", 8 * SHARE, sl_order_id="b-sl", sl_qty=8 * SHARE),
            {"b-sl": {"order_qty": 8 * SHARE, "leaves_qty": 8 * SHARE}},
        ),
        (HELD, CANCEL, {"o-sl": {"ord_status": "PENDING_CANCEL"}}),
        (
            STOPPING,
            CancelRejected("acc-1", "o-sl", "UNKNOWN_ORDER"),
            {"o-sl": {"ord_status": "HELD"}},
        ),
        # The id of an order where a group's is asked for: the cancel of the order goes on.
        (STOPPING, CancelRejected("acc-1", "o-sl", "UNKNOWN_GROUP"), {}),
        (
            (OCO, replacing("o-sl", "n", stop_px=910_000)),
            ReplaceRejected("acc-1", "n", "o-sl", "HALTED"),
            {"o-sl": {"ord_status": "HELD"}},
        ),
        (
            (TRAIL,),
            OrderTrailed("acc-1", "r", 1_010_000, 990_000),
            {"r": {"hwm_px": 1_010_000, "stop_px": 990_000}},
        ),
        (
            (STOP, filled("s", "SELL", 4)),
            OrderRestated("acc-1", "s", 20 * SHARE, 8 * SHARE, 12 * SHARE, 0, 450_000),
            {
                "s": {
                    "order_qty": 20 * SHARE,
                    "cum_qty": 8 * SHARE,
                    "leaves_qty": 12 * SHARE,
                    "avg_px": 500_000,
                    "stop_px": 450_000,
                }
            },
        ),
        (
            (TRAIL,),
            OrderRestated(
                "acc-1", "r", 20 * SHARE, 0, 20 * SHARE, 0, 490_000, 10_000, 500_000
            ),
            {
                "r": {
                    "order_qty": 20 * SHARE,
                    "leaves_qty": 20 * SHARE,
                    "stop_px": 490_000,
                    "trail_px": 10_000,
                    "hwm_px": 500_000,
                }
            },
        ),
        (
            (STOP, filled("s", "SELL", 10, done=True)),
            TradeBusted(
                "acc-1", "s", "AAPL", "SELL", 1_000_000, 10 * SHARE, 1_000_00, 0, 7
            ),
            {},
        ),
    ],
)  # fmt: skip
def test_an_event_changes_these_records(
    given: Sequence[Message], when: Message, then: dict[str, dict[str, Any]]
) -> None:
    assert changed(given, when) == then


def test_a_leg_that_is_replaced_keeps_its_place_in_the_group() -> None:
    given = (
        OCO,
        filled("o", "SELL", 3),
        OrderDecremented("acc-1", "o-sl", 3 * SHARE, "SIBLING_FILL"),
    )
    asked = replacing("o-sl", "n", stop_px=910_000)
    assert changed(given, asked) == {"o-sl": {"ord_status": "PENDING_REPLACE"}}
    records = told(*given, asked, OrderReplaced("acc-1", "n", "o-sl"))
    old, new = records["o-sl"], records["n"]
    assert (old.ord_status, old.replaced_by, old.held) == ("REPLACED", "n", True)
    assert (new.ord_status, new.replaces, new.held) == ("HELD", "o-sl", True)
    assert (new.role, new.group_id, new.order_class) == ("STOP_LOSS", "o", "OCO")
    # The quantity is the group's, whatever was asked for.
    assert (new.stop_px, new.order_qty, new.leaves_qty) == (910_000, 7 * SHARE, 7 * SHARE)


def test_what_becomes_of_a_stop_while_its_replace_is_under_way_counts_for_the_new_one() -> None:
    elected = OrderTriggered("acc-1", "s", 890_000, 9)
    records = told(
        STOP, replacing("s", "n", stop_px=910_000), elected, OrderReplaced("acc-1", "n", "s")
    )
    assert records["n"].triggered_us == records["s"].triggered_us == 6_000


def test_a_trailing_stop_trails_on_while_its_replace_is_under_way() -> None:
    stage = OrdersStage(SHARD)
    asked = replacing("r", "n", stop_px=990_000, trail_px=10_000)
    trailed = OrderTrailed("acc-1", "r", 1_010_000, 990_000)
    for entry in recorded(*VENUE, TRAIL, asked, trailed):
        stage.replay(entry.seq, entry.ts_us, entry.event)
    done = Amended(
        "n", "r", "acc-1", "AAPL", 0, 10 * SHARE, True, "GTC", 0, 1_000_000, 10_000
    )  # fmt: skip
    events = [r.event for r in stage.take(done, 9_000, "test")]
    assert events == [
        OrderReplaced("acc-1", "n", "r"),
        OrderTrailed("acc-1", "n", 1_010_000, 1_000_000),
    ]
    record = told(TRAIL, asked, trailed, *events)["n"]
    assert (record.hwm_px, record.stop_px, record.trail_px) == (1_010_000, 1_000_000, 10_000)


# ---------------------------------------------------------------- settlement and busts


def test_a_fill_says_when_it_settles() -> None:
    table = Table(0)
    dated = filled("s", "SELL", 4, trade_date="2026-11-23", settle_date="2026-11-25")
    changes = table.take(recorded(STOP, dated, filled("s", "SELL", 1)))
    lines = [fields(Lines().fill(*fill)) for fill in changes.fills]
    assert [line[12:] for line in lines] == [["2026-11-23", "2026-11-25"], [None, None]]
    assert [fill.settle_date for fill in table.fills] == ["2026-11-25", ""]


def test_a_date_that_is_none_stays_out_of_the_columns() -> None:
    changes = Table(0).take(
        recorded(STOP, filled("s", "SELL", 4, trade_date="day 1", settle_date="day 3"))
    )
    (fill,) = changes.fills
    assert fields(Lines().fill(*fill))[12:] == [None, None]
    assert fill[0].settle_date == "day 3"


def test_an_undone_trade_gives_its_fee_back_as_an_activity_of_its_own() -> None:
    table = Table(0)
    sold = OrderFilled(
        "acc-1", "s", "AAPL", "SELL", 1_000_000, 10 * SHARE, 1_000_00, 12, "TAKER", 7, True
    )
    undone = TradeBusted("acc-1", "s", "AAPL", "SELL", 1_000_000, 10 * SHARE, 1_000_00, 12, 7)
    free = TradeBusted("acc-1", "s", "AAPL", "SELL", 1_000_000, 10 * SHARE, 1_000_00, 0, 8)
    table.take(recorded(STOP, sold))
    table.fold.apply(SHARD, 3, 3_000, undone)
    table.fold.apply(SHARD, 4, 4_000, free)
    after = table.fold.take()
    assert after.busts == [(undone, 3_000), (free, 4_000)]
    assert after.rows == {}
    movements = table.movements + after.movements
    assert [(m.activity_type, m.amount, m.description) for m in movements] == [
        ("FEE", -12, "fee of trade 7 in AAPL"),
        ("FEE", 12, "fee of undone trade 7 in AAPL"),
    ]
    assert len({m.activity_id for m in movements}) == 2
