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
        str | None,
        typer.Option(help="Only sessions before this day, such as 2026-11-20; else all that are over."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Sort, vacuum or compress finished sessions; drop those past DATA_RETENTION_DAYS. Safe at any time, twice too."""
    from tickerplant.jobs.joblog import job
    from tickerplant.jobs.maintain import maintain
    from tickerplant.stores import open_store

    settings = console.settings()
    keep = timedelta(days=settings.keep_versions_days)
    target = open_store(store or settings.store, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker, job(target, "maintain", {"before": before}) as run:
            ticker.say("looking at finished sessions")
            done = maintain(
                target, keep, _day(before), lambda item: ticker.say(f"{item.action} {item.table} {item.session}")
            )
            run.rows = sum(item.rows for item in done)
        sizes = {} if as_json else target.sizes()
    finally:
        target.close()
    if as_json:
        console.print_json([asdict(item) for item in done])
    else:
        _show(done)
        _show_sizes(sizes)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise UsageError(f"--before: expected a day such as 2026-11-20, was {text!r}") from None


def _show(done: list[Maintained]) -> None:
    if not done:
        console.out.print("Nothing to do: every finished session is in its final form.")
        return
    sheet = console.sheet("Maintained", "table", "session", "action", "rows", "files", "before", "after")
    for item in done:
        files = f"{item.files_before} to {item.files_after}"
        sizes = (f"{size:,} B" for size in (item.bytes_before, item.bytes_after))
        sheet.add_row(item.table, str(item.session), item.action, f"{item.rows:,}", files, *sizes)
    console.out.print(sheet)


def _show_sizes(sizes: dict[str, int]) -> None:
    sheet = console.sheet("On disk", "table", "bytes")
    for name, size in sizes.items():
        if size:
            sheet.add_row(name, console.size(size))
    sheet.add_row("all", console.size(sum(sizes.values())))
    console.out.print(sheet)
