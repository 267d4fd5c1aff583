"""The demo's plan: repeatable, never crossed, never empty."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexustrade.core.terms import BUY, GTC, MARKET, SELL
from nexustrade.demo.plan import NOISE_RESTING_MAX, Planner, Steps, Working, terms_of
from nexustrade.kernel.config import load_config
from nexustrade.matching.messages import InstrumentDefined

MAKERS = ["demo-maker-1", "demo-maker-2"]
NOISE = ["demo-noise-1", "demo-noise-2", "demo-noise-3"]
NOW_US = 1_763_900_000_000_000


def listed(symbol: str = "AAPL", reference_px: int = 2_715_000) -> InstrumentDefined:
    return InstrumentDefined(symbol, 100, 100_000_000, reference_px=reference_px)


def planner(*instruments: InstrumentDefined, seed: int = 1) -> Planner:
    return Planner(seed, instruments or (listed(),), MAKERS, NOISE, 5)


def standing(steps: Steps, working: list[Working] | None = None) -> list[Working]:
    """What stands after a step when nothing trades."""
    gone = {cancel.order_id for cancel in steps.cancels}
    kept = [each for each in working or [] if each.order_id not in gone]
    return kept + [
        Working(each.order_id, each.account_id, each.symbol, each.side, each.limit_px,
                each.order_qty)
        for each in steps.orders
        if each.time_in_force == GTC
    ]  # fmt: skip


def sides(working: list[Working]) -> tuple[list[int], list[int]]:
    bids = [each.price for each in working if each.side == BUY]
    return bids, [each.price for each in working if each.side == SELL]


def play(plan: Planner, steps: int) -> list[Steps]:
    """Play a market in which nothing trades."""
    working: dict[str, list[Working]] = {each: [] for each in plan.symbols}
    fair = {symbol: plan.terms[symbol].reference for symbol in plan.symbols}
    played = []
    for step in range(steps):
        symbol = plan.symbol_of(step)
        made = plan.plan(step, fair[symbol], working[symbol], NOW_US + step)
        fair[symbol], working[symbol] = made.fair, standing(made, working[symbol])
        played.append(made)
    return played


def test_the_same_seed_makes_the_same_market() -> None:
    instruments = [listed("AAPL"), listed("MSFT", 4_721_000)]
    first = play(planner(*instruments), 300)
    assert first == play(planner(*instruments), 300)
    assert first != play(planner(*instruments, seed=2), 300)


def test_order_ids_never_come_again_in_a_later_run() -> None:
    plan = planner()
    ids = [order.order_id for steps in play(plan, 300) for order in steps.orders]
    assert len(set(ids)) == len(ids)
    now = plan.plan(3, 2_715_000, [], NOW_US)
    later = plan.plan(3, 2_715_000, [], NOW_US + 1_000)
    assert not {each.order_id for each in now.orders} & {each.order_id for each in later.orders}
    assert all(each.cl_ord_id == each.order_id for each in now.orders)


def test_an_empty_book_gets_the_whole_ladder_and_the_backstops() -> None:
    made = planner().replenish(0, "AAPL", 2_715_000, [], NOW_US)
    bids, asks = sides(standing(made))
    assert len(bids) == len(asks) == 5 + len(MAKERS)
    assert max(bids) < 2_715_000 < min(asks)
    collar = 2_715_000 * 50_000 // 1_000_000
    assert sum(price < 2_715_000 - collar for price in bids) == len(MAKERS)
    assert sum(price > 2_715_000 + collar for price in asks) == len(MAKERS)


def test_a_full_book_is_left_alone() -> None:
    plan = planner()
    working = standing(plan.replenish(0, "AAPL", 2_715_000, [], NOW_US))
    assert plan.replenish(1, "AAPL", 2_715_000, working, NOW_US).commands() == 0


def test_a_hit_level_is_filled_and_the_price_gives_way() -> None:
    plan = planner()
    working = standing(plan.replenish(0, "AAPL", 2_715_000, [], NOW_US))
    best_ask = min(sides(working)[1])
    bought = [each for each in working if (each.side, each.price) != (SELL, best_ask)]
    made = plan.replenish(1, "AAPL", 2_715_000, bought, NOW_US)
    assert made.fair > 2_715_000
    assert any(order.side == SELL for order in made.orders)


def test_a_level_with_half_of_its_size_left_is_not_touched() -> None:
    plan = planner()
    working = standing(plan.replenish(0, "AAPL", 2_715_000, [], NOW_US))
    first = working[0]
    half = [first._replace(leaves_qty=-(-first.leaves_qty // 2)), *working[1:]]
    assert plan.replenish(1, "AAPL", 2_715_000, half, NOW_US).commands() == 0
    less = [first._replace(leaves_qty=first.leaves_qty // 4), *working[1:]]
    made = plan.replenish(1, "AAPL", 2_715_000, less, NOW_US)
    assert made.orders[0].limit_px <= first.price
    assert made.orders[0].side == BUY


@given(
    fair=st.integers(2_200_000, 3_200_000),
    moves=st.lists(st.integers(0, 10**9), min_size=1, max_size=30),
)
def test_no_step_empties_or_crosses_the_ladder(fair: int, moves: list[int]) -> None:
    plan = planner()
    working = standing(plan.replenish(0, "AAPL", fair, [], NOW_US))
    for step in moves:
        made = plan.plan(step, fair, working, NOW_US)
        quotes = [order for order in made.orders if order.account_id in MAKERS]
        bids, asks = sides(working)
        # The new quotes meet the old ones, as those are cancelled later.
        assert all(order.limit_px < min(asks) for order in quotes if order.side == BUY)
        assert all(order.limit_px > max(bids) for order in quotes if order.side == SELL)
        if quotes:
            after = standing(made, working)
            assert [len(side) for side in sides(after)] == [7, 7]
            working, fair = after, made.fair


@given(
    reference=st.integers(1, 50_000_000),
    tick=st.sampled_from([1, 10, 100, 500]),
    lot=st.sampled_from([10_000, 100_000_000, 10_000_000_000]),
    qty_max=st.sampled_from([0, 1, 100]),
    notional_max=st.sampled_from([0, 100_000, 100_000_000]),
    collar=st.sampled_from([1, 50_000, 900_000]),
)
def test_every_order_keeps_the_instruments_rules(
    reference: int, tick: int, lot: int, qty_max: int, notional_max: int, collar: int
) -> None:
    reference = -(-reference // tick) * tick
    instrument = InstrumentDefined(
        "X", tick, lot, reference_px=reference, collar_ppm=collar,
        order_qty_max=qty_max * lot, order_notional_max=notional_max,
    )  # fmt: skip
    plan = planner(instrument)
    made = [plan.replenish(0, "X", reference, [], NOW_US)]
    made += [plan.plan(step, reference, [], NOW_US) for step in range(1, 20)]
    for order in (order for steps in made for order in steps.orders):
        assert order.order_qty > 0
        assert order.order_qty % lot == 0
        assert order.limit_px % tick == 0
        assert (order.limit_px > 0) is (order.ord_type != MARKET)
        assert not qty_max or order.order_qty <= qty_max * lot
        if notional_max and order.order_qty > lot:
            assert order.limit_px * order.order_qty <= notional_max * 10**10


def test_the_fair_price_stays_near_the_reference_price() -> None:
    plan = planner()
    terms = plan.terms["AAPL"]
    assert terms.clamp(10**9) == 2_715_000 * 120 // 100
    assert terms.clamp(0) == 2_715_000 * 80 // 100


def test_a_restart_goes_on_between_the_quotes_that_stand() -> None:
    plan = planner()
    working = standing(plan.replenish(0, "AAPL", 2_750_000, [], NOW_US))
    middle = plan.fair_of("AAPL", working, 0)
    assert plan.replenish(0, "AAPL", middle, working, NOW_US).commands() == 0
    assert plan.fair_of("AAPL", [], 2_600_000) == 2_600_000
    assert plan.fair_of("AAPL", [], 0) == 2_715_000


def test_noise_traders_take_their_old_orders_back() -> None:
    plan = planner()
    trades = [step for step in range(60) if plan.plan(step, 2_715_000, [], NOW_US).orders]
    noisy = next(
        step for step in trades
        if plan.plan(step, 2_715_000, [], NOW_US).orders[0].account_id in NOISE
    )  # fmt: skip
    trader = plan.noise_trader_of(noisy)
    old = Working("old", trader, "AAPL", BUY, 2_700_000, 100_000_000)
    assert [each.order_id for each in plan.plan(noisy, 2_715_000, [old], NOW_US).cancels] == ["old"]


def test_noise_traders_leave_few_orders_in_the_books() -> None:
    plan = planner()
    for step in range(200):
        made = plan.plan(step, 2_715_000, [], NOW_US, noise_open=NOISE_RESTING_MAX)
        resting = [each for each in made.orders if each.time_in_force == GTC]
        assert not [each for each in resting if each.account_id in NOISE]


@pytest.mark.parametrize("at", range(20))
def test_each_default_instrument_gets_sensible_quotes(at: int) -> None:
    rules = load_config(None).instruments[at]
    defined = InstrumentDefined(**{name: getattr(rules, name) for name in rules.__struct_fields__})
    terms = terms_of(defined)
    plan = planner(defined)
    levels = plan.ladder(terms, terms.reference)
    worth = [level.price * level.size // 10**12 for level in levels]
    assert all(10_000 <= usd <= 1_000_000 for usd in worth)
    bids = sorted((level.price for level in levels if level.side == BUY), reverse=True)
    assert all(better > worse for better, worse in pairwise(bids))
