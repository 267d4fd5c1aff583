"""The schemas of the `trading` and `accounts` databases, brought up to date at start.

Forward only in operation: a database that is newer than the program is refused and not touched.
"""

import time
from typing import Final, Literal

import psycopg
from psycopg import sql

from nexustrade.core.errors import DatabaseNewer, StoreUnavailable

Which = Literal["trading", "accounts"]

REVISIONS: Final[dict[Which, tuple[str, ...]]] = {
    "trading": ("0001", "0002"),
    "accounts": ("0001", "0002"),
}
"""Every revision of each schema, oldest first; a test holds it against the scripts."""

LOCK_WAIT_S: Final = 60.0
"""Longest wait for another program that is migrating the same database."""
LOCK_POLL_S: Final = 0.05
CONNECT_TIMEOUT_S: Final = 5
_LOCK_KEY: Final = 0x6E65_7875_736D_6967
"""Advisory lock of whoever migrates; any constant will do."""


def upgrade(dsn: str, which: Which) -> bool:
    """Bring a database to the newest schema; True when there was something to do.

    Blocks. Raises `DatabaseNewer` when the database has a revision this program does not know,
    and `StoreUnavailable` when it cannot be reached or another program keeps on migrating it.
    """
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            if _at_head(connection, which):
                return False
            _lock(connection, which)
            if _at_head(connection, which):
                return False
            # Imported late: it takes half a second, and most starts have nothing to migrate.
            from nexustrade.migrations.scripts import run  # noqa: PLC0415

            run(dsn, which)
            return True
    except psycopg.Error as error:
        raise StoreUnavailable(f"the {which} database cannot be migrated: {error}") from error


def revision(dsn: str) -> str:
    """The revision a database is at, or "" for a database without a schema."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            return _revision(connection)
    except psycopg.Error as error:
        raise StoreUnavailable(f"the database cannot be read: {error}") from error


def _at_head(connection: psycopg.Connection, which: Which) -> bool:
    at = _revision(connection)
    if at and at not in REVISIONS[which]:
        raise DatabaseNewer(
            f"the {which} database is at revision {at}, and this version of NexusTrade knows"
            f" revisions up to {REVISIONS[which][-1]}: install the newer version again"
        )
    return at == REVISIONS[which][-1]


def _revision(connection: psycopg.Connection) -> str:
    known = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _lock(connection: psycopg.Connection, which: Which) -> None:
    take = sql.SQL("SELECT pg_try_advisory_lock({})").format(_LOCK_KEY)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        row = connection.execute(take).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"another program is migrating the {which} database")
        time.sleep(LOCK_POLL_S)
