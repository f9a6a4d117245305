"""Where messages come from: slices of time-ordered messages, each with what an oracle must know of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.errors import UsageError
from tickerplant.fingerprint import Hashes, row_hashes
from tickerplant.model import Batch
from tickerplant.tables import BARS, DAILY_BARS, TRADE_CORRECTIONS
from tickerplant.vendors.dialect import Dialect

Ints = npt.NDArray[np.int64]
Rows = Mapping[int, Mapping[str, Any]]
SLICE_MESSAGES = 20_000
UNKNOWN, GARBLED = 254, 255
"""Channel codes of messages that are no row: of an unknown type, and a whole frame that cannot be read."""


@dataclass(frozen=True)
class Slice:
    """Messages in order: `ts` the nanosecond at which each is due, its JSON, channel code, symbol code and row hash.

    `frames` gives the frame number of each message and `payloads` the frames' own bytes when the source had frames
    that must be kept; None lets the server pack freely. `windows` is the start of each bar's window, for the
    messages that are bars; `noted` are rows by their place that an oracle must know whole: corrections and the trades
    they will concern.
    """

    ts: Ints
    messages: list[bytes]
    channels: npt.NDArray[np.uint8]
    symbols: npt.NDArray[np.int32]
    names: list[str]
    hashes: Hashes
    frames: Ints | None = None
    payloads: Sequence[bytes] = ()
    windows: Ints | None = None
    noted: Rows = field(default_factory=dict)


class Timed(NamedTuple):
    """Rows and the nanosecond at which each is to be sent; `send` None means at its event time.

    `noted` are those rows, by number, that will be corrected or cancelled.
    """

    batch: Batch
    send: Ints | None = None
    noted: Rows = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """Slices in time order, what they are (for the oracle), and the market's span in seconds when that is known.

    `history` is what the REST side knows beside what is played.
    """

    slices: Iterable[Slice]
    about: Mapping[str, Any] = field(default_factory=dict)
    span_s: float | None = None
    history: Sequence[Batch] = ()


class Symbols:
    """Codes of symbol names. `names` is replaced, never changed, when it grows."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._codes = {name: code for code, name in enumerate(self.names)}

    def codes(self, column: pa.Array) -> npt.NDArray[np.int32]:
        """The code of each row."""
        coded = column.dictionary_encode()
        here = coded.dictionary.to_pylist()
        new = [name for name in here if name not in self._codes]
        if new:
            self._codes |= {name: len(self.names) + k for k, name in enumerate(new)}
            self.names = [*self.names, *new]
        return np.array([self._codes[name] for name in here], np.int32)[coded.indices.to_numpy()]


def event_ns(batch: Batch) -> Ints:
    """The event time of each row in nanoseconds."""
    micros = batch.rows.column("ts").cast(pa.int64()).to_numpy()
    return micros * 1000 + batch.rows.column("ns").to_numpy()


def slices(
    stretches: Iterable[Sequence[Timed]], dialect: Dialect, symbols: Symbols | None = None, size: int = SLICE_MESSAGES
) -> Iterator[Slice]:
    """Merge the rows of each stretch by time (stable: rows of a batch keep their order) and cut them in slices.

    A stretch must not begin before the one before it ended.
    """
    known = symbols or Symbols()
    for stretch in stretches:
        filled = [t for t in stretch if t.batch.rows.num_rows]
        if filled:
            yield from _merged(filled, dialect, known, size)


def _merged(stretch: Sequence[Timed], dialect: Dialect, known: Symbols, size: int) -> Iterator[Slice]:
    times = [event_ns(t.batch) if t.send is None else t.send for t in stretch]
    owner = np.repeat(np.arange(len(stretch), dtype=np.int32), [len(t) for t in times])
    row = np.concatenate([np.arange(len(t)) for t in times])
    due = np.concatenate(times)
    order = np.argsort(due, kind="stable")
    for at in range(0, len(order), size):
        here = order[at : at + size]
        yield _slice(stretch, due[here], owner[here], row[here], dialect, known)


def _slice(
    stretch: Sequence[Timed], due: Ints, owner: npt.NDArray[np.int32], row: Ints, dialect: Dialect, known: Symbols
) -> Slice:
    count = len(due)
    messages = np.empty(count, object)
    channels, symbols = np.empty(count, np.uint8), np.empty(count, np.int32)
    hashes, windows = np.empty(count, np.uint64), np.zeros(count, np.int64)
    noted: dict[int, Mapping[str, Any]] = {}
    for number in np.unique(owner):
        where = np.flatnonzero(owner == number)
        batch = _take(stretch[number].batch, row[where])
        rendered = dialect.render(batch)
        messages[where], channels[where] = rendered.messages, rendered.channels
        symbols[where], hashes[where] = known.codes(batch.rows.column("symbol")), row_hashes(*batch)
        if batch.table in (BARS, DAILY_BARS):
            windows[where] = _windows(batch)
        noted |= _noted(stretch[number], batch, row[where], where)
    return Slice(due, messages.tolist(), channels, symbols, known.names, hashes, windows=windows, noted=noted)


def _windows(batch: Batch) -> Ints:
    """A number for each bar's window; days and microseconds are never mixed."""
    start = batch.rows.column("ts" if batch.table is BARS else "session")
    return start.view(pa.int64() if batch.table is BARS else pa.int32()).to_numpy()


def _noted(timed: Timed, batch: Batch, rows: Ints, places: Ints) -> dict[int, Mapping[str, Any]]:
    if batch.table is TRADE_CORRECTIONS:
        return dict(zip(places.tolist(), batch.rows.to_pylist(), strict=True))
    if not timed.noted:
        return {}
    chosen = zip(rows.tolist(), places.tolist(), strict=True)
    return {place: timed.noted[row] for row, place in chosen if row in timed.noted}


def _take(batch: Batch, rows: Ints) -> Batch:
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and bool((np.diff(rows) == 1).all()):
        return Batch(batch.table, batch.rows.slice(first, len(rows)))
    return Batch(batch.table, batch.rows.take(pa.array(rows)))


def from_batches(stretches: Iterable[Sequence[Batch]], dialect: Dialect | None = None) -> Iterator[Slice]:
    """Slices of recorded rows: each list of batches is one stretch of time, the next begins where it ends."""
    return slices(([Timed(b) for b in stretch] for stretch in stretches), dialect or Dialect())


def from_reader(reference: str, path: Path, dialect: Dialect | None = None) -> Source:
    """The source that `module:function` reads from `path`: a function of a Path that yields lists of batches."""
    module, colon, name = reference.partition(":")
    if not colon:
        raise UsageError(f"source: expected module:function, was {reference!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        read = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"source: expected a function that can be imported, was {reference!r}; {error}") from None
    return Source(
        from_batches(read(path), dialect or Dialect()), {"kind": "recorded", "reader": reference, "path": str(path)}
    )
