{#- What differs between the stores for ticks: times as numbers, first and last by order. -#}

{#- Event time as nanoseconds since 1970, bigint, from `ts` and `ns`. -#}
{% macro nanoseconds(ts, ns) -%} {{ adapter.dispatch('nanoseconds', 'tickerplant')(ts, ns) }} {%- endmacro %}
{% macro duckdb__nanoseconds(ts, ns) -%} (epoch_us({{ ts }}) * 1000 + {{ ns }}) {%- endmacro %}
{% macro postgres__nanoseconds(ts, ns) -%}
(cast(extract(epoch from {{ ts }}) * 1000000 as bigint) * 1000 + {{ ns }})
{%- endmacro %}

{#- The moment of a number of nanoseconds that are whole seconds. -#}
{% macro moment(nanoseconds) -%} {{ adapter.dispatch('moment', 'tickerplant')(nanoseconds) }} {%- endmacro %}
{% macro duckdb__moment(nanoseconds) -%} make_timestamptz({{ nanoseconds }} // 1000) {%- endmacro %}
{% macro postgres__moment(nanoseconds) -%} to_timestamp({{ nanoseconds }} / 1000000000) {%- endmacro %}

{#- `value` of the first (`last_by`: last) row of a group for which `condition` holds, in the order of `keys`. -#}
{% macro first_by(value, keys, condition) -%} {{ adapter.dispatch('first_by', 'tickerplant')(value, keys, condition) }} {%- endmacro %}
{% macro last_by(value, keys, condition) -%} {{ adapter.dispatch('last_by', 'tickerplant')(value, keys, condition) }} {%- endmacro %}
{% macro duckdb__first_by(value, keys, condition) -%}
arg_min({{ value }}, row({{ keys | join(', ') }})) filter (where {{ condition }})
{%- endmacro %}
{% macro duckdb__last_by(value, keys, condition) -%}
arg_max({{ value }}, row({{ keys | join(', ') }})) filter (where {{ condition }})
{%- endmacro %}
{% macro postgres__first_by(value, keys, condition) -%}
(array_agg({{ value }} order by {{ keys | join(', ') }}) filter (where {{ condition }}))[1]
{%- endmacro %}
{% macro postgres__last_by(value, keys, condition) -%}
(array_agg({{ value }} order by {{ keys | join(' desc, ') }} desc) filter (where {{ condition }}))[1]
{%- endmacro %}

{#- One row for each whole number from 1 to `last`, in a select list. -#}
{% macro each_from_one(last) -%} {{ adapter.dispatch('each_from_one', 'tickerplant')(last) }} {%- endmacro %}
{% macro duckdb__each_from_one(last) -%} unnest(generate_series(1, cast({{ last }} as bigint))) {%- endmacro %}
{% macro postgres__each_from_one(last) -%} generate_series(1, {{ last }}) {%- endmacro %}

{#- Seconds of an interval: `30s`, `1m`, `2h`. -#}
{% macro interval_seconds(interval) -%}
{{ (interval[:-1] | int) * {'s': 1, 'm': 60, 'h': 3600}[interval[-1]] }}
{%- endmacro %}

{#- Start and end of regular hours of a session. `early_closes` (var): sessions that end at 13:00, ISO dates. -#}
{% macro regular_open(session) -%} (({{ session }} + time '09:30') at time zone 'America/New_York') {%- endmacro %}
{% macro regular_close(session) -%}
{%- set early = var('early_closes', []) -%}
{%- if early -%}
(({{ session }} + case when {{ session }} in (date '{{ early | join("', date '") }}')
    then time '13:00' else time '16:00' end) at time zone 'America/New_York')
{%- else -%}
(({{ session }} + time '16:00') at time zone 'America/New_York')
{%- endif -%}
{%- endmacro %}
