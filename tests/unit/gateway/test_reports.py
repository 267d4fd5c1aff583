import httpx
import pytest

from nexustrade.core.time import US_PER_S
from nexustrade.gateway.activities import activity_id, token_us
from nexustrade.orders import messages as m
from tests.unit.gateway.fakes import ALICE, BOB, NOW_US, Setup

ONE = 10**8
MINUTE_US = 60 * US_PER_S


def fill(at_us: int, trade_id: int, account_id: str = ALICE) -> m.FillRecord:
    order_id = f"01a1ee56-5e7b-7df5-8eff-{trade_id:012x}"
    return m.FillRecord(
        account_id, order_id, "AAPL", "BUY", 1_000_500, ONE, ONE, ONE if trade_id % 2 else 0, 51,
        "TAKER", trade_id, "PARTIALLY_FILLED" if trade_id % 2 else "FILLED", at_us,
    )  # fmt: skip


def movement(at_us: int, kind: str, amount: int) -> m.CashMovement:
    return m.CashMovement(ALICE, f"{kind}-{at_us}", kind, amount, "a word", at_us)


@pytest.fixture
def filled(venue: Setup) -> Setup:
    """25 fills, each with its fee at the same instant, and a deposit before them."""
    venue.venue.movements.append(movement(NOW_US - 1, "CSD", 100_000))
    for n in range(25):
        at_us = NOW_US + n * 7
        venue.venue.old_fills.append(fill(at_us, n))
        venue.venue.movements.append(movement(at_us, "FEE", -51))
    venue.venue.old_fills.append(fill(NOW_US + 3, 99, BOB))
    return venue


def test_an_id_sorts_and_holds_its_instant() -> None:
    ids = [activity_id(NOW_US + n, "a", n) for n in (0, 1, 999, 1_000, 10**6, 10**12)]
    assert ids == sorted(ids)
    assert [token_us(i) - NOW_US for i in ids] == [0, 1, 999, 1_000, 10**6, 10**12]
    assert ids[0].startswith("20261118110640123::")
    assert activity_id(NOW_US, "a", 1) != activity_id(NOW_US, "a", 2)
    assert activity_id(NOW_US, "a", 1) == activity_id(NOW_US, "a", 1)


@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_hold_each_activity_once_and_in_order(
    filled: Setup, alice: httpx.AsyncClient, direction: str
) -> None:
    seen: list[str] = []
    token = ""
    for _ in range(20):
        params = {"page_size": "7", "direction": direction, "page_token": token}
        page = (await alice.get("/v2/account/activities", params=params)).json()
        seen += [row["id"] for row in page]
        if len(page) < 7:
            break
        token = seen[-1]
    assert len(seen) == len(set(seen)) == 51
    assert seen == sorted(seen, reverse=direction == "desc")


async def test_types_by_path_and_by_parameter(filled: Setup, alice: httpx.AsyncClient) -> None:
    async def types(path: str) -> set[str]:
        rows = (await alice.get(f"/v2/account/activities{path}")).json()
        return {row["activity_type"] for row in rows}

    assert await types("") == {"FILL", "FEE", "CSD"}
    assert await types("/FILL") == {"FILL"}
    assert await types("/CSD") == {"CSD"}
    assert await types("/DIV") == set()
    assert await types("?activity_types=FILL,CSD") == {"FILL", "CSD"}
    assert await types("?category=non_trade_activity") == {"FEE", "CSD"}
    assert await types("?category=trade_activity") == {"FILL"}


async def test_bounds_of_activities(filled: Setup, alice: httpx.AsyncClient) -> None:
    async def count(**params: str) -> int:
        return len((await alice.get("/v2/account/activities/FILL", params=params)).json())

    assert await count() == 25
    assert await count(date="2026-11-18") == 25
    assert await count(date="2026-11-17") == 0
    assert await count(after="2026-11-18T11:06:40.123456Z") == 24
    assert await count(until="2026-11-18T11:06:40.123463Z") == 1


@pytest.mark.parametrize(
    "query", ["page_size=0", "page_size=101", "page_token=x", "direction=up", "date=x", "after=x"]
)
async def test_bad_parameters_of_activities(alice: httpx.AsyncClient, query: str) -> None:
    answer = await alice.get(f"/v2/account/activities?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)


# ---------------------------------------------------------------- portfolio history


async def test_equity_is_the_last_of_each_step_and_now(
    venue: Setup, alice: httpx.AsyncClient
) -> None:
    start = NOW_US // (5 * MINUTE_US) * (5 * MINUTE_US) - 10 * MINUTE_US
    for minute, equity in enumerate((10_000_000, 10_010_000, 10_000_033, 9_990_000, 10_100_000)):
        venue.venue.samples.append(m.EquitySample(ALICE, start + minute * MINUTE_US, equity))
    venue.venue.samples.append(m.EquitySample(ALICE, start + 5 * MINUTE_US, 10_300_000))
    answer = await alice.get(
        "/v2/account/portfolio/history", params={"period": "1D", "timeframe": "5Min"}
    )
    first_s = start // US_PER_S
    assert answer.text == (
        f'{{"timestamp":[{first_s},{first_s + 300},{first_s + 600}],'
        '"equity":[101000.00,103000.00,110000.50],'
        '"profit_loss":[1000.00,3000.00,10000.50],'
        '"profit_loss_pct":[0.01,0.03,0.100005],'
        '"base_value":100000.00,"timeframe":"5Min","cashflow":{}}'
    )


async def test_an_account_without_a_past_shows_its_present(alice: httpx.AsyncClient) -> None:
    history = (await alice.get("/v2/account/portfolio/history")).json()
    assert history["equity"] == [110000.50]  # float: JSON numbers in Alpaca's contract
    assert history["profit_loss"] == [0]
    assert history["timeframe"] == "1D"
    assert len(history["timestamp"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "period=1X",
        "period=0D",
        "period=99999999999D",
        "timeframe=2Min",
        "period=9999A&timeframe=1Min",
        "start=2026-11-18&end=2026-11-01",
        "start=x",
    ],
)
async def test_bad_parameters_of_the_history(alice: httpx.AsyncClient, query: str) -> None:
    answer = await alice.get(f"/v2/account/portfolio/history?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)


async def test_a_long_past_in_days(alice: httpx.AsyncClient) -> None:
    answer = await alice.get("/v2/account/portfolio/history?period=20A&timeframe=1D")
    assert answer.status_code == 200
