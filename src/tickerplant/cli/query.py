"""`tickerplant query`."""

from __future__ import annotations

import base64
import math
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 50
_EXAMPLE = "select symbol, count(*) as quotes from quotes group by all order by 2 desc"


def command(
    sql: Annotated[str | None, typer.Argument(help=f'SQL that reads, such as "{_EXAMPLE}".')] = None,
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="A past version: a time such as 2026-11-20T15:00:00Z, or a version number.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read the SQL from a file; - is stdin.")] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"Show all rows, not the first {_SHOWN}.")] = False,
) -> None:
    """Run SQL over the store: tables of docs/tables.md, marts of docs/marts.md, trades_latest, bars_latest, ...

    Each of these is there as known at a moment, too: trades_known_at(time), bars_known_at(time).
    """
    from tickerplant.stores import open_store

    text = _statement(sql, file)
    target = open_store(store or console.settings().store, read_only=True, options=console.store_options())
    try:
        rows = target.query(text, as_of=version(as_of))
    finally:
        target.close()
    if as_json:
        console.print_json(objects(rows))
    else:
        _show(rows, rows.num_rows if everything else _SHOWN)


def version(text: str | None) -> datetime | int | None:
    """`--as-of` as a moment or a version number. Raises UsageError for anything else."""
    from tickerplant.query import moment

    return int(text) if text and text.isascii() and text.isdigit() else moment(text)


def objects(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON: times ISO with microseconds and Z, dates ISO, binary base64, no-numbers null."""
    import pyarrow as pa

    names = rows.column_names
    sheet = console.sheet("", *names)
    for column, field in zip(sheet.columns, rows.schema, strict=True):
        column.justify = "right" if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) else "left"
    columns = [[plain(v) for v in column.to_pylist()] for column in rows.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def plain(value: Any) -> Any:
    """One value as JSON has it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return _other(value)


def _time(value: datetime) -> str:
    text = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return text.isoformat(timespec="microseconds") + ("" if value.tzinfo is None else "Z")


def _other(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) else str(value)


def _statement(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise UsageError(f'query: expected SQL or --file, was {"both" if sql else "neither"}; do try "{_EXAMPLE}"')
    if sql is not None:
        return sql
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return Path(str(file)).read_text()
    except OSError as error:
        raise UsageError(f"--file: expected a readable file, was {file} ({error.strerror})") from None


def _show(rows: pa.Table, limit: int) -> None:
    import pyarrow as pa

    names = rows.column_names
    sheet = console.sheet("", *names)
    for column, field in zip(sheet.columns, rows.schema, strict=True):
        column.justify = "right" if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) else "left"
    values = [["" if v is None else str(v) for v in row.values()] for row in objects(rows.slice(0, limit))]
    console.show(sheet, names, values)
    if rows.num_rows > limit:
        console.err.print(f"{limit} of {rows.num_rows:,} rows; --all shows them, --json and export take them along")
