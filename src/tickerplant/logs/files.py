"""A log in a folder: `<folder>/<partition>/<segment>.jsonl`, sealed `.jsonl.zst`. `docs/log-format.md` is the format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tickerplant.logs import frames
from tickerplant.logs.layout import RAW, SEALED, is_partition, list_files, segment_path, vendor_and_feed
from tickerplant.logs.reader import FilesReader
from tickerplant.logs.writer import FilesWriter, Options
from tickerplant.model import Position, Segment


class FilesLog:
    """Segments of raw lines in the partitions of a folder (see Log). The folder need not exist for reading."""

    url: str

    def __init__(self, folder: Path, options: Options = Options()) -> None:
        self.url = str(folder)
        self._folder, self._options = folder, options

    def partitions(self) -> list[str]:
        """Names of the partitions, sorted; empty for a log that does not exist yet."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(n for n in names if is_partition(n) and (self._folder / n).is_dir())

    def segments(self, partition: str) -> list[Segment]:
        """Segments in order; empty for an unknown partition."""
        folder = self._folder / partition
        found = (_segment(folder, number) for number in list_files(folder).numbers)
        return [segment for segment in found if segment]

    def reader(self, partition: str, start: Position = Position(0)) -> FilesReader:
        """A reader from `start`, which must be a line's start; 0 is the beginning."""
        return FilesReader(self._folder / partition, start)

    def writer(self, partition: str, on_chunk: Callable[[bytes], object] | None = None) -> FilesWriter:
        """Own the partition and append to a new segment. Raises Busy while another process owns it.

        `on_chunk` is called in the writing thread with each block of lines once it is on disk.
        """
        vendor_and_feed(partition)
        return FilesWriter(self._folder / partition, self._options, on_chunk)


def _segment(folder: Path, number: int) -> Segment | None:
    for form in (RAW, SEALED, RAW):
        path = segment_path(folder, number, form)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            stored = os.fstat(fd).st_size
            size = stored if form == RAW else frames.total_size(lambda at, n, fd=fd: os.pread(fd, n, at), stored)
        finally:
            os.close(fd)
        return Segment(folder.name, number, size, stored, form == SEALED, f"{folder.name}/{path.name}")
    return None
