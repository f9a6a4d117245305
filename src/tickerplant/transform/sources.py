"""The tables of the plant as dbt sources, derived from `tables.py`."""

from __future__ import annotations

from typing import Any

from tickerplant.schema import Table
from tickerplant.tables import TABLES

NAME = "tickerplant"


def sources(database: str, schema: str) -> dict[str, Any]:
    """The content of a dbt schema file that declares every table, with the descriptions of its columns."""
    tables = [_table(table) for table in TABLES.values()]
    return {"version": 2, "sources": [{"name": NAME, "database": database, "schema": schema, "tables": tables}]}


def _table(table: Table) -> dict[str, Any]:
    columns = [{"name": c.name, "description": _told(c.doc, c.unit)} for c in table.columns]
    if table.time is not None:
        columns.append({"name": "session", "description": "New York date of the event time"})
    return {"name": table.name, "description": table.doc, "columns": columns}


def _told(doc: str, unit: str) -> str:
    return f"{doc} ({unit})" if unit else doc
