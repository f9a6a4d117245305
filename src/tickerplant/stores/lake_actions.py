"""What stands in a Delta log: actions, the commits made of them, and the state they add up to.

The protocol: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from tickerplant.stores.lake_schema import SESSION

NOTE = "tickerplant"
"""The parameter of a commit that holds what we note about it."""

Value = str | int | float | bool | None


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """Statistics of a file as the protocol writes them; bounds of some columns only."""

    num_records: int = 0
    min_values: dict[str, Value] = {}
    max_values: dict[str, Value] = {}


class File(msgspec.Struct, frozen=True):
    """A data file; `path` is relative to the table's folder, `session` an ISO date or None (not partitioned)."""

    path: str
    size: int
    session: str | None
    stats: Stats

    @property
    def is_sorted(self) -> bool:
        """Whether `maintain` wrote it."""
        return self.path.rpartition("/")[2].startswith("sorted-")


class Add(msgspec.Struct, rename="camel"):
    """A file that is added."""

    path: str
    size: int
    partition_values: dict[str, str | None] = {}
    modification_time: int = 0
    data_change: bool = True
    stats: str | None = None


class Remove(msgspec.Struct, rename="camel"):
    """A file that is removed; its bytes stay until a vacuum."""

    path: str
    deletion_timestamp: int = 0
    data_change: bool = True
    extended_file_metadata: bool = True
    partition_values: dict[str, str | None] | None = None
    size: int | None = None


class Transaction(msgspec.Struct, rename="camel"):
    """The version an application (a partition of the log) has reached."""

    app_id: str
    version: int
    last_updated: int | None = None


class Info(msgspec.Struct, rename="camel"):
    """When and by whom."""

    timestamp: int = 0
    operation: str = "WRITE"
    operation_parameters: dict[str, str] = {}
    engine_info: str = "tickerplant"


class Protocol(msgspec.Struct, rename="camel"):
    """What a reader and a writer must understand."""

    min_reader_version: int
    min_writer_version: int


class MetaData(msgspec.Struct, rename="camel"):
    """The table's configuration."""

    configuration: dict[str, str | None] = {}


class Action(msgspec.Struct, rename="camel", omit_defaults=True):
    """One line of a commit."""

    commit_info: Info | None = None
    protocol: Protocol | None = None
    meta_data: MetaData | None = None
    txn: Transaction | None = None
    add: Add | None = None
    remove: Remove | None = None


decode_action = msgspec.json.Decoder(Action).decode
_decode_stats = msgspec.json.Decoder(Stats).decode


class Commit(msgspec.Struct, frozen=True):
    """What one version changed. `timestamp` is milliseconds UTC."""

    version: int
    timestamp: int
    added: list[File]
    removed: list[str]
    transactions: dict[str, int] = {}
    data_change: bool = True
    """False when rows only moved to other files."""


@dataclass
class State:
    """A table at one version; -1 is a table that does not exist."""

    version: int = -1
    timestamp: int = 0
    files: dict[str, File] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)

    def apply(self, commit: Commit) -> None:
        """Move on to the next version."""
        for path in commit.removed:
            self.files.pop(path, None)
        self.files.update((file.path, file) for file in commit.added)
        self.transactions.update(commit.transactions)
        self.version, self.timestamp = commit.version, max(self.timestamp, commit.timestamp)


def file_of(add: Add) -> File:
    """The data file that an add action names."""
    stats = _decode_stats(add.stats) if add.stats else Stats()
    return File(add.path, add.size, add.partition_values.get(SESSION), stats)


def actions_of(
    added: Sequence[File],
    removed: Sequence[File],
    transaction: tuple[str, int, int] | None,
    data_change: bool,
    now: int,
    note: str | None = None,
) -> list[Action]:
    """The actions of one commit, as they stand in its file. `now` is milliseconds UTC."""
    told = {"mode": "Overwrite" if removed else "Append"} | ({NOTE: note} if note is not None else {})
    found = [Action(commit_info=Info(now, "WRITE" if data_change else "OPTIMIZE", told))]
    if transaction:
        found.append(Action(txn=Transaction(transaction[0], transaction[2], now)))
    for file in removed:
        values = _partition_values(file)
        found.append(Action(remove=Remove(file.path, now, data_change, True, values, file.size)))
    for file in added:
        stats = msgspec.json.encode(file.stats).decode()
        found.append(Action(add=Add(file.path, file.size, _partition_values(file), now, data_change, stats)))
    return found


def _partition_values(file: File) -> dict[str, str | None]:
    return {} if file.session is None else {SESSION: file.session}
