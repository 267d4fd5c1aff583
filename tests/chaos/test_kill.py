"""kill -9 of everything under load, again and again on one directory: nothing told is undone."""

import asyncio
import random
import time
from pathlib import Path

from nexustrade.adapters.postgres.embedded import EmbeddedServer
from nexustrade.adapters.postgres.event_store import PostgresEventStore
from tests.chaos.folded import Folded, everything_holds
from tests.chaos.load import Load, wait_until
from tests.running import START_TIMEOUT_S, RunningVenue

KILLS = 50
SEED = 20_261_123
IN_START = 0.3  # float: a share of kills
"""How many of the kills hit a venue that is still starting."""
STALLED = 0.4  # float: a share of kills
"""How many kills find the server stalled; others may let it come to the end of a commit."""
STALL_S = 0.1
STEPS = ("preparing", "starting", "migrating", "recovering", "declaring", "listening")
STEP_S_MAX = 0.4
ANSWERS_MAX = 500
FULL_CHECK_EVERY = 10


def test_what_was_told_survives_fifty_kills(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    venue = RunningVenue(tmp_path)
    load = Load(venue, SEED)
    folded = Folded()
    try:
        kill_at_random(venue, load, folded, chance)
        check_served(venue.start(), load, folded)
        final = asyncio.run(everything_holds(venue.trading_dsn, load.told))
        assert final.filled
        assert load.told.existing, "no retry found its order: the kills hit nothing"
        assert venue.stop() == 0, venue.log_path.read_text()[-5_000:]
        live_state_is_the_replayed_one(venue)
    finally:
        end(venue)


def kill_at_random(venue: RunningVenue, load: Load, folded: Folded, chance: random.Random) -> None:
    for kill in range(1, KILLS + 1):
        # The very first start makes the database, which is tried below.
        if chance.random() < IN_START:
            kill_in_start(venue, chance.choice(STEPS), chance.uniform(0, STEP_S_MAX))
            continue
        check_served(venue.start(), load, folded)
        if kill % FULL_CHECK_EVERY == 0:
            asyncio.run(everything_holds(venue.trading_dsn, load.told))
        load.start()
        load.wait_answers(chance.randint(1, ANSWERS_MAX))
        venue.kill(stall_s=STALL_S if chance.random() < STALLED else 0.0)
        load.stop()


def kill_in_start(venue: RunningVenue, step: str, after_s: float) -> None:
    """Kill a venue that has come to this step of its start, and a moment more."""
    said = venue.log_path.stat().st_size if venue.log_path.exists() else 0
    venue.start(wait=False)

    def reached() -> bool:
        return f"s  {step}".encode() in venue.log_path.read_bytes()[said:]

    wait_until(reached, START_TIMEOUT_S, step)
    time.sleep(after_s)
    venue.kill()


def check_served(venue: RunningVenue, load: Load, folded: Folded) -> None:
    """What a client finds after a restart: all it was told, and its repeats are safe."""
    asyncio.run(folded.catch_up(venue.trading_dsn))
    folded.verify()
    folded.honours(load.told)
    for account in ("alice", "bob"):
        shown = venue.request("GET", "/v2/account", key=f"{account}-key").body
        whole, _, part = shown["cash"].partition(".")
        assert int(whole) * 100 + int(part.ljust(2, "0")) == folded.orders.accounts[account].cash
    for body in list(load.told.accepted.values())[-20:]:
        account = "alice" if body["client_order_id"] in alices(folded) else "bob"
        again = venue.request("GET", f"/v2/orders/{body['id']}", key=f"{account}-key")
        assert again.status == 200, body
        assert again.body["client_order_id"] == body["client_order_id"]
    load.retry_unanswered()
    assert not load.told.unanswered


def alices(folded: Folded) -> set[str]:
    orders = folded.orders.orders.values()
    return {order.cl_ord_id for order in orders if order.account_id == "alice"}


def live_state_is_the_replayed_one(venue: RunningVenue) -> None:
    """The snapshots of the clean stop, taken from the live stages, are what the events fold to."""
    server = EmbeddedServer(venue.data)
    server.start()
    try:
        asyncio.run(compare_snapshots(server.dsn("trading")))
    finally:
        server.stop()


async def compare_snapshots(dsn: str) -> None:
    folded = await Folded().catch_up(dsn)
    store = PostgresEventStore(dsn)
    try:
        for stage in folded.stages:
            snapshot = await store.latest_snapshot(stage.shard)
            assert snapshot is not None
            assert (snapshot.seq, snapshot.ts_us) == (stage.seq, stage.ts_us)
            assert snapshot.state == folded.state(stage.shard)
    finally:
        await store.close()


def end(venue: RunningVenue) -> None:
    """Leave nothing running, whatever the test came to."""
    if venue.process is not None and venue.process.poll() is None:
        venue.kill()
    for left in venue.server_tree():
        left.kill()
