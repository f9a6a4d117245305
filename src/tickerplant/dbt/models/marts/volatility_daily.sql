{{ config(grain=['symbol', 'session'], slice='symbol', bucket='year') }}
{#- Sums and deviations of 20 and 60 sessions from windows of 5 (see macros/windows). -#}
{%- set spread = ['total', 'overnight', 'intraday'] -%}
{%- set mean = ['range_squared', 'garman_klass', 'rogers_satchell'] -%}
with prices as (
    select
        symbol,
        session,
        adjusted_open as open,
        adjusted_high as high,
        adjusted_low as low,
        adjusted_close as close,
        lag(adjusted_close) over w as previous
    from {{ changed(with_close(ref('prices_daily')), back=60) }} as p
    window w as (partition by symbol order by session)
),

logs as (
    select
        symbol,
        session,
        open,
        high,
        low,
        close,
        {{ log_ratio('close', 'previous') }} as total,
        {{ log_ratio('open', 'previous') }} as overnight,
        {{ log_ratio('close', 'open') }} as intraday,
        {{ log_ratio('high', 'open') }} as up,
        {{ log_ratio('low', 'open') }} as down
    from prices
),

terms as (
    select
        symbol,
        session,
        open,
        high,
        low,
        close,
        total,
        overnight,
        intraday,
        power(up - down, 2) as range_squared,
        power(up - down, 2) / 2 - {{ real('0.38629436111989061883') }} * power(intraday, 2) as garman_klass,
        up * (up - intraday) + down * (down - intraday) as rogers_satchell
    from logs
),

fives as (
    select
        *
        {%- for name in spread + mean %},
        {{ lagged_sum(name, 1, 5) }} / 5 as {{ name }}_5
        {%- endfor %}
    from terms
    window w as (partition by symbol order by session)
),

twenties as (
    select
        *
        {%- for name in spread + mean %},
        {{ lagged_sum(name ~ '_5', 5, 4) }} / 4 as {{ name }}_20
        {%- endfor %}
        {%- for name in spread %},
        {{ deviations_of_5(name, name ~ '_5') }} as {{ name }}_deviations_5
        {%- endfor %}
    from fives
    window w as (partition by symbol order by session)
),

sixties as (
    select
        *
        {%- for name in spread + mean %},
        {{ lagged_sum(name ~ '_20', 20, 3) }} / 3 as {{ name }}_60
        {%- endfor %}
        {%- for name in spread %},
        {{ deviations_together(name ~ '_deviations_5', name ~ '_5', name ~ '_20', 5, 4) }} as {{ name }}_deviations_20
        {%- endfor %}
    from twenties
    window w as (partition by symbol order by session)
),

variances as (
    select
        *
        {%- for name in spread %},
        {{ name }}_deviations_20 / 19 as {{ name }}_variance_20,
        {{ deviations_together(name ~ '_deviations_20', name ~ '_20', name ~ '_60', 20, 3) }} / 59 as {{ name }}_variance_60
        {%- endfor %}
    from sixties
    window w as (partition by symbol order by session)
)

select
    symbol,
    session,
    open,
    high,
    low,
    close
    {%- for n in [20, 60] %},
    sqrt(252 * total_variance_{{ n }}) as close_to_close_{{ n }},
    sqrt(252 * range_squared_{{ n }} / {{ real('2.77258872223978123767') }}) as parkinson_{{ n }},
    {{ root('252 * garman_klass_' ~ n) }} as garman_klass_{{ n }},
    {%- set k = 0.34 / (1.34 + (n + 1) / (n - 1)) %}
    {{ root('252 * (overnight_variance_' ~ n ~ ' + ' ~ real(k) ~ ' * intraday_variance_' ~ n
        ~ ' + ' ~ real(1 - k) ~ ' * rogers_satchell_' ~ n ~ ')') }} as yang_zhang_{{ n }}
    {%- endfor %}
from variances
