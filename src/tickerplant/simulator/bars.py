"""Bars that follow exactly from the trades that were sent.

The rule: a window's trades are ordered by their time `t`, those of equal time in the order sent. Open is the first
price, close the last, high and low the extremes; volume is the sum of sizes, the count the number of messages, and vwap
the sum of price x size over the volume, rounded to six places. Every trade counts, whatever its conditions; cancels and
corrections change no bar. Prices are whole ten-thousandths of a dollar and sizes whole hundredths of a share, so that
all sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
PRICE_SCALE = 10_000
SIZE_SCALE = 100


@dataclass(frozen=True)
class Prints:
    """Trades in the order sent: symbol codes, event times in ns, scaled prices and sizes."""

    symbol: Ints
    ts: Ints
    price: Ints
    size: Ints

    def where(self, chosen: npt.NDArray[np.bool_]) -> Prints:
        """Some of them."""
        return Prints(self.symbol[chosen], self.ts[chosen], self.price[chosen], self.size[chosen])


class Window:
    """Running open, high, low, close and sums of each symbol."""

    def __init__(self, symbols: int) -> None:
        self.count = np.zeros(symbols, np.int64)
        self._volume, self._value = np.zeros(symbols, np.int64), np.zeros(symbols, np.int64)
        self._open, self._close = np.zeros(symbols, np.int64), np.zeros(symbols, np.int64)
        self._high = np.zeros(symbols, np.int64)
        self._low = np.full(symbols, np.iinfo(np.int64).max)
        self._first, self._last = np.zeros(symbols, np.int64), np.zeros(symbols, np.int64)

    def add(self, prints: Prints) -> None:
        """Take trades that were sent after all those taken before."""
        if not len(prints.symbol):
            return
        order = np.lexsort((prints.ts, prints.symbol))
        symbol, ts = prints.symbol[order], prints.ts[order]
        price, size = prints.price[order], prints.size[order]
        starts = np.flatnonzero(np.r_[True, symbol[1:] != symbol[:-1]])
        ends = np.r_[starts[1:], len(symbol)] - 1
        s = symbol[starts]
        is_first = (self.count[s] == 0) | (ts[starts] < self._first[s])
        is_last = (self.count[s] == 0) | (ts[ends] >= self._last[s])
        self._open[s] = np.where(is_first, price[starts], self._open[s])
        self._first[s] = np.where(is_first, ts[starts], self._first[s])
        self._close[s] = np.where(is_last, price[ends], self._close[s])
        self._last[s] = np.where(is_last, ts[ends], self._last[s])
        self._high[s] = np.maximum(self._high[s], np.maximum.reduceat(price, starts))
        self._low[s] = np.minimum(self._low[s], np.minimum.reduceat(price, starts))
        self._volume[s] += np.add.reduceat(size, starts)
        self._value[s] += np.add.reduceat(price * size, starts)
        self.count[s] += ends - starts + 1

    def columns(self, symbols: Ints) -> dict[str, npt.NDArray[np.generic]]:
        """The columns open to vwap for some symbols that traded."""
        volume = self._volume[symbols]
        return {
            "open": self._open[symbols] / PRICE_SCALE,
            "high": self._high[symbols] / PRICE_SCALE,
            "low": self._low[symbols] / PRICE_SCALE,
            "close": self._close[symbols] / PRICE_SCALE,
            "volume": volume / SIZE_SCALE,
            "trade_count": self.count[symbols],
            "vwap": np.round(self._value[symbols] / volume / PRICE_SCALE, 6),
        }
