{{ config(materialized='mart', grain=['universe', 'as_of', 'symbol']) }}
{{ one_of_each(
    source('tickerplant', 'universe'), ['universe', 'as_of', 'symbol'], 'received_at desc, seq desc, vendor', known(),
    'universe, as_of, symbol, name, weight, vendor, received_at'
) }}
