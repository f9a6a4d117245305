"""`tickerplant universe`: symbol lists with dates."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tickerplant.cli import console
from tickerplant.clock import utc_now

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Symbol lists with dates: Russell 3000, S&P 500, ..."
)

_Store = Annotated[str | None, typer.Option(help="The store.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


@app.command("import")
def import_list(
    name: Annotated[str, typer.Argument(help="The universe: russell3000, sp500, a name of your own.")],
    file: Annotated[Path, typer.Argument(help="Holdings as iShares publishes them, ticker/start/end spans, or a CSV.")],
    on: Annotated[str | None, typer.Option(help="The day the list speaks of, where the file does not say.")] = None,
    log: Annotated[str | None, typer.Option(help="The log: the file is landed there first.")] = None,
    store: _Store = None,
    as_json: _Json = False,
) -> None:
    """Land a file of symbols in the log and load it."""
    from tickerplant.jobs.joblog import job
    from tickerplant.jobs.universe import import_file
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store
    from tickerplant.vendors import vendor

    settings = console.settings()
    target = open_store(store or settings.store, options=console.store_options())
    try:
        with job(target, "universe import", {"name": name, "file": file.name, "on": on}) as run:
            done = import_file(open_log(log or settings.log), target, vendor, name, file, _day(on))
            run.rows = done["rows"]
    finally:
        target.close()
    if as_json:
        console.print_json(done)
    else:
        console.out.print(f"{name}: {done['rows']:,} rows, {done['lists']:,} lists, {done['aside']:,} lines set aside")
    raise typer.Exit(0 if done["rows"] else 1)


@app.command("list")
def list_all(store: _Store = None, as_json: _Json = False) -> None:
    """Show the universes there are."""
    from tickerplant.stores import open_store

    target = open_store(store or console.settings().store, read_only=True, options=console.store_options())
    try:
        rows = target.query(
            "select universe, count(distinct as_of) as lists, min(as_of) as first, max(as_of) as last, "
            "count(distinct symbol) as symbols from universe group by universe order by universe"
        ).to_pylist()
    finally:
        target.close()
    if as_json:
        console.print_json(rows)
        return
    sheet = console.sheet("Universes", "universe", "lists", "first", "last", "symbols")
    for r in rows:
        sheet.add_row(r["universe"], f"{r['lists']:,}", str(r["first"]), str(r["last"]), f"{r['symbols']:,}")
    console.out.print(sheet)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The universe.")],
    on: Annotated[str | None, typer.Option(help="Members on this day; today by default.")] = None,
    store: _Store = None,
    as_json: _Json = False,
) -> None:
    """Print the members of a universe on a day, one a line."""
    from tickerplant.jobs.universe import members
    from tickerplant.stores import open_store

    target = open_store(store or console.settings().store, read_only=True, options=console.store_options())
    try:
        found = members(target, name, _day(on) or utc_now().date())
    finally:
        target.close()
    if as_json:
        console.print_json(found)
    else:
        console.out.print("\n".join(found), soft_wrap=True)


def _day(text: str | None) -> date | None:
    from tickerplant.errors import UsageError

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"--on: expected a day such as 2025-11-21, was {text!r}") from None
