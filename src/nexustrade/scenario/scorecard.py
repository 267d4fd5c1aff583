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


def _worst_first(stop: Stop) -> tuple[int, int, str]:
    per_share = average_price(_slippage_e12(stop), stop.cum_qty)
    # By the length of the names first: the tenth repetition comes after the second.
    return -per_share, len(stop.label), stop.label


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
