-- severity: warning
-- grain: row
-- tables: trades quotes
-- value: price, dollars
-- thresholds: least=10 share=0.001 cents=2
-- meaning: A trade of regular hours is below every bid or above every ask of its minute and the minute before, by more than
--   0.1 % and two cents. Looked at where the minute has at least 10 quotes; prints whose conditions allow any price are
--   left out.
with minutes as (
    select symbol, session, bucket(ts, 60) as part, count(*) as quotes,
        min(case when bid_price > 0 then bid_price end) as low,
        max(case when ask_price > 0 then ask_price end) as high
    from checked_quotes group by symbol, session, bucket(ts, 60)
),
around as (
    select m.symbol, m.session, m.part, least(m.low, b.low) as low, greatest(m.high, b.high) as high
    from minutes m
    left join minutes b on b.symbol = m.symbol and b.session = m.session and b.part = m.part - 1
    where m.quotes >= :least
),
priced as (
    select t.*, bucket(t.ts, 60) as part
    from plain_trades t
    join hours h on h.session = t.session and t.ts >= h.opens and t.ts < h.closes
    where t.price > 0
)
select p.symbol, p.session, p.vendor, p.feed, p.ts, p.ns, p.received_at, p.seq,
    p.price < a.low * (1 - :share) - :cents / 100.0 or p.price > a.high * (1 + :share) + :cents / 100.0 as is_bad,
    p.price as value,
    case when p.price < a.low then a.low else a.high end as expected,
    concat(p.price, ', quotes from ', a.low, ' to ', a.high) as detail
from priced p
join around a on a.symbol = p.symbol and a.session = p.session and a.part = p.part
where a.low is not null and a.high is not null
