{# A mart of PostgreSQL: computed, compared and replaced in one transaction, with the ledger of the marts. #}
{% materialization mart, adapter='postgres' %}
    {%- do tp_do('select 1') -%}
    {%- set how = tp_mode() -%}
    {%- set found = run_query("select count(*) from pg_class where relkind = 'r' and oid = to_regclass('" ~ this ~ "')").rows[0][0] -%}
    {%- set mode = how.mode if found else 'full' -%}
    {%- if mode == 'none' -%}
        {%- set rows = 0 -%}
    {%- elif mode == 'full' -%}
        {%- set rows = tp_build_full(how, found) -%}
    {%- else -%}
        {%- set rows = tp_build_slices(how, mode) -%}
    {%- endif -%}
    {%- do store_raw_result(name='main', message='mart ' ~ mode ~ ' ' ~ rows, code='OK', rows_affected=rows | string) -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}

{% macro tp_do(sql) %}
    {%- set answer = adapter.execute(sql, auto_begin=true, fetch=false) -%}
    {{ return(answer[0].rows_affected) }}
{% endmacro %}

{% macro tp_ledger(name) -%}
    {{ this.incorporate(path={'identifier': name}) }}
{%- endmacro %}

{% macro tp_build_full(how, found) %}
    {%- set sql = 'select * from (' ~ compiled_code ~ ') computed' ~ tp_order() -%}
    {%- do tp_do('create temp table _probe on commit drop as ' ~ compiled_code ~ ' with no data') -%}
    {%- if found and tp_same_columns() -%}
        {%- do tp_do('delete from ' ~ this) -%}
        {%- set rows = tp_do('insert into ' ~ this ~ ' ' ~ sql) -%}
    {%- else -%}
        {%- set aside = tp_ledger('_new_' ~ model.name) -%}
        {%- do tp_do('drop table if exists ' ~ aside) -%}
        {%- do tp_do('create table ' ~ aside ~ ' as ' ~ sql) -%}
        {%- set rows = run_query('select count(*) from ' ~ aside).rows[0][0] -%}
        {%- if config.get('grain') -%}
            {%- do tp_do('create unique index on ' ~ aside ~ ' (' ~ config.get('grain') | join(', ') ~ ')') -%}
        {%- endif -%}
        {%- do tp_drop(this) -%}
        {%- do tp_do('alter table ' ~ aside ~ ' rename to "' ~ model.name ~ '"') -%}
    {%- endif -%}
    {%- do tp_do('analyze ' ~ this) -%}
    {%- set build = tp_note(how, 'full', rows) -%}
    {%- do tp_do("insert into " ~ tp_changes() ~ " values ('" ~ model.name ~ "', " ~ build ~ ", '*', date '0001-01-01')") -%}
    {{ return(rows) }}
{% endmacro %}

{% macro tp_order() -%}
    {%- if config.get('grain') %} order by {{ config.get('grain') | join(', ') }}{% endif -%}
{%- endmacro %}

{# Whether the table has the columns of `_probe`, in their order. #}
{% macro tp_same_columns() %}
    {%- set columns = "select attname, atttypid, row_number() over (order by attnum) as place from pg_attribute where attnum > 0 and not attisdropped and attrelid = " -%}
    {%- set answer = run_query(
        "select count(*) from (" ~ columns ~ "'" ~ this ~ "'::regclass) a full join (" ~ columns
        ~ "'pg_temp._probe'::regclass) b using (attname, atttypid, place) where a.* is null or b.* is null"
    ) -%}
    {{ return(answer.rows[0][0] == 0) }}
{% endmacro %}

{# Drop what has this name, and the views over it, which this run makes again. #}
{% macro tp_drop(relation) %}
    {%- set kind = run_query("select relkind::text from pg_class where oid = to_regclass('" ~ relation ~ "')").rows -%}
    {%- if kind -%}
        {%- do tp_do('drop ' ~ ('view' if kind[0][0] == 'v' else 'table') ~ ' ' ~ relation ~ ' cascade') -%}
    {%- endif -%}
{% endmacro %}

{% macro tp_build_slices(how, mode) %}
    {%- set within = '' -%}
    {%- if mode == 'symbols' -%}
        {%- do tp_do('create temp table _pending on commit drop as ' ~ how.pending) -%}
        {%- do tp_do('analyze _pending') -%}
        {%- set within = ' join _pending p on p.symbol = t.symbol and t.session >= p.session' -%}
    {%- elif mode == 'sessions' -%}
        {%- set within = ' where ' ~ how.where -%}
    {%- endif -%}
    {%- do tp_do('create temp table _new on commit drop as select t.* from (' ~ compiled_code ~ ') t' ~ (within if mode == 'symbols' else '')) -%}
    {%- do tp_do('create temp table _old on commit drop as select t.* from ' ~ this ~ ' t' ~ within) -%}
    {%- do tp_do('create temp table _gone on commit drop as select * from _old except all select * from _new') -%}
    {%- set rows = tp_do('create temp table _come on commit drop as select * from _new except all select * from _old') -%}
    {%- set rows = run_query('select count(*) from _come').rows[0][0] -%}
    {%- do tp_replace() -%}
    {%- set build = tp_note(how, mode, rows) -%}
    {%- do tp_note_changes(build) -%}
    {{ return(rows) }}
{% endmacro %}

{% macro tp_replace() %}
    {%- set grain = config.get('grain', []) -%}
    {%- if grain -%}
        {%- do tp_do('analyze _gone') -%}
        {%- set same = [] -%}
        {%- for column in grain -%}{%- do same.append('t.' ~ column ~ ' = g.' ~ column) -%}{%- endfor -%}
        {%- do tp_do('delete from ' ~ this ~ ' t using _gone g where ' ~ same | join(' and ')) -%}
        {%- do tp_do('insert into ' ~ this ~ ' select * from _come' ~ tp_order()) -%}
    {%- else -%}
        {%- do tp_do('delete from ' ~ this) -%}
        {%- do tp_do('insert into ' ~ this ~ ' select * from _new') -%}
    {%- endif -%}
{% endmacro %}

{% macro tp_note_changes(build) %}
    {%- set names = run_query("select attname from pg_attribute where attrelid = 'pg_temp._come'::regclass and attnum > 0").columns[0].values() -%}
    {%- set symbol = 'symbol' if 'symbol' in names else "'*'" -%}
    {%- set session = 'min(session)' if 'session' in names else "date '0001-01-01'" -%}
    {%- do tp_do(
        "insert into " ~ tp_changes() ~ " select '" ~ model.name ~ "', " ~ build ~ ", " ~ symbol ~ ", " ~ session
        ~ " from (select * from _gone union all select * from _come) d group by 3"
    ) -%}
{% endmacro %}

{# Note what the mart was built from; returns the number of this build. #}
{% macro tp_note(how, mode, rows) %}
    {%- set names = [] -%}
    {%- for name in how.inputs.marts -%}{%- do names.append("'" ~ name ~ "'") -%}{%- endfor -%}
    {%- set tables = [] -%}
    {%- for name in how.inputs.sources -%}{%- do tables.append("'" ~ name ~ "'") -%}{%- endfor -%}
    {%- set seen = "(select jsonb_object_agg(name, build) from " ~ tp_ledger('_marts') ~ " where name in (" ~ names | join(', ') ~ "))" if names else 'null' -%}
    {%- set answer = run_query(
        "insert into " ~ tp_ledger('_marts') ~ " as m (name, build, signature, snapshot, tables, seen) values ('"
        ~ model.name ~ "', 1, '" ~ tp_signature() ~ "', '" ~ tp_run('snapshot') ~ "', array[" ~ tables | join(', ') ~ "]::text[], coalesce("
        ~ seen ~ ", '{}'::jsonb)) on conflict (name) do update set build = m.build + 1, signature = excluded.signature, "
        ~ "snapshot = excluded.snapshot, tables = excluded.tables, seen = excluded.seen, built_at = now() returning build"
    ) -%}
    {{ return(answer.rows[0][0]) }}
{% endmacro %}

{# A view is replaced when its SQL is another one. #}
{% materialization view, adapter='postgres' %}
    {%- do tp_do('select 1') -%}
    {%- set digest = local_md5(compiled_code) -%}
    {%- set held = run_query(
        "select 1 from " ~ tp_ledger('_marts') ~ " where name = '" ~ model.name ~ "' and build = 0 and signature = '" ~ digest
        ~ "' and to_regclass('" ~ this ~ "') is not null"
    ).rows -%}
    {%- if not held -%}
        {%- do tp_drop(this) -%}
        {%- do tp_do('create view ' ~ this ~ ' as ' ~ compiled_code) -%}
        {%- do tp_do(
            "insert into " ~ tp_ledger('_marts') ~ " (name, build, signature) values ('" ~ model.name ~ "', 0, '" ~ digest
            ~ "') on conflict (name) do update set build = 0, signature = excluded.signature, built_at = now()"
        ) -%}
    {%- endif -%}
    {%- do store_raw_result(name='main', message='view', code='OK', rows_affected='0') -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmaterialization %}
