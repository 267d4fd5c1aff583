"""Runs the revision scripts with alembic, without any file of settings."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import SQLAlchemyError

from nexustrade.core.errors import StoreUnavailable


def run(dsn: str, which: str, revision: str = "head") -> None:
    """Bring a database up to a revision, in one transaction."""
    config = _config(which)
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=pool.NullPool
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the {which} database cannot be migrated: {error}") from error


def shipped(which: str) -> tuple[str, ...]:
    """Every revision there is a script for, oldest first."""
    scripts = ScriptDirectory.from_config(_config(which)).walk_revisions()
    return tuple(script.revision for script in scripts)[::-1]


def _config(which: str) -> Config:
    config = Config()
    place = Path(__file__).parent / which
    # A per cent sign would start a reference to another setting.
    config.set_main_option("script_location", str(place).replace("%", "%%"))
    return config
