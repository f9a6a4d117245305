{{ config(materialized='mart', grain=['symbol', 'session'], slice='session', bucket='year') }}
{{ one_of_each(
    source('tickerplant', 'daily_bars'),
    ['symbol', 'session'],
    preference() ~ ', received_at desc, seq desc',
    known() ~ ' and ' ~ in_slice(),
    'symbol, session, vendor, feed, open, high, low, close, volume, trade_count, vwap, received_at'
) }}
