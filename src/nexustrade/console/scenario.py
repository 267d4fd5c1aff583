"""`nexustrade scenario`: drive a venue through a scenario and score what its stops did."""

from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import (
    OK,
    REFUSED,
    USAGE,
    CommandError,
    complain,
    print_json,
    print_rows,
)
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Stage
from nexustrade.matching.domain import MatchingStage
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import OrdersQuery
from nexustrade.orders.service import OrdersView
from nexustrade.scenario import plan
from nexustrade.scenario.runner import PrivateVenue, run_scenario
from nexustrade.scenario.scorecard import STOPS_SHOWN_MAX, Scorecard, as_text

app = App(name="scenario", help="Drive a venue through a scenario and score its stops.")

CLOSED_KEEP_US: Final = 366 * 86_400_000_000
"""A private venue remembers closed groups to its end: they are looked at then."""

Name = Annotated[str, Parameter(help="A built-in scenario, or the path of a TOML file.")]


def private_venue() -> PrivateVenue:
    """A venue in memory, with nothing in it."""
    return PrivateVenue(_make_stage, _make_query)


def _make_stage(shard: str) -> Stage:
    if shard.startswith("orders-"):
        return OrdersStage(shard, CLOSED_KEEP_US)
    return MatchingStage(shard)


def _make_query(stages: list[Stage]) -> OrdersQuery:
    found = [stage for stage in stages if isinstance(stage, OrdersStage)]
    return OrdersView(found, Routing(1, 1).orders_of)


@app.command(name="list")
def list_(*, answer: Answer = PLAIN) -> int:
    """List the built-in scenarios."""
    rows = []
    for name in plan.builtin_names():
        scenario = plan.load_scenario(plan.find_file(name))
        rows.append({"name": name, "description": scenario.description})
    print_rows(rows, ("name", "description"), as_json=answer.json)
    return OK


@app.command
def show(name: Name, /) -> int:
    """Print the TOML of a scenario: a start for one's own."""
    path = plan.find_file(name)
    plan.load_scenario(path)
    print(path.read_text(encoding="utf-8"), end="")  # noqa: T201
    return OK


@app.command
def check(name: Name, /) -> int:
    """Check a scenario's file without running it; 1 with every fault named."""
    scenario = plan.load_scenario(plan.find_file(name))
    print(f"{scenario.name}: {len(scenario.steps)} steps, no fault")  # noqa: T201
    return OK


@app.command
def run(
    name: Name,
    /,
    *,
    seed: Annotated[int | None, Parameter(help="Instead of the file's.")] = None,
    stops: Annotated[int, Parameter(help="Show so many stops, the worst first.")] = STOPS_SHOWN_MAX,
    answer: Answer = PLAIN,
) -> int:
    """Run a scenario and print its scorecard; 1 when a group was torn or a reservation is left."""
    scenario = plan.load_scenario(plan.find_file(name))
    if seed is not None and not 0 <= seed <= plan.SEED_MAX:
        raise CommandError(f"--seed is a whole number from 0 to {plan.SEED_MAX}", USAGE)
    card = run_scenario(scenario, private_venue(), scenario.seed if seed is None else seed)
    return print_card(card, stops, as_json=answer.json)


def print_card(card: Scorecard, stops_max: int, *, as_json: bool) -> int:
    """Print a scorecard; returns the exit code."""
    if as_json:
        print_json(msgspec.to_builtins(card))
    else:
        print(as_text(card, stops_max), end="", flush=True)  # noqa: T201
    if not card.is_whole():
        complain("a group was torn, or a closed group still holds a reservation")
        return REFUSED
    return OK
