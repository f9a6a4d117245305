"""The lake's part of a backup: the data files that one version of each table names, and a Delta log that names them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tickerplant.fingerprint import Fingerprint
from tickerplant.jobs.backup_files import Said, Target, stored, sync
from tickerplant.jobs.backup_manifest import LAKE, StoredFile
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_backup import TableState, file_fingerprint, write_log


def copy_lake(
    root: Path, states: list[TableState], target: Target, say: Said
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


def _data_file(folder: Path, table: Table, file: File, target: Target) -> StoredFile:
    """A copy of a data file with its fingerprint. The name of a data file is never used again, so it may be linked."""
    path = f"{LAKE}/{table.name}/{file.path}"
    with (folder / file.path).open("rb") as source:
        found = os.fstat(source.fileno())
        linked = target.link(path, found.st_size, found.st_mtime_ns)
        if linked is not None:
            return linked
        copied = target.copy(path, source.fileno(), found.st_size, found.st_mtime_ns)
    rows = file_fingerprint(target.folder / LAKE / table.name, table, file)
    return replace(copied, rows=rows.count, checksum=f"{rows.checksum:016x}")


def _log_files(folder: Path, path: str) -> list[StoredFile]:
    found = [stored(folder, f"{path}/{p.name}") for p in sorted((folder / path).iterdir()) if p.is_file()]
    sync(folder / path)
    return found
