"""Ownership between processes: an advisory file lock that the kernel drops when its owner dies."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from tickerplant.errors import Busy

log = structlog.get_logger()

_POLL_S = 0.1


class FileLease:
    """The right to do something, held within `with`; waits for the present owner.

    The wait polls, so a signal handler that raises (SIGTERM) interrupts it at once. With `wait_s` the wait is bounded
    and ends in Busy. A lease is not reentrant.
    """

    def __init__(self, path: Path, what: str, wait_s: float | None = None) -> None:
        self._path, self._what, self._wait_s = path, what, wait_s
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _acquire(self, descriptor: int) -> None:
        deadline = None if self._wait_s is None else time.monotonic() + self._wait_s
        told = False
        while not _locked(descriptor):
            owner = _written(descriptor) or "unknown"
            if deadline is not None and time.monotonic() >= deadline:
                raise Busy(f"{self._what}: expected to be the only owner, was owned by process {owner}")
            if not told:
                log.info("waiting", what=self._what, owner=owner)
                told = True
            time.sleep(_POLL_S)


def holder(path: Path) -> str | None:
    """Who holds a lease now; None when nobody does. Whoever tries to take it in that instant may find it held."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"process {_written(descriptor) or 'unknown'}"
    finally:
        os.close(descriptor)
    return None


def _written(descriptor: int) -> str:
    return os.pread(descriptor, 300, 0).decode("utf-8", "replace").strip()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
