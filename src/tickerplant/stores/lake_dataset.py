"""Data files of a lake as an Arrow dataset: Arrow and DuckDB read from it the columns and row groups they need.

Nothing is asked of the place before rows are: schema, sizes and bounds of each file stand in the Delta log. In a bucket
the ranges are read by `deltalake`'s file system (docs/decisions/0222-reading-a-lake-on-s3.md).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_schema import SESSION
from tickerplant.stores.object_path import Folder, ObjectPath, storage_options


def dataset(folder: Folder, files: Sequence[File], schema: pa.Schema) -> ds.Dataset:
    """The rows of files below a folder; those that the bounds in the log rule out are not opened."""
    if isinstance(folder, Path):
        system, names = fs.LocalFileSystem(), [str(folder / f.path) for f in files]
    else:
        system, names = _system(folder, files), [f.path for f in files]
    return ds.FileSystemDataset.from_paths(
        names,
        schema=schema,
        format=ds.ParquetFileFormat(),
        filesystem=system,
        partitions=[_known(file, schema) for file in files],
    )


def _system(folder: ObjectPath, files: Sequence[File]) -> fs.FileSystem:
    from deltalake.fs import DeltaStorageHandler

    sizes = {file.path: file.size for file in files}
    return fs.PyFileSystem(DeltaStorageHandler(str(folder), storage_options(folder.bucket), sizes))


def _known(file: File, schema: pa.Schema) -> pc.Expression:
    """What the log says of every row of a file."""
    return functools.reduce(operator.and_, _facts(file, schema), pc.scalar(True))


def _is_known(schema: pa.Schema, name: str) -> bool:
    """Whether every row has a value, so that bounds hold for every row."""
    return name in schema.names and not schema.field(name).nullable


def _facts(file: File, schema: pa.Schema) -> Iterator[pc.Expression]:
    if file.session and SESSION in schema.names:
        yield pc.field(SESSION) == pa.scalar(date.fromisoformat(file.session), pa.date32())
    low, high = file.stats.min_values.get("symbol"), file.stats.max_values.get("symbol")
    if isinstance(low, str) and isinstance(high, str) and _is_known(schema, "symbol"):
        yield (pc.field("symbol") >= low) & (pc.field("symbol") <= high)
