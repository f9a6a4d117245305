"""What a store is opened with beside its URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tickerplant.errors import UsageError
from tickerplant.model import Retention
from tickerplant.tables import TABLES

KEEP_VERSIONS = timedelta(days=7)
SCHEMA = "tickerplant"


@dataclass(frozen=True)
class StoreOptions:
    """Options of every kind of store; each kind takes what concerns it.

    `keep_versions` is for how long `as_of` of a lake can go back; `retention` says which sessions `maintain` drops.
    `schema`, `statement_timeout_s` (of queries, 0 is none) and `silence_s` (after which a loader gives up a connection
    that says nothing, and makes a new one) are PostgreSQL's. `marts` names what holds the marts: a folder of the
    lake, a schema `<schema>_<marts>` of PostgreSQL.
    """

    keep_versions: timedelta = KEEP_VERSIONS
    schema: str = SCHEMA
    statement_timeout_s: float = 300.0
    retention: Retention = Retention()
    silence_s: float = 120.0
    marts: str = "marts"

    @property
    def marts_schema(self) -> str:
        """PostgreSQL: the schema of the marts."""
        return f"{self.schema}_{self.marts}"

    def __post_init__(self) -> None:
        known = {"*", *(t.name for t in TABLES.values() if t.time)}
        for name, _ in self.retention.days:
            if name not in known:
                raise UsageError(
                    f"retention: expected tables of {', '.join(sorted(known - {'*'}))}, was {name!r}; "
                    "do look at DATA_RETENTION_DAYS"
                )
