{#
What a mart has to build again. The ledger of the store says which sessions of which tables were touched since the mart
was built (`plan` of `tp_run`), the ledger of the marts which symbols changed from which session on (table `_changes`).
#}

{# What the program tells of this run: `plan`, `signature`, `snapshot`, `tested`. Not by variables: dbt would parse all anew. #}
{% macro tp_run(name) %}
    {{ return(fromjson(env_var('TICKERPLANT_TRANSFORM', '{}')).get(name)) }}
{% endmacro %}

{% macro tp_changes() -%}
    {{ this.incorporate(path={'identifier': '_changes'}) }}
{%- endmacro %}

{# The tables and marts a model reads, through views. #}
{% macro tp_inputs(unique_id) %}
    {%- set found = {'sources': [], 'marts': []} -%}
    {%- for id in graph.nodes[unique_id].depends_on.nodes -%}
        {%- if id.startswith('source.') -%}
            {%- do found.sources.append(graph.sources[id].name) -%}
        {%- elif id in graph.nodes and graph.nodes[id].config.materialized == 'mart' -%}
            {%- do found.marts.append(graph.nodes[id].name) -%}
        {%- elif id in graph.nodes -%}
            {%- set more = tp_inputs(id) -%}
            {%- do found.sources.extend(more.sources) -%}
            {%- do found.marts.extend(more.marts) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'sources': found.sources | unique | sort, 'marts': found.marts | unique | sort}) }}
{% endmacro %}

{% macro tp_signature() %}
    {{ return(tp_run('signature') ~ '-' ~ model.checksum.checksum[:16]) }}
{% endmacro %}

{# A select of (symbol, session): from that session on the symbol's rows of the marts that this one reads changed. #}
{% macro tp_pending(inputs, seen) -%}
    select symbol, min(session) as session from {{ tp_changes() }} where false
    {%- for mart in inputs.marts %} or (mart = '{{ mart }}' and build > {{ seen.get(mart, -1) }}){% endfor %}
    group by symbol
{%- endmacro %}

{#
How to build this mart: `mode` is full, none, whole (compute all, replace what differs), sessions (`where`) or symbols
(`pending`; `latest` is the last of its sessions).
#}
{% macro tp_mode() %}
    {%- set inputs = tp_inputs(model.unique_id) -%}
    {%- set found = {'mode': 'full', 'inputs': inputs, 'where': 'true', 'pending': none, 'latest': none} -%}
    {%- set known = (tp_run('plan') or {}).get(model.name) -%}
    {%- if not known or known.signature != tp_signature() -%}{{ return(found) }}{%- endif -%}
    {%- set touched = namespace(sessions=[], everything=false) -%}
    {%- for table in inputs.sources -%}
        {%- set days = known.touched.get(table, 'all') -%}
        {%- if days is string -%}{%- set touched.everything = true -%}{%- else -%}{%- do touched.sessions.extend(days) -%}{%- endif -%}
    {%- endfor -%}
    {%- set pending = tp_pending(inputs, known.seen) -%}
    {%- set counts = run_query("select count(*), count(case when symbol = '*' then 1 end), cast(min(session) as varchar), cast(max(session) as varchar) from (" ~ pending ~ ") p").rows[0] if inputs.marts else [0, 0, none, none] -%}
    {%- set slice = config.get('slice', 'whole') -%}
    {%- set is_idle = not touched.everything and not touched.sessions and not counts[0] -%}
    {%- if is_idle -%}
        {%- do found.update({'mode': 'none', 'where': 'false'}) -%}
    {%- elif slice == 'whole' -%}
        {%- do found.update({'mode': 'whole'}) -%}
    {%- elif slice == 'session' and not touched.everything -%}
        {%- do found.update({'mode': 'sessions', 'where': tp_sessions(touched.sessions, counts[2])}) -%}
    {%- elif slice == 'symbol' and not touched.everything and not touched.sessions and not counts[1] -%}
        {%- do found.update({'mode': 'symbols', 'pending': pending, 'latest': counts[3]}) -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}

{% macro tp_sessions(sessions, since) -%}
    ({%- if sessions -%}session in (
    {%- for day in sessions | unique | sort -%}date '{{ day }}'{{ ', ' if not loop.last }}{%- endfor -%}
    ){%- else -%}false{%- endif -%}{%- if since %} or session >= date '{{ since }}'{%- endif -%})
{%- endmacro %}

{# In a mart with slice='session': the condition on `session` that its input has to fulfil. #}
{% macro in_slice() -%}
    {%- if execute and model.config.materialized == 'mart' -%}{{ tp_mode().where }}{%- else -%}true{%- endif -%}
{%- endmacro %}

{#
In a mart with slice='symbol': the input, of changed symbols only when the mart is incremental; with `back` only that
many rows of a symbol before its first changed session, or somewhat more.
#}
{% macro changed(relation, back=none) -%}
    {%- set how = tp_mode() if execute else {'mode': 'full'} -%}
    {%- if how.mode == 'symbols' -%}
        {%- set recent = tp_recent(relation, how, back) if back is not none else {'where': 'true', 'short': ''} -%}
        (
            select i.* from {{ relation }} i join ({{ how.pending }}) c on c.symbol = i.symbol where {{ recent.where }}
            {%- if recent.short %}
            union all
            select i.* from {{ relation }} i where not ({{ recent.where }}) and i.symbol in ({{ recent.short }})
            {%- endif %}
        )
    {%- elif how.mode == 'none' -%}
        (select * from {{ relation }} where false)
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#
From which day on the rows of changed symbols are read to have `back` rows before their first changed session, and the
symbols that have fewer (quoted; a select when they are many), of which all rows are read: they traded seldom, or
changed from an earlier session on than the others. 252 sessions are a year.
#}
{% macro tp_recent(relation, how, back) %}
    {%- if how.latest < '1000' -%}{{ return({'where': 'true', 'short': ''}) }}{%- endif -%}
    {%- set days = (back * 1.46) | round | int + 20 -%}
    {%- set day = modules.datetime.date.fromisoformat(how.latest) - modules.datetime.timedelta(days=days) -%}
    {%- set where = "i.session >= date '" ~ day ~ "'" -%}
    {%- set select = "select c.symbol from (" ~ how.pending ~ ") c left join (select i.symbol, i.session from " ~ relation ~ " i where "
        ~ where ~ ") r on r.symbol = c.symbol and r.session < c.session group by c.symbol having count(r.session) < " ~ back -%}
    {%- set names = [] -%}
    {%- for name in run_query(select ~ " limit 501").columns[0].values() -%}
        {%- do names.append("'" ~ name | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{ return({'where': where, 'short': select if names | length > 500 else names | join(', ')}) }}
{% endmacro %}
