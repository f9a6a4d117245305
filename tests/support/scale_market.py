"""What a store got of a market that went over several captures, held against every message that the market had.

Order-aware and exact: the rows of a symbol must be a part of the market's sequence, in its order, and each run of
messages that lacks must hold a whole gap of the capture that had the symbol: begun after the row before the run, and
over before the row behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from tickerplant.fingerprint import row_hashes
from tickerplant.jobs.load_decode import decode_entries
from tickerplant.logs.files import FilesLog
from tickerplant.model import Selection
from tickerplant.simulator.market import Market, seeded
from tickerplant.stores import open_store
from tickerplant.tables import TABLES
from tickerplant.vendors import vendor
from tickerplant.vendors.dialect import Dialect

CHANNELS = ("quotes", "trades", "bars")
_CARRIED_BY = {"corrections": "trades", "cancel_errors": "trades"}

Key: TypeAlias = tuple[str, str]
"""A table and a symbol."""
Span: TypeAlias = tuple[int, int]
"""Microseconds since 1970."""


@dataclass(frozen=True)
class Against:
    """Rows against the market: `missed` were sent to nobody or not landed, `unnamed` of them lie in no gap; `foreign`
    rows are out of order, doubled or not the market's."""

    rows: int
    missed: int
    unnamed: int
    foreign: int


def against_market(
    market: Market, store: str, gaps: Mapping[str, Sequence[Span]], shard_of: Mapping[str, str]
) -> Against:
    """Hold a store against a market. `gaps` are those of each shard, `shard_of` says who had a symbol."""
    wanted, found = _played(market), _held(store)
    rows = missed = unnamed = foreign = 0
    for key in wanted.keys() | found.keys():
        ours = found.get(key, [])
        one = _aligned(wanted.get(key, []), ours, gaps[shard_of[key[1]]])
        rows, missed, unnamed, foreign = rows + len(ours), missed + one[0], unnamed + one[1], foreign + one[2]
    return Against(rows, missed, unnamed, foreign)


def _aligned(wanted: Sequence[int], ours: Sequence[tuple[int, int]], gaps: Sequence[Span]) -> tuple[int, int, int]:
    """Messages missed, those of them in no gap, rows left over. What comes behind the last row is not counted."""
    missed = unnamed = run = at = before = 0
    for hashed in wanted:
        if at == len(ours):
            break
        received_at, found = ours[at]
        if hashed != found:
            run += 1
            continue
        if run and not any(before <= start and end <= received_at for start, end in gaps):
            unnamed += run
        missed, run, at, before = missed + run, 0, at + 1, received_at
    return missed, unnamed, len(ours) - at


def _played(market: Market) -> dict[Key, list[int]]:
    """The hash of every message that our channels carry, in the market's order."""
    channels = Dialect().channels
    table_of = {code: c.table for code, c in enumerate(channels) if _CARRIED_BY.get(c.name, c.name) in CHANNELS}
    found: dict[Key, list[int]] = defaultdict(list)
    for part in seeded(market).slices:
        columns = (part.channels.tolist(), part.symbols.tolist(), part.hashes.tolist())
        for code, symbol, hashed in zip(*columns, strict=True):
            if code in table_of:
                found[table_of[code], part.names[symbol]].append(hashed)
    return found


def _held(store: str) -> dict[Key, list[tuple[int, int]]]:
    """Receipt and hash of every row of a store, in the order of receipt."""
    found: dict[Key, list[tuple[int, int]]] = {}
    with closing(open_store(store, read_only=True)) as opened:
        for name in ("quotes", "trades", "trade_corrections", "bars"):
            table = TABLES[name]
            rows: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
            for batch in opened.scan(table, Selection((name,))):
                at = batch.column("received_at").cast(pa.int64()).to_pylist()
                columns = (batch.column("symbol").to_pylist(), at, batch.column("seq").to_pylist())
                for symbol, received_at, seq, hashed in zip(*columns, row_hashes(table, batch).tolist(), strict=True):
                    rows[symbol].append((received_at, seq, hashed))
            for symbol, each in rows.items():
                found[name, symbol] = [(received_at, hashed) for received_at, _, hashed in sorted(each)]
    return found


def gaps_of(log: Path) -> dict[str, list[Span]]:
    """The gaps that each partition of a log on files tells, those that are over, of one channel."""
    found: dict[str, dict[int, Span]] = defaultdict(dict)
    files = FilesLog(log)
    for partition in files.partitions():
        for gap in _told(files, partition):
            if gap[1] is not None:
                found[partition][gap[0]] = (gap[0] // 1000, gap[1] // 1000)
    return {partition: list(found[partition].values()) for partition in files.partitions()}


def _told(files: FilesLog, partition: str) -> Iterator[tuple[int, int | None]]:
    with closing(files.reader(partition)) as reader:
        while entries := reader.read(4 << 20):
            _, gaps, _ = decode_entries(partition, entries, vendor("alpaca"))
            yield from ((g.start_ns, g.end_ns) for g in gaps if g.channel == CHANNELS[0])
