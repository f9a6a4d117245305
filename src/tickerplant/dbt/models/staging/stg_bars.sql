{{ one_of_each(
    source('tickerplant', 'bars'),
    ['symbol', 'session', 'ts', '"interval"'],
    preference() ~ ', revision desc, received_at desc, seq desc',
    known()
) }}
