{{ config(grain=['symbol', 'session'], slice='symbol', bucket='year') }}
with prices as (
    select
        symbol,
        session,
        split_high as high,
        split_low as low,
        split_close as close,
        split_volume as volume,
        split_vwap as vwap,
        coalesce(split_vwap, (split_high + split_low + split_close) / 3) * split_volume as traded
    from {{ changed(with_close(ref('prices_daily')), back=251) }} as p
),

sixes as (
    select
        *,
        {{ lagged_extreme('greatest', 'high', 1, 6) }} as high_6,
        {{ lagged_extreme('least', 'low', 1, 6) }} as low_6,
        {{ lagged_sum('volume', 1, 5) }} as volume_5,
        {{ lagged_sum('traded', 1, 5) }} as traded_5
    from prices
    window w as (partition by symbol order by session)
),

thirties as (
    select
        *,
        {{ lagged_extreme('greatest', 'high_6', 6, 6) }} as high_36,
        {{ lagged_extreme('least', 'low_6', 6, 6) }} as low_36,
        {{ lagged_sum('volume_5', 5, 4) }} as volume_20,
        {{ lagged_sum('traded_5', 5, 4) }} as traded_20
    from sixes
    window w as (partition by symbol order by session)
),

years as (
    select
        *,
        {{ lagged_extreme('greatest', 'high_36', 36, 7) }} as high_52w,
        {{ lagged_extreme('least', 'low_36', 36, 7) }} as low_52w,
        {{ lagged_sum('volume_20', 20, 3) }} as volume_60
    from thirties
    window w as (partition by symbol order by session)
)

select
    symbol,
    session,
    high,
    low,
    close,
    volume,
    vwap,
    high_52w,
    low_52w,
    close / nullif(high_52w, 0) - 1 as from_high_52w,
    close / nullif(low_52w, 0) - 1 as from_low_52w,
    volume_20 / 20 as average_volume_20,
    volume_60 / 60 as average_volume_60,
    volume / nullif(volume_20 / 20, 0) as relative_volume_20,
    traded_20 / nullif(volume_20, 0) as vwap_20
from years
