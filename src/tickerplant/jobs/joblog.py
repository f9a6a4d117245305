"""The job log: every run of a command is a row of `jobs`, from its start to its end, whatever the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import structlog

from tickerplant.clock import utc_now
from tickerplant.errors import Busy, Retryable, TickerplantError
from tickerplant.model import Batch, Counters, Position, Store
from tickerplant.tables import JOBS

log = structlog.get_logger()

LEDGERS = "plant."
"""How the rows of `positions` begin that count writes of the plant itself: they are in no log."""

_LEDGER = LEDGERS + "jobs"
_TRIES, _PAUSE_S = 100, 0.1


@dataclass
class Job:
    """A run in progress: set what it did before it ends."""

    job: str
    what: str
    selection: Mapping[str, Any]
    started_at: datetime
    rows: int = 0
    bytes: int = 0
    calls: int = 0
    outcome: str = "done"
    error: str | None = None


def unlogged(what: str, selection: Mapping[str, Any]) -> Job:
    """A run that leaves no row: it only lands, and many of them would queue up for the job log."""
    return Job(secrets.token_hex(8), what, selection, utc_now())


@contextmanager
def job(store: Store, what: str, selection: Mapping[str, Any]) -> Iterator[Job]:
    """Write a run's row when it starts (`running`) and when it ends. A run that was killed stays `running`.

    A store that is away costs the row, not the run.
    """
    run = Job(secrets.token_hex(8), what, selection, utc_now())
    _write(store, run, "running", None)
    try:
        yield run
    except BaseException as error:
        run.outcome = "failed" if isinstance(error, Exception) else "stopped"
        run.error = str(error) if isinstance(error, TickerplantError) else type(error).__name__
        raise
    finally:
        _write(store, run, run.outcome, utc_now())


def _write(store: Store, run: Job, outcome: str, ended_at: datetime | None) -> None:
    row = {
        "job": run.job,
        "what": run.what,
        "selection": msgspec.json.encode(run.selection).decode(),
        "started_at": run.started_at,
        "ended_at": ended_at,
        "rows": run.rows,
        "bytes": run.bytes,
        "calls": run.calls,
        "outcome": outcome,
        "error": run.error,
    }
    batch = Batch(JOBS, pa.RecordBatch.from_pylist([row], JOBS.schema))
    try:
        note(store, _LEDGER, [batch])
    except (Busy, Retryable) as problem:
        log.warning("job not logged", job=run.job, what=run.what, problem=str(problem))


def note(store: Store, ledger: str, batches: Sequence[Batch]) -> None:
    """Write rows that come from no log; `ledger` counts such writes. Raises Busy after many tries."""
    for left in reversed(range(_TRIES)):
        try:
            with store.loading(ledger, wait_s=0):
                progress = store.progress(ledger)
                start = max(progress.position, *progress.cuts, Position(0))
                store.write(ledger, progress.position, Position(start + 1), batches, Counters())
                return
        except Busy:
            if not left:
                raise
            time.sleep(_PAUSE_S)
