"""Marts of the lake: one Delta table each under `marts/<name>`, and views, whose SQL is in `marts/_views/<name>.json`.

A mart's commit notes what it was built from, so the files and their history are all there is to know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from tickerplant.schema import Column, Table, quoted
from tickerplant.stores.lake_actions import NOTE, File, decode_action
from tickerplant.stores.lake_dataset import REGISTERED, dataset
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.lake_scan import files_as_of
from tickerplant.stores.object_path import Folder, map_in, put_whole

FOLDER = "marts"
_VIEWS = "_views"
_WORD = re.compile(r"[a-z_][a-z0-9_]*")


Register: TypeAlias = Callable[[str, ds.Dataset], object]
"""Makes a dataset known by a name to a connection of DuckDB."""


class Note(msgspec.Struct, frozen=True):
    """What the commit of a mart notes: the versions of tables and marts it was built from, and what changed.

    `changes` are symbols by the first session that changed (ISO, "" for all of a symbol); `*` is every symbol.
    """

    signature: str
    tables: dict[str, int]
    marts: dict[str, int]
    columns: list[tuple[str, str]]
    changes: dict[str, list[str]] = {}


class View(msgspec.Struct, frozen=True):
    """A view of the lake: its SQL names tables, marts and views by their plain names."""

    sql: str
    doc: str = ""


class Marts:
    """The marts in a lake's folder, found anew whenever asked."""

    def __init__(self, root: Folder, folder: str = FOLDER) -> None:
        self.root = root / folder
        self._logs: dict[str, TableLog] = {}

    def names(self) -> list[str]:
        """Names of all marts and views, sorted."""
        tables = (path.parent.name for path in self._log_folders())
        return sorted({*tables, *(path.stem for path in self._view_paths())})

    def log(self, name: str, schema: pa.Schema | None = None, grain: Sequence[str] = (), doc: str = "") -> TableLog:
        """The transaction log of a mart, which may not exist yet; with a schema it can be made and written."""
        if schema is not None:
            columns = tuple(Column(f.name, f.type, "", nullable=True) for f in schema)
            return TableLog(self.root, Table(name, doc, columns, tuple(grain), time=None))
        if name not in self._logs:
            self._logs[name] = TableLog(self.root, Table(name, "", (), time=None))
        return self._logs[name]

    def logs(self) -> list[TableLog]:
        """The logs of all marts."""
        return [self.log(path.parent.name) for path in sorted(self._log_folders(), key=str)]

    def newest_notes(self) -> dict[str, tuple[int, Note]]:
        """The version and note of each mart's last commit that has one, by name."""
        logs = self.logs()
        found = map_in(self.root, newest_note, logs)
        return {log.table.name: note for log, note in zip(logs, found, strict=True) if note is not None}

    def statements(self, sql: str, as_of: datetime | int | None, register: Register) -> tuple[list[str], str]:
        """Statements that make the temporary views a query names, in order, and all SQL that now has to be read.

        They are for the connection that `register` is of.
        """
        known, made, read = set(self.names()), dict[str, str](), [sql]
        self._add(sql, known, made, read, as_of, register)
        return list(made.values()), " ".join(read)

    def _add(
        self,
        sql: str,
        known: set[str],
        made: dict[str, str],
        read: list[str],
        as_of: datetime | int | None,
        register: Register,
    ) -> None:
        words = set(_WORD.findall(sql.lower()))
        names = known if words & {"show", "information_schema"} else known & words
        for name in sorted(names):
            if name in made or name not in known:
                continue
            known.discard(name)
            view = self.view(name)
            if view is not None:
                self._add(view.sql, known, made, read, as_of, register)
                read.append(view.sql)
                made[name] = f"create or replace temp view {quoted(name)} as {view.sql}"
            else:
                log = self.log(name)
                files = files_as_of(log, as_of)
                if files:
                    rows = source(log.folder, files, name, register)
                    made[name] = f"create or replace temp view {quoted(name)} as {rows}"

    def view(self, name: str) -> View | None:
        """A view by its name; None when it is a table or is not there."""
        try:
            return msgspec.json.decode((self.root / _VIEWS / f"{name}.json").read_bytes(), type=View)
        except FileNotFoundError:
            return None

    def put_view(self, name: str, view: View) -> None:
        """Make or replace a view, whole or not at all."""
        folder = self.root / _VIEWS
        folder.mkdir(parents=True, exist_ok=True)
        put_whole(folder / f"{name}.json", msgspec.json.encode(view))

    def _view_paths(self) -> Iterator[Folder]:
        return iter((self.root / _VIEWS).glob("*.json"))

    def _log_folders(self) -> Iterator[Folder]:
        if isinstance(self.root, Path):
            return iter(self.root.glob("*/_delta_log"))
        names = self.root.bucket.folders(self.root.key)
        return iter([self.root / name / "_delta_log" for name in names if name != _VIEWS])


def source(folder: Folder, files: Sequence[File], name: str, register: Register) -> str:
    """A select of the rows of a mart's files. Of those in a bucket the dataset is registered under `name`."""
    if not isinstance(folder, Path):
        register(REGISTERED + name, dataset(folder, files))
        return f"select * from {quoted(REGISTERED + name)}"
    paths = ", ".join("'" + str(folder / f.path).replace("'", "''") + "'" for f in files)
    return f"select * from read_parquet([{paths}], hive_partitioning = false)"


def note_of(log: TableLog, version: int) -> Note | None:
    """What a mart's commit notes; None for a commit that is not of a transform, or is not kept."""
    try:
        data = (log.log_folder / f"{version:020d}.json").read_bytes()
    except FileNotFoundError:
        return None
    for line in data.splitlines():
        info: Any = decode_action(line).commit_info
        if info is not None and NOTE in info.operation_parameters:
            return msgspec.json.decode(info.operation_parameters[NOTE], type=Note)
    return None


def newest_note(log: TableLog) -> tuple[int, Note] | None:
    """The version and note of a mart's last commit that has one."""
    for version in range(log.refresh().version, -1, -1):
        note = note_of(log, version)
        if note is not None:
            return version, note
        if not (log.log_folder / f"{version:020d}.json").exists():
            return None
    return None


def commits_notes(log: TableLog, after: int, last: int) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """What each version in `(after, last]` changed; everything where that is not known any more."""
    for version in range(after + 1, last + 1):
        note = note_of(log, version)
        yield version, {"": ["*"]} if note is None else note.changes
