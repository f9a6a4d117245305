"""A lake as a session of Spark sees it: each table, view and mart by its name as a DataFrame."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tickerplant.calendar import NEW_YORK
from tickerplant.errors import UsageError
from tickerplant.model import Selection
from tickerplant.query_where import Moment, Symbols, chosen, moment
from tickerplant.schema import TIMESTAMP, Column, Table
from tickerplant.spark.frames import Version, frame, struct
from tickerplant.spark.models import PRESENT_TRADES, Models, backticked
from tickerplant.stores.corrections import LATEST, OUTCOMES, newest, outcomes, trades_state
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_scan import files_as_of
from tickerplant.stores.lake_schema import delta_schema
from tickerplant.stores.object_path import open_parquet
from tickerplant.tables import TABLES
from tickerplant.transform.facts import variables
from tickerplant.transform.request import Request

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_INPUT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_LATEST = "_latest"
_KEEPING = {f"{t.name}{_LATEST}": t for t in TABLES.values() if t.mode == "append" and t.key}
"""Views that show the last revision of each key."""


@dataclass(frozen=True)
class Span:
    """Symbols and `[start, end)`, as `tickerplant.open` takes them."""

    symbols: Symbols = None
    start: Moment | None = None
    end: Moment | None = None

    def selection(self, name: str) -> Selection:
        """Of a table. Raises UsageError for bounds that cannot be."""
        names = chosen(self.symbols)
        return Selection((name,), ("*",) if names is None else names, moment(self.start), moment(self.end))


class SparkLake:
    """A lake opened for a session of Spark. Each call reads the newest version, or that of `as_of`; a DataFrame keeps
    the version it was made of, however often it is computed (until `maintain` deletes its files, days later)."""

    def __init__(
        self, spark: SparkSession, store: LakeStore, as_of: datetime | int | None = None, models: Path | None = None
    ) -> None:
        self._spark, self._store, self._as_of, self._folder = spark, store, as_of, models

    def table(
        self,
        name: str,
        symbols: Symbols = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
    ) -> DataFrame:
        """Rows of a table, view or mart for symbols and `[start, end)` of its time, in no particular order.

        Columns are as the lake has them: `ts` in microseconds and `ns` apart, `session` beside them. Files that the
        bounds rule out are never opened. Raises UsageError for a name, symbol or bound that cannot be.
        """
        span = Span(symbols, start, end)
        found = self._view(name, span) if name in (LATEST, *_KEEPING) else self._stored(name, span, columns)
        if found is None:
            found = self._of_model(name, span)
        return found.select(list(columns)) if columns else found

    def register(self, prefix: str = "") -> list[str]:
        """Make temporary views of every table, mart and view that exists, for `spark.sql`; their names.

        They stay at the version they were made of: call it again to see newer rows.
        """
        tables = self._store.tables()
        views = [n for n, base in [(LATEST, "trades"), *((v, t.name) for v, t in _KEEPING.items())] if base in tables]
        names = [*tables, *views, *self._store.mart_names()]
        for name in names:
            self.table(name).createOrReplaceTempView(f"{prefix}{name}")
        return [f"{prefix}{name}" for name in names]

    def compute(
        self,
        mart: str,
        start: date | None = None,
        end: date | None = None,
        request: Request = Request(),  # noqa: B008
    ) -> DataFrame:
        """The rows of a mart from what it is made of, computed by Spark with the mart's own SQL, for sessions of
        `[start, end)`.

        Marts that it reads are read as they are in the lake, and computed where they are not there. `request` says
        whose rows come first (`vendors`), as known when, and of which lengths bars are. Raises UsageError for a model
        that is not there, and for bounds of one that is not computed by session.
        """
        models = self._models(request, start, end)
        if (start or end) and models.config(mart).slice != "session":
            raise UsageError(f"{mart}: expected no start or end (it is not computed by session), was [{start}, {end})")
        return self._run(models.sql(mart), Span(None, start, end), request.known_at)

    def grain(self, mart: str) -> tuple[str, ...]:
        """The columns that tell the rows of a mart apart. Raises UsageError for a model that is not there."""
        return self._models(Request()).config(mart).grain

    def _models(self, request: Request, start: date | None = None, end: date | None = None) -> Models:
        bounds = [(">=", start), ("<", end)]
        terms = [f"session {sign} date '{day.isoformat()}'" for sign, day in bounds if day]
        is_there: Callable[[str], bool] = lambda name: self._mart(name) is not None  # noqa: E731
        return Models(variables(request), self._folder, " and ".join(terms) or "true", is_there)

    def _stored(self, name: str, span: Span, columns: Sequence[str] | None) -> DataFrame | None:
        """A table or a mart; None for a name that is neither."""
        version = self._table(TABLES[name]) if name in TABLES else self._mart(name)
        return version and frame(self._spark, version, span.selection(name), columns)

    def _table(self, table: Table) -> Version:
        log = self._store.table_log(table.name)
        return Version(table, delta_schema(table), log.folder, files_as_of(log, self._as_of))

    def _mart(self, name: str) -> Version | None:
        """A mart; None when there is none. All files of a version have one schema: another one is written whole."""
        if name in TABLES or name not in self._store.mart_names() or self._store.marts.view(name) is not None:
            return None
        log = self._store.marts.log(name)
        files = files_as_of(log, self._as_of)
        if not files:
            return None
        with open_parquet(log.folder / files[0].path) as parquet:
            schema = parquet.schema_arrow
        columns = tuple(Column(field.name, field.type, "") for field in schema)
        table = Table(name, "", columns, time="ts" if "ts" in schema.names else None)
        return Version(table, schema, log.folder, files)

    def _of_model(self, name: str, span: Span) -> DataFrame:
        """A view of the marts, by its model's SQL."""
        models = self._models(Request())
        if name not in models.names() or models.config(name).materialized == "mart":
            known = sorted({*TABLES, LATEST, *_KEEPING, *self._store.mart_names()})
            raise UsageError(f"table: expected one of {', '.join(known)}, was {name!r}")
        return self._within(self._run(models.sql(name), Span()), span)

    def _view(self, name: str, span: Span) -> DataFrame:
        if name == LATEST:
            return self._run(f"select * from {{{PRESENT_TRADES}}}", span)
        table = _KEEPING[name]
        return self._run(_placed(newest("spark", table), table.name), span)

    def _within(self, found: DataFrame, span: Span) -> DataFrame:
        from tickerplant.spark.frames import restricted

        names = found.columns
        columns = tuple(Column(n, TIMESTAMP, "") for n in names)
        table = Table("view", "", columns, time="ts" if "ts" in names else None)
        return restricted(found, table, span.selection("view"))

    def _run(self, sql: str, span: Span, known_at: datetime | None = None) -> DataFrame:
        """A select whose inputs stand in braces."""
        frames = {name: self._input(name, span, known_at) for name in sorted(set(_INPUT.findall(sql)))}
        return self._spark.sql(sql, **frames)

    def _input(self, name: str, span: Span, known_at: datetime | None) -> DataFrame:
        if name == PRESENT_TRADES:
            return self._present_trades(span, known_at)
        is_timed = name in TABLES and (TABLES[name].time or "session" in TABLES[name].schema.names)
        return self.table(name, *((span.symbols, span.start, span.end) if is_timed else ()))

    def _present_trades(self, span: Span, known_at: datetime | None) -> DataFrame:
        """Trades in their present state. Chains of corrections are followed here, by DuckDB: they are few."""
        known = f"received_at <= timestamp '{known_at.isoformat()}'" if known_at else "true"
        told = f"received_at <= timestamptz '{known_at.isoformat()}'" if known_at else "true"
        selection = span.selection("trades")
        days = [("session >=", selection.start), ("session <=", selection.end)]
        within = [f"{term} date '{at.astimezone(NEW_YORK).date()}'" for term, at in days if at]
        sql = f"select * from ({outcomes('duckdb', told)}) o where {' and '.join(within) or 'true'}"
        rows = self._store.query(sql, (), self._as_of)
        became = self._spark.createDataFrame(rows.to_pylist(), struct(rows.schema))
        trades = self._stored("trades", span, None)
        sql = _placed(trades_state("spark", known), "trades", OUTCOMES)
        return self._spark.sql(sql, **{"trades": trades, OUTCOMES: became})

    def close(self) -> None:
        """Release handles of the driver; DataFrames go on. Idempotent."""
        self._store.close()


def _placed(sql: str, *inputs: str) -> str:
    """SQL of our own in Spark's words, with the inputs in braces."""
    for name in inputs:
        sql = sql.replace(f'"{name}"', f"{{{name}}}")
    return backticked(sql)
