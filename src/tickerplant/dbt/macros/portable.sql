{# What DuckDB and PostgreSQL say differently. #}

{% macro one_of_each(relation, key, order, where='true', columns='*') %}
    {{- adapter.dispatch('one_of_each', 'tickerplant')(relation, key, order, where, columns) -}}
{% endmacro %}

{% macro duckdb__one_of_each(relation, key, order, where, columns) -%}
    select {{ columns }} from {{ relation }} where {{ where }}
    qualify row_number() over (partition by {{ key | join(', ') }} order by {{ order }}) = 1
{%- endmacro %}

{% macro postgres__one_of_each(relation, key, order, where, columns) -%}
    select distinct on ({{ key | join(', ') }}) {{ columns }} from {{ relation }} where {{ where }}
    order by {{ key | join(', ') }}, {{ order }}
{%- endmacro %}

{# The running product of a float, exact where the factors are; `over` is a window clause. #}
{% macro running_product(expression, over) %}
    {{- adapter.dispatch('running_product', 'tickerplant')(expression, over) -}}
{% endmacro %}

{% macro duckdb__running_product(expression, over) -%}
    product({{ expression }}) over ({{ over }})
{%- endmacro %}

{% macro postgres__running_product(expression, over) -%}
    "{{ target.schema }}"._product({{ expression }}) over ({{ over }})
{%- endmacro %}

{# Trades in their present state, or in the state known at the variable `known_at`. #}
{% macro present_trades() %}
    {#- The sources are named so that dbt knows of them. -#}
    {%- set _ = [source('tickerplant', 'trades'), source('tickerplant', 'trade_corrections')] -%}
    {%- if var('known_at') -%}
        {{ tp_plant('trades_known_at') }}(timestamptz '{{ var("known_at") }}')
    {%- else -%}
        {{ tp_plant('trades_latest') }}
    {%- endif -%}
{% endmacro %}

{% macro tp_plant(name) -%}
    {{ source('tickerplant', 'trades').incorporate(path={'identifier': name}) }}
{%- endmacro %}
