"""Both stages without I/O: orders a second with every event emitted and applied, and replay.

The mix: 1,000 accounts, 20 symbols, 70 % limit orders around the touch of which about half trade,
30 % cancels of earlier orders. Commands are made beforehand; what is timed is `Flow.run` on each.
"""

import gc
import random
import time

from nexustrade.core.codec import Message, decode
from nexustrade.kernel.chain import GENESIS, seal_all
from nexustrade.kernel.flow import Flow
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Stage
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import DefineInstrument, OpenSession
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import AdjustPosition, CancelOrder, OpenAccount, SubmitOrder

ACCOUNTS = 1_000
SYMBOLS = 20
SHARE = 100_000_000
START_US = 1_700_000_000_000_000


def make_stages(routing: Routing) -> dict[str, Stage]:
    return {
        shard: OrdersStage(shard) if shard.startswith("orders-") else MatchingStage(shard)
        for shard in routing.shards()
    }


def opened() -> Flow:
    """A venue with its accounts open and funded and its session on."""
    routing = Routing(1, 1)
    flow = Flow(make_stages(routing), routing)
    for s in range(SYMBOLS):
        flow.run(DefineInstrument(f"S{s}", 100, SHARE, reference_px=1_000_000), START_US)
    for a in range(ACCOUNTS):
        flow.run(OpenAccount(f"account-{a}", "CASH", 10**12), START_US)
        for s in range(SYMBOLS):
            flow.run(AdjustPosition(f"account-{a}", f"S{s}", 10**6 * SHARE, 1), START_US)
    flow.run(OpenSession("day 1"), START_US)
    return flow


def commands(count: int, seed: int) -> list[Message]:
    """The mix, with ids of 36 characters as clients have them."""
    rng = random.Random(seed)
    made: list[Message] = []
    placed: list[tuple[str, str]] = []
    for n in range(count):
        if placed and rng.random() < 0.3:
            account, order_id = placed.pop(rng.randrange(max(0, len(placed) - 500), len(placed)))
            made.append(CancelOrder(account, order_id))
            continue
        account = f"account-{rng.randrange(ACCOUNTS)}"
        order_id = f"0198f000-0000-7000-8000-{n:012d}"
        side = "BUY" if rng.random() < 0.5 else "SELL"
        away = rng.randint(-3, 12) * 100
        price = 1_000_000 - away if side == "BUY" else 1_000_000 + away
        qty = rng.randint(1, 20) * SHARE
        made.append(
            SubmitOrder(
                account, order_id, order_id, f"S{rng.randrange(SYMBOLS)}", side, "LIMIT", "GTC",
                qty, 0, price,
            )
        )  # fmt: skip
        placed.append((account, order_id))
    return made


def run(count: int = 300_000, seed: int = 1) -> dict[str, object]:
    """Figures of one run; `count` commands."""
    flow = opened()
    base = {shard: (s.dump(), s.seq, s.ts_us) for shard, s in flow.stages.items()}
    flow.collect()
    made = commands(count, seed)
    orders = sum(isinstance(one, SubmitOrder) for one in made)
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    now_us = START_US
    for one in made:
        now_us += 10
        flow.run(one, now_us)
    elapsed = time.perf_counter() - started
    streams = flow.collect()
    events = sum(len(stream) for stream in streams.values())
    encoding = time.perf_counter()
    rows = {shard: seal_all(GENESIS, shard, stream) for shard, stream in streams.items()}
    encoding = time.perf_counter() - encoding
    twins = make_stages(Routing(1, 1))
    for shard, (state, seq, ts_us) in base.items():
        twins[shard].load(state, seq, ts_us)
    applying = time.perf_counter()
    for shard, stream in streams.items():
        twin = twins[shard]
        for r in stream:
            twin.replay(r.seq, r.ts_us, r.event)
    applying = time.perf_counter() - applying
    for shard, (state, seq, ts_us) in base.items():
        twins[shard].load(state, seq, ts_us)
    replaying = time.perf_counter()
    for shard, stored in rows.items():
        twin = twins[shard]
        for row in stored:
            twin.replay(row.seq, row.ts_us, decode(row.event_type, row.payload))
    replaying = time.perf_counter() - replaying
    gc.enable()
    for shard, stage in flow.stages.items():
        if twins[shard].dump() != stage.dump():
            raise SystemExit("replay gave another state")
    return {
        "commands": count,
        "orders": orders,
        "events": events,
        "orders_per_s": round(orders / elapsed),
        "commands_per_s": round(count / elapsed),
        "events_per_s": round(events / elapsed),
        "encode_and_chain_events_per_s": round(events / encoding),
        "replay_apply_events_per_s": round(events / applying),
        "replay_decode_and_apply_events_per_s": round(events / replaying),
    }


if __name__ == "__main__":
    print(run())
