-- severity: warning
-- grain: session
-- tables: trades quotes
-- value: trades of regular hours
-- thresholds: least=20
-- grades: 0=D
-- meaning: A symbol has trades in regular hours and no quote in the whole session, though quotes of the session were recorded.
with traded as (
    select t.symbol, t.session, count(*) as trades
    from checked_trades t join hours h on h.session = t.session and t.ts >= h.opens and t.ts < h.closes
    group by t.symbol, t.session
),
quoted as (select symbol, session, count(*) as quotes from checked_quotes group by symbol, session),
recorded as (select distinct session from quoted)
select t.symbol, t.session,
    t.trades >= :least and q.quotes is null as is_bad,
    t.trades as value,
    0 as expected,
    concat(t.trades, ' trades, no quote') as detail
from traded t
join recorded r on r.session = t.session
left join quoted q on q.symbol = t.symbol and q.session = t.session
