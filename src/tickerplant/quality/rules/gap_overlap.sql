-- severity: warning
-- grain: session
-- tables: gaps quotes trades bars
-- value: seconds of the session, pre-market and after-hours included
-- thresholds: least=1
-- grades: 0=C
-- meaning: The plant did not listen for a part of the session (a row of gaps that is not healed), on a channel of which the symbol has
--   rows.
with present as (
    select distinct symbol, session, vendor, feed, 'quotes' as channel from checked_quotes
    union all
    select distinct symbol, session, vendor, feed, 'trades' from all_trades
    union all
    select distinct symbol, session, vendor, feed, 'bars' from checked_bars
),
holes as (
    select h.session, g.vendor, g.feed, g.channel,
        sum(extract(epoch from least(coalesce(g."end", h.post_close), h.post_close))
            - extract(epoch from greatest(g.start, h.pre_open))) as seconds
    from gaps g
    join hours h on g.start < h.post_close and coalesce(g."end", h.post_close) > h.pre_open
    where g.state <> 'healed'
    group by h.session, g.vendor, g.feed, g.channel
)
select p.symbol, p.session,
    coalesce(max(o.seconds), 0) >= :least as is_bad,
    coalesce(max(o.seconds), 0) as value,
    0 as expected,
    concat(round(cast(max(o.seconds) as numeric), 1), ' s not heard') as detail
from present p
left join holes o on o.session = p.session and o.vendor = p.vendor and o.feed = p.feed
    and o.channel in (p.channel, '*')
group by p.symbol, p.session
