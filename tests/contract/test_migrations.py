"""The schemas: made at start, left alone when they are there, refused when they are newer."""

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import psycopg
import pytest

from nexustrade.core.errors import DatabaseNewer, StoreUnavailable
from nexustrade.migrations import REVISIONS, Which, revision, scripts, upgrade
from tests.conftest import NewDatabase

BOTH: tuple[Which, ...] = get_args(Which)


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return {row[0] for row in connection.execute(query)}


@pytest.mark.parametrize("which", BOTH)
def test_the_known_revisions_are_the_shipped_ones(which: Which) -> None:
    assert scripts.shipped(which) == REVISIONS[which]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("trading", {"order_events", "es_shard", "es_watermark", "es_snapshot"}),
        (
            "accounts",
            {
                "accounts",
                "api_keys",
                "watchlists",
                "instruments",
                "order_history",
                "fills",
                "cash_movements",
                "account_equity",
                "projection_checkpoint",
            },
        ),
    ],
)
def test_an_empty_database_gets_its_tables_once(
    new_database: NewDatabase, which: Which, expected: set[str]
) -> None:
    dsn = new_database("")
    assert revision(dsn) == ""
    assert upgrade(dsn, which)
    assert tables(dsn) == {*expected, "alembic_version"}
    assert revision(dsn) == REVISIONS[which][-1]
    assert not upgrade(dsn, which)


@pytest.mark.parametrize("which", BOTH)
def test_a_newer_database_is_refused(new_database: NewDatabase, which: Which) -> None:
    dsn = new_database(which)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseNewer, match=f"{which} database is at revision 9999"):
        upgrade(dsn, which)
    assert revision(dsn) == "9999"


def test_two_programs_migrate_one_after_the_other(new_database: NewDatabase) -> None:
    dsn = new_database("")
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(upgrade, dsn, "accounts") for _ in range(2)]
        assert sorted(one.result() for one in done) == [False, True]


def test_a_failed_migration_leaves_nothing(new_database: NewDatabase) -> None:
    dsn = new_database("")
    with psycopg.connect(dsn) as connection:
        # The last of the schema's tables is in the way.
        connection.execute("CREATE TABLE es_snapshot ()")
    with pytest.raises(StoreUnavailable, match="cannot be migrated"):
        upgrade(dsn, "trading")
    assert tables(dsn) == {"es_snapshot"}


def test_an_unreachable_database_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        upgrade("host=/nowhere dbname=x", "trading")
    with pytest.raises(StoreUnavailable):
        revision("host=/nowhere dbname=x")


def test_no_money_column_is_a_float(trading_dsn: str, accounts_dsn: str) -> None:
    # float: what is looked for
    floats = """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type IN ('real', 'double precision', 'money')
    """
    for dsn in (trading_dsn, accounts_dsn):
        with psycopg.connect(dsn) as connection:
            assert connection.execute(floats).fetchall() == []
