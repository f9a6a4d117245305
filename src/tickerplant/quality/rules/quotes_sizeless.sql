-- severity: warning
-- grain: row
-- tables: quotes
-- value: the price without a size, dollars
-- meaning: A side of a quote has a price and no size.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    (bid_price > 0 and coalesce(bid_size, 0) = 0) or (ask_price > 0 and coalesce(ask_size, 0) = 0) as is_bad,
    case when bid_price > 0 and coalesce(bid_size, 0) = 0 then bid_price else ask_price end as value,
    0 as expected,
    case when bid_price > 0 and coalesce(bid_size, 0) = 0 then 'bid without size' else 'ask without size' end as detail
from checked_quotes
