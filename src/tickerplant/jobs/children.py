"""Children that do not outlive their parent."""

from __future__ import annotations

import os
import signal
import sys

PARENT = "TICKERPLANT_PARENT"
"""The variable that tells a child whose child it is."""

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In a child: ask for SIGTERM when the parent that started us ends. Does nothing for a process without one."""
    parent = os.environ.pop(PARENT, "")
    if not parent.isdecimal() or not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)
