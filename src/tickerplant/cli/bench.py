"""`tickerplant bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from tickerplant.cli import console


def command(
    quotes: Annotated[int, typer.Option(min=10_000, help="How many quotes.")] = 500_000,
    frame: Annotated[int, typer.Option(min=1, help="Messages in each frame.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure this machine: log, decode, load and query a made-up market in a temporary folder, step by step."""
    from tickerplant.cli.measure import measure

    with console.Ticker(as_json) as ticker:
        figures = measure(quotes, frame, ticker.say)
    if as_json:
        console.print_json(figures)
        return
    sheet = console.sheet(f"{quotes:,} quotes, {frame} a frame, one process", "step", "figure", "unit")
    for name, (value, unit) in figures.items():
        sheet.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}", unit)
    console.out.print(sheet)
