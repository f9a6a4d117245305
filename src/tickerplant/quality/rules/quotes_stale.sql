-- severity: warning
-- grain: window
-- tables: quotes trades
-- value: trades in these five minutes
-- thresholds: least=20
-- grades: 0=C 0.1=D
-- meaning: Five minutes of regular hours with at least 20 trades of a symbol and no quote, though it has quotes in the session: the
--   quote stood still while the market went on.
with traded as (
    select t.symbol, t.session, bucket(t.ts, 300) as part, count(*) as trades
    from checked_trades t join hours h on h.session = t.session and t.ts >= h.opens and t.ts < h.closes
    group by t.symbol, t.session, bucket(t.ts, 300)
),
quoted as (
    select symbol, session, bucket(ts, 300) as part, count(*) as quotes
    from checked_quotes group by symbol, session, bucket(ts, 300)
),
known as (select distinct symbol, session from quoted)
select t.symbol, t.session, to_timestamp(t.part * 300) as ts,
    q.quotes is null as is_bad,
    t.trades as value,
    0 as expected,
    concat(t.trades, ' trades, no quote in five minutes') as detail
from traded t
join known k on k.symbol = t.symbol and k.session = t.session
left join quoted q on q.symbol = t.symbol and q.session = t.session and q.part = t.part
where t.trades >= :least
