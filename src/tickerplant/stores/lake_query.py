"""SQL over the lake: DuckDB reads exactly the files that a version of each Delta log names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tickerplant.errors import Fatal, Retryable, UsageError
from tickerplant.schema import TIMESTAMP, Table, quoted
from tickerplant.stores.corrections import KNOWN_AT, LATEST, UNMATCHED, newest, trades_state, unmatched
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_dataset import REGISTERED, dataset
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.lake_marts import Marts
from tickerplant.stores.lake_scan import files_as_of
from tickerplant.stores.lake_schema import SESSION, delta_schema, is_partitioned
from tickerplant.stores.object_path import Folder
from tickerplant.stores.quality_views import GRADES, GRADES_SQL
from tickerplant.tables import QUALITY

_TYPES: dict[pa.DataType, str] = {
    pa.string(): "varchar",
    pa.float64(): "double",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.binary(): "blob",
    pa.date32(): "date",
    TIMESTAMP: "timestamptz",
}
_KNOWN = "received_at <= moment::timestamptz"
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?(\s*\([^)]*\))?\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_ALLOWED = "one statement that reads (select, with, from, describe, summarize, show, explain)"
_CANNOT_RUN = (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.FatalException)


class Engine:
    """One in-memory DuckDB that can read the lake's folder and nothing else. Threads may share it."""

    def __init__(self, root: Folder, logs: Mapping[str, TableLog], marts: Marts) -> None:
        self._logs, self._marts = logs, marts
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        self._database = duckdb.connect(config=config)
        for setting in (
            "set global TimeZone = 'UTC'",
            "set enable_progress_bar = false",
            *([f"set allowed_directories = [{_literal(str(root) + '/')}]"] if isinstance(root, Path) else ()),
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            self._database.execute(setting)

    def query(self, sql: str, parameters: Sequence[Any], as_of: datetime | int | None) -> pa.Table:
        """The result of one statement; see `LakeStore.query`."""
        with self._database.cursor() as connection, _named_errors():
            _check(connection, sql)
            made, read = self._marts.statements(sql, as_of, connection.register)
            names = _referenced(read, self._logs)
            for name in names:
                log = self._logs[name]
                files = files_as_of(log, as_of)
                if files and not isinstance(log.folder, Path):
                    connection.register(REGISTERED + name, dataset(log.folder, files, delta_schema(log.table)))
                for statement in views(log.table, log.folder, files):
                    connection.execute(statement)
            if {"trades", "trade_corrections"} <= set(names):
                for statement in trade_views():
                    connection.execute(statement)
            for statement in made:
                connection.execute(statement)
            relation = connection.sql(sql, params=list(parameters) or None)
            return relation.to_arrow_table()

    def close(self) -> None:
        """Release memory; idempotent."""
        self._database.close()


def views(table: Table, folder: Folder, files: Sequence[File]) -> Iterator[str]:
    """Statements that make the temporary views of a table from the files of one version.

    Of a table in a bucket they stand over an Arrow dataset that has to be registered before.
    """
    yield f"create or replace temp view {quoted(table.name)} as {_source(table, folder, files)}"
    if table.name == QUALITY.name:
        yield _view(GRADES, GRADES_SQL)
    if table.mode == "append" and table.key:
        yield _view(f"{table.name}_latest", newest("duckdb", table))
        yield _macro(f"{table.name}_known_at", newest("duckdb", table, _KNOWN))


def trade_views() -> Iterator[str]:
    """Statements that make the views over `trades` and `trade_corrections`."""
    yield _view(LATEST, trades_state("duckdb"))
    yield _macro(KNOWN_AT, trades_state("duckdb", _KNOWN))
    yield _view(UNMATCHED, unmatched("duckdb"))


def _view(name: str, sql: str) -> str:
    return f"create or replace temp view {quoted(name)} as {sql}"


def _macro(name: str, sql: str) -> str:
    return f"create or replace temp macro {quoted(name)}(moment) as table {sql}"


def _source(table: Table, folder: Folder, files: Sequence[File]) -> str:
    columns = ", ".join(map(quoted, delta_schema(table).names))
    if not files:
        fields = (f"null::{_TYPES[f.type]} as {quoted(f.name)}" for f in delta_schema(table))
        return f"select {', '.join(fields)} where false"
    if not isinstance(folder, Path):
        return f"select {columns} from {quoted(REGISTERED + table.name)}"
    paths = ", ".join(_literal(str(folder / f.path)) for f in files)
    hive = f"hive_partitioning = true, hive_types = {{{SESSION}: date}}" if is_partitioned(table) else ""
    options = hive or "hive_partitioning = false"
    return f"select {columns} from read_parquet([{paths}], {options})"


def _referenced(sql: str, logs: Mapping[str, TableLog]) -> list[str]:
    """Tables that the words of a statement can mean; the words of one name too many cost a view, nothing else."""
    words = set(_WORD.findall(sql.lower()))
    if "show" in words or "information_schema" in words:
        return list(logs)
    if words & {LATEST, KNOWN_AT, UNMATCHED}:
        words |= {"trades", "trade_corrections"}
    if GRADES in words:
        words.add(QUALITY.name)
    return [n for n in logs if words & {n, f"{n}_latest", f"{n}_known_at"}]


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"query: expected {_ALLOWED}, was {len(statements)} statements")
    kind = statements[0].type
    explained = _EXPLAIN.fullmatch(sql)
    if kind == duckdb.StatementType.EXPLAIN and explained:
        _check(connection, explained["rest"])
    elif kind != duckdb.StatementType.SELECT:
        raise UsageError(f"query: expected {_ALLOWED}, was {kind.name.lower()}")


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.IOException as error:
        raise Retryable(f"query: expected every file to be readable, was {_text(error)}; do run it again") from None
    except _CANNOT_RUN as error:
        raise Fatal(f"query: expected to run to its end, was {_text(error)}") from None
    except duckdb.Error as error:
        raise UsageError(f"query: expected valid SQL, was {_text(error)}") from None


def _text(error: Exception) -> str:
    return str(error).strip()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
