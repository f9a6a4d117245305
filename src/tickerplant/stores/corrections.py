"""The present state of trades and bars as SQL, the same for every store: what was printed, and what became of it.

A correction names a trade by id, which is unique for a symbol, venue and session only. It may give the trade a new id,
which the next correction then names, so corrections form chains. A chain is followed inside the corrections of one
symbol and session, which are few: filters on `symbol` and `session` reach the scans below.

Rules. Of the corrections of a trade, the one sent last holds (`ts`, `ns`, then arrival); what it leaves null stays as
printed. A cancel or an error is final. Messages of equal content are one. Receipt does not matter, so a
correction that came before its trade holds too.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.schema import Table, quoted
from tickerplant.tables import TRADE_CORRECTIONS, TRADES

SESSION = "session"
LATEST, KNOWN_AT, UNMATCHED = "trades_latest", "trades_known_at", "trade_corrections_unmatched"

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

_UNNEST = {"duckdb": "select unnest(g.found, recursive := true)", "postgres": "select * from unnest(g.found)"}
_VENUE = "coalesce({}.exchange, '') = coalesce({}.exchange, '')"
_SAME = "{0}.vendor = {1}.vendor and {0}.feed = {1}.feed and " + _VENUE.format("{0}", "{1}")


def trades_state(dialect: str, known: str = "true") -> str:
    """A select of every trade in its present state, or by rows for which `known` holds.

    **shape**: the columns of TRADES, `session`, and those of `_ADDED`; cancelled trades are absent.
    """
    columns = [_column(name) for name in (*TRADES.schema.names, SESSION)]
    columns += [f"{expression} as {name}" for name, expression in _ADDED.items()]
    return f"""select {", ".join(columns)}
        from ({first_received(dialect, TRADES, known)}) t
        left join ({_outcomes(dialect, known)}) f
            on f.symbol = t.symbol and f.session = t.session and f.root = t.trade_id and {_SAME.format("f", "t")}
        where f.kind is null or f.kind = 'correction'"""


def unmatched(dialect: str) -> str:
    """A select of corrections and cancels of which no trade was received, neither by its id nor through a chain."""
    return f"""select c.* from trade_corrections c
        left join (
            select distinct r.symbol, r.session, r.vendor, r.feed, r.exchange, r.id
            from ({_reached(dialect, "select distinct vendor, feed, exchange, root, id from reach", "true")}) r
            join trades t
                on t.symbol = r.symbol and t.session = r.session and t.trade_id = r.root and {_SAME.format("t", "r")}
        ) m on m.symbol = c.symbol and m.session = c.session and m.id = c.original_id and {_SAME.format("m", "c")}
        where m.id is null"""


def first_received(dialect: str, table: Table, known: str = "true") -> str:
    """Rows of a table, of those with equal content the one received first. Trades without an id are never equal."""
    content = [*table.content, SESSION, "vendor", "feed"]
    apart = ["case when trade_id is null then received_at end", "case when trade_id is null then seq end"]
    key = ", ".join([*map(quoted, content), *(apart if table is TRADES else [])])
    columns = ", ".join(map(quoted, (*table.schema.names, SESSION)))
    return _one_of_each(dialect, f"select {{}}{columns} from {table.name} where {known}", key, "received_at, seq")


def newest(dialect: str, table: Table, known: str = "true") -> str:
    """Rows of a table that keeps revisions, of each key the one with the highest revision, then received last."""
    key = [*table.key, *([SESSION] if table.time else [])]
    order = ["revision desc"] if "revision" in table.schema.names else []
    order += ["received_at desc", "seq desc"]
    columns = ", ".join(map(quoted, dict.fromkeys((*table.schema.names, *key))))
    select = f"select {{}}{columns} from {quoted(table.name)} where {known}"
    return _one_of_each(dialect, select, ", ".join(map(quoted, key)), ", ".join(order))


def _one_of_each(dialect: str, select: str, key: str, order: str) -> str:
    if dialect == "duckdb":
        return f"{select.format('')} qualify row_number() over (partition by {key} order by {order}) = 1"
    return f"{select.format(f'distinct on ({key}) ')} order by {key}, {order}"


def _column(name: str) -> str:
    own = f"t.{quoted(name)}"
    return f"coalesce(f.{_CHANGED[name]}, {own}) as {quoted(name)}" if name in _CHANGED else own


def _outcomes(dialect: str, known: str) -> str:
    """What became of each trade id (`root`) that a correction concerns."""
    last = _one_of_each(
        dialect,
        "select {}r.vendor, r.feed, r.exchange, r.root, s.kind, s.ts, s.received_at, s.corrected_id, "
        "s.corrected_price, s.corrected_size, s.corrected_conditions "
        f"from reach r join steps s on s.original_id = r.id and {_SAME.format('s', 'r')} where true",
        "r.vendor, r.feed, r.exchange, r.root",
        "s.kind = 'correction', s.ts desc, s.ns desc, s.received_at desc, s.seq desc",
    )
    return _reached(dialect, last, known)


def _reached(dialect: str, result: str, known: str) -> str:
    """`result` over `steps` (corrections) and `reach` (which id becomes which), symbol by symbol, session by session."""
    content = _without_duplicates(dialect)
    return f"""select g.symbol, g.session, l.*
        from (select symbol, session, array_agg(c) as found
              from trade_corrections c where {known} group by symbol, session) g
        cross join lateral (
            with recursive steps as ({content}),
            reach as (
                select vendor, feed, exchange, original_id as root, original_id as id from steps
                union
                select r.vendor, r.feed, r.exchange, r.root, s.corrected_id
                from reach r join steps s on s.original_id = r.id and {_SAME.format("s", "r")}
                where s.corrected_id is not null
            )
            {result}
        ) l"""


def _without_duplicates(dialect: str) -> str:
    names = ["vendor", "feed", *(n for n in TRADE_CORRECTIONS.content if n != "symbol")]
    found = f"(select * from ({_UNNEST[dialect]}) u)"
    select = f"select {{}}* from {found} v where true"
    return _one_of_each(dialect, select, ", ".join(map(quoted, names)), "received_at, seq")


def added_columns() -> Iterable[str]:
    """Names of the columns that `trades_latest` has beyond those of `trades`."""
    return _ADDED
