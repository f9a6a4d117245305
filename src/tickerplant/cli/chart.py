"""Draw a symbol's minute bars and its spread into a PNG."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

from tickerplant.model import Store

_BARS = """
select ts, open, high, low, close, volume from bars_latest
where symbol = ? and "interval" = '1m' order by ts
"""
_SPREAD = """
select date_trunc('minute', ts) as ts, avg(ask_price - bid_price) * 100 as cents
from quotes where symbol = ? and bid_price > 0 and ask_price > 0 group by 1 order by 1
"""
_HOLES = """
select g.reason, (select max(ts) from quotes where received_at <= g."start") as since,
    (select min(ts) from quotes where received_at >= g."end") as until
from gaps g where g.channel = 'quotes' and g."end" is not null
"""
_UP, _DOWN = "#1a7f5a", "#c0392b"


def _candles(axes: Any, bars: dict[str, list[Any]]) -> None:
    from matplotlib.dates import date2num

    colours = [_UP if c >= o else _DOWN for o, c in zip(bars["open"], bars["close"], strict=True)]
    axes.vlines(date2num(bars["ts"]), bars["low"], bars["high"], colors=colours, linewidth=0.7)
    bottoms = [min(o, c) for o, c in zip(bars["open"], bars["close"], strict=True)]
    heights = [abs(c - o) or 0.002 for o, c in zip(bars["open"], bars["close"], strict=True)]
    axes.bar(date2num(bars["ts"]), heights, width=0.7 / 1440, bottom=bottoms, color=colours)
    axes.set_ylabel("price, dollars")


def _broken(times: list[datetime], values: list[float]) -> tuple[list[datetime], list[float]]:
    """A line with a break wherever a minute is missing."""
    x, y = list(times[:1]), list(values[:1])
    for (before, now), value in zip(pairwise(times), values[1:], strict=True):
        if now - before > timedelta(minutes=2):
            x, y = [*x, before + timedelta(minutes=1)], [*y, nan]
        x, y = [*x, now], [*y, value]
    return x, y


def _shade(axes: Any, holes: list[dict[str, Any]]) -> None:
    for hole in holes:
        if hole["since"] and hole["until"]:
            axes.axvspan(hole["since"], hole["until"], color="#f2d7b6", alpha=0.6, linewidth=0)
            axes.annotate(
                f"gap: {hole['reason']}", (hole["since"], 1), (4, -12), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=9, color="#8a5a12",
            )  # fmt: skip


def draw(store: Store, symbol: str, to: Path) -> None:
    """Write a chart of one symbol to `to` (PNG). Raises ImportError without the extra `chart`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.dates import DateFormatter

    from tickerplant.calendar import NEW_YORK

    bars = store.query(_BARS, [symbol]).to_pydict()
    spread = store.query(_SPREAD, [symbol]).to_pydict()
    figure, (top, middle, bottom) = pyplot.subplots(
        3, 1, sharex=True, figsize=(11, 7), height_ratios=[4, 1.2, 1.5], layout="constrained"
    )
    day = bars["ts"][0].astimezone(NEW_YORK).date() if bars["ts"] else ""
    top.set_title(f"{symbol}, {day}: one-minute bars, volume and spread, as captured", loc="left")
    _candles(top, bars)
    middle.bar(bars["ts"], bars["volume"], width=0.7 / 1440, color="#5b7083")
    middle.set_ylabel("shares")
    bottom.plot(*_broken(spread["ts"], spread["cents"]), color="#2c5d8a", linewidth=1)
    bottom.set_ylabel("mean spread, cents")
    bottom.set_xlabel("New York time")
    bottom.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=NEW_YORK))
    _shade(top, store.query(_HOLES).to_pylist())
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(to, dpi=110)
    pyplot.close(figure)
