"""The lake's side of a run: a DuckDB that sees one snapshot of the tables, and marts written as Delta commits.

A mart's new rows and the old ones they replace are added and removed in one commit, so no reader sees half. Rows are
kept in files of a span of sessions each (`bucket`), sorted by grain. Only files that hold replaced rows are rewritten;
rows that replace none get a file of their own, and a span that has many of those is written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import structlog

from tickerplant.errors import Fatal
from tickerplant.schema import quoted
from tickerplant.stores.lake_actions import State
from tickerplant.stores.lake_dataset import REGISTERED, dataset
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.lake_marts import Marts, Note, View, commits_notes, source
from tickerplant.stores.lake_query import trade_views, views
from tickerplant.stores.lake_schema import delta_schema
from tickerplant.stores.object_path import map_in
from tickerplant.transform.lake_job import MartJob, execute
from tickerplant.transform.lake_plan import known, touched
from tickerplant.transform.lake_write import Base, write_mart
from tickerplant.transform.request import Built, Known

log = structlog.get_logger()

RUNNING = 1 << 60
"""The build number, in `_changes`, of marts built in this run: above every version."""


class LakeRun:
    """One run. `open` is called for its database, `store` for each model that was computed."""

    def __init__(self, logs: Mapping[str, TableLog], marts: Marts, built: Built, spill: Path) -> None:
        self.marts, self.built, self._spill = marts, built, spill
        self._logs = dict(logs)
        states = map_in(marts.root, TableLog.refresh, self._logs.values())
        self.snapshot = {name: _kept(state) for name, state in zip(self._logs, states, strict=True)}
        self._notes = marts.newest_notes()
        self.versions = {name: version for name, (version, _) in self._notes.items()}
        self._shown: dict[str, int] = {}
        self._datasets: dict[str, ds.Dataset] = {}
        self._lock = Lock()
        self._database: duckdb.DuckDBPyConnection | None = None

    def plan(self) -> dict[str, Known]:
        """What is known of the marts that are there."""
        found = cache(lambda name, since: touched(self._logs[name], since, self.snapshot[name]))
        return {name: known(note, self._logs, found) for name, (_, note) in self._notes.items()}

    def open(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the views of the snapshot in the database of the run."""
        self._database = connection
        spill = str(self._spill).replace("'", "''")
        execute(connection, f"set temp_directory = '{spill}'")
        for name, state in self.snapshot.items():
            table_log, files = self._logs[name], list(state.files.values())
            if files and not isinstance(table_log.folder, Path):
                found = dataset(table_log.folder, files, delta_schema(table_log.table))
                self._register(connection, REGISTERED + name, found)
            for statement in views(table_log.table, table_log.folder, files):
                execute(connection, _lasting(statement))
        for statement in trade_views():
            execute(connection, _lasting(statement))
        execute(connection, 'create table "_changes" (mart varchar, build bigint, symbol varchar, session date)')
        for name in self._notes:
            self._show(connection, name)
        self._recall(connection)

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Register the datasets that views stand over, of a lake in a bucket: each connection has its own."""
        with self._lock:
            known = dict(self._datasets)
        for name, found in known.items():
            connection.register(name, found)

    def _register(self, connection: duckdb.DuckDBPyConnection, name: str, found: ds.Dataset) -> None:
        connection.register(name, found)
        with self._lock:
            self._datasets[name] = found

    def _recall(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Changes of marts that marts built from them have not seen."""
        for name in self._notes:
            seen = [note.marts[name] for _, note in self._notes.values() if name in note.marts]
            if not seen or min(seen) >= self.versions[name]:
                continue
            for version, changes in commits_notes(self.marts.log(name), min(seen), self.versions[name]):
                _remember(connection, name, version, changes)

    def _show(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make the view of a mart, and note which version it shows."""
        table_log = self.marts.log(name)
        table_log.refresh()
        with table_log.exclusive() as state:
            version, files = state.version, list(state.files.values())
        rows = source(table_log.folder, files, name, partial(self._register, connection))
        execute(connection, f"create or replace view {quoted(name)} as {rows}")
        self._shown[name] = version

    def store(self, request: Mapping[str, Any]) -> None:
        """Write a mart, or keep a view's SQL, for readers of the lake."""
        if self._database is None:
            raise Fatal(f"transform {request['name']}: expected an open database, was none")
        if request["kind"] == "view":
            self.marts.put_view(request["name"], View(_plain(request["sql"]), request["doc"]))
            return
        with self._database.cursor() as connection:
            self.attach(connection)
            self._store_mart(connection, MartJob.of(request))

    def _store_mart(self, connection: duckdb.DuckDBPyConnection, job: MartJob) -> None:
        before = self._notes.get(job.name)
        tables = {name: self.snapshot[name].version for name in job.tables}
        with self._lock:
            seen = {name: self.versions[name] for name in job.marts}
        note = Note(job.signature, tables, seen, [])
        base = Base(before[1], self._shown[job.name]) if before else None
        written = write_mart(connection, self.marts, job, note, base)
        with self._lock:
            self.built.modes[job.name] = (job.mode, written.rows)
            self.versions[job.name] = written.version
        self._show(connection, job.name)
        _remember(connection, job.name, RUNNING, written.changes)
        if job.mode != "none":
            log.debug("mart", name=job.name, mode=job.mode, rows=written.rows, version=written.version)


def _kept(state: State) -> State:
    """A state that does not move on with its log."""
    found = copy(state)
    found.files = dict(state.files)
    return found


def _remember(connection: duckdb.DuckDBPyConnection, mart: str, build: int, changes: Mapping[str, list[str]]) -> None:
    rows = [(mart, build, symbol, day or "0001-01-01") for day, symbols in changes.items() for symbol in symbols]
    if rows:
        columns = [pa.array(values) for values in zip(*rows, strict=True)]
        found = pa.Table.from_arrays(columns, names=["mart", "build", "symbol", "session"])
        connection.register("_found", found)
        execute(connection, 'insert into "_changes" select mart, build, symbol, session::date from _found')
        connection.unregister("_found")


def _lasting(statement: str) -> str:
    return statement.replace("create or replace temp ", "create or replace ", 1)


def _plain(sql: str) -> str:
    """SQL of the run's database as a query of the lake reads it: names without database and schema."""
    return sql.replace('"memory"."main".', "")


_current: list[LakeRun] = []


@contextmanager
def running(run: LakeRun) -> Iterator[None]:
    """Make a run known to the plugin, which dbt makes by itself; the run's database is closed in the end."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    _current.append(run)
    try:
        yield
    finally:
        _current.clear()
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


def current() -> LakeRun:
    """The run going on in this process."""
    return _current[-1]
