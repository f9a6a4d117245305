"""A log in a folder: `<folder>/<partition>/<segment>.jsonl`, sealed `.jsonl.zst`; see `docs/log-format.md`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tickerplant.errors import Fatal, UsageError
from tickerplant.logs.layout import is_partition, list_files, vendor_and_feed
from tickerplant.logs.place import Place, Where
from tickerplant.logs.reader import START, FilesReader
from tickerplant.logs.sources import stored_segment
from tickerplant.logs.writer import DEFAULTS, FilesWriter, Options, Shipping
from tickerplant.model import Position, Segment


class Beyond(Protocol):
    """Where the sealed segments of a log go that only passes through a folder."""

    @property
    def url(self) -> str:
        """The log's URL."""
        ...

    def partitions(self) -> list[str]:
        """Names of the partitions there."""
        ...

    def place(self, folder: Path) -> Place:
        """The partition of a folder, here and there."""
        ...

    def segments(self, folder: Path) -> list[Segment]:
        """The segments of the partition of a folder, here and there, in order."""
        ...

    def shipping(self, folder: Path) -> Shipping:
        """What takes the segments of a folder there."""
        ...


class FilesLog:
    """Segments of raw lines in the partitions of a folder, and of what is beyond it (see Log). The folder need not
    exist for reading."""

    url: str
    folder: Path
    """Where this machine keeps what it writes of the log."""

    def __init__(self, folder: Path, options: Options = DEFAULTS, beyond: Beyond | None = None) -> None:
        self.url = beyond.url if beyond else str(folder)
        self.folder = self._folder = folder
        self._options, self._beyond = options, beyond

    @property
    def is_here(self) -> bool:
        """Whether the folder holds all of the log; otherwise it is the spool of a log that is elsewhere."""
        return self._beyond is None

    def partitions(self) -> list[str]:
        """Names of the partitions, sorted; empty for a log that does not exist yet."""
        beyond = self._beyond.partitions() if self._beyond else []
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return beyond
        except NotADirectoryError:
            raise UsageError(f"log {self.url}: expected a folder, was a file") from None
        return sorted({*beyond, *(n for n in names if is_partition(n) and (self._folder / n).is_dir())})

    def segments(self, partition: str) -> list[Segment]:
        """Segments in order; empty for an unknown partition."""
        folder = self._folder / partition
        if self._beyond:
            return self._beyond.segments(folder)
        found = (stored_segment(folder, number) for number in list_files(folder).numbers)
        return [segment for segment in found if segment]

    def reader(self, partition: str, start: Position = START) -> FilesReader:
        """A reader from `start`, which must be a line's start; 0 is the beginning."""
        return FilesReader(self.where(partition), start)

    def where(self, partition: str) -> Where:
        """Where the segments of a partition are: the folder, or a place that knows what is beyond it too."""
        folder = self._folder / partition
        return self._beyond.place(folder) if self._beyond else folder

    def writer(self, partition: str, on_chunk: Callable[[bytes], object] | None = None) -> FilesWriter:
        """Own the partition and append to a new segment. Raises Busy while another process owns it,
        Fatal when the folder cannot be written to, Retryable when only what is beyond it could tell where to go on
        and does not answer.

        `on_chunk` is called in the writing thread with each block of lines once it is on disk.
        """
        vendor_and_feed(partition)
        folder = self._folder / partition
        try:
            return FilesWriter(folder, self._options, on_chunk, self._beyond.shipping(folder) if self._beyond else None)
        except OSError as error:
            raise Fatal(f"log {self.url}: expected a folder that can be written to, was {error}") from error
