-- severity: info
-- grain: row
-- tables: trades
-- value: which time it was received
-- keep: 1000
-- meaning: A trade was received before with the same id, time, price and size, live and from history. trades_latest shows
--   it once.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    place > 1 as is_bad,
    place as value,
    1 as expected,
    concat('trade ', trade_id) as detail
from (
    select *, row_number() over (
        partition by symbol, session, vendor, feed, exchange, trade_id, ts, ns, price, size
        order by received_at, seq
    ) as place
    from all_trades where trade_id is not null
) numbered
