"""A command as a child process: lines as they come, output, exit codes, an orderly end."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from threading import Event, Thread, main_thread

import pytest

from tickerplant.jobs.child import Done, perform


def test_output_and_exit_code_are_the_commands(tmp_path: Path) -> None:
    done = perform(["config", "--json"], {"TICKERPLANT_LOG": str(tmp_path / "here")})
    assert done.code == 0
    assert str(tmp_path / "here") in done.output
    assert json.loads(done.output)
    assert done.seconds > 0


def test_errors_are_said_line_by_line_and_the_code_is_kept() -> None:
    lines: list[str] = []
    done = perform(["fetch", "AAPL", "--table", "nonsense"], {"ALPACA_API_KEY": "k"}, lines.append)
    assert (done.code, done.output) == (2, "")
    assert any("expected one of" in line and "nonsense" in line for line in lines)
    assert not any(line.endswith("\n") for line in lines)


def test_a_listener_that_fails_does_not_stop_the_command() -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    assert perform(["fetch", "AAPL", "--table", "nonsense"], say=refuse).code == 2


def _endless(tmp_path: Path, stop: Event) -> tuple[Thread, list[Done], list[str]]:
    """A loader that follows an empty log until it is told to stop."""
    lines: list[str] = []
    done: list[Done] = []
    (tmp_path / "log").mkdir()
    env = {"TICKERPLANT_LOG": str(tmp_path / "log"), "TICKERPLANT_STORE": str(tmp_path / "lake")}

    def run() -> None:
        done.append(perform(["load", "--follow", "--json"], env, lines.append, stop))

    thread = Thread(target=run)
    thread.start()
    return thread, done, lines


def _children() -> list[int]:
    """The processes that are ours, as the kernel sees them."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def _until(condition: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stop_ends_the_command_in_order_and_it_says_what_it_did(tmp_path: Path) -> None:
    stop = Event()
    thread, done, _ = _endless(tmp_path, stop)
    _until(lambda: (tmp_path / "lake").exists())
    stop.set()
    thread.join(30)
    assert done[0].code == 0
    assert json.loads(done[0].output)["counters"]["stored"] == 0


def test_an_exception_in_the_caller_ends_the_command(tmp_path: Path) -> None:
    """As a scheduler's SIGTERM does, which its handler turns into an exception."""

    class Told(BaseException):
        pass

    def told(number: int, frame: object) -> None:
        raise Told

    (tmp_path / "log").mkdir()
    env = {"TICKERPLANT_LOG": str(tmp_path / "log"), "TICKERPLANT_STORE": str(tmp_path / "lake")}
    before, seen = set(_children()), set[int]()

    def kick() -> None:
        _until(lambda: (tmp_path / "lake").exists())
        seen.update(set(_children()) - before)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR1)

    was = signal.signal(signal.SIGUSR1, told)
    try:
        Thread(target=kick).start()
        with pytest.raises(Told):
            perform(["load", "--follow"], env)
    finally:
        signal.signal(signal.SIGUSR1, was)
    assert seen
    assert not seen & set(_children())


def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stop = Event()
    lines: list[str] = []
    done: list[Done] = []
    (tmp_path / "log").mkdir()
    env = {"TICKERPLANT_LOG": str(tmp_path / "log"), "TICKERPLANT_STORE": str(tmp_path / "lake")}
    before = set(_children())
    thread = Thread(
        target=lambda: done.append(perform(["load", "--follow"], env, lines.append, stop, grace_s=0.3)), name="deaf"
    )
    thread.start()
    _until(lambda: (tmp_path / "lake").exists())
    (pid,) = set(_children()) - before
    os.kill(pid, signal.SIGSTOP)
    stop.set()
    thread.join(30)
    assert done[0].code == -signal.SIGKILL
