with best as (
    select symbol, session, min({{ vendor_rank() }}) as rank from {{ present_trades() }} group by symbol, session
),
chosen as (
    select t.*
    from {{ present_trades() }} t
    join best b on b.symbol = t.symbol and b.session = t.session and b.rank = {{ vendor_rank('t.vendor') }}
)
select symbol, session, ts, ns, price, size, exchange, conditions, tape, trade_id, vendor, feed, received_at, seq
from ({{ one_of_each(
    'chosen',
    [
        'symbol', 'session', 'exchange', 'trade_id',
        'case when trade_id is null then received_at end', 'case when trade_id is null then seq end',
    ],
    preference() ~ ', received_at, seq'
) }}) trades
