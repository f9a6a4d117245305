"""Run one `tickerplant` command as a process of its own, for schedulers: what the command line does, they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import IO

from tickerplant.jobs.children import PARENT

_LOOK_S = 0.2
_GRACE_S = 600.0
_DRAIN_S = 10.0


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (below 0 the signal that ended it), its stdout, how long it took."""

    code: int
    output: str
    seconds: float


def _forward(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def perform(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = _forward,
    stop: Event | None = None,
    *,
    grace_s: float = _GRACE_S,
) -> Done:
    """Run `tickerplant <arguments>` to its end, in a session of its own: a Ctrl-C here does not reach it by itself.

    `environment` is added to this process's; secrets go there, arguments can be read by everybody on the machine.
    `say` gets each line of stderr as it comes, in another thread. When `stop` is set, or this call is left by an
    exception, the command gets SIGTERM and `grace_s` seconds to finish what it does, then its whole session SIGKILL.
    It also gets SIGTERM when this process is gone (on Linux; with the thread that called).
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "tickerplant", *arguments],
        env={**os.environ, **(environment or {}), PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
    )
    printed: list[str] = []
    readers = [_reading(process.stdout, printed.append), _reading(process.stderr, lambda line: say(line.rstrip("\n")))]
    try:
        _wait(process, stop or Event(), grace_s)
    except BaseException:
        _end(process, grace_s)
        raise
    finally:
        for reader in readers:
            reader.join(_DRAIN_S)  # whoever still holds the pipe is no longer ours
    return Done(process.returncode, "".join(printed), time.monotonic() - began)


def _reading(pipe: IO[str] | None, take: Callable[[str], object]) -> Thread:
    """Hand on every line of a pipe until its end, even when it is not wanted: nobody shall block on a full one."""
    assert pipe is not None

    def read() -> None:
        with pipe:
            for line in pipe:
                with suppress(Exception):
                    take(line)

    thread = Thread(target=read, name="child output", daemon=True)
    thread.start()
    return thread


def _wait(process: subprocess.Popen[str], stop: Event, grace_s: float) -> None:
    """Wait for the end, by itself or asked for by `stop`."""
    over = Event()

    def watch() -> None:
        process.wait()
        over.set()

    Thread(target=watch, name="child end", daemon=True).start()
    while not over.wait(_LOOK_S):
        if stop.is_set():
            _end(process, grace_s)


def _end(process: subprocess.Popen[str], grace_s: float) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
