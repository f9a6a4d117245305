-- severity: warning
-- grain: row
-- tables: trades
-- value: the price, dollars
-- meaning: Two trades of a symbol, venue and session have one id and another price or size, and no correction says which is
--   right. The later received is flagged.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    price <> first_price or size <> first_size as is_bad,
    price as value,
    first_price as expected,
    concat('trade ', trade_id, ' of ', exchange, ': ', size, ' at ', price, ', first ', first_size, ' at ', first_price)
        as detail
from (
    select *,
        first_value(price) over same as first_price,
        first_value(size) over same as first_size
    from checked_trades where trade_id is not null
    window same as (partition by symbol, session, vendor, feed, exchange, trade_id order by received_at, seq)
) numbered
