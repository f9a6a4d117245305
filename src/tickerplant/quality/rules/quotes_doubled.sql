-- severity: error
-- grain: row
-- tables: quotes
-- value: how many times it is there
-- meaning: One received message is stored twice: same vendor, feed, receipt, place in the frame and content. Quotes of
--   equal content that were received twice are real.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    count(*) > 1 as is_bad,
    count(*) as value,
    1 as expected,
    concat('bid ', bid_price, ', ask ', ask_price) as detail
from checked_quotes
group by symbol, session, vendor, feed, ts, ns, received_at, seq, bid_price, ask_price, bid_size, ask_size
