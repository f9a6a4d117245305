"""A short command run again and again, at a distance of the plant's clock."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta

from tickerplant.jobs.daemons import Surroundings


class Beat:
    """`tickerplant <arguments>` each `every`, at once at first; a clock that was set back does not delay it.

    `code` is the exit code of the last one, None before.
    """

    def __init__(self, arguments: Sequence[str], every: timedelta, around: Surroundings) -> None:
        self.code: int | None = None
        self._arguments, self._every, self._around = arguments, every, around
        self._last: datetime | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, now: datetime) -> None:
        """See whether it ended, and start it when its time has come."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process, self.code = None, code
        is_due = self._last is None or not self._last <= now < self._last + self._every
        if self._process is None and is_due:
            self._process, self._last = self._around.start(self._arguments), now

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
