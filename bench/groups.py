"""Parked stops and groups in the matching stage: what they cost those that they do not concern.

What is measured; all but the third in one stage partition with one symbol:

* A stream of commands near the middle of the market, none of which elects a stop, in a stage with
  nothing parked and in one with 100,000 stops and 100,000 OCO groups. Both take the same commands
  by turns; the figure is the median ratio of such pairs. Beside it stands what a cancel costs that
  comes too late: it looks for its order in every table before it is refused.
* One order whose trade elects a stop-loss, whose sale elects the next, 1,000 times over.
* Both stages, no I/O, where 30 % of the orders are groups: OCOs for shares that are held, and
  brackets whose limit entries stand near the middle. A group counts as one order, although it is
  two or three; prices move, so that entries fill and stops are elected.
* The memory of 100,000 OCO groups by what the process holds more than before, of a stage that took
  them and of one that folded their stored events.
"""

import gc
import os
import random
import statistics
import time
from pathlib import Path

from bench import stages
from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.ids import uuid7
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import DefineInstrument, OpenSession, StopElected
from nexustrade.orders.messages import (
    CancelOrder,
    CancelRequested,
    GroupAccepted,
    OrderAccepted,
    SubmitGroup,
    SubmitOrder,
)

SYMBOL = "AAPL"
SHARE = 100_000_000
TICK = 100
MIDDLE = 10_000_000
"""1,000 USD: a cascade of 1,000 ticks is 1 % of it, within the collar."""
PARKED = 100_000
ACCOUNTS = 1_000
COMMANDS = 30_000
WARM_PLAYS = 2
PLAYS = 9
ELECTIONS = 1_000
START_US = 1_790_000_000_000_000


def stage_of(groups: int, stops: int) -> MatchingStage:
    """An open stage with so many groups and stops, none near the middle."""
    stage = MatchingStage("matching-0")
    take(stage, DefineInstrument(SYMBOL, TICK, SHARE, reference_px=MIDDLE))
    take(stage, OpenSession("2026-11-23"))
    rng = random.Random("parked")
    for number in range(groups):
        take(stage, group(rng, number, rng.randint(1_000, 6_000)))
    for number in range(stops):
        take(stage, stop(rng, number))
    return stage


def take(stage: MatchingStage, message: Message) -> list[Recorded]:
    """Send a message as it comes from the stream of an orders stage: each text an own object."""
    name = type(message).__name__
    return stage.take(codec.decode(name, codec.encode(message)), START_US, "orders-0:1")


def name_of(rng: random.Random) -> str:
    """An id as the gateway gives it."""
    return uuid7(START_US // 1_000, rng.getrandbits(74))


def group(rng: random.Random, number: int, ticks_away: int, qty: int = SHARE) -> GroupAccepted:
    """An OCO that sells, its stop so many ticks below the middle."""
    group_id = name_of(rng)
    return GroupAccepted(
        f"account-{number % ACCOUNTS}",
        group_id,
        "client",
        "OCO",
        SYMBOL,
        "SELL",
        "GTC",
        qty,
        tp_order_id=group_id,
        tp_limit_px=MIDDLE + rng.randint(1_000, 6_000) * TICK,
        sl_order_id=name_of(rng),
        sl_stop_px=MIDDLE - ticks_away * TICK,
        reserved_qty=qty,
    )


def stop(rng: random.Random, number: int) -> OrderAccepted:
    """A stop order, below the middle to sell and above it to buy."""
    buys = number % 2 == 1
    away = rng.randint(1_000, 6_000) * TICK
    return OrderAccepted(
        f"account-{number % ACCOUNTS}",
        name_of(rng),
        "client",
        SYMBOL,
        "BUY" if buys else "SELL",
        "STOP",
        "GTC",
        SHARE,
        stop_px=MIDDLE + away if buys else MIDDLE - away,
    )


def stream(count: int, seed: int) -> list[Message]:
    """40 % limit orders around the middle of which most trade, the others away from it.

    Half of those away are orders, half cancels of one that is open.
    """
    rng = random.Random(f"stream {seed}")
    made: list[Message] = []
    away: list[tuple[str, str]] = []
    while len(made) < count:
        buys = rng.random() < 0.5
        ticks = round(rng.gauss(0, 6)) + (-3 if buys else 3)
        account, order_id = f"account-{rng.randrange(ACCOUNTS)}", name_of(rng)
        kind = rng.random()
        if kind < 0.3:
            if away:
                account, order_id = away.pop(rng.randrange(len(away)))
                made.append(CancelRequested(account, order_id, SYMBOL))
            continue
        if kind < 0.6:
            ticks = rng.randint(-120, -60) if buys else rng.randint(60, 120)
            away.append((account, order_id))
        made.append(
            OrderAccepted(
                account, order_id, "client", SYMBOL, "BUY" if buys else "SELL", "LIMIT", "GTC",
                rng.randint(1, 20) * SHARE, limit_px=MIDDLE + ticks * TICK, stp="ALLOW",
            )
        )  # fmt: skip
    return made


def play(stage: MatchingStage, messages: list[Message]) -> float:
    """Seconds that a stage takes for messages."""
    events: list[Recorded] = []
    gc.collect()
    gc.disable()
    started_s = time.perf_counter()
    for message in messages:
        stage.take_into(events, message, START_US, "orders-0:1")
        events.clear()
    elapsed_s = time.perf_counter() - started_s
    gc.enable()
    return elapsed_s


def burden() -> dict[str, float]:
    """What a command that elects nothing costs with and without parked stops and groups."""
    empty, full = stage_of(0, 0), stage_of(PARKED, PARKED)
    parked = len(full.books[SYMBOL].stops.orders)
    without: list[float] = []
    with_parked: list[float] = []
    for at in range(WARM_PLAYS + PLAYS):
        messages = stream(COMMANDS, at)
        without.append(play(empty, messages))
        with_parked.append(play(full, messages))
    if len(full.books[SYMBOL].stops.orders) != parked or len(full.groups) != PARKED:
        raise SystemExit("a stop was elected")
    pairs = list(zip(with_parked, without, strict=True))[WARM_PLAYS:]
    return {
        "command_us_none_parked": statistics.median(one for _, one in pairs) / COMMANDS * 1e6,
        "command_us_200000_parked": statistics.median(one for one, _ in pairs) / COMMANDS * 1e6,
        "cost_ratio": statistics.median(one / other for one, other in pairs),
        "late_cancel_us_none_parked": late_cancel_us(empty),
        "late_cancel_us_200000_parked": late_cancel_us(full),
    }


def late_cancel_us(stage: MatchingStage) -> float:
    """Microseconds that a cancel of an order takes that is gone."""
    rng = random.Random("late")
    gone: list[Message] = [
        CancelRequested("account-1", name_of(rng), SYMBOL) for _ in range(COMMANDS)
    ]
    return play(stage, gone) / COMMANDS * 1e6


def cascade_ms() -> float:
    """One sale that elects a stop-loss, whose sale elects the next, and so on."""
    stage = stage_of(0, 0)
    rng = random.Random("cascade")
    for step in range(ELECTIONS + 1):
        px = MIDDLE - (step + 1) * TICK
        take(stage, limit(rng, "BUY", px))
        if step < ELECTIONS:
            take(stage, group(rng, step, step + 1))
    first = limit(rng, "SELL", MIDDLE - TICK)
    gc.collect()
    gc.disable()
    started_s = time.perf_counter()
    recorded = stage.take(first, START_US, "orders-0:1")
    elapsed_s = time.perf_counter() - started_s
    gc.enable()
    if sum(isinstance(one.event, StopElected) for one in recorded) != ELECTIONS or stage.groups:
        raise SystemExit("the cascade did not run to its end")
    return elapsed_s * 1e3


def limit(rng: random.Random, side: str, px: int) -> OrderAccepted:
    """A limit order of one share."""
    return OrderAccepted(
        f"one that {side}s",
        name_of(rng),
        "client",
        SYMBOL,
        side,
        "LIMIT",
        "GTC",
        SHARE,
        limit_px=px,
    )


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory() -> dict[str, float]:
    """Bytes for each parked group, in a stage that took them and in one that folded the events."""
    rng = random.Random("memory")
    live = stage_of(1, 0)
    replica = MatchingStage("matching-0")
    replica.load(live.dump(), live.seq, live.ts_us)
    before = resident()
    for number in range(PARKED):
        take(live, group(rng, number, rng.randint(1_000, 6_000)))
    after_live = resident()
    # The same events from their stored bytes, made anew so that nothing else is held meanwhile.
    rng = random.Random("memory")
    twin = stage_of(1, 0)
    for number in range(PARKED):
        recorded = take(twin, group(rng, number, rng.randint(1_000, 6_000)))
        for one in recorded:
            name = type(one.event).__name__
            event = codec.decode(name, codec.encode(one.event))
            replica.replay(one.seq, one.ts_us, event)
    after_both = resident()
    both = (after_both - after_live) / PARKED
    live_bytes = (after_live - before) / PARKED
    return {"bytes_per_group": live_bytes, "bytes_per_group_replayed": both - live_bytes}


def mix(count: int, seed: int) -> list[Message]:
    """Commands of both stages: 21 % groups, 49 % limit orders, 30 % cancels of recent ones."""
    rng = random.Random(seed)
    made: list[Message] = []
    placed: list[tuple[str, str]] = []
    middle = 1_000_000
    for _ in range(count):
        middle += rng.choice((-200, -100, 0, 100, 200))
        middle = max(900_000, min(1_100_000, middle))
        kind = rng.random()
        if placed and kind < 0.3:
            account, order_id = placed.pop(rng.randrange(max(0, len(placed) - 500), len(placed)))
            made.append(CancelOrder(account, order_id))
            continue
        account = f"account-{rng.randrange(stages.ACCOUNTS)}"
        symbol = f"S{rng.randrange(stages.SYMBOLS)}"
        order_id = name_of(rng)
        side = "BUY" if rng.random() < 0.5 else "SELL"
        away = rng.randint(-3, 12) * 100
        price = middle - away if side == "BUY" else middle + away
        qty = rng.randint(1, 20) * SHARE
        placed.append((account, order_id))
        if kind >= 0.51:
            made.append(
                SubmitOrder(
                    account, order_id, order_id, symbol, side, "LIMIT", "GTC", qty, 0, price
                )
            )
        else:
            made.append(_group_command(rng, account, order_id, symbol, price, qty))
    return made


def _group_command(
    rng: random.Random, account: str, order_id: str, symbol: str, price: int, qty: int
) -> SubmitGroup:
    # Far enough from the last price of any symbol that most are accepted, near enough to trade.
    oco = rng.random() < 0.5
    reach = rng.randint(1, 40) * 500
    tp_id = order_id if oco else name_of(rng)
    return SubmitGroup(
        account,
        order_id,
        order_id,
        "OCO" if oco else "BRACKET",
        symbol,
        "SELL" if oco else "BUY",
        "GTC",
        qty,
        "LIMIT",
        0 if oco else price,
        0,
        tp_id,
        "",
        1_100_000 + reach if oco else price + 500 + reach,
        name_of(rng),
        "",
        900_000 - reach if oco else price - 500 - reach,
    )


def both_stages(count: int = 150_000) -> dict[str, float]:
    """Orders a second through both stages, a group counting as one, and what became of groups."""
    flow = stages.opened()
    flow.collect()
    made = mix(count, 1)
    orders = sum(not isinstance(one, CancelOrder) for one in made)
    groups = sum(isinstance(one, SubmitGroup) for one in made)
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    now_us = START_US
    for one in made:
        now_us += 10
        flow.run(one, now_us)
    elapsed = time.perf_counter() - started
    gc.enable()
    names = [type(one.event).__name__ for one in flow.events]
    for stage in flow.stages.values():
        stage.verify()
    return {
        "orders_per_s_with_groups": round(orders / elapsed),
        "group_share": round(groups / orders, 3),
        "groups_accepted_share": round(names.count("GroupAccepted") / groups, 3),
        "groups_closed": names.count("GroupClosed"),
        "stops_elected": names.count("StopElected"),
    }


def run() -> dict[str, object]:
    """Figures of one run. Memory goes first, while the process has freed nothing yet."""
    figures: dict[str, object] = {"parked": PARKED, "elections": ELECTIONS}
    figures |= memory()
    figures |= burden()
    figures |= both_stages()
    figures["cascade_ms"] = statistics.median(cascade_ms() for _ in range(PLAYS))
    return figures


if __name__ == "__main__":
    print(run())
