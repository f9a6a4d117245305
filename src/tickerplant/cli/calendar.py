"""`tickerplant calendar`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.clock import utc_now


def command(
    start: Annotated[str | None, typer.Option(help="First day; today by default.")] = None,
    end: Annotated[str | None, typer.Option(help="Day after the last; two weeks after the first by default.")] = None,
    early: Annotated[bool, typer.Option("--early", help="Only early closes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, times in UTC.")] = False,
) -> None:
    """Show the exchange's sessions with pre-market and after-hours, in New York time, and the weekdays it is closed."""
    from tickerplant.calendar import FIRST_SESSION, LAST_SESSION, NEW_YORK, session
    from tickerplant.errors import UsageError

    first = _day("--start", start) if start else utc_now().astimezone(NEW_YORK).date()
    last = _day("--end", end) if end else first + timedelta(days=14)
    if not FIRST_SESSION <= first < last <= LAST_SESSION + timedelta(days=1):
        raise UsageError(f"calendar: expected days from {FIRST_SESSION} to {LAST_SESSION}, was {first} to {last}")
    days = [first + timedelta(days=i) for i in range((last - first).days)]
    found = [(day, session(day)) for day in days if day.weekday() < 5 or session(day)]
    chosen = [(day, s) for day, s in found if not early or (s is not None and s.is_early_close)]
    if as_json:
        console.print_json([_json(s) for _, s in chosen if s is not None])
        return
    sheet = console.sheet("Sessions, New York time", "day", "", "pre-market", "open", "close", "after-hours", "")
    for day, s in chosen:
        if s is None:
            sheet.add_row(str(day), f"{day:%a}", "", "", "", "", "[yellow]closed[/]")
        else:
            times = (f"{t.astimezone(NEW_YORK):%H:%M}" for t in (s.pre_open, s.open, s.close, s.post_close))
            sheet.add_row(str(day), f"{day:%a}", *times, "[yellow]early close[/]" if s.is_early_close else "")
    console.out.print(sheet)


def _json(s: Any) -> dict[str, Any]:
    return {
        "day": s.day,
        "pre_open": s.pre_open,
        "open": s.open,
        "close": s.close,
        "post_close": s.post_close,
        "is_early_close": s.is_early_close,
    }


def _day(option: str, text: str) -> date:
    from tickerplant.errors import UsageError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: expected a day such as 2025-11-21, was {text!r}") from None
