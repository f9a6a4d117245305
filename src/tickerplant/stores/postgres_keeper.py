"""Stops an embedded PostgreSQL when its last user is gone, however that user ended.

Run as a script with the standard library alone: `<folder> <pg_ctl> [<uid> <gid>]`. Users hold a shared lock on
`<folder>/users`; the kernel drops it when they die. Getting it exclusively means that nobody is left.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

_TRIES, _PAUSE_S = 20, 0.02


def main(folder: Path, pg_ctl: str, *account: str) -> None:
    """Wait for the last user and stop the server; end at once when another keeper is there."""
    with (folder / "keeper").open() as mine, (folder / "users").open() as users:
        if not _take(mine.fileno()):
            return
        fcntl.flock(users, fcntl.LOCK_EX)
        if account:
            os.setgid(int(account[1]))
            os.setuid(int(account[0]))
        subprocess.run([pg_ctl, "stop", "-D", folder / "data", "-m", "fast", "-w"], check=False)


def _take(lock: int) -> bool:
    """Whether the keeper's lock is ours; somebody who only looks holds it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
