"""`tickerplant init`."""

from __future__ import annotations

from typing import Annotated

import typer

from tickerplant.cli import console


def command(
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would change.")] = False,
) -> None:
    """Bring a PostgreSQL store's schema up to date; a lake needs nothing. Safe to run twice and at once."""
    from tickerplant.stores import is_postgres, open_store

    url = store or console.settings().store
    if not is_postgres(url):
        console.out.print("Nothing to do: a lake makes its tables as rows come.")
        return
    target = open_store(url, options=console.store_options())
    try:
        steps = target.plan() if plan else target.init()  # type: ignore[union-attr]
        for step in steps:
            console.out.print(f"{step.number} {step.title}", highlight=False)
            if plan:
                console.out.print(console.plain(";\n".join(step.statements) + ";"), soft_wrap=True)
        console.out.print(f"{len(steps)} steps {'to run' if plan else 'run'}")
    finally:
        target.close()
