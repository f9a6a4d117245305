{{ config(grain=['symbol', 'interval', 'ts'], slice='session', bucket='session') }}
{#- Trades are put into bars of the longest length that divides every interval asked for; those make the rest. -#}
{%- set intervals = var('bar_intervals', ['1m', '5m', '15m', '30m', '1h']) -%}
{%- set step = namespace(seconds=interval_seconds(intervals[0]) | int) -%}
{%- for interval in intervals -%}
{%- for _ in range(64) if (interval_seconds(interval) | int) % step.seconds -%}
{%- set step.seconds = (interval_seconds(interval) | int) % step.seconds -%}
{%- endfor -%}
{%- endfor -%}

with trades as (
    select
        symbol,
        session,
        {{ nanoseconds('ts', 'ns') }} as t,
        price,
        size,
        coalesce(conditions, '') as conditions,
        case
            when vendor in ('{{ var('vendors_with_condition_numbers', ['polygon']) | join("', '") }}') then 'number'
            when tape in ('A', 'B') then 'AB'
            else 'C'
        end as coding,
        received_at,
        seq
    from {{ ref('stg_trades') }}
    where {{ in_slice() }}
),

rules as (
    select
        s.coding,
        s.conditions,
        {#- The most restrictive code decides; a code that is not in the table keeps the trade out of prices. #}
        min(c.open_close) = 1 and count(c.code) >= s.codes or s.conditions = '' as sets_open_close,
        min(c.high_low) = 1 and count(c.code) >= s.codes or s.conditions = '' as sets_high_low,
        coalesce(min(c.volume), 1) = 1 as counts
    from (
        select distinct
            coding,
            conditions,
            length(conditions) - length(replace(conditions, ',', '')) + 1 as codes
        from trades
    ) as s
    left join {{ ref('sale_conditions') }} as c
        on c.coding = s.coding and ',' || s.conditions || ',' like '%,' || c.code || ',%'
    group by s.coding, s.conditions, s.codes
),

pieces as (
    select
        t.symbol,
        t.session,
        t.t - t.t % {{ step.seconds }}000000000 as start,
        {{ first_by('t.price', ['t.t', 't.received_at', 't.seq'], 'r.sets_open_close') }} as open,
        max(case when r.sets_high_low then t.price end) as high,
        min(case when r.sets_high_low then t.price end) as low,
        {{ last_by('t.price', ['t.t', 't.received_at', 't.seq'], 'r.sets_open_close') }} as close,
        sum(case when r.counts then t.size end) as volume,
        sum(case when r.counts then t.size * t.price end) as traded,
        count(case when r.counts then 1 end) as trade_count
    from trades as t
    inner join rules as r on r.coding = t.coding and r.conditions = t.conditions
    group by t.symbol, t.session, t.t - t.t % {{ step.seconds }}000000000
),

bars as (
    {%- for interval in intervals %}
    {%- set length = interval_seconds(interval) ~ '000000000' %}
    select
        symbol,
        session,
        start - start % {{ length }} as start,
        '{{ interval }}' as "interval",
        {{ first_by('open', ['start'], 'open is not null') }} as open,
        max(high) as high,
        min(low) as low,
        {{ last_by('close', ['start'], 'close is not null') }} as close,
        sum(volume) as volume,
        sum(traded) as traded,
        sum(trade_count) as trade_count
    from pieces
    group by symbol, session, start - start % {{ length }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    symbol,
    session,
    {{ moment('start') }} as ts,
    "interval",
    open,
    high,
    low,
    close,
    volume,
    cast(trade_count as bigint) as trade_count,
    traded / nullif(volume, 0) as vwap
from bars
where open is not null
