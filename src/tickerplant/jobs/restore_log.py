"""The log's part of a restore: segments put back; those that are there already and go on further stay."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from tickerplant.jobs.backup_files import Said, copy_file, problem, sync, sync_tree
from tickerplant.jobs.backup_manifest import LOG, Manifest, StoredFile
from tickerplant.logs.backup import continues
from tickerplant.logs.files import FilesLog
from tickerplant.logs.layout import list_files, make_folder
from tickerplant.logs.owner import Owner
from tickerplant.logs.sealing import seal


@dataclass(frozen=True)
class SegmentResult:
    """A segment after a restore. `kept` says that it was there already; `problem` is empty when all is well."""

    partition: str
    segment: int
    bytes: int
    kept: bool
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is what the backup holds."""
        return not self.problem


@dataclass(frozen=True)
class _Segment:
    file: StoredFile
    partition: str
    number: int


def _segments(manifest: Manifest) -> list[_Segment]:
    found = []
    for file in manifest.files_of(LOG):
        _, partition, name = file.path.split("/")
        found.append(_Segment(file, partition, int(name.partition(".")[0])))
    return found


def segment_problems(folder: Path, manifest: Manifest, log: FilesLog) -> dict[str, str]:
    """Segments of the log, by path, that are there and do not begin with what the backup's hold."""
    wrong = {}
    for s in _segments(manifest):
        if continues(log.where(s.partition), s.number, folder / LOG / s.partition) is False:
            wrong[f"{s.partition}/{s.number}"] = "its bytes differ"
    return wrong


def restore_log(
    folder: Path, manifest: Manifest, log: FilesLog, move_away: bool, say: Said
) -> tuple[tuple[SegmentResult, ...], tuple[str, ...]]:
    """Copy the segments that are not there; returns each one's state, and where others were moved with `move_away`.

    Those of a log in a bucket go through the spool, as a capture's do. Nothing captured is ever deleted. Raises Busy
    while a capture owns a partition.
    """
    root, segments = log.folder, _segments(manifest)
    with ExitStack() as owned:
        for partition in dict.fromkeys(s.partition for s in segments):
            make_folder(root / partition)
            owner = Owner(root / partition)
            owned.callback(owner.release)
        aside = _move_away(root, {s.partition for s in segments}) if move_away else ()
        done = []
        for s in segments:
            say(f"restoring the log, {s.partition} {s.number}")
            done.append(_put(folder, log, s))
    sync_tree(root)
    if not log.is_here:
        _ship(log, segments, say)
    return tuple(done), aside


def _ship(log: FilesLog, segments: list[_Segment], say: Said) -> None:
    """Seal and ship what the spool holds. What does not reach the bucket waits there for the next capture."""
    for partition in dict.fromkeys(s.partition for s in segments):
        folder, left = log.folder / partition, 0
        for number in sorted(list_files(folder).raw):
            seal(folder, number, Event())
        while (count := len(list_files(folder).numbers)) and count != left:
            say(f"shipping the log, {partition}, {count} segments")
            left = count
            log.writer(partition).close()


def _move_away(root: Path, partitions: set[str]) -> tuple[str, ...]:
    to = root / f"_replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for partition in sorted(partitions):
        make_folder(to / partition)
        for path in (root / partition).glob("*.jsonl*"):
            path.rename(to / partition / path.name)
    return (str(to),)


def _put(folder: Path, log: FilesLog, s: _Segment) -> SegmentResult:
    source, to = folder / s.file.path, log.folder / s.partition / Path(s.file.path).name
    held = continues(log.where(s.partition), s.number, source.parent)
    if held is None:
        temporary = to.with_name(to.name + ".restoring")
        temporary.unlink(missing_ok=True)
        copy_file(source, temporary)
        temporary.rename(to)
        sync(to.parent)
        os.utime(to, ns=(s.file.modified_ns, s.file.modified_ns))
        return SegmentResult(s.partition, s.number, s.file.size, False, problem(to, s.file))
    wrong = "" if held else "expected the backup's bytes first, was another segment"
    return SegmentResult(s.partition, s.number, s.file.size, True, wrong)
