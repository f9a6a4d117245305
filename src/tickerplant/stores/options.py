"""What a store is opened with beside its URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

KEEP_VERSIONS = timedelta(days=7)
SCHEMA = "tickerplant"


@dataclass(frozen=True)
class StoreOptions:
    """Options of every kind of store; each kind takes what concerns it.

    `keep_versions` is for how long `as_of` of a lake can go back. `schema`, `statement_timeout_s` (of queries, 0 is
    none) and `retention_days` (rows older are dropped by `maintain`, 0 keeps all) are PostgreSQL's.
    """

    keep_versions: timedelta = KEEP_VERSIONS
    schema: str = SCHEMA
    statement_timeout_s: float = 300.0
    retention_days: int = 0
