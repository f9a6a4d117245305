{{ config(grain=['session'], slice='session', bucket='year') }}
select
    r.session,
    count(*) as symbols,
    count(case when r.price_return > 0 then 1 end) as advances,
    count(case when r.price_return < 0 then 1 end) as declines,
    count(case when r.price_return = 0 then 1 end) as unchanged,
    count(g.high_52w) as with_range,
    count(case when g.high >= g.high_52w then 1 end) as new_highs,
    count(case when g.low <= g.low_52w then 1 end) as new_lows,
    count(i.sma_50) as with_sma_50,
    count(case when i.close > i.sma_50 then 1 end) as above_sma_50,
    count(i.sma_200) as with_sma_200,
    count(case when i.close > i.sma_200 then 1 end) as above_sma_200
from (select * from {{ ref('returns_daily') }} where {{ in_slice() }}) as r
inner join {{ ref('ranges_daily') }} as g on g.symbol = r.symbol and g.session = r.session
inner join {{ ref('indicators_daily') }} as i on i.symbol = r.symbol and i.session = r.session
group by r.session
