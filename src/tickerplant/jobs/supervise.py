"""Keep a follower of the log running beside a capture: a process of its own, started again whenever it ends early."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Self

import structlog

log_lines = structlog.get_logger()

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_HEALTHY_S = 60.0
_DRAIN_S = 600.0


def next_wait(before: float, ran_s: float) -> float:
    """Seconds to wait before the next start, when the last one waited `before` (0: the first) and ran for `ran_s`.

    Doubles up to 30 s, and begins anew after a run of a minute.
    """
    if not before or ran_s >= _HEALTHY_S:
        return _FIRST_WAIT_S
    return min(_LONGEST_WAIT_S, before * 2)


class Follower:
    """`tickerplant <arguments>` as a supervised process, within `with`. Secrets go into `environment`, not arguments.

    An early end of the process costs nothing but delay (the log keeps everything), so it is started again, with a
    wait that grows while it keeps ending soon. On leaving, it gets SIGTERM and up to ten minutes to finish what the log
    holds. `output` is then what it last printed on stdout, `restarts` how often it was started again.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, what: str = "loader"
    ) -> None:
        self._command = [sys.executable, "-m", "tickerplant", *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._what = what
        self._ending = Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._supervise, name="follower", daemon=True)
        self.output = ""
        self.restarts = 0

    def __enter__(self) -> Self:
        self._process = self._start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    @property
    def returncode(self) -> int | None:
        """Exit code of the last process, None while it runs."""
        return self._process.poll() if self._process else None

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=self._environment
        )

    def _supervise(self) -> None:
        wait, began = 0.0, time.monotonic()
        assert self._process is not None
        while not self._ending.wait(0.2):
            if (code := self._process.poll()) is None:
                continue
            self.output, _ = self._process.communicate()
            wait = next_wait(wait, time.monotonic() - began)
            log_lines.warning(f"{self._what} ended early, starting it again", exit_code=code, wait_s=wait)
            self._ending.wait(wait)
            self._process, began = self._start(), time.monotonic()
            self.restarts += 1
        self._end()

    def _end(self) -> None:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.terminate()
        try:
            self.output, _ = process.communicate(timeout=_DRAIN_S)
        except subprocess.TimeoutExpired:
            log_lines.warning(f"{self._what} did not finish; do it again to catch up", waited_s=_DRAIN_S)
            process.kill()
            self.output, _ = process.communicate()
