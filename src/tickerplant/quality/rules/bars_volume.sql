-- severity: error
-- grain: row
-- tables: bars
-- value: volume, shares
-- meaning: Volume of a minute bar is missing, negative or not a number, or its count of trades is negative.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    not coalesce(volume >= 0 and finite(volume), false)
        or coalesce(trade_count, 0) < 0 as is_bad,
    volume as value,
    0 as expected,
    concat('volume ', volume, ', trades ', trade_count) as detail
from checked_bars
