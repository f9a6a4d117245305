"""`tickerplant revisions`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tickerplant.cli import console


def command(
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols; all by default.")] = None,
    table: Annotated[str, typer.Option(help="daily_bars, bars, splits, dividends, tickers, ...")] = "daily_bars",
    since: Annotated[str | None, typer.Option(help="Changes received from this day or time on.")] = None,
    limit: Annotated[int, typer.Option(help="Versions to show at most.", min=1)] = 1000,
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List what vendors changed after the fact: each value that a later answer gave otherwise, with both receipts."""
    from tickerplant.jobs.revisions import revisions
    from tickerplant.query import moment
    from tickerplant.stores import open_store

    target = open_store(store or console.settings().store, read_only=True, options=console.store_options())
    try:
        found = list(revisions(target, table, symbols or (), moment(since), limit))
    finally:
        target.close()
    if as_json:
        console.print_json([asdict(r) for r in found])
        return
    sheet = console.sheet(f"Revisions of {table}, newest first, times UTC", "key", "column", "was", "now", "received")
    for r in found:
        key = " ".join(str(v) for v in r.key.values())
        sheet.add_row(key, r.column, str(r.was), str(r.now), console.clock(r.received_at))
    console.out.print(sheet)
