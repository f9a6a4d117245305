-- severity: error
-- grain: row
-- tables: trades
-- value: price, or size when the price is right
-- meaning: Price or size of a trade is missing, not above 0 or not a number. Official opens and closes (conditions Q, M,
--   9; of Polygon 15, 16, 38) may have no size.
select symbol, session, vendor, feed, ts, ns, received_at, seq,
    not coalesce(price > 0 and finite(price), false)
        or not coalesce(size > 0 and finite(size), false)
        and not (coalesce(size, 0) = 0 and (
            concat(',', conditions, ',') like '%,Q,%' or concat(',', conditions, ',') like '%,M,%'
            or concat(',', conditions, ',') like '%,9,%' or concat(',', conditions, ',') like '%,15,%'
            or concat(',', conditions, ',') like '%,16,%' or concat(',', conditions, ',') like '%,38,%'
        )) as is_bad,
    case when coalesce(price > 0 and finite(price), false) then size else price end
        as value,
    0 as expected,
    concat(size, ' at ', price) as detail
from checked_trades
