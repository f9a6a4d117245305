-- severity: error
-- grain: row
-- tables: bars
-- value: dollars by which a price is on the wrong side; null when one is missing
-- meaning: A minute bar breaks 0 < low <= open, close <= high, or lacks one of the four.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    not coalesce(low > 0 and low <= open and low <= close and open <= high and close <= high
        and finite(high), false) as is_bad,
    case when open is null or high is null or low is null or close is null then null
        else greatest(low - open, low - close, open - high, close - high, -low) end as value,
    0 as expected,
    concat('open ', open, ', high ', high, ', low ', low, ', close ', close) as detail
from checked_bars
