"""What the doctor finds in a database."""

from pathlib import Path

import psycopg
import pytest

from nexustrade.console import doctor
from nexustrade.console.doctor import FINE, WRONG, Finding


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "9999 is newer"),
        ("INSERT INTO es_shard VALUES ('x-0', 1, now() + '1 day', 1, 'primary', '')", "behind"),
    ],
)
def test_what_a_database_says(trading_dsn: str, tmp_path: Path, harm: str, said: str) -> None:
    durable = options(trading_dsn, "")
    found = examined(durable, tmp_path)
    assert found.state == FINE, found
    assert "PostgreSQL 18" in found.found
    with psycopg.connect(trading_dsn, autocommit=True) as connection:
        connection.execute(harm.encode())
    found = examined(durable, tmp_path)
    assert found.state == WRONG
    assert said in found.found


def options(dsn: str, more: str) -> str:
    return f"{dsn} options='-c synchronous_commit=on {more}'"


def examined(dsn: str, directory: Path) -> Finding:
    patch = pytest.MonkeyPatch()
    with patch.context() as within:
        within.setenv("NEXUSTRADE_TRADING_DSN", dsn)
        # The tests' server does not wait for the disk; this is about the rest.
        within.setattr(doctor, "DURABLE", ())
        return doctor.database(directory, "trading", None)


def test_a_server_that_may_lose_orders_is_wrong(
    trading_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUSTRADE_TRADING_DSN", trading_dsn)
    found = doctor.database(tmp_path, "trading", None)
    assert found.state == WRONG
    assert "fsync, full_page_writes, synchronous_commit is off" in found.found
    monkeypatch.setattr(doctor, "POSTGRES_MIN", 990_000)
    assert "newer" in doctor.database(tmp_path, "trading", None).mend
