"""`tickerplant transform`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.transform import ModelResult, Report, Request


def command(
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Build everything anew, not only what was touched.")] = False,
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these models, in dbt's words: prices_daily, +prices_daily with what it needs. Repeatable."
        ),
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option(
            help="As was known at a moment, such as 2026-11-20T15:00:00Z: what was received later does not count."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Models built at the same time.", min=1, max=64)] = 2,
    tests: Annotated[bool, typer.Option("--tests/--no-tests", help="Run the models' tests too.")] = True,
    check: Annotated[
        bool, typer.Option("--quality/--no-quality", help="Then check the touched sessions by the quality rules.")
    ] = True,
    page: Annotated[Path | None, typer.Option("--report", help="Write the quality report, one HTML file.")] = None,
    no_fail: Annotated[bool, typer.Option("--no-fail", help="End with 0 also when a quality rule failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build adjusted prices and marts from the loaded tables; again only what was touched since. One dbt run.

    Models of your own in the folder TICKERPLANT_MODELS are built along. Then the quality rules look at the touched
    sessions. Exit code 1 when a model or test failed, or a rule of severity error flagged anything.
    """
    from tickerplant.cli.quality import checked, quality_json, show_quality
    from tickerplant.jobs.transform import run_transform
    from tickerplant.stores import open_store

    request = _request(tuple(select or ()), full, known_at, threads, tests)
    target = open_store(store or console.settings().store, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker:
            ticker.say("reading the project")
            report = run_transform(target, request, lambda item: _tell(ticker, item))
            outcome = checked(target, report, page, ticker) if check and not select else None
    finally:
        target.close()
    if as_json:
        found = None if outcome is None else quality_json(outcome, page)
        console.print_json({"ok": report.ok, "results": [asdict(r) for r in report.results], "quality": found})
    else:
        _show(report)
        if outcome is not None:
            show_quality(outcome, page)
    if not report.ok or (outcome is not None and outcome.is_failed and not no_fail):
        raise typer.Exit(1)


def _request(select: tuple[str, ...], full: bool, known_at: str | None, threads: int, tests: bool) -> Request:
    from tickerplant.query import moment
    from tickerplant.transform import Request

    found = console.settings()
    user = Path(found.models).expanduser() if found.models else None
    words = (select, full, moment(known_at), threads, tests, user, found.vendors, found.bar_intervals)
    return Request(*words, cache=_cache())


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tickerplant"


def _tell(ticker: console.Ticker, item: ModelResult | str) -> None:
    if isinstance(item, str):
        ticker.say(f"building {item}")
    elif item.status == "failed":
        console.err.print(
            f"[bold red]failed[/] {item.kind} {item.name}: {console.plain(item.message or '')}", soft_wrap=True
        )
    elif item.kind == "model" and item.mode is not None:
        rows = "" if item.rows is None else f", {item.rows:,} rows"
        console.err.print(f"{item.name}: {_MODES.get(item.mode, item.mode)}{rows}, {item.seconds:.1f} s")


_MODES = {
    "full": "built in full",
    "none": "up to date",
    "whole": "computed anew",
    "sessions": "touched sessions",
    "symbols": "changed symbols",
}


def _show(report: Report) -> None:
    if not report.results:
        raise UsageError("transform: expected a selection with models, was one without; do look at --select")
    counts = {kind: [r for r in report.results if r.kind == kind] for kind in ("model", "test")}
    for kind, found in counts.items():
        if found:
            failed = sum(r.status == "failed" for r in found)
            skipped = sum(r.status == "skipped" for r in found)
            told = ", ".join(f"{n} {word}" for n, word in ((failed, "failed"), (skipped, "skipped")) if n)
            console.out.print(f"{len(found)} {kind}s{': ' + told if told else ''}")
