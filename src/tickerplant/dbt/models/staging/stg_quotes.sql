with best as (
    select symbol, session, min({{ vendor_rank() }}) as rank
    from {{ source('tickerplant', 'quotes') }} where {{ known() }} group by symbol, session
),
chosen as (
    select q.*
    from {{ source('tickerplant', 'quotes') }} q
    join best b on b.symbol = q.symbol and b.session = q.session and b.rank = {{ vendor_rank('q.vendor') }}
    where {{ known('q.') }}
)
select
    symbol, session, ts, ns, bid_price, bid_size, bid_exchange, ask_price, ask_size, ask_exchange, conditions, tape,
    vendor, feed, received_at, seq
from ({{ one_of_each(
    'chosen',
    [
        'symbol', 'session', 'ts', 'ns', 'bid_price', 'bid_size', 'bid_exchange', 'ask_price', 'ask_size',
        'ask_exchange', 'conditions', 'tape',
    ],
    preference() ~ ', received_at, seq'
) }}) quotes
