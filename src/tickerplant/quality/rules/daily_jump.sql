-- severity: warning
-- grain: day
-- tables: daily_bars splits
-- value: logarithm of the close over the close before, splits taken out
-- thresholds: floor=0.1 times=8 days=90 least=20
-- grades: 0=C
-- meaning: The close moved by more than 10 % and by more than 8 robust standard deviations (1.4826 x the median absolute deviation) of
--   the symbol's own daily returns in the 90 days before. Known splits are taken out. Looked at with 20 returns or more.
with placed as (
    select *, lag(close) over series as before, lag(session) over series as session_before
    from daily where close > 0
    window series as (partition by vendor, feed, symbol order by session)
),
split as (
    select p.vendor, p.feed, p.symbol, p.session, sum(ln(s.ratio)) as step
    from placed p
    join known_splits s on s.symbol = p.symbol and s.ex_date > p.session_before and s.ex_date <= p.session
    group by p.vendor, p.feed, p.symbol, p.session
),
moved as (
    select p.*, ln(p.close / p.before) + coalesce(s.step, 0) as move
    from placed p
    left join split s on s.vendor = p.vendor and s.feed = p.feed and s.symbol = p.symbol and s.session = p.session
    where p.before is not null
),
suspects as (select * from moved where is_checked and abs(move) > :floor),
middles as (
    select s.vendor, s.feed, s.symbol, s.session, count(*) as moves,
        percentile_cont(0.5) within group (order by m.move) as middle
    from suspects s
    join moved m on m.vendor = s.vendor and m.feed = s.feed and m.symbol = s.symbol
        and m.session < s.session and m.session >= s.session - cast(:days as integer)
    group by s.vendor, s.feed, s.symbol, s.session
),
own as (
    select c.vendor, c.feed, c.symbol, c.session, c.middle,
        1.4826 * percentile_cont(0.5) within group (order by abs(m.move - c.middle)) as scale
    from middles c
    join moved m on m.vendor = c.vendor and m.feed = c.feed and m.symbol = c.symbol
        and m.session < c.session and m.session >= c.session - cast(:days as integer)
    where c.moves >= :least
    group by c.vendor, c.feed, c.symbol, c.session, c.middle
)
select m.symbol, m.session, m.vendor, m.feed, m.received_at, m.seq,
    abs(m.move) > :floor and abs(m.move - o.middle) > :times * o.scale as is_bad,
    m.move as value,
    case when m.move < 0 then -1 else 1 end * greatest(:floor, :times * o.scale) as expected,
    concat('close ', m.close, ' after ', m.before) as detail
from moved m
left join own o on o.vendor = m.vendor and o.feed = m.feed and o.symbol = m.symbol and o.session = m.session
where m.is_checked
