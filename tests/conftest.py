"""What the tests share: one real PostgreSQL server, and fresh databases on it.

The server starts with the first test that wants it, and does not wait for the disk: no test of
its own durability uses it (those start their own).
"""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from nexustrade import migrations
from nexustrade.adapters.postgres.embedded import SUPERUSER, EmbeddedServer
from nexustrade.adapters.postgres.event_store import PostgresEventStore

FAST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
}

NewDatabase = Callable[[str], str]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A running server, whose databases `trading` and `accounts` are templates: leave them alone.

    They are migrated, and empty.
    """
    server = EmbeddedServer(tmp_path_factory.mktemp("postgres"), settings=FAST_SETTINGS)
    server.start()
    migrations.upgrade(server.dsn("trading"), "trading")
    migrations.upgrade(server.dsn("accounts"), "accounts")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def new_database(
    postgres_server: EmbeddedServer, database_numbers: Iterator[int]
) -> Iterator[NewDatabase]:
    """Call it with `trading` or `accounts`, or "" for one without a schema: the new one's DSN."""
    made: list[str] = []
    admin = postgres_server._conninfo("postgres", SUPERUSER)
    with psycopg.connect(admin, autocommit=True) as connection:

        def make(template: str) -> str:
            name = f"test_{next(database_numbers)}"
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER nexustrade TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template0")
                )
            )
            made.append(name)
            return make_conninfo(postgres_server.dsn("trading"), dbname=name)

        yield make
        for name in made:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


@pytest.fixture
def trading_dsn(new_database: NewDatabase) -> str:
    """An event store's database of the test's own, migrated and empty."""
    return new_database("trading")


@pytest.fixture
def accounts_dsn(new_database: NewDatabase) -> str:
    """An accounts database of the test's own, migrated and empty."""
    return new_database("accounts")


@pytest.fixture
async def postgres_store(trading_dsn: str) -> AsyncIterator[PostgresEventStore]:
    """An event store on a database of the test's own."""
    store = PostgresEventStore(trading_dsn)
    yield store
    await store.close()


@pytest.fixture
def venue_directory(tmp_path: Path) -> Path:
    """A directory for a venue, in a place that only we can reach and with a space in its name."""
    place = tmp_path / "a venue"
    place.mkdir(mode=0o700)
    return place
