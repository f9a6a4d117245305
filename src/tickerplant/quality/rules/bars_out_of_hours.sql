-- severity: warning
-- grain: row
-- tables: bars
-- value: minutes outside of the session; null on a day without one
-- meaning: A minute bar begins before 04:00 or not before 20:00 New York (17:00 on early closes), or on a day on which the
--   exchange is closed.
select b.symbol, b.session, b.vendor, b.feed, b.ts, b.ns, b.received_at, b.seq,
    h.pre_open is null or b.ts < h.pre_open or b.ts >= h.post_close as is_bad,
    greatest(
        extract(epoch from h.pre_open) - extract(epoch from b.ts),
        extract(epoch from b.ts) - extract(epoch from h.post_close)
    ) / 60 as value,
    0 as expected,
    case when h.pre_open is null then 'closed' when b.ts < h.pre_open then 'before' else 'after' end as detail
from checked_bars b
left join hours h on h.session = b.session
