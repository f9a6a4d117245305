-- severity: error
-- grain: row
-- tables: quotes
-- value: how many times it is there
-- meaning: One received message is stored twice: same vendor, feed, receipt, place in the frame and content; each of the rows
--   is flagged. Quotes of equal content that were received twice are real.
with places as (
    select received_at, seq from checked_quotes group by received_at, seq having count(*) > 1
),
doubled as (
    select t.symbol, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq, t.bid_price, t.ask_price, t.bid_size, t.ask_size,
        count(*) as copies
    from checked_quotes t
    join places p on p.received_at = t.received_at and p.seq = t.seq
    group by t.symbol, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq, t.bid_price, t.ask_price, t.bid_size, t.ask_size
    having count(*) > 1
)
select t.symbol, t.session, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq,
    d.copies is not null as is_bad,
    d.copies as value,
    1 as expected,
    concat('bid ', t.bid_price, ', ask ', t.ask_price) as detail
from checked_quotes t
left join doubled d on d.received_at = t.received_at and d.seq = t.seq and d.symbol = t.symbol
    and d.vendor = t.vendor and d.feed = t.feed and d.ts = t.ts and d.ns = t.ns
    and d.bid_price is not distinct from t.bid_price
    and d.ask_price is not distinct from t.ask_price
    and d.bid_size is not distinct from t.bid_size
    and d.ask_size is not distinct from t.ask_size
