"""What of a log to copy for a backup while a capture writes it, and whether one log goes on where another ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from typing import Protocol, cast

from tickerplant.bucket import Stored
from tickerplant.errors import Retryable
from tickerplant.logs.files import FilesLog
from tickerplant.logs.layout import RAW, SEALED, segment_path
from tickerplant.logs.owner import is_owned
from tickerplant.logs.place import Place, Where, place_of
from tickerplant.logs.sources import Source, open_source
from tickerplant.model import Position, split_position

_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class SegmentPart:
    """The part of a segment's file to copy: its first `size_bytes` bytes, to be read from what `opened` gives."""

    name: str
    opened: Callable[[], AbstractContextManager[int]]
    size_bytes: int
    modified_ns: int
    is_sealed: bool


class Shipped(Place, Protocol):
    """The segments of a partition that are in a folder or beyond it."""

    def stored(self, number: int) -> Stored | None:
        """What is known of a segment beyond the folder; None when it is not there."""
        ...

    def fetched(self, number: int) -> AbstractContextManager[int | None]:
        """Such a segment, open for reading."""
        ...


def parts(log: FilesLog, partition: str, reached: Position) -> Iterator[SegmentPart]:
    """The segments of a partition as they are at this moment, each open until the next one is asked for.

    Of the segment that a capture writes, whole lines and all up to `reached`, where a store has loaded it: so each
    position of a store whose snapshot was taken before is in the copy. Raises Retryable when a segment was taken away
    meanwhile.
    """
    folder, where = log.folder / partition, log.where(partition)
    numbers = place_of(where).files().numbers
    for number in numbers:
        found = _open(folder, number)
        if found is None:
            yield _shipped(where, partition, number)
            continue
        name, fd = found
        try:
            yield _part(folder, number, reached, number == numbers[-1], name, fd)
        finally:
            os.close(fd)


def _shipped(where: Where, partition: str, number: int) -> SegmentPart:
    gone = Retryable(f"log partition {partition}: expected segment {number} to stay, was taken away; do try again", 0)
    if isinstance(where, Path):
        raise gone
    place = cast(Shipped, where)
    found = place.stored(number)
    if found is None:
        raise gone

    @contextmanager
    def opened() -> Iterator[int]:
        with place.fetched(number) as fd:
            if fd is None:
                raise gone
            yield fd

    name = segment_path(Path(), number, SEALED).name
    return SegmentPart(name, opened, found.size, int(found.modified * 1e9), True)


def _open(folder: Path, number: int) -> tuple[str, int] | None:
    for form in (RAW, SEALED):
        path = segment_path(folder, number, form)
        try:
            return path.name, os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
    return None


def _part(folder: Path, number: int, reached: Position, is_last: bool, name: str, fd: int) -> SegmentPart:
    is_sealed = name.endswith(SEALED)
    # Asked before the size: what nobody owns has its final size.
    grows = is_last and not is_sealed and is_owned(folder)
    found = os.fstat(fd)
    size = found.st_size
    if grows:
        segment, offset = split_position(reached)
        size = max(_whole_lines(fd, size), min(offset, size) if segment == number else 0)
    return SegmentPart(name, lambda: nullcontext(fd), size, found.st_mtime_ns, is_sealed)


def _whole_lines(fd: int, size: int) -> int:
    """The length of the whole lines among the first `size` bytes."""
    while size:
        start = max(0, size - _BLOCK_BYTES)
        found = os.pread(fd, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def continues(where: Where, number: int, backed_up: Path) -> bool | None:
    """Whether the segment in `where` begins with all that the one in `backed_up` holds; None when there is none."""
    with ExitStack() as closing:
        sources = [place_of(where).open(number), open_source(backed_up, number)]
        for source in filter(None, sources):
            closing.callback(source.close)
        mine, theirs = sources
        if mine is None or theirs is None:
            return None if mine is None else True
        if mine.is_sealed and theirs.is_sealed and isinstance(where, Path):
            return cmp(segment_path(where, number, SEALED), segment_path(backed_up, number, SEALED), shallow=False)
        return _begins_with(mine, theirs)


def _begins_with(mine: Source, theirs: Source) -> bool:
    offset = 0
    while True:
        wanted = theirs.read(offset, _BLOCK_BYTES, is_finished=True)
        if wanted.lost or not wanted.data:
            return not wanted.lost
        if not _holds(mine, offset, wanted.data):
            return False
        offset += len(wanted.data)


def _holds(source: Source, offset: int, data: bytes) -> bool:
    """Whether `data` stand at `offset`; in pieces, because blocks of the two forms end at different places."""
    while data:
        found = source.read(offset, len(data), is_finished=True)
        if found.lost or not found.data or not data.startswith(found.data):
            return False
        offset, data = offset + len(found.data), data[len(found.data) :]
    return True
