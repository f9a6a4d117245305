{{ config(grain=['symbol', 'session'], slice='symbol', bucket='year') }}
{#- Exponential averages: e(t) = a * sum(ratio ** age * value), where the first price weighs 1 / a (see macros/windows). -#}
{%- set ema = {'12': 11 / 13, '26': 25 / 27, '9': 8 / 10} -%}
{%- set wilder = 13 / 14 -%}
{#- What came 520 rows before the first changed session weighs less than 1e-16. -#}
with prices as (
    select
        symbol,
        session,
        split_high as high,
        split_low as low,
        split_close as close,
        lag(split_close) over w as previous,
        cast(row_number() over w as integer) - 1 as n,
        {{ lagged_sum('split_close', 1, 5) }} / 5 as sma_5
    from {{ changed(with_close(ref('prices_daily')), back=520) }} as p
    window w as (partition by symbol order by session)
),

changes as (
    select
        symbol,
        session,
        high,
        low,
        close,
        n,
        n - n % {{ block_rows() }} as block,
        n % {{ block_rows() }} as place,
        greatest(close - previous, 0) as gain,
        greatest(previous - close, 0) as loss,
        greatest(high - low, abs(high - previous), abs(low - previous)) as true_range,
        sma_5
    from prices
),

blocks as (
    select
        symbol,
        session,
        high,
        low,
        close,
        n,
        block,
        place,
        true_range,
        sma_5,
        {{ decayed('case when n = 0 then close * ' ~ 13 / 2 ~ ' else close end', ema['12']) }} as block_12,
        {{ decayed('case when n = 0 then close * ' ~ 27 / 2 ~ ' else close end', ema['26']) }} as block_26,
        {{ decayed(wilder_14('gain', wilder, 14), wilder) }} as block_gain,
        {{ decayed(wilder_14('loss', wilder, 14), wilder) }} as block_loss,
        {{ decayed(wilder_14('true_range', wilder, 13), wilder) }} as block_range
    from changes
    window b as (partition by symbol, block order by session)
),

averages as (
    select
        symbol,
        session,
        high,
        low,
        close,
        n,
        block,
        place,
        true_range,
        {{ with_earlier_blocks('block_12', ema['12']) }} * {{ real(2 / 13) }} as ema_12,
        {{ with_earlier_blocks('block_26', ema['26']) }} * {{ real(2 / 27) }} as ema_26,
        {{ with_earlier_blocks('block_gain', wilder) }} as gain,
        {{ with_earlier_blocks('block_loss', wilder) }} as loss,
        {{ with_earlier_blocks('block_range', wilder) }} / 14 as atr_14,
        sma_5,
        {{ lagged_sum('sma_5', 5, 2) }} / 2 as sma_10,
        {{ lagged_sum('sma_5', 5, 4) }} / 4 as sma_20,
        {{ deviations_of_5('close', 'sma_5') }} as deviations_5
    from blocks
    window w as (partition by symbol order by block, session)
),

signals as (
    select
        *,
        {{ decayed('ema_12 - ema_26', ema['9']) }} as block_signal
    from averages
    window b as (partition by symbol, block order by session)
),

windows as (
    select
        *,
        {{ with_earlier_blocks('block_signal', ema['9']) }} * {{ real(2 / 10) }} as signal,
        ({{ lagged_sum('sma_10', 10, 5) }}) / 5 as sma_50,
        ({{ lagged_sum('sma_20', 20, 10) }}) / 10 as sma_200,
        sqrt({{ deviations_together('deviations_5', 'sma_5', 'sma_20', 5, 4) }} / 20) as deviation
    from signals
    window w as (partition by symbol order by block, session)
)

select
    symbol,
    session,
    high,
    low,
    close,
    sma_5,
    sma_10,
    sma_20,
    sma_50,
    sma_200,
    case when n >= 11 then ema_12 end as ema_12,
    case when n >= 25 then ema_26 end as ema_26,
    case when n >= 25 then ema_12 - ema_26 end as macd,
    case when n >= 33 then signal end as macd_signal,
    case when n >= 33 then ema_12 - ema_26 - signal end as macd_histogram,
    case when n >= 14 then 100 * gain / nullif(gain + loss, 0) end as rsi_14,
    true_range,
    case when n >= 13 then atr_14 end as atr_14,
    sma_20 as bollinger_middle,
    sma_20 + 2 * deviation as bollinger_upper,
    sma_20 - 2 * deviation as bollinger_lower,
    (close - sma_20 + 2 * deviation) / nullif(4 * deviation, 0) as bollinger_percent,
    4 * deviation / nullif(sma_20, 0) as bollinger_width
from windows
