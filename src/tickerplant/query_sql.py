"""The SQL of the named queries, by the dialect of the store."""

from __future__ import annotations


def window(dialect: str, seconds: int) -> str:
    """The start of each row's window, counted from midnight in New York."""
    midnight = "timezone('America/New_York', session::timestamp)"
    function = "time_bucket(interval {}, ts, {})" if dialect == "duckdb" else "date_bin(interval {}, ts, {})"
    return function.format(f"'{seconds} seconds'", midnight)


LAST_QUOTES = {
    "duckdb": """
    with newest as (select symbol, max(ts) as ts from quotes where {where} group by symbol)
    select * from (select * from quotes where {where}) semi join newest using (symbol, ts)
    qualify row_number() over (partition by symbol order by ns desc, received_at desc, seq desc) = 1
    order by symbol""",
    "postgres": """
    with newest as (select symbol, max(ts) as ts from quotes where {where} group by symbol)
    select * from (
        select distinct on (q.symbol) q.* from (select * from quotes where {where}) q join newest using (symbol, ts)
        order by q.symbol, q.ns desc, q.received_at desc, q.seq desc
    ) last order by symbol""",
}

LAST_QUOTES_NEAR = """
    select distinct on (symbol) * from quotes where {where}
    order by symbol, ts desc, ns desc, received_at desc, seq desc"""
"""The same for PostgreSQL over a short span, which it finds by BRIN."""

BARS = {
    ("duckdb", "trades"): """
        select symbol, {window} as ts,
            arg_min(price, (ts, ns, received_at, seq)) as open, max(price) as high, min(price) as low,
            arg_max(price, (ts, ns, received_at, seq)) as close, sum(size) as volume, count(*) as trade_count,
            sum(price * size) / nullif(sum(size), 0) as vwap
        from {source} where {where} group by 1, 2, session order by 1, 2""",
    ("duckdb", "bars"): """
        select symbol, {window} as ts,
            arg_min(open, ts) as open, max(high) as high, min(low) as low, arg_max(close, ts) as close,
            sum(volume) as volume, sum(trade_count)::bigint as trade_count,
            sum(vwap * volume) / nullif(sum(volume), 0) as vwap
        from {source} where interval = '1m' and {where} group by 1, 2, session order by 1, 2""",
    ("postgres", "trades"): """
        select symbol, {window} as ts,
            (array_agg(price order by ts, ns, received_at, seq))[1] as open,
            max(price) as high, min(price) as low,
            (array_agg(price order by ts desc, ns desc, received_at desc, seq desc))[1] as close,
            sum(size) as volume, count(*) as trade_count,
            sum(price * size) / nullif(sum(size), 0) as vwap
        from {source} where {where} group by 1, 2, session order by 1, 2""",
    ("postgres", "bars"): """
        select symbol, {window} as ts,
            (array_agg(open order by ts))[1] as open,
            max(high) as high, min(low) as low,
            (array_agg(close order by ts desc))[1] as close,
            sum(volume) as volume, sum(trade_count)::bigint as trade_count,
            sum(vwap * volume) / nullif(sum(volume), 0) as vwap
        from {source} where "interval" = '1m' and {where} group by 1, 2, session order by 1, 2""",
}

ASOF = {
    "duckdb": """
    with t as (select *, epoch_us(ts)::hugeint * 1000 + ns as nanos from {source} where {trades}),
    q as (
        select symbol, epoch_us(ts)::hugeint * 1000 + ns as nanos, bid_price, bid_size, ask_price, ask_size
        from quotes where {quotes}
        qualify row_number() over (partition by symbol, nanos order by received_at desc, seq desc) = 1
    )
    select t.symbol, t.ts, t.ns, t.price, t.size, t.exchange, t.conditions, q.bid_price, q.bid_size, q.ask_price,
        q.ask_size, q.ask_price - q.bid_price as spread, (q.ask_price + q.bid_price) / 2 as mid
    from t asof left join q on t.symbol = q.symbol and t.nanos >= q.nanos
    order by t.nanos, t.received_at, t.seq""",
    "postgres": """
    with t as (select * from {source} where {trades}),
    q as (
        select *, row_number() over (partition by symbol order by ts, ns, received_at, seq) as n
        from quotes where {quotes}
    ),
    events as (
        select symbol, ts, ns, 0 as kind, received_at, seq, null::double precision as price,
            null::double precision as size,
            null::text as exchange, null::text as conditions from q
        union all
        select symbol, ts, ns, 1, received_at, seq, price, size, exchange, conditions from t
    ),
    placed as (
        select *, count(*) filter (where kind = 0)
            over (partition by symbol order by ts, ns, kind, received_at, seq rows unbounded preceding) as n
        from events
    )
    select p.symbol, p.ts, p.ns, p.price, p.size, p.exchange, p.conditions, q.bid_price,
        q.bid_size, q.ask_price, q.ask_size, q.ask_price - q.bid_price as spread, (q.ask_price + q.bid_price) / 2 as mid
    from placed p left join q on q.symbol = p.symbol and q.n = p.n
    where p.kind = 1 order by p.ts, p.ns, p.received_at, p.seq""",
}
