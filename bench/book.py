"""One book alone: commands a second as `book play --bench` counts them, beside liquibook.

The mix: 1,000,000 commands, 53 % new limit orders with prices spread around a common middle, one
trade to every five commands, and 47 % cancels of a random order placed before, open or not.
Both books get the same commands in the same run, read beforehand, by turns; the figure is the
median. Ours includes finding duplicate ids and making the line of every trade. liquibook gets an
order object a command, a dict to find it again by id, and no listeners, which is its fastest use.

The cancel cost is shown on 100,000 resting orders, in levels of 100 and in one level: half of them
are cancelled in random order.
"""

import gc
import importlib
import importlib.util
import json
import random
import statistics
import time
from typing import Any

from nexustrade.matching.play import Command, Journal, Play, measure, parse

COMMANDS = 1_000_000
PLAYS = 5
RESTING = 100_000


def mix(count: int, seed: int) -> list[str]:
    """The commands as lines of a file."""
    rng = random.Random(seed)
    placed: list[int] = []
    lines: list[str] = []
    for number in range(count):
        if not placed or rng.random() < 0.53:
            side, away = ("B", -6) if rng.random() < 0.5 else ("S", 6)
            price = 10_000 + away + round(rng.gauss(0, 8))
            lines.append(f"N,{number},{side},L,GTC,{price},{rng.randint(1, 100)},,")
            placed.append(number)
        else:
            at = rng.randrange(len(placed))
            lines.append(f"C,{placed[at]},,,,,,,")
            placed[at] = placed[-1]
            placed.pop()
    return lines


def liquibook_rate(lines: list[str]) -> float:
    """Commands per second of liquibook's order book, commands read before."""
    liquibook: Any = importlib.import_module("liquibook")
    commands: list[tuple[bool, str, bool, int, int]] = []
    for line in lines:
        fields = line.split(",")
        if fields[0] == "N":
            commands.append((True, fields[1], fields[2] == "B", int(fields[5]), int(fields[6])))
        else:
            commands.append((False, fields[1], False, 0, 0))
    book: Any = liquibook.liquibook_book_OrderBook()
    orders: dict[str, Any] = {}
    order_class: Any = liquibook.SimpleOrder
    add, cancel = book.add, book.cancel
    gc.collect()
    gc.disable()
    started_s = time.perf_counter()
    for is_new, order_id, is_buy, price, qty in commands:
        if is_new:
            order = order_class(is_buy, price, qty)
            orders[order_id] = order
            add(order)
        else:
            cancel(orders.pop(order_id))
    elapsed_s = time.perf_counter() - started_s
    gc.enable()
    return len(commands) / elapsed_s


def cancel_ns(depth: int, seed: int) -> float:
    """Nanoseconds a cancel takes among `RESTING` orders in levels of `depth` orders."""
    rng = random.Random(seed)
    numbers = list(range(RESTING))
    rng.shuffle(numbers)
    placing = [f"N,{number},B,L,GTC,{1 + number // depth},5,," for number in range(RESTING)]
    play = Play(Journal(events=False), replace_requeues=False)
    play.play(parse(placing))
    cancels: list[Command] = parse(f"C,{number}" for number in numbers[: RESTING // 2])
    gc.collect()
    gc.disable()
    started_s = time.perf_counter()
    play.play(cancels)
    elapsed_s = time.perf_counter() - started_s
    gc.enable()
    if len(play.book.orders) != RESTING - len(cancels):
        raise SystemExit("not every cancel found its order")
    return elapsed_s / len(cancels) * 1e9


def run(commands: int = COMMANDS, seed: int = 1) -> dict[str, object]:
    """Figures of one run."""
    lines = mix(commands, seed)
    parsed = parse(lines)
    play = Play(Journal(events=False), replace_requeues=False)
    play.play(parsed)
    trades = len(play.journal.lines)
    del play
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(PLAYS):
        ours.append(measure(parsed, 1, replace_requeues=False))
        theirs.append(liquibook_rate(lines))
    del parsed
    return {
        "commands": commands,
        "new": sum(line.startswith("N") for line in lines),
        "trades": trades,
        "plays": PLAYS,
        "compiled": _compiled(),
        "commands_per_s": round(statistics.median(ours)),
        "liquibook_commands_per_s": round(statistics.median(theirs)),
        "cancel_ns_in_levels_of_100": round(
            statistics.median(cancel_ns(100, seed) for _ in range(PLAYS))
        ),
        "cancel_ns_in_one_level_of_100000": round(
            statistics.median(cancel_ns(RESTING, seed) for _ in range(PLAYS))
        ),
    }


def _compiled() -> bool:
    """Whether the book and the play of this installation are compiled."""
    for name in ("nexustrade.matching.book", "nexustrade.matching.play"):
        spec = importlib.util.find_spec(name)
        if spec is None or not (spec.origin or "").endswith((".so", ".pyd")):
            return False
    return True


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
