{{ one_of_each(
    source('tickerplant', 'daily_bars'),
    ['vendor', 'feed', 'symbol', 'session'],
    'received_at desc, seq desc',
    known()
) }}
