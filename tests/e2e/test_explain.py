"""`nexustrade explain` on a venue that runs: the story of a bracket, from its entry to its end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nexustrade.cli import main
from tests.e2e.group_venue import SYMBOLS, Market, group_venue
from tests.running import RunningVenue


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVenue]:
    with group_venue(tmp_path_factory.mktemp("explain")) as running:
        yield running


@pytest.fixture(scope="module")
def bracket(venue: RunningVenue) -> dict[str, Any]:
    """Partly filled, its stop replaced, its take-profit partly filled; then the stop is hit."""
    market = Market(venue, SYMBOLS[0])
    market.hold()
    order: dict[str, Any] = market.order(
        side="buy",
        limit_price="95",
        order_class="bracket",
        take_profit={"limit_price": "110"},
        stop_loss={"stop_price": "90"},
        client_order_id="the bracket",
    ).body
    market.bob("sell", 95, 4)
    market.bob("sell", 95, 6)
    market.bob("buy", 110, 3)
    stop_loss = order["legs"][1]["id"]
    replaced = market.ask("PATCH", f"/v2/orders/{stop_loss}", {"stop_price": "91"})
    assert replaced.status == 200, replaced
    # Others trade at the same prices: they are no part of the story.
    other = Market(venue, SYMBOLS[1])
    other.hold()
    market.trade(91)
    return order | {"stop_loss": replaced.body["id"]}


def told(
    venue: RunningVenue, capsys: pytest.CaptureFixture[str], *names: str
) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["explain", *names, "--data", str(venue.data), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_whole_story_in_order(
    venue: RunningVenue, bracket: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = told(venue, capsys, bracket["id"])
    of_both_stages = [(row["event"], row["by"]) for row in rows]
    assert of_both_stages == [
        ("GroupAccepted", None),
        ("GroupHeld", 1),
        ("Rested", 1),
        # The entry's first fill brings the exit to life.
        ("OrderAccepted", None),
        ("Traded", 4),
        ("OrderFilled", 5),
        ("OrderFilled", 5),
        ("GroupOpened", 5),
        ("LegsActivated", 8),
        # Its second one lets it grow.
        ("OrderAccepted", None),
        ("Traded", 10),
        ("OrderFilled", 11),
        ("OrderFilled", 11),
        ("GroupGrown", 11),
        ("LegsActivated", 14),
        # The take-profit sells a part: the stop-loss follows, and what the group holds.
        ("OrderAccepted", None),
        ("Traded", 16),
        ("OrderFilled", 17),
        ("OrderFilled", 17),
        ("LegReduced", 17),
        ("OrderDecremented", 20),
        ("ReservationChanged", 20),
        # The stop-loss is replaced.
        ("ReplaceRequested", None),
        ("Amended", 23),
        ("OrderReplaced", 24),
        ("Parked", 23),
        # A trade of others reaches it: election, the end of the take-profit, its trade, the end.
        ("OrderAccepted", None),
        ("Traded", 27),
        ("StopElected", 28),
        ("OrderTriggered", 29),
        ("LegCancelled", 29),
        ("OrderCanceled", 31),
        ("StopActivated", 29),
        ("Traded", 27),
        ("OrderFilled", 34),
        ("OrderFilled", 34),
        ("GroupClosed", 34),
        ("ReservationReleased", 37),
    ]


@pytest.mark.parametrize("name", ["id", "stop_loss", "client_order_id"])
def test_each_effect_stands_after_its_cause(
    venue: RunningVenue, bracket: dict[str, Any], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    rows = told(venue, capsys, bracket[name])
    assert rows == told(venue, capsys, bracket["legs"][0]["id"])
    at = {row["at"]: row["number"] for row in rows}
    for row in rows:
        assert (row["by"] is None) == (":" not in row["cause"])
        assert row["by"] is None or at[row["cause"]] == row["by"] < row["number"]
    # No stream out of its own order.
    for shard in ("orders-0", "matching-0"):
        numbers = [int(row["at"].split(":")[1]) for row in rows if row["at"].startswith(shard)]
        assert numbers == sorted(numbers)


def test_the_story_in_words(
    venue: RunningVenue, bracket: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = {row["event"]: row["words"] for row in told(venue, capsys, bracket["id"])}
    assert words["LegReduced"] == "the stop-loss is reduced by 3, 7 open: SIBLING_FILL"
    assert words["ReservationChanged"] == "the group now holds 7 shares"
    assert "the stop-loss" in words["StopElected"]
    assert main(["explain", "no-such-order", "--data", str(venue.data)]) == 1
    assert "there is no order no-such-order" in capsys.readouterr().err


def test_a_leg_leads_to_the_fills_of_an_entry_that_never_rested(
    venue: RunningVenue, capsys: pytest.CaptureFixture[str]
) -> None:
    market = Market(venue, SYMBOLS[2])
    market.hold()
    market.bob("sell", 100, 2)
    order: dict[str, Any] = market.order(
        side="buy",
        type="market",
        qty="2",
        order_class="bracket",
        take_profit={"limit_price": "110"},
        stop_loss={"stop_price": "90"},
    ).body
    rows = told(venue, capsys, order["legs"][1]["id"])
    assert [row["event"] for row in rows].count("OrderFilled") == 2
    assert rows == told(venue, capsys, order["id"])
