"""What a report of a run shows beside the run itself: grades of earlier sessions, spreads, volumes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from tickerplant.errors import UsageError
from tickerplant.quality.inputs import Span, expanded
from tickerplant.quality.outcome import Outcome

if TYPE_CHECKING:
    from tickerplant.stores import AnyStore

HISTORY_DAYS = 62
"""How many days of grades the report looks back."""

_GRADES = """select symbol, session, grade from quality_grades
where session >= date '{first}' and session <= date '{last}'"""
_SPREADS = """select q.symbol, count(*) as quotes,
    sum((q.ask_price - q.bid_price) / (q.ask_price + q.bid_price)) / count(*) * 20000 as spread
from checked_quotes q
join hours h on h.session = q.session and q.ts >= h.opens and q.ts < h.closes
where q.bid_price > 0 and q.ask_price > q.bid_price
group by q.symbol"""
_TRADED = "select symbol, sum(size) as volume from checked_trades group by symbol"
_DAILY = """select symbol, session, max(volume) as volume from daily
where session >= date '{first}' group by symbol, session"""
_USUAL_SESSIONS = 20
_USUAL_LEAST = 5
_OUTLIER = 3.5


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    `grades` has symbol, session, grade of this run's last session and those before; `spreads` symbol, volume (shares),
    spread (basis points of the middle, mean over quotes), is_outlier of the last session; `volumes` symbol, volume,
    usual (median of up to 20 sessions before), ratio.
    """

    store: str
    outcome: Outcome
    grades: pl.DataFrame
    spreads: pl.DataFrame
    volumes: pl.DataFrame


def gather(store: AnyStore, outcome: Outcome) -> Report:
    """Ask the store for what the page needs; the run must be stored. Raises UsageError when it looked at nothing."""
    if not outcome.days:
        raise UsageError("report: expected rows that a rule looks at, was a run without any")
    span = Span(outcome.days[-1:], outcome.at)
    first = span.last - timedelta(days=HISTORY_DAYS)
    grades = _frame(store.analyse(_GRADES.format(first=min(first, outcome.days[0]), last=span.last)))
    daily = _frame(store.analyse(expanded(_DAILY.format(first=first), store.dialect, span)))
    spreads = _frame(store.analyse(expanded(_SPREADS, store.dialect, span)))
    traded = _frame(store.analyse(expanded(_TRADED, store.dialect, span)))
    today = daily.filter(pl.col("session") == span.last).select("symbol", "volume")
    volumes = traded if traded.height else today
    return Report(store.url, outcome, grades, _with_outliers(spreads, volumes), _against_usual(daily, today, span))


def _with_outliers(spreads: pl.DataFrame, volumes: pl.DataFrame) -> pl.DataFrame:
    """Spread by volume; an outlier is 3.5 robust standard deviations from the line through their logarithms."""
    both = spreads.join(volumes, on="symbol").filter(
        pl.all_horizontal(pl.col(n).is_finite() & (pl.col(n) > 0) for n in ("spread", "volume"))
    )
    if both.height < 10:
        return both.with_columns(is_outlier=pl.lit(False))
    x, y = (np.log(both[name].to_numpy()) for name in ("volume", "spread"))
    slope, level = np.polyfit(x, y, 1)
    off = np.abs(y - slope * x - level)
    return both.with_columns(is_outlier=pl.Series(off > _OUTLIER * 1.4826 * max(float(np.median(off)), 1e-9)))


def _against_usual(daily: pl.DataFrame, today: pl.DataFrame, span: Span) -> pl.DataFrame:
    daily = daily.filter(pl.col("volume").is_finite() & (pl.col("volume") > 0))
    before = daily.filter(pl.col("session") < span.last)
    last = before.sort("session").group_by("symbol").tail(_USUAL_SESSIONS)
    usual = last.group_by("symbol").agg(usual=pl.col("volume").median(), sessions=pl.len())
    joined = today.join(usual.filter(pl.col("sessions") >= _USUAL_LEAST), on="symbol").filter(
        pl.col("volume").is_finite() & (pl.col("volume") > 0)
    )
    return joined.with_columns(ratio=pl.col("volume") / pl.col("usual")).sort(pl.col("ratio").log().abs())


def _frame(rows: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(rows)
    assert isinstance(found, pl.DataFrame)
    return found
