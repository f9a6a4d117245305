"""Who may do what: two group roles with least rights, given to login users by `grant tickerplant_reader to ...`.

`tickerplant_reader` reads every table, view and function of the schema. `tickerplant_writer` is for a loader: it reads,
inserts rows, updates small tables that are merged, and makes the partition of a new day through a function that runs
with the owner's rights, as only an owner may attach one; another such function has a session maintained again that gets
late rows. Neither deletes, truncates, drops or changes a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from tickerplant.errors import Fatal
from tickerplant.schema import quoted
from tickerplant.stores.postgres_link import Link, lock_key, named, raw
from tickerplant.stores.postgres_marks import LATE
from tickerplant.stores.postgres_partitions import MAKE_PARTITION
from tickerplant.stores.postgres_touched import TOUCH
from tickerplant.tables import TABLES

READER, WRITER = "tickerplant_reader", "tickerplant_writer"

_GROUND = """select current_user::text, d.datname::text,
    coalesce(pg_get_userbyid(c.relowner), pg_get_userbyid(n.nspowner), current_user)::text,
    r.rolsuper or r.rolcreaterole, pg_has_role(d.datdba, 'member')
from pg_database d join pg_roles r on r.rolname = current_user
left join pg_namespace n on n.nspname = $1
left join pg_class c on c.relnamespace = n.oid and c.relname = 'positions'
where d.datname = current_database()"""
_FUNCTION = """create or replace function {schema}.{name}(parent text, day date, low timestamptz, high timestamptz)
returns void language plpgsql security definer set search_path = {schema}, pg_temp as $make$
declare
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
    ts name;
    limits text;
begin
    select a.attname into ts
    from pg_partitioned_table p
    join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = to_regclass(quote_ident(parent)) and p.partstrat = 'r';
    if ts is null then
        raise exception '%: expected a table of ours divided by day', parent;
    end if;
    if abs(extract(epoch from low - day::timestamp at time zone 'UTC')) > 86400
        or abs(extract(epoch from high - low)) > 2 * 86400 then
        raise exception '%: expected the span of one day, was % to %', part, low, high;
    end if;
    limits := format('session = %L and %I is not null', day, ts)
        || case when low is null then '' else format(' and %I >= %L', ts, low) end
        || case when high is null then '' else format(' and %I < %L', ts, high) end;
    execute format('create table %I (like %I including defaults, check (%s))', part, parent, limits);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)', parent, part,
        coalesce(quote_literal(low), 'minvalue'), coalesce(quote_literal(high), 'maxvalue'));
end $make$"""
_OURS_ONLY = """do $ours$ declare one text; begin
    for one in select format('%I.%I', n.nspname, c.relname)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = {literal} and c.relkind in ('r', 'p') and c.relname like '\\_%'
    loop
        execute 'revoke insert, update on ' || one || ' from {writer}';
    end loop;
end $ours$"""


@dataclass(frozen=True)
class _Ground:
    """Who asks, in which database, who owns the tables, and what the one who asks may do."""

    user: str
    database: str
    owner: str
    may_create: bool
    may_admit: bool
    missing: tuple[str, ...]


def statements(link: Link, schema: str) -> list[str]:
    """The SQL that makes the roles and their rights what they should be; safe to run again."""
    return _statements(_ground(link, schema), schema)


def grant(link: Link, schema: str, where: str) -> None:
    """Run it, in one transaction. Raises Fatal that says what is missing when this user may not."""
    with named(where):
        ground = _ground(link, schema)
        if ground.missing and not ground.may_create:
            raise Fatal(
                f"{where}: expected a user who may create roles, was {ground.user}; do let an administrator run "
                f"`{'; '.join(_create(role) for role in ground.missing)}` and try again"
            )
        with link.transaction():
            link.execute("select pg_advisory_xact_lock($1)", [lock_key("migrate", schema)])
            _check_owner(link, ground, schema, where)
            for statement in _statements(ground, schema):
                link.execute(raw(statement))


def are_granted(link: Link, schema: str) -> bool:
    """Whether the schema has been opened to the roles before."""
    row = link.execute(
        "select bool_or(has_schema_privilege(r.oid, n.oid, 'usage')) from pg_roles r, pg_namespace n "
        "where r.rolname = $1 and n.nspname = $2",
        [WRITER, schema],
    ).fetchone()
    return bool(row and row[0])


def _ground(link: Link, schema: str) -> _Ground:
    row = link.execute(raw(_GROUND), [schema]).fetchone()
    assert row is not None
    there = {r[0] for r in link.execute("select rolname from pg_roles where rolname = any($1)", [[READER, WRITER]])}
    user, database, owner, may_create, may_admit = row
    missing = tuple(role for role in (READER, WRITER) if role not in there)
    return _Ground(user, database, owner, may_create, may_admit, missing)


def _check_owner(link: Link, ground: _Ground, schema: str, where: str) -> None:
    row = link.execute("select pg_has_role($1, 'member')", [ground.owner]).fetchone()
    if not (row and row[0]):
        raise Fatal(
            f"{where}: expected {ground.owner}, who owns schema {schema}, or a member of it, was {ground.user}; "
            "do hand what `tickerplant init --roles --plan` prints to an administrator"
        )


def _create(role: str) -> str:
    return f"create role {role} nologin"


def _statements(ground: _Ground, schema: str) -> list[str]:
    become = ground.owner != ground.user
    return [
        *(_create(role) for role in ground.missing),
        *(_database(ground.database) if ground.may_admit else ()),
        *([f"set role {quoted(ground.owner)}"] if become else ()),
        *_schema(schema),
        *(["reset role"] if become else ()),
    ]


def _database(name: str) -> list[str]:
    return [
        f"grant connect on database {quoted(name)} to {READER}, {WRITER}",
        f"grant temporary on database {quoted(name)} to {WRITER}",
    ]


def _schema(schema: str) -> list[str]:
    inside, both = f"in schema {quoted(schema)}", f"{READER}, {WRITER}"
    lent_functions = [f"{quoted(schema)}.{name}" for name in (MAKE_PARTITION, LATE, TOUCH)]
    merged = ", ".join(f"{quoted(schema)}.{quoted(t.name)}" for t in TABLES.values() if t.mode == "merge")
    future = f"alter default privileges {inside} grant"
    return [
        _FUNCTION.format(schema=quoted(schema), name=MAKE_PARTITION.partition("(")[0]),
        f"grant usage on schema {quoted(schema)} to {both}",
        f"revoke all on all tables {inside} from {both}",
        f"grant select on all tables {inside} to {both}",
        f"grant insert on all tables {inside} to {WRITER}",
        _OURS_ONLY.format(literal=_literal(schema), writer=WRITER),
        f"grant update on {merged} to {WRITER}",
        f"grant execute on all functions {inside} to {both}",
        *(f"revoke execute on function {lent} from public, {READER}" for lent in lent_functions),
        f"{future} select on tables to {both}",
        f"{future} insert on tables to {WRITER}",
        f"{future} execute on functions to {both}",
    ]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
