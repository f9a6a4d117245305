"""The store's part of a restore: rows put back, then counted and checked as they stand there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tickerplant.errors import UsageError
from tickerplant.fingerprint import Fingerprint
from tickerplant.jobs.backup_files import Said, copy_file, sync_tree
from tickerplant.jobs.backup_manifest import DUMP, LAKE, Manifest, StoredFile, TableCount
from tickerplant.stores import AnyStore
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.object_path import ObjectPath
from tickerplant.tables import POSITIONS, TABLES

_NONE = TableCount.of(Fingerprint())

Result = tuple[tuple["TableResult", ...], tuple[str, ...]]
"""The tables, and where what was replaced is kept because they differ."""


@dataclass(frozen=True)
class TableResult:
    """A table after a restore: what the backup counted and what is there now."""

    table: str
    expected: TableCount
    found: TableCount

    @property
    def ok(self) -> bool:
        """Whether count and checksum are equal."""
        return self.expected == self.found


def _results(manifest: Manifest, found: dict[str, Fingerprint]) -> tuple[TableResult, ...]:
    names = [name for name in TABLES if name in manifest.tables or name in found]
    counts = {name: TableCount.of(f) for name, f in found.items()}
    return tuple(TableResult(n, manifest.tables.get(n, _NONE), counts.get(n, _NONE)) for n in names)


def _refuse(url: str) -> UsageError:
    return UsageError(f"{url}: expected a store without rows, was one with; do choose another, or --replace it")


def restore_lake(folder: Path, manifest: Manifest, store: AnyStore, replace: bool, say: Said) -> Result:
    """Copy a lake's tables, `positions` last, each visible only when it is whole; what was there goes when all is well.

    Raises UsageError for a lake that has rows, unless `replace`, and for one in a bucket that has tables: there is no
    moving aside there.
    """
    from tickerplant.stores.lake_backup import fingerprints

    assert isinstance(store, LakeStore)
    root = store.root
    if not isinstance(root, Path):
        _into_bucket(folder, manifest, store, root, say)
        return _results(manifest, fingerprints(store)), ()
    if not replace and any(f.stats.num_records for name in TABLES for f in store.table_log(name).files()):
        raise _refuse(store.url)
    aside = _move_away(root)
    for name in _in_order(manifest):
        say(f"restoring {name}")
        _put_table(folder, manifest, root, name)
    say("counting the rows restored")
    fresh = LakeStore(root, read_only=True)
    tables = _results(manifest, fingerprints(fresh))
    fresh.close()
    if aside is not None and all(t.ok for t in tables):
        shutil.rmtree(aside)
        aside = None
    return tables, (str(aside),) if aside else ()


def _in_order(manifest: Manifest) -> list[str]:
    """The tables, `positions` last."""
    return sorted(manifest.tables, key=lambda name: name == POSITIONS.name)


def _into_bucket(folder: Path, manifest: Manifest, store: LakeStore, root: ObjectPath, say: Said) -> None:
    there = store.tables()
    if there:
        raise UsageError(f"{store.url}: expected a place without tables, was one with {there[0]}; do choose another")
    for name in _in_order(manifest):
        say(f"restoring {name}")
        for file in sorted(manifest.files_of(f"{LAKE}/{name}"), key=lambda file: _visible(file.path)):
            _put_object(folder / file.path, file, root / file.path.removeprefix(f"{LAKE}/"))


def _visible(path: str) -> tuple[int, str]:
    """Where a table's file comes in order: readers of its log begin with `_last_checkpoint`, or with version 0."""
    name = path.rpartition("/")[2]
    if "/_delta_log/" not in path:
        return 0, path
    return {"_last_checkpoint": 3, f"{0:020d}.json": 2}.get(name, 1), path


def _put_object(source: Path, file: StoredFile, to: ObjectPath) -> None:
    if not to.bucket.create(to.key, source) and to.bucket.sha256(to.key) != file.sha256:
        raise UsageError(f"{to}: expected no object, was another one; do choose another place")


def _move_away(root: Path) -> Path | None:
    there = [root / name for name in TABLES if (root / name).exists()]
    if not there:
        return None
    aside = root / f"_replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside.mkdir()
    # Positions first: rows without a position are loaded again, a position without rows would lose them.
    for path in sorted(there, key=lambda p: p.name != POSITIONS.name):
        path.rename(aside / path.name)
    return aside


def _put_table(folder: Path, manifest: Manifest, root: Path, name: str) -> None:
    """Data first, then the log of them in one rename: a table is there as a whole or not at all."""
    prefix = f"{LAKE}/{name}/"
    for file in manifest.files_of(f"{LAKE}/{name}"):
        path = file.path.removeprefix(prefix).replace("_delta_log/", "_delta_log.restoring/", 1)
        copy_file(folder / file.path, root / name / path)
    sync_tree(root / name)
    (root / name / "_delta_log.restoring").rename(root / name / "_delta_log")
    sync_tree(root / name)


def restore_postgres(folder: Path, manifest: Manifest, store: AnyStore, replace: bool, say: Said) -> Result:
    """Restore a dump with pg_restore; the schema before goes when all is well.

    Raises UsageError for a schema that has rows, unless `replace`, for another schema's name and for a server or
    programs that are too old.
    """
    from tickerplant.stores.postgres import PostgresStore
    from tickerplant.stores.postgres_backup import fingerprints
    from tickerplant.stores.postgres_restore import Source, check_target, drop_schema, has_rows, restore

    assert isinstance(store, PostgresStore)
    info = manifest.store
    source = Source(folder / DUMP, info.schema, info.server, info.dumped_by, info.timescaledb, info.is_whole)
    check_target(store, source)
    if not replace and has_rows(store):
        raise _refuse(f"{store.url}, schema {info.schema}")
    say("pg_restore")
    aside = restore(store, source)
    say("counting the rows restored")
    tables = _results(manifest, fingerprints(store))
    if aside is not None and all(t.ok for t in tables):
        drop_schema(store, aside)
        aside = None
    return tables, (f"schema {aside}",) if aside else ()
