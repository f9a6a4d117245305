"""The lake's part of a backup: the data files that one version of each table names, and a Delta log that names them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

from tickerplant.errors import Fatal
from tickerplant.fingerprint import Fingerprint
from tickerplant.jobs.backup_files import Said, Target, stored, sync
from tickerplant.jobs.backup_manifest import LAKE, StoredFile
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_backup import TableState, file_fingerprint, write_log
from tickerplant.stores.object_path import Folder, ObjectPath


def copy_lake(
    root: Folder, states: list[TableState], target: Target, say: Said
) -> tuple[list[StoredFile], dict[str, Fingerprint]]:
    """Copy tables; returns their files, and count and checksum of each table as the copy holds them.

    Raises FileNotFoundError when a file was deleted meanwhile.
    """
    files: list[StoredFile] = []
    tables: dict[str, Fingerprint] = {}
    for state in states:
        name = state.table.name
        say(f"copying {name}, {len(state.files):,} files")
        copied = [_data_file(root / name, state.table, file, target) for file in state.files]
        tables[name] = sum((Fingerprint(c.rows or 0, int(c.checksum or "0", 16)) for c in copied), Fingerprint())
        write_log(target.folder / LAKE, state)
        files += [*copied, *_log_files(target.folder, f"{LAKE}/{name}/_delta_log")]
    return files, tables


def _data_file(folder: Folder, table: Table, file: File, target: Target) -> StoredFile:
    """A copy of a data file with its fingerprint. The name of a data file is never used again, so it may be linked.

    Raises Fatal when it does not hold as many rows as the lake's log says.
    """
    path, source = f"{LAKE}/{table.name}/{file.path}", folder / file.path
    copied = _from_disk(source, path, target) if isinstance(source, Path) else _from_bucket(source, path, target)
    if path in target.linked:
        return copied
    rows = file_fingerprint(target.folder / LAKE / table.name, table, file)
    if rows.count != file.stats.num_records:
        raise Fatal(f"{source}: expected {file.stats.num_records} rows as the lake's log says, was {rows.count}")
    return replace(copied, rows=rows.count, checksum=f"{rows.checksum:016x}")


def _from_disk(source: Path, path: str, target: Target) -> StoredFile:
    with source.open("rb") as file:
        found = os.fstat(file.fileno())
        linked = target.link(path, found.st_size, found.st_mtime_ns)
        return linked or target.copy(path, file.fileno(), found.st_size, found.st_mtime_ns)


def _from_bucket(source: ObjectPath, path: str, target: Target) -> StoredFile:
    found = source.stat()
    modified_ns = int(found.st_mtime * 1e9)
    linked = target.link(path, found.st_size, modified_ns)
    if linked is not None:
        return linked
    with TemporaryFile(dir=target.folder) as file:
        source.download(file)
        file.flush()
        return target.copy(path, file.fileno(), found.st_size, modified_ns)


def _log_files(folder: Path, path: str) -> list[StoredFile]:
    found = [stored(folder, f"{path}/{p.name}") for p in sorted((folder / path).iterdir()) if p.is_file()]
    sync(folder / path)
    return found
