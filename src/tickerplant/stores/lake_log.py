"""The transaction log of one Delta table: its present state, and commits to it.

`deltalake` creates tables and writes checkpoints; single commits are made here, because its commit lists the whole
log folder (measured: 6 ms among the first 300, 17 ms at 1,200, and there are 57,600 in a session) and because its
commit of added and removed files does not notice that another commit removed the same files
(docs/decisions/0061-lake-commits.md).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tickerplant.errors import Fatal
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import (
    Action,
    Add,
    Commit,
    File,
    MetaData,
    Protocol,
    State,
    actions_of,
    decode_action,
    file_of,
)
from tickerplant.stores.lake_schema import SESSION, delta_schema, is_partitioned
from tickerplant.stores.object_path import Folder, create_whole, open_parquet, options_of, sync_path

CHECKPOINT_EVERY = 100
_RECENT_S = 60.0
RETIRED = "_retired"
"""The application whose version counts the rows that retention dropped."""

_NEITHER = Add("", 0, data_change=False)
_PROTOCOL = (1, 2)
_VERSION_KEY = "tickerplant.version"
_CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


class Moved(Exception):
    """The table changed in a way that makes a prepared commit wrong; look again and prepare a new one."""


class Raced(Moved):
    """Another commit came between; what was read has to be read again."""


class TableLog:
    """The log of one table, kept at hand: `refresh` reads only what is new. Threads may share it."""

    def __init__(self, root: Folder, table: Table) -> None:
        self.table = table
        self.folder = root / table.name
        self.log_folder = self.folder / "_delta_log"
        self.state = State()
        self._lock_path = root / "_leases" / f"{table.name}.commit" if isinstance(root, Path) else None
        self._looked_at = 0.0
        self._mutex = threading.RLock()
        self._is_locked = False

    def refresh(self) -> State:
        """Read the commits made since; O(new commits). Raises Fatal for a table this version cannot handle."""
        with self._mutex:
            if self.state.version < 0 or self._is_behind():
                self._restart()
            self._looked_at = time.time()
            return self.state

    def _is_behind(self) -> bool:
        """Catch up; whether commits after ours were packed away meanwhile. In a bucket that takes a day at least."""
        version = self._catch_up()
        is_recent = self._lock_path is None and time.time() - self._looked_at < _RECENT_S
        return not is_recent and version < self._hint()

    def _catch_up(self) -> int:
        while (commit := self.read_commit(self.state.version + 1)) is not None:
            self.state.apply(commit)
        return self.state.version

    def _restart(self) -> None:
        """Read from the last checkpoint: for a new handle, and for one whose next commits were packed away."""
        hint = self._hint()
        self.state = self._from_checkpoint(hint) if hint >= 0 else State()
        self._catch_up()

    def files(self) -> list[File]:
        """The data files of the newest version, as one consistent list."""
        with self._mutex:
            return list(self.refresh().files.values())

    def create(self) -> None:
        """Make the table when it is not there; idempotent and safe against other processes."""
        if self.refresh().version >= 0:
            return
        from deltalake.exceptions import DeltaError

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._make()
        except DeltaError:
            # Another process made it meanwhile; whoever finds none has met another failure.
            if self.refresh().version < 0:
                raise
            return
        sync_path(self.log_folder / _name(0))
        sync_path(self.log_folder)
        sync_path(self.folder.parent)
        self.refresh()

    def _make(self) -> None:
        from deltalake import DeltaTable

        DeltaTable.create(
            str(self.folder),
            delta_schema(self.table),
            mode="ignore",
            partition_by=[SESSION] if is_partitioned(self.table) else None,
            description=self.table.doc,
            configuration={**_CONFIGURATION, _VERSION_KEY: str(self.table.version)},
            raise_if_key_not_exists=False,
            storage_options=options_of(self.folder),
        )

    @contextmanager
    def exclusive(self) -> Iterator[State]:
        """The newest state, while no other process commits through this class; reentrant, for short sections.

        In a bucket there is no lock: the state is the newest known, and a commit may find another one before it.
        """
        with self._mutex:
            if self._is_locked:
                yield self.state
                return
            if self._lock_path is None:
                yield self.state if self.state.version >= 0 else self.refresh()
                return
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._is_locked = True
                yield self.refresh()
            finally:
                self._is_locked = False
                os.close(descriptor)

    def commit(
        self,
        added: Sequence[File],
        removed: Sequence[File] = (),
        transaction: tuple[str, int, int] | None = None,
        *,
        data_change: bool = True,
        note: str | None = None,
        head: bytes = b"",
        after: int | None = None,
    ) -> None:
        """Add and remove files in one version, durably.

        `transaction` is (application, its version expected now, its version then). Raises Moved, and changes nothing,
        when the application's version is another one or a removed file is no longer there. A checkpoint follows when
        due. `note` is kept in the commit, `head` is one more action (JSON) that comes first. With `after` it is the
        version after that one, or Raced is raised.
        """
        with self.exclusive() as state:
            while True:
                is_raced = after is not None and state.version != after
                _check(state, () if is_raced else removed, transaction)
                if is_raced:
                    raise Raced(f"version {state.version} of {self.table.name} came between")
                now = max(time.time_ns() // 1_000_000, state.timestamp)
                lines = [*map(msgspec.json.encode, actions_of(added, removed, transaction, data_change, now, note))]
                data = b"\n".join([head, *lines] if head else lines)
                if create_whole(self.log_folder / _name(state.version + 1), data):
                    break
                state = self.refresh()
            app = {transaction[0]: transaction[2]} if transaction else {}
            state.apply(Commit(state.version + 1, now, list(added), [f.path for f in removed], app))
        if state.version % CHECKPOINT_EVERY == 0:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write a checkpoint of the newest version, from which readers start."""
        from deltalake import DeltaTable

        DeltaTable(str(self.folder), storage_options=options_of(self.folder)).create_checkpoint()

    def read_commit(self, version: int) -> Commit | None:
        """What a version changed, None when the log folder does not hold it (not yet, or not any more)."""
        try:
            data = (self.log_folder / _name(version)).read_bytes()
        except FileNotFoundError:
            return None
        return self._commit(version, data)

    def _commit(self, version: int, data: bytes) -> Commit:
        commit = Commit(version, 0, [], [], {})
        timestamp, changes = 0, False
        for line in data.splitlines():
            action = decode_action(line)
            changes = changes or bool((action.add or action.remove or _NEITHER).data_change)
            if action.add:
                commit.added.append(file_of(action.add))
            elif action.remove:
                commit.removed.append(action.remove.path)
            elif action.txn:
                commit.transactions[action.txn.app_id] = action.txn.version
            elif action.commit_info:
                timestamp = action.commit_info.timestamp
            else:
                self._accept(action)
        return msgspec.structs.replace(commit, timestamp=timestamp, data_change=changes)

    def _accept(self, action: Action) -> None:
        where = f"lake table {self.table.name}"
        if action.protocol:
            found = (action.protocol.min_reader_version, action.protocol.min_writer_version)
            if found[0] > _PROTOCOL[0] or found[1] > _PROTOCOL[1]:
                raise Fatal(f"{where}: expected a Delta protocol up to {_PROTOCOL}, was {found}; do undo the upgrade")
        if action.meta_data:
            version = action.meta_data.configuration.get(_VERSION_KEY)
            if version != str(self.table.version):
                raise Fatal(
                    f"{where}: expected definition version {self.table.version}, was {version or 'none'}; "
                    "do load the log into a new lake"
                )

    def _hint(self) -> int:
        with suppress(FileNotFoundError):
            data = (self.log_folder / "_last_checkpoint").read_bytes()
            return int(msgspec.json.decode(data)["version"])
        return -1

    def _from_checkpoint(self, version: int) -> State:
        path = self.log_folder / f"{version:020d}.checkpoint.parquet"
        state = State(version)
        parquet = open_parquet(path)
        names = [n for n in ("add", "txn", "protocol", "metaData") if n in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(columns=names):
            for row in batch.to_pylist():
                self._take(state, row)
        last = self.read_commit(version)
        state.timestamp = last.timestamp if last else int(path.stat().st_mtime * 1000)
        return state

    def _take(self, state: State, row: Mapping[str, Any]) -> None:
        add, txn, protocol, metadata = (row.get(n) or {} for n in ("add", "txn", "protocol", "metaData"))
        if add.get("path"):
            values = dict(add["partitionValues"] or ())
            file = file_of(Add(add["path"], add["size"], values, stats=add.get("stats")))
            state.files[file.path] = file
        elif txn.get("appId"):
            state.transactions[txn["appId"]] = txn["version"]
        elif protocol.get("minReaderVersion"):
            versions = Protocol(protocol["minReaderVersion"], protocol["minWriterVersion"])
            self._accept(Action(protocol=versions))
        elif metadata.get("configuration"):
            self._accept(Action(meta_data=MetaData(dict(metadata["configuration"]))))


def _name(version: int) -> str:
    return f"{version:020d}.json"


def _check(state: State, removed: Sequence[File], transaction: tuple[str, int, int] | None) -> None:
    if transaction and state.transactions.get(transaction[0], 0) != transaction[1]:
        raise Moved(f"{transaction[0]} is at {state.transactions.get(transaction[0], 0)}, not at {transaction[1]}")
    gone = [file.path for file in removed if file.path not in state.files]
    if gone:
        raise Moved(f"{len(gone)} files were replaced meanwhile, such as {gone[0]}")
