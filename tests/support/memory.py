"""A log and a store in memory: real objects behind the protocols of `model.py`, made to fail on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from tickerplant.errors import Retryable
from tickerplant.model import (
    Batch,
    Counters,
    Damage,
    Entry,
    Maintained,
    Position,
    Progress,
    Record,
    Segment,
    Selection,
    position,
)
from tickerplant.schema import Table
from tickerplant.tables import TABLES

_BEGINNING = Position(0)


class Crash(Exception):
    """The process died here."""


@dataclass
class MemoryReader:
    entries: list[Entry]
    position: Position
    step: int
    is_owned: bool = False

    def read(self, max_bytes: int) -> list[Entry]:
        whole = [i for i, e in enumerate(self.entries) if isinstance(e.item, Record)]
        return self._take(self.entries[: whole[-1] + 1] if whole else [])

    def finish(self) -> list[Entry]:
        return [] if self.is_owned else self._take(self.entries)

    def _take(self, entries: list[Entry]) -> list[Entry]:
        found = [e for e in entries if e.start >= self.position][: self.step]
        if found:
            self.position = found[-1].end
        return found

    def close(self) -> None:
        pass


@dataclass
class MemoryLog:
    """One partition of entries, `step` lines a read; a line is 100 bytes, a segment `per_segment` lines.

    Damage after the last whole line is at the live end: held back until a reader finishes.
    """

    items: list[Record | Damage]
    partition: str = "alpaca.sip"
    step: int = 3
    per_segment: int = 4
    is_owned: bool = False
    url: str = "memory:"

    def partitions(self) -> list[str]:
        return [self.partition]

    def segments(self, partition: str) -> list[Segment]:
        return [Segment(partition, 1, 100 * len(self.items), 100 * len(self.items), False, "1")]

    def reader(self, partition: str, start: Position = _BEGINNING) -> MemoryReader:
        places = [(i // self.per_segment, 100 * (i % self.per_segment)) for i in range(len(self.items))]
        entries = [
            Entry(position(segment, at), position(segment, at + 100), item)
            for (segment, at), item in zip(places, self.items, strict=True)
        ]
        return MemoryReader(entries, start, self.step, self.is_owned)

    def writer(self, partition: str) -> Any:
        raise NotImplementedError


@dataclass
class MemoryStore:
    """Commits table by table like the lake; dies after `dies_after` table commits when that is set."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    ledger: dict[str, tuple[Position, Counters]] = field(default_factory=dict)
    dies_after: int | None = None
    commits: int = 0
    url: str = "memory:"
    batch_messages: int = 500_000

    def progress(self, partition: str) -> Progress:
        at, counters = self.ledger.get(partition, (Position(0), Counters()))
        ahead = {Position(v) for (_, p), v in self.held.items() if p == partition and v > at}
        return Progress(at, counters, tuple(sorted(ahead)))

    def write(
        self, partition: str, start: Position, end: Position, batches: Sequence[Batch], counters: Counters
    ) -> None:
        at, _ = self.ledger.get(partition, (Position(0), Counters()))
        assert at == start or at >= end, f"expected to write from {at}, was {start}"
        for name in dict.fromkeys(b.table.name for b in batches):
            held = self.held.get((name, partition), 0)
            assert not start < held < end, f"expected no stretch across {held}, was [{start}, {end})"
            if held < end:
                self._live_on()
                self._put(TABLES[name], [r for b in batches if b.table.name == name for r in b.rows.to_pylist()])
                self.held[name, partition] = end
        self._live_on()
        self.ledger[partition] = (end, counters)

    def _live_on(self) -> None:
        if self.dies_after is not None and self.commits >= self.dies_after:
            raise Crash
        self.commits += 1

    def _put(self, table: Table, rows: list[dict[str, Any]]) -> None:
        into = self.rows.setdefault(table.name, [])
        if table.mode == "merge":
            merged = {tuple(r[k] for k in table.key): r for r in [*into, *rows]}
            into[:] = merged.values()
        else:
            into += rows

    def loading(self, partition: str, wait_s: float | None = None) -> AbstractContextManager[Any]:
        return nullcontext()

    def loaders(self, partitions: Sequence[str]) -> dict[str, str]:
        return {}

    def maintain(self, before: date, keep: timedelta) -> Iterator[Maintained]:
        raise Retryable("memory: nothing to maintain")

    def query(self, sql: str, parameters: Sequence[Any] = (), as_of: datetime | int | None = None) -> pa.Table:
        raise NotImplementedError

    def scan(self, table: Table, selection: Selection, as_of: datetime | int | None = None) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist(self.rows.get(table.name, []), table.schema)

    def close(self) -> None:
        pass
