"""What a backup holds: one JSON file, written last, so that a folder with it is a whole backup."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from tickerplant.errors import BadData, UsageError
from tickerplant.fingerprint import Fingerprint

MANIFEST = "manifest.json"
FORMAT = 1
UNFINISHED = ".unfinished"
LAKE, LOG, DUMP = "lake", "log", "postgres.dump"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


@dataclass(frozen=True)
class StoredFile:
    """A file of a backup. `modified_ns` is the original's; `rows` and `checksum` (hexadecimal) a lake's data file's."""

    path: str
    size: int
    sha256: str
    modified_ns: int = 0
    rows: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class TableCount:
    """Rows of a table and their checksum over every column, 16 hexadecimal digits (see fingerprint.py)."""

    count: int
    checksum: str

    @classmethod
    def of(cls, found: Fingerprint) -> TableCount:
        """The same as text."""
        return cls(found.count, f"{found.checksum:016x}")


@dataclass(frozen=True)
class StoreInfo:
    """Where the rows came from. `url` holds no password. What follows `url` is PostgreSQL's: see `Dumped`."""

    kind: str
    url: str
    schema: str = ""
    server: int = 0
    timescaledb: str = ""
    is_whole: bool = False
    layout: str = ""
    dumped_by: int = 0


@dataclass(frozen=True)
class Manifest:
    """A backup. Times are ISO, UTC; `taken_at` is the moment of the store's snapshot, the log's is a little later.

    `positions` is how far each partition of the log is in the store, `beyond_log` the partitions of which the log
    that was copied does not reach so far.
    """

    format: int
    tickerplant: str
    taken_at: str
    finished_at: str
    store: StoreInfo
    log: str
    tables: dict[str, TableCount]
    positions: dict[str, int]
    beyond_log: tuple[str, ...] = ()
    files: tuple[StoredFile, ...] = field(default=())

    def files_of(self, part: str) -> list[StoredFile]:
        """The files of the lake, of the log, or the dump."""
        return [f for f in self.files if f.path == part or f.path.startswith(part + "/")]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises UsageError when there is none, BadData when it cannot be read."""
    try:
        data = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: expected a finished backup, was a folder without {MANIFEST}") from None
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadData(f"{folder / MANIFEST}: expected a backup's manifest, was damaged ({error})") from None
    if found.format != FORMAT:
        raise UsageError(f"{folder}: expected a backup of format {FORMAT}, was {found.format}; do upgrade tickerplant")
    return found


def encode_manifest(manifest: Manifest) -> bytes:
    """A manifest as it stands in its file."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def finished(folder: Path) -> list[Path]:
    """The finished backups in a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name) and (p / MANIFEST).is_file()]
    return sorted(found, key=lambda p: p.name)


def next_name(folder: Path, now: datetime) -> str:
    """The name of a new backup: the time, but later than every backup there, so that names sort by age."""
    there = [p.name for p in finished(folder)]
    while True:
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
        if not there or name > there[-1]:
            return name
        now = max(now + timedelta(milliseconds=1), datetime.strptime(there[-1], "%Y%m%dT%H%M%S.%f%z"))


def unfinished(folder: Path) -> list[Path]:
    """What backups that were interrupted left in a folder."""
    return [p for p in folder.iterdir() if p.name.endswith(UNFINISHED) and _NAME.fullmatch(p.name[: -len(UNFINISHED)])]


def find(folder: Path) -> Path:
    """The backup that a folder is, or the newest finished one in it. Raises UsageError when there is none."""
    if (folder / MANIFEST).is_file():
        return folder
    inside = finished(folder)
    if not inside:
        raise UsageError(f"--from: expected a backup, or a folder with finished backups, was {folder}")
    return inside[-1]
