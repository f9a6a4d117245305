"""A log in a folder: `<folder>/<partition>/<segment>.jsonl`, sealed `.jsonl.zst`; see `docs/log-format.md`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tickerplant.errors import Fatal, UsageError
from tickerplant.logs import frames
from tickerplant.logs.layout import RAW, SEALED, is_partition, list_files, segment_path, vendor_and_feed
from tickerplant.logs.reader import START, FilesReader
from tickerplant.logs.writer import DEFAULTS, FilesWriter, Options
from tickerplant.model import Position, Segment


class FilesLog:
    """Segments of raw lines in the partitions of a folder (see Log). The folder need not exist for reading."""

    url: str

    def __init__(self, folder: Path, options: Options = DEFAULTS) -> None:
        self.url = str(folder)
        self._folder, self._options = folder, options

    def partitions(self) -> list[str]:
        """Names of the partitions, sorted; empty for a log that does not exist yet."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise UsageError(f"log {self.url}: expected a folder, was a file") from None
        return sorted(n for n in names if is_partition(n) and (self._folder / n).is_dir())

    def segments(self, partition: str) -> list[Segment]:
        """Segments in order; empty for an unknown partition."""
        folder = self._folder / partition
        found = (_segment(folder, number) for number in list_files(folder).numbers)
        return [segment for segment in found if segment]

    def reader(self, partition: str, start: Position = START) -> FilesReader:
        """A reader from `start`, which must be a line's start; 0 is the beginning."""
        return FilesReader(self._folder / partition, start)

    def writer(self, partition: str, on_chunk: Callable[[bytes], object] | None = None) -> FilesWriter:
        """Own the partition and append to a new segment. Raises Busy while another process owns it,
        Fatal when the folder cannot be written to.

        `on_chunk` is called in the writing thread with each block of lines once it is on disk.
        """
        vendor_and_feed(partition)
        try:
            return FilesWriter(self._folder / partition, self._options, on_chunk)
        except OSError as error:
            raise Fatal(f"log {self.url}: expected a folder that can be written to, was {error}") from error


def _read_at(fd: int, offset: int, size: int) -> bytes:
    return os.pread(fd, size, offset)


def _segment(folder: Path, number: int) -> Segment | None:
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
