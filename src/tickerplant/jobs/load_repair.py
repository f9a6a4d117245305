"""Answers of a repair into the store: of each request with all its pages, the rows that the store lacks.

They lie in partitions of their own (`<vendor>.repair`). A request is compared with the store once every live partition
of the vendor has been loaded past the moment of its answer: what was received live by then is held, what comes later
cannot be in the answer. So the result is the same whenever and in whatever order the log is loaded.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.clock import now_ns
from tickerplant.errors import BadData, excerpt
from tickerplant.jobs.coverage import day_span
from tickerplant.jobs.gaps import Gap, gaps_batch
from tickerplant.jobs.load_decode import decode_entries, feed_of, quarantine_batch
from tickerplant.jobs.load_partition import LoadOptions, PartitionState
from tickerplant.jobs.patience import Patience
from tickerplant.model import (
    Batch,
    Counters,
    Entry,
    Kind,
    Log,
    LogReader,
    Position,
    Record,
    Reject,
    Selection,
    Store,
    Vendor,
)
from tickerplant.rest import decode_asked
from tickerplant.schema import Table
from tickerplant.tables import COVERAGE, GAPS, TABLES, TRADE_CORRECTIONS, TRADES

REPAIR, REST = "repair", "rest"
_MOST_PAGES = 100
_LOOK_S = 0.25
_MICROSECOND = timedelta(microseconds=1)


def is_repair(partition: str) -> bool:
    """Whether a partition holds answers of repairs."""
    return feed_of(partition)[1] == REPAIR


def live_partitions(log: Log, vendor: str) -> list[str]:
    """Partitions of a vendor that a capture writes."""
    return [p for p in log.partitions() if feed_of(p)[0] == vendor and feed_of(p)[1] not in (REPAIR, REST)]


class Healed(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair notes in the log about one gap: a row of `gaps` in its new state. Times in microseconds UTC."""

    vendor: str
    feed: str
    channel: str
    start: int
    end: int
    reason: str
    state: str
    evidence: str

    def batch(self) -> Batch:
        """The row."""
        return Batch(GAPS, pa.RecordBatch.from_pylist([msgspec.structs.asdict(self)], GAPS.schema))


def read_note(payload: bytes) -> Healed:
    """A note out of the log. Raises BadData."""
    try:
        return msgspec.json.decode(payload, type=Healed)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(f"repair: expected the note of a gap, was {excerpt(payload)!r}: {error}") from None


@dataclass
class _Unit:
    """Consecutive lines of one request, or one note: what is committed together."""

    start: Position
    end: Position
    chain: str | None = None
    received_at: int = 0
    pages: int = 0
    is_whole: bool = False
    batches: list[Batch] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    counters: Counters = Counters()


class RepairLoader:
    """Loads one partition of repairs; the same calls as PartitionLoader."""

    def __init__(
        self, partition: str, log: Log, store: Store, vendor: Vendor, options: LoadOptions, patience: Patience
    ) -> None:
        progress = patience.call(lambda: store.progress(partition))
        self.state = PartitionState(partition, progress.position, progress.counters)
        self._before = progress.counters
        self._reader: LogReader = log.reader(partition, progress.position)
        self._log, self._store, self._vendor, self._patience = log, store, vendor, patience
        self._settling_ns = int(options.settling_s * 1e9)
        self._units: list[_Unit] = []
        self._taken = progress.position
        self._looked_at = 0.0

    def is_past(self, until: float) -> bool:
        """False: answers come seldom, so nothing keeps a stop waiting."""
        return False

    @property
    def gained(self) -> Counters:
        """What this run committed."""
        return self.state.counters - self._before

    def step(self, look: bool = False) -> bool:
        """Read when no whole request waits, commit the first that may be compared; False when nothing was done.

        Without `look`, whether it may be is found out a few times a second only.
        """
        if self._units and self._units[0].is_whole:
            is_due = look or time.monotonic() - self._looked_at >= _LOOK_S
            return is_due and self._commit_first()
        entries = self._patience.call(lambda: self._reader.read(1 << 20))
        for entry in entries:
            self._take(entry)
        return bool(entries)

    def step_at_end(self) -> bool:
        """A request that is not whole waits for the repair that asks again."""
        return False

    def commit(self, wait: bool = False) -> None:
        """Nothing is collected: each request is committed in its step."""

    def abandon(self) -> None:
        """The same as `finish`: nothing is collected."""
        self.finish()

    def finish(self) -> None:
        """Release the reader."""
        self._reader.close()

    def _take(self, entry: Entry) -> None:
        chain = _chain_of(entry)
        last = self._units[-1] if self._units else None
        if last is None or last.is_whole or last.chain != chain:
            if last is not None:
                last.is_whole = True
            last = _Unit(self._taken, entry.end, chain)
            self._units.append(last)
        self._decode(last, entry)
        self._taken = last.end = entry.end
        last.pages += 1
        last.is_whole = chain is None or last.pages >= _MOST_PAGES or _is_last(last.batches)

    def _decode(self, unit: _Unit, entry: Entry) -> None:
        partition, item = self.state.partition, entry.item
        if isinstance(item, Record):
            unit.received_at = item.received_at
            if item.kind is Kind.CONTROL:
                unit.counters += Counters(1, 0, *self._note(unit, entry, item))
                return
        decoded, gaps, counters = decode_entries(partition, [entry], self._vendor)
        unit.batches += decoded.batches
        unit.rejects += decoded.rejects
        unit.gaps += gaps
        unit.counters += counters

    def _note(self, unit: _Unit, entry: Entry, item: Record) -> tuple[int, int]:
        """Take a note; returns how many were set aside and how many taken."""
        try:
            unit.batches.append(read_note(item.payload).batch())
        except BadData as error:
            reject = Reject(entry.start, -1, item.vendor, item.feed, GAPS.name, item.received_at, str(error), b"")
            unit.rejects.append(reject._replace(payload=item.payload))
            return 1, 0
        return 0, 1

    def _commit_first(self) -> bool:
        unit = self._units[0]
        if not self._may_compare(unit):
            return False
        partition = self.state.partition
        self._patience.call(lambda: self._write(partition, unit), self.state.counters.received)
        self._units.pop(0)
        return True

    def _write(self, partition: str, unit: _Unit) -> None:
        rows = self._lacking(unit.batches)
        stored = sum(b.rows.num_rows for b in rows if b.table is not GAPS)
        counted = unit.counters
        known = counted.stored - stored
        counters = self.state.counters + Counters(
            counted.received, stored, counted.quarantined, counted.control + known
        )
        if unit.gaps:
            rows.append(gaps_batch(unit.gaps))
        if unit.rejects:
            rows.append(quarantine_batch(partition, unit.rejects))
        self._store.write(partition, unit.start, unit.end, rows, counters)
        self.state = PartitionState(partition, unit.end, counters, self.state.commits + 1, unit.received_at)

    def _lacking(self, batches: Sequence[Batch]) -> list[Batch]:
        """The rows that the store lacks, tables that are not compared as they are."""
        from tickerplant.jobs.missing_rows import COMPARED

        grouped: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        for batch in batches:
            grouped[batch.table.name].append(batch.rows)
        found: list[Batch] = []
        for name, parts in grouped.items():
            rows = pa.Table.from_batches(parts)
            rows = self._compared(name, rows) if name in COMPARED else rows
            found += [Batch(TABLES[name], part) for part in rows.combine_chunks().to_batches()]
        return found

    def _compared(self, name: str, rows: pa.Table) -> pa.Table:
        from tickerplant.jobs.missing_rows import missing_rows

        table = TABLES[name]
        symbols = tuple(pc.unique(rows.column("symbol")).to_pylist())
        start, end = _span(table, rows)
        # A correction is sent after the trade that it concerns.
        later = Selection((TRADE_CORRECTIONS.name,), symbols, start)
        within = Selection((name,), symbols, start, end)
        held = _scanned(self._store, name, later if table is TRADE_CORRECTIONS else within)
        corrections = _scanned(self._store, TRADE_CORRECTIONS.name, later) if table is TRADES else None
        return missing_rows(table, rows, held, corrections)

    @property
    def wait_s(self) -> float:
        """Seconds until the clock lets the first whole request be compared; 0 when it is not the clock that waits."""
        unit = self._units[0] if self._units and self._units[0].is_whole else None
        return max(0.0, (self._until(unit) - now_ns()) / 1e9) if unit else 0.0

    def _until(self, unit: _Unit) -> int:
        return unit.received_at + (self._settling_ns if unit.chain else 0)

    def _may_compare(self, unit: _Unit) -> bool:
        """Whether everything that was received live until a little after the answer is in the store."""
        vendor = feed_of(self.state.partition)[0]
        if self._patience.call(lambda: is_loaded_until(self._log, self._store, vendor, self._until(unit))):
            return True
        self._looked_at = time.monotonic()
        return False


def is_loaded_until(log: Log, store: Store, vendor: str, until: int) -> bool:
    """Whether everything that was received live up to a moment (ns), which must be past, is in the store."""
    return now_ns() >= until and all(_is_past(log, store, p, until) for p in live_partitions(log, vendor))


def _is_past(log: Log, store: Store, partition: str, until: int) -> bool:
    """Whether what is not loaded yet of a live partition came after `until`."""
    reader = log.reader(partition, store.progress(partition).position)
    try:
        entries = reader.read(1)
    finally:
        reader.close()
    received = [e.item.received_at for e in entries if isinstance(e.item, Record)]
    return not entries or (bool(received) and received[0] > until)


def _chain_of(entry: Entry) -> str | None:
    """The request that a line answers; None for what stands alone."""
    item = entry.item
    if not isinstance(item, Record) or item.kind is not Kind.RESPONSE:
        return None
    try:
        return decode_asked(item.request).chain
    except BadData:
        return None


def _is_last(batches: Sequence[Batch]) -> bool:
    """Whether the page that was decoded last ends its request."""
    newest = next((b for b in reversed(batches) if b.table is COVERAGE), None)
    return newest is not None and bool(pc.any(newest.rows.column("is_last")).as_py())


def _span(table: Table, rows: pa.Table) -> tuple[datetime, datetime]:
    """`[start, end)` of the rows; of a daily table whole days in New York."""
    span = pc.min_max(rows.column(table.time or "session")).as_py()
    if table.time is None:
        return day_span(span["min"])[0], day_span(span["max"])[1]
    return span["min"], span["max"] + _MICROSECOND


def _scanned(store: Store, name: str, selection: Selection) -> pa.Table:
    return pa.Table.from_batches(store.scan(TABLES[name], selection), TABLES[name].schema)
