"""The scenarios that come with the package: each tells its story, to the cent, every time."""

import msgspec
import pytest

from nexustrade.console.scenario import private_venue
from nexustrade.scenario import plan
from nexustrade.scenario.runner import run_scenario
from nexustrade.scenario.scorecard import Scorecard

MINUTE_US = 60_000_000


def played(name: str, seed: int | None = None) -> Scorecard:
    scenario = plan.load_scenario(plan.find_file(name))
    return run_scenario(scenario, private_venue(), scenario.seed if seed is None else seed)


def stops(card: Scorecard) -> list[tuple[str, str, str, str, int | None]]:
    """Of each elected stop: name, stop price, the print, average price and time unprotected."""
    return [
        (s.stop, s.stop_price, s.print_price, s.average_price, s.unprotected_us)
        for s in card.elected
    ]


def test_all_five_are_there() -> None:
    assert plan.builtin_names() == [
        "flash-crash",
        "gap-open",
        "halt-reopen",
        "stop-cascade",
        "thin-book",
    ]


@pytest.mark.parametrize("name", plan.builtin_names())
def test_no_group_is_torn_and_the_same_seed_makes_the_same_scorecard(name: str) -> None:
    card = played(name)
    assert card.is_whole()
    assert (card.groups_torn, card.torn, card.prints_missed) == (0, (), ())
    assert msgspec.json.encode(played(name)) == msgspec.json.encode(card)


@pytest.mark.parametrize("seed", [0, 2, plan.SEED_MAX])
def test_the_order_in_which_stops_were_entered_does_not_matter_to_a_cascade(seed: int) -> None:
    card = played("stop-cascade", seed)
    assert stops(card) == stops(played("stop-cascade"))


def test_gap_open() -> None:
    """Furthest through first, from the best bid down; the stop-limit waits until it is met."""
    card = played("gap-open")
    assert card.auctions == ("OPENING_CALL 1000 at 85",)
    assert stops(card) == [
        ("carol.stop_loss", "95", "85", "84.3", 0),
        ("dave", "92", "85", "82.7", 0),
        ("alice.stop_loss", "92", "85", "83.5", 0),
        ("bob.stop_loss", "92", "85", "90", 10 * MINUTE_US + 2_000),
    ]
    assert all(stop.gapped for stop in card.elected)
    # Erin's take-profit was in the auction.
    assert card.groups_closed == {"SL_FILLED": 3, "TP_FILLED": 1}
    assert (card.slippage_usd, card.refusals) == ("3050", ())


def test_flash_crash() -> None:
    """The band stops the sweep; the stops that it elected sell to those who came meanwhile."""
    card = played("flash-crash")
    assert (card.low_price, card.volatility_auctions) == ("95", {"PRICE_BAND": 1})
    assert card.auctions == ("VOLATILITY_AUCTION 200 at 98",)
    assert {stop.unprotected_us for stop in card.elected} == {2 * MINUTE_US}
    assert [stop.average_price for stop in card.elected] == ["98"] * 3 + ["97.5"] + ["98"] * 2 + [
        "97.5"
    ] * 4
    assert card.stops_by_status == {"filled": 10, "parked": 11}
    assert card.slippage_usd == "-190"


def test_stop_cascade() -> None:
    """The cap on elections ends the first chain, the collar the second; both go on later."""
    card = played("stop-cascade")
    assert card.volatility_auctions == {"CASCADE_COLLAR": 1, "ELECTIONS_MAX": 1}
    assert card.groups_closed == {"SL_FILLED": 1_190}
    slept = [stop for stop in card.elected if stop.unprotected_us]
    crowd = [stop.stop for stop in slept if stop.stop.startswith("crowd")]
    # The 1,001st ran a minute later, and elected the others then.
    assert crowd == ["crowd-1001.stop_loss"]
    assert {stop.unprotected_us for stop in slept} == {MINUTE_US}


def test_halt_reopen() -> None:
    """Cancels are taken in a halt, nothing else; the reopening auction elects."""
    card = played("halt-reopen")
    assert card.auctions == ("VOLATILITY_AUCTION 500 at 90",)
    assert stops(card) == [
        ("alice.stop_loss", "94", "90", "89", 0),
        ("bob.stop_loss", "94", "90", "92", 16 * MINUTE_US + 7_000),
    ]
    assert card.groups_closed == {"CANCELLED": 1, "SL_FILLED": 2, "TP_FILLED": 1}
    assert card.refusals == (
        'bob.stop_loss NOT_TRADABLE asset "ACME" is not tradable',
        'too-early NOT_TRADABLE asset "ACME" is not tradable',
    )


def test_thin_book() -> None:
    """What finds no bid stands at the protection limit, and no take-profit comes back."""
    card = played("thin-book")
    assert stops(card) == [
        ("carol", "90", "90", "85.5", 2 * MINUTE_US + 4_000),
        ("alice.stop_loss", "90", "90", "87.3", MINUTE_US + 2_000),
        ("bob.stop_loss", "90", "90", "89", 2 * MINUTE_US + 4_000),
    ]
    assert (card.last_price, card.groups_closed) == ("110", {"SL_FILLED": 2})
