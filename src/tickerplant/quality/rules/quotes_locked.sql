-- severity: info
-- grain: row
-- tables: quotes
-- value: the price, dollars
-- keep: 1000
-- meaning: Bid and ask are equal in regular hours. Real, a few in a hundred quotes of busy symbols; no grade falls by it.
select q.symbol, q.session, q.vendor, q.feed, q.ts, q.ns, q.received_at, q.seq,
    q.bid_price = q.ask_price as is_bad,
    q.bid_price as value,
    q.ask_price as expected,
    concat(q.bid_exchange, ' and ', q.ask_exchange) as detail
from checked_quotes q
join hours h on h.session = q.session and q.ts >= h.opens and q.ts < h.closes
where q.bid_price > 0 and q.ask_price > 0
