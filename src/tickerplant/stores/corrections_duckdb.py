"""Chains of corrections in DuckDB, followed in lists: filters pass through these, through a recursion they do not."""

from __future__ import annotations


def reached(corrections: str) -> str:
    """A select of (`root`, `id`): from the id `root`, corrections lead to `id`, which may be itself."""
    return f"""select symbol, session, vendor, feed, exchange, unnest(reach, recursive := true)
        from ({_chains(corrections)})"""


def outcomes(corrections: str) -> str:
    """A select of what became of each trade id (`root`) that a correction concerns."""
    return f"""select symbol, session, vendor, feed, exchange, root, unnest(last)
        from (
            select * exclude (found, reach), coalesce(
                list_filter(mine, lambda s: s.kind <> 'correction')[-1], mine[-1]) as last
            from (
                select *, list_filter(found, lambda s: list_contains(list_transform(
                    list_filter(reach, lambda r: r.root = root), lambda r: r.id), s.original_id)) as mine
                from (
                    select *, unnest(list_distinct(list_transform(reach, lambda r: r.root))) as root
                    from ({_chains(corrections)})
                )
            )
        )"""


def _chains(corrections: str) -> str:
    """For each symbol, session and venue the corrections in order of time (`found`), and which id becomes which."""
    return f"""select symbol, session, vendor, feed, exchange, found, list_reduce(
            list_transform(range(rounds + 1), lambda k: start),
            lambda known, k: list_distinct(list_concat(known, flatten(list_transform(known,
                lambda r: list_transform(
                    list_filter(found, lambda s: s.original_id = r.id and s.corrected_id is not null),
                    lambda s: {{'root': r.root, 'id': s.corrected_id}})))))) as reach
        from (
            select *,
                list_distinct(list_transform(
                    found, lambda s: {{'root': s.original_id, 'id': s.original_id}})) as start,
                len(list_filter(found, lambda s: list_contains(list_transform(
                    found, lambda o: o.original_id), s.corrected_id))) + 1 as rounds
            from (
                select symbol, session, vendor, feed, coalesce(exchange, '') as exchange, list({{
                    'kind': kind, 'ts': ts, 'received_at': received_at, 'original_id': original_id,
                    'corrected_id': corrected_id, 'corrected_price': corrected_price,
                    'corrected_size': corrected_size, 'corrected_conditions': corrected_conditions
                }} order by ts, ns, received_at, seq) as found
                from ({corrections}) c where original_id is not null group by all
            )
        )"""
