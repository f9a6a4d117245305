"""The errands of an agenda done one after the other, each in a process of its own, its end written to `jobs`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from tickerplant.jobs.agenda import Done, Errand
from tickerplant.jobs.daemons import Surroundings
from tickerplant.jobs.joblog import Job, job
from tickerplant.model import Store

log = structlog.get_logger()

RUN = "run"
_OUTCOMES = {0: "done", 75: "later"}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 60.0, 1800.0
_REMEMBERED = timedelta(days=45)
_DONE = """
select selection, started_at, ended_at from jobs where what = 'run' and outcome = 'done' and started_at >= ?
"""


def ledger(store: Store, now: datetime) -> dict[tuple[str, str], Done]:
    """When each errand was last done, out of `jobs`."""
    found: dict[tuple[str, str], Done] = {}
    for row in store.query(_DONE, [now - _REMEMBERED]).to_pylist():
        about = msgspec.json.decode(row["selection"])
        name, done = (about["errand"], about["key"]), Done(_utc(row["started_at"]), _utc(row["ended_at"]))
        if name not in found or found[name].ended < done.ended:
            found[name] = done
    return found


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


@dataclass
class _Trouble:
    """An errand that did not end well: when it may be tried again."""

    tries: int = 0
    again_at: float = 0.0
    code: int = 0

    def happened(self, code: int) -> float:
        """Count one more; returns the seconds to wait, doubled each time up to half an hour."""
        wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**self.tries)
        self.tries, self.code, self.again_at = self.tries + 1, code, time.monotonic() + wait
        return wait


@dataclass
class _Running:
    errand: Errand
    process: subprocess.Popen[bytes]
    row: AbstractContextManager[Job]
    run: Job
    began: float = field(default_factory=time.monotonic)


class Runner:
    """Does errands, one at a time. An errand that fails waits longer each time and holds up nobody."""

    def __init__(self, store: Store, around: Surroundings) -> None:
        self._store, self._around = store, around
        self._running: _Running | None = None
        self._trouble: dict[tuple[str, str], _Trouble] = {}

    @property
    def current(self) -> tuple[Errand, float] | None:
        """What runs, and for how many seconds."""
        running = self._running
        return (running.errand, time.monotonic() - running.began) if running else None

    def trouble(self, errand: Errand) -> tuple[int, float] | None:
        """Exit code of its last try and the seconds until the next one; None when it has not failed."""
        found = self._trouble.get(errand.name)
        return (found.code, max(0.0, found.again_at - time.monotonic())) if found else None

    def look(self) -> bool:
        """See whether the present errand has ended; True when it just has."""
        if self._running is None or (code := self._running.process.poll()) is None:
            return False
        self._ended(self._running, code)
        return True

    def begin(self, wanted: Sequence[Errand]) -> None:
        """Start the first errand whose time has come, unless one runs."""
        if self._running is not None:
            return
        now = time.monotonic()
        ready = (e for e in wanted if e.name not in self._trouble or self._trouble[e.name].again_at <= now)
        if (errand := next(ready, None)) is not None:
            row = job(self._store, RUN, {"errand": errand.what, "key": errand.key})
            run = row.__enter__()
            self._running = _Running(errand, self._around.start(errand.arguments), row, run)
            log.info("errand begins", errand=errand.what, key=errand.key)

    def stop(self) -> None:
        """End the present errand; it will be pending again."""
        if self._running is not None:
            self._running.process.terminate()
            self._ended(self._running, self._running.process.wait(), is_stopped=True)

    def _ended(self, running: _Running, code: int, is_stopped: bool = False) -> None:
        errand, self._running = running.errand, None
        running.run.outcome = "stopped" if is_stopped else _OUTCOMES.get(code, "failed")
        if running.run.outcome == "failed":
            running.run.error = f"{' '.join(errand.arguments[:1])}: expected exit code 0, was {code}"
        running.row.__exit__(None, None, None)
        seconds = round(time.monotonic() - running.began, 1)
        if code == 0:
            self._trouble.pop(errand.name, None)
            log.info("errand done", errand=errand.what, key=errand.key, seconds=seconds)
        elif not is_stopped:
            wait = self._trouble.setdefault(errand.name, _Trouble()).happened(code)
            log.warning("errand not done", errand=errand.what, key=errand.key, exit_code=code, again_in_s=wait)
