{# Whether a row was known at the variable `known_at`; always, when it is not set. #}
{% macro known(prefix='') -%}
    {%- if var('known_at') -%}
        {{ prefix }}received_at <= timestamptz '{{ var("known_at") }}'
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{# The place of a vendor in the variable `vendors`, 0 first; vendors not named come last. #}
{% macro vendor_rank(column='vendor') -%}
    case {{ column }}
    {%- for name in var('vendors') %} when '{{ name }}' then {{ loop.index0 }}{% endfor %} else {{ var('vendors') | length }} end
{%- endmacro %}

{# The order in which rows of several vendors and feeds are preferred: vendor, then the consolidated tape, then names. #}
{% macro preference(prefix='') -%}
    {{ vendor_rank(prefix ~ 'vendor') }}, {{ prefix }}vendor, case {{ prefix }}feed when 'sip' then 0 else 1 end, {{ prefix }}feed
{%- endmacro %}

{# Split factors and dividends: rows of the same content that a preferred vendor dates up to five days apart are one. #}
{% macro without_near_repeats(relation, same) -%}
    select a.* from {{ relation }} a
    where not exists (
        select 1 from {{ relation }} b
        where b.symbol = a.symbol and b.rank < a.rank and {{ same }}
            and b.ex_date between a.ex_date - 5 and a.ex_date + 5
    )
{%- endmacro %}
