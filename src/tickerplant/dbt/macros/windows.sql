{#- Rolling windows and exponential averages whose cost does not grow with the window, on both stores.

    A window over n rows is put together from shorter ones (`lag` of a sum of 5 gives 10, of 10 gives 20, ...): nothing is
    subtracted, so nothing cancels, and PostgreSQL, which adds a frame up anew for each row, reads each row a few times
    only. Every macro that says `over w` needs a window `w`: partition by symbol, in the order of sessions. Rows before the
    first are null, so a result is null until its window is full. -#}

{#- Rows of prices with a close; the others count in no window. -#}
{% macro with_close(prices) -%} (select * from {{ prices }} where split_close is not null) {%- endmacro %}

{#- A double precision literal (PostgreSQL reads 0.5 as numeric). -#}
{% macro real(number) -%} cast({{ number }} as double precision) {%- endmacro %}

{#- Sum of the `times` values that lie `step` rows apart, the present one first. -#}
{% macro lagged_sum(value, step, times) -%}
({{ value }}{% for i in range(1, times) %} + lag({{ value }}, {{ i * step }}) over w{% endfor %})
{%- endmacro %}

{#- Highest or lowest (`greatest`, `least`) of the same values; null when one of them is. -#}
{% macro lagged_extreme(extreme, value, step, times) -%}
case when lag({{ value }}, {{ (times - 1) * step }}) over w is not null then {{ extreme }}({{ value }}
{%- for i in range(1, times) %}, lag({{ value }}, {{ i * step }}) over w{% endfor %}) end
{%- endmacro %}

{#- Sum of squared deviations of 5 rows from their mean (`mean` is the expression of that mean). -#}
{% macro deviations_of_5(value, mean) -%}
(power({{ value }} - {{ mean }}, 2){% for i in range(1, 5) %} + power(lag({{ value }}, {{ i }}) over w - {{ mean }}, 2){% endfor %})
{%- endmacro %}

{#- The same of `times` windows of `rows` rows one after the other, from each window's deviations and mean and the mean of
    all (Chan's combination): no difference of large sums. -#}
{% macro deviations_together(deviations, mean, all_mean, rows, times) -%}
({{ lagged_sum(deviations, rows, times) }} + {{ rows }} * (power({{ mean }} - {{ all_mean }}, 2)
{%- for i in range(1, times) %} + power(lag({{ mean }}, {{ i * rows }}) over w - {{ all_mean }}, 2){% endfor %}))
{%- endmacro %}

{#- Length of the blocks of the exponential averages: 0.8 ** -512 still is a number. -#}
{% macro block_rows() -%} 512 {%- endmacro %}

{#- Sum of ratio ** age * value over the rows of the present block up to this one. Needs columns `block` and `place` (0 to
    511) and a window `b`: partition by symbol and block, in the order of sessions. -#}
{% macro decayed(value, ratio) -%}
(sum(({{ value }}) * power({{ real(ratio) }}, -place)) over b * power({{ real(ratio) }}, place))
{%- endmacro %}

{#- The same over all rows up to this one, from the column with the present block's. Three earlier blocks count; what is
    older weighs less than 1e-50. -#}
{% macro with_earlier_blocks(column, ratio) -%}
{%- set rows = block_rows() | int -%}
({{ column }} + power({{ real(ratio) }}, place + 1) * (
    coalesce(lag({{ column }}, place + 1) over w, 0)
    + {{ real(ratio ** rows) }} * coalesce(lag({{ column }}, place + 1 + {{ rows }}) over w, 0)
    + {{ real(ratio ** (2 * rows)) }} * coalesce(lag({{ column }}, place + 1 + {{ 2 * rows }}) over w, 0)
))
{%- endmacro %}

{#- Values of Wilder's average of 14 as weights: those before the 14th value (row `first` from 0) weigh there what it does,
    so that the average starts with their mean. -#}
{% macro wilder_14(value, ratio, first) -%}
case when n < {{ first }} then {{ value }} * power({{ real(ratio) }}, n - {{ first }}) else {{ value }} end
{%- endmacro %}

{#- ln(a / b); null where one of them is not positive. -#}
{% macro log_ratio(a, b) -%}
ln(case when {{ a }} > 0 and {{ b }} > 0 then {{ a }} / {{ b }} end)
{%- endmacro %}

{#- Square root; null of a negative number, which only prices out of order (a close above the high) lead to. -#}
{% macro root(value) -%}
sqrt(case when {{ value }} >= 0 then {{ value }} end)
{%- endmacro %}
