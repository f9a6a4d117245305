"""The charts of the report: grades over sessions, flagged rows by rule, spreads and volumes that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from tickerplant.quality import svg
from tickerplant.quality.outcome import RuleTotal
from tickerplant.quality.rule import GRADES

_WIDTH = 960.0
_MOST_SYMBOLS, _MOST_SESSIONS = 30, 44
_CELL = 18.0
_LABELLED = 12


def grade_bars(grades: pl.DataFrame) -> str:
    """For each session a column: the share of symbols of each grade."""
    days = _days(grades)
    left, height = 44.0, 120.0
    step = min(48.0, (_WIDTH - left - 10) / max(len(days), 1))
    parts = [svg.line(left, height * (1 - k / 4) + 8, _WIDTH - 10, height * (1 - k / 4) + 8) for k in range(5)]
    parts += [svg.words(left - 8, height * (1 - k / 2) + 12, f"{k * 50} %", "tick", "end") for k in range(3)]
    for place, day in enumerate(days):
        letters = grades.filter(pl.col("session") == day)["grade"].value_counts()
        counts = dict(zip(letters["grade"].to_list(), letters["count"].to_list(), strict=True))
        parts += _column(left + place * step, step, height, day, counts)
    return svg.picture(_WIDTH, height + 30, [*parts, *_day_names(days, left, step, height + 24)], "Grades by session")


def _column(x: float, step: float, height: float, day: date, counts: dict[str, int]) -> list[str]:
    total, top, parts = sum(counts.values()), 8.0, []
    for letter in reversed(GRADES):
        count = counts.get(letter, 0)
        tall = height * count / total
        if count:
            hint = f"{day}: {count} of {total} symbols {letter}"
            parts.append(svg.box(x + 1, top, max(step - 2, 1), tall, f"g{letter}", hint))
        top += tall
    return parts


def heat_map(grades: pl.DataFrame) -> str:
    """A cell for each session of the symbols with the worst grades; empty where nothing was checked."""
    days = _days(grades)
    names = _worst(grades.filter(pl.col("session").is_in(days)))
    left, top = 80.0, 22.0
    step = min(48.0, (_WIDTH - left - 10) / max(len(days), 1))
    held = {(s, d): g for s, d, g in grades.select("symbol", "session", "grade").iter_rows()}
    parts = _day_names(days, left, step, 14)
    for row, name in enumerate(names):
        y = top + row * _CELL
        parts.append(svg.words(left - 8, y + 13, name, "label", "end"))
        for place, day in enumerate(days):
            letter = held.get((name, day))
            x = left + place * step
            hint = f"{name} {day}: {letter or 'not checked'}"
            parts.append(svg.box(x + 1, y + 1, step - 2, _CELL - 2, f"g{letter or 'none'}", hint, 2))
            if letter and letter != "A" and step >= 14:
                parts.append(svg.words(x + step / 2, y + 13, letter, f"on{letter}", "middle"))
    return svg.picture(_WIDTH, top + len(names) * _CELL + 4, parts, "Grades of the worst symbols by session")


def _days(grades: pl.DataFrame) -> list[date]:
    found: list[date] = grades["session"].unique().sort().to_list()
    return found[-_MOST_SESSIONS:]


def _worst(grades: pl.DataFrame) -> list[str]:
    points = pl.col("grade").replace_strict(list(GRADES), [0, 1, 3, 9, 27], return_dtype=pl.Int64)
    ranked = (
        grades.group_by("symbol").agg(points.sum().alias("points")).sort("points", "symbol", descending=[True, False])
    )
    return sorted(ranked["symbol"].head(_MOST_SYMBOLS).to_list())


def _day_names(days: Sequence[date], left: float, step: float, y: float) -> list[str]:
    every = max(1, round(52 / step))
    shown = [(i, d) for i, d in enumerate(days) if i % every == 0]
    return [svg.words(left + i * step + step / 2, y, f"{d:%d %b}".lstrip("0"), "tick", "middle") for i, d in shown]


def rule_bars(totals: Sequence[RuleTotal]) -> str:
    """A bar for each rule that flagged rows, on a logarithmic axis."""
    shown = [t for t in totals if t.flagged]
    left, row = 190.0, 24.0
    ticks = [t for t in svg.decades([1, *(t.flagged for t in shown)]) if t >= 1]
    bottom = row * len(shown) + 6

    def at(value: float) -> float:
        return svg.logarithmic(ticks[0] * 0.7, ticks[-1], left, _WIDTH - 150, value)

    parts = [svg.line(at(t), 4, at(t), bottom) for t in ticks]
    parts += [svg.words(at(t), bottom + 15, svg.short(t), "tick", "middle") for t in ticks]
    for place, t in enumerate(shown):
        y = 4 + place * row
        hint = f"{t.flagged:,} of {t.checked:,} rows, {t.symbols} symbols"
        parts.append(svg.words(left - 10, y + 16, t.rule, "label", "end"))
        parts.append(svg.box(left, y + 3, at(t.flagged) - left, row - 7, f"s-{t.severity}", hint, 2))
        share = 100 * t.flagged / t.checked
        parts.append(svg.words(at(t.flagged) + 8, y + 16, f"{t.flagged:,}  ({share:.2g} %)", "value"))
    return svg.picture(_WIDTH, bottom + 22, parts, "Flagged rows by rule")


def spread_scatter(spreads: pl.DataFrame, grades: dict[str, str]) -> str:
    """A dot for each symbol: shares traded and mean quoted spread; those that stand out are named."""
    left, top, right, bottom = 60.0, 10.0, _WIDTH - 20, 330.0
    xs, ys = svg.decades(spreads["volume"].to_list()), svg.decades(spreads["spread"].to_list())

    def place(volume: float, spread: float) -> tuple[float, float]:
        return (
            svg.logarithmic(xs[0], xs[-1], left, right, volume),
            svg.logarithmic(ys[0], ys[-1], bottom, top, spread),
        )

    parts = [svg.line(place(x, ys[0])[0], top, place(x, ys[0])[0], bottom) for x in xs]
    parts += [svg.line(left, place(xs[0], y)[1], right, place(xs[0], y)[1]) for y in ys]
    parts += [svg.words(place(x, ys[0])[0], bottom + 16, svg.short(x), "tick", "middle") for x in xs]
    parts += [svg.words(left - 8, place(xs[0], y)[1] + 4, svg.short(y), "tick", "end") for y in ys]
    named = 0
    for symbol, volume, spread, is_outlier in (
        spreads.sort("is_outlier").select("symbol", "volume", "spread", "is_outlier").iter_rows()
    ):
        x, y = place(volume, spread)
        hint = f"{symbol}: {svg.short(volume)} shares, {spread:.3g} bp, grade {grades.get(symbol, '-')}"
        parts.append(svg.dot(x, y, 5 if is_outlier else 3.5, "odd" if is_outlier else "even", hint))
        if is_outlier and named < _LABELLED:
            named += 1
            parts.append(svg.words(x + 9, y + 4, symbol, "label"))
    parts.append(svg.words(right, bottom + 34, "shares traded", "tick", "end"))
    parts.append(svg.words(left + 6, top + 12, "spread, basis points", "tick"))
    return svg.picture(_WIDTH, bottom + 42, parts, "Spread by volume")


def volume_bars(volumes: pl.DataFrame) -> str:
    """The symbols whose volume differs most from what is usual, as multiples of it."""
    shown = list(
        volumes.tail(16).sort("ratio", descending=True).select("symbol", "volume", "usual", "ratio").iter_rows()
    )
    left, row, middle = 80.0, 22.0, 0.0
    reach = max(2.0, *(max(r[3], 1 / r[3]) for r in shown))
    middle = svg.logarithmic(1 / reach, reach, left + 70, _WIDTH - 110, 1)
    parts = [svg.line(middle, 0, middle, row * len(shown) + 4, "axis")]
    for place, (symbol, volume, usual, ratio) in enumerate(shown):
        y, x = 2 + place * row, svg.logarithmic(1 / reach, reach, left + 70, _WIDTH - 110, ratio)
        hint = f"{symbol}: {volume:,.0f} shares, usually {usual:,.0f}"
        parts.append(svg.words(left - 8, y + 15, symbol, "label", "end"))
        parts.append(svg.box(min(x, middle), y + 3, abs(x - middle), row - 7, "odd" if ratio > 1 else "even", hint, 2))
        side = (x + 7, "start") if ratio >= 1 else (x - 7, "end")
        parts.append(svg.words(side[0], y + 15, f"{ratio:.3g} x", "value", side[1]))
    return svg.picture(_WIDTH, row * len(shown) + 8, parts, "Volume against what is usual")
