"""The true latest state of what was sent: trades after their corrections, bars after their updates, message by message.

It is kept as sums of row hashes, from which what is replaced is taken away, so that a whole day costs little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.fingerprint import Fingerprint, Hashes, Tally, row_hashes
from tickerplant.simulator.present import Row, present
from tickerplant.simulator.source import UNKNOWN, Ints, Slice
from tickerplant.tables import BARS, DAILY_BARS, TRADES
from tickerplant.vendors.dialect import Dialect

_REPLACED = (BARS.name, DAILY_BARS.name)
_MOST_SNAPSHOTS = 32


class Truth:
    """The latest state of one feed, and what it was at some moments (after so many rows sent).

    Right for clients of which one at a time is subscribed, and for sources that note the trades they correct.
    """

    def __init__(self, dialect: Dialect) -> None:
        names = [channel.table for channel in dialect.channels]
        kept = (TRADES.name, *_REPLACED)
        self._codes = {name: [code for code, table in enumerate(names) if table == name] for name in kept}
        self._is_kept = np.isin(np.arange(256), [code for codes in self._codes.values() for code in codes])
        self._is_row = np.arange(256) < UNKNOWN
        self._names: list[str] = []
        self._sums: dict[str, tuple[Ints, Hashes]] = {}
        self._bars: dict[tuple[str, int], tuple[int, int]] = {}
        self._trades: list[Row] = []
        self._corrections: list[Row] = []
        self._slice: Slice | None = None
        self._taken: list[Ints] = []
        self._rows = self._settled = 0
        self._stride = 1
        self._snapshots: list[tuple[int, dict[str, Fingerprint]]] = []

    def take(self, part: Slice, chosen: Ints) -> None:
        """Note messages of a slice that were sent, by their places; a place given twice is a message sent twice."""
        if part is not self._slice:
            self._settle()
            self._slice = part
        self._taken.append(chosen)

    def as_json(self) -> dict[str, Any]:
        """`tables`: the latest state by table and symbol; `known`: its totals after so many `rows` sent."""
        self._settle()
        known = [{"rows": rows, "tables": _shown(totals)} for rows, totals in self._snapshots]
        return {"tables": self._latest().as_json(), "known": known}

    def _settle(self) -> None:
        if self._slice is None or not self._taken:
            return
        part, sent = self._slice, np.concatenate(self._taken)
        self._taken = []
        channels = part.channels[sent]
        self._rows += int(self._is_row[channels].sum())
        self._add(part, np.unique(sent[self._is_kept[channels]]))
        self._note(part, sent)
        self._settled += 1
        if self._settled % self._stride == 0:
            self._snapshot()

    def _snapshot(self) -> None:
        totals = {name: Fingerprint(int(c.sum()), int(h.sum())) for name, (c, h) in sorted(self._sums.items())}
        for name, _, change in self._changes():
            totals[name] += change
        self._snapshots.append((self._rows, totals))
        if len(self._snapshots) > _MOST_SNAPSHOTS:
            self._snapshots, self._stride = self._snapshots[1::2], self._stride * 2

    def _changes(self) -> Iterator[tuple[str, str, Fingerprint]]:
        """What corrections take away and add: table, symbol, fingerprint."""
        for sign, rows in ((-1, self._trades), (1, present(self._trades, self._corrections))):
            for row, hashed in _hashed(rows):
                yield TRADES.name, row["symbol"], Fingerprint(sign, sign * hashed)

    def _add(self, part: Slice, places: Ints) -> None:
        if len(part.names) > len(self._names):
            self._grow(part.names)
        channels = part.channels[places]
        for name, codes in self._codes.items():
            here = places[np.isin(channels, codes)]
            if name in _REPLACED:
                self._replace(name, part, here)
            self._sum(name, part.symbols[here], part.hashes[here], 1)

    def _note(self, part: Slice, sent: Ints) -> None:
        noted = np.fromiter(part.noted, np.int64, len(part.noted))
        for place in np.intersect1d(noted, sent).tolist():
            is_trade = part.channels[place] in self._codes[TRADES.name]
            (self._trades if is_trade else self._corrections).append(part.noted[place])

    def _grow(self, names: list[str]) -> None:
        more = len(names) - len(self._names)
        self._names = names
        for name, (counts, sums) in self._sums.items():
            self._sums[name] = np.pad(counts, (0, more)), np.pad(sums, (0, more))

    def _sum(self, name: str, symbols: npt.NDArray[np.int32], hashes: Hashes, sign: int) -> None:
        empty = np.zeros(len(self._names), np.int64), np.zeros(len(self._names), np.uint64)
        counts, sums = self._sums.setdefault(name, empty)
        np.add.at(counts, symbols, sign)
        with np.errstate(over="ignore"):
            (np.add if sign > 0 else np.subtract).at(sums, symbols, hashes)

    def _replace(self, name: str, part: Slice, places: Ints) -> None:
        """Take away the bars that these replace: a symbol's newest of the same window."""
        assert part.windows is not None
        symbols, hashes = [], []
        for place in places.tolist():
            symbol, bar = int(part.symbols[place]), (int(part.windows[place]), int(part.hashes[place]))
            before = self._bars.get((name, symbol))
            if before and before[0] == bar[0]:
                symbols.append(symbol)
                hashes.append(before[1])
            self._bars[name, symbol] = bar
        self._sum(name, np.array(symbols, np.int32), np.array(hashes, np.uint64), -1)

    def _latest(self) -> Tally:
        tally = Tally()
        for name, (counts, sums) in self._sums.items():
            pairs = zip(self._names, counts.tolist(), sums.tolist(), strict=True)
            tally.tables[name] = {symbol: Fingerprint(count, total) for symbol, count, total in pairs if count}
        for name, symbol, change in self._changes():
            tally.tables[name][symbol] += change
        tally.tables = {t: {n: f for n, f in s.items() if f.count} for t, s in tally.tables.items()}
        return tally


def _hashed(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    full = [{name: row.get(name) for name in TRADES.schema.names} for row in rows]
    hashes = row_hashes(TRADES, pa.RecordBatch.from_pylist(full, TRADES.schema)).tolist()
    return list(zip(rows, hashes, strict=True))


def _shown(totals: Mapping[str, Fingerprint]) -> dict[str, Any]:
    return {name: total.as_json() for name, total in totals.items()}
