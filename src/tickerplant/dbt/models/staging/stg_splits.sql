with newest as (
    {{ one_of_each(
        source('tickerplant', 'splits'), ['symbol', 'ex_date'], preference() ~ ', received_at desc, seq desc', known(),
        'symbol, ex_date, split_from, split_to, vendor, received_at, ' ~ vendor_rank() ~ ' as rank'
    ) }}
)
select symbol, ex_date, split_from, split_to, vendor, received_at
from ({{ without_near_repeats('newest', 'b.split_to * a.split_from = a.split_to * b.split_from') }}) splits
where split_from > 0 and split_to > 0
