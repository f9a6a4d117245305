"""LEAN's trades and quotes as the marts' inputs, and LEAN's own minute bars to compare with. Not part of the package.

LEAN's condition words are bits; here they become the letters of the tape. `by_meaning` is each bit's letter. In the
source's own bars a trade of the extended hours sets prices whatever else its word says: `as_recorded` has that alone.
"""

from __future__ import annotations

import zipfile
from datetime import date

import numpy as np
import pandas as pd

from tests.support import lean

BARS = lean.TICKS.parent / "minute"

LETTERS = {
    **{0x1: "@", 0x2: "C", 0x4: "N", 0x8: "R", 0x20: "F", 0x40: "O", 0x80: "6", 0x200: "4", 0x800: "L", 0x2000: "T"},
    **{0x4000: "Z", 0x40000: "V", 0x100000: "B", 0x200000: "X", 0x1000000: "M", 0x2000000: "P", 0x4000000: "Q"},
    0x20000000: "8",
}
EXTENDED, REGULAR = 0x2000, 0x1
"""Bits of a word, and the letters for the same of the CTA's tape."""

RECORDED_RULES = [
    ["intermarket sweep", 0, 0, 1],
    ["derivatively priced", 0, 0, 1],
    ["prior reference price", 1, 1, 1],
]
"""The variable `sale_conditions` for bars as the source makes them: the SIPs' rules but for these three."""


def by_meaning(word: int) -> str:
    """The letters of a word's bits."""
    return ",".join(letter for bit, letter in LETTERS.items() if word & bit)


def as_recorded(word: int) -> str:
    """The same, where extended hours stand alone."""
    return "T" if word & EXTENDED else by_meaning(word)


def days_of(symbol: str) -> list[date]:
    """The days with ticks of a symbol."""
    return sorted(pd.Timestamp(f.name[:8]).date() for f in (lean.TICKS / symbol.lower()).glob("*_trade.zip"))


def trades(symbol: str, day: date) -> pd.DataFrame:
    """Columns of `stg_trades`, in the order of the file; `word` beside them."""
    rows = _frame(symbol, day, "trade")
    rows = rows.rename(columns={"conditions": "word"})[["ts", "ns", "price", "size", "word"]]
    return _envelope(rows.assign(tape="B" if symbol == "SPY" else "A"), symbol, day)


def quotes(symbol: str, day: date) -> pd.DataFrame:
    """Columns of `stg_quotes`: a bid row and the ask row after it, of the same time, are one update."""
    rows = _frame(symbol, day, "quote")
    before = rows.shift()
    is_pair = (rows["ask_price"] > 0) & (before["bid_price"] > 0) & (before["ts"] == rows["ts"])
    found = rows[["ts", "ns", "ask_price", "ask_size"]].assign(
        bid_price=before["bid_price"], bid_size=before["bid_size"]
    )[is_pair]
    return _envelope(found, symbol, day)


def minute_bars(symbol: str, day: date) -> pd.DataFrame:
    """The source's own bars of a day: ts, open, high, low, close, volume."""
    with (
        zipfile.ZipFile(BARS / symbol.lower() / f"{day:%Y%m%d}_trade.zip") as archive,
        archive.open(archive.namelist()[0]) as text,
    ):
        rows = pd.read_csv(text, header=None, names=["ms", "open", "high", "low", "close", "volume"])
    midnight = pd.Timestamp(day, tz="America/New_York").tz_convert("UTC")
    rows["ts"] = (midnight + pd.to_timedelta(rows.pop("ms"), unit="ms")).astype("datetime64[us, UTC]")
    prices = ["open", "high", "low", "close"]
    return rows.assign(**{k: rows[k] / 10_000 for k in prices}, volume=rows["volume"].astype(float))


def _frame(symbol: str, day: date, kind: str) -> pd.DataFrame:
    [batch] = lean.read_day(lean.TICKS, day, [symbol], kind)
    return pd.DataFrame(batch.rows.to_pandas())


def _envelope(rows: pd.DataFrame, symbol: str, day: date) -> pd.DataFrame:
    at = pd.Timestamp(0, tz="UTC").as_unit("us")
    constants = {"symbol": symbol, "session": pd.Timestamp(day).as_unit("us"), "vendor": "lean", "received_at": at}
    return rows.assign(**constants, seq=np.arange(len(rows)), ns=0)
