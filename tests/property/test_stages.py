"""Random multi-account streams through both stages: reservations, conservation, replay."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core.codec import Message
from nexustrade.matching.messages import CloseSession, OpenSession, Tick
from nexustrade.orders.messages import (
    AdjustCash,
    AdjustPosition,
    BlockAccount,
    CancelAllOrders,
    CancelOrder,
    PositionAdjusted,
    ReplaceOrder,
    SubmitOrder,
)
from tests.two_stages import TwoStages

ACCOUNTS = ("cash-1", "cash-2", "margin-1", "margin-2", "margin-3")
SYMBOLS = ("AAPL", "PENNY")
SHARE = 100_000_000

_step = st.tuples(
    st.sampled_from(
        ["limit"] * 10 + ["market"] * 3 + ["notional"] * 2 + ["cancel"] * 3 + ["replace"] * 4
        + ["all", "cash", "block", "day", "tick", "shares"]
    ),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(SYMBOLS),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(-6, 6),
    st.sampled_from([1, 2, 3, 7, 50]),
    st.sampled_from(["DAY", "GTC", "IOC", "FOK", "GTD"]),
    st.integers(0, 30),
    st.booleans(),
)  # fmt: skip
Step = tuple[str, str, str, str, int, int, str, int, bool]


def venue(orders_count: int, matching_count: int) -> TwoStages:
    v = TwoStages(orders_count, matching_count)
    v.list("AAPL", fractionable=True, shortable=True, marginable=True)
    v.list("PENNY", fractionable=True, shortable=True, reference_px=9_000, tick_size=100)
    v.open("cash-1", "CASH", cash=5_000_00, maker_fee_ppm=300, taker_fee_ppm=700)
    v.open("cash-2", cash=100_000_00, stp="CANCEL_OLDEST")
    v.open("margin-1", "MARGIN", cash=10_000_00, shorting=True, stp="DECREMENT")
    v.open("margin-2", "MARGIN", cash=20_000_00, shorting=True, stp="CANCEL_BOTH")
    v.open("margin-3", "MARGIN", cash=3_000_00, shorting=True)
    for account in ("cash-1", "cash-2"):
        for symbol in SYMBOLS:
            v.run(AdjustPosition(account, symbol, 20 * SHARE, 900_000))
    v.start()
    return v


def commands(v: TwoStages, number: int, step: Step) -> list[Message]:
    """One step's commands; a closed session opens and a blocked account is free again after it."""
    kind, account = step[:2]
    if kind == "day":
        night = _command(v, number, ("limit", *step[1:]))
        return [CloseSession(f"day {number:05}"), night, OpenSession(f"day {number:05} next")]
    if kind == "block":
        order = _command(v, number, ("limit", *step[1:]))
        return [BlockAccount(account, True), order, BlockAccount(account, False)]
    return [_command(v, number, step)]


def _command(v: TwoStages, number: int, step: Step) -> Message:
    kind, account, symbol, side, offset, size, tif, pick, flag = step
    price = (1_000_000 if symbol == "AAPL" else 9_000) + offset * 100
    order_id = f"order-{number}"
    expire_us = v.now_us + 20_000 if tif == "GTD" else 0
    stage = v.stages[v.routing.orders_of(account)]
    open_ids = [*stage.accounts[account].open, "no-such-order"]  # type: ignore[attr-defined]
    target = open_ids[pick % len(open_ids)]
    qty = size * SHARE + (12_345_678 if flag else 0)
    if kind == "limit":
        return SubmitOrder(
            account, order_id, order_id, symbol, side, "LIMIT", tif, qty, 0, price, expire_us,
            flag and pick % 3 == 0,
        )  # fmt: skip
    if kind == "market":
        return SubmitOrder(account, order_id, order_id, symbol, side, "MARKET", "DAY", qty)
    if kind == "notional":
        return SubmitOrder(
            account, order_id, order_id, symbol, side, "MARKET", "IOC", 0, 1_234 * size
        )
    if kind == "cancel":
        return CancelOrder(account, target)
    if kind == "replace":
        new_price = price if flag else 0
        return ReplaceOrder(account, order_id, target, order_id, size * SHARE, new_price)
    return {
        "all": CancelAllOrders(account, symbol if flag else ""),
        "cash": AdjustCash(account, 50_000 if flag else -50_000),
        "shares": AdjustPosition(account, symbol, (size if flag else -size) * SHARE, price),
        "tick": Tick(),
    }[kind]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(_step, min_size=5, max_size=80),
    st.sampled_from([(1, 1), (2, 2), (3, 1)]),
)
def test_invariants_hold_after_every_command_and_replay_gives_the_same_state(
    steps: list[Step], partitions: tuple[int, int]
) -> None:
    v = venue(*partitions)
    shares_before = shares(v)
    delivered = dict.fromkeys(SYMBOLS, 0)
    for number, step in enumerate(steps, 1):
        for command in commands(v, number, step):
            for event in v.run(command):
                if isinstance(event, PositionAdjusted):
                    delivered[event.symbol] += event.qty
            v.verify()
            solvent(v)
    for symbol in SYMBOLS:
        assert shares(v)[symbol] == shares_before[symbol] + delivered[symbol]
    twin = v.replayed()
    for shard, stage in v.stages.items():
        assert twin.stages[shard].dump() == stage.dump()


@settings(max_examples=40, deadline=None)
@given(st.lists(_step, min_size=5, max_size=60), st.integers(0, 59))
def test_a_snapshot_taken_anywhere_and_the_later_events_give_the_same_state(
    steps: list[Step], at: int
) -> None:
    v = venue(1, 1)
    snapshots = {s: (stage.dump(), stage.seq, stage.ts_us) for s, stage in v.stages.items()}
    for number, step in enumerate(steps, 1):
        for command in commands(v, number, step):
            v.run(command)
        if number == at:
            snapshots = {s: (stage.dump(), stage.seq, stage.ts_us) for s, stage in v.stages.items()}
    twin = TwoStages()
    for shard, (state, seq, ts_us) in snapshots.items():
        twin.stages[shard].load(state, seq, ts_us)
        assert twin.stages[shard].dump() == state
    for shard, r in v.log:
        if r.seq > snapshots[shard][1]:
            twin.stages[shard].replay(r.seq, r.ts_us, r.event)
    for shard, stage in v.stages.items():
        assert twin.stages[shard].dump() == stage.dump()
        twin.stages[shard].verify()


def solvent(v: TwoStages) -> None:
    """A cash account never owes more than the cents that rounding fill by fill may add up to."""
    for stage in v.orders:
        for account in stage.accounts.values():
            fills = sum(1 for _, r in v.log if type(r.event).__name__ == "OrderFilled")
            if account.account_type == "CASH":
                assert account.cash - account.reserved >= -2 * fills
                assert all(position.qty >= 0 for position in account.positions.values())


def shares(v: TwoStages) -> dict[str, int]:
    """Shares of each symbol over all accounts."""
    total = dict.fromkeys(SYMBOLS, 0)
    for stage in v.orders:
        for account in stage.accounts.values():
            for symbol, position in account.positions.items():
                total[symbol] += position.qty
    return total
