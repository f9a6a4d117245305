"""Commands that run beside each other under one supervisor, which looks at all of them and waits for none.

Every child is a process of its own that gets SIGTERM when its parent is gone, however that ended (Linux; elsewhere it
goes on until its own end). Secrets go into its environment, not into its arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Literal

import structlog

from tickerplant.jobs.children import PARENT
from tickerplant.jobs.supervise import next_wait

log = structlog.get_logger()


@dataclass(frozen=True)
class Surroundings:
    """What children are given: settings on top of this process's, and where their log lines go (None: our stderr)."""

    environment: Mapping[str, str] = field(default_factory=dict)
    stderr: IO[bytes] | None = None

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `tickerplant <arguments>`; what it prints on stdout is dropped."""
        return subprocess.Popen(
            [sys.executable, "-m", "tickerplant", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
            start_new_session=True,
            env={**os.environ, **self.environment, PARENT: str(os.getpid())},
        )


State = Literal["off", "running", "waiting", "ending"]


class Daemon:
    """A command that is kept running while it is wanted, and started again, with growing waits, when it ends early."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.restarts = 0
        self.state: State = "off"
        self.since = time.monotonic()
        self._around = around
        self._process: subprocess.Popen[bytes] | None = None
        self._wait, self._again_at = 0.0, 0.0

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process else None

    def look(self, arguments: Sequence[str] | None) -> None:
        """Bring it nearer to what is wanted: running with these arguments, or, with None, ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._ended(code, is_wanted=arguments is not None)
        if self._process is None and arguments is not None and time.monotonic() >= self._again_at:
            self._process = self._around.start(arguments)
            self._become("running")
            log.info(f"{self.name} started", pid=self._process.pid)
        elif self._process is not None and arguments is None and self.state != "ending":
            self._process.terminate()
            self._become("ending")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ended(self, code: int, is_wanted: bool) -> None:
        ran_s = time.monotonic() - self.since
        self._process = None
        if not is_wanted or self.state == "ending":
            log.info(f"{self.name} ended", exit_code=code)
            self._wait = self._again_at = 0.0
            self._become("off")
            return
        self._wait = next_wait(self._wait, ran_s)
        self._again_at = time.monotonic() + self._wait
        self.restarts += 1
        self._become("waiting")
        log.warning(f"{self.name} ended early, starting it again", exit_code=code, wait_s=self._wait)

    def _become(self, state: State) -> None:
        self.state, self.since = state, time.monotonic()
