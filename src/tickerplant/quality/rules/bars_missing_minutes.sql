-- severity: warning
-- grain: session
-- tables: bars
-- value: minutes of regular hours with a bar
-- thresholds: sessions=5 usual=0.5 least=3 times=4
-- grades: 0=C
-- meaning: A symbol that has bars in at least half of the regular minutes (median of its sessions of the last 30 days, 5 at least) has
--   fewer than that share of this session, by more than 3 minutes and 4 standard deviations. Looked at when the session is
--   over.
with open_minutes as (
    select session, (extract(epoch from closes) - extract(epoch from opens)) / 60 as minutes
    from past_hours
),
typical as (
    select p.symbol, count(*) as sessions, percentile_cont(0.5) within group (order by p.minutes / o.minutes) as usual
    from past_bars p join open_minutes o on o.session = p.session group by p.symbol
),
present as (
    select b.symbol, b.session, count(distinct b.ts) as minutes
    from checked_bars b join hours h on h.session = b.session and b.ts >= h.opens and b.ts < h.closes
    group by b.symbol, b.session
),
compared as (
    select t.symbol, h.session, coalesce(p.minutes, 0) as minutes, t.usual,
        (extract(epoch from h.closes) - extract(epoch from h.opens)) / 60 as all_minutes
    from typical t
    cross join hours h
    left join present p on p.symbol = t.symbol and p.session = h.session
    where h.is_over and h.opens is not null and t.sessions >= :sessions and t.usual >= :usual
)
select symbol, session,
    minutes < usual * all_minutes
        - greatest(:least, :times * sqrt(greatest(0, all_minutes * usual * (1 - usual)))) as is_bad,
    minutes as value,
    usual * all_minutes as expected,
    concat(minutes, ' of ', all_minutes, ' minutes, usually ', round(cast(100 * usual as numeric), 1), ' %') as detail
from compared
