"""docs/venue-toml.md has every setting, with its default."""

import re
from pathlib import Path

import msgspec
import pytest

from nexustrade.kernel.config import ConfigError, DemoConfig, Limits, StagesConfig, parse_config

DOC = Path(__file__).parents[3] / "docs" / "venue-toml.md"


def documented(table: str) -> dict[str, str]:
    """Setting -> what the column of defaults says, for one table of the file."""
    section = re.search(
        rf"^## \[+{table}\]+\n(.*?)(?=^## |\Z)", DOC.read_text(), re.MULTILINE | re.DOTALL
    )
    assert section is not None, table
    rows = re.findall(r"^\| `([a-z_]+)`(?:, `([a-z_]+)`)? \| (.*?) \|", section[1], re.MULTILINE)
    return {name: default for first, second, default in rows for name in (first, second) if name}


@pytest.mark.parametrize(
    ("table", "settings"), [("limits", Limits), ("stages", StagesConfig), ("demo", DemoConfig)]
)
def test_every_number_is_there_with_its_default(table: str, settings: type[msgspec.Struct]) -> None:
    defaults = {
        field.name: f"`{str(field.default).lower()}`" for field in msgspec.structs.fields(settings)
    }
    assert documented(table) == defaults


@pytest.mark.parametrize(
    ("table", "head"),
    [
        ("venue", "[venue]"),
        ("http", "[http]"),
        ("databases", "[databases]"),
        ("instruments", "[[instruments]]\nsymbol = 'X'"),
        ("accounts", "[[accounts]]\nid = 'x'"),
    ],
)
def test_every_documented_setting_is_known_and_no_other(table: str, head: str) -> None:
    settings = documented(table)
    assert settings
    for name in settings:
        if name in ("symbol", "id"):
            continue
        fault = _fault(f"{head}\n{name} = {{}}")
        assert "is not known" not in fault, name
    assert "is not known" in _fault(f"{head}\nzzz = 1")


def _fault(text: str) -> str:
    try:
        parse_config(text, DOC.parent, {})
    except ConfigError as error:
        return str(error)
    return ""
