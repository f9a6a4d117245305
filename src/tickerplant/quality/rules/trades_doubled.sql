-- severity: error
-- grain: row
-- tables: trades
-- value: how many times it is there
-- meaning: One received message is stored twice: same vendor, feed, receipt, place in the frame and content.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    count(*) > 1 as is_bad,
    count(*) as value,
    1 as expected,
    concat('trade ', trade_id) as detail
from all_trades
group by symbol, session, vendor, feed, ts, ns, received_at, seq, trade_id, price, size
