"""`tickerplant load`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tickerplant.cli import console


def command(
    log: Annotated[str | None, typer.Option(help="The log to read.")] = None,
    store: Annotated[str | None, typer.Option(help="Where rows go.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep loading what arrives, until stopped.")] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Try quarantined messages again, after an upgrade.")
    ] = False,
    partition: Annotated[list[str] | None, typer.Option(help="Only these partitions of the log.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Commit after this many messages.")] = None,
    batch_seconds: Annotated[float | None, typer.Option(min=0.01, help="Commit at least this often.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON line.")] = False,
) -> None:
    """Load the log's records into the store, each exactly once."""
    from tickerplant.jobs.joblog import job
    from tickerplant.jobs.load import LoadOptions, load
    from tickerplant.jobs.reload import reload_quarantined
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store
    from tickerplant.vendors import vendor

    settings = console.settings()
    source, target = open_log(log or settings.log), open_store(store or settings.store, options=console.store_options())
    try:
        if quarantined:
            again = reload_quarantined(source, target, vendor)
            console.print_json(asdict(again)) if as_json else console.out.print(
                f"{again.loaded:,} messages left the quarantine, {again.remaining:,} remain"
            )
            raise typer.Exit(1 if again.remaining else 0)
        options = LoadOptions(
            batch_size or settings.batch_size,
            batch_seconds or settings.batch_timeout_s,
            follow=follow,
            settling_s=settings.repair_settling_s,
        )
        about = {"log": source.url, "follow": follow, "partitions": partition or []}
        with (
            console.stop_on_signals() as stop,
            console.Ticker(as_json) as ticker,
            job(target, "load", about) as run,
        ):
            summary = load(source, target, vendor, options, partitions=partition, stop=stop, report=ticker.loading)
            run.rows = summary.counters.stored
    finally:
        target.close()
    if as_json:
        console.print_json(asdict(summary))
        return
    c = summary.counters
    console.out.print(
        f"{c.received:,} messages: {c.stored:,} stored, {c.quarantined:,} quarantined, {c.control:,} control; "
        f"{summary.commits:,} commits in {summary.seconds:.1f} s"
    )
