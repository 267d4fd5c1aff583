"""Writes snapshots from the stored events, as a process of its own: the venue never pauses for it.

`python -m nexustrade.kernel.snapshotter KEEP_S STREAM...` with the event store's DSN in the
environment variable NEXUSTRADE_TRADING_DSN.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.kernel.bootstrap import make_stage
from nexustrade.kernel.ports import EventStore, Snapshot
from nexustrade.kernel.runtime import restore

NICENESS = 10


async def write_snapshot(store: EventStore, shard: str, closed_keep_s: int) -> Snapshot:
    """Fold a stream up to its head now and keep the state; the head may move on meanwhile."""
    head = await store.head(shard)
    stage = make_stage(shard, closed_keep_s)
    last_hash = await restore(store, stage, head.last_seq)
    stage.verify()
    snapshot = Snapshot(shard, stage.seq, stage.ts_us, last_hash, stage.dump())
    await store.save_snapshot(snapshot)
    return snapshot


async def write_snapshots(dsn: str, shards: Sequence[str], closed_keep_s: int) -> None:
    """One stream after the other, so that memory holds one state at a time."""
    store = PostgresEventStore(dsn)
    try:
        for shard in shards:
            await write_snapshot(store, shard, closed_keep_s)
    finally:
        await store.close()


if __name__ == "__main__":
    os.nice(NICENESS)
    asyncio.run(
        write_snapshots(os.environ["NEXUSTRADE_TRADING_DSN"], sys.argv[2:], int(sys.argv[1]))
    )
