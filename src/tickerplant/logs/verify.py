"""Check every line of a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tickerplant.model import Damage, Entry, Log, LogReader, Segment, position, split_position

_READ_BYTES = 2**20


@dataclass(frozen=True)
class SegmentCheck:
    """What a segment holds. `damaged` counts stretches that are no whole line, `damaged_bytes` their uncompressed
    length; `unfinished_bytes` is a line at the live end that is not whole yet. Receipt times are nanoseconds UTC."""

    partition: str
    segment: int
    name: str
    sealed: bool
    size_bytes: int
    stored_bytes: int
    lines: int
    damaged: int
    damaged_bytes: int
    unfinished_bytes: int
    first_received_at: int | None
    last_received_at: int | None


@runtime_checkable
class _HoldsBack(Protocol):
    def release(self) -> list[Entry]: ...


def _entries(reader: LogReader, number: int) -> Iterator[Entry]:
    """What is left of a segment, and damage at its end that nothing follows yet."""
    while entries := reader.read(_READ_BYTES):
        for entry in entries:
            if split_position(entry.start)[0] != number:
                return
            yield entry
    if isinstance(reader, _HoldsBack):
        yield from (e for e in reader.release() if split_position(e.start)[0] == number)


def _check(log: Log, segment: Segment) -> SegmentCheck:
    lines = damaged = damaged_bytes = 0
    first = last = None
    start = end = position(segment.number, 0)
    reader = log.reader(segment.partition, start)
    try:
        for entry in _entries(reader, segment.number):
            end = entry.end
            if isinstance(entry.item, Damage):
                damaged, damaged_bytes = damaged + 1, damaged_bytes + entry.end - entry.start
            else:
                lines, last = lines + 1, entry.item.received_at
                first = last if first is None else first
    finally:
        reader.close()
    size = segment.size_bytes
    return SegmentCheck(
        partition=segment.partition,
        segment=segment.number,
        name=segment.name,
        sealed=segment.sealed,
        size_bytes=size,
        stored_bytes=segment.stored_bytes,
        lines=lines,
        damaged=damaged,
        damaged_bytes=damaged_bytes,
        unfinished_bytes=max(0, size - (end - start)),
        first_received_at=first,
        last_received_at=last,
    )


def _missing(partition: str, number: int) -> SegmentCheck:
    return SegmentCheck(partition, number, "missing", False, 0, 0, 0, 1, 0, 0, None, None)


def _partition(log: Log, name: str) -> Iterator[SegmentCheck]:
    expected = None
    for segment in log.segments(name):
        yield from (_missing(name, n) for n in range(segment.number if expected is None else expected, segment.number))
        yield _check(log, segment)
        expected = segment.number + 1


def verify(log: Log) -> list[SegmentCheck]:
    """Read every segment of every partition and check every line; nothing is changed.

    A number missing between two segments is given as a damaged segment named `missing`; the oldest may be gone.
    """
    return [check for name in log.partitions() for check in _partition(log, name)]
