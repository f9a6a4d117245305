"""`tickerplant repair`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from tickerplant.cli import console
from tickerplant.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from tickerplant.jobs.fetch import Fetched
    from tickerplant.jobs.repair import HoleResult, RepairOptions
    from tickerplant.jobs.repair_holes import Hole
    from tickerplant.model import Log, Store
    from tickerplant.settings import Settings

log_lines = structlog.get_logger()

_LOOK_S = 1.0
_REFUSED_WAIT_S = 300.0


def command(
    since: Annotated[str | None, typer.Option(help="Only holes that ended on this day, New York, or later.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also those tried before, without waiting.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the holes and stop.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Fill each hole soon after it ends, until stopped.")] = False,
    look_back: Annotated[
        float, typer.Option(min=0, help="Minutes before a hole that trades reported in it may have happened.")
    ] = 15.0,
    log: Annotated[str | None, typer.Option(help="Where answers are landed.")] = None,
    store: Annotated[str | None, typer.Option(help="The store with the holes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line for each hole.")] = False,
) -> None:
    """Fetch what was missed while nobody listened, and close the gaps. Exit code 75 when a hole has to wait."""
    from tickerplant.jobs.repair import RepairOptions
    from tickerplant.jobs.repair_holes import holes
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    settings = console.settings()
    source, target = open_log(log or settings.log), open_store(store or settings.store, options=console.store_options())
    options = RepairOptions(timedelta(minutes=look_back), timedelta(seconds=settings.repair_settling_s))
    first = _since(since)
    try:
        with console.stop_on_signals() as stop:
            if dry_run:
                _show_holes(holes(target, datetime.max.replace(tzinfo=UTC), first, again), as_json)
                return
            if follow:
                _follow(settings, source, target, options, stop, as_json)
                return
            results = list(_fill(settings, source, target, options, first, again, stop, as_json))
    finally:
        target.close()
    if not as_json:
        _show(results)
    raise typer.Exit(0 if all(r.is_healed for r in results) else 75)


def _since(text: str | None) -> datetime | None:
    from tickerplant.errors import UsageError
    from tickerplant.jobs.coverage import day_span

    if text is None:
        return None
    try:
        return day_span(datetime.fromisoformat(text).date())[0]
    except ValueError:
        raise UsageError(f"--since: expected a day such as 2025-11-21, was {text!r}") from None


def _fill(
    settings: Settings,
    source: Log,
    target: Store,
    options: RepairOptions,
    since: datetime | None,
    again: bool,
    stop: Event,
    as_json: bool,
) -> Iterator[HoleResult]:
    """Fill every hole whose time has come."""
    from tickerplant.jobs.repair_holes import holes

    for hole in holes(target, utc_now(), since, again):
        if stop.is_set():
            return
        result = _fill_one(settings, source, target, options, hole, stop, as_json)
        if as_json:
            console.print_json(_json(result))
        yield result


def _fill_one(
    settings: Settings, source: Log, target: Store, options: RepairOptions, hole: Hole, stop: Event, as_json: bool
) -> HoleResult:
    from tickerplant.jobs.accounts import client
    from tickerplant.jobs.joblog import job
    from tickerplant.jobs.repair import repair
    from tickerplant.vendors import vendor as vendor_named

    asking = client(settings, vendor_named(hole.vendor))
    selection = {"vendor": hole.vendor, "feed": hole.feed, "end": hole.end, "gaps": [g.channel for g in hole.gaps]}
    try:
        with job(target, "repair", selection) as run, console.Ticker(as_json) as ticker:

            def report(fetched: Fetched) -> None:
                ticker.say(f"repairing {console.clock(hole.end)}: {fetched.landed:,} answers")

            result = repair(source, target, asking, vendor_named, hole, options, stop=stop, report=report)
            run.rows, run.bytes, run.calls = result.added, result.bytes, result.calls
            run.outcome, run.error = ("done" if result.is_healed else "failed"), result.problem
    finally:
        asking.limiter.close()
    return result


def _follow(settings: Settings, source: Log, target: Store, options: RepairOptions, stop: Event, as_json: bool) -> None:
    """Fill holes as they end; when told to stop, fill what is due once more."""
    from threading import Event

    from tickerplant.errors import Fatal, Retryable

    while True:
        is_last, wait = stop.is_set(), _LOOK_S
        try:
            list(_fill(settings, source, target, options, None, False, Event() if is_last else stop, as_json))
        except (Fatal, Retryable) as error:
            log_lines.warning("repair waits", problem=str(error))
            wait = _REFUSED_WAIT_S if isinstance(error, Fatal) else wait
        if is_last:
            return
        stop.wait(wait)


def _json(result: HoleResult) -> dict[str, Any]:
    hole = result.hole
    return {
        "vendor": hole.vendor,
        "feed": hole.feed,
        "end": hole.end.isoformat(),
        "channels": [g.channel for g in hole.gaps],
        "healed": result.is_healed,
        "added": result.added,
        "problem": result.problem,
        "calls": result.calls,
        "seconds": round(result.seconds, 3),
        "tables": {
            t.stretch.table: {"before": t.before, "after": t.after, "vendor": t.vendor, "span": t.stretch.shown}
            for t in result.tables
        },
    }


def _show(results: list[HoleResult]) -> None:
    if not results:
        console.out.print("no hole to fill")
        return
    columns = ("end", "feed", "before", "after", "vendor", "state")
    rows = [
        (
            console.clock(r.hole.end),
            r.hole.feed,
            f"{sum(t.before for t in r.tables):,}",
            f"{sum(t.after for t in r.tables):,}",
            f"{sum(t.vendor for t in r.tables):,}",
            "healed" if r.is_healed else f"waits: {r.problem}",
        )
        for r in results
    ]
    console.show(console.sheet("Repaired", *columns), columns, rows)


def _show_holes(found: list[Hole], as_json: bool) -> None:
    if as_json:
        names = ("vendor", "feed", "channel", "start", "end", "reason")
        console.print_json([{n: str(getattr(g, n)) for n in names} for h in found for g in h.gaps])
        return
    columns = ("end", "feed", "lasted", "reason", "channels")
    rows = [
        (
            f"{h.end:%m-%d %H:%M:%S}",
            h.feed,
            f"{(h.end - min(g.start for g in h.gaps)).total_seconds():,.1f} s",
            h.gaps[0].reason,
            ", ".join(g.channel for g in h.gaps),
        )
        for h in found
    ]
    console.show(console.sheet("To repair", *columns), columns, rows)
