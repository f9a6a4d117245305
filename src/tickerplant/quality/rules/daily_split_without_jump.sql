-- severity: warning
-- grain: day
-- tables: daily_bars splits
-- value: price before over open
-- thresholds: least=0.18
-- grades: 0=D
-- meaning: A split of 6:5 or more is known for this day and the open does not show it: it is nearer to the close before than to that
--   close divided by the ratio. The split or its date is wrong, or the vendor sent adjusted prices.
with placed as (
    select *, lag(close) over series as before, lag(session) over series as session_before
    from daily where close > 0 and open > 0
    window series as (partition by vendor, feed, symbol order by session)
)
select p.symbol, p.session, p.vendor, p.feed, p.received_at, p.seq,
    abs(ln(p.open / p.before) + ln(s.ratio)) > abs(ln(p.open / p.before)) as is_bad,
    p.before / p.open as value,
    s.ratio as expected,
    concat('open ', p.open, ' after ', p.before, ', split ', s.ratio, ':1 on ', s.ex_date) as detail
from placed p
join known_splits s on s.symbol = p.symbol and s.ex_date > p.session_before and s.ex_date <= p.session
where p.is_checked and abs(ln(s.ratio)) >= :least
