{{ config(grain=['symbol', 'session'], slice='symbol', bucket='year') }}
with prices as (
    select
        symbol,
        session,
        split_close as close,
        adjusted_open,
        adjusted_close
    from {{ changed(with_close(ref('prices_daily')), back=252) }} as p
),

lagged as (
    select
        *,
        lag(session) over w as previous_session,
        lag(close) over w as previous_close,
        lag(adjusted_close) over w as previous_adjusted
        {%- for n in [5, 21, 63, 126, 252] %},
        lag(adjusted_close, {{ n }}) over w as adjusted_{{ n }}
        {%- endfor %}
    from prices
    window w as (partition by symbol order by session)
)

select
    symbol,
    session,
    previous_session,
    close,
    adjusted_open,
    adjusted_close,
    close / nullif(previous_close, 0) - 1 as price_return,
    adjusted_close / nullif(previous_adjusted, 0) - 1 as total_return,
    {{ log_ratio('adjusted_close', 'previous_adjusted') }} as log_return,
    adjusted_open / nullif(previous_adjusted, 0) - 1 as overnight_return,
    adjusted_close / nullif(adjusted_open, 0) - 1 as intraday_return
    {%- for n in [5, 21, 63, 126, 252] %},
    adjusted_close / nullif(adjusted_{{ n }}, 0) - 1 as total_return_{{ n }}
    {%- endfor %}
from lagged
