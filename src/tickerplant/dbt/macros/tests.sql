{# No two rows of a model have the same grain. Of models with a session only those touched since the last run are looked at. #}
{% test grain(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as copies
    from {{ model }}
    {%- if 'session' in columns and var('tested') is not string %}
    where {{ tp_sessions(var('tested'), none) }}
    {%- endif %}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
