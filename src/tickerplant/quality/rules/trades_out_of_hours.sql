-- severity: warning
-- grain: row
-- tables: trades
-- value: minutes outside of the session; null on a day without one
-- meaning: The event time is before 04:00 or not before 20:00 New York (17:00 on early closes), or on a day on which the
--   exchange is closed. Rows of tape N (overnight trading) have no such hours.
select t.symbol, t.session, t.vendor, t.feed, t.ts, t.ns, t.received_at, t.seq,
    h.pre_open is null or t.ts < h.pre_open or t.ts >= h.post_close as is_bad,
    greatest(
        extract(epoch from h.pre_open) - extract(epoch from t.ts),
        extract(epoch from t.ts) - extract(epoch from h.post_close)
    ) / 60 as value,
    0 as expected,
    case when h.pre_open is null then 'closed' when t.ts < h.pre_open then 'before' else 'after' end as detail
from checked_trades t
left join hours h on h.session = t.session
where coalesce(t.tape, '') <> 'N'
