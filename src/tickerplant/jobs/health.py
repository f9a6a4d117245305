"""Health of a plant: feed, log, store, lag, gaps, disk, clock, quotas, last jobs. Reads only, in well under a second.

Each finding has a name that stays, so that an alert can begin with it and be over with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from tickerplant.bucket import is_bucket
from tickerplant.calendar import session_at
from tickerplant.clock import utc_now
from tickerplant.errors import TickerplantError
from tickerplant.jobs.accounts import LIMITS_FILE, account, limits_of, rest_of
from tickerplant.jobs.capture_shards import shares_of
from tickerplant.jobs.check import check_clock, nearest_folder, owned
from tickerplant.jobs.finding import Check, Outcome
from tickerplant.jobs.lag import lags, waiting
from tickerplant.jobs.load_decode import feed_of
from tickerplant.jobs.load_repair import live_partitions
from tickerplant.jobs.load_share import SEATS
from tickerplant.logs import AnyLog, open_log
from tickerplant.logs.files import FilesLog
from tickerplant.logs.layout import SHIPPED
from tickerplant.model import Log, Store
from tickerplant.net.limits import Limiter, account_name
from tickerplant.settings import Settings
from tickerplant.stores import StoreOptions, is_postgres, open_store
from tickerplant.vendors import vendors

_SILENT_S, _LAG_WARN_S, _LAG_FAIL_S = 60.0, 60.0, 600.0
_DISK_WARN, _DISK_FAIL = 0.10, 0.03
_UNHEALED_AFTER = timedelta(hours=1)
_LOOK_BACK = timedelta(days=7)
_STUCK = timedelta(hours=12)
_DAY_S = 86_400.0

_GAPS = """
select count(case when state = 'open' then 1 end) as opened, count(case when state = 'closed' then 1 end) as closed,
    count(case when state = 'closed' and "end" < ? then 1 end) as old
from gaps where "start" >= ?
"""
_JOBS = """
select what, outcome, error, started_at from (
    select j.*, row_number() over (partition by what order by started_at desc) as n from jobs j where started_at >= ?
) newest where n = 1 order by what
"""


def health(settings: Settings, options: StoreOptions, now: datetime | None = None) -> list[Check]:
    """All findings, the worst of each kind named. A store that is away is a finding, not an error."""
    at = now or utc_now()
    log = open_log(settings.log)
    found = [*_shipping(settings, log), *_disks(settings, log), check_clock(), *_quotas(settings)]
    try:
        found = [*_feeds(log, at), *found]
    except TickerplantError as error:
        found.append(Check("log", "fail", str(error), "look at its service and the keys"))
    try:
        store = open_store(settings.store, read_only=True, options=options)
    except TickerplantError as error:
        return [*found, Check("store", "fail", str(error), "start the server, or `tickerplant config`")]
    try:
        found += [*_lags(log, store), *_loaders(settings, store), *_stored(store, at)]
    except TickerplantError as error:
        found.append(Check("store", "fail", str(error), "start the server, or `tickerplant config`"))
    finally:
        store.close()
    return found


def worst(found: list[Check]) -> Outcome:
    """The outcome of all together."""
    outcomes = {c.outcome for c in found}
    return "fail" if "fail" in outcomes else "warn" if "warn" in outcomes else "ok"


def _feeds(log: AnyLog, at: datetime) -> Iterator[Check]:
    """Whether each feed that is captured on this machine is written to while its session runs."""
    running, owners = session_at(at), owned(str(log.folder))
    for partition in (p for vendor in vendors() for p in live_partitions(log, vendor)):
        if not (log.folder / partition).is_dir():
            continue
        name, age = f"feed {partition}", _age(log, partition)
        if running is None:
            yield Check(name, "ok", "no session now", value=age)
        elif partition not in owners and (count := _captured_in(partition, owners)):
            yield Check(name, "ok", f"captured in {count} now", value=age)
        elif partition not in owners:
            yield Check(name, "fail", "no capture runs in a session", "tickerplant run, or capture", age)
        elif age > _SILENT_S:
            yield Check(name, "fail", f"nothing written for {age:,.0f} s", "look at the capture's log lines", age)
        else:
            yield Check(name, "ok", f"written to {age:,.0f} s ago", value=age)


def _captured_in(partition: str, owners: set[str]) -> str:
    """In how many shares the feed of a partition is captured now, when that is another number than the partition's."""
    feed = feed_of(partition)
    running = {shares_of(p) for p in owners if feed_of(p) == feed}
    found = max(running - {shares_of(partition)}, default=0)
    return f"{found} shares" if found > 1 else "one" if found else ""


def _age(log: AnyLog, partition: str) -> float:
    """Seconds since a partition was written to on this machine."""
    held = FilesLog(log.folder).segments(partition)
    names = [held[-1].name] if held else []
    for name in (*names, f"{partition}/{SHIPPED}"):
        with suppress(FileNotFoundError):
            return max(0.0, time.time() - (log.folder / name).stat().st_mtime)
    return math.inf


def _shipping(settings: Settings, log: AnyLog) -> Iterator[Check]:
    """What of a log on S3 or Kinesis waits on this machine, and why."""
    for one in waiting(log, settings.spool_bytes):
        name, trouble = f"spool {one.partition}", one.trouble
        shown = f"{one.bytes:,} bytes in {one.segments} segments wait, {one.limit_bytes:,} allowed"
        if trouble:
            shown += f"; nothing shipped for {max(0.0, time.time() - trouble.since_ns / 1e9):,.0f} s: {trouble.reason}"
        outcome: Outcome = "fail" if one.is_over or (trouble and trouble.is_refused) else "warn" if trouble else "ok"
        do = "" if outcome == "ok" else "look at the service; nothing is lost until the disk is full"
        yield Check(name, outcome, shown, do, one.bytes)


def _disks(settings: Settings, log: AnyLog) -> Iterator[Check]:
    import shutil

    places = {"disk of the log": str(log.folder)}
    if not is_postgres(settings.store) and not is_bucket(settings.store):
        places["disk of the store"] = settings.store
    for name, url in places.items():
        usage = shutil.disk_usage(nearest_folder(url))
        share, shown = usage.free / usage.total, f"{usage.free / 2**30:,.1f} GiB free ({usage.free / usage.total:.0%})"
        outcome: Outcome = "fail" if share < _DISK_FAIL else "warn" if share < _DISK_WARN else "ok"
        do = "" if outcome == "ok" else "free some disk, or set DATA_RETENTION_DAYS: a capture stops when it is full"
        yield Check(name, outcome, shown, do, usage.free)


def _quotas(settings: Settings) -> Iterator[Check]:
    """Calls used of the daily allowances; a spent one is no fault, but whoever waits for data wants to know."""
    for name, vendor in vendors().items():
        if vendor.rest is None:
            continue
        try:
            who = account(settings, name)
        except TickerplantError:
            continue
        limits = [x for x in limits_of(rest_of(vendor), who) if x.seconds >= _DAY_S]
        if limits:
            account_of = account_name(name, who.credentials)
            limiter = Limiter(Path(settings.data) / LIMITS_FILE, account_of, limits)
            used = limiter.used(limits[0])
            limiter.close()
            spent = used >= limits[0].calls
            yield Check(
                f"quota {name}", "warn" if spent else "ok", f"{used} of {limits[0].calls} calls today", value=used
            )


def _lags(log: Log, store: Store) -> Iterator[Check]:
    """How long ago the oldest record that is not loaded was received, by partition."""
    for partition, lag in lags(log, {p: store.progress(p).position for p in log.partitions()}).items():
        behind = lag.seconds or 0.0
        outcome: Outcome = "fail" if behind > _LAG_FAIL_S else "warn" if behind > _LAG_WARN_S else "ok"
        shown = "unknown" if lag.seconds is None else f"{behind:,.0f} s behind" if behind else "everything is loaded"
        do = "" if outcome == "ok" else "tickerplant load --follow"
        yield Check(f"lag {partition}", outcome, shown, do, lag.seconds)


def _loaders(settings: Settings, store: Store) -> Iterator[Check]:
    """How many loaders share the log; none may be right, and lags tell when it is not."""
    wanted, found = settings.run_loaders, len(store.loaders(SEATS))
    if wanted > 1 and found:
        outcome: Outcome = "warn" if found < wanted else "ok"
        do = "" if outcome == "ok" else "look at the loaders' log lines"
        yield Check("loaders", outcome, f"{found} of {wanted} follow the log", do, found)


def _stored(store: Store, at: datetime) -> Iterator[Check]:
    yield Check("store", "ok", "answers")
    gaps = store.query(_GAPS, [at - _UNHEALED_AFTER, at - _LOOK_BACK]).to_pylist()[0]
    shown = f"{gaps['opened']} open, {gaps['closed']} over and not healed, in seven days"
    yield Check(
        "gaps", "warn" if gaps["old"] else "ok", shown, "tickerplant repair" if gaps["old"] else "", gaps["old"]
    )
    rows = store.query("select count(*) as n from quarantine where state = 'open'").to_pylist()
    aside = int(rows[0]["n"])
    do = "tickerplant load --quarantined after an upgrade; `status` shows why" if aside else ""
    yield Check("quarantine", "warn" if aside else "ok", f"{aside:,} messages set aside", do, aside)
    for job in store.query(_JOBS, [at - _LOOK_BACK]).to_pylist():
        yield _job(job["what"], job["outcome"], job["error"], at - job["started_at"])


def _job(what: str, outcome: str, error: str | None, since: timedelta) -> Check:
    """The last run of a command or task."""
    name, hours = f"job {what}", since / timedelta(hours=1)
    shown = f"{outcome} {hours:,.1f} h ago{f': {error}' if error else ''}"
    if outcome == "failed":
        return Check(name, "fail", shown, f"tickerplant {what}, and read its error", hours)
    if outcome == "running" and since > _STUCK:
        return Check(name, "warn", f"running for {hours:,.1f} h, or killed", f"do {what} again", hours)
    return Check(name, "ok", shown, value=hours)
