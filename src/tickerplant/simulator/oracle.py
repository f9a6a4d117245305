"""The oracle: what was sent, counted and fingerprinted by table and symbol, for each connection and in all."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tickerplant.fingerprint import Fingerprint, Hashes, Tally
from tickerplant.simulator.source import GARBLED, UNKNOWN, Ints, Slice
from tickerplant.simulator.truth import Truth
from tickerplant.vendors.dialect import Dialect


class Accounts:
    """Fingerprints by table and symbol, summed in arrays as long as the source's symbol list stays the same."""

    def __init__(self, dialect: Dialect) -> None:
        self._tables = [channel.table for channel in dialect.channels]
        self._tally = Tally()
        self._names: list[str] = []
        self._sums: dict[int, tuple[Ints, Hashes]] = {}
        self._noted: list[Ints] = []
        self._slice: Slice | None = None

    def add(self, part: Slice, chosen: Ints) -> None:
        """Count messages of a slice by their places; a place given twice counts twice."""
        if part is not self._slice:
            self._settle()
            self._slice = part
        self._noted.append(chosen)

    def tally(self) -> Tally:
        """Everything counted so far."""
        self._settle()
        self._fold()
        return self._tally

    def _settle(self) -> None:
        if self._slice is None or not self._noted:
            return
        part, chosen = self._slice, np.concatenate(self._noted)
        self._noted = []
        if part.names is not self._names:
            self._fold()
            self._names = part.names
        channels = part.channels[chosen]
        for code in np.unique(channels).tolist():
            if code < UNKNOWN:
                here = chosen[channels == code]
                self._add(code, part.symbols[here], part.hashes[here])

    def _add(self, code: int, symbols: npt.NDArray[np.int32], hashes: Hashes) -> None:
        if code not in self._sums:
            self._sums[code] = np.zeros(len(self._names), np.int64), np.zeros(len(self._names), np.uint64)
        counts, sums = self._sums[code]
        counts += np.bincount(symbols, minlength=len(counts))
        with np.errstate(over="ignore"):
            np.add.at(sums, symbols, hashes)

    def _fold(self) -> None:
        for code, (counts, sums) in self._sums.items():
            into = self._tally.tables.setdefault(self._tables[code], {})
            for place in np.flatnonzero(counts).tolist():
                name = self._names[place]
                into[name] = into.get(name, Fingerprint()) + Fingerprint(int(counts[place]), int(sums[place]))
        self._sums = {}


_COUNTED = ("messages", "frames", "control", "garbled", "unknown", "duplicates")
_SHOWN = ("feed", "connected_ns", "closed_ns", "close_reason", *_COUNTED)


@dataclass
class Sent:
    """What one connection was sent. `messages` are rows, with duplicates; garbled and unknown ones are beside them."""

    accounts: Accounts
    truth: Truth | None
    feed: str
    connected_ns: int
    closed_ns: int | None = None
    messages: int = 0
    frames: int = 0
    control: int = 0
    garbled: int = 0
    unknown: int = 0
    duplicates: int = 0
    close_reason: str | None = None

    def data(self, part: Slice, chosen: Ints, frames: int) -> None:
        """Count messages that were handed to the kernel in so many frames."""
        codes = part.channels[chosen]
        unknown, garbled = int((codes == UNKNOWN).sum()), int((codes == GARBLED).sum())
        self.unknown += unknown
        self.garbled += garbled
        self.messages += len(chosen) - unknown - garbled
        self.frames += frames
        self.accounts.add(part, chosen)
        if self.truth:
            self.truth.take(part, chosen)

    def as_json(self) -> dict[str, Any]:
        """The connection's entry of the oracle."""
        return {name: getattr(self, name) for name in _SHOWN} | {"tables": self.accounts.tally().as_json()}


@dataclass
class Ledger:
    """Everything the oracle file says. `path` None keeps it in memory only."""

    dialect: Dialect
    source: Mapping[str, Any]
    path: Path | None = None
    is_complete: bool = False
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    _open: list[Sent] = field(default_factory=list)
    _closed: list[dict[str, Any]] = field(default_factory=list)
    _closed_tally: Tally = field(default_factory=Tally)
    _truths: dict[str, Truth] = field(default_factory=dict)
    _due: float = 0.0

    def opened(self, feed: str) -> Sent:
        """The account of a new connection."""
        # Only the made-up market notes which trades it will correct.
        truth = self._truths.setdefault(feed, Truth(self.dialect)) if self.source.get("kind") == "market" else None
        sent = Sent(Accounts(self.dialect), truth, feed, time.time_ns())
        self._open.append(sent)
        return sent

    def closed(self, sent: Sent, reason: str) -> None:
        """Close a connection's account."""
        sent.closed_ns, sent.close_reason = time.time_ns(), reason
        self._open.remove(sent)
        self._closed.append(sent.as_json())
        _merge(self._closed_tally, sent.accounts.tally())

    def miss(self, channels: npt.NDArray[np.uint8]) -> None:
        """Count messages that nobody was sent."""
        for code, count in enumerate(np.bincount(channels, minlength=1).tolist()):
            if count:
                name = self.dialect.channels[code].name if code < len(self.dialect.channels) else "other"
                self.missed[name] += count

    def as_json(self) -> dict[str, Any]:
        """The oracle as it stands."""
        total = Tally({t: dict(s) for t, s in self._closed_tally.tables.items()})
        connections = [*self._closed]
        for sent in self._open:
            _merge(total, sent.accounts.tally())
            connections.append(sent.as_json())
        sums = {name: sum(c[name] for c in connections) for name in _COUNTED}
        return {
            "complete": self.is_complete,
            "sent": {name: sums[name] for name in ("messages", "frames", "control")},
            **{name: sums[name] for name in ("garbled", "unknown", "duplicates")},
            "missed": dict(sorted(self.missed.items())),
            "tables": total.as_json(),
            "latest": {feed: truth.as_json() for feed, truth in self._truths.items()},
            "connections": connections,
            "faults": self.faults,
            "source": dict(self.source),
        }

    def write(self) -> dict[str, Any]:
        """Replace the oracle file in one step."""
        oracle = self.as_json()
        if self.path:
            beside = self.path.with_name(self.path.name + ".new")
            beside.write_bytes(msgspec.json.encode(oracle) + b"\n")
            os.replace(beside, self.path)
        return oracle

    def write_when_due(self) -> None:
        """Write the file each second, less often when writing takes more than a twentieth of the time."""
        now = time.monotonic()
        if now >= self._due:
            self.write()
            self._due = now + max(1.0, 20 * (time.monotonic() - now))


def _merge(into: Tally, other: Tally) -> None:
    for table, symbols in other.tables.items():
        found = into.tables.setdefault(table, {})
        for name, fingerprint in symbols.items():
            found[name] = found.get(name, Fingerprint()) + fingerprint
