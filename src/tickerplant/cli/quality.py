"""`tickerplant quality`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tickerplant.quality.outcome import Outcome
    from tickerplant.stores import AnyStore
    from tickerplant.transform import Report

_COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}
_WORST, _SESSIONS = 10, 20


def command(
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    session: Annotated[
        str | None, typer.Option(help="The session, such as 2026-11-20. Default: the newest with rows.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First session of several.")] = None,
    end: Annotated[str | None, typer.Option(help="Day after the last.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report with plots, one HTML file.")] = None,
    no_fail: Annotated[bool, typer.Option("--no-fail", help="End with 0 also when a rule failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check sessions by the product's rules, store what they flag and a grade A to F for each symbol and session.

    Rows are flagged, never changed. Exit code 1 when a rule of severity error flagged anything.
    """
    from tickerplant.jobs.quality import chosen_days
    from tickerplant.stores import open_store

    first, last = _bounds(session, start, end)
    target = open_store(store or console.settings().store, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker:
            ticker.say("looking which sessions there are")
            outcome = _run(target, chosen_days(target, first, last), report, ticker)
    finally:
        target.close()
    if as_json:
        console.print_json(quality_json(outcome, report))
    else:
        show_quality(outcome, report)
    if outcome.is_failed and not no_fail:
        raise typer.Exit(1)


def checked(target: AnyStore, made: Report, report: Path | None, ticker: console.Ticker) -> Outcome | None:
    """Check what a transform touched; None when that is nothing."""
    from tickerplant.jobs.quality import days_after_transform

    days = days_after_transform(target, made.touched)
    return _run(target, days, report, ticker) if days else None


def _run(target: AnyStore, days: Sequence[date], report: Path | None, ticker: console.Ticker) -> Outcome:
    from tickerplant.jobs.quality import quality
    from tickerplant.quality.page import page
    from tickerplant.quality.report import gather

    outcome = quality(target, days, told=lambda rule, day: ticker.say(f"{rule.name} {day}"))
    if report is not None:
        ticker.say("drawing")
        report.write_text(page(gather(target, outcome)), encoding="utf-8")
    return outcome


def _bounds(session: str | None, start: str | None, end: str | None) -> tuple[date | None, date | None]:
    if session is not None and (start is not None or end is not None):
        raise UsageError("quality: expected --session or --start and --end, were both")
    if session is not None:
        day = _day("--session", session)
        assert day is not None
        return day, day + timedelta(days=1)
    return _day("--start", start), _day("--end", end)


def _day(option: str, text: str | None) -> date | None:
    try:
        return None if text is None else datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise UsageError(f"{option}: expected a day such as 2026-11-20, was {text!r}") from None


def quality_json(outcome: Outcome, report: Path | None) -> dict[str, Any]:
    """What was found, for programs."""
    worst = outcome.grades.head(_WORST).to_dicts()
    return {
        "ok": not outcome.is_failed,
        "run": outcome.run,
        "sessions": [str(d) for d in outcome.days],
        "grades": outcome.grade_counts,
        "rules": [{**asdict(t), "is_failed": t.is_failed} for t in outcome.totals],
        "worst": worst,
        "report": None if report is None else str(report),
    }


def show_quality(outcome: Outcome, report: Path | None) -> None:
    """Print what was found."""
    console.out.print(_grades_sheet(outcome))
    rules = _rules_sheet(outcome)
    if rules.row_count:
        console.out.print(rules)
    worst = _worst_sheet(outcome)
    if worst.row_count:
        console.out.print(worst)
    failed = [t.rule for t in outcome.totals if t.is_failed]
    looked = f"{len(outcome.totals)} rules looked at {sum(t.checked for t in outcome.totals):,} rows"
    if failed:
        console.out.print(f"[bold red]failed[/]: {', '.join(failed)}; {looked}", soft_wrap=True)
    else:
        console.out.print(f"[green]no errors[/]; {looked}", soft_wrap=True)
    if report is not None:
        console.out.print(f"report: {console.plain(str(report))}", soft_wrap=True)


def _grades_sheet(outcome: Outcome) -> Table:
    import polars as pl

    from tickerplant.quality.rule import GRADES

    sheet = console.sheet("Grades, symbols by session", "session", "symbols", *GRADES)
    for column in sheet.columns[2:]:
        column.justify = "right"
    for day in outcome.days[-_SESSIONS:]:
        here = outcome.grades.filter(pl.col("session") == day)["grade"]
        sheet.add_row(str(day), f"{len(here):,}", *(f"{n:,}" if (n := (here == g).sum()) else "" for g in GRADES))
    return sheet


def _rules_sheet(outcome: Outcome) -> Table:
    sheet = console.sheet("Rules that flagged rows", "rule", "severity", "flagged", "rows", "share", "symbols")
    sheet.columns[2].justify = sheet.columns[4].justify = "right"
    for t in outcome.totals:
        if t.flagged:
            severity = f"[{_COLOURS[t.severity]}]{t.severity}[/]"
            share = f"{100 * t.flagged / t.checked:.2g} %"
            sheet.add_row(t.rule, severity, f"{t.flagged:,}", f"{t.checked:,}", share, f"{t.symbols:,}")
    return sheet


def _worst_sheet(outcome: Outcome) -> Table:
    import polars as pl

    sheet = console.sheet("Worst symbols", "symbol", "session", "grade", "why")
    for row in outcome.grades.filter(pl.col("grade") != "A").head(_WORST).to_dicts():
        sheet.add_row(console.plain(row["symbol"]), str(row["session"]), row["grade"], row["why"] or "")
    return sheet
