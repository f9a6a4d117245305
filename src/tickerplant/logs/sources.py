"""Random access to the bytes of one segment, raw or sealed."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from tickerplant.errors import BadData
from tickerplant.logs import frames
from tickerplant.logs.layout import RAW, SEALED, segment_path
from tickerplant.model import Segment

BACK_BYTES = 2**16


class Chunk(NamedTuple):
    """Bytes `[start, end)` of a segment. `final`: no line goes on after them.

    `lost` is the reason why `data` are not these bytes, but the stored ones in their place, damaged beyond reading.
    """

    data: bytes
    start: int
    end: int
    final: bool = False
    lost: str = ""


class Source(Protocol):
    """The bytes of one segment."""

    is_sealed: bool

    def read(self, offset: int, size: int, is_finished: bool) -> Chunk:
        """Up to `size` bytes from `offset`. `is_finished` says that nothing will be added to the segment."""
        ...

    def back(self, end: int | None) -> Iterator[Chunk]:
        """The bytes before `end` (None: all), from the last to the first, in chunks that begin at a line's start."""
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...


class RawSource:
    """A raw file, which may still grow and may be removed once it is open."""

    is_sealed = False

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, size: int, is_finished: bool) -> Chunk:
        """See Source."""
        data = os.pread(self._fd, size, offset)
        return Chunk(data, offset, offset + len(data), is_finished and len(data) < size)

    def back(self, end: int | None) -> Iterator[Chunk]:
        """See Source."""
        stop = os.fstat(self._fd).st_size if end is None else end
        size = BACK_BYTES
        while stop > 0:
            start = max(0, stop - size)
            data = os.pread(self._fd, stop - start, start)
            cut = data.find(b"\n", 0, -1) + 1 if start else 0
            if start and not cut:
                size *= 2
                continue
            yield Chunk(data[cut:], start + cut, stop, final=True)
            stop, size = start + cut, min(size * 2, 2**20)

    def close(self) -> None:
        """See Source."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SealedSource:
    """A sealed file. Keeps the frame it read last."""

    is_sealed = True

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._frames = frames.index(self._read_at, os.fstat(self._fd).st_size)
        self._starts = [frame.start for frame in self._frames]
        self._number, self._data = -1, b""

    def _read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def read(self, offset: int, size: int, is_finished: bool) -> Chunk:
        """See Source. A chunk never crosses the end of a frame."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0 or offset >= self._frames[number].end:
            return Chunk(b"", offset, offset, final=True)
        frame = self._frames[number]
        try:
            data = self._content(number)
        except BadData as error:
            return Chunk(self._read_at(frame.at, frame.stored), frame.start, frame.end, lost=str(error))
        begin = offset - frame.start
        part = data if begin == 0 and size >= len(data) else data[begin : begin + size]
        return Chunk(part, offset, offset + len(part), final=begin + size >= len(data))

    def back(self, end: int | None) -> Iterator[Chunk]:
        """See Source. Damaged frames are passed over."""
        for number in reversed(range(len(self._frames))):
            frame = self._frames[number]
            if end is not None and frame.start >= end:
                continue
            try:
                data = self._content(number)
            except BadData:
                continue
            if end is not None and end < frame.end:
                data = data[: end - frame.start]
            yield Chunk(data, frame.start, frame.start + len(data), final=True)

    def _content(self, number: int) -> bytes:
        if self._number != number:
            frame = self._frames[number]
            self._data = frames.content(frame, self._read_at(frame.at, frame.stored))
            self._number = number
        return self._data

    def close(self) -> None:
        """See Source."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._data = -1, b""


def open_source(folder: Path, number: int) -> Source | None:
    """The bytes of a segment, raw where both forms exist; None when there is no such segment."""
    for form, kind in ((RAW, RawSource), (SEALED, SealedSource), (RAW, RawSource)):
        try:
            return kind(os.open(segment_path(folder, number, form), os.O_RDONLY))
        except FileNotFoundError:
            continue
    return None


def _read_at(fd: int, offset: int, size: int) -> bytes:
    return os.pread(fd, size, offset)


def stored_segment(folder: Path, number: int) -> Segment | None:
    """A segment in a folder; None when it is not there."""
    for form in (RAW, SEALED, RAW):
        path = segment_path(folder, number, form)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            stored = os.fstat(fd).st_size
            size = stored if form == RAW else frames.total_size(partial(_read_at, fd), stored)
        finally:
            os.close(fd)
        return Segment(folder.name, number, size, stored, form == SEALED, f"{folder.name}/{path.name}")
    return None
