"""What a run found, as the rows of `quality` and `quality_flags`: totals, grades and their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa

from tickerplant.quality.rule import GRADES, Rule, Severity
from tickerplant.quality.run import Found
from tickerplant.schema import Table
from tickerplant.tables import QUALITY, QUALITY_FLAGS

ALL = "*"
_FOLD_ROWS = 5_000_000
_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class RuleTotal:
    """One rule over all sessions of a run; it failed when it flagged anything and its severity is error."""

    rule: str
    severity: Severity
    checked: int
    flagged: int
    symbols: int
    sessions: int
    seconds: float

    @property
    def is_failed(self) -> bool:
        """Whether it makes the run fail."""
        return self.severity == "error" and self.flagged > 0


@dataclass(frozen=True)
class Outcome:
    """A run. `rows` and `flags` are those of the tables QUALITY and QUALITY_FLAGS."""

    run: str
    at: datetime
    days: tuple[date, ...]
    totals: tuple[RuleTotal, ...]
    rows: pa.Table
    flags: pa.Table

    @property
    def is_failed(self) -> bool:
        """Whether a rule of severity error flagged anything."""
        return any(t.is_failed for t in self.totals)

    @cached_property
    def grades(self) -> pl.DataFrame:
        """A row for each symbol and session, as in `quality` with rule `*`; the worst grades first."""
        found = _frame(self.rows).filter((pl.col("rule") == ALL) & (pl.col("symbol") != ALL))
        columns = ("symbol", "session", "grade", "why", "checked", "flagged", "severity")
        order = ("grade", "flagged", "symbol", "session")
        return found.select(columns).sort(order, descending=[True, True, False, False])

    @property
    def grade_counts(self) -> dict[str, int]:
        """How many symbols and sessions have each grade, A to F."""
        found = self.grades["grade"].value_counts()
        counted = dict(zip(found["grade"].to_list(), found["count"].to_list(), strict=True))
        return {letter: int(counted.get(letter, 0)) for letter in GRADES}


class Collector:
    """Takes what each rule found; `outcome` at the end. Clean rows are added up as they come."""

    def __init__(self) -> None:
        self._checked: list[pl.DataFrame] = []
        self._rows: list[pl.DataFrame] = []
        self._flags: list[pl.DataFrame] = []
        self._totals: dict[str, RuleTotal] = {}

    def add(self, found: Found) -> None:
        """One rule over some sessions."""
        counts = _frame(found.counts)
        if not counts.height:
            return
        self._checked.append(counts.select("symbol", "session", "checked"))
        if sum(c.height for c in self._checked[1:]) > max(_FOLD_ROWS, self._checked[0].height):
            self._checked = [_added_up(self._checked)]
        bad = counts.filter(pl.col("flagged") > 0)
        flags = _flags(found)
        self._flags.append(flags)
        self._rows += [_of_sessions(found.rule, counts), _of_symbols(found.rule, bad, flags)]
        self._count(found, counts, bad)

    def _count(self, found: Found, counts: pl.DataFrame, bad: pl.DataFrame) -> None:
        name = found.rule.name
        before = self._totals.get(name) or RuleTotal(name, found.rule.severity, 0, 0, 0, 0, 0.0)
        self._totals[name] = RuleTotal(
            name,
            found.rule.severity,
            before.checked + int(counts["checked"].sum()),
            before.flagged + int(counts["flagged"].sum()),
            before.symbols + bad["symbol"].n_unique(),
            before.sessions + counts["session"].n_unique(),
            before.seconds + found.seconds,
        )

    def outcome(self, run: str, at: datetime) -> Outcome:
        """Everything together, with a grade for each symbol and session that any rule looked at."""
        ruled = pl.concat(self._rows, how="diagonal") if self._rows else _frame(QUALITY.empty())
        checked = _added_up(self._checked)
        whole = _graded(checked, ruled.filter(pl.col("symbol") != ALL))
        rows = pl.concat([whole, ruled], how="diagonal").with_columns(pl.lit(run).alias("run"), _moment(at))
        flags = pl.concat(self._flags) if self._flags else pl.DataFrame()
        flags = flags.with_row_index("n").with_columns(pl.lit(run).alias("run"))
        days = tuple(sorted(checked["session"].unique().to_list()))
        order = sorted(self._totals.values(), key=lambda t: (_SEVERITIES.index(t.severity), -t.flagged, t.rule))
        return Outcome(run, at, days, tuple(order), _arrow(rows, QUALITY), _arrow(flags, QUALITY_FLAGS))


def _added_up(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Rows looked at by symbol and session, summed in a matrix: grouping millions of texts takes ten times as long."""
    schema = {"symbol": pl.String, "session": pl.Date, "checked": pl.Int64}
    rows = pl.concat([pl.DataFrame(schema=schema), *parts])
    symbols, days = rows["symbol"].unique().sort(), rows["session"].unique().sort()
    codes = rows["symbol"].cast(pl.Enum(symbols)).to_physical().cast(pl.Int64).to_numpy()
    places = codes * len(days) + days.search_sorted(rows["session"]).to_numpy()
    sums = np.bincount(places, weights=rows["checked"].to_numpy())
    held = np.flatnonzero(sums)
    named = {"symbol": symbols.gather(held // max(1, len(days))), "session": days.gather(held % max(1, len(days)))}
    return pl.DataFrame({**named, "checked": sums[held].astype(np.int64)}, schema=schema)


def collect(found: Iterable[Found], run: str, at: datetime) -> Outcome:
    """The outcome of all that rules found."""
    collector = Collector()
    for item in found:
        collector.add(item)
    return collector.outcome(run, at)


def _of_sessions(found: Rule, counts: pl.DataFrame) -> pl.DataFrame:
    """A row a session: all symbols together."""
    summed = counts.group_by("session").agg(pl.col("checked").sum(), pl.col("flagged").sum())
    return summed.with_columns(symbol=pl.lit(ALL), rule=pl.lit(found.name), severity=pl.lit(found.severity))


def _of_symbols(found: Rule, bad: pl.DataFrame, flags: pl.DataFrame) -> pl.DataFrame:
    """A row for each symbol and session with flagged rows."""
    worst = flags.group_by("symbol", "session", maintain_order=True).agg(pl.col("value").first().alias("worst"))
    pairs = zip(bad["checked"].to_list(), bad["flagged"].to_list(), strict=True)
    letters = [found.grade(checked, flagged) for checked, flagged in pairs]
    given = bad.with_columns(
        rule=pl.lit(found.name), severity=pl.lit(found.severity), grade=pl.Series(letters, dtype=pl.String)
    )
    return given.join(worst, on=["symbol", "session"], how="left")


def _graded(checked: pl.DataFrame, bad: pl.DataFrame) -> pl.DataFrame:
    """A row for each symbol and session: the worst grade of its rules, and why."""
    if not bad.height:
        return checked.with_columns(rule=pl.lit(ALL), grade=pl.lit("A"), flagged=pl.lit(0, pl.Int64))
    worst_first = bad.with_columns(_reason()).sort(
        pl.col("grade"), pl.col("flagged") / pl.col("checked"), pl.col("rule"), descending=[True, True, False]
    )
    counted = pl.col("severity") != "info"
    summed = worst_first.group_by("symbol", "session", maintain_order=True).agg(
        pl.col("grade").max(),
        pl.col("flagged").filter(counted).sum(),
        pl.col("reason").filter(pl.col("grade") != "A").str.join(", ").alias("why"),
        pl.col("severity").replace_strict(_SEVERITIES, range(3), return_dtype=pl.Int8).min(),
    )
    names = pl.col("severity").replace_strict(range(3), _SEVERITIES, return_dtype=pl.String)
    joined = checked.join(summed.with_columns(names), on=["symbol", "session"], how="left")
    why = pl.when(pl.col("why") == "").then(None).otherwise(pl.col("why")).alias("why")
    return joined.with_columns(
        why, pl.col("grade").fill_null(GRADES[0]), pl.col("flagged").fill_null(0), rule=pl.lit(ALL)
    )


def _reason() -> pl.Expr:
    """`quotes_crossed 95 of 539967 (0.018 %)`."""
    share = (100 * pl.col("flagged") / pl.col("checked")).round_sig_figs(2).cast(pl.String).str.strip_suffix(".0")
    return pl.format("{} {} of {} ({} %)", "rule", "flagged", "checked", share).alias("reason")


def _flags(found: Found) -> pl.DataFrame:
    about = found.rule
    return _frame(found.flags).with_columns(
        rule=pl.lit(about.name), severity=pl.lit(about.severity), table_name=pl.lit(about.tables[0])
    )


def _moment(at: datetime) -> pl.Expr:
    return pl.lit(at).cast(pl.Datetime("us", "UTC")).alias("checked_at")


def _frame(rows: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(rows)
    assert isinstance(found, pl.DataFrame)
    return found


def _arrow(frame: pl.DataFrame, table: Table) -> pa.Table:
    """The frame in a table's schema; columns it lacks are null."""
    missing = [pl.lit(None).alias(n) for n in table.schema.names if n not in frame.columns]
    return frame.with_columns(missing).select(table.schema.names).to_arrow().cast(table.schema)
