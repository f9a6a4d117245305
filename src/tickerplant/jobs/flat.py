"""Day files of a vendor: downloaded to disk, cut into lines of the log, loaded like any other answer.

A file is one chain. Its pages are pieces of the unpacked text: the header and as many whole lines as fit. Killed while
downloading, the next run asks for the bytes that are not on disk; killed while landing, it goes on after the last
piece that is in the log, without asking anybody (docs/decisions/0212-flat-files.md).
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import BinaryIO, NamedTuple

import msgspec
import structlog

from tickerplant.calendar import NEW_YORK, Session
from tickerplant.clock import now_ns, utc_now
from tickerplant.errors import BadData, Fatal, Retryable, UsageError
from tickerplant.jobs.accounts import RestAccount
from tickerplant.jobs.coverage import Dataset, Refusals, coverage, span, without
from tickerplant.jobs.entitlement import REMEMBERED, refused_endpoints
from tickerplant.jobs.fetch import Failure, Fetched, Todo
from tickerplant.jobs.fetch_table import FetchPlan, FetchSummary, free_writer, load_answers
from tickerplant.jobs.load import VendorOf
from tickerplant.jobs.plan import Cost, Plan
from tickerplant.jobs.unfinished import unfinished
from tickerplant.model import Kind, Log, LogWriter, Store
from tickerplant.net.objects import ObjectClient, Refused, Stopped, Stored
from tickerplant.rest import (
    ALL,
    Ask,
    Asked,
    Call,
    Endpoint,
    Files,
    Outcome,
    Piece,
    Rest,
    Verdict,
    encode_asked,
    next_piece,
)
from tickerplant.settings import Settings

log_lines = structlog.get_logger()

SPOOL = "spool"
_READ = 1 << 20
_SYNC_BYTES = 32 << 20
_LATE = timedelta(days=5)
"""A file that is missing for so long after its time will not come."""


@dataclass(frozen=True)
class FlatOptions:
    """`piece_bytes` is the least text of a line of the log, but for the last of a file."""

    piece_bytes: int = 4 << 20
    clock: Callable[[], int] = now_ns


@dataclass
class FlatSource:
    """A vendor's files and whom to ask for them."""

    vendor: str
    rest: Rest
    files: Files
    client: ObjectClient


def flat_source(settings: Settings, vendor: str, rest: Rest, who: RestAccount) -> FlatSource:
    """The files of a vendor with an account for them; downloads lie in the data folder."""
    assert rest.files is not None
    folder = Path(settings.data) / SPOOL / vendor
    url = who.hosts[rest.files.host]
    return FlatSource(vendor, rest, rest.files, ObjectClient(url, who.credentials, rest.files.sign, folder))


def flat_endpoint(files: Files, dataset: Dataset) -> Endpoint | None:
    """The kind of file that holds a dataset."""
    fitting = [e for e in files.endpoints if dataset.table in e.tables]
    return next((e for e in fitting if not e.intervals or dataset.interval in e.intervals), None)


def plan_flat(
    store: Store,
    source: FlatSource,
    dataset: Dataset,
    symbols: Sequence[str],
    sessions: Sequence[Session],
    *,
    again: bool = False,
    now: datetime | None = None,
) -> FetchPlan:
    """A file for each session of which something is missing and whose file is published; none for a day after the
    plan refused a file of the kind, unless `again`.

    Raises UsageError when no file holds the dataset, or when rows of quotes or trades would stand twice.
    """
    at = now or utc_now()
    endpoint = flat_endpoint(source.files, dataset)
    if endpoint is None:
        what = f"{dataset.table} {dataset.interval or ''}".strip()
        raise UsageError(f"fetch: expected a table of {source.vendor}'s flat files, was {what}")
    over = [s for s in sessions if source.files.published(s.day) <= at]
    is_refused = not again and endpoint.name in refused_endpoints(store, source.vendor, at)
    refusals = None if is_refused else Refusals(at - REMEMBERED)
    before = coverage(store, dataset, symbols or ALL, over, again=again, refusals=refusals)
    begun = [t for t in unfinished(store, dataset.vendor, dataset.table, at) if t.call.endpoint == endpoint.name]
    left = without(before, [t.call for t in begun])
    holes = left.missing()
    days = [s for i, s in enumerate(left.sessions) if holes[:, i].any() and not is_refused]
    _not_twice(store, dataset, [s.day for s in days])
    asks = tuple(Ask(dataset.table, ALL, *span(s, dataset.is_live), dataset.interval) for s in days)
    todos = (*begun, *(Todo(endpoint.call(a), a, endpoint, secrets.token_hex(8)) for a in asks))
    minutes = len(todos) * source.files.minutes.get(endpoint.name, 1.0)
    return FetchPlan(todos, Plan(endpoint, asks, len(asks)), Cost(len(todos), minutes, 0.0), (), before)


def _not_twice(store: Store, dataset: Dataset, days: Sequence[date]) -> None:
    """Quotes and trades have no key: a file of all symbols must not come to a day that has some of them."""
    if dataset.table not in ("quotes", "trades") or not days:
        return
    rows = store.query(
        f"select session, count(distinct symbol) as n from {dataset.table} "
        "where vendor = ? and session >= ? and session <= ? group by session order by session",
        [dataset.vendor, min(days), max(days)],
    ).to_pylist()
    there = [r for r in rows if r["session"] in set(days)]
    if there:
        raise UsageError(
            f"fetch --flat: expected no {dataset.table} of {there[0]['session']} yet, was {there[0]['n']} symbols, "
            "which would stand twice; do fetch the missing symbols without --flat"
        )


def run_flat(
    log: Log,
    store: Store,
    source: FlatSource,
    vendor_of: VendorOf,
    plan: FetchPlan,
    *,
    options: FlatOptions | None = None,
    stop: Event | None = None,
    report: Callable[[Fetched], None] = lambda fetched: None,
) -> FetchSummary:
    """Download, land and load file by file. One file's failure stops no other. Raises Fatal when refused."""
    run = _Run(log, source, options or FlatOptions(), stop or Event(), report)
    with source.client:
        _note_listing(source, plan)
        for todo in plan.todos:
            if run.stop.is_set() or any(f.outcome == Outcome.NOT_ENTITLED for f in run.done.failures):
                break
            run.file(todo)
            run.rows += load_answers(log, store, source.vendor, vendor_of, stop)
            run.tidy()
    if run.stop.is_set():
        run.done.outcome = "stopped"
    elif run.done.failures:
        run.done.outcome = "failed"
    rows = run.rows + load_answers(log, store, source.vendor, vendor_of)
    return FetchSummary(run.done, rows, source.client.traffic.calls, source.client.traffic.bytes)


def _note_listing(source: FlatSource, plan: FetchPlan) -> None:
    """Say how much is to be downloaded, out of the listings of the folders; a host that lists nothing is no failure."""
    folders = sorted({t.call.path.rpartition("/")[0] for t in plan.todos})
    wanted = {t.call.path for t in plan.todos}
    sizes: list[int] = []
    for folder in folders:
        bucket, _, prefix = folder.strip("/").partition("/")
        try:
            sizes += [f.size for f in source.client.list(bucket, f"{prefix}/") if f"/{bucket}/{f.key}" in wanted]
        except (Refused, Retryable, BadData) as error:
            log_lines.info("not listed", folder=folder, problem=str(error))
    log_lines.info("flat files", wanted=len(wanted), listed=len(sizes), bytes=sum(sizes))


class _Cut(NamedTuple):
    """A piece of a file: its text with the header, and where its lines stand."""

    text: bytes
    start: int
    end: int
    is_last: bool


@dataclass
class _Run:
    """Files one after the other through one download folder into one partition."""

    log: Log
    source: FlatSource
    options: FlatOptions
    stop: Event
    report: Callable[[Fetched], None]
    done: Fetched = field(default_factory=Fetched)
    rows: int = 0
    landed: list[Path] = field(default_factory=list)

    def file(self, todo: Todo) -> None:
        """Download and land one file, or note why not."""
        call = todo.call
        params = dict(call.params)
        try:
            stored = self.source.client.download(call.path, self.stop, params.get("etag"))
            self._land(todo, stored, int(params.get("from", 0)))
        except Stopped:
            return
        except Refused as refused:
            self._refused(todo, self.source.rest.judge(call, refused.answer), refused.answer.status)
        except (Retryable, BadData) as error:
            self._failed(todo, str(error), Outcome.RETRY)

    def tidy(self) -> None:
        """Remove downloads whose lines are all in the log."""
        for path in self.landed:
            path.unlink(missing_ok=True)
        self.landed.clear()

    def _land(self, todo: Todo, stored: Stored, since: int) -> None:
        call = msgspec.structs.replace(todo.call, params=())
        log_lines.info("landing", path=call.path, bytes=stored.size, etag=stored.etag, since=since)
        with free_writer(self.log, self.source.vendor) as writer:
            unsynced = 0
            for cut in self._cuts(stored, since):
                call = self._append(writer, todo, call, stored, cut)
                unsynced += len(cut.text)
                if unsynced >= min(_SYNC_BYTES, 8 * self.options.piece_bytes):
                    writer.sync()
                    unsynced = 0
                if self.stop.is_set() and not cut.is_last:
                    writer.sync()
                    raise Stopped
            writer.sync()
        self.landed.append(stored.path)
        self.done.chains += 1
        self.report(self.done)

    def _cuts(self, stored: Stored, since: int) -> Iterator[_Cut]:
        """The pieces; a download that turns out to be damaged is thrown away."""
        try:
            yield from cuts(stored.path, self.options.piece_bytes, since)
        except BadData:
            stored.path.unlink()
            raise

    def _append(self, writer: LogWriter, todo: Todo, call: Call, stored: Stored, cut: _Cut) -> Call:
        """Land one piece; returns the call for the next."""
        piece = Piece(etag=stored.etag, size=stored.size, start=cut.start, end=cut.end, is_last=cut.is_last)
        asked = Asked(call=call, chain=todo.chain, piece=piece)
        writer.append(Kind.RESPONSE, self.options.clock(), cut.text, encode_asked(asked))
        self.done.landed += 1
        self.report(self.done)
        return next_piece(asked) or call

    def _refused(self, todo: Todo, verdict: Verdict, status: int) -> None:
        """A file that is not there is a fact once it is late; one outside of the plan is a state; keys end the run."""
        if verdict.outcome == Outcome.FATAL:
            raise Fatal(f"{self.source.vendor} {todo.call.path}: expected to be let in, was {verdict.reason}")
        day = todo.call.start.astimezone(NEW_YORK).date() if todo.call.start else date.max
        now = datetime.fromtimestamp(self.options.clock() / 1e9, UTC)
        is_early = verdict.outcome == Outcome.NO_DATA and now < self.source.files.published(day) + _LATE
        if todo.call.page or is_early or verdict.outcome not in (Outcome.NO_DATA, Outcome.NOT_ENTITLED):
            self._failed(todo, "not published yet" if is_early else verdict.reason, verdict.outcome)
            return
        asked = Asked(call=todo.call, chain=todo.chain, status=status, outcome=verdict.outcome.value)
        with free_writer(self.log, self.source.vendor) as writer:
            writer.append(Kind.RESPONSE, self.options.clock(), b"", encode_asked(asked))
            writer.sync()
        self.done.landed += 1
        if verdict.outcome == Outcome.NOT_ENTITLED:
            self._failed(todo, verdict.reason, verdict.outcome)

    def _failed(self, todo: Todo, reason: str, outcome: Outcome) -> None:
        self.done.failures.append(Failure(todo.call.symbols, f"{todo.call.path}: {reason}", outcome.value))
        log_lines.warning("file failed", path=todo.call.path, problem=reason)


def cuts(path: Path, piece_bytes: int, since: int = 0) -> Iterator[_Cut]:
    """The text of a gzip file from byte `since` on, in pieces of whole lines under the file's header.

    `since` is the end of a piece. A piece has `piece_bytes` and the rest of its last line. Raises BadData when the
    file is cut short or no gzip: what was given until then are whole lines of it.
    """
    header, at, held = b"", 0, bytearray()
    for part in _unpacked(path):
        held += part
        if not header:
            if b"\n" not in held:
                continue
            end = held.index(b"\n") + 1
            header, at = bytes(held[:end]), end
            del held[:end]
        if at < since:
            passed = min(since - at, len(held))
            del held[:passed]
            at += passed
        while len(held) > piece_bytes and (end := held.find(b"\n", piece_bytes) + 1) and end < len(held):
            yield _Cut(header + bytes(held[:end]), at, at + end, False)
            del held[:end]
            at += end
    yield _Cut(header + bytes(held), at, at + len(held), True)


def _unpacked(path: Path) -> Iterator[bytes]:
    """The text of a file, a few megabytes at a time; one that is not compressed as it is."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            file.seek(0)
            while data := file.read(_READ):
                yield data
            return
        file.seek(0)
        yield from _inflated(file, path.name)


def _inflated(file: BinaryIO, name: str) -> Iterator[bytes]:
    member, data = zlib.decompressobj(wbits=31), file.read(_READ)
    try:
        while data:
            yield member.decompress(data, 4 * _READ)
            data = member.unconsumed_tail
            if member.eof and (data := member.unused_data.lstrip(b"\0") or file.read(_READ).lstrip(b"\0")):
                member = zlib.decompressobj(wbits=31)
            elif not member.eof:
                data = data or file.read(_READ)
        yield member.flush()
    except zlib.error as error:
        raise BadData(f"{name}: expected gzip: {error}") from None
    if not member.eof:
        raise BadData(f"{name}: expected gzip, was cut short")


def is_cheaper(plan: FetchPlan, flat: FetchPlan) -> bool:
    """Whether files take less time than requests, and hold every session that is missing."""
    if plan.plan is None or plan.before is None or not plan.todos:
        return False
    missing = int(plan.before.missing().any(axis=0).sum())
    return len(flat.todos) >= missing and flat.cost.minutes < plan.cost.minutes
