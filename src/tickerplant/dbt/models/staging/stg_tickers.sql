{{ config(materialized='mart', grain=['symbol']) }}
with newest as (
    {{ one_of_each(
        source('tickerplant', 'tickers'), ['vendor', 'feed', 'symbol', 'vendor_symbol'], 'received_at desc, seq desc', known()
    ) }}
)
select
    symbol, vendor_symbol, name, exchange, type, is_active, listed_on, delisted_on, currency, cik, figi, sector, industry,
    market_cap, shares_outstanding, vendor, received_at
from ({{ one_of_each('newest', ['symbol'], preference() ~ ', is_active desc, received_at desc, seq desc, vendor_symbol') }}) tickers
