"""Views and functions of PostgreSQL that show the present state of trades and bars, and the state known at a moment.

Functions are plain SQL, so the planner inlines them and filters on symbol and session reach the partitions.
"""

from __future__ import annotations

from tickerplant.schema import Table, quoted
from tickerplant.stores.corrections import KNOWN_AT, LATEST, UNMATCHED, newest, trades_state, unmatched
from tickerplant.tables import TABLES

_KNOWN = "received_at <= moment"


def present_views() -> tuple[str, ...]:
    """Statements that make them; views of bars made by an earlier step are replaced."""
    made = [s for t in TABLES.values() if t.mode == "append" and t.key for s in _of_bars(t)]
    made.append(f"create view {LATEST} as {trades_state('postgres')}")
    made.append(_function(KNOWN_AT, LATEST, trades_state("postgres", _KNOWN)))
    made.append(f"create view {UNMATCHED} as {unmatched('postgres')}")
    return tuple(made)


def _of_bars(table: Table) -> tuple[str, ...]:
    latest, known = f"{table.name}_latest", f"{table.name}_known_at"
    return (
        f"create or replace view {quoted(latest)} as {newest('postgres', table)}",
        f"drop function {quoted(known)}(timestamptz)",
        _function(known, table.name, newest("postgres", table, _KNOWN)),
    )


def _function(name: str, rows_of: str, sql: str) -> str:
    return (
        f"create function {quoted(name)}(moment timestamptz) returns setof {quoted(rows_of)} "
        f"language sql stable parallel safe as $$ {sql} $$"
    )
