-- severity: error
-- grain: day
-- tables: daily_bars
-- value: volume, shares
-- meaning: A daily bar of a day on which the exchange was closed.
select d.symbol, d.session, d.vendor, d.feed, d.received_at, d.seq,
    h.opens is null as is_bad,
    d.volume as value,
    0 as expected,
    'closed' as detail
from daily d
join hours h on h.session = d.session
where d.is_checked
