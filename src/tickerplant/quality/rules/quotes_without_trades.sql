-- severity: info
-- grain: session
-- tables: quotes trades
-- value: quotes
-- thresholds: least=5000
-- meaning: A symbol has thousands of quotes and no trade in the whole session, though trades of the session were recorded. Real
--   for quiet funds; for a company look whether its trades were subscribed.
with quoted as (select symbol, session, count(*) as quotes from checked_quotes group by symbol, session),
traded as (select symbol, session, count(*) as trades from all_trades group by symbol, session),
recorded as (select distinct session from traded)
select q.symbol, q.session,
    q.quotes >= :least and t.trades is null as is_bad,
    q.quotes as value,
    0 as expected,
    concat(q.quotes, ' quotes, no trade') as detail
from quoted q
join recorded r on r.session = q.session
left join traded t on t.symbol = q.symbol and t.session = q.session
