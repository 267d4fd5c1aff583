"""The session, its queue, and the clock: DAY, GTD, marks."""

import pytest

from nexustrade.core.terms import BUY, DAY, FOK, GTC, GTD, IOC, MARKET, OPENING_CALL, SELL
from nexustrade.matching.messages import (
    BY_REQUEST,
    END_OF_DAY,
    EXPIRE_TIME,
    MARKET_CLOSED,
    REDUCED_TO_FILLED,
    UNFILLED_REMAINDER,
    BookSnapshot,
    CloseSession,
    DefineInstrument,
    Marked,
    OpenSession,
    SessionClosed,
    SessionOpened,
    Tick,
    Uncrossed,
)
from nexustrade.orders.messages import OrderAccepted
from tests.unit.matching.given import (
    FIRST_DAY,
    SHARE,
    SYMBOL,
    USD,
    Scene,
    amended,
    cancel,
    limit,
    market,
    notional,
    queued,
    removed,
    replace,
    rested,
    traded,
)

NEXT_DAY = "2026-11-24"


# ---- the session


def test_the_session_is_closed_until_it_opens() -> None:
    scene = Scene(opened=False)
    assert scene.when(limit("b", BUY, 5, 100)) == [queued("b", BUY, 5, 100)]
    assert scene.when(OpenSession(FIRST_DAY)) == [
        SessionOpened(FIRST_DAY),
        rested("b", BUY, 5, 100),
    ]


@pytest.mark.parametrize("date", [FIRST_DAY, "2026-11-20"])
def test_a_session_opens_once_and_never_goes_back(date: str) -> None:
    scene = Scene()
    assert scene.when(OpenSession(date)) == []
    scene.when(CloseSession(FIRST_DAY))
    assert scene.when(OpenSession(date)) == []
    assert scene.when(OpenSession(NEXT_DAY)) == [SessionOpened(NEXT_DAY)]


def test_a_session_closes_once_and_not_for_an_earlier_day() -> None:
    scene = Scene()
    assert scene.when(CloseSession("2026-11-20")) == []
    assert scene.when(CloseSession(FIRST_DAY)) == [SessionClosed(FIRST_DAY)]
    assert scene.when(CloseSession(FIRST_DAY)) == []
    assert scene.when(CloseSession(NEXT_DAY)) == []


def test_a_session_nobody_closed_ends_when_the_next_one_opens() -> None:
    scene = Scene(limit("b", BUY, 5, 100, tif=DAY))
    assert scene.when(OpenSession(NEXT_DAY)) == [
        removed("b", 5, END_OF_DAY),
        SessionClosed(FIRST_DAY),
        SessionOpened(NEXT_DAY),
    ]


def test_the_end_of_the_day_removes_day_orders_in_priority_order() -> None:
    scene = Scene(
        DefineInstrument("AAA", 100, SHARE),
        limit("b1", BUY, 5, 99, tif=DAY),
        limit("b2", BUY, 5, 100, tif=DAY),
        limit("b3", BUY, 5, 100, tif=GTC),
        limit("b4", BUY, 5, 100, tif=GTD, expire_us=10**15),
        limit("s1", SELL, 5, 102, tif=DAY),
        limit("a1", BUY, 5, 1, tif=GTC, symbol="AAA"),
    )
    assert scene.when(CloseSession(FIRST_DAY)) == [
        removed("b2", 5, END_OF_DAY),
        removed("b1", 5, END_OF_DAY),
        removed("s1", 5, END_OF_DAY, "sell"),
        SessionClosed(FIRST_DAY),
    ]
    assert scene.resting(BUY) == [("b3", 100, 5), ("b4", 100, 5)]


def test_the_close_tells_the_last_prices_first() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("s1", SELL, 5, 100))
    assert scene.when(CloseSession(FIRST_DAY)) == [
        Marked(SYMBOL, 100 * USD),
        SessionClosed(FIRST_DAY),
    ]


# ---- the queue


@pytest.mark.parametrize(
    "order",
    [limit("t", BUY, 5, 100, tif=IOC), limit("t", BUY, 5, 100, tif=FOK), market("t", BUY, 5, 0,
     tif=IOC), market("t", BUY, 5, 0, tif=FOK)],
)  # fmt: skip
def test_orders_that_cannot_wait_are_removed_while_closed(order: OrderAccepted) -> None:
    assert Scene(opened=False).when(order) == [removed("t", 5, MARKET_CLOSED)]


@pytest.mark.parametrize("tif", [DAY, GTC])
def test_market_orders_wait_with_their_protection_limit(tif: str) -> None:
    scene = Scene(limit("s1", SELL, 2, 104), limit("s2", SELL, 2, 106), CloseSession(FIRST_DAY))
    assert scene.when(market("t", BUY, 5, 105, tif=tif)) == [
        queued("t", BUY, 5, 0, ord_type=MARKET, tif=tif, collar_usd=105)
    ]
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        rested("t", BUY, 5, 105, tif=tif, ord_type=MARKET),
        # What is left on the buying side presses the price up, within the limits that trade.
        Uncrossed(SYMBOL, OPENING_CALL, 105 * USD, 2 * SHARE, 3 * SHARE, BUY),
        traded(1, BUY, 2, 105, "s1", 0, "t", auction=True),
        removed("t", 3, UNFILLED_REMAINDER),
    ]


def test_a_notional_order_waits_with_its_amount() -> None:
    scene = Scene(limit("s1", SELL, 9, 100), CloseSession(FIRST_DAY))
    assert scene.when(notional("t", BUY, 200_00)) == [
        queued("t", BUY, 0, 0, ord_type=MARKET, tif=DAY, cents=200_00)
    ]
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        traded(1, BUY, 2, 100, "s1", 7, "t", done=True),
    ]


def test_the_queue_meets_in_the_opening_auction_at_one_price() -> None:
    scene = Scene(
        limit("b1", BUY, 3, 100),
        limit("s1", SELL, 1, 99),
        limit("b2", BUY, 1, 101),
        limit("s2", SELL, 4, 100),
        limit("b3", BUY, 1, 98),
        opened=False,
    )
    assert scene.when(OpenSession(FIRST_DAY)) == [
        SessionOpened(FIRST_DAY),
        rested("b1", BUY, 3, 100),
        rested("s1", SELL, 1, 99),
        rested("b2", BUY, 1, 101),
        rested("s2", SELL, 4, 100),
        rested("b3", BUY, 1, 98),
        Uncrossed(SYMBOL, OPENING_CALL, 100 * USD, 4 * SHARE, 1 * SHARE, SELL),
        traded(1, BUY, 1, 100, "s1", 0, "b2", done=True, auction=True),
        traded(2, SELL, 3, 100, "b1", 0, "s2", auction=True),
    ]
    assert scene.stage.queued == {}


def test_resting_orders_go_before_queued_ones() -> None:
    scene = Scene(limit("b1", BUY, 1, 100), CloseSession(FIRST_DAY), limit("b2", BUY, 1, 100))
    scene.when(OpenSession(NEXT_DAY))
    assert scene.resting(BUY) == [("b1", 100, 1), ("b2", 100, 1)]


def test_a_queued_order_can_be_cancelled() -> None:
    scene = Scene(limit("b1", BUY, 1, 100), limit("b2", BUY, 1, 100), opened=False)
    assert scene.when(cancel("b1")) == [removed("b1", 1, BY_REQUEST)]
    assert scene.when(OpenSession(FIRST_DAY)) == [
        SessionOpened(FIRST_DAY),
        rested("b2", BUY, 1, 100),
    ]


def test_a_queued_order_made_smaller_keeps_its_place() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100), opened=False)
    assert scene.when(replace("b1", "b1r", 3, 100, tif=DAY)) == [
        amended("b1r", "b1", 3, 100, tif=DAY)
    ]
    assert scene.when(OpenSession(FIRST_DAY)) == [
        SessionOpened(FIRST_DAY),
        rested("b1r", BUY, 3, 100, tif=DAY),
        rested("b2", BUY, 5, 100),
    ]


@pytest.mark.parametrize(("shares", "usd"), [(6, 100), (5, 101)])
def test_a_queued_order_raised_or_repriced_goes_last(shares: int, usd: int) -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100), opened=False)
    assert scene.when(replace("b1", "b1r", shares, usd)) == [
        amended("b1r", "b1", shares, usd, requeued=True),
        queued("b1r", BUY, shares, usd),
    ]
    assert scene.when(OpenSession(FIRST_DAY)) == [
        SessionOpened(FIRST_DAY),
        rested("b2", BUY, 5, 100),
        rested("b1r", BUY, shares, usd),
    ]


def test_a_queued_market_order_keeps_its_protection_limit_when_replaced() -> None:
    scene = Scene(market("t", BUY, 5, 105), opened=False)
    assert scene.when(replace("t", "tr", 7, 0, tif=DAY)) == [
        amended("tr", "t", 7, 0, requeued=True, tif=DAY),
        queued("tr", BUY, 7, 0, ord_type=MARKET, tif=DAY, collar_usd=105),
    ]


def test_a_resting_order_repriced_while_closed_waits_with_its_fills() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("s1", SELL, 2, 100), CloseSession(FIRST_DAY))
    assert scene.when(replace("b1", "b1r", 6, 101)) == [
        amended("b1r", "b1", 4, 101, requeued=True),
        queued("b1r", BUY, 6, 101, filled=2),
    ]
    # A total of 2 is filled already.
    assert scene.when(replace("b1r", "b1rr", 2, 101)) == [
        amended("b1rr", "b1r", 0, 101),
        removed("b1rr", 0, REDUCED_TO_FILLED),
    ]


def test_a_repriced_order_rests_with_what_is_open_when_the_session_opens() -> None:
    scene = Scene(
        limit("b1", BUY, 5, 100),
        limit("s1", SELL, 2, 100),
        CloseSession(FIRST_DAY),
        replace("b1", "b1r", 6, 101),
    )
    assert scene.when(OpenSession(NEXT_DAY)) == [
        SessionOpened(NEXT_DAY),
        rested("b1r", BUY, 4, 101, filled=2),
    ]


def test_a_resting_order_made_smaller_while_closed_stays() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), limit("b2", BUY, 5, 100), CloseSession(FIRST_DAY))
    assert scene.when(replace("b1", "b1r", 3, 100)) == [amended("b1r", "b1", 3, 100)]
    assert scene.resting(BUY) == [("b1r", 100, 3), ("b2", 100, 5)]


def test_a_resting_order_replaced_to_trade_at_once_while_closed_is_removed() -> None:
    scene = Scene(limit("b1", BUY, 5, 100), CloseSession(FIRST_DAY))
    assert scene.when(replace("b1", "b1r", 5, 100, tif=IOC)) == [
        amended("b1r", "b1", 5, 100, requeued=True, tif=IOC),
        removed("b1r", 5, MARKET_CLOSED),
    ]


# ---- expiry


def test_orders_expire_at_their_time_resting_or_queued() -> None:
    scene = Scene(
        limit("b2", BUY, 1, 100, tif=GTD, expire_us=8_000_000),
        limit("b1", BUY, 1, 100, tif=GTD, expire_us=7_000_000),
        limit("b3", BUY, 1, 100, tif=GTD, expire_us=9_000_000),
        CloseSession(FIRST_DAY),
        limit("b4", BUY, 1, 100, tif=GTD, expire_us=7_500_000),
    )
    assert scene.when(Tick(), at_us=6_999_999) == []
    assert scene.when(Tick(), at_us=8_000_000) == [
        removed("b1", 1, EXPIRE_TIME),
        removed("b4", 1, EXPIRE_TIME),
        removed("b2", 1, EXPIRE_TIME),
    ]
    assert scene.resting(BUY) == [("b3", 100, 1)]


def test_a_queued_order_past_its_time_does_not_enter() -> None:
    scene = Scene(limit("b", BUY, 1, 100, tif=GTD, expire_us=8_000_000), opened=False)
    assert scene.when(OpenSession(FIRST_DAY), at_us=8_000_000) == [
        SessionOpened(FIRST_DAY),
        removed("b", 1, EXPIRE_TIME),
    ]


def test_a_filled_order_does_not_expire() -> None:
    scene = Scene(limit("b", BUY, 1, 100, tif=GTD, expire_us=8_000_000), limit("s", SELL, 1, 100))
    assert scene.when(Tick(), at_us=9_000_000) == [Marked(SYMBOL, 100 * USD)]


def test_the_expiry_heap_does_not_grow_with_orders_that_are_gone() -> None:
    scene = Scene(limit("keeps", BUY, 1, 99, tif=GTD, expire_us=8_000_000))
    for number in range(200):
        scene.when(limit(f"b{number}", BUY, 1, 100, tif=GTD, expire_us=9_000_000))
        scene.when(cancel(f"b{number}"))
    assert len(scene.stage.expiries) <= 2 * 2 + 64
    assert scene.when(Tick(), at_us=10_000_000) == [removed("keeps", 1, EXPIRE_TIME)]


# ---- marks and snapshots


def test_a_tick_tells_prices_that_changed_since_the_last_one() -> None:
    scene = Scene(
        DefineInstrument("AAA", 100, SHARE),
        limit("s1", SELL, 5, 100),
        limit("s2", SELL, 5, 101),
        limit("b1", BUY, 1, 100),
    )
    assert scene.when(Tick()) == [Marked(SYMBOL, 100 * USD)]
    assert scene.when(Tick()) == []
    scene.when(limit("b2", BUY, 4, 100))
    assert scene.when(Tick()) == []
    scene.when(limit("b3", BUY, 1, 101))
    scene.when(limit("x1", SELL, 1, 7, symbol="AAA"))
    scene.when(limit("x2", BUY, 1, 7, symbol="AAA"))
    assert scene.when(Tick()) == [Marked("AAA", 7 * USD), Marked(SYMBOL, 101 * USD)]


def test_a_price_that_came_back_is_not_told() -> None:
    scene = Scene(
        limit("s1", SELL, 5, 100),
        limit("b1", BUY, 1, 100),
        Tick(),
        limit("b2", BUY, 5, 99),
        limit("s3", SELL, 1, 99),
    )
    assert list(scene.stage.unmarked) == [SYMBOL]
    scene.when(limit("b3", BUY, 1, 100))
    assert scene.when(Tick()) == []


def test_a_snapshot_shows_levels_best_first() -> None:
    scene = Scene(
        limit("b1", BUY, 5, 98),
        limit("b2", BUY, 5, 99),
        limit("b3", BUY, 2, 99),
        limit("b4", BUY, 1, 97),
        limit("s1", SELL, 4, 101),
        limit("s2", SELL, 4, 100),
        limit("t1", BUY, 1, 100),
    )
    assert scene.stage.snapshot("NOPE", 5) is None
    assert scene.stage.snapshot(SYMBOL, 2) == BookSnapshot(
        SYMBOL,
        0,
        7,
        scene.stage.ts_us,
        ((99 * USD, 7 * SHARE, 2), (98 * USD, 5 * SHARE, 1)),
        ((100 * USD, 3 * SHARE, 1), (101 * USD, 4 * SHARE, 1)),
        100 * USD,
        1 * SHARE,
        scene.stage.ts_us,
    )


def test_book_seq_counts_changes_of_this_book_alone() -> None:
    scene = Scene(DefineInstrument("AAA", 100, SHARE))

    def seq() -> int:
        return scene.stage.books[SYMBOL].book_seq

    scene.when(limit("b1", BUY, 5, 98))
    assert seq() == 1
    scene.when(limit("a1", BUY, 5, 98, symbol="AAA"))
    scene.when(limit("t1", SELL, 5, 99, tif=IOC))
    scene.when(Tick())
    scene.when(cancel("nope"))
    assert seq() == 1
    scene.when(replace("b1", "b1r", 4, 98))
    assert seq() == 2
    scene.when(limit("s1", SELL, 1, 98))
    assert seq() == 3
    scene.when(cancel("b1r"))
    assert seq() == 4
