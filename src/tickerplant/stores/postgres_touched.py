"""Which sessions of which tables were touched, and by which transaction last: what a transform builds again.

A loader writes this in the transaction of its rows. The key has the partition of the log, so that loaders do not wait
for one another; each touches its rows by the function `_touch`, which has the owner's rights (see postgres_marks).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.stores.postgres_link import Link
from tickerplant.tables import VENDOR_TABLES

if TYPE_CHECKING:
    from tickerplant.stores.postgres_copy import Part

WHOLE = "-infinity"
"""The session noted for tables without one."""

TOUCH = "_touch(text[], text[], text)"
TOUCHED = """create table _touched (
    table_name text,
    session date,
    partition text,
    tx xid8 not null,
    primary key (table_name, session, partition)
) with (fillfactor = 50)"""
MAKE_TOUCH = """do $make$ begin execute format($format$
create function _touch(names text[], days text[], place text) returns void
language plpgsql security definer set search_path = %I, pg_temp as $touch$
begin
    insert into _touched (table_name, session, partition, tx)
    select name, day::date, place, pg_current_xact_id() from unnest(names, days) u(name, day)
    on conflict (table_name, session, partition) do update set tx = excluded.tx;
end $touch$;
revoke execute on function _touch(text[], text[], text) from public
$format$, current_schema()); end $make$"""

_NAMES = frozenset(t.name for t in VENDOR_TABLES)


def note(link: Link, partition: str, parts: Iterable[Part]) -> None:
    """Note in the caller's transaction that it adds these rows."""
    pairs = sorted({(table.name, day) for part in parts if (table := part[0]).name in _NAMES for day in _days(part)})
    if pairs:
        names, days = zip(*pairs, strict=True)
        link.execute("select _touch($1::text[], $2::text[], $3)", [list(names), list(days), partition])


def _days(part: Part) -> list[str]:
    _, day, rows = part
    if day is not None:
        return [day.isoformat()]
    if "session" not in rows.schema.names:
        return [WHOLE]
    return pc.unique(rows.column("session")).cast(pa.string()).to_pylist()
