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

{# The best rank among rows of equal content that are dated up to five days apart: they tell of the same event. #}
{% macro best_rank_nearby(content) -%}
    min(rank) over (
        partition by {{ content }} order by ex_date
        range between interval '5 days' preceding and interval '5 days' following
    )
{%- endmacro %}
