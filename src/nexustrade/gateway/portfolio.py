"""Portfolio history: equity samples of the past as a regular series."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from nexustrade.core.money import USD_DECIMALS, usd_text
from nexustrade.core.time import US_PER_S
from nexustrade.gateway import requests
from nexustrade.gateway.messages import PortfolioHistory, PortfolioParams
from nexustrade.gateway.refusals import invalid
from nexustrade.gateway.render import ratio_text
from nexustrade.orders.messages import EquitySample

_MINUTE_S: Final = 60
_DAY_S: Final = 86_400
_TIMEFRAMES_S: Final = {
    "1Min": _MINUTE_S,
    "5Min": 5 * _MINUTE_S,
    "15Min": 15 * _MINUTE_S,
    "1H": 60 * _MINUTE_S,
    "1D": _DAY_S,
}
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,3})([DWMYA])")
_PERIOD_DAYS: Final = {"D": 1, "W": 7, "M": 30, "Y": 365, "A": 365}
_INTRADAY_DAYS_MAX: Final = 7
"""Up to this period the default timeframe is 15 minutes rather than a day, and 1Min is allowed."""
_POINTS_MAX: Final = 10_000


class Span(NamedTuple):
    """What part of the past is asked for, in steps of `step_s`."""

    start_us: int
    end_us: int
    step_s: int
    timeframe: str


def span(p: PortfolioParams, now_us: int) -> Span:
    """The part of the past that the parameters mean; `ApiError` 422 when they mean none."""
    end_us = requests.end_of_day_us("end", p.end or p.date_end) or now_us
    start_us = requests.instant_us("start", p.start)
    if not start_us:
        days = _period_days(p.period or "1M")
        start_us = requests.within_time(end_us - days * _DAY_S * US_PER_S)
    if start_us >= end_us:
        raise invalid(f"invalid start {requests.shown(p.start)}. start is before end")
    days = (end_us - start_us) // (_DAY_S * US_PER_S)
    timeframe = p.timeframe or ("15Min" if days < _INTRADAY_DAYS_MAX else "1D")
    step_s = requests.choice("timeframe", timeframe, _TIMEFRAMES_S)
    if (end_us - start_us) // (step_s * US_PER_S) > _POINTS_MAX:
        raise invalid(
            f"invalid timeframe {timeframe}. the period has more than {_POINTS_MAX} such steps"
        )
    return Span(start_us, end_us, step_s, timeframe)


def _period_days(period: str) -> int:
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise invalid(
            f"invalid period {requests.shown(period)}."
            " a period is a number and one of D, W, M, A, like 1M"
        )
    return int(found.group(1)) * _PERIOD_DAYS[found.group(2)]


def portfolio_history(
    asked: Span, samples: Sequence[EquitySample], equity_now: int, now_us: int
) -> PortfolioHistory:
    """The last equity of each step, up to now; profit is measured from the first of them."""
    step_us = asked.step_s * US_PER_S
    last_of_step: dict[int, int] = {}
    for sample in samples:
        last_of_step[sample.ts_us // step_us] = sample.equity
    if asked.end_us >= now_us or not last_of_step:
        last_of_step[min(now_us, asked.end_us) // step_us] = equity_now
    base = samples[0].equity if samples else equity_now
    steps = sorted(last_of_step)
    equities = [last_of_step[step] for step in steps]
    return PortfolioHistory(
        timestamp=[step * asked.step_s for step in steps],
        equity=[_usd(cents) for cents in equities],
        profit_loss=[_usd(cents - base) for cents in equities],
        profit_loss_pct=[Decimal(ratio_text(cents - base, base)) for cents in equities],
        base_value=_usd(base),
        timeframe=asked.timeframe,
        cashflow={},
    )


def _usd(cents: int) -> Decimal:
    return Decimal(usd_text(cents)).quantize(Decimal(1).scaleb(-USD_DECIMALS))
