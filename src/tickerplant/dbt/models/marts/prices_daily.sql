{{ config(materialized='view') }}
select
    b.symbol,
    b.session,
    b.vendor,
    b.feed,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    b.trade_count,
    b.vwap,
    coalesce(f.split_factor, 1.0) as split_factor,
    coalesce(f.dividend_factor, 1.0) as dividend_factor,
    b.open * coalesce(f.split_factor, 1.0) as split_open,
    b.high * coalesce(f.split_factor, 1.0) as split_high,
    b.low * coalesce(f.split_factor, 1.0) as split_low,
    b.close * coalesce(f.split_factor, 1.0) as split_close,
    b.volume / coalesce(f.split_factor, 1.0) as split_volume,
    b.vwap * coalesce(f.split_factor, 1.0) as split_vwap,
    b.open * coalesce(f.split_factor * f.dividend_factor, 1.0) as adjusted_open,
    b.high * coalesce(f.split_factor * f.dividend_factor, 1.0) as adjusted_high,
    b.low * coalesce(f.split_factor * f.dividend_factor, 1.0) as adjusted_low,
    b.close * coalesce(f.split_factor * f.dividend_factor, 1.0) as adjusted_close,
    b.received_at
from {{ ref('stg_daily_bars') }} b
left join {{ ref('adjustment_factors') }} f
    on f.symbol = b.symbol and b.session < f.ex_date and b.session >= coalesce(f.valid_from, date '0001-01-01')
