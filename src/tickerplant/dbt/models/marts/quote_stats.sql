{{ config(grain=['symbol', 'session', 'interval', 'ts'], slice='session', bucket='session') }}
{#- A quote is in force until the next one of its symbol and session; the last one until its minute ends. What is in force
    over the end of a minute is cut there and carried on, minute by minute. -#}
{%- set minute = '60000000000' -%}
with quotes as (
    select
        symbol,
        session,
        {{ nanoseconds('ts', 'ns') }} as t,
        bid_price,
        bid_size,
        ask_price,
        ask_size,
        received_at,
        seq
    from {{ ref('stg_quotes') }}
    where {{ in_slice() }}
),

steps as (
    select
        symbol,
        session,
        t,
        t - t % {{ minute }} as start,
        lead(t) over (partition by symbol, session order by t, received_at, seq) as until,
        bid_price,
        bid_size,
        ask_price,
        ask_size
    from quotes
),

spans as (
    select
        symbol,
        session,
        start,
        1 as quote,
        cast(least(coalesce(until, start + {{ minute }}), start + {{ minute }}) - t as double precision) as weight,
        bid_price,
        bid_size,
        ask_price,
        ask_size
    from steps
    union all
    select
        symbol,
        session,
        start + number * {{ minute }} as start,
        0 as quote,
        cast(least(until - start - number * {{ minute }}, {{ minute }}) as double precision) as weight,
        bid_price,
        bid_size,
        ask_price,
        ask_size
    from (
        select
            symbol,
            session,
            start,
            until,
            bid_price,
            bid_size,
            ask_price,
            ask_size,
            {{ each_from_one('(until - until % ' ~ minute ~ ' - start) / ' ~ minute) }} as number
        from steps
        where until >= start + {{ minute }}
    ) as carried
    where until > start + number * {{ minute }}
),

states as (
    select
        symbol,
        session,
        start,
        quote,
        weight,
        bid_size,
        ask_size,
        bid_price > 0 and ask_price > 0 as is_two_sided,
        case when bid_price > 0 and ask_price >= bid_price then weight end as shown,
        ask_price - bid_price as spread,
        (ask_price + bid_price) / 2 as mid
    from spans
),

sums as (
    select
        symbol,
        session,
        start,
        sum(quote) as quotes,
        sum(shown) as shown,
        sum(case when is_two_sided and spread = 0 then weight end) as locked,
        sum(case when is_two_sided and spread < 0 then weight end) as crossed,
        min(case when shown > 0 then spread end) as narrowest,
        max(case when shown > 0 then spread end) as widest,
        sum(shown * mid) as mid,
        sum(shown * spread) as spread,
        sum(shown * spread / mid) as relative,
        sum(shown * bid_size) as bid_size,
        sum(shown * ask_size) as ask_size,
        sum(shown * (bid_size - ask_size) / nullif(bid_size + ask_size, 0)) as imbalance
    from states
    group by symbol, session, start
),

windows as (
    select
        symbol,
        session,
        {{ moment('start') }} as ts,
        '1m' as "interval",
        quotes,
        shown,
        locked,
        crossed,
        narrowest,
        widest,
        mid,
        spread,
        relative,
        bid_size,
        ask_size,
        imbalance
    from sums
    union all
    select
        symbol,
        session,
        {{ regular_open('session') }} as ts,
        'session' as "interval",
        sum(quotes) as quotes,
        sum(shown) as shown,
        sum(locked) as locked,
        sum(crossed) as crossed,
        min(narrowest) as narrowest,
        max(widest) as widest,
        sum(mid) as mid,
        sum(spread) as spread,
        sum(relative) as relative,
        sum(bid_size) as bid_size,
        sum(ask_size) as ask_size,
        sum(imbalance) as imbalance
    from sums
    where {{ moment('start') }} >= {{ regular_open('session') }} and {{ moment('start') }} < {{ regular_close('session') }}
    group by symbol, session
)

select
    symbol,
    session,
    ts,
    "interval",
    cast(quotes as bigint) as quote_count,
    coalesce(shown, 0) / {{ real('1e9') }} as quoted_seconds,
    coalesce(locked, 0) / {{ real('1e9') }} as locked_seconds,
    coalesce(crossed, 0) / {{ real('1e9') }} as crossed_seconds,
    narrowest as narrowest_spread,
    widest as widest_spread,
    mid / nullif(shown, 0) as mid,
    spread / nullif(shown, 0) as spread,
    10000 * relative / nullif(shown, 0) as spread_bps,
    bid_size / nullif(shown, 0) as bid_size,
    ask_size / nullif(shown, 0) as ask_size,
    imbalance / nullif(shown, 0) as imbalance
from windows
