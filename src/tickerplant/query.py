"""The Python API: `tickerplant.open(url)` gives a Plant, whose answers are Arrow, Polars or pandas.

Times are nanoseconds UTC (`ts` and `ns` of the store joined); spans are half-open. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.errors import UsageError
from tickerplant.model import Batch, Selection
from tickerplant.query_sql import ASOF, BARS, LAST_QUOTES, window
from tickerplant.schema import Table, quoted
from tickerplant.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from tickerplant.fingerprint import Tally
    from tickerplant.stores import AnyStore

Moment = datetime | date | str
Symbols = str | Iterable[str] | None
AsOf = datetime | int | None

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
        """Rows of one table for symbols and `[start, end)` of its time, in order of symbol, time and arrival.

        A bound is an aware datetime, ISO text with an offset, or a day: midnight in New York. Raises UsageError for a
        table, symbol or bound that cannot be.
        """
        table = _known(name)
        where, parameters = _condition(table, symbols, start, end)
        order = ", ".join(quoted(c) for c in _SORT if c in table.schema.names)
        columns = ", ".join(map(quoted, table.schema.names))
        sql = f"select {columns} from {quoted(name)} where {where} order by {order}"
        return Result(join_nanoseconds(self._store.query(sql, parameters, self._as_of)))

    def quotes(self, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None) -> Result:
        """`table("quotes", ...)`."""
        return self.table("quotes", symbols, start, end)

    def trades(self, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None) -> Result:
        """`table("trades", ...)`."""
        return self.table("trades", symbols, start, end)

    def sql(self, sql: str, parameters: Sequence[Any] = ()) -> Result:
        """The result of one read-only statement, columns as the store has them (`ts` and `ns` apart)."""
        return Result(self._store.query(sql, parameters, self._as_of))

    def last_quotes(self, symbols: Symbols = None, at: Moment | None = None) -> Result:
        """The last quote of each symbol, before `at` when given (default: the last there is)."""
        where, parameters = _condition(TABLES["quotes"], symbols, None, at)
        sql = LAST_QUOTES[self._store.dialect]
        rows = self._store.query(sql.format(where=where), parameters * sql.count("{where}"), self._as_of)
        return Result(join_nanoseconds(rows.select(TABLES["quotes"].schema.names)))

    def bars(
        self,
        symbol: str,
        interval: str = "5m",
        start: Moment | None = None,
        end: Moment | None = None,
        source: str = "trades",
    ) -> Result:
        """Bars of any whole interval (`30s`, `5m`, `1h`, `1d`), from every trade or from the latest minute `bars`.

        `ts` is the start of the window, counted from midnight in New York; windows without data have no row. From
        trades, every print counts, whatever its conditions; from bars, intervals are whole minutes.
        """
        if source not in ("trades", "bars"):
            raise UsageError(f"bars: expected source trades or bars, was {source!r}")
        seconds = _seconds(interval)
        if source == "bars" and seconds % 60:
            raise UsageError(f"bars: expected whole minutes from minute bars, was {interval!r}")
        where, parameters = _condition(TABLES[source], symbol, start, end)
        sql = BARS[self._store.dialect, source].format(where=where, window=window(self._store.dialect, seconds))
        return Result(self._store.query(sql, parameters, self._as_of))

    def asof_join(self, symbol: str, start: Moment | None = None, end: Moment | None = None) -> Result:
        """Trades of a symbol, each with the quote in force at its time (`bid_price`, `ask_price`, `spread`, `mid`)."""
        where, parameters = _condition(TABLES["trades"], symbol, start, end)
        before, earlier = _condition(TABLES["quotes"], symbol, None, end)
        sql = ASOF[self._store.dialect].format(trades=where, quotes=before)
        return Result(join_nanoseconds(self._store.query(sql, [*parameters, *earlier], self._as_of)))

    def sessions(self, table: str = "quotes") -> list[date]:
        """The sessions of which a table has rows."""
        return self._store.sessions(_known(table))

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        return self._store.tables()

    def fingerprints(
        self, table: str, symbols: Symbols = None, start: Moment | None = None, end: Moment | None = None
    ) -> Tally:
        """Count and order-independent checksum of the content of each symbol's rows."""
        from tickerplant.fingerprint import Tally

        known = _known(table)
        names = _symbols(symbols)
        selection = Selection((table,), ("*",) if names is None else names, moment(start), moment(end))
        return Tally.of(Batch(known, rows) for rows in self._store.scan(known, selection, self._as_of))

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
    options = StoreOptions(schema=settings.schema, statement_timeout_s=settings.statement_timeout_s)
    return Plant(open_store(url or settings.store, read_only=True, options=options), as_of)


def moment(value: Moment | None) -> datetime | None:
    """A bound in UTC: an aware datetime, ISO text with an offset, or a day (midnight in New York)."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), NEW_YORK).astimezone(UTC)
    if value.tzinfo is None:
        raise UsageError(f"time: expected one with a zone, was {value.isoformat()}; do add +00:00 or tzinfo=UTC")
    return value.astimezone(UTC)


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


def _parsed(text: str) -> datetime | date:
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    raise UsageError(f"time: expected 2026-11-20 or 2026-11-20T09:30:00-05:00, was {text!r}")


def _known(name: str) -> Table:
    if name not in TABLES:
        raise UsageError(f"table: expected one of {', '.join(TABLES)}, was {name!r}")
    return TABLES[name]


def _symbols(symbols: Symbols) -> tuple[str, ...] | None:
    if symbols is None or symbols == "*":
        return None
    return (symbols,) if isinstance(symbols, str) else tuple(symbols)


def _condition(table: Table, symbols: Symbols, start: Moment | None, end: Moment | None) -> tuple[str, list[Any]]:
    """The `where` of a selection with its parameters; sessions are bounded too, so that files are pruned."""
    names, low, high = _symbols(symbols), moment(start), moment(end)
    terms, parameters = [], list[Any]()
    if names is not None:
        if "symbol" not in table.schema.names:
            raise UsageError(f"{table.name}: expected no symbols (the table has none), was {names}")
        terms.append(f"symbol in ({', '.join('?' * len(names))})" if names else "false")
        parameters += names
    for bound, sign in ((low, ">="), (high, "<")):
        if bound is not None:
            condition, values = _bound(table, bound, sign)
            terms.append(condition)
            parameters += values
    return " and ".join(terms) or "true", parameters


def _bound(table: Table, at: datetime, sign: str) -> tuple[str, list[Any]]:
    local = at.astimezone(NEW_YORK)
    if table.time is not None:
        day = "session >= ?" if sign == ">=" else "session <= ?"
        return f"{day} and {quoted(table.time)} {sign} ?::timestamptz", [local.date(), at.isoformat()]
    if "session" not in table.schema.names:
        raise UsageError(f"{table.name}: expected no start or end (the table has no time), was {at.isoformat()}")
    comparison = ">" if sign == ">=" and local.time() != time() else sign
    if sign == "<" and local.time() != time():
        comparison = "<="
    return f"session {comparison} ?", [local.date()]


def _seconds(interval: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    count, unit = interval[:-1], interval[-1:]
    if not count.isascii() or not count.isdigit() or unit not in units or not 0 < int(count) * units[unit] <= 86400:
        raise UsageError(f"interval: expected a number and s, m, h or d, up to a day, was {interval!r}")
    return int(count) * units[unit]
