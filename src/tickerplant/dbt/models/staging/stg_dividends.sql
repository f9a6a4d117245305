{{ config(materialized='mart', grain=['symbol', 'ex_date', 'type']) }}
with newest as (
    {{ one_of_each(
        source('tickerplant', 'dividends'),
        ['vendor', 'feed', 'symbol', 'ex_date', "coalesce(type, '')", "coalesce(vendor_id, '')"],
        'received_at desc, seq desc',
        known() ~ " and coalesce(currency, 'USD') = 'USD'",
        "symbol, ex_date, coalesce(type, '') as type, amount, vendor, feed, received_at, " ~ vendor_rank() ~ ' as rank'
    ) }}
),
ranked as (
    select *, dense_rank() over (partition by symbol, ex_date order by {{ preference() }}) as place from newest
),
judged as (
    select *, {{ best_rank_nearby('symbol, amount') }} as best from ranked where place = 1
)
select symbol, ex_date, type, sum(amount) as amount, max(vendor) as vendor, max(received_at) as received_at
from judged
where rank = best
group by symbol, ex_date, type
