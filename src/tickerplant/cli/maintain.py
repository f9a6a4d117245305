"""`tickerplant maintain`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError
from tickerplant.model import Maintained


def command(
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    before: Annotated[
        str | None, typer.Option(help="Maintain sessions before this day, such as 2026-11-20. Default: today.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Sort finished sessions for reading and drop files replaced long ago. Safe to run at any time, twice too."""
    from tickerplant.jobs.maintain import maintain
    from tickerplant.stores import open_store

    settings = console.settings()
    keep = timedelta(days=settings.keep_versions_days)
    target = open_store(store or settings.store, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker:
            ticker.say("sorting finished sessions")
            done = maintain(target, keep, _day(before), lambda item: ticker.say(f"sorted {item.table} {item.session}"))
    finally:
        target.close()
    if as_json:
        console.print_json([asdict(item) for item in done])
    else:
        _show(done)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise UsageError(f"--before: expected a day such as 2026-11-20, was {text!r}") from None


def _show(done: list[Maintained]) -> None:
    if not done:
        console.out.print("Nothing to do: every finished session is sorted.")
        return
    sheet = console.sheet("Maintained", "table", "session", "rows", "files", "before", "after")
    for item in done:
        files = f"{item.files_before} to {item.files_after}"
        sheet.add_row(
            item.table,
            str(item.session),
            f"{item.rows:,}",
            files,
            f"{item.bytes_before:,} B",
            f"{item.bytes_after:,} B",
        )
    console.out.print(sheet)
