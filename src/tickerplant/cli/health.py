"""`tickerplant health`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tickerplant.cli import console

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def command(
    alert: Annotated[
        bool, typer.Option("--alert", help="Tell webhook and e-mail what began and what is over.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at feed, log, store, lag, gaps, disk, clock, quotas and last jobs. Exit code 1 when one of them fails."""
    from tickerplant.jobs.alerts import alert as tell
    from tickerplant.jobs.alerts import channels
    from tickerplant.jobs.health import health, worst

    settings = console.settings()
    found = health(settings, console.store_options())
    told = tell(Path(settings.data), found, channels(settings), settings.alert_level) if alert else []
    outcome = worst(found)
    if as_json:
        console.print_json(
            {"outcome": outcome, "checks": [asdict(c) for c in found], "alerts": [asdict(a) for a in told]}
        )
    else:
        columns = ("check", "state", "found", "do")
        sheet = console.sheet("Health", *columns)
        for c in found:
            colour = _COLOURS[c.outcome]
            sheet.add_row(c.name, f"[{colour}]{c.outcome}[/]", console.plain(c.found), console.plain(c.do))
        console.out.print(sheet)
    raise typer.Exit(1 if outcome == "fail" else 0)
