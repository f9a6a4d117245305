"""The segments of one partition of a log on S3: shipped ones in the bucket, the others in the spool of this machine.

A segment is in the spool until its copy in the bucket was read back, so between them nothing is missing. The spool is
looked at first and the bucket after it: what is shipped meanwhile is then seen twice, never not at all.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tickerplant.bucket import Bucket, Stored
from tickerplant.errors import Retryable
from tickerplant.logs import frames
from tickerplant.logs.layout import SEALED, Files, list_files, segment_number, segment_path
from tickerplant.logs.owner import is_owned
from tickerplant.logs.sources import SealedSource, Source, open_source, stored_segment
from tickerplant.model import Segment

_LOOK_S = 1.0
_AT_ONCE = 16


class S3Place:
    """Lists and opens the segments of one partition (see Place). Lists the bucket only when it can have more."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder, self._bucket = folder, bucket
        self._shipped: dict[int, int] = {}
        self._newest, self._looked_at = -1, -_LOOK_S

    def files(self) -> Files:
        """The segments there are. Without any in the spool, the bucket is looked at once a second at most."""
        spool = list_files(self._folder)
        shipped = self._up_to_date(spool)
        return Files(spool.raw, spool.sealed | frozenset(shipped), spool.unfinished)

    def open(self, number: int) -> Source | None:
        """The bytes of a segment; one in the bucket is copied to a temporary file that is gone when it is closed."""
        found = open_source(self._folder, number)
        if found is None:
            found = self._fetched(number)
        if found is None:
            self._shipped.pop(number, None)
        return found

    def stored(self, number: int) -> Stored | None:
        """The object of a segment; None when it is not in the bucket."""
        return self._bucket.stat(segment_path(Path(), number, SEALED).name)

    @contextmanager
    def fetched(self, number: int) -> Iterator[int | None]:
        """A copy of a segment's object, open for reading; None when it is not in the bucket."""
        with tempfile.TemporaryFile(prefix="tickerplant-") as file:
            is_there = self._bucket.download(segment_path(Path(), number, SEALED).name, file)
            file.flush()
            yield file.fileno() if is_there else None

    def is_owned(self) -> bool:
        """Whether a process of this machine writes to the partition: all that others wrote is sealed."""
        return is_owned(self._folder)

    def segments(self) -> list[Segment]:
        """The segments in order, with their sizes."""
        spool = list_files(self._folder)
        held = {n: s for n in spool.numbers if (s := stored_segment(self._folder, n))}
        shipped = self._up_to_date(spool)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            rest = [n for n in shipped if n not in held]
            held.update((s.number, s) for s in pool.map(self._segment, rest))
        return [held[n] for n in sorted(held)]

    def shipped(self) -> int:
        """The newest segment in the bucket as it is now; -1 when there is none."""
        self._look()
        return max(self._shipped, default=-1)

    def _up_to_date(self, spool: Files) -> dict[int, int]:
        """The segments in the bucket, as they are now where that matters: all before the newest one known of."""
        held = spool.raw | spool.sealed
        self._newest = max(self._newest, *held) if held else self._newest
        known = max(self._shipped, default=-1)
        is_whole = held.issuperset(range(known + 1, self._newest + 1))
        if not is_whole or (not held and time.monotonic() - self._looked_at >= _LOOK_S):
            self._look()
        return self._shipped

    def _look(self) -> None:
        newest = max(self._shipped, default=-1)
        after = segment_path(Path(), newest, SEALED).name if newest >= 0 else None
        self._looked_at = time.monotonic()
        for stored in self._bucket.objects(after=after):
            number = segment_number(stored.key, SEALED)
            if number is not None:
                self._shipped[number] = stored.size

    def _fetched(self, number: int) -> Source | None:
        with self.fetched(number) as fd:
            return None if fd is None else SealedSource(os.dup(fd))

    def _segment(self, number: int) -> Segment:
        name, stored = segment_path(Path(), number, SEALED).name, self._shipped[number]
        size = frames.total_size(partial(self._read_at, name), stored)
        return Segment(self._folder.name, number, size, stored, True, f"{self._folder.name}/{name}")

    def _read_at(self, name: str, offset: int, size: int) -> bytes:
        found = self._bucket.read_range(name, offset, size)
        if found is None:
            raise Retryable(f"{self._bucket.url}/{name}: expected the segment listed before, was none; do try again")
        return found
