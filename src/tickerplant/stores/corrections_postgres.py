"""Chains of corrections in PostgreSQL's SQL: a recursion for each symbol and session, so that filters on these pass."""

from __future__ import annotations

_SAME = "{0}.vendor = {1}.vendor and {0}.feed = {1}.feed and coalesce({0}.exchange, '') = coalesce({1}.exchange, '')"


def reached(corrections: str) -> str:
    """A select of (`root`, `id`): from the id `root`, corrections lead to `id`, which may be itself."""
    return _followed(
        corrections, "select distinct vendor, feed, coalesce(exchange, '') as exchange, root, id from reach"
    )


def outcomes(corrections: str) -> str:
    """A select of what became of each trade id (`root`) that a correction concerns."""
    return _followed(
        corrections,
        f"""select distinct on (r.vendor, r.feed, coalesce(r.exchange, ''), r.root)
                r.vendor, r.feed, coalesce(r.exchange, '') as exchange, r.root, s.kind, s.ts, s.received_at,
                s.corrected_id, s.corrected_price, s.corrected_size, s.corrected_conditions
            from reach r join steps s on s.original_id = r.id and {_SAME.format("s", "r")}
            order by r.vendor, r.feed, coalesce(r.exchange, ''), r.root,
                s.kind = 'correction', s.ts desc, s.ns desc, s.received_at desc, s.seq desc""",
    )


def _followed(corrections: str, result: str) -> str:
    """`result` over `steps` (corrections) and `reach` (which id becomes which)."""
    return f"""select g.symbol, g.session, l.*
        from (
            select symbol, session, array_agg(row(c.*)::trade_corrections) as found
            from ({corrections}) c group by symbol, session
        ) g
        cross join lateral (
            with recursive steps as (select * from unnest(g.found)),
            reach as (
                select vendor, feed, exchange, original_id as root, original_id as id from steps
                union
                select r.vendor, r.feed, r.exchange, r.root, s.corrected_id
                from reach r join steps s on s.original_id = r.id and {_SAME.format("s", "r")}
                where s.corrected_id is not null
            )
            {result}
        ) l"""
