"""Fetch a table: load what was landed, see what is missing, ask for it, load the answers, see what is left.

The store's ledger decides, so the same call can be made again after anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event

from tickerplant.calendar import Session
from tickerplant.clock import now_ns, utc_now
from tickerplant.errors import Busy, UsageError
from tickerplant.jobs.coverage import Coverage, Dataset, Refusals, coverage, stale, without
from tickerplant.jobs.entitlement import REMEMBERED, Entitlement, refused_endpoints
from tickerplant.jobs.fetch import Fetched, Todo, fetch, todo_of, together
from tickerplant.jobs.landed import load_landed
from tickerplant.jobs.load import VendorOf
from tickerplant.jobs.load_decode import feed_of
from tickerplant.jobs.load_repair import REPAIR, REST
from tickerplant.jobs.pending import Pending, mine
from tickerplant.jobs.plan import Cost, Plan, cost, plans
from tickerplant.jobs.polled import POLLED, RECHECKED, apart, polled_days, recheck_todos, so_far, whole_todos
from tickerplant.jobs.unfinished import KEPT, unfinished
from tickerplant.model import Log, LogWriter, Store
from tickerplant.net.http import RestClient, Traffic
from tickerplant.rest import ALL, Ask
from tickerplant.tables import SNAPSHOTS, TABLES

_PARTITIONS = 64


@dataclass(frozen=True)
class FetchPlan:
    """What is to be done: requests to finish, requests to make, what they take; `before` is the coverage until now."""

    todos: tuple[Todo, ...]
    plan: Plan | None
    cost: Cost
    others: tuple[tuple[str, int], ...] = ()
    """Endpoints that were not chosen, with their calls."""
    before: Coverage | None = None
    polls: tuple[Todo, ...] = ()
    """Requests whose answers are compared with what the store has, since they say some of it again."""

    @property
    def requests(self) -> int:
        """Requests to make or to finish."""
        return len(self.todos) + len(self.polls)

    @property
    def resumed(self) -> int:
        """Requests that another run had begun."""
        return sum(todo.ask is None for todo in self.todos)


@dataclass(frozen=True)
class FetchSummary:
    """What a run did; `rows` were loaded from the answers."""

    fetched: Fetched
    rows: int = 0
    calls: int = 0
    bytes: int = 0
    after: Coverage | None = None
    partitions: tuple[str, ...] = field(default=())


def load_answers(log: Log, store: Store, vendor: str, vendor_of: VendorOf, stop: Event | None = None) -> int:
    """Load what was landed for a vendor; returns the rows."""
    mine = [p for p in log.partitions() if feed_of(p) in ((vendor, REST), (vendor, REPAIR))]
    return load_landed(log, store, vendor_of, mine, stop)


def plan_sessions(
    store: Store,
    client: RestClient,
    dataset: Dataset,
    symbols: Sequence[str],
    sessions: Sequence[Session],
    *,
    feed: str | None = None,
    endpoint: str | None = None,
    again: bool = False,
    now: datetime | None = None,
    is_poll: bool = False,
    landed: Pending | None = None,
    recheck: datetime | None = None,
) -> FetchPlan:
    """What to ask for so that symbols have rows in sessions. Sessions that have not ended are left out, except for a
    poll's: that asks for the intraday bars so far of the running one.

    With `again` what was asked in vain is asked for again; what the plan refused is after a day in any case. With
    `recheck` everything is that was not answered since that moment, also what is there; raises UsageError for a table
    that cannot be compared. `landed` is what the log says beyond the store; then only chains that begin with one of
    `symbols` are gone on with.
    """
    at = now or utc_now()
    over = [s for s in sessions if s.post_close <= at]
    refusals = Refusals(at - REMEMBERED, client.rest.is_plan_by_endpoint)
    if recheck is not None and dataset.table not in RECHECKED:
        raise UsageError(f"--recheck: expected one of {', '.join(RECHECKED)}, was {dataset.table}")
    before = coverage(store, dataset, symbols, over, again=again, refusals=refusals, asked_since=recheck)
    begun = unfinished(store, dataset.vendor, dataset.table, at)
    open_holes = without(before, [t.call for t in begun])
    if landed is not None:
        landed = landed.since(at - KEPT)
        open_holes = without(open_holes, landed.calls())
        begun = mine(landed.begun(begun), symbols)
    begun = [t for t in begun if t.call.endpoint in {e.name for e in client.rest.endpoints}]
    limits, parallel = client.limiter.limits, client.options.parallel
    unseen, half_run = apart(open_holes, polled_days(store, dataset))
    candidates = plans(client.rest, unseen, feed, endpoint) if symbols else []
    chosen = candidates[0] if candidates else None
    todos = (*begun, *(todo_of(chosen.endpoint, chosen.asks) if chosen else ()))
    polls = [*whole_todos(client.rest, half_run, feed)]
    if is_poll and dataset.table in POLLED:
        polls += so_far(store, client.rest, dataset, symbols, feed, at)
    if recheck is not None and symbols:
        polls += recheck_todos(client.rest, stale(store, before, recheck), feed)
    spent = cost(chosen, limits, parallel) if chosen else Cost(0, 0.0, 0.0)
    others = tuple((p.endpoint.name, p.pages) for p in candidates[1:])
    total = replace(spent, calls=spent.calls + len(begun) + len(polls))
    return FetchPlan(todos, chosen, total, others, before, tuple(polls))


FRESH = timedelta(hours=20)
"""Lists and reference data answered this recently are not asked for again, unless told to."""


def plan_lists(
    store: Store,
    client: RestClient,
    table: str,
    symbols: Sequence[str],
    span: tuple[datetime, datetime],
    *,
    endpoint: str | None = None,
    again: bool = False,
    now: datetime | None = None,
    is_poll: bool = False,
    landed: Pending | None = None,
    fresh_for: timedelta = FRESH,
) -> FetchPlan:
    """What to ask for so that reference data (tickers, splits, dividends, ...) of the span are fresh: what was answered
    within `fresh_for` is not asked for again. `landed` is what the log says beyond the store.
    """
    at = now or utc_now()
    fitting = [e for e in client.rest.endpoints if table in e.tables and endpoint in (None, e.name)]
    if not fitting:
        raise UsageError(f"fetch: expected {client.vendor} to have {table}, was no such endpoint")
    wanted = [e for e in fitting if (e.shape == "market") == (not symbols or tuple(symbols) == ALL)] or fitting
    fresh = (
        set() if again or (is_poll and table == SNAPSHOTS.name) else _fresh(store, client.vendor, table, at - fresh_for)
    )
    asks: list[tuple[str, Ask]] = []
    todos: list[Todo] = list(unfinished(store, client.vendor, table, at))
    if landed is not None:
        landed = landed.since(at - KEPT)
        fresh |= landed.fresh(at - fresh_for)
        todos = landed.begun(todos)
    begun = {t.call.endpoint for t in todos}
    for e in wanted:
        names = [ALL[0]] if e.shape in ("market", "day") else [s for s in symbols if (e.name, s) not in fresh]
        for i in range(0, len(names), e.symbols_per_call):
            part = tuple(names[i : i + e.symbols_per_call])
            if part != ALL or ((e.name, ALL[0]) not in fresh and e.name not in begun):
                asks.append((e.name, Ask(table, part, *span)))
                todos += todo_of(e, [asks[-1][1]])
    pace = max((x.seconds / x.calls for x in client.limiter.limits if x.seconds < 86_400), default=0.0)
    return FetchPlan(tuple(todos), None, Cost(len(todos), len(todos) * pace / 60, 0.0))


def _fresh(store: Store, vendor: str, table: str, since: datetime) -> set[tuple[str, str]]:
    rows = store.query(
        "select distinct endpoint, symbol from coverage where vendor = ? and table_name = ? and is_last "
        "and received_at >= ?",
        [vendor, table, since],
    ).to_pylist()
    return {(r["endpoint"], r["symbol"]) for r in rows}


def run_plan(
    log: Log,
    store: Store,
    client: RestClient,
    vendor_of: VendorOf,
    todos: Iterable[Todo],
    *,
    polls: Sequence[Todo] = (),
    stop: Event | None = None,
    report: Callable[[Fetched], None] = lambda fetched: None,
    clock: Callable[[], int] = now_ns,
    again: bool = False,
    now: datetime | None = None,
    is_loading: bool = True,
) -> FetchSummary:
    """Ask for everything and load the answers. What was landed before an error is loaded by the next run.

    With `again` also what the account's plan has refused within the last day. Answers to `polls` go to a partition
    whose rows are compared with the store's, so that none is there twice. Without `is_loading` the answers are left in
    the log to whoever loads.
    """
    client.traffic = Traffic()
    plan = Entitlement({} if again else refused_endpoints(store, client.vendor, now or utc_now()))
    with free_writer(log, client.vendor) as writer:
        fetched = fetch(client, writer, todos, stop=stop, report=report, plan=plan, clock=clock)
    if polls and fetched.outcome in ("done", "failed"):
        with free_writer(log, client.vendor, REPAIR) as writer:
            more = fetch(client, writer, polls, stop=stop, report=report, plan=plan, is_whole=True, clock=clock)
        fetched = together(fetched, more)
    rows = load_answers(log, store, client.vendor, vendor_of) if is_loading else 0
    return FetchSummary(fetched, rows, client.traffic.calls, client.traffic.bytes)


def free_writer(log: Log, vendor: str, kind: str = "rest") -> LogWriter:
    """The first partition for answers that no other process writes to."""
    for number in range(1, _PARTITIONS + 1):
        try:
            return log.writer(f"{vendor}.{kind}" + (f".{number}" if number > 1 else ""))
        except Busy:
            continue
    raise Busy(
        f"log: expected one of {_PARTITIONS} partitions {vendor}.{kind} to be free, was none; do run fewer fetches"
    )


def is_by_session(table: str) -> bool:
    """Whether a table is covered session by session; the others are lists."""
    return TABLES[table].time is not None or table in ("daily_bars", "index_bars")
