"""How busy the market is, second by second: U-shaped day, uneven seconds, and bursts of fifty times the mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_QUOTES = (8.9, 11.1, 9.6, 8.6, 8.0, 5.5, 4.8, 6.2, 5.1, 7.2, 6.2, 7.8, 10.7)
_TRADES = (12.7, 9.4, 8.1, 7.2, 7.6, 5.3, 4.2, 5.5, 4.6, 6.5, 4.8, 7.5, 14.5)
"""Per cent of a regular session in each half hour from 09:30, measured on real ticks of 2013."""
_TRADE_SHARE = 0.14
_BURST = 50.0
_BURST_EVERY_S = 300
_CLUSTERED = 0.5


def shape(second: npt.NDArray[np.int64], table: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Intensity of seconds since the open relative to the day's mean."""
    half_hour = np.minimum(second // 1800, len(table) - 1)
    return np.array(table)[half_hour] * len(table) / sum(table)


def trade_share(second: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The share of trades among the quotes and trades of a second."""
    return np.clip(_TRADE_SHARE * shape(second, _TRADES) / shape(second, _QUOTES), 0.0, 1.0)


def counts(chance: np.random.Generator, start_s: int, seconds: int, rate: float) -> npt.NDArray[np.int64]:
    """Quotes and trades in each second from `start_s`, `rate` a second in the mean of the day.

    Seconds vary log-normally, and in every five minutes one second is a burst of fifty times the mean.
    """
    second = np.arange(start_s, start_s + seconds)
    uneven = chance.lognormal(0.0, 0.8, seconds)
    level = shape(second, _QUOTES) * uneven * (1.0 - _BURST / _BURST_EVERY_S) / np.exp(0.32)
    bursts = (second // _BURST_EVERY_S) * _BURST_EVERY_S
    place = bursts + (bursts // _BURST_EVERY_S * 7919 + 137) % _BURST_EVERY_S
    level = np.where(second == place, _BURST, level)
    return chance.poisson(level * rate)


def moments(
    chance: np.random.Generator, per_second: npt.NDArray[np.int64], origin_ns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Nanoseconds of each event, sorted, and the cluster of each (-1 for none).

    Half of the events come in clusters within a fraction of a millisecond, as one symbol's updates do.
    """
    total = int(per_second.sum())
    second = np.repeat(np.arange(len(per_second)), per_second)
    size = np.maximum(per_second // 6, 1)
    cluster = np.repeat(np.cumsum(size) - size, per_second) + (chance.random(total) * size[second]).astype(np.int64)
    centre = chance.integers(0, 1_000_000_000, int(size.sum()))
    in_cluster = chance.random(total) < _CLUSTERED
    spread = (chance.exponential(200_000.0, total)).astype(np.int64)
    inside = np.where(in_cluster, centre[cluster] + spread, chance.integers(0, 1_000_000_000, total))
    at = origin_ns + second * 1_000_000_000 + np.minimum(inside, 999_999_999)
    order = np.argsort(at, kind="stable")
    return at[order], np.where(in_cluster, cluster, -1)[order]
