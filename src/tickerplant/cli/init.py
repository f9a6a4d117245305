"""`tickerplant init`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tickerplant.cli import console

if TYPE_CHECKING:
    from tickerplant.stores.postgres import PostgresStore


def command(
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would change, as SQL.")] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="Also make the roles tickerplant_reader and tickerplant_writer.")
    ] = False,
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
            console.out.print(f"{'-- ' if plan else ''}{step.number} {step.title}", highlight=False)
            if plan:
                _print(step.statements)
        console.out.print(f"{'-- ' if plan else ''}{len(steps)} steps {'to run' if plan else 'run'}")
        _roles(target, plan, roles, bool(steps))  # type: ignore[arg-type]
    finally:
        target.close()


def _roles(store: PostgresStore, plan: bool, wanted: bool, changed: bool) -> None:
    """Make the roles when they are wanted; give roles made before their rights on what is new."""
    from tickerplant.stores import postgres_roles

    if not (wanted or changed):
        return
    schema = store.options.schema
    with store.connect() as link:
        if not wanted and not postgres_roles.are_granted(link, schema):
            return
        if plan:
            console.out.print("-- roles")
            _print(postgres_roles.statements(link, schema))
            return
        postgres_roles.grant(link, schema, store.url)
    console.out.print(f"roles {postgres_roles.READER} and {postgres_roles.WRITER} have their rights")


def _print(statements: Sequence[str]) -> None:
    console.out.print(";\n".join(statements) + ";", soft_wrap=True, markup=False, emoji=False)
