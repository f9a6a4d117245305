{#- What Spark says differently from DuckDB and PostgreSQL: `spark__<name>` stands for the macro <name> of the dbt project. -#}

{% macro spark__nanoseconds(ts, ns) -%} (unix_micros({{ ts }}) * 1000 + {{ ns }}) {%- endmacro %}

{% macro spark__moment(nanoseconds) -%} timestamp_micros(({{ nanoseconds }}) div 1000) {%- endmacro %}

{#- DuckDB and PostgreSQL leave nulls of `value` out, or order them last; Spark would take them. -#}
{% macro spark__first_by(value, keys, condition) -%}
min_by({{ value }}, struct({{ keys | join(', ') }})) filter (where ({{ condition }}) and {{ value }} is not null)
{%- endmacro %}

{% macro spark__last_by(value, keys, condition) -%}
max_by({{ value }}, struct({{ keys | join(', ') }})) filter (where ({{ condition }}) and {{ value }} is not null)
{%- endmacro %}

{% macro spark__each_from_one(last) -%}
explode(sequence(cast(1 as bigint), cast({{ last }} as bigint)))
{%- endmacro %}

{% macro spark__clock(session, hour, minute) -%}
make_timestamp_ltz(
    year({{ session }}), month({{ session }}), day({{ session }}), {{ hour }}, {{ minute }}, 0, 'America/New_York')
{%- endmacro %}

{% macro spark__regular_open(session) -%} {{ spark__clock(session, 9, 30) }} {%- endmacro %}

{% macro spark__regular_close(session) -%}
{%- set early = var('early_closes', []) -%}
{%- if early -%}
case when {{ session }} in (date '{{ early | join("', date '") }}') then {{ spark__clock(session, 13, 0) }}
    else {{ spark__clock(session, 16, 0) }} end
{%- else -%}
{{ spark__clock(session, 16, 0) }}
{%- endif -%}
{%- endmacro %}

{% macro spark__one_of_each(relation, key, order, where='true', columns='*') -%}
select {{ '* except (_place)' if columns == '*' else columns }}
from (
    select *, row_number() over (partition by {{ key | join(', ') }} order by {{ order }}) as _place
    from {{ relation }} where {{ where }}
) where _place = 1
{%- endmacro %}

{% macro spark__running_product(expression, over) -%}
aggregate(collect_list({{ expression }}) over ({{ over }}), cast(1 as double), (product, factor) -> product * factor)
{%- endmacro %}

{% macro spark__best_rank_nearby(content) -%}
min(rank) over (partition by {{ content }} order by ex_date range between 5 preceding and 5 following)
{%- endmacro %}

{#- `lag` wants a constant. The last row of the block before is the one with the greatest place in it. -#}
{% macro spark__last_of_block(column, back) -%}
max_by({{ column }}, place)
    over (partition by symbol order by block range between {{ back }} preceding and {{ back }} preceding)
{%- endmacro %}

{% macro spark__with_earlier_blocks(column, ratio) -%}
{%- set rows = block_rows() | int -%}
({{ column }} + power({{ real(ratio) }}, place + 1) * (
    coalesce({{ spark__last_of_block(column, rows) }}, 0)
    + {{ real(ratio ** rows) }} * coalesce({{ spark__last_of_block(column, 2 * rows) }}, 0)
    + {{ real(ratio ** (2 * rows)) }} * coalesce({{ spark__last_of_block(column, 3 * rows) }}, 0)
))
{%- endmacro %}
