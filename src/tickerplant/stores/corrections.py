"""The present state of trades and bars as SQL, the same for every store: what was printed, and what became of it.

A correction names a trade by id, which is unique for a symbol, venue and session only. It may give the trade a new id,
which the next correction then names, so corrections form chains. A chain is followed inside the corrections of one
symbol and session, which are few: filters on `symbol` and `session` reach the scans below.

Rules. Of the corrections of a trade, the one sent last holds (`ts`, `ns`, then arrival); what it leaves null stays as
printed. A cancel or an error is final. Messages of equal content are one. Receipt does not matter, so a
correction that came before its trade holds too.
"""

from __future__ import annotations

from collections.abc import Callable

from tickerplant.schema import Table, quoted
from tickerplant.stores import corrections_duckdb, corrections_postgres
from tickerplant.tables import TRADE_CORRECTIONS, TRADES

LATEST, KNOWN_AT, UNMATCHED = "trades_latest", "trades_known_at", "trade_corrections_unmatched"
OUTCOMES = "trade_outcomes"
"""What a reader without SQL for chains (Spark) joins to trades: the rows of `outcomes`, under this name."""
_SESSION = "session"

_CHANGED = {"trade_id": "corrected_id", "price": "corrected_price", "size": "corrected_size"}
_CHANGED |= {"conditions": "corrected_conditions"}
_ADDED = {
    "corrected_at": "f.ts",
    "correction_received_at": "f.received_at",
    "original_id": "case when f.root is not null then t.trade_id end",
    "original_price": "case when f.root is not null then t.price end",
    "original_size": "case when f.root is not null then t.size end",
    "original_conditions": "case when f.root is not null then t.conditions end",
}
"""Columns of `trades_latest` beyond those of `trades`; null for a trade that was never corrected."""

STATE_COLUMNS = tuple(_ADDED)

_OUTCOMES: dict[str, Callable[[str], str]] = {
    "duckdb": corrections_duckdb.outcomes,
    "postgres": corrections_postgres.outcomes,
    "spark": lambda corrections: f"select * from {quoted(OUTCOMES)}",
}
_REACHED: dict[str, Callable[[str], str]] = {
    "duckdb": corrections_duckdb.reached,
    "postgres": corrections_postgres.reached,
}
_SAME = """{0}.symbol = {1}.symbol and {0}.session = {1}.session and {0}.vendor = {1}.vendor and {0}.feed = {1}.feed
            and {0}.exchange = coalesce({1}.exchange, '')"""


def trades_state(dialect: str, known: str = "true") -> str:
    """A select of every trade in its present state, as told by the rows for which `known` holds.

    **shape**: the columns of TRADES, `session`, `corrected_at`, `correction_received_at` and four `original_...`.
    """
    columns = [_column(name) for name in (*TRADES.schema.names, _SESSION)]
    columns += [f"{expression} as {name}" for name, expression in _ADDED.items()]
    return f"""select {", ".join(columns)}
        from ({_first_received(dialect, TRADES, known)}) t
        left join ({outcomes(dialect, known)}) f on f.root = t.trade_id and {_SAME.format("f", "t")}
        where f.kind is null or f.kind = 'correction'"""


def outcomes(dialect: str, known: str = "true") -> str:
    """A select of what became of each trade that corrections concern, few rows beside those of trades."""
    return _OUTCOMES[dialect](_first_received(dialect, TRADE_CORRECTIONS, known))


def unmatched(dialect: str) -> str:
    """A select of corrections and cancels of which no trade was received, neither by its id nor through a chain."""
    reached = _REACHED[dialect](_first_received(dialect, TRADE_CORRECTIONS))
    return f"""select c.* from trade_corrections c
        left join (
            select distinct r.symbol, r.session, r.vendor, r.feed, r.exchange, r.id
            from ({reached}) r join trades t on t.trade_id = r.root and {_SAME.format("r", "t")}
        ) m on m.id = c.original_id and {_SAME.format("m", "c")}
        where m.id is null"""


def newest(dialect: str, table: Table, known: str = "true") -> str:
    """Rows of a table that keeps revisions, of each key the one with the highest revision, then received last."""
    names = [*table.schema.names, *([_SESSION] if table.time else [])]
    key = [*table.key, *([_SESSION] if table.time else [])]
    order = [f"{n} desc" for n in ("revision", "received_at", "seq") if n in names]
    return _one_of_each(dialect, table, names, known, ", ".join(map(quoted, key)), ", ".join(order))


def _first_received(dialect: str, table: Table, known: str = "true") -> str:
    """Rows of a table, of those with equal content the one received first; trades without an id are never equal."""
    names = [*table.schema.names, _SESSION]
    key = [quoted(n) for n in (*table.content, _SESSION, "vendor", "feed")]
    if table is TRADES:
        key += [f"case when trade_id is null then {n} end" for n in ("received_at", "seq")]
    return _one_of_each(dialect, table, names, known, ", ".join(key), "received_at, seq")


def _one_of_each(dialect: str, table: Table, names: list[str], known: str, key: str, order: str) -> str:
    columns, name = ", ".join(map(quoted, names)), quoted(table.name)
    if dialect == "duckdb":
        first = f"qualify row_number() over (partition by {key} order by {order}) = 1"
        return f"select {columns} from {name} where {known} {first}"
    if dialect == "spark":
        place = f"row_number() over (partition by {key} order by {order}) as _place"
        return f"select {columns} from (select *, {place} from {name} where {known}) where _place = 1"
    return f"select distinct on ({key}) {columns} from {name} where {known} order by {key}, {order}"


def _column(name: str) -> str:
    own = f"t.{quoted(name)}"
    return f"coalesce(f.{_CHANGED[name]}, {own}) as {quoted(name)}" if name in _CHANGED else own
