"""Files of a lake as Spark reads them: those that a version of the Delta log names, pruned before Spark sees them.

A lake in a folder is read by Spark's own Parquet reader, a lake in a bucket by ours in the workers, in Arrow batches
(docs/decisions/0233-spark-reads-what-the-log-names.md).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tickerplant.bucket import Bucket
from tickerplant.model import Selection
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_files import ROW_GROUP_ROWS
from tickerplant.stores.lake_scan import may_hold, scan_files, terms
from tickerplant.stores.object_path import Folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_GROUP_BYTES = 64 * 2**20
# Spark takes a path for a pattern.
_GLOB = str.maketrans({c: f"\\{c}" for c in "[]{}*?\\"})


@dataclass(frozen=True)
class Version:
    """A table at one version: its definition, the schema of its rows as stored, and its files."""

    table: Table
    schema: pa.Schema
    folder: Folder
    files: Sequence[File]


def frame(spark: SparkSession, version: Version, selection: Selection, columns: Sequence[str] | None) -> DataFrame:
    """The rows of a selection. Files that session, time or symbols rule out are not handed to Spark."""
    files = [f for f in version.files if may_hold(version.table, f, selection)]
    names = list(columns or version.schema.names)
    if not files:
        return spark.createDataFrame([], struct(version.schema)).select(names)
    if isinstance(version.folder, Path):
        return _of_folder(spark, version, version.folder, files, selection).select(names)
    return _of_bucket(spark, version, files, selection, names)


def struct(schema: pa.Schema) -> StructType:
    """An Arrow schema as Spark's: a Delta table keeps its own as the JSON of Spark's types."""
    from deltalake import Schema
    from pyspark.sql.types import StructType

    return StructType.fromJson(json.loads(Schema.from_arrow(schema).to_json()))


def _of_folder(
    spark: SparkSession, version: Version, folder: Path, files: Sequence[File], selection: Selection
) -> DataFrame:
    """By Spark's Parquet reader, which pushes columns and conditions down; `session` comes from the folders' names."""
    root = f"file://{folder.absolute()}"
    reader = spark.read.schema(struct(version.schema)).option("basePath", root)
    found = reader.parquet(*(f"{root}/{file.path}".translate(_GLOB) for file in files))
    return restricted(found, version.table, selection)


def restricted(rows: DataFrame, table: Table, selection: Selection) -> DataFrame:
    """The rows of a selection. Raises UsageError for symbols or bounds of a table that has none."""
    from pyspark.sql import functions as f

    for name, sign, value in terms(table, selection):
        column = f.col(name)
        if sign == "in":
            rows = rows.where(column.isin(value))
        else:
            rows = rows.where(column >= f.lit(value) if sign == ">=" else column < f.lit(value))
    return rows


def _of_bucket(
    spark: SparkSession, version: Version, files: Sequence[File], selection: Selection, columns: Sequence[str]
) -> DataFrame:
    """By workers that read files as `LakeStore.scan` does, a group of files each: they need this package installed.

    How the bucket is reached goes to them within the task, not within the query's plan, which Spark shows.
    """
    share = sum(f.size for f in files) // spark.sparkContext.defaultParallelism
    groups = list(grouped(files, min(share, _GROUP_BYTES)))
    unopened = replace(version, folder=_unopened(version.folder), files=())
    read = functools.partial(_read, unopened, groups, selection, list(columns))
    schema = struct(pa.schema([version.schema.field(name) for name in columns]))
    return spark.range(0, len(groups), 1, len(groups)).mapInArrow(read, schema)


def _unopened(folder: Folder) -> Folder:
    """The same folder without the client that reading the log made."""
    if isinstance(folder, Path):
        return folder
    return replace(folder, bucket=Bucket(folder.bucket.url, folder.bucket.access))


def grouped(files: Sequence[File], most_bytes: int) -> Iterator[list[File]]:
    """Files in their order, in groups of up to so many bytes, or of one that has more."""
    group: list[File] = []
    for file in files:
        if group and sum(f.size for f in group) + file.size > most_bytes:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _read(
    version: Version,
    groups: Sequence[Sequence[File]],
    selection: Selection,
    columns: Sequence[str],
    numbers: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """In a worker: the rows of the groups whose numbers come."""
    for number in (n for batch in numbers for n in batch.column(0).to_pylist()):
        found = scan_files(version.folder, groups[number], version.table, version.schema, selection, columns)
        for batch in found:
            for start in range(0, batch.num_rows, ROW_GROUP_ROWS):
                yield batch.slice(start, ROW_GROUP_ROWS)
