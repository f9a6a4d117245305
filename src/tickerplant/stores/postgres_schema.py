"""The schema in PostgreSQL: numbered steps, forward only, each in one transaction, safe to run twice and at once.

Steps are derived from `tables.py`. When a table's definition changes, its `version` rises and a new step is added; the
steps before it stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tickerplant.errors import Fatal, UsageError
from tickerplant.schema import POSTGRES_TYPES, Column, Table, quoted
from tickerplant.stores.postgres_layout import Layout
from tickerplant.stores.postgres_link import Link, lock_key, named, raw
from tickerplant.stores.postgres_marks import MAKE_LATE
from tickerplant.stores.postgres_touched import MAKE_TOUCH, TOUCHED
from tickerplant.stores.postgres_views import present_views
from tickerplant.stores.quality_views import GRADES, GRADES_SQL
from tickerplant.tables import FETCHED_TABLES, GAPS, JOBS, LIVE_TABLES, POSITIONS, QUALITY, QUALITY_FLAGS, QUARANTINE

SESSION = "session"


@dataclass(frozen=True)
class Step:
    """One migration: its number, what it is for, its statements."""

    number: int
    title: str
    statements: tuple[str, ...]


def has_session(table: Table) -> bool:
    """Whether the store adds a column `session`, the New York date of the event time."""
    return table.time is not None


def column_names(table: Table) -> list[str]:
    """Columns in the order of the database."""
    return [*table.schema.names, *([SESSION] if has_session(table) else [])]


def _column(column: Column) -> str:
    kind = POSTGRES_TYPES[column.type]
    collation = ' collate "C"' if kind == "text" else ""
    return f"    {quoted(column.name)} {kind}{collation}{'' if column.nullable else ' not null'}"


def create_table(table: Table, layout: Layout) -> list[str]:
    """Statements that create a table, without rows and partitions."""
    lines = [_column(c) for c in table.columns]
    if has_session(table):
        lines.append(f"    {SESSION} date not null")
    if table.mode == "merge":
        lines.append(f"    primary key ({', '.join(map(quoted, table.key))})")
    body = ",\n".join(lines)
    if not has_session(table):
        return [f"create table {quoted(table.name)} (\n{body}\n)"]
    return [f"create table {quoted(table.name)} (\n{body}\n){layout.clause(table)}", *layout.after_create(table)]


def create_views(table: Table) -> list[str]:
    """`<table>_latest` and `<table>_known_at(moment)` of a table that keeps revisions."""
    if table.mode != "append" or not table.key:
        return []
    name, key = quoted(table.name), ", ".join(map(quoted, table.key))
    newest = f"order by {key}, received_at desc, seq desc"
    return [
        f"create view {quoted(table.name + '_latest')} as select distinct on ({key}) * from {name} {newest}",
        f"create function {quoted(table.name + '_known_at')}(moment timestamptz) returns setof {name} "
        f"language sql stable parallel safe as $$ select distinct on ({key}) * from {name} "
        f"where received_at <= moment {newest} $$",
    ]


_MAINTAINED = """create table _maintained (
    relation text primary key,
    bytes bigint not null,
    at timestamptz not null default now()
)"""


_RETIRED = """create table _retired (
    relation text,
    session date,
    rows bigint not null,
    at timestamptz not null default now(),
    primary key (relation, session)
)"""


def _by_symbol(table: Table) -> str:
    return f"create index on {quoted(table.name)} (symbol, session)"


def steps(layout: Layout) -> list[Step]:
    """Every step there is, in order."""
    first = (*LIVE_TABLES, GAPS, QUARANTINE, POSITIONS)
    tables = tuple(s for t in first for s in create_table(t, layout))
    views = tuple(s for t in first for s in create_views(t))
    fetched = tuple(s for t in (*FETCHED_TABLES, JOBS) for s in (*create_table(t, layout), *create_views(t)))
    quality = tuple(s for t in (QUALITY, QUALITY_FLAGS) for s in (*create_table(t, layout), _by_symbol(t)))
    return [
        Step(1, "tables", (*layout.before_tables(), *tables)),
        Step(2, "latest and known-at views", views),
        Step(3, "what maintain has done", (_MAINTAINED,)),
        Step(4, "one-minute aggregates, what retention dropped", (_RETIRED, MAKE_LATE, *layout.aggregates())),
        Step(5, "corrected trades, bars by revision", present_views()),
        Step(6, "tables of what is fetched", fetched),
        Step(7, "which sessions were touched", (TOUCHED, MAKE_TOUCH)),
        Step(8, "quality of rows and grades", (*quality, f"create view {GRADES} as {GRADES_SQL}")),
    ]


def applied(link: Link, schema: str) -> int:
    """The number of the last step that was run; 0 before the first."""
    row = link.execute("select to_regclass($1)", [f"{quoted(schema)}._migrations"]).fetchone()
    if row is None or row[0] is None:
        return 0
    found = link.execute(raw(f"select coalesce(max(number), 0) from {quoted(schema)}._migrations")).fetchone()
    return int(found[0]) if found else 0


def pending(link: Link, schema: str, layout: Layout) -> list[Step]:
    """Steps that `migrate` would run. Raises Fatal when the schema is newer than this program."""
    known, at = steps(layout), applied(link, schema)
    if at > known[-1].number:
        raise Fatal(f"schema {schema}: expected version up to {known[-1].number}, was {at}; do upgrade tickerplant")
    return [s for s in known if s.number > at]


def migrate(
    link: Link, schema: str, layout: Layout, where: str, done: Callable[[Step], None] = lambda s: None
) -> list[Step]:
    """Run what is pending, each step in one transaction; another process that migrates is waited for."""
    ran: list[Step] = []
    with named(where), migrating(link, schema):
        while _next(link, schema, layout, ran):
            done(ran[-1])
    return ran


@contextmanager
def migrating(link: Link, schema: str) -> Iterator[None]:
    """Be the only process that migrates; waits for another. Reentrant."""
    key = [lock_key("migrate", schema)]
    # Outside of the transactions: each must begin, and look, after the wait.
    link.execute("select pg_advisory_lock($1)", key)
    try:
        yield
    finally:
        if not link.closed:
            link.execute("select pg_advisory_unlock($1)", key)


def _next(link: Link, schema: str, layout: Layout, ran: list[Step]) -> bool:
    with link.transaction():
        waiting = pending(link, schema, layout)
        if not waiting:
            return False
        step = waiting[0]
        if step.number == 1:
            link.execute(raw(f"create schema if not exists {quoted(schema)}"))
            link.execute(raw(_MIGRATIONS.format(schema=quoted(schema))))
        for statement in step.statements:
            link.execute(raw(statement))
        link.execute(
            raw(f"insert into {quoted(schema)}._migrations (number, title, layout) values ($1, $2, $3)"),
            [step.number, step.title, layout.kind],
        )
    ran.append(step)
    return True


_MIGRATIONS = """create table if not exists {schema}._migrations (
    number integer primary key,
    title text not null,
    layout text not null,
    at timestamptz not null default now()
)"""


def layout_of(link: Link, schema: str) -> str | None:
    """The kind of layout the tables were created with; None before."""
    if not applied(link, schema):
        return None
    row = link.execute(raw(f"select layout from {quoted(schema)}._migrations where number = 1")).fetchone()
    return str(row[0]) if row else None


def require(link: Link, schema: str, layout: Layout) -> None:
    """Raise UsageError when the schema is not up to date."""
    waiting = pending(link, schema, layout)
    if waiting:
        raise UsageError(
            f"schema {schema}: expected version {waiting[-1].number}, was {waiting[0].number - 1}; "
            "do run `tickerplant init`"
        )
