-- severity: warning
-- grain: row
-- tables: trades
-- value: logarithm of the price over the median of its five minutes
-- thresholds: floor=0.03 times=20
-- meaning: A trade is further from the median price of its five minutes than 3 % and than 20 robust standard deviations (1.4826
--   x the median absolute deviation) of the symbol's own trades of the session. Prints whose conditions allow any price
--   (average price, derivatively priced, out of sequence, ...) are left out.
with priced as (
    select *, bucket(ts, 300) as part from plain_trades where price > 0
),
middles as (
    select vendor, feed, symbol, session, part, percentile_cont(0.5) within group (order by price) as middle
    from priced group by vendor, feed, symbol, session, part
),
moved as (
    select p.*, m.middle, ln(p.price / m.middle) as move
    from priced p
    join middles m on m.vendor = p.vendor and m.feed = p.feed and m.symbol = p.symbol and m.session = p.session
        and m.part = p.part
),
own as (
    select vendor, feed, symbol, session, 1.4826 * percentile_cont(0.5) within group (order by abs(move)) as scale
    from moved group by vendor, feed, symbol, session
)
select m.symbol, m.session, m.vendor, m.feed, m.ts, m.ns, m.received_at, m.seq,
    abs(m.move) > greatest(:floor, :times * o.scale) as is_bad,
    m.move as value,
    case when m.move < 0 then -1 else 1 end * greatest(:floor, :times * o.scale) as expected,
    concat(m.price, ' while the median was ', m.middle) as detail
from moved m
join own o on o.vendor = m.vendor and o.feed = m.feed and o.symbol = m.symbol and o.session = m.session
