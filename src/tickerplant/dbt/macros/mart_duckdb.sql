{# A mart of the lake: computed here, written and committed by tickerplant.transform.lake_run. #}
{% materialization mart, adapter='duckdb' %}
    {%- set how = tp_mode() -%}
    {%- set request = {
        'kind': 'mart',
        'name': model.name,
        'doc': model.description,
        'sql': compiled_code,
        'mode': how.mode,
        'where': how.where,
        'pending': how.pending,
        'inputs': how.inputs,
        'signature': tp_signature(),
        'grain': config.get('grain', []),
        'bucket': config.get('bucket'),
        'slice': config.get('slice', 'whole'),
    } -%}
    {%- do adapter.commit() -%}
    {%- do adapter.store_relation('tickerplant', this, [], '', 'parquet', request) -%}
    {%- call statement('main') -%}select 1{%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb' %}
    {%- call statement('main') -%}
        create or replace view {{ this }} as {{ compiled_code }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {%- do adapter.store_relation('tickerplant', this, [], '', 'view', {
        'kind': 'view', 'name': model.name, 'doc': model.description, 'sql': compiled_code
    }) -%}
    {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmaterialization %}
