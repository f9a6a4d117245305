{{ config(grain=['symbol', 'ex_date'], slice='whole') }}
with reached as (
    select max(session) as session from {{ ref('stg_daily_bars') }}
),
dividends as (
    select symbol, ex_date, sum(amount) as amount from {{ ref('stg_dividends') }} group by symbol, ex_date
),
days as (
    select symbol, ex_date from {{ ref('stg_splits') }}
    union
    select symbol, ex_date from dividends
),
before as (
    select
        d.symbol,
        d.ex_date,
        (
            select max(b.session) from {{ ref('stg_daily_bars') }} b
            where b.symbol = d.symbol and b.session < d.ex_date
        ) as session
    from dividends d
),
steps as (
    select
        days.symbol,
        days.ex_date,
        s.split_from,
        s.split_to,
        d.amount as dividend,
        b.close as close_before,
        coalesce(s.split_from / s.split_to, 1.0) as split_step,
        case when d.amount < b.close and d.amount > 0 then 1.0 - d.amount / b.close else 1.0 end as dividend_step
    from days
    join reached on days.ex_date <= reached.session
    left join {{ ref('stg_splits') }} s on s.symbol = days.symbol and s.ex_date = days.ex_date
    left join dividends d on d.symbol = days.symbol and d.ex_date = days.ex_date
    left join before on before.symbol = days.symbol and before.ex_date = days.ex_date
    left join {{ ref('stg_daily_bars') }} b on b.symbol = before.symbol and b.session = before.session
)
select
    symbol,
    ex_date,
    lag(ex_date) over (partition by symbol order by ex_date) as valid_from,
    split_from,
    split_to,
    dividend,
    close_before,
    split_step,
    dividend_step,
    {{ running_product('split_step', 'partition by symbol order by ex_date desc rows unbounded preceding') }} as split_factor,
    {{ running_product('dividend_step', 'partition by symbol order by ex_date desc rows unbounded preceding') }} as dividend_factor
from steps
