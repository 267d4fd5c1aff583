import pytest


@pytest.fixture(params=[(1, 1), (2, 2)], ids=["one", "two"])
def partitions(request: pytest.FixtureRequest) -> tuple[int, int]:
    """How many partitions of the orders and of the matching stage: a story is the same."""
    count: tuple[int, int] = request.param
    return count
