"""The command line's fixtures, for its tests on a real server."""

from tests.unit.cli.conftest import run, venue_data

__all__ = ["run", "venue_data"]
