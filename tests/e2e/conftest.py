"""One running venue that all end-to-end tests share."""

from collections.abc import Iterator

import pytest

from tests.running import RunningVenue


@pytest.fixture(scope="session")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVenue]:
    """A venue with the accounts alice (margin) and bob (cash), without a demo market."""
    running = RunningVenue(tmp_path_factory.mktemp("venue")).start()
    yield running
    code = running.stop()
    assert code == 0, running.log_path.read_text()
