"""Repair: what was missed while nobody listened is fetched out of the vendor's history, and the gap says so.

Everything goes through the log: answers and the note that closes a gap are landed, `load` adds the rows that the store
lacks (docs/decisions/0201-repair.md). Killed anywhere, the next run asks again and adds nothing twice.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event

import msgspec
import structlog

from tickerplant.clock import now_ns, utc_now
from tickerplant.jobs.fetch import Fetched, Todo, fetch, todo_of
from tickerplant.jobs.fetch_table import free_writer, plan_lists, run_plan
from tickerplant.jobs.landed import load_landed
from tickerplant.jobs.load import VendorOf
from tickerplant.jobs.load_repair import REPAIR, is_loaded_until, is_repair
from tickerplant.jobs.repair_holes import TABLE_OF, GapRow, Hole, Try
from tickerplant.jobs.repair_spans import Stretch, asks, seen_symbols, stretches
from tickerplant.jobs.universe import listed
from tickerplant.model import Kind, Log, LogWriter, Store
from tickerplant.net.http import RestClient, Traffic
from tickerplant.rest import ALL, Endpoint, Outcome

log_lines = structlog.get_logger()

_LOOK_S = 0.2


@dataclass(frozen=True)
class RepairOptions:
    """`look_back`: how much older than the hole a trade reported in it may be. `settling`: how long a live message may
    still come after history has it."""

    look_back: timedelta = timedelta(minutes=15)
    settling: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class TableResult:
    """Rows of one table within the stretch, before and after, and as the vendor has them."""

    stretch: Stretch
    before: int
    after: int
    vendor: int


@dataclass(frozen=True)
class HoleResult:
    """What became of one hole."""

    hole: Hole
    is_healed: bool
    tables: tuple[TableResult, ...] = ()
    problem: str | None = None
    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def added(self) -> int:
        """Rows that were missing."""
        return sum(t.after - t.before for t in self.tables)


@dataclass
class _Work:
    """One hole being filled."""

    log: Log
    store: Store
    client: RestClient
    vendor_of: VendorOf
    hole: Hole
    options: RepairOptions
    stop: Event
    report: Callable[[Fetched], None]
    began: datetime = field(default_factory=utc_now)
    chains: set[str] = field(default_factory=set)
    active: list[str] | None = None

    def todos(self, found: Sequence[Stretch]) -> list[Todo]:
        """Requests for all stretches; rows come under the live feed's name."""
        feed = self.client.rest.history_feeds.get(self.hole.feed)
        made: list[Todo] = []
        for stretch in found:
            endpoint = _endpoint(self.client, stretch.table)
            if endpoint is None or feed is None:
                continue
            for todo in todo_of(endpoint, asks(stretch, self._symbols(stretch), endpoint, feed)):
                call = msgspec.structs.replace(todo.call, feed=self.hole.feed)
                made.append(replace(todo, call=call, chain=f"repair-{secrets.token_hex(8)}"))
        self.chains = {todo.chain for todo in made}
        return made

    def _symbols(self, stretch: Stretch) -> list[str]:
        named = self.hole.symbols
        if named is not None and named != ALL:
            return list(named)
        seen = seen_symbols(self.store, self.hole, stretch)
        if named is None:
            return seen
        if self.active is None:
            self.active = self._listed()
        return list(dict.fromkeys([*seen, *self.active]))

    def _listed(self) -> list[str]:
        """Active tickers of the vendor; asked for when there are none yet."""
        if found := listed(self.store, self.client.vendor):
            return found
        now = utc_now()
        plan = plan_lists(self.store, self.client, "tickers", [], (now - timedelta(days=1), now))
        run_plan(self.log, self.store, self.client, self.vendor_of, plan.todos, stop=self.stop)
        return listed(self.store, self.client.vendor)

    def count(self, stretch: Stretch) -> int:
        """Rows of the feed within a stretch; of bars the last revision of each."""
        table = "bars_latest" if stretch.table == "bars" else stretch.table
        sql = f"select count(*) as n from {table} where vendor = ? and feed = ? and ts >= ? and ts < ?"
        values = [self.hole.vendor, self.hole.feed, stretch.start, stretch.end]
        return int(self.store.query(sql, values).to_pylist()[0]["n"])

    def vendor_counts(self) -> Counter[str]:
        """Rows of the answers by table, out of `coverage`."""
        sql = 'select table_name, chain, "rows" from coverage where vendor = ? and received_at >= ?'
        found: Counter[str] = Counter()
        for row in self.store.query(sql, [self.hole.vendor, self.began]).to_pylist():
            found[row["table_name"]] += row["rows"] if row["chain"] in self.chains else 0
        return found

    def load(self) -> None:
        """Load everything landed by repairs."""
        mine = [p for p in self.log.partitions() if is_repair(p) and p.partition(".")[0] == self.hole.vendor]
        load_landed(self.log, self.store, self.vendor_of, mine, settling_s=self.options.settling.total_seconds())


def repair(
    log: Log,
    store: Store,
    client: RestClient,
    vendor_of: VendorOf,
    hole: Hole,
    options: RepairOptions | None = None,
    *,
    stop: Event | None = None,
    report: Callable[[Fetched], None] = lambda fetched: None,
) -> HoleResult:
    """Fill one hole and note it. Waits until what was received live around it is loaded.

    Raises Fatal when the account is refused; nothing is lost then, the hole stays to be filled.
    """
    work = _Work(log, store, client, vendor_of, hole, options or RepairOptions(), stop or Event(), report)
    began = time.monotonic()
    if not _wait_loaded(work):
        return HoleResult(hole, False, problem="stopped")
    found = stretches(store, hole, work.options.look_back)
    before = {s.table: work.count(s) for s in found}
    todos = work.todos(found)
    with free_writer(log, hole.vendor, REPAIR) as writer:
        client.traffic = Traffic()
        fetched = fetch(client, writer, todos, stop=work.stop, report=report, is_whole=True)
        work.load()
        counts = work.vendor_counts()
        tables = tuple(TableResult(s, before[s.table], work.count(s), counts[s.table]) for s in found)
        problem = _problem(hole, todos, fetched)
        traffic, took = client.traffic, time.monotonic() - began
        result = HoleResult(hole, problem is None, tables, problem, traffic.calls, traffic.bytes, took)
        _note(writer, result, fetched)
    work.load()
    log_lines.info("repaired" if result.is_healed else "not repaired", end=str(hole.end), added=result.added)
    return result


def _wait_loaded(work: _Work) -> bool:
    until = int((work.hole.end + work.options.settling).timestamp() * 1e9)
    while not is_loaded_until(work.log, work.store, work.hole.vendor, until):
        if work.stop.wait(_LOOK_S):
            return False
    return True


def _endpoint(client: RestClient, table: str) -> Endpoint | None:
    """The endpoint that gives the past of several symbols."""
    fitting = [e for e in client.rest.endpoints if table in e.tables and e.shape == "symbols"]
    return fitting[0] if fitting else None


def _problem(hole: Hole, todos: Sequence[Todo], fetched: Fetched) -> str | None:
    """Why a hole is not filled, None when it is. Symbols that the vendor refuses have no history to wait for."""
    if not todos:
        return None if all(not TABLE_OF.get(g.channel) for g in hole.gaps) else f"no history of feed {hole.feed}"
    refused = {s for f in fetched.failures if f.outcome == Outcome.BAD_REQUEST for s in f.symbols}
    if any(f.outcome != Outcome.BAD_REQUEST for f in fetched.failures) or fetched.outcome not in ("done", "failed"):
        return fetched.failures[0].reason if fetched.failures else fetched.outcome
    asked = {s for todo in todos for s in todo.call.symbols}
    return None if asked - refused else fetched.failures[0].reason


def _note(writer: LogWriter, result: HoleResult, fetched: Fetched) -> None:
    """Land what became of each gap of the hole."""
    for gap in result.hole.gaps:
        tried = _tried(gap, result, fetched)
        state = "healed" if result.is_healed and gap.channel in TABLE_OF else "closed"
        writer.append(Kind.CONTROL, now_ns(), msgspec.json.encode(gap.note(state, tried)))
    writer.sync()


def _tried(gap: GapRow, result: HoleResult, fetched: Fetched) -> Try:
    at, tries = utc_now().isoformat(), (gap.tried.tries if gap.tried else 0) + 1
    if gap.channel not in TABLE_OF:
        return Try(at=at, tries=tries, problem=f"{gap.vendor} keeps no history of {gap.channel}", is_final=True)
    mine = [t for t in result.tables if t.stretch.table in TABLE_OF[gap.channel]]
    early = any(f.outcome == Outcome.NOT_ENTITLED for f in fetched.failures)
    return Try(
        at=at,
        tries=tries,
        problem=result.problem,
        is_too_early=early and not result.is_healed,
        spans={t.stretch.table: t.stretch.shown for t in mine},
        rows_before=sum(t.before for t in mine),
        rows_after=sum(t.after for t in mine),
        vendor_rows=sum(t.vendor for t in mine),
        refused=[s for f in fetched.failures if f.outcome == Outcome.BAD_REQUEST for s in f.symbols][:20],
    )
