"""The scorecard of a scenario: what its stops cost, how long they left a position bare. Pure.

Every number is exact: integers and decimal text. An average or a rate that has no end is rounded
half-even to the decimals shown; sums are never rounded.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from nexustrade.core.money import (
    average_price,
    divide_half_even,
    price_text,
    qty_text,
    scaled_text,
    usd_text,
)
from nexustrade.scenario.watch import Group, Stop, Watch

STOPS_SHOWN_MAX: Final = 20
"""Stops in the text, those with the worst slippage first; JSON has all."""
REFUSALS_SHOWN_MAX: Final = 20
_BP: Final = 10_000
_BP_DECIMALS: Final = 2
_COST_DECIMALS: Final = 12


class StopScore(msgspec.Struct, frozen=True, kw_only=True):
    """One stop that was elected. Slippage above 0 is a price worse than the stop price.

    `unprotected_us` is the time from its election to its last fill; None: a part is still open, or
    was cancelled. `remainder_qty` is that part, `protection_price` the limit at which it rests.
    """

    stop: str
    account_id: str
    side: str
    qty: str
    stop_price: str
    print_price: str
    gapped: bool
    filled_qty: str
    average_price: str
    slippage_per_share: str
    slippage_bp: str
    slippage_usd: str
    unprotected_us: int | None
    protection_price: str
    remainder_qty: str
    status: str


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed. `entry_unprotected_us` is the longest that a filled entry had no legs."""

    scenario: str
    description: str
    symbol: str
    venue: str
    seed: int
    commands: int
    groups: int
    groups_torn: int
    torn: tuple[str, ...]
    ambiguous_bars: tuple[str, ...]
    groups_closed: dict[str, int]
    groups_open: int
    reservation_left_usd: str
    reservation_left_qty: str
    entry_unprotected_us: int | None
    stops: int
    stops_by_status: dict[str, int]
    slippage_usd: str
    elections: int
    volatility_auctions: dict[str, int]
    auctions: tuple[str, ...]
    trades: int
    volume: str
    first_price: str
    low_price: str
    high_price: str
    last_price: str
    prints_missed: tuple[str, ...]
    refused: int
    refusals: tuple[str, ...]
    elected: tuple[StopScore, ...]

    def is_whole(self) -> bool:
        """Whether no group was torn and no closed group holds a reservation."""
        return not self.groups_torn and (self.reservation_left_usd, self.reservation_left_qty) == (
            "0",
            "0",
        )


def make_scorecard(
    watch: Watch,
    *,
    scenario: str,
    description: str,
    symbol: str,
    venue: str,
    seed: int,
    ambiguous: Iterable[str] = (),
    missed: Iterable[str] = (),
) -> Scorecard:
    """The scorecard of what was seen."""
    groups = list(watch.groups.values())
    closed = [group for group in groups if group.closed]
    elected = [stop for stop in watch.stops.values() if stop.is_elected()]
    return Scorecard(
        scenario=scenario,
        description=description,
        symbol=symbol,
        venue=venue,
        seed=seed,
        commands=watch.commands,
        groups=len(groups),
        groups_torn=len(watch.torn),
        torn=tuple(watch.groups[group_id].label for group_id in watch.torn),
        ambiguous_bars=tuple(ambiguous),
        groups_closed=_counted(group.closed for group in closed),
        groups_open=len(groups) - len(closed),
        reservation_left_usd=usd_text(sum(group.reserved for group in closed)),
        reservation_left_qty=qty_text(sum(group.reserved_qty for group in closed)),
        entry_unprotected_us=_bare(groups),
        stops=len(watch.stops),
        stops_by_status=_counted(stop.status for stop in watch.stops.values()),
        slippage_usd=scaled_text(sum(map(_slippage_e12, elected)), _COST_DECIMALS),
        elections=watch.elections,
        volatility_auctions=dict(sorted(watch.volatility_auctions.items())),
        auctions=tuple(_auction(*auction) for auction in watch.auctions),
        trades=watch.trades,
        volume=qty_text(watch.volume),
        first_price=price_text(watch.first_px),
        low_price=price_text(watch.low_px),
        high_price=price_text(watch.high_px),
        last_price=price_text(watch.last_px),
        prints_missed=tuple(missed),
        refused=watch.refused,
        refusals=tuple(
            " ".join(part for part in (each.label, each.reason, each.text) if part)
            for each in watch.refusals
        ),
        elected=tuple(map(_score, sorted(elected, key=_worst_first))),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items()))


def _auction(phase: str, px: int, qty: int) -> str:
    return f"{phase} {qty_text(qty)} at {price_text(px)}" if qty else f"{phase} without a trade"


def _bare(groups: Sequence[Group]) -> int | None:
    """The longest time without legs; None when an entry's fill has none to this day."""
    if any(group.bare_us and not group.closed for group in groups):
        return None
    return max((group.bare_max_us for group in groups), default=0)


def _slippage_e12(stop: Stop) -> int:
    """What a stop's fills were worse than its stop price, in 1e-12 USD, exact."""
    at_stop = stop.stop_px * stop.cum_qty
    return stop.cost - at_stop if stop.is_buy else at_stop - stop.cost


def _worst_first(stop: Stop) -> tuple[int, str]:
    per_share = average_price(_slippage_e12(stop), stop.cum_qty)
    return -per_share, stop.label


def _score(stop: Stop) -> StopScore:
    slippage = _slippage_e12(stop)
    filled = stop.cum_qty > 0
    done = filled and not stop.leaves_qty
    hundredths = 10**_BP_DECIMALS
    at_stop = stop.stop_px * stop.cum_qty
    bp = divide_half_even(slippage * _BP * hundredths, at_stop) if filled else 0
    return StopScore(
        stop=stop.label,
        account_id=stop.account_id,
        side="buy" if stop.is_buy else "sell",
        qty=qty_text(stop.qty),
        stop_price=price_text(stop.stop_px),
        print_price=price_text(stop.print_px) if stop.print_px else "",
        gapped=stop.gapped,
        filled_qty=qty_text(stop.cum_qty),
        average_price=price_text(average_price(stop.cost, stop.cum_qty)) if filled else "",
        slippage_per_share=price_text(average_price(slippage, stop.cum_qty)) if filled else "",
        slippage_bp=scaled_text(bp, _BP_DECIMALS) if filled else "",
        slippage_usd=scaled_text(slippage, _COST_DECIMALS),
        unprotected_us=stop.filled_us - stop.elected_us if done else None,
        protection_price=price_text(stop.protection_px) if stop.protection_px else "",
        remainder_qty=qty_text(stop.leaves_qty),
        status=stop.status,
    )


# ---------------------------------------------------------------- as text

_COLUMNS: Final = (
    ("stop", "stop"),
    ("side", "side"),
    ("qty", "qty"),
    ("stop price", "stop_price"),
    ("print", "print_price"),
    ("gapped", "gapped"),
    ("filled", "filled_qty"),
    ("average", "average_price"),
    ("slip/share", "slippage_per_share"),
    ("slip bp", "slippage_bp"),
    ("unprotected us", "unprotected_us"),
    ("limit", "protection_price"),
    ("remainder", "remainder_qty"),
    ("status", "status"),
)
_LEFT: Final = {"stop", "side", "status"}


def as_text(card: Scorecard, stops_max: int = STOPS_SHOWN_MAX) -> str:
    """The scorecard for people: one line a number, then a table of the elected stops."""
    lines = [f"{card.scenario}: {card.description}" if card.description else card.scenario, ""]
    lines += [f"{name:<22}{value}" for name, value in _figures(card)]
    if card.elected:
        lines += ["", *_table(card.elected[:stops_max])]
        hidden = len(card.elected) - stops_max
        if hidden > 0:
            lines.append(f"and {hidden} more stops, none of them worse")
    lines += _list("ambiguous bar", card.ambiguous_bars)
    lines += _list("print missed", card.prints_missed)
    lines += _list("refused", card.refusals)
    lines += _list("TORN", card.torn)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _figures(card: Scorecard) -> list[tuple[str, str]]:
    shares = f"{card.reservation_left_usd} USD, {card.reservation_left_qty} shares"
    return [
        ("venue", f"{card.venue}, {card.symbol}, seed {card.seed}, {card.commands} commands"),
        ("groups torn", str(card.groups_torn)),
        ("reservation left over", shares),
        ("entry unprotected", _time(card.entry_unprotected_us)),
        ("groups", f"{card.groups} ({_counts(card.groups_closed, card.groups_open)})"),
        ("stops", f"{card.stops} ({_words(card.stops_by_status)})"),
        ("elections", str(card.elections)),
        ("slippage, all stops", f"{card.slippage_usd} USD"),
        ("volatility auctions", _words(card.volatility_auctions)),
        ("auctions", "; ".join(card.auctions) or "none"),
        ("trades", f"{card.trades}, volume {card.volume}"),
        ("first, last price", f"{card.first_price}, {card.last_price}"),
        ("low, high price", f"{card.low_price}, {card.high_price}"),
        ("refused", str(card.refused)),
    ]


def _time(us: int | None) -> str:
    return "open end" if us is None else f"{us} us"


def _counts(closed: dict[str, int], still_open: int) -> str:
    return _words(closed | ({"open": still_open} if still_open else {}))


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _cell(value: object) -> str:
    if value is None:
        return "open end"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "-"


def _table(stops: Sequence[StopScore]) -> list[str]:
    rows = [[_cell(getattr(stop, field)) for _, field in _COLUMNS] for stop in stops]
    heads = [head for head, _ in _COLUMNS]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if head in _LEFT else text.rjust(width)
            for head, text, width in zip(heads, row, widths, strict=True)
        )
        for row in (heads, *rows)
    ]


def _list(title: str, lines: Sequence[str]) -> list[str]:
    shown = [f"{title}: {line}" for line in lines[:REFUSALS_SHOWN_MAX]]
    hidden = len(lines) - len(shown)
    if hidden > 0:
        shown.append(f"{title}: and {hidden} more")
    return ["", *shown] if shown else []
