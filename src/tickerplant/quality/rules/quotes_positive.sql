-- severity: error
-- grain: row
-- tables: quotes
-- value: the least of prices and sizes
-- meaning: A price or size of a quote is negative or not a number. 0 is an empty side and right.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    least(coalesce(bid_price, 0), coalesce(ask_price, 0), coalesce(bid_size, 0), coalesce(ask_size, 0)) < 0
        or not coalesce(finite(bid_price), true) or not coalesce(finite(ask_price), true)
        or not coalesce(finite(bid_size), true) or not coalesce(finite(ask_size), true) as is_bad,
    least(bid_price, ask_price, bid_size, ask_size) as value,
    0 as expected,
    concat('bid ', bid_price, ' x ', bid_size, ', ask ', ask_price, ' x ', ask_size) as detail
from checked_quotes
