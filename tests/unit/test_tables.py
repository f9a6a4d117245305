"""One definition of each table: Arrow, PostgreSQL, Delta and the docs say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.support.rows import rows
from tickerplant.schema import TIMESTAMP, Column, Table, markdown, postgres_ddl, quoted
from tickerplant.stores.lake_log import TableLog
from tickerplant.tables import PLANT_TABLES, TABLES, VENDOR_TABLES

ALL = pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)

FACT_ENVELOPE = ["vendor", "feed", "received_at", "seq"]


@ALL
def test_names_are_unique_and_typable(table: Table) -> None:
    names = table.schema.names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", n) for n in [table.name, *names])
    assert set(table.key) <= set(names)
    assert table.doc
    assert all(c.doc for c in table.columns)


@ALL
def test_postgres_ddl_has_every_column_with_its_nullability(table: Table) -> None:
    ddl = postgres_ddl(table)
    found = re.findall(r'^    "(\w+)" ([a-z ]+?)( not null)?,?$', ddl, re.MULTILINE)
    expected = {pa.string(): "text", pa.float64(): "double precision", TIMESTAMP: "timestamptz", pa.int16(): "smallint"}
    expected |= {
        pa.int32(): "integer",
        pa.int64(): "bigint",
        pa.binary(): "bytea",
        pa.date32(): "date",
        pa.bool_(): "boolean",
    }
    assert found == [(c.name, expected[c.type], "" if c.nullable else " not null") for c in table.columns]
    assert ddl.startswith(f'create table "{table.name}" (')
    assert ("primary key" in ddl) == (table.mode == "merge")


@ALL
def test_delta_table_has_the_same_columns(table: Table, tmp_path: Path) -> None:
    TableLog(tmp_path, table).create()
    delta = DeltaTable(str(tmp_path / table.name))
    fields = {f.name: f for f in delta.schema().fields}
    extra = ["session"] if table.time else []
    assert list(fields) == [*table.schema.names, *extra]
    assert [fields[c.name].nullable for c in table.columns] == [c.nullable for c in table.columns]
    assert pa.schema(delta.schema().to_arrow()).types[: len(table.columns)] == table.schema.types
    assert delta.metadata().partition_columns == extra


@ALL
def test_docs_show_every_column(table: Table) -> None:
    page = markdown(table)
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == table.schema.names


def test_fact_rows_carry_envelope_and_float_sizes() -> None:
    for table in VENDOR_TABLES:
        assert [c.name for c in table.columns if c.envelope] == FACT_ENVELOPE
        for column in table.columns:
            if column.name.endswith("size") or column.name == "volume":
                assert (column.type, "shares" in column.unit) == (pa.float64(), True)
    assert all(t.mode == "merge" and t.key for t in PLANT_TABLES)


def test_check_takes_exact_schemas_only() -> None:
    table = TABLES["quotes"]
    batch = rows(table, {}).rows
    assert table.check(batch) is batch
    with pytest.raises(TypeError, match="quotes: expected columns"):
        table.check(batch.select(batch.schema.names[:-1]))
    assert table.empty().schema == table.schema


def test_identifiers_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert '"end" text' in postgres_ddl(Table("x", "d", (Column("end", pa.string(), "d"),)))
