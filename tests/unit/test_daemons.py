from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.support.plant import wait_for
from tickerplant.jobs.daemons import Daemon, Surroundings

FOLLOW = ("load", "--follow", "--json")


def looked(daemon: Daemon, arguments: Sequence[str] | None) -> Daemon:
    daemon.look(arguments)
    return daemon


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    with (tmp_path / "err").open("wb") as file:
        yield Surroundings({"TICKERPLANT_DATA": str(tmp_path)}, file)


def test_a_daemon_runs_while_it_is_wanted_and_is_started_again_when_it_is_killed(around: Surroundings) -> None:
    daemon = Daemon("loader", around)
    daemon.look(None)
    assert (daemon.state, daemon.pid) == ("off", None)
    daemon.look(FOLLOW)
    first = daemon.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    try:
        assert wait_for(lambda: looked(daemon, FOLLOW).pid not in (None, first), 20, "a second start")
        assert (daemon.state, daemon.restarts) == ("running", 1)
    finally:
        wait_for(lambda: looked(daemon, None).state == "off", 20, "the end")
    assert daemon.pid is None


def test_a_command_that_cannot_run_is_tried_with_growing_waits(around: Surroundings) -> None:
    daemon = Daemon("loader", around)
    wait_for(lambda: looked(daemon, ("no-such-command",)).restarts >= 2, 20, "two ends")
    assert daemon.state == "waiting"
    daemon.look(None)
    wait_for(lambda: looked(daemon, None).state in ("off", "waiting"), 5, "no process")
    assert daemon.pid is None


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the kernel of Linux tells a child of its parent's end"
)
def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from tickerplant.jobs.daemons import Surroundings\n"
        f"p = Surroundings({{'TICKERPLANT_DATA': {str(tmp_path)!r}}}).start({FOLLOW!r})\n"
        "print(p.pid, flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: (tmp_path / "lake").exists(), 20, "the child to be at work")
        parent.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 20, "the child's end")
