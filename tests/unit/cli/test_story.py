"""The story of a group: the order of cause and effect (docs of groups: "Audit order"), in words."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexustrade.console.story import cause_of, in_order, lines, place, tell
from nexustrade.console.words import Words
from nexustrade.core.codec import Message
from nexustrade.kernel.ports import LogEntry
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Recorded
from nexustrade.matching import messages as matching
from nexustrade.orders import messages as orders

SHARE = 100_000_000
T0_US = 1_795_000_000_000_000

# The exit of alice's 10 shares: take-profit 110, stop-loss 90.
GROUP = orders.GroupAccepted(
    "alice", "tp", "mine", "OCO", "AAPL", "SELL", "GTC", 10 * SHARE, tp_order_id="tp",
    tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000, reserved_qty=10 * SHARE,
)  # fmt: skip
OPENED = matching.GroupOpened(
    "tp", "alice", "AAPL", 10 * SHARE, order_class="OCO", side="SELL", tp_order_id="tp",
    tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000,
)  # fmt: skip
RESTED = matching.Rested("tp", "alice", "AAPL", "SELL", "GTC", 1_100_000, 10 * SHARE, group_id="tp")


def traded(
    number: int, qty: int, px: int, maker: tuple[str, str], taker: tuple[str, str]
) -> matching.Traded:
    side = "SELL" if taker[1] == "alice" else "BUY"
    return matching.Traded(number, "AAPL", side, px, qty * SHARE, *maker, 0, *taker)


def filled(t: matching.Traded, account: str, order_id: str, liquidity: str) -> orders.OrderFilled:
    side = "SELL" if account == "alice" else "BUY"
    cents = t.last_px * t.last_qty // 10**10
    return orders.OrderFilled(
        account, order_id, "AAPL", side, t.last_px, t.last_qty, cents, 5, liquidity, t.trade_id
    )


class Recording:
    """Streams as the runtime writes them: each event with its number, time and stored cause."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.now_us = T0_US
        self._last: dict[str, LogEntry] = {}

    def add(self, shard: str, cause: str, event: Message) -> str:
        last = self._last.get(shard)
        seq = last.seq + 1 if last else 1
        ts_us = max(self.now_us, last.ts_us + 1) if last else self.now_us
        entry = LogEntry(shard, seq, ts_us, cause, event)
        self._last[shard] = entry
        self.entries.append(entry)
        return place(entry)


def elected_after_two_partial_fills() -> Recording:
    """Rows 2 and 4: two fills of the take-profit, later a gap elects the stop-loss.

    Alice's events are in orders-0, bob's and carol's in orders-1. As the runtime writes them: the
    whole match loop first, then the orders stages.
    """
    r = Recording()
    accepted = r.add("orders-0", "SubmitGroup", GROUP)
    r.add("matching-0", accepted, OPENED)
    r.add("matching-0", accepted, RESTED)

    r.now_us += 5
    buy = orders.OrderAccepted(
        "bob", "b-1", "b-1", "AAPL", "BUY", "LIMIT", "IOC", 4 * SHARE, 0, 1_110_000
    )
    bob = r.add("orders-1", "SubmitOrder", buy)
    first = traded(1, 3, 1_100_000, ("tp", "alice"), ("b-1", "bob"))
    second = traded(2, 1, 1_100_000, ("tp", "alice"), ("b-1", "bob"))
    places = []
    for t in (first, second):
        at = r.add("matching-0", bob, t)
        reduced = matching.LegReduced(
            "sl", "alice", "AAPL", "tp", t.last_qty, 6 * SHARE, matching.SIBLING_FILL, at
        )
        places.append((t, at, r.add("matching-0", bob, reduced)))
    for t, at, reduced_at in places:
        r.add("orders-0", at, filled(t, "alice", "tp", "MAKER"))
        r.add("orders-1", at, filled(t, "bob", "b-1", "TAKER"))
        less = orders.OrderDecremented("alice", "sl", t.last_qty, matching.SIBLING_FILL, reduced_at)
        r.add("orders-0", reduced_at, less)
        changed = orders.ReservationChanged("alice", "tp", 0, 6 * SHARE, reduced_at)
        r.add("orders-0", reduced_at, changed)

    r.now_us += 1_000_000
    sell = orders.OrderAccepted(
        "carol", "c-1", "c-1", "AAPL", "SELL", "LIMIT", "IOC", SHARE, 0, 850_000
    )
    carol = r.add("orders-1", "SubmitOrder", sell)
    gap = matching.Traded(
        3, "AAPL", "SELL", 850_000, SHARE, "x", "dave", 9 * SHARE, "c-1", "carol", True
    )
    sold = matching.Traded(4, "AAPL", "SELL", 840_000, 6 * SHARE, "y", "dave", 0, "sl", "alice")
    at = r.add("matching-0", carol, gap)
    elected = r.add(
        "matching-0", carol,
        matching.StopElected("sl", "alice", "AAPL", 900_000, 850_000, 3, True, "tp", at),
    )  # fmt: skip
    cancelled = r.add(
        "matching-0", carol,
        matching.LegCancelled("tp", "alice", "AAPL", "tp", 6 * SHARE, "SIBLING_ELECTED", elected),
    )  # fmt: skip
    activated = matching.StopActivated("sl", "alice", "AAPL", 807_500, 6 * SHARE, "tp", elected)
    r.add("matching-0", carol, activated)
    trade = r.add("matching-0", carol, sold)
    closed = r.add(
        "matching-0", carol, matching.GroupClosed("tp", "alice", "AAPL", "SL_FILLED", trade)
    )
    triggered = orders.OrderTriggered("alice", "sl", 850_000, 3, True, elected)
    r.add("orders-0", elected, triggered)
    canceled = orders.OrderCanceled("alice", "tp", 6 * SHARE, "SIBLING_ELECTED", cancelled)
    r.add("orders-0", cancelled, canceled)
    r.add("orders-0", trade, filled(sold, "alice", "sl", "TAKER"))
    released = orders.ReservationReleased("alice", "tp", "SL_FILLED", 0, 0, closed)
    r.add("orders-0", closed, released)
    return r


EXPECTED = [
    ("GroupAccepted", "SubmitGroup"),
    ("GroupOpened", 1),
    ("Rested", 1),
    ("OrderAccepted", "SubmitOrder"),
    ("Traded", 4),
    ("OrderFilled", 5),  # the maker's
    ("OrderFilled", 5),  # the taker's
    ("LegReduced", 5),
    ("OrderDecremented", 8),
    ("ReservationChanged", 8),
    ("Traded", 4),
    ("OrderFilled", 11),
    ("OrderFilled", 11),
    ("LegReduced", 11),
    ("OrderDecremented", 14),
    ("ReservationChanged", 14),
    ("OrderAccepted", "SubmitOrder"),
    ("Traded", 17),
    ("StopElected", 18),
    ("OrderTriggered", 19),
    ("LegCancelled", 19),
    ("OrderCanceled", 21),
    ("StopActivated", 19),
    ("Traded", 17),
    ("OrderFilled", 24),
    ("GroupClosed", 24),
    ("ReservationReleased", 26),
]


def told(entries: list[LogEntry]) -> list[tuple[str, object]]:
    return [(type(one.entry.event).__name__, one.by or one.cause) for one in tell(entries)]


def test_each_effect_follows_its_cause_before_the_next_trade() -> None:
    assert told(elected_after_two_partial_fills().entries) == EXPECTED


def test_the_order_does_not_depend_on_how_the_events_were_found() -> None:
    entries = elected_after_two_partial_fills().entries
    assert told(entries[::-1]) == EXPECTED
    assert told([*entries[10:], *entries[:12]]) == EXPECTED


def test_effects_are_further_in_than_their_causes() -> None:
    story = tell(elected_after_two_partial_fills().entries)
    assert [one.depth for one in story[:10]] == [0, 1, 1, 0, 1, 2, 2, 2, 3, 3]
    assert [one.number for one in story] == list(range(1, len(story) + 1))


def test_busy_streams_whose_times_run_ahead_keep_the_order() -> None:
    """Times of streams differ: each event of a busy one is a microsecond after the one before."""
    r = Recording()
    for n in range(200):
        r.add("orders-0", "AdjustCash", orders.CashAdjusted("alice", n + 1))
    accepted = r.add("orders-0", "SubmitGroup", GROUP)
    r.now_us += 10  # still before the time that orders-0 has reached
    later = r.add("orders-1", "SubmitOrder", buy_of("bob", "b-1"))
    r.add("matching-0", accepted, OPENED)
    r.add("matching-0", later, traded(1, 10, 1_100_000, ("tp", "alice"), ("b-1", "bob")))
    names = [name for name, _ in told(r.entries) if name != "CashAdjusted"]
    assert names == ["OrderAccepted", "GroupAccepted", "GroupOpened", "Traded"]


def buy_of(account: str, order_id: str) -> orders.OrderAccepted:
    return orders.OrderAccepted(
        account, order_id, order_id, "AAPL", "BUY", "LIMIT", "DAY", 10 * SHARE, 0, 1_100_000
    )


def test_an_events_own_cause_counts_more_than_the_message_it_answers() -> None:
    r = Recording()
    accepted = r.add("orders-0", "SubmitOrder", buy_of("bob", "b-1"))
    trade = r.add("matching-0", accepted, traded(1, 1, 1, ("tp", "alice"), ("b-1", "bob")))
    r.add("matching-0", accepted, matching.GroupClosed("tp", "alice", "AAPL", "TP_FILLED", trade))
    assert told(r.entries)[2] == ("GroupClosed", 2)


def test_a_reservation_changes_after_what_its_trade_does_to_the_group() -> None:
    r = Recording()
    accepted = r.add("orders-1", "SubmitOrder", buy_of("bob", "b-1"))
    t = traded(1, 4, 1_100_000, ("tp", "alice"), ("b-1", "bob"))
    trade = r.add("matching-0", accepted, t)
    reduced = matching.LegReduced("sl", "alice", "AAPL", "tp", SHARE, SHARE, "SIBLING_FILL", trade)
    r.add("matching-0", accepted, reduced)
    r.add("matching-0", accepted, t)
    r.add("orders-0", trade, filled(t, "alice", "tp", "MAKER"))
    r.add("orders-0", trade, orders.ReservationChanged("alice", "tp", 0, SHARE, trade))
    names = [name for name, _ in told(r.entries)]
    assert names[1:] == ["Traded", "OrderFilled", "LegReduced", "ReservationChanged", "Traded"]


def test_causes_that_are_missing_or_wrong_do_not_stop_the_story() -> None:
    closed = matching.GroupClosed("tp", "alice", "AAPL", "TP_FILLED", "matching-0:1")
    entries = [
        LogEntry("matching-0", 1, 10, "matching-0:2", closed),
        LogEntry("matching-0", 2, 11, "matching-0:1", OPENED),
        LogEntry("orders-0", 7, 5, "matching-9:99", GROUP),
    ]
    assert [name for name, _ in told(entries)] == ["GroupAccepted", "GroupClosed", "GroupOpened"]
    assert tell([]) == []


class Chained:
    """A stage that answers each message with events of its own, as the seed says."""

    def __init__(self, shard: str, seed: list[int]) -> None:
        self.shard = shard
        self.seed = seed
        self.seq = 0

    def take_into(self, events: list[Recorded], taken: Message, now_us: int, cause: str) -> None:
        for _ in range(self.seed.pop() if self.seed else 0):
            self.seq += 1
            routed: Message = RESTED
            if self.seed and self.seed[-1] % 2:
                routed = buy_of("bob", "b-1") if self.shard != "matching-0" else MARKED
            events.append(Recorded(self.shard, self.seq, now_us + self.seq, cause, routed))


MARKED = matching.Marked("AAPL", 1_000_000)


class Chains:
    """Such stages side by side: every event goes to those that take it, as in a venue's flow."""

    def __init__(self, seed: list[int]) -> None:
        self.routing = Routing(2, 1)
        self.stages = {shard: Chained(shard, seed) for shard in self.routing.shards()}
        self.events: list[Recorded] = []

    def run(self, command: Message, now_us: int) -> None:
        for shard in self.routing.command(command):
            at = len(self.events)
            self.stages[shard].take_into(self.events, command, now_us, type(command).__name__)
            while at < len(self.events):
                r = self.events[at]
                at += 1
                for target in self.routing.event(r.event):
                    self.stages[target].take_into(
                        self.events, r.event, now_us, f"{r.shard}:{r.seq}"
                    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.randoms())
def test_no_stream_is_out_of_order_and_no_effect_before_its_cause(
    seed: list[int], random: Random
) -> None:
    venue = Chains(seed)
    now_us = T0_US
    while seed:
        now_us += 1
        venue.run(orders.BlockVenue(True), now_us)
        venue.run(orders.OpenAccount(f"a-{len(seed)}", "CASH"), now_us)
    entries = [LogEntry(r.shard, r.seq, r.ts_us, r.cause, r.event) for r in venue.events]
    shuffled = list(entries)
    random.shuffle(shuffled)
    found = in_order(shuffled)
    assert sorted(map(place, found)) == sorted(map(place, entries))
    at = {place(entry): n for n, entry in enumerate(found)}
    for entry in found:
        assert at.get(cause_of(entry), -1) < at[place(entry)]
    for shard in venue.routing.shards():
        numbers = [entry.seq for entry in found if entry.shard == shard]
        assert all(one < other for one, other in pairwise(numbers))


# ---------------------------------------------------------------- words


def test_the_whole_story_in_words() -> None:
    story = [row["words"] for row in lines(tell(elected_after_two_partial_fills().entries))]
    assert story == [
        "alice: OCO tp accepted, sell 10 AAPL GTC, REDUCE; take-profit tp, limit 110;"
        " stop-loss sl, stop 90, holds 10 shares",
        "the exit comes alive for 10",
        "the take-profit stands in the book: 10 open at 110",
        "bob: order b-1 accepted, buy 4 AAPL, limit 111 IOC",
        "trade 1: 3 AAPL at 110, maker the take-profit (alice, 0 open), taker order b-1 (bob, buy)",
        "alice: the take-profit sold 3 AAPL at 110 as maker in trade 1, fee 0.05",
        "bob: order b-1 bought 3 AAPL at 110 as taker in trade 1, fee 0.05",
        "the stop-loss is reduced by 3, 6 open: SIBLING_FILL",
        "the stop-loss is smaller by 3: SIBLING_FILL",
        "the group now holds 6 shares",
        "trade 2: 1 AAPL at 110, maker the take-profit (alice, 0 open), taker order b-1 (bob, buy)",
        "alice: the take-profit sold 1 AAPL at 110 as maker in trade 2, fee 0.05",
        "bob: order b-1 bought 1 AAPL at 110 as taker in trade 2, fee 0.05",
        "the stop-loss is reduced by 1, 6 open: SIBLING_FILL",
        "the stop-loss is smaller by 1: SIBLING_FILL",
        "the group now holds 6 shares",
        "carol: order c-1 accepted, sell 1 AAPL, limit 85 IOC",
        "trade 3: 1 AAPL at 85, maker order x (dave, 9 open), taker order c-1 (carol, sell)",
        "the stop-loss is elected: trade 3 at 85 reached its stop 90, gapped through it",
        "the stop-loss works: trade 3 at 85 elected it, gapped through it",
        "the take-profit ends with 6 open: SIBLING_ELECTED",
        "the take-profit is cancelled with 6 open: SIBLING_ELECTED",
        "the stop-loss enters the book with 6 open, limit 80.75",
        "trade 4: 6 AAPL at 84, maker order y (dave, 0 open), taker the stop-loss (alice, sell)",
        "alice: the stop-loss sold 6 AAPL at 84 as taker in trade 4, fee 0.05",
        "the group is closed: SL_FILLED",
        "released nothing: the group is closed, SL_FILLED",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            orders.OrderAccepted(
                "a", "o", "o", "AAPL", "SELL", "TRAILING_STOP", "GTC", SHARE, stop_px=900_000,
                trail_ppm=15_000, reserved=1_05, shrinks={"g": 2 * SHARE},
            ),
            "a: order o accepted, sell 1 AAPL, stop 90 GTC, trailing by 1.5 %, holds 1.05 USD,"
            " takes 2 from group g",
        ),
        (
            orders.OrderAccepted("a", "o", "o", "AAPL", "BUY", "MARKET", "IOC", notional=50_00),
            "a: order o accepted, buy AAPL market for 50 USD IOC",
        ),
        (
            orders.GroupAccepted(
                "a", "g", "c", "BRACKET", "AAPL", "BUY", "DAY", SHARE, "MARKET", tp_order_id="t",
                tp_limit_px=2_000_000, sl_order_id="s", sl_stop_px=900_000, sl_limit_px=890_000,
                reserved=100_50,
            ),
            "a: BRACKET g accepted, buy 1 AAPL DAY, REDUCE; entry g market; take-profit t,"
            " limit 200; stop-loss s, stop 90, limit 89, holds 100.5 USD",
        ),
        (
            orders.GroupRejected(
                "a", "g", "c", "OCO", "AAPL", "SELL", "OCO_PRICES_DO_NOT_STRADDLE", "no",
                facts={"last": "100"}, legs={"stop_loss": "is above"},
            ),
            "a: OCO g rejected, OCO_PRICES_DO_NOT_STRADDLE (no) [last 100]; stop_loss: is above",
        ),
        (
            orders.LegsActivated("a", "g", 3 * SHARE, reserved_qty=3 * SHARE),
            "the exit is alive for 3, holds 3 shares",
        ),
        (
            orders.OrderTrailed("a", "o", 1_100_000, 1_050_000),
            "order o trails: best price 110, stop now 105",
        ),
        (
            orders.ReplaceRequested(
                "a", "n", "o", "n", "AAPL", SHARE, 0, "GTC", stop_px=800_000, trail_px=10_000
            ),
            "replace of order o by n asked for: qty 1, stop 80, GTC, trailing by 1",
        ),
        (
            matching.Amended("n", "o", "a", "AAPL", 1_000_000, SHARE, True),
            "order o goes on as n at the end of the queue: 1 open, limit 100",
        ),
        (
            orders.TradeBusted(
                "a", "o", "AAPL", "BUY", 1_000_000, SHARE, 100_00, 7, 3, reason="wrong"
            ),
            "a: trade 3 of order o is undone, 1 AAPL at 100, 100 USD and fee 0.07 go back: wrong",
        ),
        (
            matching.Parked("o", "a", "AAPL", "BUY", "STOP", "GTC", SHARE, 1_200_000),
            "order o waits for a trade at 120 or above, 1 open",
        ),
        (
            matching.Uncrossed("AAPL", "OPENING_CALL", 850_000, 3 * SHARE),
            "AAPL: the OPENING_CALL ends with 3 at 85",
        ),
        (
            orders.OrderExpired("a", "o", SHARE, "END_OF_DAY"),
            "order o has expired with 1 open: END_OF_DAY",
        ),
        (orders.CancelRequested("a", "o", "AAPL", "g"), "cancel of the whole group asked for"),
        (orders.CashAdjusted("a", 1_00), "account_id a, amount 100"),
    ],
)  # fmt: skip
def test_events_in_words(event: Message, words: str) -> None:
    assert Words().of(event).startswith(words)


def test_a_replaced_leg_keeps_its_role() -> None:
    words = Words()
    words.of(GROUP)
    said = words.of(orders.OrderReplaced("alice", "tp-2", "tp"))
    assert said == "the take-profit is replaced: it goes on as tp-2"
    assert words.name("tp-2") == "the take-profit"
    assert words.name("stranger") == "order stranger"


def test_every_event_has_words() -> None:
    """Of those that a story may have; the others are told as their fields."""
    from nexustrade.console.words import _SAY  # noqa: PLC0415

    module_events = [
        one
        for module in (orders, matching)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Message) and one.__module__ == module.__name__
    ]
    fields = {"order_id", "group_id", "maker_order_id"}
    spoken = {
        one
        for one in module_events
        if fields & set(one.__struct_fields__) and not one.__name__.endswith("Record")
    }
    commands = {orders.SubmitOrder, orders.SubmitGroup, orders.AmendGroup, orders.CancelGroup,
                orders.ReplaceOrder, orders.CancelOrder}  # fmt: skip
    assert spoken - commands - set(_SAY) == set()
