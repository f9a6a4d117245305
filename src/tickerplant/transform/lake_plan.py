"""What was touched in the lake since a mart was built: read from the Delta logs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from datetime import date

import pyarrow.compute as pc

from tickerplant.stores.lake_actions import File, State
from tickerplant.stores.lake_dataset import dataset
from tickerplant.stores.lake_history import commits_between
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.lake_marts import Note
from tickerplant.stores.lake_schema import SESSION, is_partitioned
from tickerplant.transform.request import Known, Touched

MANY = 400
"""More sessions than this are all sessions."""


def known(note: Note, names: Container[str], touched_since: Callable[[str, int], Touched]) -> Known:
    """What decides how a mart is built, told by the note of its last commit and what was touched in tables since."""
    found = {name: touched_since(name, version) for name, version in note.tables.items() if name in names}
    return Known(note.signature, note.marts, found)


def touched(log: TableLog, since: int, state: State) -> Touched:
    """The sessions of which commits after `since` added or removed rows; those of retention do not count."""
    if state.version == since:
        return ()
    commits = commits_between(log, since, state.version)
    if commits is None:
        return "all"
    added = [file for commit in commits if commit.data_change for file in commit.added]
    found = _sessions(log, added)
    return "all" if found is None or len(found) > MANY else tuple(sorted(found))


def _sessions(log: TableLog, files: Iterable[File]) -> set[str] | None:
    if is_partitioned(log.table):
        return {str(file.session) for file in files}
    if SESSION not in log.table.schema.names:
        return None if list(files) else set()
    found: set[str] = set()
    for file in files:
        try:
            column = dataset(log.folder, [file], log.table.schema).to_table([SESSION]).column(0)
        except FileNotFoundError:
            return None
        found.update(day.isoformat() for day in pc.unique(column).to_pylist() if isinstance(day, date))
    return found
