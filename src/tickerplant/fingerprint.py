"""Order-independent checksums of rows, over the vendor's content only (receipt time and lineage left out).

The checksum of a set of rows is the sum modulo 2**64 of a 64-bit hash of each row; so sums of parts add up, order does
not matter, and a row that is there twice counts twice. The hash does not change between versions of any library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.model import Batch, Selection, Store
from tickerplant.schema import Table

Hashes = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0xD6E8FEB86659FD93)
_MASK = (1 << 64) - 1


def _mix(h: Hashes) -> Hashes:
    """The finalizer of splitmix64."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _bytes_hash(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "little")


def _values(column: pa.Array) -> Hashes:
    """One uint64 for each value of a column without nulls."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        coded = column.cast(pa.binary()).dictionary_encode()
        hashed = np.array([_bytes_hash(v) for v in coded.dictionary.to_pylist()], np.uint64)
        return hashed[coded.indices.to_numpy()]
    if pa.types.is_floating(column.type):
        return (column.to_numpy() + 0.0).view(np.uint64)
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)


def _column(column: pa.Array) -> Hashes:
    if column.null_count == 0:
        return _values(column)
    filled = np.full(len(column), _NULL, np.uint64)
    filled[column.is_valid().to_numpy(zero_copy_only=False)] = _values(column.drop_null())
    return filled


def row_hashes(table: Table, rows: pa.RecordBatch) -> Hashes:
    """A 64-bit hash of the content columns of each row."""
    h = np.full(rows.num_rows, np.uint64(_bytes_hash(table.name.encode())), np.uint64)
    with np.errstate(over="ignore"):
        for name in table.content:
            h = _mix((h ^ _column(rows.column(name))) + _GOLDEN)
    return h


def every_column(table: Table) -> Table:
    """The table with its envelope counted as content, so that a fingerprint covers all there is."""
    return replace(table, columns=tuple(replace(c, envelope=False) for c in table.columns))


@dataclass(frozen=True)
class Fingerprint:
    """Count and checksum of a set of rows. The empty set is zero; disjoint sets add."""

    count: int = 0
    checksum: int = 0

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(self.count + other.count, (self.checksum + other.checksum) & _MASK)

    @classmethod
    def of_hashes(cls, hashes: Hashes) -> Fingerprint:
        """The fingerprint of the rows whose hashes these are."""
        with np.errstate(over="ignore"):
            return cls(len(hashes), int(hashes.sum(dtype=np.uint64)))

    def as_json(self) -> dict[str, int | str]:
        """`{"count": n, "checksum": "16 hex digits"}`."""
        return {"count": self.count, "checksum": f"{self.checksum:016x}"}


@dataclass
class Tally:
    """Fingerprints by table and symbol, added up batch by batch."""

    tables: dict[str, dict[str, Fingerprint]] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch."""
        symbols = batch.rows.column("symbol").dictionary_encode()
        self.add_hashed(
            batch.table.name,
            symbols.dictionary.to_pylist(),
            symbols.indices.to_numpy(),
            row_hashes(batch.table, batch.rows),
        )

    def add_hashed(self, table: str, names: list[str], codes: npt.NDArray[np.integer], hashes: Hashes) -> None:
        """Add rows given as hashes; `codes` index `names`."""
        counts = np.bincount(codes, minlength=len(names))
        sums = np.zeros(len(names), np.uint64)
        with np.errstate(over="ignore"):
            np.add.at(sums, codes, hashes)
        into = self.tables.setdefault(table, {})
        for name, count, total in zip(names, counts.tolist(), sums.tolist(), strict=True):
            if count:
                into[name] = into.get(name, Fingerprint()) + Fingerprint(count, total)

    def total(self, table: str) -> Fingerprint:
        """The fingerprint of a whole table."""
        return sum(self.tables.get(table, {}).values(), Fingerprint())

    def as_json(self) -> dict[str, dict[str, dict[str, int | str]]]:
        """`{table: {symbol: {"count", "checksum"}}}`, sorted."""
        return {
            table: {s: f.as_json() for s, f in sorted(symbols.items())}
            for table, symbols in sorted(self.tables.items())
        }

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Tally:
        """The tally of all rows of `batches`."""
        tally = cls()
        for batch in batches:
            tally.add(batch)
        return tally

    @classmethod
    def of_store(cls, store: Store, tables: Iterable[Table]) -> Tally:
        """The tally of all rows that a store holds in `tables`."""
        scans = ((t, store.scan(t, Selection((t.name,)))) for t in tables)
        return cls.of(Batch(table, rows) for table, found in scans for rows in found)

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Mapping[str, int | str]]]) -> Tally:
        """The reverse of `as_json`."""
        return cls(
            {
                table: {s: Fingerprint(int(f["count"]), int(str(f["checksum"]), 16)) for s, f in symbols.items()}
                for table, symbols in data.items()
            }
        )
