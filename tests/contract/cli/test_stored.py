"""Commands that read the databases: audit and export, on a real server."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from nexustrade.adapters.postgres.event_store import PostgresEventStore
from nexustrade.console.export import write_rows
from nexustrade.core.terms import BUY, GTC, LIMIT, SELL
from nexustrade.kernel.chain import GENESIS, seal_all
from nexustrade.kernel.ports import Append
from nexustrade.orders.messages import SubmitOrder
from tests.two_stages import TwoStages
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_venue import describe

SHARE = 100_000_000


def traded() -> TwoStages:
    """Alice has sold three shares to bob."""
    stages = TwoStages()
    stages.list("AAPL", shortable=True)
    stages.open("alice", "MARGIN", shorting=True)
    stages.open("bob")
    stages.start()
    for account, side, order_id in (("alice", SELL, "o-1"), ("bob", BUY, "o-2")):
        stages.run(
            SubmitOrder(
                account, order_id, order_id, "AAPL", side, LIMIT, GTC, 3 * SHARE, limit_px=1_000_500
            )
        )
    return stages


@pytest.fixture
async def stored(postgres_store: PostgresEventStore) -> TwoStages:
    """The events of `traded`, stored."""
    stages = traded()
    for shard in stages.stages:
        claimed = await postgres_store.claim(shard)
        recorded = [r for at, r in stages.log if at == shard]
        rows = seal_all(GENESIS, shard, recorded)
        await postgres_store.append([Append(shard, claimed.epoch, 0, rows)], {})
    return stages


@pytest.fixture
def at_hand(
    trading_dsn: str, accounts_dsn: str, venue_data: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The databases are those of the environment, the venue is away; the event store's DSN."""
    monkeypatch.setenv("NEXUSTRADE_TRADING_DSN", trading_dsn)
    monkeypatch.setenv("NEXUSTRADE_ACCOUNTS_DSN", accounts_dsn)
    assert not venue_data.exists()
    return trading_dsn


async def in_thread(run: Run, *arguments: str) -> tuple[int, str, str]:
    """Run a command that has an event loop of its own."""
    return await asyncio.to_thread(run, *arguments)


async def test_whole_streams_pass_the_audit(run: Run, stored: TwoStages, at_hand: str) -> None:
    code, out, err = await in_thread(run, "audit", "verify", "--json")
    assert (code, err) == (0, "")
    rows = {row["stream"]: row for row in json.loads(out)}
    assert sorted(rows) == ["matching-0", "orders-0"]
    orders = rows["orders-0"]
    assert orders["events"] == sum(shard == "orders-0" for shard, _ in stored.log)
    kept = f"orders-0:{orders['last_seq']}:{orders['last_hash']}"
    assert (await in_thread(run, "audit", "verify", "--known", kept))[0] == 0
    other = f"orders-0:{orders['last_seq']}:{'0' * 64}"
    code, _, err = await in_thread(run, "audit", "verify", "--known", other)
    assert code == 1
    assert "no longer has" in err
    assert at_hand


async def test_an_audit_of_its_own_knows_every_event(stored: TwoStages, at_hand: str) -> None:
    assert stored.log
    command = [sys.executable, "-m", "nexustrade.cli", "audit", "verify"]
    environ = os.environ | {"NEXUSTRADE_TRADING_DSN": at_hand}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_changed_event_fails_the_audit(run: Run, stored: TwoStages, at_hand: str) -> None:
    assert stored.log
    with psycopg.connect(at_hand, autocommit=True) as connection:
        connection.execute("UPDATE order_events SET price = 99 WHERE event_type = 'OrderAccepted'")
    code, out, err = await in_thread(run, "audit", "verify", "--stream", "orders-0")
    assert code == 1
    assert "orders-0" in out
    assert "price" in err
    assert (await in_thread(run, "audit", "verify", "--stream", "matching-0"))[0] == 0
    assert (await in_thread(run, "audit", "verify", "--stream", "x-9"))[0] == 1


async def test_the_log_of_an_order(run: Run, stored: TwoStages, at_hand: str) -> None:
    assert stored.log
    assert at_hand
    _, out, _ = await in_thread(run, "audit", "log", "--order", "o-2", "--json")
    kinds = [row["event_type"] for row in json.loads(out)]
    assert kinds == ["OrderAccepted", "Traded", "OrderFilled"]
    assert (await in_thread(run, "audit", "log", "--order", "o-9"))[0] == 1
    _, out, _ = await in_thread(run, "audit", "log", "--limit", "2", "--json")
    times = [row["event_time"] for row in json.loads(out)]
    assert len(times) == 2
    assert times == sorted(times)
    table = (await in_thread(run, "audit", "log", "--account", "bob"))[1]
    assert "AccountOpened" in table


async def test_events_are_exported(
    run: Run, stored: TwoStages, at_hand: str, tmp_path: Path
) -> None:
    assert at_hand
    out = tmp_path / "events.jsonl"
    ran = await in_thread(
        run, "export", "events", "--format", "jsonl", "--out", str(out), "--account", "alice"
    )
    assert ran[0] == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["account_id"] for row in rows} == {"alice"}
    assert "price" in rows[0]
    assert all(row["price"] in (None, "100.05") for row in rows)
    assert not list(tmp_path.glob("*.part"))
    whole = await in_thread(run, "export", "events")
    assert len(list(csv.DictReader(io.StringIO(whole[1])))) == len(stored.log)
    assert f"{len(stored.log)} rows" in whole[2]


async def test_orders_and_fills_are_exported(run: Run, at_hand: str, tmp_path: Path) -> None:
    assert at_hand
    for what in ("orders", "fills"):
        code, out, _ = await in_thread(run, "export", what)
        assert code == 0
        assert out.startswith(("order_id,", "account_id,"))
    code, _, err = await in_thread(run, "export", "fills", "--out", str(tmp_path / "no" / "file"))
    assert code == 1
    assert "No such file" in err


async def test_a_running_venues_databases_are_found(
    run: Run, stored: TwoStages, trading_dsn: str, venue_data: Path
) -> None:
    assert stored.log
    describe(venue_data, "http://127.0.0.1:1", trading_dsn=trading_dsn)
    assert (await in_thread(run, "audit", "verify"))[0] == 0


async def test_a_database_that_is_away_is_exit_code_3(
    run: Run, venue_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not venue_data.exists()
    for which in ("TRADING", "ACCOUNTS"):
        monkeypatch.setenv(f"NEXUSTRADE_{which}_DSN", "host=127.0.0.1 port=1 dbname=x")
    for arguments in (["audit", "verify"], ["audit", "log"], ["export", "fills"]):
        assert (await in_thread(run, *arguments))[0] == 3


def test_rows_are_written_exactly_and_harmlessly() -> None:
    row = {
        "a": Decimal("100.0500"),
        "b": datetime(2026, 11, 23, 10, tzinfo=UTC),
        "c": None,
        "d": "=1+1",
        "e": Decimal("-5.00"),
        "f": 7,
    }
    file = io.StringIO()
    assert write_rows(file, "csv", list(row), [row]) == 1
    assert file.getvalue() == "a,b,c,d,e,f\n100.05,2026-11-23T10:00:00Z,,'=1+1,-5,7\n"
    file = io.StringIO()
    assert write_rows(file, "jsonl", list(row), [row]) == 1
    assert json.loads(file.getvalue()) == {
        "a": "100.05", "b": "2026-11-23T10:00:00Z", "c": None, "d": "=1+1", "e": "-5", "f": 7,
    }  # fmt: skip
