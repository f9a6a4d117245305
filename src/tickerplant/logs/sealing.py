"""Turn finished raw segments into sealed ones, in a thread of their own. A crash at any point leaves a readable log."""

from __future__ import annotations

import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from tickerplant.errors import BadData
from tickerplant.logs import frames
from tickerplant.logs.layout import RAW, SEALED, UNFINISHED, segment_path, sync_folder, write_all
from tickerplant.logs.line import MARKER, MAX_LINE_BYTES

log = structlog.get_logger()


class Stopped(Exception):
    """Sealing was told to stop."""


def blocks(fd: int) -> Iterator[bytes]:
    """The bytes of a raw segment in blocks of about FRAME_BYTES that end at a newline."""
    rest = b""
    while chunk := os.read(fd, frames.FRAME_BYTES):
        data = rest + chunk
        cut = len(rest) + chunk.rfind(b"\n") + 1 if b"\n" in chunk else 0
        if not cut and len(data) > MAX_LINE_BYTES:
            marker = data.rfind(MARKER)
            cut = marker if marker > 0 else len(data) - len(MARKER) + 1
        if cut:
            yield data[:cut]
        rest = data[cut:]
    if rest:
        yield rest


def _compress(raw_fd: int, out_fd: int, stop: threading.Event) -> tuple[int, int]:
    """Write the sealed form; return length and CRC-32 of the raw bytes."""
    size, crc, compress = 0, 0, frames.compressor()
    for block in blocks(raw_fd):
        if stop.is_set():
            raise Stopped
        write_all(out_fd, compress(block, size))
        size, crc = size + len(block), zlib.crc32(block, crc)
    write_all(out_fd, frames.pack_head(size, 0, 0))
    os.fsync(out_fd)
    return size, crc


def _check(path: Path, size: int, crc: int, stop: threading.Event) -> None:
    """Raise BadData unless the sealed form at `path` holds `size` bytes with that CRC-32."""
    fd = os.open(path, os.O_RDONLY)
    try:
        stored, found_size, found_crc = os.fstat(fd).st_size, 0, 0
        for frame in frames.index(lambda at, length: os.pread(fd, length, at), stored):
            if stop.is_set():
                raise Stopped
            data = frames.content(frame, os.pread(fd, frame.stored, frame.at))
            found_size, found_crc = found_size + len(data), zlib.crc32(data, found_crc)
    finally:
        os.close(fd)
    if (found_size, found_crc) != (size, crc):
        raise BadData(f"{path}: expected {size} bytes with crc {crc:08x}, was {found_size} with {found_crc:08x}")


def seal(folder: Path, number: int, stop: threading.Event) -> None:
    """Replace the raw file of a finished segment by its sealed form, once that is on disk and reads back equal.

    Raises OSError when the disk refuses, BadData when the bytes read back differ; the raw file is then left as it is.
    """
    raw, unfinished = segment_path(folder, number, RAW), segment_path(folder, number, UNFINISHED)
    try:
        raw_fd = os.open(raw, os.O_RDONLY)
        try:
            out_fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                size, crc = _compress(raw_fd, out_fd, stop)
            finally:
                os.close(out_fd)
        finally:
            os.close(raw_fd)
        _check(unfinished, size, crc, stop)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, segment_path(folder, number, SEALED))
    sync_folder(folder)
    raw.unlink()
    sync_folder(folder)


class Sealer:
    """Seals segments of one partition one after the other in a background thread."""

    def __init__(self, folder: Path, on_sealed: Callable[[], object] | None = None) -> None:
        self._folder, self._on_sealed = folder, on_sealed
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"seal {folder.name}", daemon=True)
        self._thread.start()

    def seal(self, number: int) -> None:
        """Seal a finished segment soon."""
        self._queue.put(number)

    def close(self, timeout_s: float) -> None:
        """Wait for what was asked for; after `timeout_s` leave the rest raw, for the next owner to seal."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while (number := self._queue.get()) is not None and not self._stop.is_set():
            with suppress(Stopped):
                self._seal(number)

    def _seal(self, number: int) -> None:
        try:
            seal(self._folder, number, self._stop)
        except (OSError, BadData) as error:
            log.warning("segment left unsealed", partition=self._folder.name, segment=number, error=str(error))
        else:
            log.info("segment sealed", partition=self._folder.name, segment=number)
            if self._on_sealed:
                self._on_sealed()
