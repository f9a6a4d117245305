{{ config(grain=['universe', 'symbol', 'valid_from'], slice='whole') }}
{#- Lists of a universe are numbered; a symbol that is on consecutive lists is one membership. -#}
with lists as (
    select
        universe,
        as_of,
        row_number() over (partition by universe order by as_of) as number,
        lead(as_of) over (partition by universe order by as_of) as next_list
    from (select distinct universe, as_of from {{ ref('stg_universe') }}) as dates
),

members as (
    select
        u.universe,
        u.symbol,
        u.name,
        u.weight,
        u.as_of,
        l.next_list,
        l.number - row_number() over (partition by u.universe, u.symbol order by u.as_of) as stretch
    from {{ ref('stg_universe') }} as u
    inner join lists as l on l.universe = u.universe and l.as_of = u.as_of
),

bounds as (
    select
        universe,
        symbol,
        stretch,
        min(as_of) as valid_from,
        max(as_of) as last_list,
        count(*) as lists
    from members
    group by universe, symbol, stretch
)

select
    b.universe,
    b.symbol,
    b.valid_from,
    m.next_list as valid_to,
    b.last_list,
    b.lists,
    m.name,
    m.weight
from bounds as b
inner join members as m
    on m.universe = b.universe and m.symbol = b.symbol and m.stretch = b.stretch and m.as_of = b.last_list
