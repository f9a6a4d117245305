"""Load quarantined messages again, after a decoder was mended: from the log, each at most once.

A message is known by its receipt time and its place in the frame, which are unique in a partition; what is in the
table already is left alone, so a run that is killed anywhere can be repeated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.jobs.gaps import gaps_batch
from tickerplant.jobs.load import VendorOf, decode_entries, quarantine_batch
from tickerplant.model import Batch, Counters, Entry, Log, Position, Reject, Store, Vendor

_WHOLE_LINE = -1


@dataclass(frozen=True)
class ReloadSummary:
    """`loaded` messages left the quarantine, `remaining` still cannot be decoded."""

    loaded: int
    remaining: int


def _open_items(store: Store) -> dict[str, dict[Position, set[int]]]:
    rows = store.query("select partition, position, item from quarantine where state = 'open'").to_pylist()
    found: dict[str, dict[Position, set[int]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        found[row["partition"]][Position(row["position"])].add(row["item"])
    return found


def _entry_at(log: Log, partition: str, at: Position) -> Entry | None:
    reader = log.reader(partition, at)
    try:
        return next((e for e in reader.read(1) if e.start == at), None)
    finally:
        reader.close()


def _chosen(batch: Batch, items: set[int]) -> Batch:
    """The rows that came from the quarantined messages."""
    if _WHOLE_LINE in items:
        return batch
    mask = pc.is_in(batch.rows.column("seq"), pa.array(sorted(items), pa.int32()))
    return Batch(batch.table, batch.rows.filter(mask))


def _missing(store: Store, batch: Batch) -> Batch:
    """The rows that the store does not hold yet."""
    times = batch.rows.column("received_at")
    held = store.query(
        f'select received_at, seq from "{batch.table.name}" where received_at between ? and ?',
        [pc.min(times).as_py(), pc.max(times).as_py()],
    )
    known = {(r["received_at"], r["seq"]) for r in held.to_pylist()}
    pairs = zip(times.to_pylist(), batch.rows.column("seq").to_pylist(), strict=True)
    return Batch(batch.table, batch.rows.filter(pa.array([p not in known for p in pairs], pa.bool_())))


@dataclass
class _Mended:
    """What one partition's quarantined messages became."""

    batches: list[Batch] = field(default_factory=list)
    released: list[Reject] = field(default_factory=list)
    found: list[Reject] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    remaining: int = 0


def _mend_line(mended: _Mended, partition: str, entry: Entry, items: set[int], vendor: Vendor) -> None:
    """Decode one line again and add what came free; a line set aside whole can still hold bad messages."""
    decoded, gaps, counters = decode_entries(partition, [entry], vendor)
    still = {r.item for r in decoded.rejects}
    freed = set() if _WHOLE_LINE in still else items - still
    mended.remaining += len(items) - len(freed)
    if not freed:
        return
    is_whole = _WHOLE_LINE in freed
    found = decoded.rejects if is_whole else ()
    rows = [b for batch in decoded.batches if (b := _chosen(batch, freed)).rows.num_rows]
    stored = sum(b.rows.num_rows for b in rows)
    control = counters.control if is_whole else len(freed) - stored
    aside = len(found) - len(freed)
    mended.counters += Counters(stored + control + aside, stored, aside, control)
    mended.batches += rows + ([gaps_batch(gaps)] if gaps else [])
    mended.released += _released(entry, freed)
    mended.found += found
    mended.remaining += len(found)


def _mend(log: Log, partition: str, wanted: dict[Position, set[int]], vendor: Vendor) -> _Mended:
    mended = _Mended()
    for at, items in sorted(wanted.items()):
        entry = _entry_at(log, partition, at)
        if entry is None:
            mended.remaining += len(items)
        else:
            _mend_line(mended, partition, entry, items, vendor)
    return mended


def _released(entry: Entry, items: Iterable[int]) -> list[Reject]:
    record = entry.item
    payload, at = record.payload, getattr(record, "received_at", None)
    vendor, feed = getattr(record, "vendor", ""), getattr(record, "feed", "")
    return [Reject(entry.start, i, vendor, feed, None, at, "decoded by a later version", payload) for i in items]


def _write(store: Store, partition: str, batches: Sequence[Batch], counters: Counters) -> None:
    ledger = f"{partition}.quarantine"
    progress = store.progress(ledger)
    end = Position(max(progress.position, *progress.cuts, 0) + 1)
    store.write(ledger, progress.position, end, batches, progress.counters + counters)


def reload_quarantined(log: Log, store: Store, vendor_of: VendorOf) -> ReloadSummary:
    """Decode every open row of `quarantine` again; what can be read now becomes rows, its quarantine row `loaded`."""
    loaded = remaining = 0
    for partition, wanted in _open_items(store).items():
        with store.loading(partition):
            mended = _mend(log, partition, wanted, vendor_of(partition.partition(".")[0]))
            remaining += mended.remaining
            if not mended.released:
                continue
            rows = [_missing(store, b) if "seq" in b.rows.schema.names else b for b in mended.batches]
            rows.append(quarantine_batch(partition, mended.released, state="loaded"))
            rows.append(quarantine_batch(partition, mended.found))
            _write(store, partition, rows, mended.counters)
            loaded += len(mended.released)
    return ReloadSummary(loaded, remaining)
