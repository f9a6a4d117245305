"""Column and Table: one definition from which Arrow schemas, DDL and docs derive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", "UTC")

POSTGRES_TYPES: dict[pa.DataType, str] = {
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.binary(): "bytea",
    pa.date32(): "date",
    TIMESTAMP: "timestamptz",
}
"""The type in PostgreSQL of each Arrow type."""


@dataclass(frozen=True)
class Column:
    """One column. `envelope` marks what we add to the vendor's own content (receipt, lineage)."""

    name: str
    type: pa.DataType
    doc: str
    unit: str = ""
    nullable: bool = True
    envelope: bool = False


@dataclass(frozen=True)
class Table:
    """One table of the plant.

    `key` is the natural key: with mode `merge` a later row of the same key replaces the earlier one; with mode
    `append` every row received is kept and `<name>_latest` shows the last one of each key. `time` is the event time
    column, None for tables that are not partitioned by session.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    time: str | None = "ts"
    mode: Literal["append", "merge"] = "append"
    version: int = 1

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, columns in order, with nullability."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    @cached_property
    def content(self) -> tuple[str, ...]:
        """Names of the columns that hold the vendor's content, without our envelope."""
        return tuple(c.name for c in self.columns if not c.envelope)

    def check(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return `rows` unchanged when their schema is exactly this table's; raise TypeError otherwise."""
        if not rows.schema.equals(self.schema):
            raise TypeError(f"{self.name}: expected columns {self.schema}, was {rows.schema}")
        return rows

    def empty(self) -> pa.Table:
        """A table of no rows in this schema."""
        return self.schema.empty_table()


def quoted(identifier: str) -> str:
    """An SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def postgres_ddl(table: Table) -> str:
    """The `create table` skeleton of a table for PostgreSQL, without partitions and indexes."""
    lines = [f"    {quoted(c.name)} {POSTGRES_TYPES[c.type]}{'' if c.nullable else ' not null'}" for c in table.columns]
    if table.mode == "merge" and table.key:
        lines.append(f"    primary key ({', '.join(map(quoted, table.key))})")
    return f"create table {quoted(table.name)} (\n" + ",\n".join(lines) + "\n)"


def markdown(table: Table) -> str:
    """The section of `docs/tables.md` for one table."""
    head = [
        f"## {table.name}",
        "",
        table.doc,
        "",
        f"Natural key: {', '.join(f'`{k}`' for k in table.key) or 'none'}. "
        f"Rows with the same key: {'the later replaces the earlier' if table.mode == 'merge' else 'all are kept'}. "
        f"Definition version {table.version}.",
        "",
        "| column | type | unit | null | meaning |",
        "|---|---|---|---|---|",
    ]
    rows = [f"| `{c.name}` | {c.type} | {c.unit} | {'yes' if c.nullable else 'no'} | {c.doc} |" for c in table.columns]
    return "\n".join([*head, *rows, ""])
