"""Quality rules over recorded data: what they flag equals an independent computation in Polars.

The data (../shared/market-data) has quotes that cross and lock, minute bars with bad prints, daily bars with missing
prices, and daily bars of a capture that never heard of splits.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.contract.test_quality_contract import store_of
from tests.support import lean
from tests.support.defects import fill
from tickerplant.jobs.quality import chosen_days, quality
from tickerplant.model import Batch
from tickerplant.quality.outcome import Outcome
from tickerplant.schema import Table
from tickerplant.stores import open_store
from tickerplant.tables import BARS, DAILY_BARS, QUOTES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "market-data"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded data in {DATA}")
BOTH = pytest.mark.parametrize("kind", ["lake", "postgres"])


def batch(table: Table, frame: pl.DataFrame) -> Batch:
    """Rows of a table from the columns there are; the envelope is filled in, the rest is null."""
    constant = {"ns": 0, "vendor": "recorded", "feed": "sip", "interval": "1m", "revision": 0, "tape": "A"}
    names = table.schema.names
    filled = frame.with_columns(
        *(pl.lit(v).alias(n) for n, v in constant.items() if n in names and n not in frame.columns),
        *(pl.lit(datetime(2025, 1, 1, tzinfo=UTC)).alias(n) for n in ("received_at",) if n not in frame.columns),
    )
    filled = filled.with_row_index("seq") if "seq" not in filled.columns else filled
    filled = filled.with_columns(pl.lit(None).alias(n) for n in names if n not in filled.columns)
    return Batch(table, filled.select(names).to_arrow().cast(table.schema).combine_chunks().to_batches()[0])


def flags(outcome: Outcome, name: str) -> pl.DataFrame:
    found = pl.from_arrow(outcome.flags)
    assert isinstance(found, pl.DataFrame)
    return found.filter(pl.col("rule") == name)


def flagged(outcome: Outcome) -> dict[str, int]:
    return {t.rule: t.flagged for t in outcome.totals if t.flagged}


def two_sided() -> pl.DataFrame:
    """IBM's updates of 7 October 2013: the file has a row for the bid and one for the ask that follows it."""
    [found] = [b for b in lean.read_day(lean.TICKS, date(2013, 10, 7), ["IBM"]) if b.table is QUOTES]
    frame = pl.from_arrow(pa.Table.from_batches([found.rows]))
    assert isinstance(frame, pl.DataFrame)
    start = int(frame["bid_price"].to_list()[0] == 0)
    bids, asks = frame[start::2], frame[start + 1 :: 2]
    asked = asks.select(pl.col("^ask_.*$"))
    return pl.concat([bids[: asks.height].drop("^ask_.*$", "seq", "received_at"), asked], how="horizontal")


@BOTH
def test_crossed_and_locked_quotes_of_a_recorded_day(kind: str, tmp_path: Path) -> None:
    quotes = two_sided()
    regular = quotes.filter(
        (pl.col("ts") >= datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
        & (pl.col("ts") < datetime(2013, 10, 7, 20, tzinfo=UTC))
    )
    crossed = regular.filter(pl.col("bid_price") > pl.col("ask_price"))
    locked = regular.filter(pl.col("bid_price") == pl.col("ask_price"))
    with store_of(kind, tmp_path) as store:
        fill(store, [batch(QUOTES, quotes)])
        outcome = quality(store, chosen_days(store), NOW)
    assert (crossed.height, locked.height) == (42, 320)
    evening = quotes.filter(pl.col("ts") >= datetime(2013, 10, 8, tzinfo=UTC)).height
    assert flagged(outcome) == {"quotes_crossed": 42, "quotes_locked": 320, "quotes_out_of_hours": evening}
    found = flags(outcome, "quotes_crossed").sort("seq")
    assert found["ts"].to_list() == crossed["ts"].to_list()
    worst = (crossed["bid_price"] - crossed["ask_price"]).max()
    assert found["value"].max() == pytest.approx(worst)
    assert outcome.grades.select("symbol", "grade").rows() == [("IBM", "B" if evening else "A")]


def spikes(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars further from both neighbours than the rule allows, computed with Polars and numpy."""
    found = []
    for _, day in bars.group_by("session", maintain_order=True):
        close, high, low = (day[n].to_numpy() for n in ("close", "high", "low"))
        before, after = np.r_[close[1], close[:-1]], np.r_[close[1:], close[-2]]
        moves = np.diff(np.log(close))
        scale = 1.4826 * np.median(np.abs(moves - np.median(moves)))
        up = np.log(high / np.maximum(before, after))
        down = np.log(np.minimum(before, after) / low)
        found.append(day.filter(pl.Series(np.maximum(up, down) > max(0.01, 20 * scale))))
    return pl.concat(found)


def spy_minutes() -> pl.DataFrame:
    raw = pl.read_csv(DATA / "minute-2025" / "SPY_1min.csv")
    local = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.replace_time_zone("America/New_York")
    named = raw.rename({n: n.lower() for n in ("Open", "High", "Low", "Close", "Volume")})
    return named.with_columns(
        local.dt.convert_time_zone("UTC").alias("ts"), local.dt.date().alias("session"), pl.lit("SPY").alias("symbol")
    ).sort("ts")


def test_bad_prints_of_recorded_minutes(tmp_path: Path) -> None:
    bars = spy_minutes().filter(pl.col("session") < date(2025, 7, 12))
    with closing(open_store(str(tmp_path))) as store:
        fill(store, [batch(BARS, bars)])
        outcome = quality(store, chosen_days(store, date(2025, 7, 1)), NOW)
    expected = spikes(bars)
    found = flags(outcome, "bars_jump").sort("ts")
    assert found["ts"].to_list() == expected["ts"].to_list()
    absurd = expected.filter((pl.col("low") < 600) | (pl.col("high") > 645))
    assert expected.height >= absurd.height > 10
    local = pl.col("ts").dt.convert_time_zone("America/New_York")
    closes = pl.when(local.dt.date() == date(2025, 7, 3)).then(17).otherwise(20)
    late = bars.filter(local.dt.hour() >= closes)
    assert flags(outcome, "bars_out_of_hours").sort("ts")["ts"].to_list() == late["ts"].to_list()
    assert datetime(2025, 7, 3, 21, tzinfo=UTC) in late["ts"]


def index_bars(year: int) -> pl.DataFrame:
    """One year of the daily bars of the S&P 500's members."""
    parts = []
    with zipfile.ZipFile(DATA / "daily-sp500-2013-2018" / "individual_stocks_5yr_20180209.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".csv"):
                parts.append(pl.read_csv(io.BytesIO(archive.read(name)), infer_schema=False))
    numbers = [pl.col(n).cast(pl.Float64) for n in ("open", "high", "low", "close", "volume")]
    mine = pl.concat(parts).filter(pl.col("date").str.starts_with(str(year)))
    return mine.select(pl.col("Name").alias("symbol"), pl.col("date").str.to_date().alias("session"), *numbers)


def test_missing_and_disordered_prices_of_a_year_of_the_index(tmp_path: Path) -> None:
    bars = index_bars(2014)
    prices = ("open", "high", "low", "close")
    missing = pl.any_horizontal(pl.col(n).is_null() for n in prices)
    ordered = (pl.col("low") <= pl.min_horizontal("open", "close")) & (
        pl.max_horizontal("open", "close") <= pl.col("high")
    )
    bad = bars.filter(missing | ~ordered)
    with closing(open_store(str(tmp_path))) as store:
        fill(store, [batch(DAILY_BARS, bars)])
        outcome = quality(store, chosen_days(store, date(2014, 1, 1)), NOW)
        graded = store.query("select count(*) as n, count(distinct session) as days from quality_grades").to_pylist()
    found = flags(outcome, "daily_price_order").select("symbol", "session")
    assert sorted(found.rows()) == sorted(bad.select("symbol", "session").rows())
    assert ("AOS", date(2014, 5, 19)) in found.rows()
    assert outcome.is_failed
    assert graded == [{"n": bars.height, "days": 252}]
    assert sum(outcome.grade_counts.values()) == bars.height > 118_000


SPLITS = [
    ("AMZN", date(2022, 6, 6), 20),
    ("AVGO", date(2024, 7, 15), 10),
    ("CMG", date(2024, 6, 25), 50),
    ("DXCM", date(2022, 6, 13), 4),
    ("FTNT", date(2022, 6, 23), 5),
    ("GOOG", date(2022, 7, 18), 20),
    ("GOOGL", date(2022, 7, 18), 20),
    ("NVDA", date(2024, 6, 10), 10),
    ("TSLA", date(2022, 8, 25), 3),
]


def appended() -> Iterator[pl.DataFrame]:
    """The rows since February 2022, appended day by day, of the symbols that have prices."""
    header = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
    with zipfile.ZipFile(DATA / "daily-yahoo-2000-2024" / "stocks_subset.zip") as archive:
        for name in archive.namelist():
            lines = [x.split(",") for x in archive.read(name).decode().splitlines()] if name.endswith(".csv") else []
            held = [x for x in lines if len(x) == len(header) and x[0][:2] == "20" and "null" not in x]
            rows = [dict(zip(header, x, strict=True)) for x in held if x[0] >= "2022-02-01"]
            if rows:
                yield _typed(Path(name).stem, rows)


def _typed(symbol: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    numbers = [pl.col(n).cast(pl.Float64).alias(n.lower()) for n in ("Open", "High", "Low", "Close", "Volume")]
    frame = pl.DataFrame(rows).select(
        pl.lit(symbol).alias("symbol"), pl.col("Date").str.to_date().alias("session"), *numbers
    )
    return frame.unique("session", keep="last", maintain_order=True)


def test_splits_that_a_capture_never_heard_of(tmp_path: Path) -> None:
    bars = pl.concat(appended())
    known = pl.DataFrame({"symbol": [s for s, _, _ in SPLITS], "ex_date": [d for _, d, _ in SPLITS]})
    with closing(open_store(str(tmp_path))) as store:
        fill(store, [batch(DAILY_BARS, bars)])
        summers = [d for d in chosen_days(store, date(2022, 6, 1)) if d.year != 2023 and 6 <= d.month <= 8]
        outcome = quality(store, summers, NOW)
    found = flags(outcome, "daily_jump_of_a_split").select("symbol", "session", "expected")
    assert sorted(found.rows()) == [(s, d, float(r)) for s, d, r in SPLITS]
    jumps = set(flags(outcome, "daily_jump").select("symbol", "session").rows())
    assert jumps >= set(known.rows())
