"""Whatever a matching stage is sent: its events alone rebuild its state, from any prefix on."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.core import codec
from nexustrade.core.codec import Message
from nexustrade.core.terms import (
    BUY,
    DAY,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    SELL,
    STP_ALLOW,
    STP_BOTH,
    STP_DECREMENT,
    STP_NEWEST,
    STP_OLDEST,
)
from nexustrade.kernel.stage import Recorded
from nexustrade.matching.domain import MatchingStage
from nexustrade.matching.messages import (
    Amended,
    CloseSession,
    Decremented,
    DefineInstrument,
    OpenSession,
    Queued,
    Removed,
    Rested,
    Tick,
    Traded,
)
from nexustrade.orders.messages import CancelRequested, OrderAccepted, ReplaceRequested

SHARE = 100_000_000
SYMBOLS = st.sampled_from(["AAA", "BBB"])
ACCOUNTS = st.sampled_from(["ann", "bob"])
IDS = st.integers(1, 40).map(lambda n: f"o{n}")
SIDES = st.sampled_from([BUY, SELL])
PRICES = st.integers(97, 103).map(lambda cents: cents * 100)
QTYS = st.integers(1, 8).map(lambda halves: halves * SHARE // 2)
STPS = st.sampled_from([STP_ALLOW, STP_NEWEST, STP_OLDEST, STP_BOTH, STP_DECREMENT])
TIFS = st.sampled_from([DAY, GTC, GTC, GTD, IOC, FOK])
DATES = st.integers(1, 9).map(lambda day: f"2026-11-0{day}")


@st.composite
def orders(draw: st.DrawFn) -> OrderAccepted:
    is_market = draw(st.integers(0, 3)) == 0
    budget = draw(st.integers(1, 500)) if is_market and draw(st.booleans()) else 0
    tif = draw(TIFS)
    return OrderAccepted(
        draw(ACCOUNTS),
        "",
        "",
        draw(SYMBOLS),
        draw(SIDES),
        MARKET if is_market else LIMIT,
        tif,
        0 if budget and draw(st.booleans()) else draw(QTYS),
        budget,
        0 if is_market else draw(PRICES),
        draw(st.just(0) | PRICES) if is_market else 0,
        draw(st.integers(1, 400)) * 1_000 if tif == GTD else 0,
        draw(st.integers(0, 5)) == 0,
        stp=draw(STPS),
        step=draw(st.sampled_from([1, SHARE])),
    )


CANCELS = st.builds(CancelRequested, ACCOUNTS, IDS, SYMBOLS)
REPLACES = st.builds(
    ReplaceRequested,
    ACCOUNTS,
    st.just(""),
    IDS,
    st.just(""),
    SYMBOLS,
    st.just(0) | QTYS,
    st.just(0) | PRICES,
    st.just("") | TIFS,
    st.just(0) | st.integers(1, 400).map(lambda n: n * 1_000),
)
CLOCK = st.just(Tick()) | st.builds(OpenSession, DATES) | st.builds(CloseSession, DATES)
MESSAGES = st.lists(
    st.one_of(orders(), orders(), orders(), orders(), CANCELS, REPLACES, REPLACES, CLOCK),
    max_size=60,
)


def _numbered(message: Message, number: int) -> Message:
    """Orders and replaces get the next id, as a venue gives it."""
    if isinstance(message, OrderAccepted | ReplaceRequested):
        return msgspec.structs.replace(message, order_id=f"o{number}")
    return message


def _run(messages: list[Message]) -> tuple[MatchingStage, list[Recorded]]:
    stage = MatchingStage("matching-0")
    recorded: list[Recorded] = []
    recorded += stage.take(DefineInstrument("AAA", 100, SHARE), 1, "")
    recorded += stage.take(DefineInstrument("BBB", 100, SHARE), 1, "")
    recorded += stage.take(OpenSession("2026-11-01"), 1, "")
    for number, message in enumerate(messages, 1):
        recorded += stage.take(_numbered(message, number), number * 5_000, f"c{number}")
        stage.verify()
    return stage, recorded


def _replay(stage: MatchingStage, recorded: list[Recorded]) -> None:
    for one in recorded:
        name = type(one.event).__name__
        stage.replay(one.seq, one.ts_us, codec.decode(name, codec.encode(one.event)))


@settings(max_examples=150, deadline=None)
@given(MESSAGES)
def test_the_events_rebuild_the_state_from_every_prefix(messages: list[Message]) -> None:
    stage, recorded = _run(messages)
    assert [one.seq for one in recorded] == list(range(1, len(recorded) + 1))
    replica = MatchingStage("matching-0")
    for at, one in enumerate(recorded, 1):
        _replay(replica, [one])
        loaded = MatchingStage("matching-0")
        loaded.load(replica.dump(), one.seq, one.ts_us)
        assert loaded.dump() == replica.dump()
        # The whole rest from each prefix would be quadratic: every seventh will do.
        if at % 7 == 0:
            _replay(loaded, recorded[at:])
            assert loaded.dump() == stage.dump()
    assert replica.dump() == stage.dump()
    replica.verify()


class Account:
    """Keeps the books of open quantities by what the events say alone."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.filled: dict[str, int] = {}
        self.notional: set[str] = set()
        self.asked: dict[str, int] = {}

    def send(self, message: Message) -> None:
        if isinstance(message, OrderAccepted):
            self.open[message.order_id] = message.order_qty
            self.filled[message.order_id] = 0
            if message.notional:
                self.notional.add(message.order_id)
        elif isinstance(message, ReplaceRequested):
            self.asked[message.order_id] = message.order_qty

    def hear(self, event: Message) -> None:
        if isinstance(event, Traded):
            self.reduce(event.maker_order_id, event.last_qty, filled=event.last_qty)
            self.reduce(event.taker_order_id, event.last_qty, filled=event.last_qty)
            assert self.open[event.maker_order_id] == event.maker_leaves_qty
            self.close_if(event.maker_order_id, closed=event.maker_leaves_qty == 0)
            self.close_if(event.taker_order_id, closed=event.taker_done)
        elif isinstance(event, Decremented):
            self.reduce(event.order_id, event.by_qty, filled=0)
        elif isinstance(event, Rested):
            assert event.leaves_qty == self.open[event.order_id] > 0
            assert event.cum_qty == self.filled[event.order_id]
        elif isinstance(event, Queued):
            if event.order_id not in self.notional:
                assert event.order_qty - event.cum_qty == self.open[event.order_id] > 0
        elif isinstance(event, Amended):
            self.amend(event)
        elif isinstance(event, Removed):
            if event.order_id in self.notional:
                assert event.leaves_qty == 0
            else:
                assert event.leaves_qty == self.open[event.order_id]
            del self.open[event.order_id]

    def reduce(self, order_id: str, qty: int, *, filled: int) -> None:
        assert qty > 0
        self.filled[order_id] += filled
        self.open[order_id] -= qty
        assert self.open[order_id] >= 0 or order_id in self.notional

    def close_if(self, order_id: str, *, closed: bool) -> None:
        if order_id not in self.notional:
            assert closed == (self.open[order_id] == 0)
        if closed:
            del self.open[order_id]

    def amend(self, event: Amended) -> None:
        old_open = self.open.pop(event.orig_order_id)
        filled = self.filled[event.order_id] = self.filled[event.orig_order_id]
        asked = self.asked[event.order_id]
        self.open[event.order_id] = event.leaves_qty
        if event.orig_order_id in self.notional:
            self.notional.add(event.order_id)
        elif asked:
            assert event.leaves_qty == max(0, asked - filled)
        else:
            assert event.leaves_qty == old_open


@settings(max_examples=150, deadline=None)
@given(MESSAGES)
def test_every_quantity_is_accounted_for(messages: list[Message]) -> None:
    """What an order asked for was traded, is still open, or was told to have left."""
    account = Account()
    stage, recorded = _run(messages)
    for number, message in enumerate(messages, 1):
        account.send(_numbered(message, number))
    for one in recorded:
        account.hear(one.event)
    still_open = {
        order.order_id: order.leaves_qty
        for book in stage.books.values()
        for order in book.bids.orders() + book.asks.orders()
    } | {order.order_id: order.leaves_qty for order in stage.queue.orders()}
    assert still_open.keys() == account.open.keys()
    for order_id, open_qty in account.open.items():
        if order_id not in account.notional:
            assert still_open[order_id] == open_qty
