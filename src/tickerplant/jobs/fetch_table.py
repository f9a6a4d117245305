"""Fetch a table: load what was landed, see what is missing, ask for it, load the answers, see what is left.

The store's ledger decides, so the same call can be made again after anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event

from tickerplant.calendar import Session
from tickerplant.errors import Busy, UsageError
from tickerplant.jobs.coverage import Coverage, Dataset, coverage, without
from tickerplant.jobs.fetch import Fetched, Todo, fetch, todo_of
from tickerplant.jobs.landed import load_landed
from tickerplant.jobs.load import VendorOf
from tickerplant.jobs.plan import Cost, Plan, cost, plans
from tickerplant.jobs.unfinished import unfinished
from tickerplant.model import Log, LogWriter, Store
from tickerplant.net.http import RestClient, Traffic
from tickerplant.rest import ALL, Ask
from tickerplant.tables import TABLES

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
    mine = [p for p in log.partitions() if p == f"{vendor}.rest" or p.startswith(f"{vendor}.rest.")]
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
) -> FetchPlan:
    """What to ask for so that symbols have rows in sessions. Sessions that have not ended are left out.

    With `again` what was asked in vain is asked for again.
    """
    at = now or datetime.now(UTC)
    over = [s for s in sessions if s.post_close <= at]
    before = coverage(store, dataset, symbols, over, again=again)
    begun = unfinished(store, dataset.vendor, dataset.table, at)
    open_holes = without(before, [t.call for t in begun])
    limits, parallel = client.limiter.limits, client.options.parallel
    candidates = plans(client.rest, open_holes, feed, endpoint) if symbols else []
    chosen = candidates[0] if candidates else None
    todos = (*begun, *(todo_of(chosen.endpoint, chosen.asks) if chosen else ()))
    spent = cost(chosen, limits, parallel) if chosen else Cost(0, 0.0, 0.0)
    others = tuple((p.endpoint.name, p.pages) for p in candidates[1:])
    return FetchPlan(todos, chosen, replace(spent, calls=spent.calls + len(begun)), others, before)


_FRESH = timedelta(hours=20)
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
) -> FetchPlan:
    """What to ask for so that reference data (tickers, splits, dividends, ...) of the span are fresh."""
    at = now or datetime.now(UTC)
    fitting = [e for e in client.rest.endpoints if table in e.tables and endpoint in (None, e.name)]
    if not fitting:
        raise UsageError(f"fetch: expected {client.vendor} to have {table}, was no such endpoint")
    wanted = [e for e in fitting if (e.shape == "market") == (not symbols or tuple(symbols) == ALL)] or fitting
    fresh = set() if again else _fresh(store, client.vendor, table, at - _FRESH)
    asks: list[tuple[str, Ask]] = []
    todos: list[Todo] = list(unfinished(store, client.vendor, table, at))
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
    stop: Event | None = None,
    report: Callable[[Fetched], None] = lambda fetched: None,
) -> FetchSummary:
    """Ask for everything and load the answers. What was landed before an error is loaded by the next run."""
    client.traffic = Traffic()
    with free_writer(log, client.vendor) as writer:
        fetched = fetch(client, writer, todos, stop=stop, report=report)
    rows = load_answers(log, store, client.vendor, vendor_of)
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
