"""Restore: a backup's store and log into new places, held against what the backup says it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from tickerplant.errors import Fatal, UsageError
from tickerplant.jobs.backup_files import Said, problems
from tickerplant.jobs.backup_manifest import LAKE, Manifest, find, read_manifest
from tickerplant.jobs.restore_log import SegmentResult, restore_log, segment_problems
from tickerplant.jobs.restore_store import TableResult, restore_lake, restore_postgres
from tickerplant.logs import AnyLog
from tickerplant.logs.files import FilesLog
from tickerplant.stores import AnyStore
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import TABLES

log_lines = structlog.get_logger()


@dataclass(frozen=True)
class Restored:
    """What a restore, or a check, found. `problems` are the backup's own files that are damaged, with the reason.

    `kept_aside` is where what was replaced is still to be found, `beyond_log` the partitions of which the log does
    not reach the store's position.
    """

    folder: str
    manifest: Manifest
    problems: dict[str, str]
    tables: tuple[TableResult, ...] = ()
    segments: tuple[SegmentResult, ...] = ()
    kept_aside: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything is as the backup says."""
        return not self.problems and all(t.ok for t in self.tables) and all(s.ok for s in self.segments)


def check(source: Path, say: Said = lambda text: None) -> Restored:
    """Read every file of a backup (or of the newest one in a folder) and compare; writes nothing."""
    began, folder = time.monotonic(), find(source)
    manifest = read_manifest(folder)
    wrong = dict(problems(folder, list(manifest.files), say))
    return Restored(str(folder), manifest, wrong, seconds=time.monotonic() - began)


def restore(
    source: Path,
    log: AnyLog | None,
    store: AnyStore | None,
    *,
    replace: bool = False,
    say: Said = lambda text: None,
) -> Restored:
    """Restore a backup (or the newest one in a folder) into a store and a log, either of which may be None.

    The backup is checked first, and nothing is written when a file of it is damaged. Raises UsageError for a store of
    another kind, for one that has rows and for a log that holds other bytes, unless `replace`; Busy while a
    loader or a capture works there. Afterwards `load` goes on from the store's positions.
    """
    began = time.monotonic()
    if log is not None and not isinstance(log, FilesLog):
        raise UsageError(
            f"log {log.url}: expected a folder or a bucket to restore into, was a stream; do choose --log or --only"
        )
    checked = check(source, say)
    folder, manifest = Path(checked.folder), checked.manifest
    if store is not None:
        _fits(store, manifest)
    if not checked.ok:
        return checked
    differing = segment_problems(folder, manifest, log) if log is not None else {}
    if differing and not (replace and log is not None and log.is_here):
        name, reason = next(iter(differing.items()))
        raise UsageError(
            f"log {log.url if log else ''}: expected no segments, or the backup's and what came after, was another "
            f"{name} ({reason}); do choose another place, or in a folder --replace (what is there is kept aside)"
        )
    with ExitStack() as owned, _disk_named():
        if store is not None:
            for name in _leases(manifest, log):
                owned.enter_context(store.loading(name, wait_s=0))
        tables, aside = _store(folder, manifest, store, replace, say) if store is not None else ((), ())
        segments, log_aside = restore_log(folder, manifest, log, bool(differing), say) if log is not None else ((), ())
    done = Restored(checked.folder, manifest, {}, tables, segments, (*aside, *log_aside), time.monotonic() - began)
    log_lines.info("restored", folder=checked.folder, ok=done.ok)
    return done


def _leases(manifest: Manifest, log: FilesLog | None) -> list[str]:
    """What nobody else may own meanwhile: loading of each partition, and (by their leases' names) `maintain`."""
    partitions = {*manifest.positions, *(log.partitions() if log is not None else ())}
    return ["maintain", "_maintain", *sorted(partitions)]


@contextmanager
def _disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Fatal(f"restore: expected to read and write files, was {error}; do make room and use --replace") from None


def _fits(store: AnyStore, manifest: Manifest) -> None:
    unknown = sorted(set(manifest.tables) - set(TABLES))
    if unknown:
        raise UsageError(f"restore: expected tables that this version knows, was {unknown}; do upgrade tickerplant")
    kind = LAKE if isinstance(store, LakeStore) else "postgres"
    if kind != manifest.store.kind:
        raise UsageError(
            f"{store.url}: expected a store of the backup's kind, {manifest.store.kind}, was {kind}; do restore the "
            "log with --only log, and load it into the new store with `tickerplant load`"
        )


def _store(
    folder: Path, manifest: Manifest, store: AnyStore, replace: bool, say: Said
) -> tuple[tuple[TableResult, ...], tuple[str, ...]]:
    put = restore_lake if isinstance(store, LakeStore) else restore_postgres
    return put(folder, manifest, store, replace, say)
