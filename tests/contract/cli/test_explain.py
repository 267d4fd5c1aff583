"""`nexustrade explain` on a real server: it finds all of a story, and nothing else."""

import json

import psycopg
import pytest

from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.console import explain as module
from nexustrade.kernel.chain import GENESIS, seal_all
from nexustrade.kernel.ports import Append, LogEntry
from nexustrade.kernel.stage import Recorded
from nexustrade.orders import messages as orders
from tests.contract.cli.test_stored import at_hand, in_thread
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_story import (
    EXPECTED,
    GROUP,
    SHARE,
    Recording,
    elected_after_two_partial_fills,
    filled,
    traded,
)

__all__ = ["at_hand"]


async def store(postgres_store: PostgresEventStore, entries: list[LogEntry]) -> None:
    for shard in {entry.shard for entry in entries}:
        claimed = await postgres_store.claim(shard)
        recorded = [
            Recorded(e.shard, e.seq, e.ts_us, e.cause, e.event) for e in entries if e.shard == shard
        ]
        rows = seal_all(GENESIS, shard, recorded)
        await postgres_store.append([Append(shard, claimed.epoch, 0, rows)], {})


def others(r: Recording) -> None:
    """What has nothing to do with the group, of the same accounts and the same price."""
    for n in range(3):
        order_id = f"other-{n}"
        order = orders.OrderAccepted(
            "alice", order_id, order_id, "AAPL", "SELL", "LIMIT", "DAY", SHARE, 0, 1_200_000
        )
        accepted = r.add("orders-0", "SubmitOrder", order)
        t = traded(100 + n, 1, 1_200_000, (order_id, "alice"), ("b-1", "bob"))
        trade = r.add("matching-0", accepted, t)
        r.add("orders-0", trade, filled(t, "alice", order_id, "MAKER"))
        r.add("orders-1", trade, filled(t, "bob", "b-1", "TAKER"))


@pytest.fixture
async def stored(postgres_store: PostgresEventStore) -> Recording:
    """The story of a group among other orders; its take-profit was to be replaced, too late."""
    r = elected_after_two_partial_fills()
    others(r)
    asked = orders.ReplaceRequested("alice", "tp-2", "tp", "mine-2", "AAPL", SHARE, 1, "GTC")
    r.add("orders-0", "ReplaceOrder", asked)
    await store(postgres_store, r.entries)
    return r


async def told(run: Run, *arguments: str) -> list[dict[str, object]]:
    code, out, err = await in_thread(run, "explain", *arguments, "--json")
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("name", ["tp", "sl", "mine", "tp-2", "mine-2"])
async def test_any_id_of_a_group_finds_its_whole_story(
    run: Run, stored: Recording, at_hand: str, name: str
) -> None:
    assert stored.entries
    assert at_hand
    rows = await told(run, name)
    story = [(row["event"], row["by"] or row["cause"]) for row in rows]
    assert story == [*EXPECTED, ("ReplaceRequested", "ReplaceOrder")]
    assert rows[0]["message"] == json.loads(
        '{"account_id":"alice","cl_ord_id":"mine","group_id":"tp","order_class":"OCO",'
        '"order_qty":"10","reserved_qty":"10","side":"SELL","sl_order_id":"sl","sl_stop_px":"90",'
        '"symbol":"AAPL","time_in_force":"GTC","tp_limit_px":"110","tp_order_id":"tp","v":1}'
    )
    assert await told(run, name, "--account", "alice") == rows


async def test_an_order_without_a_group(run: Run, stored: Recording, at_hand: str) -> None:
    assert stored.entries
    assert at_hand
    rows = await told(run, "other-1")
    story = [(row["event"], row["by"] or row["cause"]) for row in rows]
    assert story == [
        ("OrderAccepted", "SubmitOrder"),
        ("Traded", 1),
        ("OrderFilled", 2),
        ("OrderFilled", 2),
    ]


async def test_the_story_as_a_table(run: Run, stored: Recording, at_hand: str) -> None:
    assert stored.entries
    assert at_hand
    code, out, _ = await in_thread(run, "explain", "sl")
    assert code == 0
    elected = next(line.split() for line in out.splitlines() if "StopElected" in line)
    assert elected[0] == "19"
    assert elected[2:5] == ["matching-0:8", "#18", "StopElected"]
    shown = " ".join(elected[5:])
    assert shown == "the stop-loss is elected: trade 3 at 85 reached its stop 90, gapped through it"


async def test_what_is_not_there_and_what_is_not_clear(
    run: Run,
    postgres_store: PostgresEventStore,
    at_hand: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert at_hand
    r = Recording()
    for account in ("alice", "bob"):
        for n in range(2):
            r.now_us += 1_000
            order_id = f"{account}-{n}"
            order = orders.OrderAccepted(
                account, order_id, "same", "AAPL", "BUY", "LIMIT", "DAY", SHARE, 0, 1
            )
            r.add("orders-0", "SubmitOrder", order)
    await store(postgres_store, r.entries)
    code, _, err = await in_thread(run, "explain", "nothing")
    assert (code, err) == (1, "nexustrade: there is no order nothing\n")
    code, _, err = await in_thread(run, "explain", "same")
    assert code == 1
    assert "give --account: alice, bob" in err
    rows = await told(run, "same", "--account", "bob")
    assert [row["at"] for row in rows] == ["orders-0:4"]  # the latest that has the id
    monkeypatch.setattr(module, "EVENTS_MAX", 0)
    code, _, err = await in_thread(run, "explain", "bob-1")
    assert code == 1
    assert "more than 0 events" in err


async def test_every_look_up_has_an_index(trading_dsn: str) -> None:
    """No look-up reads the whole table, however large it is."""
    ids = {"ids": ["x"], "n": 10, "id": "x", "account": "a", "shards": ["s"], "seqs": [1]}
    by_ids = (module._OF_ORDERS, module._OF_GROUPS, module._OF_TAKE_PROFIT, module._OF_STOP_LOSS)
    by_more = (module._OF_REPLACED, module._AT, module._FILLS)
    clients = [query + " AND account_id = %(account)s" for query in module._OF_CLIENT]
    with psycopg.connect(trading_dsn) as connection:
        connection.execute("SET enable_seqscan = off")
        for query in (*by_ids, *by_more, *clients):
            plan = connection.execute(b"EXPLAIN " + query.encode(), ids | {"causes": ["c"]})
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan" not in text, text
            assert "Index Cond" in text, text


async def test_a_store_that_is_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUSTRADE_TRADING_DSN", "host=127.0.0.1 port=1 dbname=x")
    assert (await in_thread(run, "explain", GROUP.group_id))[0] == 3
