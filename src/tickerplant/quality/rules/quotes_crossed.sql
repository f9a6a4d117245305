-- severity: warning
-- grain: row
-- tables: quotes
-- value: bid minus ask, dollars
-- meaning: The bid is above the ask in regular hours, both sides there. Outside of regular hours it is common.
-- grades: 0=A 0.001=B 0.01=C 0.05=D
select q.symbol, q.session, q.vendor, q.feed, q.ts, q.ns, q.received_at, q.seq,
    q.bid_price > q.ask_price as is_bad,
    q.bid_price - q.ask_price as value,
    0 as expected,
    concat(q.bid_price, ' ', q.bid_exchange, ' over ', q.ask_price, ' ', q.ask_exchange) as detail
from checked_quotes q
join hours h on h.session = q.session and q.ts >= h.opens and q.ts < h.closes
where q.bid_price > 0 and q.ask_price > 0
