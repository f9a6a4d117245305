"""A log of ours as a source: its data frames as they were received, in order, timed by their receipt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.errors import UsageError
from tickerplant.fingerprint import row_hashes
from tickerplant.model import Batch, Entry, Kind, Log, Position, Record
from tickerplant.simulator.source import GARBLED, SLICE_MESSAGES, UNKNOWN, Slice, Source, Symbols
from tickerplant.vendors.dialect import Dialect

_READ_BYTES = 4 << 20


def from_log(log: Log, partition: str | None = None, dialect: Dialect | None = None) -> Source:
    """The data records of one partition of a log. Raises UsageError when the partition must be named."""
    found = log.partitions()
    if partition is None and len(found) == 1:
        partition = found[0]
    if not found:
        raise UsageError(
            f"log {log.url}: expected at least one partition to replay, was empty; capture something first"
        )
    if partition not in found:
        raise UsageError(f"log {log.url}: expected --partition to be one of {', '.join(found)}, was {partition}")
    slices = _slices(log, partition, dialect or Dialect())
    return Source(slices, {"kind": "log", "log": log.url, "partition": partition})


def _slices(log: Log, partition: str, dialect: Dialect) -> Iterator[Slice]:
    reader, known = log.reader(partition), Symbols()
    try:
        while entries := reader.read(_READ_BYTES):
            for records in _portions(entries, dialect):
                yield _slice(records, dialect, known)
    finally:
        reader.close()


def _portions(entries: Sequence[Entry], dialect: Dialect) -> Iterator[list[tuple[Record, list[bytes] | None]]]:
    portion: list[tuple[Record, list[bytes] | None]] = []
    count = 0
    for entry in entries:
        if isinstance(entry.item, Record) and entry.item.kind is Kind.DATA:
            messages = _split(entry.item.payload, dialect)
            portion.append((entry.item, messages))
            count += 1 if messages is None else len(messages)
        if count >= SLICE_MESSAGES:
            yield portion
            portion, count = [], 0
    if portion:
        yield portion


def _split(payload: bytes, dialect: Dialect) -> list[bytes] | None:
    try:
        return dialect.split(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _slice(portion: list[tuple[Record, list[bytes] | None]], dialect: Dialect, known: Symbols) -> Slice:
    """Decode the frames under made-up receipt times (the frame's number), so that each row names its message."""
    sizes = np.array([1 if m is None else len(m) for _, m in portion], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    count = int(starts[-1])
    channels, symbols = np.full(count, UNKNOWN, np.uint8), np.zeros(count, np.int32)
    hashes = np.zeros(count, np.uint64)
    channels[starts[[k for k, (_, m) in enumerate(portion) if m is None]]] = GARBLED
    for batch in dialect.decode(_entries(portion)).batches:
        frames = batch.rows.column("received_at").cast(pa.int64()).to_numpy()
        where = starts[frames] + batch.rows.column("seq").to_numpy()
        symbols[where], hashes[where] = known.codes(batch.rows.column("symbol")), row_hashes(*batch)
        channels[where] = _channels(batch, dialect)
    return Slice(
        ts=np.repeat(np.array([r.received_at for r, _ in portion], np.int64), sizes),
        messages=[m for r, split in portion for m in ([r.payload] if split is None else split)],
        channels=channels,
        symbols=symbols,
        names=known.names or [""],
        hashes=hashes,
        frames=np.repeat(np.arange(len(portion)), sizes),
        payloads=[r.payload for r, _ in portion],
    )


def _entries(portion: list[tuple[Record, list[bytes] | None]]) -> list[Entry]:
    return [
        Entry(Position(k), Position(k + 1), msgspec.structs.replace(record, received_at=k * 1000))
        for k, (record, messages) in enumerate(portion)
        if messages is not None
    ]


def _channels(batch: Batch, dialect: Dialect) -> npt.NDArray[np.uint8]:
    """The channel code of each row of a decoded batch."""
    of_table = [code for code, channel in enumerate(dialect.channels) if channel.table == batch.table.name]
    if len(of_table) == 1:
        return np.full(batch.rows.num_rows, of_table[0], np.uint8)
    return _by_content(batch, dialect)


def _by_content(batch: Batch, dialect: Dialect) -> Any:
    return dialect.render(batch).channels
