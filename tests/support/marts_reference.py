"""The daily marts computed a second time, with pandas and plain loops, for comparison with the SQL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Series = npt.NDArray[np.float64]


def wilder(values: Series, first: int) -> Series:
    """Wilder's average of 14: the mean of the 14 values up to row `first`, then a recursion."""
    out = np.full(len(values), np.nan)
    if len(values) > first:
        out[first] = values[first - 13 : first + 1].mean()
        for i in range(first + 1, len(values)):
            out[i] = (out[i - 1] * 13 + values[i]) / 14
    return out


def indicators(prices: pd.DataFrame) -> pd.DataFrame:
    """`indicators_daily` of one symbol from columns split_high, split_low, split_close in the order of sessions."""
    close, n = prices["split_close"], np.arange(len(prices))
    out: dict[str, Any] = {f"sma_{k}": close.rolling(k).apply(np.mean, raw=True) for k in (5, 10, 20, 50, 200)}
    fast, slow = (close.ewm(span=k, adjust=False).mean() for k in (12, 26))
    signal = (fast - slow).ewm(span=9, adjust=False).mean()
    out |= {"ema_12": fast.where(n >= 11), "ema_26": slow.where(n >= 25), "macd": (fast - slow).where(n >= 25)}
    out |= {"macd_signal": signal.where(n >= 33), "macd_histogram": (fast - slow - signal).where(n >= 33)}
    change = close.diff().to_numpy()
    gain, loss = wilder(np.clip(change, 0, None), 14), wilder(np.clip(-change, 0, None), 14)
    with np.errstate(invalid="ignore"):
        out["rsi_14"] = np.asarray(100 * gain / (gain + loss))
    before = close.shift()
    spans = [
        prices["split_high"] - prices["split_low"],
        *((prices[f"split_{k}"] - before).abs() for k in ("high", "low")),
    ]
    out["true_range"] = pd.concat(spans, axis=1).max(axis=1)
    out["atr_14"] = wilder(out["true_range"].to_numpy(), 13)
    deviation = close.rolling(20).apply(np.std, raw=True)
    out |= {"bollinger_middle": out["sma_20"], "bollinger_upper": out["sma_20"] + 2 * deviation}
    out |= {"bollinger_lower": out["sma_20"] - 2 * deviation, "bollinger_width": 4 * deviation / out["sma_20"]}
    out["bollinger_percent"] = (close - out["bollinger_lower"]) / (4 * deviation).where(deviation > 0)
    return pd.DataFrame(out)


def returns(prices: pd.DataFrame) -> pd.DataFrame:
    """`returns_daily` of one symbol."""
    close, adjusted = prices["split_close"], prices["adjusted_close"]
    out = {"price_return": close.pct_change(fill_method=None), "total_return": adjusted.pct_change(fill_method=None)}
    out["log_return"] = np.log1p(out["total_return"])
    out["overnight_return"] = prices["adjusted_open"] / adjusted.shift() - 1
    out["intraday_return"] = adjusted / prices["adjusted_open"] - 1
    out |= {f"total_return_{k}": adjusted.pct_change(k, fill_method=None) for k in (5, 21, 63, 126, 252)}
    return pd.DataFrame(out)


def volatility(prices: pd.DataFrame) -> pd.DataFrame:
    """`volatility_daily` of one symbol, each window by itself."""
    o, h, low, c = (np.log(prices[f"adjusted_{k}"].to_numpy()) for k in ("open", "high", "low", "close"))
    before = np.concatenate([[np.nan], c[:-1]])
    out = {}
    for n in (20, 60):
        found = [_volatility(o, h, low, c, before, slice(i - n + 1, i + 1), n) for i in range(n - 1, len(c))]
        rows = np.vstack([np.full((min(n - 1, len(c)), 4), np.nan), *found])
        for i, name in enumerate(("close_to_close", "parkinson", "garman_klass", "yang_zhang")):
            out[f"{name}_{n}"] = rows[:, i]
    return pd.DataFrame(out, index=prices.index)


def _volatility(o: Series, h: Series, low: Series, c: Series, before: Series, rows: slice, n: int) -> Series:
    o, h, low, c, before = (x[rows] for x in (o, h, low, c, before))
    parkinson = ((h - low) ** 2).mean() / (4 * np.log(2))
    garman_klass = (0.5 * (h - low) ** 2 - (2 * np.log(2) - 1) * (c - o) ** 2).mean()
    rogers_satchell = ((h - c) * (h - o) + (low - c) * (low - o)).mean()
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    yang_zhang = (o - before).var(ddof=1) + k * (c - o).var(ddof=1) + (1 - k) * rogers_satchell
    return np.sqrt(252 * np.array([(c - before).var(ddof=1), parkinson, garman_klass, yang_zhang]))


def ranges(prices: pd.DataFrame) -> pd.DataFrame:
    """`ranges_daily` of one symbol."""
    high, low, close, volume = (prices[f"split_{k}"] for k in ("high", "low", "close", "volume"))
    out = {"high_52w": high.rolling(252).max(), "low_52w": low.rolling(252).min()}
    out |= {"from_high_52w": close / out["high_52w"] - 1, "from_low_52w": close / out["low_52w"] - 1}
    out |= {f"average_volume_{k}": volume.rolling(k).apply(np.mean, raw=True) for k in (20, 60)}
    out["relative_volume_20"] = volume / out["average_volume_20"]
    traded = prices["split_vwap"].fillna((high + low + close) / 3) * volume
    out["vwap_20"] = traded.rolling(20).apply(np.sum, raw=True) / volume.rolling(20).apply(np.sum, raw=True)
    return pd.DataFrame(out)


REFERENCE = {
    "indicators_daily": indicators,
    "returns_daily": returns,
    "volatility_daily": volatility,
    "ranges_daily": ranges,
}


def minutes_of_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    """Sums over time for the minutes of one symbol and session, quotes in order: time cut at each quote and minute."""
    t = quotes["ts"].astype("datetime64[ns, UTC]").astype("int64").to_numpy() + quotes["ns"].to_numpy()
    minute = 60_000_000_000
    end = t[-1] // minute * minute + minute
    edges = np.unique(np.concatenate([t, np.arange(t[0] // minute * minute + minute, end + 1, minute)]))
    at = np.searchsorted(t, edges[:-1], side="right") - 1
    bid, ask, bid_size, ask_size = (
        quotes[k].to_numpy()[at] for k in ("bid_price", "ask_price", "bid_size", "ask_size")
    )
    start, seconds = edges[:-1] // minute * minute, np.diff(edges) / 1e9
    shown = np.where((bid > 0) & (ask >= bid), seconds, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = {"mid": (bid + ask) / 2, "spread": ask - bid, "spread_bps": 10_000 * (ask - bid) / ((bid + ask) / 2)}
        values |= {"bid_size": bid_size, "ask_size": ask_size}
        values["imbalance"] = (bid_size - ask_size) / (bid_size + ask_size)
    two = (bid > 0) & (ask > 0)
    frame = pd.DataFrame({"start": start, "quoted_seconds": shown})
    frame["locked_seconds"] = np.where(two & (bid == ask), seconds, 0)
    frame["crossed_seconds"] = np.where(two & (bid > ask), seconds, 0)
    for name, value in values.items():
        frame[name] = np.where(shown > 0, shown * value, 0)
    found = frame.groupby("start").sum()
    found["quote_count"] = pd.Series(t // minute * minute).value_counts()
    return found.fillna({"quote_count": 0}).reset_index()


def averages(sums: pd.DataFrame) -> pd.DataFrame:
    """Sums over time as averages over the quoted time."""
    names = ["mid", "spread", "spread_bps", "bid_size", "ask_size", "imbalance"]
    shown = sums["quoted_seconds"].where(sums["quoted_seconds"] > 0)
    return sums.assign(**{name: sums[name] / shown for name in names})
