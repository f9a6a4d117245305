"""How tables with an event time are divided by day. Native partitions are the one kind so far; `layout_for` chooses."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from tickerplant.errors import Fatal
from tickerplant.schema import Table
from tickerplant.stores.postgres_link import Link


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


def layout_for(link: Link, kind: str | None = None) -> Layout:
    """The layout of that kind; without one, the only kind there is: native partitions."""
    from tickerplant.stores.postgres_partitions import Partitions

    if kind not in (None, Partitions.kind):
        raise Fatal(f"postgres: expected a schema of native partitions, was {kind!r}; use the version that made it")
    return Partitions()
