"""Symbols that one fetch at a time asks for: a doubled trigger waits for its twin and then finds nothing left to ask.

A claim is a byte of a lock file that nobody reads, at a place that the symbol's checksum says. The kernel gives it back
when the process ends, however it ends. Two symbols at one place only wait for each other needlessly.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from zlib import crc32

CLAIMS_FILE = "fetching.lock"
_PAUSE_S = 0.1
_SET = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
"""Locks of an open file where there are such, so that threads exclude each other too; else of the process."""


@contextmanager
def claimed(folder: Path, vendor: str, table: str, symbols: Sequence[str], stop: Event) -> Iterator[bool]:
    """Hold symbols of a vendor's table (none: its lists) until the block ends; waits for others that hold one of them.

    Gives False when `stop` came first; nothing is held then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = sorted({crc32(f"{vendor} {table} {symbol}".encode()) for symbol in symbols or ("*",)})
    while True:
        file = os.open(folder / CLAIMS_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _took(file, places):
                yield True
                return
        finally:
            os.close(file)
        if stop.wait(_PAUSE_S):
            yield False
            return


def _took(file: int, places: Sequence[int]) -> bool:
    try:
        for place in places:
            fcntl.fcntl(file, _SET, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True
