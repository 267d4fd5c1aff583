"""No column of a migrated database holds floating-point numbers: money is NUMERIC (docs/money.md).

The other half of the rule, over the source, is tests/unit/test_no_floats.py.
"""

import psycopg
import pytest

from tests.conftest import NewDatabase

COLUMNS = """
    SELECT table_schema || '.' || table_name || '.' || column_name, data_type,
           numeric_precision, numeric_scale
    FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1
"""
FLOATING = {"real", "double precision", "money"}  # float: what is looked for
# Quantities, prices and USD amounts, in this order; last, exact sums as scaled integers.
KINDS = {(28, 8), (18, 4), (20, 2), (40, 0)}

Column = tuple[str, str, int | None, int | None]


def columns(dsn: str) -> list[Column]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(COLUMNS).fetchall()


def floats(found: list[Column]) -> list[str]:
    return [name for name, kind, *_ in found if kind in FLOATING]


@pytest.mark.parametrize("database", ["trading", "accounts"])
def test_no_column_is_a_float(new_database: NewDatabase, database: str) -> None:
    found = columns(new_database(database))
    assert len(found) > 10
    assert floats(found) == []


@pytest.mark.parametrize("database", ["trading", "accounts"])
def test_every_decimal_column_is_of_a_kind(new_database: NewDatabase, database: str) -> None:
    found = columns(new_database(database))
    decimals = [column for column in found if column[1] == "numeric"]
    assert [column for column in decimals if (column[2], column[3]) not in KINDS] == []
    assert all(name.endswith("_e12") for name, _, _, scale in decimals if scale == 0)


@pytest.mark.parametrize("kind", sorted(FLOATING))
def test_a_float_is_noticed(new_database: NewDatabase, kind: str) -> None:
    dsn = new_database("trading")
    with psycopg.connect(dsn) as connection:
        connection.execute(f"CREATE TABLE wrong (price {kind})")
    assert floats(columns(dsn)) == ["public.wrong.price"]
