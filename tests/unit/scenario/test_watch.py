"""What counts as torn: one leg cancelled while the other lives, unless that is how it should be."""

import pytest

from nexustrade.console.scenario import print_card, private_venue
from nexustrade.core.codec import Message
from nexustrade.matching import messages as m
from nexustrade.orders import messages as o
from nexustrade.scenario import plan
from nexustrade.scenario.runner import PrivateVenue, run_scenario
from nexustrade.scenario.scorecard import Scorecard, make_scorecard
from nexustrade.scenario.watch import Watch

SHARE = 100_000_000

GROUP = o.GroupAccepted(
    "alice", "tp", "mine", "OCO", "ACME", "SELL", "GTC", 10 * SHARE, tp_order_id="tp",
    tp_limit_px=1_100_000, sl_order_id="sl", sl_stop_px=900_000, reserved_qty=10 * SHARE,
)  # fmt: skip
OPENED = m.GroupOpened("tp", "alice", "ACME", 10 * SHARE)
TP_GONE = m.LegCancelled("tp", "alice", "ACME", "tp", 10 * SHARE, "BY_REQUEST")
SL_GONE = m.LegCancelled("sl", "alice", "ACME", "tp", 10 * SHARE, "BY_REQUEST")
ELECTED = m.StopElected("sl", "alice", "ACME", 900_000, 890_000, 1, True, "tp")
TP_FILL = m.Traded(1, "ACME", "BUY", 1_100_000, 4 * SHARE, "tp", "alice", 6 * SHARE, "b", "bob")
CLOSED = m.GroupClosed("tp", "alice", "ACME", "CANCELLED")
RELEASED = o.ReservationReleased("alice", "tp", "CANCELLED", 0, 10 * SHARE)


def scored(*events: Message) -> Scorecard:
    watch = Watch()
    watch.begin(1)
    for event in (GROUP, OPENED, *events):
        watch.see(event)
    watch.end()
    return make_scorecard(watch, scenario="s", description="", symbol="ACME", venue="v", seed=1)


@pytest.mark.parametrize(
    ("events", "torn"),
    [
        ((), 0),
        ((TP_GONE,), 1),
        ((SL_GONE,), 1),
        ((TP_GONE, SL_GONE), 0),
        ((ELECTED, TP_GONE), 0),
        ((TP_FILL, SL_GONE), 1),
    ],
)
def test_torn_groups(events: tuple[Message, ...], torn: int) -> None:
    assert scored(*events).groups_torn == torn


def test_a_leg_that_outlives_its_sibling_is_whole_where_a_fill_cancels() -> None:
    watch = Watch()
    watch.begin(1)
    watch.see(GROUP)
    watch.groups["tp"].cancels = True
    for event in (OPENED, TP_FILL, SL_GONE):
        watch.see(event)
    watch.end()
    assert watch.torn == {}


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((TP_GONE,), 1),
        ((TP_GONE, SL_GONE, CLOSED), 1),
        ((TP_GONE, SL_GONE, CLOSED, RELEASED), 0),
    ],
)
def test_the_exit_code_says_whether_all_is_whole(events: tuple[Message, ...], code: int) -> None:
    assert print_card(scored(*events), 20, as_json=True) == code


class Tearing(PrivateVenue):
    """A venue whose cancels of groups forget the stop-loss."""

    def run(self, command: Message, path: str) -> bool:
        if isinstance(command, o.CancelGroup):
            leg = m.LegCancelled(command.group_id, "", "", command.group_id, 1, "BY_REQUEST")
            self.watch.begin(self.now_us())
            self.watch.see(leg)
            self.watch.end()
            return True
        return super().run(command, path)


def test_a_venue_that_tears_a_group_is_found_out() -> None:
    sound = private_venue()
    torn = Tearing(lambda shard: sound.stages[shard], sound._query)
    card = run_scenario(plan.load_scenario(plan.find_file("halt-reopen")), torn, 1)
    assert card.torn == ("carol",)
    assert not card.is_whole()
