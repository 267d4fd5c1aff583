"""Replaces: what keeps its place, what loses it, and whose count of fills decides."""

import pytest

from nexustrade.core.terms import BUY, DAY, FOK, GTC, GTD, IOC, SELL
from nexustrade.matching.messages import (
    EXPIRE_TIME,
    POST_ONLY,
    REDUCED_TO_FILLED,
    UNFILLED_REMAINDER,
    UNKNOWN_ORDER,
    Refused,
    Tick,
)
from tests.unit.matching.given import (
    SYMBOL,
    Scene,
    amended,
    cancel,
    limit,
    removed,
    replace,
    rested,
    traded,
)


def test_a_decrease_keeps_its_place() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100))
    assert scene.when(replace("b1", "b1r", 3, 100)) == [amended("b1r", "b1", 3, 100)]
    assert scene.resting(BUY) == [("b1r", 100, 3), ("b2", 100, 5)]


def test_the_same_terms_keep_the_place() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100))
    assert scene.when(replace("b1", "b1r", 5, 100)) == [amended("b1r", "b1", 5, 100)]
    assert scene.resting(BUY) == [("b1r", 100, 5), ("b2", 100, 5)]


def test_a_raise_loses_its_place() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100))
    assert scene.when(replace("b1", "b1r", 6, 100)) == [
        amended("b1r", "b1", 6, 100, requeued=True),
        rested("b1r", BUY, 6, 100),
    ]
    assert scene.resting(BUY) == [("b2", 100, 5), ("b1r", 100, 6)]


def test_a_new_price_loses_the_place_and_may_trade() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("s1", SELL, 3, 102))
    assert scene.when(replace("b1", "b1r", 5, 102)) == [
        amended("b1r", "b1", 5, 102, requeued=True),
        traded(1, BUY, 3, 102, "s1", 0, "b1r"),
        rested("b1r", BUY, 2, 102, filled=3),
    ]


def test_the_total_counts_what_is_filled() -> None:
    # 10 in all, 4 filled, 6 open: a total of 9 leaves 5.
    scene = Scene(limit("b1", BUY, 10, 100), limit("s1", SELL, 4, 100))
    assert scene.when(replace("b1", "b1r", 9, 100)) == [amended("b1r", "b1", 5, 100)]
    # 5 open of the 9; a total of 10 is a raise: 6 open, 4 filled.
    assert scene.when(replace("b1r", "b1rr", 10, 100)) == [
        amended("b1rr", "b1r", 6, 100, requeued=True),
        rested("b1rr", BUY, 6, 100, filled=4),
    ]
    # Fills before and after the replace count.
    scene.when(limit("s2", SELL, 1, 100))
    assert scene.when(replace("b1rr", "b1rrr", 6, 100)) == [amended("b1rrr", "b1rr", 1, 100)]


def test_what_a_taker_filled_on_arrival_counts_too() -> None:
    scene = Scene(limit("s1", SELL, 4, 100), limit("b1", BUY, 10, 100))
    assert scene.when(replace("b1", "b1r", 7, 100)) == [amended("b1r", "b1", 3, 100)]


@pytest.mark.parametrize("total", [3, 4])
def test_no_more_than_filled_closes_the_order(total: int) -> None:
    scene = Scene(limit("b1", BUY, 10, 100), limit("s1", SELL, 4, 100))
    assert scene.when(replace("b1", "b1r", total, 101)) == [
        amended("b1r", "b1", 0, 101),
        removed("b1r", 0, REDUCED_TO_FILLED),
    ]
    assert scene.resting(BUY) == []
    assert scene.when(cancel("b1r")) == [Refused("b1r", "buy", SYMBOL, UNKNOWN_ORDER)]


@pytest.mark.parametrize("orig", ["never", "filled", "theirs"])
def test_a_replace_of_no_open_order_of_the_account_is_refused(orig: str) -> None:
    scene = Scene(
        limit("filled", BUY, 4, 100),
        limit("s1", SELL, 4, 100),
        limit("theirs", BUY, 4, 100, "another"),
    )
    assert scene.when(replace(orig, "new", 2, 100)) == [
        Refused("new", "buy", SYMBOL, UNKNOWN_ORDER, orig)
    ]
    assert scene.resting(BUY) == [("theirs", 100, 4)]


def test_time_in_force_and_expiry_change_in_place() -> None:
    scene = Scene(limit("b1", BUY, 5, 100, tif=DAY), limit("b2", BUY, 5, 100))
    scene.when(replace("b1", "b1r", 5, 100, tif=GTD, expire_us=9_000_000))
    assert scene.resting(BUY) == [("b1r", 100, 5), ("b2", 100, 5)]
    scene.when(replace("b1r", "b1rr", 5, 100, tif=GTD, expire_us=8_000_000))
    assert scene.when(Tick(), at_us=7_999_999) == []
    assert scene.when(Tick(), at_us=8_000_000) == [removed("b1rr", 5, EXPIRE_TIME)]
    assert scene.when(Tick(), at_us=9_000_000) == []


def test_an_order_that_is_gtd_no_more_does_not_expire() -> None:
    scene = Scene(limit("b1", BUY, 5, 100, tif=GTD, expire_us=8_000_000))
    scene.when(replace("b1", "b1r", 5, 100, tif=GTC))
    assert scene.when(Tick(), at_us=9_000_000) == []
    assert scene.resting(BUY) == [("b1r", 100, 5)]


def test_a_gtd_order_keeps_its_expiry_when_the_replace_names_none() -> None:
    scene = Scene(limit("b1", BUY, 5, 100, tif=GTD, expire_us=8_000_000))
    assert scene.when(replace("b1", "b1r", 6, 100, tif=GTD)) == [
        amended("b1r", "b1", 6, 100, requeued=True, tif=GTD, expire_us=8_000_000),
        rested("b1r", BUY, 6, 100, tif=GTD, expire_us=8_000_000),
    ]
    assert scene.when(Tick(), at_us=9_000_000) == [removed("b1r", 6, EXPIRE_TIME)]


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_an_order_replaced_to_trade_at_once_does_not_rest_again(tif: str) -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("s1", SELL, 3, 101))
    trade = [traded(1, BUY, 3, 101, "s1", 0, "b1r")] if tif == IOC else []
    assert scene.when(replace("b1", "b1r", 5, 101, tif=tif)) == [
        amended("b1r", "b1", 5, 101, requeued=True, tif=tif),
        *trade,
        removed("b1r", 2 if tif == IOC else 5, UNFILLED_REMAINDER),
    ]


def test_empty_terms_keep_the_old_ones() -> None:
    scene = Scene(limit("b1", BUY, 5, 100, tif=DAY), limit("b2", BUY, 5, 100))
    assert scene.when(replace("b1", "b1r", 0, 0, tif="")) == [amended("b1r", "b1", 5, 100, tif=DAY)]


def test_a_post_only_order_stays_post_only() -> None:
    scene = Scene(limit("b1", BUY, 5, 100, post_only=True), limit("s1", SELL, 3, 101))
    assert scene.when(replace("b1", "b1r", 5, 101)) == [
        amended("b1r", "b1", 5, 101, requeued=True),
        removed("b1r", 5, POST_ONLY),
    ]


def test_a_replaced_order_is_found_by_its_new_id_alone() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), replace("b1", "b1r", 3, 100))
    assert scene.when(cancel("b1")) == [Refused("b1", "buy", SYMBOL, UNKNOWN_ORDER)]
    assert scene.when(limit("s1", SELL, 3, 100)) == [
        traded(1, SELL, 3, 100, "b1r", 0, "s1", done=True)
    ]
