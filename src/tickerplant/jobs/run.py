"""Run a plant on the market's clock: capture in sessions, load and repair throughout, the errands of evening and week.

One process looks at everything once a second and waits for nothing. It keeps no state: after a kill, a missed night or
a step of the clock the calendar and the ledger say anew what is to be done (docs/run.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Event

import structlog

from tickerplant.calendar import last_session, sessions
from tickerplant.clock import utc_now
from tickerplant.errors import Busy, Retryable
from tickerplant.jobs import agenda
from tickerplant.jobs.agenda import Errand, Ledger, Missed, Work
from tickerplant.jobs.daemons import Daemon, State, Surroundings
from tickerplant.jobs.errands import Runner, ledger
from tickerplant.jobs.rhythm import Beat
from tickerplant.jobs.status import behind
from tickerplant.model import Log
from tickerplant.stores import AnyStore
from tickerplant.stores.lease import FileLease
from tickerplant.tables import TABLES

log_lines = structlog.get_logger()

HEALTH_EVERY = timedelta(minutes=30)

_LOOK_S, _READ_S = 0.5, 2.0
_SETTLING = timedelta(minutes=10)
_DRAIN_S = 600.0


@dataclass(frozen=True)
class Plan:
    """What runs. `captures` give, by name, the arguments of a capture that ends at a moment; `loaders` and `beside` are
    commands that run throughout, by name; `health` those of the health check."""

    work: Work
    captures: Mapping[str, Callable[[datetime], Sequence[str]]]
    loaders: Mapping[str, Sequence[str]]
    beside: Mapping[str, Sequence[str]]
    health: Sequence[str] = ("health", "--alert", "--json")
    health_every: timedelta = HEALTH_EVERY


@dataclass(frozen=True)
class DaemonView:
    """One command that runs beside the others."""

    name: str
    state: State
    pid: int | None
    seconds: float
    restarts: int


@dataclass(frozen=True)
class ErrandView:
    """An errand that is due. `wait_s` and `exit_code` when its last try did not end well."""

    what: str
    key: str
    seconds: float | None = None
    exit_code: int | None = None
    wait_s: float = 0.0


@dataclass(frozen=True)
class View:
    """Where a plant is. `behind` is bytes of the log that are not loaded, None while the store is away."""

    now: datetime
    window: tuple[datetime, datetime]
    daemons: tuple[DaemonView, ...]
    errands: tuple[ErrandView, ...]
    done: tuple[tuple[str, str, datetime], ...]
    behind: int | None
    gaps: int | None
    next_event: tuple[datetime, str]
    health: int | None


@dataclass
class _Known:
    """What was last read from the store."""

    at: float = float("-inf")
    ledger: Ledger = field(default_factory=dict)
    pending: list[Errand] = field(default_factory=list)
    behind: int | None = None
    gaps: int | None = None


class Conductor:
    """Holds the children and brings them, look by look, to what the agenda wants."""

    def __init__(self, plan: Plan, log: Log, store: AnyStore, around: Surroundings) -> None:
        self._plan, self._log, self._store = plan, log, store
        self._captures, self._loaders, self._beside = (
            {name: Daemon(name, around) for name in names} for names in (plan.captures, plan.loaders, plan.beside)
        )
        self._runner = Runner(store, around)
        self._health = Beat(plan.health, plan.health_every, around)
        self._known = _Known()

    def look(self) -> View:
        """One round: capture on or off, everything else kept running, the next errand begun when none runs."""
        now = utc_now()
        begin, end = agenda.capture_window(now)
        for name, daemon in self._captures.items():
            daemon.look(self._plan.captures[name](end) if begin <= now < end else None)
        for name, daemon in (*self._loaders.items(), *self._beside.items()):
            daemon.look(self._plan.loaders.get(name) or self._plan.beside[name])
        self._health.look(now)
        has_ended = self._runner.look()
        if has_ended or time.monotonic() - self._known.at >= _READ_S:
            self._read(now)
        if self._is_settled(now):
            self._runner.begin(self._known.pending)
        return self._view(now)

    def end(self) -> None:
        """End every child: first who writes to the log, last the loaders, which finish what the log holds."""
        self._runner.stop()
        self._health.stop()
        _wait_for([*self._captures.values(), *self._beside.values()])
        _wait_for([*self._loaders.values()])

    def _read(self, now: datetime) -> None:
        try:
            self._known = self._looked(now)
        except (Busy, Retryable) as problem:
            log_lines.warning("store away", problem=str(problem))
            self._known = _Known(time.monotonic(), self._known.ledger)

    def _looked(self, now: datetime) -> _Known:
        store, work = self._store, self._plan.work
        found = ledger(store, now)
        gaps = store.query("select count(*) as n from gaps where state <> 'healed'").to_pylist()[0]["n"]
        work = work if work.history else replace(work, history=first_day(store))
        pending = agenda.pending(work, found, now, missed_sessions(store, work, now))
        return _Known(time.monotonic(), found, pending, behind(self._log, store), gaps)

    def _is_settled(self, now: datetime) -> bool:
        """Whether the evening may begin: everything captured is loaded, or that takes too long to be waited for."""
        over = last_session(now).post_close
        return self._known.behind == 0 or now - over > _SETTLING

    def _view(self, now: datetime) -> View:
        known = self._known
        at = time.monotonic()
        daemons = (*self._captures.values(), *self._loaders.values(), *self._beside.values())
        done = sorted(((*name, d.ended) for name, d in known.ledger.items()), key=lambda x: x[2])
        return View(
            now,
            agenda.capture_window(now),
            tuple(DaemonView(d.name, d.state, d.pid, at - d.since, d.restarts) for d in daemons),
            tuple(self._errands()),
            tuple(done[-6:]),
            known.behind,
            known.gaps,
            agenda.next_event(now),
            self._health.code,
        )

    def _errands(self) -> list[ErrandView]:
        current = self._runner.current
        found = [ErrandView(*current[0].name, current[1])] if current else []
        for errand in self._known.pending:
            if current is None or errand.name != current[0].name:
                trouble = self._runner.trouble(errand)
                found.append(ErrandView(*errand.name, None, *(trouble or (None, 0.0))))
        return found


def missed_sessions(store: AnyStore, work: Work, now: datetime) -> list[Missed]:
    """For each live table the last sessions that ended without a row, since the first session with any row at all."""
    held = {table: store.sessions(TABLES[table]) for table in work.live_tables}
    first = min((days[0] for days in held.values() if days), default=None)
    if first is None:
        return []
    last = last_session(now)
    recent = sessions(agenda.before(last, agenda.LOOK_BACK), last.day + timedelta(days=1))
    days = [s.day for s in recent if s.day > first]
    return [(table, day) for day in days for table in held if day not in held[table]]


def first_day(store: AnyStore) -> date | None:
    """The first session of daily bars, None when there are none."""
    found: date | None = store.query("select min(session) as first from daily_bars").to_pylist()[0]["first"]
    return found


def run(
    plan: Plan,
    log: Log,
    store: AnyStore,
    around: Surroundings,
    lock: Path,
    stop: Event,
    tell: Callable[[View], None] = lambda view: None,
) -> None:
    """Run until `stop`. Raises Busy when another run holds the plant."""
    with FileLease(lock, "run", wait_s=0):
        conductor = Conductor(plan, log, store, around)
        try:
            while not stop.is_set():
                tell(conductor.look())
                stop.wait(_LOOK_S)
        finally:
            conductor.end()


def _wait_for(daemons: Sequence[Daemon]) -> None:
    """Ask children to end and wait; who takes longer than ten minutes is killed, which loses nothing."""
    deadline = time.monotonic() + _DRAIN_S
    for daemon in daemons:
        daemon.look(None)
    while any(d.state != "off" for d in daemons if d.pid):
        if time.monotonic() > deadline:
            for daemon in daemons:
                daemon.kill()
        time.sleep(0.1)
        for daemon in daemons:
            daemon.look(None)
