"""A split of a halted symbol: quantities, prices and what is held, in both stages at once."""

import pytest

from nexustrade.core.money import QTY_ONE
from nexustrade.core.terms import BUY, SELL
from nexustrade.core.ticks import split_px, split_qty, splits_evenly
from nexustrade.matching.messages import (
    NOT_HALTED,
    SPLIT,
    GroupClosed,
    InstrumentSplit,
    Refused,
    Removed,
    SplitInstrument,
)
from nexustrade.orders.messages import (
    AdjustPosition,
    OrderRestated,
    RestrictInstrument,
    SubmitGroup,
    SubmitOrder,
)
from nexustrade.orders.service import group_record, order_record
from tests.two_stages import TwoStages

SHARE = QTY_ONE
USD = 10_000


@pytest.mark.parametrize(
    ("qty", "new", "old", "then"),
    [(10, 2, 1, 20), (10, 3, 2, 15), (15, 1, 10, 1), (-15, 1, 10, -1), (0, 7, 3, 0)],
)
def test_quantities_are_rounded_toward_nothing(qty: int, new: int, old: int, then: int) -> None:
    assert split_qty(qty, new, old) == then


def test_what_divides() -> None:
    assert splits_evenly(15 * SHARE, 1, 10)
    assert not splits_evenly(10 * SHARE, 1, 3)


@pytest.mark.parametrize(
    ("px", "new", "old", "up", "then"),
    [
        (1_000_100, 2, 1, False, 500_000),
        (1_000_100, 2, 1, True, 500_100),
        (1_000_100, 1, 10, False, 10_001_000),
        (10_000, 3, 1, False, 3_333),  # below 1 USD four decimals are allowed
        (100, 1_000, 1, False, 1),
        (0, 2, 1, True, 0),
    ],
)
def test_prices_are_rounded_to_a_tick(px: int, new: int, old: int, up: bool, then: int) -> None:
    assert split_px(px, new, old, 100, up) == then


def venue() -> TwoStages:
    """Ann has 10 shares behind an OCO of 110 and 90, bob bids 5 at 99.01 and buys above 120."""
    v = TwoStages(2, 2)
    v.list("ABC")
    v.start()
    for name in ("ann", "bob", "cat"):
        v.open(name)
    v.run(AdjustPosition("ann", "ABC", 10 * SHARE, 50 * USD))
    v.run(
        SubmitGroup(
            "ann", "tp", "tp", "OCO", "ABC", SELL, "GTC", 10 * SHARE,
            tp_order_id="tp", tp_limit_px=110 * USD, sl_order_id="sl", sl_stop_px=90 * USD,
        )
    )  # fmt: skip
    v.run(SubmitOrder("bob", "b", "b", "ABC", BUY, "LIMIT", "GTC", 5 * SHARE, 0, 990_100))
    v.run(SubmitOrder("bob", "s", "s", "ABC", BUY, "STOP", "GTC", SHARE, stop_px=120 * USD))
    return v


def test_a_split_scales_groups_stops_orders_and_positions() -> None:
    v = venue()
    v.run(RestrictInstrument("ABC", "HALTED", "split"))
    events = v.run(SplitInstrument("ABC", 2, 1, "2 for 1"))
    v.verify()
    restated = [e for e in events if isinstance(e, OrderRestated)]
    assert sorted(restated, key=lambda e: (e.account_id, e.leaves_qty)) == [
        OrderRestated("ann", "tp", 20 * SHARE, 0, 20 * SHARE, 55 * USD),
        OrderRestated("ann", "sl", 20 * SHARE, 0, 20 * SHARE, 0, 45 * USD),
        OrderRestated("bob", "s", 2 * SHARE, 0, 2 * SHARE, 0, 60 * USD),
        OrderRestated("bob", "b", 10 * SHARE, 0, 10 * SHARE, 495_000),
    ]
    stages = {name: stage for stage in v.orders for name in stage.accounts}
    ann, bob = stages["ann"].accounts["ann"], stages["bob"].accounts["bob"]
    assert (ann.positions["ABC"].qty, ann.positions["ABC"].held_qty) == (20 * SHARE, 20 * SHARE)
    assert ann.positions["ABC"].cost_e12 == 10 * SHARE * 50 * USD
    # 10 at 49.50, and 2 at 60 and the collar of 5 %.
    assert bob.reserved == 495_00 + 126_00
    group = group_record(stages["ann"].groups["tp"])
    assert (group.order_qty, group.remaining_qty, group.reserved_qty) == (20 * SHARE,) * 3
    assert all(stage.instruments["ABC"].last_px == 50 * USD for stage in v.orders)


def test_after_a_split_the_legs_trade_as_before() -> None:
    v = venue()
    v.run(RestrictInstrument("ABC", "HALTED", "split"))
    v.run(SplitInstrument("ABC", 2, 1))
    v.run(RestrictInstrument("ABC", "ACTIVE", "done"))
    v.run(SubmitOrder("cat", "c", "c", "ABC", BUY, "LIMIT", "GTC", 20 * SHARE, 0, 55 * USD))
    v.verify()
    stage = next(each for each in v.orders if "ann" in each.accounts)
    ann = stage.accounts["ann"]
    assert ("ABC" in ann.positions, ann.reserved, dict(ann.groups)) == (False, 0, {})
    assert ann.cash == 100_000_000 + 20 * 55_00
    assert order_record(stage.orders["sl"]).ord_status == "CANCELED"
    assert [s.dump() for s in v.replayed().stages.values()] == [s.dump() for s in v.stages.values()]


def test_what_does_not_divide_ends_and_what_it_held_is_free() -> None:
    v = venue()
    v.run(RestrictInstrument("ABC", "HALTED", "split"))
    events = v.run(SplitInstrument("ABC", 1, 3))
    v.verify()
    ended = [e for e in events if isinstance(e, Removed | GroupClosed)]
    assert ended == [
        GroupClosed("tp", "ann", "ABC", "CANCELLED", "SplitInstrument"),
        Removed("b", "bob", "ABC", 5 * SHARE, SPLIT),
        Removed("s", "bob", "ABC", SHARE, SPLIT),
    ]
    stage = next(each for each in v.orders if "ann" in each.accounts)
    position = stage.accounts["ann"].positions["ABC"]
    assert (position.qty, position.held_qty) == (10 * SHARE // 3, 0)


@pytest.mark.parametrize(("new", "old"), [(1, 1), (0, 1), (1, 0), (1_001, 1), (-2, 1)])
def test_a_split_that_makes_no_sense_changes_nothing(new: int, old: int) -> None:
    v = venue()
    v.run(RestrictInstrument("ABC", "HALTED", "split"))
    before = [stage.dump() for stage in v.stages.values()]
    assert v.run(SplitInstrument("ABC", new, old)) == [Refused("", "", "ABC", NOT_HALTED)]
    assert [stage.dump() for stage in v.stages.values()] == before


def test_a_symbol_that_trades_is_not_split() -> None:
    v = venue()
    assert v.run(SplitInstrument("ABC", 2, 1)) == [Refused("", "", "ABC", NOT_HALTED)]


@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 2), (1, 10), (7, 5)])
def test_a_split_replays_and_a_snapshot_of_it_is_whole(new: int, old: int) -> None:
    v = venue()
    v.run(SubmitOrder("cat", "c", "c", "ABC", BUY, "LIMIT", "GTC", 3 * SHARE, 0, 110 * USD))
    v.run(SubmitOrder("cat", "t", "t", "ABC", BUY, "MARKET", "DAY", 0, 50_00))
    v.run(RestrictInstrument("ABC", "HALTED", "split"))
    events = v.run(SplitInstrument("ABC", new, old))
    assert any(isinstance(e, InstrumentSplit) for e in events)
    v.verify()
    assert [s.dump() for s in v.replayed().stages.values()] == [s.dump() for s in v.stages.values()]
    for shard, stage in v.stages.items():
        twin = TwoStages(2, 2).stages[shard]
        twin.load(stage.dump(), stage.seq, stage.ts_us)
        twin.verify()
        assert twin.dump() == stage.dump()
