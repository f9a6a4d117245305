"""What stands beside the segments in the spool of a partition: how far it is shipped, and what is in the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec

from tickerplant.errors import Fatal
from tickerplant.logs.layout import RAW, SEALED, SHIPPED, list_files, segment_path, write_whole
from tickerplant.model import Record

_T = TypeVar("_T")
_TROUBLE, _IDENTITY = "trouble.json", "spool.id"


class Shipped(msgspec.Struct, frozen=True):
    """The newest segment that is in the bucket, and with what the partition ended there (without its payload)."""

    segment: int
    last: Record | None
    connection: Record | None


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing is shipped. `since_ns` UTC; `is_refused`: not an outage, a person has to act."""

    reason: str
    since_ns: int
    is_refused: bool


@dataclass(frozen=True)
class Waiting:
    """What of a partition waits on this machine, and why; `limit_bytes` is when to alarm."""

    partition: str
    bytes: int
    segments: int
    limit_bytes: int
    trouble: Trouble | None

    @property
    def is_over(self) -> bool:
        """Whether more waits than allowed."""
        return self.bytes > self.limit_bytes


def spool_folder(root: Path, bucket: str, prefix: str) -> Path:
    """The spool of one log: `<root>/<bucket and prefix, quoted>`."""
    return root / quote(f"{bucket}/{prefix}".rstrip("/"), safe="")


def read_shipped(folder: Path) -> Shipped | None:
    """How far a partition is shipped; None when nothing is. Raises Fatal for a file that is not ours."""
    return _read(folder / SHIPPED, Shipped)


def write_shipped(folder: Path, shipped: Shipped) -> None:
    """Note how far a partition is shipped, durably."""
    write_whole(folder / SHIPPED, msgspec.json.encode(shipped))


def read_trouble(folder: Path) -> Trouble | None:
    """Why nothing is shipped; None when all is well."""
    return _read(folder / _TROUBLE, Trouble)


def write_trouble(folder: Path, error: Exception | None) -> None:
    """Note why nothing is shipped, or with None that all is well."""
    if error is None:
        (folder / _TROUBLE).unlink(missing_ok=True)
    else:
        trouble = Trouble(str(error), time.time_ns(), isinstance(error, Fatal))
        write_whole(folder / _TROUBLE, msgspec.json.encode(trouble))


def identity(folder: Path) -> str:
    """The name of this spool, made when it is first asked for."""
    path = folder / _IDENTITY
    if not path.exists():
        write_whole(path, uuid4().hex.encode())
    return path.read_text()


def waiting(folder: Path, limit_bytes: int) -> Waiting:
    """What waits in the spool of a partition."""
    files, total = list_files(folder), 0
    for number in files.numbers:
        for form in (RAW, SEALED):
            try:
                total += segment_path(folder, number, form).stat().st_size
            except FileNotFoundError:
                continue
    return Waiting(folder.name, total, len(files.numbers), limit_bytes, read_trouble(folder))


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Fatal(f"{path}: expected what the capture wrote, was {error}; do delete that file") from None
