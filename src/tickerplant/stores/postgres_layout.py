"""How tables with an event time are divided by day: native partitions, or TimescaleDB's hypertables.

This is the whole difference between the two; `layout_for` chooses.
"""

from __future__ import annotations

from datetime import date
from typing import Protocol

from tickerplant.schema import Table
from tickerplant.stores.postgres_link import Link, raw


class Layout(Protocol):
    """What a kind of division does."""

    kind: str

    def clause(self, table: Table) -> str:
        """What follows the columns in `create table`."""
        ...

    def after_create(self, table: Table) -> list[str]:
        """Statements after `create table`."""
        ...

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Make room for rows of these sessions; in transactions of its own."""
        ...

    def target(self, table: Table, day: date) -> str:
        """The relation to copy rows of a session into."""
        ...

    def sessions(self, link: Link, table: Table) -> list[date]:
        """Sessions for which there is room, sorted; they may be empty."""
        ...

    def relation(self, table: Table, day: date) -> str | None:
        """The relation that holds exactly one session, None where there is none."""
        ...

    def retire(self, link: Link, table: Table, before: date) -> list[date]:
        """Drop the sessions before a day; returns them."""
        ...

    def forget(self) -> None:
        """Forget what there was room for: another process may have dropped some."""
        ...


def has_timescale(link: Link) -> bool:
    """Whether the server offers the extension `timescaledb`."""
    found = link.execute(raw("select 1 from pg_available_extensions where name = 'timescaledb'")).fetchone()
    return found is not None


def layout_for(link: Link, kind: str | None = None) -> Layout:
    """The layout of that kind; without, TimescaleDB's when the server has it."""
    if kind is None:
        kind = "timescale" if has_timescale(link) else "partitions"
    if kind == "timescale":
        from tickerplant.stores.postgres_timescale import Hypertables

        return Hypertables()
    from tickerplant.stores.postgres_partitions import Partitions

    return Partitions()
