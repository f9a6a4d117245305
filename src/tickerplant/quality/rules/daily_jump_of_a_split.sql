-- severity: warning
-- grain: day
-- tables: daily_bars splits
-- value: price before over price after (over 1), or after over before
-- thresholds: near=0.08 days=7
-- grades: 0=D
-- meaning: Open and close moved by the ratio of a usual split (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50, 100 or the inverse; the
--   open within 8 %, the close within 16 %) and no split within 7 days is known: a split that the plant does not have, or a
--   vendor that mixes adjusted and raw prices.
with ratios (ratio) as (values (2), (3), (4), (5), (6), (7), (8), (10), (15), (20), (25), (30), (50), (100)),
placed as (
    select *, lag(close) over series as before
    from daily where close > 0 and open > 0
    window series as (partition by vendor, feed, symbol order by session)
),
moved as (
    select *, abs(ln(open / before)) as opened, abs(ln(close / before)) as closed
    from placed where is_checked and before is not null
),
fitting as (
    select m.vendor, m.feed, m.symbol, m.session, min(r.ratio) as ratio
    from moved m join ratios r on abs(m.opened - ln(r.ratio)) < :near and abs(m.closed - ln(r.ratio)) < 2 * :near
    where m.opened > 0.5
        and not exists (
            select 1 from known_splits s where s.symbol = m.symbol
            and s.ex_date >= m.session - cast(:days as integer) and s.ex_date <= m.session + cast(:days as integer)
        )
    group by m.vendor, m.feed, m.symbol, m.session
)
select m.symbol, m.session, m.vendor, m.feed, m.received_at, m.seq,
    f.ratio is not null as is_bad,
    exp(m.closed) as value,
    f.ratio as expected,
    concat('open ', m.open, ' after a close of ', m.before, ', as of a split ',
        case when m.open < m.before then concat(f.ratio, ':1') else concat('1:', f.ratio) end) as detail
from moved m
left join fitting f on f.vendor = m.vendor and f.feed = m.feed and f.symbol = m.symbol and f.session = m.session
