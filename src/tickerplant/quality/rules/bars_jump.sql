-- severity: warning
-- grain: row
-- tables: bars
-- value: logarithm of the bar's farthest price over the nearer of the closes before and after
-- thresholds: floor=0.01 times=20 least=30
-- meaning: High or low of a minute bar is further from the close before and from the close after than 1 % and than 20 robust
--   standard deviations (1.4826 x the median absolute deviation) of the symbol's own minute returns of the session: a
--   spike that nothing confirms. A move that stays is no jump. Looked at with 30 bars or more.
with placed as (
    select *,
        lag(close) over minutes as before,
        lead(close) over minutes as after
    from checked_bars where open > 0 and high > 0 and low > 0 and close > 0
    window minutes as (partition by vendor, feed, symbol, session order by ts)
),
moved as (
    select *,
        ln(close / before) as move,
        case when ln(high / greatest(coalesce(before, after), coalesce(after, before)))
            > ln(least(coalesce(before, after), coalesce(after, before)) / low)
            then ln(high / greatest(coalesce(before, after), coalesce(after, before)))
            else ln(low / least(coalesce(before, after), coalesce(after, before))) end as reach
    from placed where before is not null or after is not null
),
middles as (
    select vendor, feed, symbol, session, count(move) as moves,
        percentile_cont(0.5) within group (order by move) as middle
    from moved group by vendor, feed, symbol, session
),
own as (
    select m.vendor, m.feed, m.symbol, m.session, c.moves,
        1.4826 * percentile_cont(0.5) within group (order by abs(m.move - c.middle)) as scale
    from moved m
    join middles c on c.vendor = m.vendor and c.feed = m.feed and c.symbol = m.symbol and c.session = m.session
    group by m.vendor, m.feed, m.symbol, m.session, c.moves
)
select m.symbol, m.session, m.vendor, m.feed, m.ts, m.ns, m.received_at, m.seq,
    abs(m.reach) > greatest(:floor, :times * o.scale) as is_bad,
    m.reach as value,
    case when m.reach < 0 then -1 else 1 end * greatest(:floor, :times * o.scale) as expected,
    concat('high ', m.high, ', low ', m.low, ', close before ', m.before, ', after ', m.after) as detail
from moved m
join own o on o.vendor = m.vendor and o.feed = m.feed and o.symbol = m.symbol and o.session = m.session
where o.moves >= :least
