"""Append to one partition of a log on files: one owner, a thread that writes and syncs, rotation."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tickerplant.errors import Fatal
from tickerplant.logs.layout import (
    RAW,
    UNFINISHED,
    list_files,
    make_folder,
    segment_path,
    sync_data,
    sync_folder,
    vendor_and_feed,
    write_all,
)
from tickerplant.logs.line import encode_payload, prefix_of
from tickerplant.logs.owner import Owner
from tickerplant.logs.place import Tail
from tickerplant.logs.reader import last_connection, records_back
from tickerplant.logs.sealing import Sealer
from tickerplant.model import Kind, Record

WAKE_BYTES = 2**20
PENDING_LIMIT_BYTES = 64 * 2**20
STEP_NS = 1000
CLOSE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Options:
    """How a log on files syncs and rotates."""

    sync_interval_s: float = 0.1
    segment_bytes: int = 256 * 2**20
    segment_age_s: float = 3600


DEFAULTS = Options()


class Shipping(Protocol):
    """What takes sealed segments of a folder elsewhere. `begin` and `end` are called while the folder is owned."""

    def begin(self) -> Tail:
        """Where the partition goes on, here and elsewhere; start taking what was left behind."""
        ...

    def sealed(self) -> None:
        """A segment is sealed; called in the sealing thread."""
        ...

    def end(self) -> None:
        """Nothing more will be sealed: take what can be taken now, leave the rest; idempotent."""
        ...


def tail_of(folder: Path) -> Tail:
    """Where a partition that is all in a folder goes on."""
    number = max(list_files(folder).numbers, default=-1) + 1
    return Tail(number, next(records_back(folder), None), last_connection(folder))


class _Segments:
    """The file being written, and the ones before it that wait for sealing. Used by the writing thread only."""

    def __init__(self, folder: Path, options: Options, first: int, on_sealed: Callable[[], object] | None) -> None:
        files = list_files(folder)
        self._folder, self._options = folder, options
        self._next = first
        self._leftovers = sorted(files.raw)
        for number in files.unfinished:
            segment_path(folder, number, UNFINISHED).unlink(missing_ok=True)
        self._fd, self._size, self._opened = -1, 0, 0.0
        self.sealer = Sealer(folder, on_sealed)

    def write(self, data: bytes) -> None:
        """Write whole lines, in as many segments as the size asks for, and make them durable."""
        while data:
            is_old = time.monotonic() - self._opened >= self._options.segment_age_s
            if self._fd >= 0 and (is_old or not self._fitting(data)):
                self._finish()
            if self._fd < 0:
                self._begin()
            cut = self._fitting(data)
            write_all(self._fd, data[:cut])
            self._size += cut
            data = data[cut:]
        sync_data(self._fd)
        while self._leftovers:
            self.sealer.seal(self._leftovers.pop(0))

    def _fitting(self, data: bytes) -> int:
        """How many bytes of `data`, in whole lines, fit the segment; in an empty one, one line at least."""
        room = max(self._options.segment_bytes - self._size, 0)
        if len(data) <= room:
            return len(data)
        return data.rfind(b"\n", 0, room) + 1 or (0 if self._size else data.find(b"\n") + 1)

    def _begin(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._fd = os.open(segment_path(self._folder, self._next, RAW), flags, 0o644)
        sync_folder(self._folder)
        self._size, self._opened = 0, time.monotonic()

    def _finish(self) -> None:
        """End the segment. It is sealed once the next one holds lines, so that no reader takes its end for damage."""
        sync_data(self._fd)
        os.close(self._fd)
        self._fd, self._size = -1, 0
        self._leftovers.append(self._next)
        self._next += 1

    def close(self, is_sound: bool) -> None:
        """End the last segment; seal it when nothing went wrong. Waits for sealing, for CLOSE_TIMEOUT_S at most."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if is_sound:
                self.sealer.seal(self._next)
        self.sealer.close(CLOSE_TIMEOUT_S)


class FilesWriter:
    """Appends to one partition, of which it is the only owner (see LogWriter). Safe to share between threads.

    `append` never blocks and never drops: while the disk is slow, lines wait in memory. Whoever reads the socket must
    pause while `is_full`. `synced_records` and `synced_bytes` count what is on disk.

    `received_at` is raised where needed, so that it grows by at least a microsecond from record to record: in
    microseconds too it is the order of arrival.
    """

    last_received_at: int | None
    last_kind: Kind | None
    last_connection: Record | None
    """The last CONNECTED or DISCONNECTED record found on opening, in the last two segments."""

    def __init__(
        self,
        folder: Path,
        options: Options = DEFAULTS,
        on_chunk: Callable[[bytes], object] | None = None,
        shipping: Shipping | None = None,
    ) -> None:
        vendor, feed = vendor_and_feed(folder.name)
        make_folder(folder)
        self._owner = Owner(folder)
        self._shipping = shipping
        try:
            number, last, self.last_connection = shipping.begin() if shipping else tail_of(folder)
            self._segments = _Segments(folder, options, number, shipping.sealed if shipping else None)
        except BaseException:
            if shipping:
                shipping.end()
            self._owner.release()
            raise
        self.last_received_at = last.received_at if last else None
        self.last_kind = last.kind if last else None
        self.partition = folder.name
        self.synced_records = self.synced_bytes = 0
        self._vendor, self._feed = vendor, feed
        self._prefixes = {kind: prefix_of(vendor, feed, kind) for kind in Kind}
        self._interval_s, self._on_chunk = options.sync_interval_s, on_chunk
        self._floor = last.received_at + STEP_NS if last else 0
        self._lines: list[bytes] = []
        self._taken_records = self._taken_bytes = 0
        self._wake_at = WAKE_BYTES
        self._lock = threading.Lock()
        self._synced = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._failure: Exception | None = None
        self._is_closing = self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"log {folder.name}", daemon=True)
        self._thread.start()

    @property
    def pending_bytes(self) -> int:
        """Bytes taken that are not on disk yet."""
        return self._taken_bytes - self.synced_bytes

    @property
    def is_full(self) -> bool:
        """Whether more bytes wait than PENDING_LIMIT_BYTES: stop reading until it is False again."""
        return self._taken_bytes - self.synced_bytes > PENDING_LIMIT_BYTES

    def append(self, kind: Kind, received_at: int, payload: bytes, request: str | None = None) -> None:
        """Take one record; it is on disk after the next `sync`, at most the sync interval later.

        Raises Fatal when the log can no longer be written or is closed, BadData for a payload too large for a line.
        """
        prefix = self._prefixes[kind] if request is None else prefix_of(self._vendor, self._feed, kind, request)
        with self._lock:
            if self._failure is not None or self._is_closing:
                raise self._refusal()
            received_at = max(received_at, self._floor)
            line = encode_payload(prefix, received_at, payload)
            self._floor = received_at + STEP_NS
            self._lines.append(line)
            self._taken_records += 1
            self._taken_bytes += len(line)
            wake = self._taken_bytes >= self._wake_at
            if wake:
                self._wake_at = self._taken_bytes + WAKE_BYTES
        if wake:
            self._wake.set()

    def sync(self) -> None:
        """Return when everything appended so far is on disk. Raises Fatal when it cannot be."""
        with self._synced:
            target = self._taken_records
            while self.synced_records < target:
                if self._failure is not None:
                    raise self._refusal()
                self._wake.set()
                self._synced.wait(1.0)

    def close(self) -> None:
        """Sync, seal the segment and release the partition; idempotent.

        Raises Fatal when records did not reach the disk. Sealing that takes longer than CLOSE_TIMEOUT_S is left to the
        next owner.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = self._is_closing = True
        self._wake.set()
        self._thread.join()
        try:
            self._segments.close(is_sound=self._failure is None)
            if self._shipping:
                self._shipping.end()
        finally:
            self._owner.release()
        if self.synced_records < self._taken_records:
            raise self._refusal()

    def _refusal(self) -> Fatal:
        if self._failure is None:
            return Fatal(f"log partition {self.partition}: expected an open writer, was closed")
        lost = self._taken_records - self.synced_records
        refusal = Fatal(
            f"log partition {self.partition}: expected to write to disk, was {self._failure}; "
            f"{lost} records received after the last sync are not on disk; free space or repair the disk, start again"
        )
        refusal.__cause__ = self._failure
        return refusal

    def _run(self) -> None:
        while self._failure is None:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            is_last = self._is_closing
            self._flush()
            if is_last:
                return

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines:
            return
        data = b"".join(lines)
        try:
            self._segments.write(data)
            if self._on_chunk:
                self._on_chunk(data)
        except Exception as error:  # kept for the next append or sync: this thread has nobody to raise to
            self._failure = error
        with self._synced:
            if self._failure is None:
                self.synced_records += len(lines)
                self.synced_bytes += len(data)
                self._wake_at = self.synced_bytes + WAKE_BYTES
            self._synced.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
