"""`tickerplant export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tickerplant.cli import console


def command(
    table: Annotated[str, typer.Argument(help="The table: quotes, trades, bars, ...")],
    to: Annotated[Path, typer.Option(help="The file: .parquet, .csv, .arrow or .jsonl; it is replaced when complete.")],
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    symbols: Annotated[str, typer.Option(help="Symbols, separated by commas; * is all.")] = "*",
    start: Annotated[str | None, typer.Option(help="From: a New York day, or a time with an offset.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to, and without: a day or a time.")] = None,
    as_of: Annotated[str | None, typer.Option(help="A past version: a time or a version number.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as one JSON object.")] = False,
) -> None:
    """Write the rows of a table to a file, `ts` with nanoseconds. Streams: memory does not grow with the rows."""
    from tickerplant.cli.query import version
    from tickerplant.jobs.export import export
    from tickerplant.query import moment
    from tickerplant.stores import open_store

    names = tuple(dict.fromkeys(s.strip() for s in symbols.split(",") if s.strip())) or ("*",)
    target = open_store(store or console.settings().store, read_only=True, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker:
            rows = export(
                target,
                table,
                to,
                names,
                moment(start),
                moment(end),
                version(as_of),
                lambda n: ticker.say(f"{n:,} rows"),
            )
    finally:
        target.close()
    if as_json:
        console.print_json({"table": table, "rows": rows, "file": str(to), "bytes": to.stat().st_size})
    else:
        console.out.print(f"{rows:,} rows of {table} in {to} ({to.stat().st_size:,} B)")
