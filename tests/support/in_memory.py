"""Temporary folders of a test run in memory, where the machine has room: an fsync there takes no time.

A process that is killed loses nothing that the kernel holds, be it on a disk or in memory, so every test says the same.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_NAME = "tickerplant-tests-"
_ROOM = 4 << 30
_WORKER = "PYTEST_XDIST_WORKER"
kept: list[str] = []
"""Why the folder of this run stays after it; empty when it does not."""


def move_temporary_folders() -> None:
    """Let this process and those it starts make them in memory, unless TMPDIR names another place."""
    if "TMPDIR" in os.environ or _WORKER in os.environ or not _has_room():
        return
    for left in _MEMORY.glob(f"{_NAME}*"):
        if not Path(f"/proc/{left.name.removeprefix(_NAME)}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = _MEMORY / f"{_NAME}{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    atexit.register(_remove, folder)


def _has_room() -> bool:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    room = min(found.f_bavail * found.f_frsize, physical // 3)
    return room >= _ROOM and not found.f_flag & os.ST_NOEXEC and os.access(_MEMORY, os.W_OK)


def _remove(folder: Path) -> None:
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
