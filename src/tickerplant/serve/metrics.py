"""What Prometheus is told of a plant: health findings and counts, as metrics. Pure; `observe` does the looking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tickerplant.jobs.finding import Check
from tickerplant.jobs.status import PartitionStatus, Status, TableStatus
from tickerplant.serve.exposition import Metric, counter, gauge

_OUTCOMES = ("ok", "warn", "fail")


@dataclass(frozen=True)
class Counts:
    """What takes a while to count. `gaps` and `jobs` are rows: feed, state, n; what, outcome, rows, start, end."""

    status: Status
    gaps: tuple[Mapping[str, Any], ...]
    jobs: tuple[Mapping[str, Any], ...]
    at: datetime
    took_s: float


def metrics(checks: Sequence[Check], counts: Counts | None, at: datetime, version: str) -> list[Metric]:
    """Every metric at a moment; without counts those of the findings alone."""
    found = [gauge("tickerplant_build_info", "Version of this software", [(1, {"version": version})])]
    found += _of_checks(checks)
    if counts is not None:
        found += [*_of_plant(counts, at), *_of_partitions(counts.status.partitions), *_of_tables(counts.status.tables)]
        found += [*_of_gaps(counts), *_of_jobs(counts, at)]
    return found


def _of_checks(checks: Sequence[Check]) -> Iterator[Metric]:
    by = {outcome: sum(c.outcome == outcome for c in checks) for outcome in _OUTCOMES}
    yield gauge("tickerplant_healthy", "1 unless a check fails", [(not by["fail"], {})])
    yield gauge("tickerplant_checks", "Checks by outcome", [(n, {"outcome": o}) for o, n in by.items()])
    yield gauge(
        "tickerplant_check_state",
        "Each check: 0 ok, 1 warn, 2 fail",
        [(_OUTCOMES.index(c.outcome), {"check": c.name}) for c in checks],
    )
    yield gauge(
        "tickerplant_store_up",
        "Whether the store answers",
        [(c.outcome == "ok", {}) for c in checks if c.name == "store"],
    )
    yield _measured(
        checks, "tickerplant_feed_silence_seconds", "Since a live feed was written to", "feed ", "partition"
    )
    yield _measured(
        checks, "tickerplant_lag_seconds", "Since the oldest record not loaded was received", "lag ", "partition"
    )
    yield _measured(checks, "tickerplant_disk_free_bytes", "Free disk", "disk of the ", "disk")
    yield _measured(checks, "tickerplant_quota_used_calls", "Calls used of the day's allowance", "quota ", "vendor")
    yield _measured(checks, "tickerplant_quarantine_open_messages", "Messages set aside", "quarantine", None)


def _measured(checks: Sequence[Check], name: str, meaning: str, begin: str, label: str | None) -> Metric:
    """The values of the checks whose names begin so; what follows in the name is the label."""
    chosen = [c for c in checks if c.name.startswith(begin) and (label or c.name == begin)]
    return gauge(name, meaning, [(c.value, {label: c.name.removeprefix(begin)} if label else {}) for c in chosen])


def _of_plant(counts: Counts, at: datetime) -> Iterator[Metric]:
    status = counts.status
    info = {"layout": status.layout, "version": status.version}
    yield gauge("tickerplant_store_info", "Kind of store", [(1, info)])
    yield gauge("tickerplant_balanced", "Whether received = stored + quarantined + control", [(status.balanced, {})])
    yield gauge("tickerplant_missing_rows", "Stored by the counters, not in the tables", [(status.missing_rows, {})])
    age = max(0.0, (at - counts.at).total_seconds())
    yield gauge("tickerplant_counts_age_seconds", "Since lag, rows, gaps and jobs were last counted", [(age, {})])
    yield gauge("tickerplant_counts_duration_seconds", "How long counting them took", [(counts.took_s, {})])


def _of_partitions(partitions: Sequence[PartitionStatus]) -> Iterator[Metric]:
    labels = [({"partition": p.partition}, p) for p in partitions]
    yield gauge("tickerplant_lag_bytes", "Bytes of the log not loaded yet", [(p.lag_bytes, x) for x, p in labels])
    yield gauge("tickerplant_log_bytes", "Bytes of the log, uncompressed", [(p.log_bytes, x) for x, p in labels])
    yield gauge("tickerplant_log_stored_bytes", "Bytes of the log on disk", [(p.stored_bytes, x) for x, p in labels])
    yield gauge("tickerplant_log_segments", "Segments of the log", [(p.segments, x) for x, p in labels])
    yield counter("tickerplant_received_messages_total", "Messages loaded", [(p.received, x) for x, p in labels])
    yield counter("tickerplant_stored_messages_total", "Of them, became rows", [(p.stored, x) for x, p in labels])
    yield counter("tickerplant_control_messages_total", "Of them, control", [(p.control, x) for x, p in labels])
    yield gauge("tickerplant_quarantined_messages", "Of them, quarantined", [(p.quarantined, x) for x, p in labels])


def _of_tables(tables: Sequence[TableStatus]) -> Iterator[Metric]:
    labels = [({"table": t.table}, t) for t in tables]
    yield gauge("tickerplant_table_rows", "Rows of each table", [(t.rows, x) for x, t in labels])
    yield gauge("tickerplant_table_symbols", "Symbols of each table", [(t.symbols, x) for x, t in labels])
    yield gauge("tickerplant_table_bytes", "Bytes of each table", [(t.bytes, x) for x, t in labels])
    yield counter("tickerplant_table_dropped_rows_total", "Rows retention dropped", [(t.dropped, x) for x, t in labels])
    yield gauge(
        "tickerplant_table_last_event_timestamp_seconds",
        "Event time of the newest row",
        [(t.last.timestamp() if isinstance(t.last, datetime) else None, x) for x, t in labels],
    )


def _of_gaps(counts: Counts) -> Iterator[Metric]:
    samples = [(float(g["n"]), {"feed": g["feed"], "state": g["state"]}) for g in counts.gaps]
    yield gauge("tickerplant_gaps", "Stretches not listened to: open, closed (not healed yet) or healed", samples)


def _of_jobs(counts: Counts, at: datetime) -> Iterator[Metric]:
    """The last run of each command: a run in progress has the outcome `running` and no duration."""
    ages = [(_between(j["start"], at), {"what": j["what"], "outcome": j["outcome"]}) for j in counts.jobs]
    yield gauge("tickerplant_job_last_age_seconds", "Since the last run of each command began", ages)
    lasted = [(_between(j["start"], j["end"]), {"what": j["what"]}) for j in counts.jobs if j["end"]]
    yield gauge("tickerplant_job_last_duration_seconds", "How long it took", lasted)
    rows = [(float(j["rows"] or 0), {"what": j["what"]}) for j in counts.jobs]
    yield gauge("tickerplant_job_last_rows", "Rows it stored", rows)


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
