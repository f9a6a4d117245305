"""What of a lake to copy for a backup while loaders and `maintain` work on it, and the Delta log of such a copy."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tickerplant.fingerprint import Fingerprint, every_column, row_hashes
from tickerplant.schema import Table
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_files import read_groups
from tickerplant.stores.lake_log import RETIRED, TableLog
from tickerplant.stores.object_path import Folder, map_in
from tickerplant.tables import POSITIONS, TABLES

_AGREE_S, _PAUSE_S = 1.0, 0.01


@dataclass(frozen=True)
class TableState:
    """A table at one version: its data files, and how far each partition of the log is in it."""

    table: Table
    version: int
    files: tuple[File, ...]
    transactions: dict[str, int]


def snapshot(store: LakeStore, agree_s: float = _AGREE_S) -> list[TableState]:
    """One version of each table that exists, `positions` first, so that every row before a position is there.

    Tables that hold more than their position (a loader was between two commits) are looked at again, for `agree_s`
    at most. Were they still ahead, as only several loaders that never pause could leave them, the copy would have
    cuts like a lake whose loader was killed there, and loading goes on from it in the same way.
    """
    deadline = time.monotonic() + agree_s
    others = [store.table_log(name) for name in TABLES if name != POSITIONS.name]
    while True:
        states = [_state(store.table_log(POSITIONS.name)), *map_in(store.root, _state, others)]
        if _agree(states) or time.monotonic() > deadline:
            return [s for s in states if s.version >= 0]
        time.sleep(_PAUSE_S)


def _state(log: TableLog) -> TableState:
    state = log.refresh()
    return TableState(log.table, state.version, tuple(state.files.values()), dict(state.transactions))


def _agree(states: list[TableState]) -> bool:
    """Whether no table is ahead of `positions`, the first."""
    reached = states[0].transactions
    found = ((name, at) for state in states for name, at in state.transactions.items() if name != RETIRED)
    return all(at <= reached.get(name, 0) for name, at in found)


def write_log(root: Path, state: TableState) -> None:
    """Make the Delta log of a copied table: version 1 names its files; history stays behind."""
    log = TableLog(root, state.table)
    log.create()
    log.commit(state.files)
    for partition, at in state.transactions.items():
        log.commit((), (), (partition, 0, at))
    shutil.rmtree(root / "_leases")


def file_fingerprint(folder: Path, table: Table, file: File) -> Fingerprint:
    """Count and checksum of every column of a data file. `folder` is the table's."""
    return _fingerprint(folder, table, [file])


def fingerprints(store: LakeStore) -> dict[str, Fingerprint]:
    """Count and checksum, over every column, of each table's newest version."""
    logs = [store.table_log(name) for name in store.tables()]
    return {log.table.name: _fingerprint(log.folder, log.table, log.files()) for log in logs}


def _fingerprint(folder: Folder, table: Table, files: list[File]) -> Fingerprint:
    whole, total = every_column(table), Fingerprint()
    for group in read_groups(folder, table, files):
        for rows in group.combine_chunks().to_batches():
            total += Fingerprint.of_hashes(row_hashes(whole, rows))
    return total
