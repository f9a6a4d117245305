-- severity: error
-- grain: row
-- tables: trades
-- value: how many times it is there
-- meaning: One received message is stored twice: same vendor, feed, receipt, place in the frame and content; each of the rows
--   is flagged. A trade that was received twice is not: trades_repeated.
with places as (
    select received_at, seq from all_trades group by received_at, seq having count(*) > 1
),
doubled as (
    select t.symbol, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq, t.trade_id, t.price, t.size,
        count(*) as copies
    from all_trades t
    join places p on p.received_at = t.received_at and p.seq = t.seq
    group by t.symbol, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq, t.trade_id, t.price, t.size
    having count(*) > 1
)
select t.symbol, t.session, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq,
    d.copies is not null as is_bad,
    d.copies as value,
    1 as expected,
    concat('trade ', t.trade_id) as detail
from all_trades t
left join doubled d on d.received_at = t.received_at and d.seq = t.seq and d.symbol = t.symbol
    and d.vendor = t.vendor and d.feed = t.feed and d.ts = t.ts and d.ns = t.ns
    and d.trade_id is not distinct from t.trade_id
    and d.price is not distinct from t.price
    and d.size is not distinct from t.size
