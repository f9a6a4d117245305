"""What lines of the log become: rows, rejects, gaps, and counters that balance. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa

from tickerplant.errors import BadData
from tickerplant.jobs.gaps import Gap, gap_of_damage, gaps_of_record
from tickerplant.model import Batch, Counters, Damage, Decoded, Entry, Kind, Position, Reject, Vendor
from tickerplant.tables import QUARANTINE


def feed_of(partition: str) -> tuple[str, str]:
    """Vendor and feed that a partition is named after."""
    vendor, _, rest = partition.partition(".")
    return vendor, rest.partition(".")[0]


def _damage_reject(entry: Entry, damage: Damage, partition: str) -> Reject:
    vendor, feed = feed_of(partition)
    return Reject(entry.start, -1, vendor, feed, None, damage.before, damage.reason, damage.payload)


def quarantine_batch(partition: str, rejects: Sequence[Reject], state: str = "open") -> Batch:
    """Rows of `quarantine` for what could not be decoded."""
    rows = [
        {
            "vendor": r.vendor,
            "feed": r.feed,
            "channel": r.channel,
            "partition": partition,
            "position": r.start,
            "item": r.item,
            "received_at": None if r.received_at is None else r.received_at // 1000,
            "reason": r.reason,
            "payload": r.payload,
            "state": state,
        }
        for r in rejects
    ]
    return Batch(QUARANTINE, pa.RecordBatch.from_pylist(rows, QUARANTINE.schema))


def decode_entries(partition: str, entries: Sequence[Entry], vendor: Vendor) -> tuple[Decoded, list[Gap], Counters]:
    """Decode lines of one partition: rows, rejects, gaps and counters that balance."""
    feed_entries: list[Entry] = []
    rejects: list[Reject] = []
    gaps: list[Gap] = []
    control = 0
    for entry in entries:
        item = entry.item
        if isinstance(item, Damage):
            rejects.append(_damage_reject(entry, item, partition))
            gaps.append(gap_of_damage(entry, *feed_of(partition)))
        elif item.kind in (Kind.CONNECTED, Kind.DISCONNECTED):
            try:
                gaps += gaps_of_record(item)
                control += 1
            except BadData as error:
                at = item.received_at
                rejects.append(Reject(entry.start, -1, item.vendor, item.feed, None, at, str(error), item.payload))
        else:
            feed_entries.append(entry)
    decoded = vendor.decode(feed_entries)
    rejects += decoded.rejects
    control += decoded.control
    stored = sum(b.rows.num_rows for b in decoded.batches)
    counters = Counters(stored + len(rejects) + control, stored, len(rejects), control)
    return replace(decoded, rejects=tuple(rejects), control=control), gaps, counters


def _pieces(entry: Entry, cuts: Sequence[Position]) -> list[Entry]:
    """A damaged stretch divided at the cuts inside it; anything else whole."""
    damage = entry.item
    inside = [c for c in cuts if entry.start < c < entry.end]
    if not inside or not isinstance(damage, Damage):
        return [entry]
    bounds = [entry.start, *inside, entry.end]
    return [
        Entry(
            a,
            b,
            Damage(
                damage.payload[a - entry.start : b - entry.start],
                damage.reason,
                damage.before,
                damage.after,
                damage.gap,
            ),
        )
        for a, b in pairwise(bounds)
    ]


def split_at_cuts(entries: Sequence[Entry], cuts: Sequence[Position]) -> Iterator[list[Entry]]:
    """Split lines so that no part crosses a cut (see Progress)."""
    part: list[Entry] = []
    for entry in entries:
        for piece in _pieces(entry, cuts) if cuts else (entry,):
            part.append(piece)
            if piece.end in cuts:
                yield part
                part = []
    if part:
        yield part
