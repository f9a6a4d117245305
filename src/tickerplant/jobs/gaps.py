"""Gaps are data: connection records and damaged stretches of the log become rows of `gaps`.

A `disconnected` record opens a row for each channel, the `connected` record that ends it carries the same starts and
closes it: the natural key (vendor, feed, channel, start) makes the two one row. The records' payloads are described in
`jobs/capture.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tickerplant.errors import BadData, excerpt
from tickerplant.model import Batch, Entry, Kind, Record
from tickerplant.tables import GAPS


@dataclass(frozen=True)
class Gap:
    """One hole of one channel; bounds in nanoseconds UTC, `end_ns` None while it is open."""

    vendor: str
    feed: str
    channel: str
    start_ns: int
    end_ns: int | None
    reason: str
    evidence: dict[str, Any]


def _read(record: Record) -> dict[str, Any]:
    try:
        payload = json.loads(record.payload)
    except ValueError as error:
        raise BadData(f"{record.kind} record: expected JSON, was {excerpt(record.payload)!r}") from error
    if not isinstance(payload, dict):
        raise BadData(f"{record.kind} record: expected an object, was {excerpt(record.payload)!r}")
    return payload


def gaps_of_record(record: Record) -> list[Gap]:
    """The gaps a connection record opens or closes, none for a planned end. Raises BadData for a foreign payload."""
    payload = _read(record)
    gap = payload.get("gap")
    if not gap:
        return []
    closes = record.kind is Kind.CONNECTED
    reason = gap.get("reason") or payload.get("reason") or "disconnected"
    evidence = {k: v for k, v in {**payload, **gap}.items() if k not in ("gap", "starts", "channels", "reason")}
    try:
        return [
            Gap(
                record.vendor,
                record.feed,
                channel,
                int(start),
                record.received_at if closes else None,
                reason,
                evidence,
            )
            for channel, start in gap["starts"].items()
        ]
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise BadData(f"{record.kind} record: expected gap.starts, was {excerpt(record.payload)!r}") from error


def gap_of_damage(entry: Entry, vendor: str, feed: str) -> Gap:
    """The gap of a damaged stretch: between the receipts of the whole lines around it, for all channels."""
    damage = entry.item
    assert not isinstance(damage, Record)
    start = damage.before or damage.after or 0
    evidence = {"position": entry.start, "bytes": len(damage.payload), "detail": damage.reason}
    return Gap(vendor, feed, "*", start, damage.after or start, damage.gap, evidence)


def gaps_batch(gaps: Iterable[Gap]) -> Batch:
    """Rows of `gaps`; of several with one key the last one stands."""
    rows = [
        {
            "vendor": g.vendor,
            "feed": g.feed,
            "channel": g.channel,
            "start": g.start_ns // 1000,
            "end": None if g.end_ns is None else g.end_ns // 1000,
            "reason": g.reason,
            "state": "open" if g.end_ns is None else "closed",
            "evidence": json.dumps(g.evidence, sort_keys=True),
        }
        for g in {(g.vendor, g.feed, g.channel, g.start_ns // 1000): g for g in gaps}.values()
    ]
    return Batch(GAPS, pa.RecordBatch.from_pylist(rows, GAPS.schema))
