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

_BOUNDED = {"symbol": pa.string(), SESSION: pa.date32()}
REGISTERED = "_files_of_"
"""What stands before a table's name where its dataset is registered in DuckDB."""


def dataset(folder: Folder, files: Sequence[File], schema: pa.Schema | None = None) -> ds.Dataset:
    """The rows of files below a folder; those that the bounds in the log rule out are not opened.

    Without a schema, which the first of the files is asked for then, all have the same.
    """
    system, names = _place(folder, files)
    if schema is None:
        schema = ds.ParquetFileFormat().inspect(names[0], system)
    return ds.FileSystemDataset.from_paths(
        names,
        schema=schema,
        format=ds.ParquetFileFormat(),
        filesystem=system,
        partitions=[_known(file, schema) for file in files],
    )


def _place(folder: Folder, files: Sequence[File]) -> tuple[fs.FileSystem, list[str]]:
    """A file system, and how it calls the files."""
    if isinstance(folder, Path):
        return fs.LocalFileSystem(), [str(folder / f.path) for f in files]
    return _system(folder, files), [f.path for f in files]


def _system(folder: ObjectPath, files: Sequence[File]) -> fs.FileSystem:
    from deltalake.fs import DeltaStorageHandler

    sizes = {file.path: file.size for file in files}
    return fs.PyFileSystem(DeltaStorageHandler(str(folder), storage_options(folder.bucket), sizes))


def _known(file: File, schema: pa.Schema) -> pc.Expression:
    """What the log says of every row of a file."""
    return functools.reduce(operator.and_, _facts(file, schema), pc.scalar(True))


def _facts(file: File, schema: pa.Schema) -> Iterator[pc.Expression]:
    if file.session and SESSION in schema.names:
        yield pc.field(SESSION) == pa.scalar(date.fromisoformat(file.session), pa.date32())
    for name, kind in _BOUNDED.items():
        low, high = file.stats.min_values.get(name), file.stats.max_values.get(name)
        if isinstance(low, str) and isinstance(high, str) and name in schema.names:
            yield from _within(schema.field(name), pa.scalar(low).cast(kind), pa.scalar(high).cast(kind))


def _within(field: pa.Field, low: pa.Scalar, high: pa.Scalar) -> Iterator[pc.Expression]:
    """Bounds hold for every row that has a value. Arrow understands each beside `is_null`, not both."""
    column = pc.field(field.name)
    for bound in (column >= low, column <= high):
        yield bound | column.is_null() if field.nullable else bound
