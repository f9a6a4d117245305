"""Recorded daily bars as the input of the daily marts. Not part of the package."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "market-data"
PRICES = ("open", "high", "low", "close")
COLUMNS = [
    "symbol",
    "session",
    *(f"{a}_{k}" for a in ("split", "adjusted") for k in PRICES),
    "split_volume",
    "split_vwap",
]


def wiki_aapl() -> pd.DataFrame:
    """AAPL 1980 to 2018, raw and as the source adjusted it: four splits, 54 dividends. Columns in lower case."""
    rows = pd.read_csv(DATA / "corporate-actions" / "WIKI-AAPL.csv").rename(columns=str.lower)
    return rows.rename(columns={"date": "session"}).sort_values("session", ignore_index=True).assign(symbol="AAPL")


def aapl() -> pd.DataFrame:
    """The same as `prices_daily`."""
    rows = wiki_aapl()
    factor = (1 / rows["split ratio"])[::-1].cumprod()[::-1].shift(-1).fillna(1.0)
    for k in PRICES:
        rows[f"split_{k}"], rows[f"adjusted_{k}"] = rows[k] * factor, rows[f"adj. {k}"]
    return _complete(rows.assign(split_volume=rows["volume"] / factor))


def sp500(*symbols: str) -> pd.DataFrame:
    """Symbols of the five-year set (adjusted for splits), rows with empty prices left out."""
    with zipfile.ZipFile(DATA / "daily-sp500-2013-2018" / "individual_stocks_5yr_20180209.zip") as archive:
        names = [n for n in archive.namelist() if n.rpartition("/")[2].removesuffix("_data.csv") in symbols]
        rows = pd.concat([pd.read_csv(archive.open(n)) for n in names])
    return _unadjusted(rows.rename(columns={"Name": "symbol", "date": "session"}).dropna())


def yahoo(symbol: str) -> pd.DataFrame:
    """A file of the uncorrected capture: days are missing, others occur twice (the later counts), splits are jumps."""
    rows = _yahoo(symbol).drop_duplicates("session", keep="last")
    return _unadjusted(rows.assign(symbol=symbol))


def yahoo_adjusted(symbol: str) -> pd.DataFrame:
    """`close` (adjusted for splits) and `adjusted` of what was fetched at once, 29 January 2022, by session."""
    rows = _yahoo(symbol).drop_duplicates("session", keep="first")
    rows = rows[rows["session"] <= "2022-01-28"]
    return rows.assign(session=pd.to_datetime(rows["session"])).set_index("session")[["close", "adjusted"]]


def _yahoo(symbol: str) -> pd.DataFrame:
    with zipfile.ZipFile(DATA / "daily-yahoo-2000-2024" / "stocks_subset.zip") as archive:
        text = archive.read(f"stocks/{symbol}.csv").decode()
    found = [line.split(",") for line in text.splitlines() if re.match(r"\d{4}-\d\d-\d\d,[\d.]", line)]
    columns = [*PRICES, "adjusted", "volume"]
    return pd.DataFrame(found, columns=["session", *columns]).astype(dict.fromkeys(columns, float))


def made(symbol: str, close: np.ndarray[tuple[int], np.dtype[np.float64]], spread: float = 0.0) -> pd.DataFrame:
    """Made-up prices: open is the close before, high and low `spread` (a part) away."""
    days = pd.date_range("2010-01-04", periods=len(close), freq="B").strftime("%Y-%m-%d")
    opened = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opened, close) * (1 + spread), np.minimum(opened, close) * (1 - spread)
    rows = {
        "symbol": symbol,
        "session": days,
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": 100.0,
    }
    return _unadjusted(pd.DataFrame(rows))


def _unadjusted(rows: pd.DataFrame) -> pd.DataFrame:
    copies = {f"{a}_{k}": rows[k] for a in ("split", "adjusted") for k in PRICES}
    return _complete(rows.assign(**copies, split_volume=rows["volume"].astype(float)))


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    days = pd.to_datetime(rows["session"]).astype("datetime64[us]")
    return rows.assign(session=days, split_vwap=np.nan)[COLUMNS].sort_values("session", ignore_index=True)
