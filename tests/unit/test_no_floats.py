"""No float carries money: the lint finds what it should, and finds nothing in the code."""

import pytest

from tools.lint_floats import floats_in, main

MONEY = "src/nexustrade/orders/domain.py"
OTHER = "src/nexustrade/gateway/limits.py"

EVERYWHERE = [
    "price = 100.05",
    "price = 1e2",
    "price = float(text)",
    "def cost(price: float) -> int: ...",
    "def cost() -> float: ...",
    "class Order(Model):\n    price = models.FloatField()",
    "column = Column('price', Float)",
    "column = sqlalchemy.REAL()",  # float: a sample
    "CREATE = 'CREATE TABLE t (price double precision)'",  # float: a sample
    "CREATE = 'ALTER TABLE t ADD price REAL'",  # float: a sample
    "price: Callable[[float], int]",
    "total += 0.5",
    "place(price=1.5)",
    "cost([1, 2.5])",
    "if price > 1.5: ...",
    "price = 1j",
]
IN_MONEY_PATHS = [
    "price = cost / qty",
    "cost /= qty",
    "cents = round(cost)",
]
NOT_MONEY = [
    "wait_s = 0.5",
    "WAIT_S_MAX: Final = 0.5",
    "timeout: float = 2.5",
    "def wait(seconds: float) -> None: ...",
    "def wait(*, timeout: float = 1.5) -> None: ...",
    "def elapsed_s() -> float: ...",
    "connect(timeout=2.5)",
    "await asyncio.sleep(0.1)",
    "elapsed_s = (end_ns - start_ns) / 1e9",
    "if isinstance(price, float): ...",
    "monkeypatch.setattr(store, 'CLAIM_WAIT_S', 0.1)",
    "'''A docstring may say that no REAL is used.'''",  # float: a sample
    "speed = 1.5  # float: a metric",
    "# float: a metric\nspeed = 1.5",
    "if random.random() < 0.5: ...",
    "slowest = max(slowest_s.get(key, 0.0), took_s)",
    "cents = notional // 100",
]


@pytest.mark.parametrize("source", EVERYWHERE)
@pytest.mark.parametrize("path", [MONEY, OTHER])
def test_a_float_is_found(source: str, path: str) -> None:
    assert floats_in(source, path)


def test_clients_that_know_floats_only_may_use_them() -> None:
    assert floats_in("order(price=100.05)", "tests/e2e/test_ccxt.py") == []
    assert floats_in("order(price=100.05)", "tests/e2e/test_first_order.py")


@pytest.mark.parametrize("source", IN_MONEY_PATHS)
def test_true_division_and_round_are_found_in_money_paths(source: str) -> None:
    assert floats_in(source, MONEY)
    assert not floats_in(source, OTHER)


@pytest.mark.parametrize("source", NOT_MONEY)
@pytest.mark.parametrize("path", [MONEY, OTHER])
def test_durations_and_metrics_may_be_floats(source: str, path: str) -> None:
    assert floats_in(source, path) == []


def test_there_is_no_float_in_a_money_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out
