"""Names of the log's files on disk, and the few file operations that make them durable."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tickerplant.errors import UsageError

RAW, SEALED, UNFINISHED = ".jsonl", ".jsonl.zst", ".jsonl.zst.unfinished"
OWNER = "owner.lock"
SHIPPED = "shipped.json"
"""Beside the segments of a spool: how far they are shipped."""

_SEGMENT = re.compile(r"(\d{10})(\.jsonl(?:\.zst(?:\.unfinished)?)?)")
_PARTITION = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?:\.[A-Za-z0-9_-]+)?")

sync_data = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True)
class Files:
    """The segments of a partition by form. A segment in both forms is read from its raw one."""

    raw: frozenset[int]
    sealed: frozenset[int]
    unfinished: frozenset[int]

    @property
    def numbers(self) -> list[int]:
        """All segments, in order."""
        return sorted(self.raw | self.sealed)


def vendor_and_feed(partition: str) -> tuple[str, str]:
    """Vendor and feed of `vendor.feed[.shard]`. Raises UsageError for another name."""
    found = _PARTITION.fullmatch(partition)
    if found is None:
        raise UsageError(f"log partition: expected a name like alpaca.sip, was {partition!r}")
    return found[1], found[2]


def is_partition(name: str) -> bool:
    """Whether a folder's name is that of a partition."""
    return _PARTITION.fullmatch(name) is not None


def segment_path(folder: Path, number: int, form: str) -> Path:
    """The file of a segment in one form."""
    return folder / f"{number:010d}{form}"


def segment_number(name: str, form: str) -> int | None:
    """The segment that a file's name in one form means; None for any other name."""
    matched = _SEGMENT.fullmatch(name)
    return int(matched[1]) if matched and matched[2] == form else None


def list_files(folder: Path) -> Files:
    """The segments in a partition's folder; none when there is no folder."""
    found: dict[str, set[int]] = {RAW: set(), SEALED: set(), UNFINISHED: set()}
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    for name in names:
        matched = _SEGMENT.fullmatch(name)
        if matched:
            found[matched[2]].add(int(matched[1]))
    return Files(*(frozenset(found[form]) for form in (RAW, SEALED, UNFINISHED)))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(path: Path, data: bytes) -> None:
    """Make a file appear, or be replaced, whole or not at all, durably."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably; nothing when it is there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
