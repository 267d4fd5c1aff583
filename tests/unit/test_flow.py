"""What a client hears of its command: all that its own stage made of it, to the last effect."""

import pytest

from nexustrade.core.terms import SELL
from nexustrade.orders.messages import CancelOrder, RestrictInstrument
from tests.unit.decision_table.scene import SYMBOL, Scene, buy, oco, replace, sell, stop


def answer(scene: Scene, command: object) -> list[tuple[str, str]]:
    scene.now_us += 1
    found = scene.flow.run(command, scene.now_us)  # type: ignore[arg-type]
    return [(recorded.shard, type(recorded.event).__name__) for recorded in found]


def test_what_the_book_refused_is_in_the_answer() -> None:
    """With partitions of its own the orders stage may not know of the last trade."""
    s = Scene((2, 2)).given(oco(), sell("a", 1, 94), buy("b", 1, 94, "cat"))
    told = answer(s, replace("sl", stop=95))
    assert [name for _, name in told] == ["ReplaceRequested", "ReplaceRejected"]
    assert len({shard for shard, _ in told}) == 1


@pytest.mark.parametrize("partitions", [(1, 1), (2, 2)])
def test_what_other_stages_made_of_it_is_not(partitions: tuple[int, int]) -> None:
    s = Scene(partitions).given(stop("one", SELL, 1, 90, "bob"))
    told = answer(s, CancelOrder("bob", "one"))
    assert [name for _, name in told] == ["CancelRequested", "OrderCanceled"]


def test_a_command_to_every_stage_is_answered_by_every_stage() -> None:
    s = Scene((1, 1))
    told = answer(s, RestrictInstrument(SYMBOL, "HALTED", "news"))
    assert told == [("orders-0", "InstrumentRestricted"), ("matching-0", "PhaseChanged")]
