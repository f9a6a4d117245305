{# No two rows of a model have the same grain. Of models with a session only those touched since the last run are looked at. #}
{% test grain(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as copies
    from {{ model }}
    {%- set tested = tp_run('tested') if execute else 'all' -%}
    {%- if 'session' in columns and tested is not string %}
    where {{ tp_sessions(tested, none) }}
    {%- endif %}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
