{{ config(materialized='ephemeral') }}
{#- `sale_conditions` (var): [[name, bar_open_close, bar_high_low, volume], ...] in place of the SIPs' rule of that name. -#}
{%- set own = {} -%}
{%- for rule in var('sale_conditions', []) -%}{%- do own.update({rule[0]: rule[1:]}) -%}{%- endfor -%}
{%- set rows = [] -%}
{%- for name, cta, utp, numbers, open_close, high_low, volume, bar_open_close, bar_high_low in sale_condition_rules() -%}
{%- set bar = own.get(name, [bar_open_close, bar_high_low, volume]) -%}
{%- for coding, codes in [('AB', cta), ('C', utp), ('number', numbers)] -%}
{%- for code in codes -%}
{%- do rows.append("('" ~ [coding, code, name] | join("', '") ~ "', " ~ [open_close, high_low, volume] | join(', ')
    ~ ', ' ~ bar | join(', ') ~ ')') -%}
{%- endfor -%}
{%- endfor -%}
{%- endfor -%}
select
    coding,
    code,
    name,
    sip_open_close,
    sip_high_low,
    sip_volume,
    open_close,
    high_low,
    volume
from (values
    {{ rows | join(',\n    ') }}
) as v (coding, code, name, sip_open_close, sip_high_low, sip_volume, open_close, high_low, volume)
