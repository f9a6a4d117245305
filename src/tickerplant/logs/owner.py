"""The right to write to a partition: a lock on a file that ends with the process, however it ends.

Whoever asks whether there is an owner holds the lock, shared, for an instant; so taking it is tried for a moment.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from tickerplant.errors import Busy
from tickerplant.logs.layout import OWNER

_TRIED_S, _PAUSE_S = 0.25, 0.005


class Owner:
    """Holds `owner.lock` of a partition's folder. Raises Busy, naming the owner, while another one holds it."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock(self._fd):
            found = os.pread(self._fd, 1000, 0).decode("utf-8", "replace").strip()
            os.close(self._fd)
            raise Busy(
                f"log partition {folder.name}: expected no owner, was owned by {found or 'another process'}; "
                "stop that process or capture another feed"
            )
        self._write(f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC).isoformat('T', 'seconds')}")

    def _write(self, text: str) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode() + b"\n" if text else b"", 0)

    def release(self) -> None:
        """Give the partition up; idempotent. The file stays: removing it would let two owners in."""
        if self._fd >= 0:
            self._write("")
            os.close(self._fd)
            self._fd = -1


def _lock(fd: int) -> bool:
    """Take the lock; False when somebody keeps it."""
    deadline = time.monotonic() + _TRIED_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True


def is_owned(folder: Path) -> bool:
    """Whether a process owns a partition; True as well when its lock may not be looked at."""
    try:
        fd = os.open(folder / OWNER, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
