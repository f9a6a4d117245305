"""Backup: store and log as of now, beside running captures and loaders, into a folder that says what it holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog

from tickerplant.errors import Fatal, UsageError
from tickerplant.fingerprint import Fingerprint
from tickerplant.jobs.backup_files import Said, Target, problems, stored, sync, sync_tree
from tickerplant.jobs.backup_manifest import (
    DUMP,
    FORMAT,
    LAKE,
    LOG,
    MANIFEST,
    UNFINISHED,
    Manifest,
    StoredFile,
    StoreInfo,
    TableCount,
    encode_manifest,
    finished,
    next_name,
    read_manifest,
    unfinished,
)
from tickerplant.jobs.joblog import LEDGERS
from tickerplant.logs import AnyLog
from tickerplant.logs.backup import parts
from tickerplant.logs.files import FilesLog
from tickerplant.logs.layout import write_whole
from tickerplant.model import Position, position
from tickerplant.stores import AnyStore
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lease import FileLease

log_lines = structlog.get_logger()

_ATTEMPTS = 5


@dataclass(frozen=True)
class Backup:
    """A finished backup: every file was read back and is what was copied. `linked_bytes` are shared with the one
    before, `removed` the names of backups beyond those to keep."""

    folder: str
    manifest: Manifest
    copied_bytes: int
    linked_bytes: int
    removed: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Rows:
    """The store's part of a backup."""

    info: StoreInfo
    tables: dict[str, Fingerprint]
    positions: dict[str, int]
    files: list[StoredFile]


def of_segments(log: AnyLog) -> FilesLog:
    """A log of segments. Raises UsageError for any other."""
    if not isinstance(log, FilesLog):
        raise UsageError(f"log {log.url}: expected a log in a folder or a bucket, was in a stream")
    return log


def backup(log: AnyLog, store: AnyStore, to: Path, *, keep: int | None = None, say: Said = lambda text: None) -> Backup:
    """Back up a store and its log into a new folder of `to`, named by the time; at most `keep` stay there.

    The store is taken at one moment and the log after it, so every position of the store is in the log's copy.
    Captures, loaders and `maintain` go on. Files that never change are linked from the backup before in `to`.
    Raises Busy while another backup into `to` runs, UsageError for a store that cannot be dumped, Fatal when what is
    read back differs.
    """
    began = time.monotonic()
    source = of_segments(log)
    to.mkdir(parents=True, exist_ok=True)
    with FileLease(to / ".lock", f"backing up into {to}", 0):
        for left in unfinished(to):
            log_lines.info("removing an interrupted backup", folder=str(left))
            shutil.rmtree(left)
        name = next_name(to, datetime.now(UTC))
        target = _target(to, name)
        with _removed_on_error(target.folder):
            manifest = _write(source, store, target, say)
            os.rename(target.folder, to / name)
            sync(to)
        removed = _remove_old(to, keep)
    log_lines.info("backed up", folder=str(to / name), copied=target.copied_bytes, linked=target.linked_bytes)
    seconds = time.monotonic() - began
    return Backup(str(to / name), manifest, target.copied_bytes, target.linked_bytes, removed, seconds)


@contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    """Leave nothing of a backup that failed. Raises Fatal for a disk that refuses."""
    try:
        yield
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Fatal(f"backup: expected to read and write files, was {error}; nothing of it is left") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _target(to: Path, name: str) -> Target:
    folder = to / (name + UNFINISHED)
    folder.mkdir()
    for before in reversed(finished(to)):
        return Target(folder, before, {f.path: f for f in read_manifest(before).files})
    return Target(folder)


def _remove_old(to: Path, keep: int | None) -> tuple[str, ...]:
    old = finished(to)[:-keep] if keep else []
    for folder in old:
        # Without its manifest it is no backup any more, whatever of it is left.
        (folder / MANIFEST).unlink()
        shutil.rmtree(folder)
    return tuple(folder.name for folder in old)


def _write(log: FilesLog, store: AnyStore, target: Target, say: Said) -> Manifest:
    taken_at = _now()
    rows = _lake(store, target, say) if isinstance(store, LakeStore) else _postgres(store, target, say)
    log_files, ends = _log(log, target, rows.positions, say)
    beyond = _beyond(rows.positions, ends)
    if beyond:
        log_lines.warning("the log does not reach the store's positions", log=log.url, partitions=", ".join(beyond))
    files = (*rows.files, *log_files)
    sync_tree(target.folder)
    _read_back(target, list(files), say)
    tables = {name: TableCount.of(found) for name, found in rows.tables.items()}
    manifest = Manifest(
        format=FORMAT,
        tickerplant=version("tickerplant"),
        taken_at=taken_at,
        finished_at=_now(),
        store=rows.info,
        log=log.url,
        tables=tables,
        positions=rows.positions,
        beyond_log=beyond,
        files=files,
    )
    write_whole(target.folder / MANIFEST, encode_manifest(manifest))
    return manifest


def _beyond(positions: Mapping[str, int], ends: Mapping[str, int]) -> tuple[str, ...]:
    logged = (p for p in positions if not p.startswith(LEDGERS))
    return tuple(sorted(p for p in logged if positions[p] > ends.get(p, 0)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_back(target: Target, files: list[StoredFile], say: Said) -> None:
    wrong = list(problems(target.folder, [f for f in files if f.path not in target.linked], say))
    if wrong:
        first, found = wrong[0]
        raise Fatal(
            f"backup: expected to read back what was written, {len(wrong)} files differ, such as {first}: {found}"
        )


def _log(log: FilesLog, target: Target, reached: dict[str, int], say: Said) -> tuple[list[StoredFile], dict[str, int]]:
    """Copies of all segments, and the position that the copy of each partition ends at."""
    files = []
    for partition in log.partitions():
        say(f"copying the log, {partition}")
        for part in parts(log, partition, Position(reached.get(partition, 0))):
            path = f"{LOG}/{partition}/{part.name}"
            linked = target.link(path, part.size_bytes, part.modified_ns) if part.is_sealed else None
            if linked is None:
                with part.opened() as fd:
                    linked = target.copy(path, fd, part.size_bytes, part.modified_ns)
            files.append(linked)
    copied = FilesLog(target.folder / LOG)
    ends = {p: copied.segments(p)[-1] for p in copied.partitions() if copied.segments(p)}
    return files, {p: position(end.number, end.size_bytes) for p, end in ends.items()}


def _lake(store: LakeStore, target: Target, say: Said) -> _Rows:
    from tickerplant.jobs.backup_lake import copy_lake
    from tickerplant.stores.lake_backup import snapshot

    if not store.tables():
        raise UsageError(f"{store.url}: expected a lake with tables, was none")
    for left in reversed(range(_ATTEMPTS)):
        states = snapshot(store)
        try:
            files, tables = copy_lake(store.root, states, target, say)
        except FileNotFoundError as gone:
            # A vacuum with a very short `keep` came in between: begin again with what is there now.
            log_lines.info("a file went away, taking a new snapshot", file=str(gone.filename or gone))
            shutil.rmtree(target.folder / LAKE, ignore_errors=True)
            if not left:
                raise Fatal(f"{store.url}: expected files to stay while they are copied, was {gone}") from None
            continue
        reached = next((s.transactions for s in states if s.table.name == "positions"), {})
        return _Rows(StoreInfo(LAKE, store.url), tables, reached, files)
    raise AssertionError


def _postgres(store: AnyStore, target: Target, say: Said) -> _Rows:
    from tickerplant.stores.postgres import PostgresStore
    from tickerplant.stores.postgres_backup import check_dump, dump

    assert isinstance(store, PostgresStore)
    say("pg_dump, and counting the rows of its snapshot")
    path = target.folder / DUMP
    found = dump(store, path)
    file = stored(target.folder, DUMP)
    target.copied_bytes += file.size
    say("reading the dump")
    check_dump(path, found.dumped_by)
    info = StoreInfo(
        kind="postgres",
        url=store.url,
        schema=store.options.schema,
        server=found.server,
        timescaledb=found.timescaledb,
        is_whole=found.is_whole,
        layout=found.layout,
        dumped_by=found.dumped_by,
    )
    return _Rows(info, found.tables, found.positions, [file])
