"""Status: what the log holds, how far it is loaded, whether the counters balance, which holes are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tickerplant.jobs.lag import lags
from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.model import Counters, Lag, Log, Progress, Segment, split_position
from tickerplant.tables import TABLES, VENDOR_TABLES

if TYPE_CHECKING:
    from tickerplant.stores import AnyStore


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: bytes in the log, bytes not loaded yet, counters at the loaded position.

    `lag_seconds` since the oldest record not loaded was received (0: none), `lag_records` that are not loaded, as far
    as seen from this machine, None when unknown; `lag_is_least`: both may be more. `loader` is who loads it now.
    """

    partition: str
    segments: int
    log_bytes: int
    stored_bytes: int
    position: int
    lag_bytes: int
    received: int
    stored: int
    quarantined: int
    control: int
    lag_seconds: float | None = None
    lag_records: int | None = None
    lag_is_least: bool = False
    loader: str | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether every message received is accounted for."""
        return self.received == self.stored + self.quarantined + self.control


@dataclass(frozen=True)
class TableStatus:
    """One table: rows, symbols and the span of its event times, bytes on disk, rows that retention dropped."""

    table: str
    rows: int
    symbols: int
    first: datetime | None
    last: datetime | None
    bytes: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Status:
    """The state of a plant.

    `missing_rows`: what the counters say is stored minus what the tables hold and what retention dropped, 0 when well.
    `layout` is `lake`, `partitions` or `hypertables`, `version` that of the server. `sizes` is bytes of every table.
    """

    partitions: tuple[PartitionStatus, ...]
    tables: tuple[TableStatus, ...]
    gaps: tuple[dict[str, Any], ...]
    quarantine: tuple[dict[str, Any], ...]
    received: int
    stored: int
    quarantined: int
    control: int
    balanced: bool
    missing_rows: int
    layout: str
    version: str
    sizes: dict[str, int]
    jobs: tuple[dict[str, Any], ...] = ()


def _lag(segments: list[Segment], position: int) -> int:
    number, offset = split_position(position)  # type: ignore[arg-type]
    behind = (s.size_bytes - (offset if s.number == number else 0) for s in segments if s.number >= number)
    return max(0, sum(behind))


def behind(log: Log, store: AnyStore) -> int:
    """Bytes of the log that are not loaded yet; of one on Kinesis a number that is 0 when everything is."""
    unsent = sum(w.bytes for w in log.waiting(0)) if isinstance(log, KinesisLog) else 0
    return unsent + sum(_lag(log.segments(name), store.progress(name).position) for name in log.partitions())


def _partitions(log: Log, store: AnyStore) -> Iterator[PartitionStatus]:
    names = log.partitions()
    progress = {name: store.progress(name) for name in names}
    behind_by, loaders = lags(log, {name: p.position for name, p in progress.items()}), store.loaders(names)
    for name in names:
        yield _partition(log, name, progress[name], behind_by[name], loaders.get(name))


def _partition(log: Log, name: str, progress: Progress, lag: Lag, loader: str | None) -> PartitionStatus:
    segments, counters = log.segments(name), progress.counters
    return PartitionStatus(
        name,
        len(segments),
        sum(s.size_bytes for s in segments),
        sum(s.stored_bytes for s in segments),
        progress.position,
        _lag(segments, progress.position),
        counters.received,
        counters.stored,
        counters.quarantined,
        counters.control,
        None if lag.seconds is None else round(lag.seconds, 3),
        lag.records,
        lag.is_least,
        loader,
    )


def _table(store: AnyStore, name: str, time: str | None, size: int, dropped: int) -> TableStatus:
    span = f"min({time}) as first, max({time}) as last" if time else "null as first, null as last"
    symbols = "count(distinct symbol)" if "symbol" in TABLES[name].schema.names else "0"
    row = store.query(f'select count(*) as n, {symbols} as symbols, {span} from "{name}"').to_pylist()[0]
    return TableStatus(name, row["n"], row["symbols"], row["first"], row["last"], size, dropped)


def _ledger(store: AnyStore) -> Counters:
    row = store.query(
        "select coalesce(sum(received), 0)::bigint as received, coalesce(sum(stored), 0)::bigint as stored, "
        "coalesce(sum(quarantined), 0)::bigint as quarantined, coalesce(sum(control), 0)::bigint as control "
        "from positions"
    ).to_pylist()[0]
    return Counters(**row)


def status(log: Log, store: AnyStore, gap_limit: int = 50) -> Status:
    """Read the state of a plant; changes nothing and blocks nobody."""
    partitions = tuple(_partitions(log, store))
    ledger = _ledger(store)
    # Dropped rows before rows: what is dropped meanwhile is missing for a moment, never counted twice.
    housing, sizes, dropped = store.housing(), store.sizes(), store.retired()
    tables = tuple(_table(store, t.name, t.time, sizes.get(t.name, 0), dropped.get(t.name, 0)) for t in VENDOR_TABLES)
    gaps = store.query(f'select * from gaps order by "start" desc limit {gap_limit}').to_pylist()
    quarantine = store.query(
        "select partition, channel, reason, state, count(*) as messages, min(received_at) as first, "
        "max(received_at) as last from quarantine group by partition, channel, reason, state "
        "order by messages desc limit 50"
    ).to_pylist()
    jobs = store.query("select * from jobs order by started_at desc limit 10").to_pylist()
    balanced = ledger.received == ledger.stored + ledger.quarantined + ledger.control
    missing = max(0, ledger.stored - sum(t.rows + t.dropped for t in tables))
    return Status(
        partitions,
        tables,
        tuple(gaps),
        tuple(quarantine),
        ledger.received,
        ledger.stored,
        ledger.quarantined,
        ledger.control,
        balanced,
        missing,
        housing.layout,
        housing.version,
        sizes,
        tuple(jobs),
    )
