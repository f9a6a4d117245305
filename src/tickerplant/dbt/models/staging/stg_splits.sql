{{ config(materialized='mart', grain=['symbol', 'ex_date']) }}
with newest as (
    {{ one_of_each(
        source('tickerplant', 'splits'), ['symbol', 'ex_date'], preference() ~ ', received_at desc, seq desc', known(),
        'symbol, ex_date, split_from, split_to, vendor, received_at, ' ~ vendor_rank() ~ ' as rank'
    ) }}
),
judged as (
    select *, {{ best_rank_nearby('symbol, split_to / nullif(split_from, 0)') }} as best from newest
)
select symbol, ex_date, split_from, split_to, vendor, received_at
from judged
where rank = best and split_from > 0 and split_to > 0
