"""The Python API: `tickerplant.open(url)` gives a Plant, whose answers are Arrow, Polars or pandas.

Times are nanoseconds UTC (`ts` and `ns` of the store joined); spans are half-open. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tickerplant.errors import UsageError
from tickerplant.model import Batch, Selection
from tickerplant.query_sql import ASOF, BARS, LAST_QUOTES, LAST_QUOTES_NEAR, window
from tickerplant.query_where import Moment, Symbols, chosen, condition, known, not_both, spans_back, state_of
from tickerplant.query_where import moment as moment
from tickerplant.schema import Column, Table, quoted
from tickerplant.stores.corrections import STATE_COLUMNS
from tickerplant.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from tickerplant.fingerprint import Tally
    from tickerplant.stores import AnyStore

AsOf = datetime | int | None

_LONG_SPAN = timedelta(hours=5)
_SORT = ("symbol", "session", "ts", "ns", "received_at", "seq", "start", "partition", "position", "item")


@dataclass(frozen=True)
class Result:
    """Rows that were read, in any of the usual shapes."""

    _rows: pa.Table

    def arrow(self) -> pa.Table:
        """As a `pyarrow.Table`."""
        return self._rows

    def polars(self) -> pl.DataFrame:
        """As a `polars.DataFrame`, without a copy where the types allow."""
        import polars as pl

        frame = pl.from_arrow(self._rows)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def pandas(self) -> pd.DataFrame:
        """As a `pandas.DataFrame` (pandas must be installed)."""
        return self._rows.to_pandas()

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def __repr__(self) -> str:
        return f"Result({self._rows.num_rows} rows: {', '.join(self._rows.column_names)})"


class Plant:
    """A store opened for reading, at its newest version or at `as_of`."""

    def __init__(self, store: AnyStore, as_of: AsOf = None) -> None:
        self._store, self._as_of = store, as_of

    def table(
        self, name: str, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None
    ) -> Result:
        """Rows of one table or mart for symbols and `[start, end)` of its time, in order of symbol, time and arrival.

        A bound is an aware datetime, ISO text with an offset, or a day: midnight in New York. Raises UsageError for a
        table, symbol or bound that cannot be.
        """
        table = self._described(name)
        where, parameters = condition(table, symbols, start, end)
        order = ", ".join(quoted(c) for c in _SORT if c in table.schema.names) or "1"
        columns = ", ".join(map(quoted, table.schema.names))
        sql = f"select {columns} from {quoted(name)} where {where} order by {order}"
        return Result(join_nanoseconds(self._store.query(sql, parameters, self._as_of)))

    def _described(self, name: str) -> Table:
        """A table by its definition, a mart by its columns."""
        if name in TABLES or name not in self.marts():
            return known(name)
        schema = self._store.query(f"select * from {quoted(name)} limit 0").schema
        columns = tuple(Column(field.name, field.type, "") for field in schema)
        return Table(name, "", columns, time="ts" if "ts" in schema.names else None)

    def marts(self) -> list[str]:
        """Names of the marts and views that `transform` has built (docs/marts.md)."""
        return self._store.mart_names()

    def quotes(self, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None) -> Result:
        """`table("quotes", ...)`."""
        return self.table("quotes", symbols, start, end)

    def trades(
        self,
        symbols: Symbols = None,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        raw: bool = False,
        known_at: Moment | None = None,
    ) -> Result:
        """Trades in their present state: corrected ones with what is right, cancelled ones left out, each once.

        `corrected_at` and `original_...` say what changed; null for most. `known_at` gives the state that was known at
        a moment, by what had been received; `raw` every print as it was received, `table("trades", ...)`.
        """
        if raw:
            not_both("trades", known_at)
            return self.table("trades", symbols, start, end)
        table, (source, values) = TABLES["trades"], state_of("trades", raw, known_at)
        where, parameters = condition(table, symbols, start, end)
        order = ", ".join(quoted(c) for c in _SORT if c in table.schema.names)
        columns = ", ".join(map(quoted, (*table.schema.names, *STATE_COLUMNS)))
        sql = f"select {columns} from {source} where {where} order by {order}"
        return Result(join_nanoseconds(self._store.query(sql, [*values, *parameters], self._as_of)))

    def sql(self, sql: str, parameters: Sequence[Any] = ()) -> Result:
        """The result of one read-only statement, columns as the store has them (`ts` and `ns` apart)."""
        return Result(self._store.query(sql, parameters, self._as_of))

    def last_quotes(self, symbols: Symbols = None, at: Moment | None = None) -> Result:
        """The last quote of each symbol, before `at` when given (default: the last there is).

        Name the symbols when you can: PostgreSQL then looks back from the end as far as it must, not over everything.
        """
        names, end = chosen(symbols), moment(at)
        if names and self._store.dialect == "postgres":
            return Result(join_nanoseconds(self._look_back(names, end)))
        return Result(join_nanoseconds(self._last_quotes(LAST_QUOTES[self._store.dialect], names, None, end)))

    def _last_quotes(
        self, sql: str, names: Iterable[str] | None, start: datetime | None, end: datetime | None
    ) -> pa.Table:
        where, parameters = condition(TABLES["quotes"], names, start, end)
        rows = self._store.query(sql.format(where=where), parameters * sql.count("{where}"), self._as_of)
        return rows.select(TABLES["quotes"].schema.names)

    def _look_back(self, names: tuple[str, ...], end: datetime | None) -> pa.Table:
        """Last quotes from spans that reach back twice as far each time, until every symbol is found."""
        import pyarrow as pa

        found, missing = list[pa.Table](), set(names)
        for low, high in spans_back(self.sessions("quotes"), end):
            is_long = low is None or (high is not None and high - low > _LONG_SPAN)
            sql = LAST_QUOTES["postgres"] if is_long else LAST_QUOTES_NEAR
            found.append(self._last_quotes(sql, sorted(missing), low, high))
            missing.difference_update(found[-1].column("symbol").to_pylist())
            if not missing:
                break
        return pa.concat_tables(found).sort_by("symbol")

    def bars(
        self,
        symbol: str,
        interval: str = "5m",
        start: Moment | None = None,
        end: Moment | None = None,
        source: str = "trades",
        *,
        raw: bool = False,
        known_at: Moment | None = None,
    ) -> Result:
        """Bars of any whole interval (`30s`, `5m`, `1h`, `1d`), from trades or from the latest minute `bars`.

        `ts` is the start of the window, counted from midnight in New York; windows without data have no row. From
        trades, all count, whatever their conditions, in their present state or as `known_at` a moment; `raw` counts
        every print received. From bars, intervals are whole minutes.
        """
        if source not in ("trades", "bars"):
            raise UsageError(f"bars: expected source trades or bars, was {source!r}")
        seconds = _seconds(interval)
        if source == "bars" and seconds % 60:
            raise UsageError(f"bars: expected whole minutes from minute bars, was {interval!r}")
        if source == "bars" and raw:
            raise UsageError("bars: expected raw with source trades only, was source bars")
        rows, values = state_of(source, raw, known_at)
        where, parameters = condition(TABLES[source], symbol, start, end)
        form = BARS[self._store.dialect, source]
        sql = form.format(source=rows, where=where, window=window(self._store.dialect, seconds))
        return Result(self._store.query(sql, [*values, *parameters], self._as_of))

    def asof_join(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        raw: bool = False,
        known_at: Moment | None = None,
    ) -> Result:
        """Trades of a symbol, each with the quote in force at its time (`bid_price`, `ask_price`, `spread`, `mid`).

        Trades are those of `trades`, with the same `raw` and `known_at`.
        """
        rows, values = state_of("trades", raw, known_at)
        where, parameters = condition(TABLES["trades"], symbol, start, end)
        before, earlier = condition(TABLES["quotes"], symbol, None, end)
        if values:
            before, earlier = f"{before} and received_at <= ?::timestamptz", [*earlier, *values]
        sql = ASOF[self._store.dialect].format(source=rows, trades=where, quotes=before)
        return Result(join_nanoseconds(self._store.query(sql, [*values, *parameters, *earlier], self._as_of)))

    def sessions(self, table: str = "quotes") -> list[date]:
        """The sessions of which a table has rows."""
        return self._store.sessions(known(table))

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        return self._store.tables()

    def fingerprints(
        self, table: str, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None
    ) -> Tally:
        """Count and order-independent checksum of the content of each symbol's rows."""
        from tickerplant.fingerprint import Tally

        found, names = known(table), chosen(symbols)
        selection = Selection((table,), ("*",) if names is None else names, moment(start), moment(end))
        return Tally.of(Batch(found, rows) for rows in self._store.scan(found, selection, self._as_of))

    def close(self) -> None:
        """Release handles; idempotent."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_plant(url: str | None = None, as_of: AsOf = None) -> Plant:
    """Open a store for reading; `tickerplant.open`. Without `url`, the one that the settings name."""
    from tickerplant.settings import read_settings
    from tickerplant.stores import StoreOptions, open_store

    settings = read_settings()
    options = StoreOptions(
        schema=settings.schema, statement_timeout_s=settings.statement_timeout_s, marts=settings.marts
    )
    return Plant(open_store(url or settings.store, read_only=True, options=options), as_of)


def join_nanoseconds(rows: pa.Table) -> pa.Table:
    """Rows with `ts` and `ns` joined into one column `ts` of type timestamp[ns, UTC].

    Raises UsageError for times that 64 bits of nanoseconds do not hold (before 1677 or after 2262).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not {"ts", "ns"} <= set(rows.column_names):
        return rows
    micros = rows.column("ts").cast(pa.int64())
    try:
        joined = pc.add_checked(pc.multiply_checked(micros, 1000), rows.column("ns").cast(pa.int64()))
    except pa.ArrowInvalid:
        raise UsageError("ts: expected times of 1677 to 2262, was one outside; do use sql() and `ts`, `ns`") from None
    place = rows.column_names.index("ts")
    return rows.set_column(place, "ts", joined.cast(pa.timestamp("ns", "UTC"))).drop_columns(["ns"])


def _seconds(interval: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    count, unit = interval[:-1], interval[-1:]
    if not count.isascii() or not count.isdigit() or unit not in units or not 0 < int(count) * units[unit] <= 86400:
        raise UsageError(f"interval: expected a number and s, m, h or d, up to a day, was {interval!r}")
    return int(count) * units[unit]
