"""A mart to build in the lake: what its materialization asks for, and how a statement of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from tickerplant.errors import Fatal
from tickerplant.schema import quoted

_BUCKETS = {
    "year": ("year(session)::varchar", 16),
    "month": ("strftime(session, '%Y-%m')", 4),
    "session": ("session::varchar", 0),
}
"""Which span of sessions a row belongs to, and how many files of added rows a span may have beside its sorted ones."""

_SLICED_BY = {"sessions": {"session"}, "symbols": {"symbol", "session"}}


@dataclass(frozen=True)
class MartJob:
    """A mart to build, as its materialization asks for it (macros/mart_duckdb.sql)."""

    name: str
    doc: str
    sql: str
    mode: str
    where: str
    pending: str | None
    tables: tuple[str, ...]
    marts: tuple[str, ...]
    signature: str
    grain: tuple[str, ...]
    bucket: str | None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> MartJob:
        """From the request of the macro. Raises Fatal for a bucket that is not one."""
        if request["bucket"] not in (None, *_BUCKETS):
            raise Fatal(f"{request['name']}: expected a bucket of {', '.join(_BUCKETS)}, was {request['bucket']!r}")
        inputs = request["inputs"]
        words = {k: request[k] for k in ("name", "doc", "sql", "mode", "where", "pending", "signature", "bucket")}
        return cls(
            **words, tables=tuple(inputs["sources"]), marts=tuple(inputs["marts"]), grain=tuple(request["grain"])
        )

    @property
    def key(self) -> str:
        """The columns of the grain, quoted."""
        return ", ".join(map(quoted, self.grain))

    @property
    def bucket_of(self) -> str:
        """The expression that names the files a row belongs to."""
        return _BUCKETS[self.bucket][0] if self.bucket else "''"

    @property
    def most_added(self) -> int:
        """How many files of added rows a bucket may have."""
        return _BUCKETS[self.bucket][1] if self.bucket else 0

    @property
    def is_told_apart(self) -> bool:
        """Whether rows that are not computed again cannot have the grain of rows that are."""
        return bool(self.grain) and _SLICED_BY.get(self.mode, set()) <= set(self.grain)


def execute(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement to its end: DuckDB takes no other work on a connection while a result waits to be fetched."""
    return connection.execute(sql).fetchall()
