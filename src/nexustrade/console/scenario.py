"""`nexustrade scenario`: drive a venue through a scenario and score what its stops did."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from nexustrade.console.options import PLAIN, Answer
from nexustrade.console.output import (
    OK,
    REFUSED,
    USAGE,
    CommandError,
    cell,
    complain,
    console,
    print_json,
    print_rows,
)
from nexustrade.core.time import US_PER_S
from nexustrade.kernel.routing import Routing
from nexustrade.kernel.stage import Stage
from nexustrade.matching.domain import MatchingStage
from nexustrade.orders.domain import OrdersStage
from nexustrade.orders.messages import OrdersQuery
from nexustrade.orders.service import OrdersView
from nexustrade.scenario import plan
from nexustrade.scenario.runner import PrivateVenue, run_scenario
from nexustrade.scenario.scorecard import Scorecard, StopScore

app = App(name="scenario", help="Drive a venue through a scenario and score its stops.")

CLOSED_KEEP_US: Final = 366 * 86_400_000_000
"""A private venue remembers closed groups to its end: they are looked at then."""
STOPS_SHOWN_MAX: Final = 20
"""Stops in the table, those with the worst slippage first; JSON has all."""
NOTES_SHOWN_MAX: Final = 20
"""Refusals in the text, and groups that were torn; JSON has all."""

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


# ---------------------------------------------------------------- the scorecard


def print_card(card: Scorecard, stops_max: int, *, as_json: bool) -> int:
    """Print a scorecard; returns the exit code."""
    if as_json:
        print_json(msgspec.to_builtins(card))
    else:
        _print_text(card, stops_max)
    if not card.is_whole():
        complain("a group was torn, or a closed group still holds a reservation")
        return REFUSED
    return OK


def _print_text(card: Scorecard, stops_max: int) -> None:
    """The scorecard for people: one line a number, then a table of the stops that were elected."""
    out = console()
    out.print(Text.assemble((card.scenario, "bold"), f"  {cell(card.description)}"))
    out.print()
    out.print(_figures(card))
    if card.elected and stops_max > 0:
        out.print()
        out.print(_stops(card.elected[:stops_max]))
        hidden = len(card.elected) - stops_max
        if hidden > 0:
            out.print(Text(f"and {hidden} more stops, none of them worse", "dim"))
    for title, lines in (
        ("ambiguous bar", card.ambiguous_bars),
        ("missed", card.prints_missed),
        ("refused", card.refusals),
        ("TORN", card.torn),
    ):
        if lines:
            out.print()
            out.print(_notes(title, lines))


def _figures(card: Scorecard) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    left = f"{card.reservation_left_usd} USD, {card.reservation_left_qty} shares"
    whole = "green" if card.is_whole() else "bold red"
    for name, value, style in (
        ("venue", f"{card.venue}, seed {card.seed}, {card.commands} commands", ""),
        ("groups torn", str(card.groups_torn), whole),
        ("reservation left over", left, whole),
        ("slippage of all stops", f"{card.slippage_usd} USD", ""),
        ("time unprotected", _unprotected(card), ""),
        ("stops", f"{card.stops}: {_counts(card.stops_by_status)}", ""),
        ("groups", f"{card.groups}: {_counts(_groups(card))}", ""),
        ("auctions", "; ".join(map(_word, card.auctions)) or "none", ""),
        ("pauses", _counts(card.volatility_auctions), ""),
        ("trades", f"{card.trades} of {card.volume} {cell(card.symbol)}", ""),
        ("price", f"{card.first_price} first, {card.last_price} last", ""),
        ("range", f"{card.low_price} to {card.high_price}", ""),
    ):
        table.add_row(name, Text(value, style))
    return table


def _unprotected(card: Scorecard) -> str:
    """The longest that a stop was elected and not filled, and an entry filled without legs."""
    times = [stop.unprotected_us for stop in card.elected]
    known = [time for time in times if time is not None]
    still = len(times) - len(known)
    text = f"{time_text(max(known, default=0))} at most"
    if still:
        text += f"; {still} elected and not filled"
    if card.entry_unprotected_us is None:
        return f"{text}; an entry without legs"
    if card.entry_unprotected_us:
        text += f"; {time_text(card.entry_unprotected_us)} before the legs"
    return text


def _groups(card: Scorecard) -> dict[str, int]:
    return card.groups_closed | ({"open": card.groups_open} if card.groups_open else {})


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {_word(name)}" for name, count in counts.items()) or "none"


def _word(name: str) -> str:
    """An enumeration's name in prose."""
    return name.replace("_", " ").lower()


def time_text(us: int) -> str:
    """A time that passed, exact, in minutes and seconds: `10:00.002`."""
    seconds, rest = divmod(us, US_PER_S)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{minutes}:{seconds:02d}{fraction}"


def _stops(stops: Iterable[StopScore]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, collapse_padding=True)
    table.add_column("stop", overflow="fold")
    for head in ("at", "print", "filled", "average", "slip", "bp"):
        table.add_column(head, justify="right")
    table.add_column("unprotected")
    for stop in stops:
        table.add_row(
            Text(cell(stop.stop)),
            f"{stop.side} {stop.stop_price}",
            stop.print_price,
            stop.filled_qty if stop.filled_qty == stop.qty else f"{stop.filled_qty} of {stop.qty}",
            stop.average_price or "-",
            stop.slippage_per_share or "-",
            stop.slippage_bp or "-",
            _bare(stop),
        )
    return table


def _bare(stop: StopScore) -> str:
    """How long a stop left its position bare, or why it still does."""
    if stop.unprotected_us is not None:
        return time_text(stop.unprotected_us)
    if stop.remainder_qty == "0" or not stop.protection_price:
        return stop.status
    return f"{stop.remainder_qty} {stop.status} at {stop.protection_price}"


def _notes(title: str, lines: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines[:NOTES_SHOWN_MAX]:
        table.add_row(title, Text(cell(line)))
    hidden = len(lines) - NOTES_SHOWN_MAX
    if hidden > 0:
        table.add_row(title, f"and {hidden} more")
    return table
