"""How tables with an event time are divided by day: native partitions, or TimescaleDB's hypertables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal, Protocol

from tickerplant.errors import Fatal
from tickerplant.model import Housing, Maintained, Retention
from tickerplant.schema import Table
from tickerplant.stores.postgres_link import Link


class Layout(Protocol):
    """What a kind of division does."""

    @property
    def kind(self) -> Literal["partitions", "hypertables"]:
        """Its name, as the schema remembers it."""
        ...

    def before_tables(self) -> list[str]:
        """Statements before the first `create table`."""
        ...

    def clause(self, table: Table) -> str:
        """What follows the columns in `create table`."""
        ...

    def after_create(self, table: Table) -> list[str]:
        """Statements after `create table`."""
        ...

    def aggregates(self) -> list[str]:
        """Statements that create `trades_1m` and `quotes_1m`, after the tables."""
        ...

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Make room for rows of these sessions; in transactions of its own."""
        ...

    def ahead(self, link: Link, today: date) -> None:
        """Make room for the sessions that come next, the running one included; idempotent."""
        ...

    def target(self, table: Table, day: date) -> str:
        """The relation to copy rows of a session into."""
        ...

    def marks(self, table: Table, day: date) -> list[str]:
        """What `maintain` does apart and rows of this session may be in (see `postgres_marks`)."""
        ...

    def sessions(self, link: Link, table: Table) -> list[date]:
        """Sessions for which there is room, sorted; they may be empty."""
        ...

    def retire(self, link: Link, table: Table, oldest: date) -> list[Maintained]:
        """Drop the sessions before a day and note their rows in `_retired`; returns those that had rows."""
        ...

    def tidy(self, link: Link, table: Table, before: date) -> Iterator[Maintained]:
        """Bring what is finished before a day and was not done yet, or got late rows, into its final form."""
        ...

    def refresh(self, link: Link, before: date) -> None:
        """Bring aggregates up to date with late and dropped rows of the sessions before a day."""
        ...

    def schedule(self, link: Link, schema: str, retention: Retention) -> None:
        """Bring the server's own jobs in line with the retention."""
        ...

    def sizes(self, link: Link) -> dict[str, int]:
        """Bytes of what this layout divides, by table."""
        ...

    def housing(self, link: Link) -> Housing:
        """What this is, with the versions of the server."""
        ...

    def forget(self) -> None:
        """Forget what there was room for: another process may have dropped some."""
        ...


def layout_for(link: Link, kind: str | None = None) -> Layout:
    """The layout of that kind; without one (nothing is there yet), hypertables where the server allows them."""
    from tickerplant.stores.postgres_hypertables import Hypertables
    from tickerplant.stores.postgres_partitions import Partitions
    from tickerplant.stores.postgres_timescale import extension, obstacle

    if kind is None:
        kind = Hypertables.kind if obstacle(link) is None else Partitions.kind
    if kind == Partitions.kind:
        return Partitions()
    if kind == Hypertables.kind:
        return Hypertables(*extension(link))
    raise Fatal(f"postgres: expected a schema of partitions or hypertables, was {kind!r}; use the version that made it")
