"""Recorded factor files, dividends, splits and adjusted closes, as rows for a store and as what to compare with."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.support import daily_prices
from tickerplant.model import Batch
from tickerplant.schema import Table
from tickerplant.tables import DAILY_BARS, DIVIDENDS, SPLITS

LEAN = daily_prices.DATA / "lean-equity-usa"
YFINANCE = daily_prices.DATA / "corporate-actions" / "yfinance-tests"
LEAN_SYMBOLS = ("AAPL", "AIG", "BAC", "BNO", "EEM", "GOOG", "IBM", "IWM", "QQQ", "SPY", "USO", "WM")
AT = datetime(2026, 11, 20, tzinfo=UTC)


def factor_file(symbol: str) -> pd.DataFrame:
    """`day` (the last the row applies to), `price_factor`, `split_factor`, `reference` (raw close of that day)."""
    names = ["day", "price_factor", "split_factor", "reference"]
    rows = pd.read_csv(LEAN / "factor_files" / f"{symbol.lower()}.csv", header=None, names=names)
    return rows.assign(day=pd.to_datetime(rows["day"].astype(str)))


def lean_bars(symbol: str) -> pd.DataFrame:
    """LEAN's unadjusted daily bars."""
    with (
        zipfile.ZipFile(LEAN / "daily" / f"{symbol.lower()}.zip") as archive,
        archive.open(archive.namelist()[0]) as text,
    ):
        rows = pd.read_csv(text, header=None, names=["at", *daily_prices.PRICES, "volume"])
    prices = {k: rows[k] / 10_000 for k in daily_prices.PRICES}
    return rows.assign(session=pd.to_datetime(rows["at"].str[:8]), **prices).drop(columns="at")


def lean_actions(symbol: str, sessions: pd.Series) -> pd.DataFrame:
    """The splits and dividends that a factor file stands for: `session` (ex-date), `dividend`, `split`.

    The dividend is what its factor says of its reference price; the ex-date is the session after the row's.
    """
    rows = factor_file(symbol)
    step = (rows["price_factor"] / rows["price_factor"].shift(-1)).iloc[:-1]
    split = (rows["split_factor"].shift(-1) / rows["split_factor"]).iloc[:-1]
    days = np.sort(sessions.to_numpy())
    after = np.searchsorted(days, rows["day"].to_numpy()[:-1], side="right")
    found = pd.DataFrame({"dividend": rows["reference"][:-1] * (1 - step), "split": split, "place": after})
    found = found[found["place"] < len(days)]
    return found.assign(session=days[found["place"]]).drop(columns="place")


def around(rows: pd.DataFrame, days: pd.Series) -> pd.DataFrame:
    """The bars of some days, of the session before each and the session after, and the last ones."""
    at = np.searchsorted(rows["session"].to_numpy(), days.to_numpy())
    places = np.unique(np.concatenate([at - 1, at, at + 1, [len(rows) - 1]]))
    return rows.iloc[places[(places >= 0) & (places < len(rows))]]


def yahoo_steps(symbol: str) -> pd.Series:
    """By what Yahoo's adjusted close steps on each session (1 without a dividend), with the session as index."""
    rows = daily_prices.yahoo_adjusted(symbol)
    factor = rows["adjusted"] / rows["close"]
    return pd.Series(factor.shift() / factor).fillna(1.0)


def wiki() -> pd.DataFrame:
    """WIKI's AAPL: bars, `dividend`, `split` and `adjusted` of each session."""
    rows = daily_prices.wiki_aapl()
    names = {"ex-dividend": "dividend", "split ratio": "split", "adj. close": "adjusted"}
    return rows.rename(columns=names).assign(session=pd.to_datetime(rows["session"]))


def yfinance(name: str) -> pd.DataFrame:
    """A file of yfinance's tests, the same columns."""
    rows = pd.read_csv(YFINANCE / f"{name}.csv").rename(columns=str.lower)
    names = {"dividends": "dividend", "stock splits": "split", "adj close": "adjusted"}
    return rows.rename(columns=names).assign(session=pd.to_datetime(rows["datetime"].str[:10]), split=1.0)


def batches(sources: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> list[Batch]:
    """Rows for a store from (bars, actions) of each symbol."""
    bars = pd.concat([rows.assign(symbol=symbol) for symbol, (rows, _) in sources.items()])
    actions = pd.concat([rows.assign(symbol=symbol) for symbol, (_, rows) in sources.items()])
    dividends = actions[actions["dividend"].abs() > 1e-9].rename(columns={"session": "ex_date", "dividend": "amount"})
    splits = actions[(actions["split"] - 1).abs() > 1e-9].rename(columns={"session": "ex_date", "split": "split_to"})
    return [
        _batch(DAILY_BARS, bars, [*daily_prices.PRICES, "volume"]),
        _batch(DIVIDENDS, dividends.assign(type="CD"), ["amount", "type"]),
        _batch(SPLITS, splits.assign(split_from=1.0), ["split_from", "split_to"]),
    ]


def _batch(table: Table, rows: pd.DataFrame, columns: Sequence[str]) -> Batch:
    schema = table.schema
    day = "session" if "session" in schema.names else "ex_date"
    constants = {"vendor": "alpaca", "feed": "sip", "received_at": AT, "seq": 0}
    arrays = []
    for field in schema:
        if field.name in constants:
            arrays.append(pa.repeat(pa.scalar(constants[field.name], field.type), len(rows)))
        elif field.name in (*columns, "symbol"):
            arrays.append(pa.array(rows[field.name].to_list(), field.type, from_pandas=True))
        elif field.name == day:
            arrays.append(pa.array([d.date() for d in rows[day]], field.type))
        else:
            arrays.append(pa.nulls(len(rows), field.type))
    return Batch(table, pa.RecordBatch.from_arrays(arrays, schema=schema))
