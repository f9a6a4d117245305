"""Maintenance of PostgreSQL: sessions past the retention dropped, finished ones brought into their final form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from tickerplant.model import Maintained, Retention
from tickerplant.stores.postgres_layout import Layout
from tickerplant.stores.postgres_link import Link
from tickerplant.stores.postgres_schema import has_session
from tickerplant.tables import TABLES


def maintain(link: Link, layout: Layout, before: date, retention: Retention) -> Iterator[Maintained]:
    """Drop what is past the retention, refresh aggregates, tidy what is finished; gaps and quarantine stay."""
    tables = [table for table in TABLES.values() if has_session(table)]
    for table in tables:
        oldest = retention.oldest(table.name, before)
        if oldest is not None:
            yield from layout.retire(link, table, oldest)
    layout.refresh(link, before)
    for table in tables:
        yield from layout.tidy(link, table, before)
