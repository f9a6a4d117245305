"""Which partitions and chunks `maintain` has done, so that it does each once, and again after late rows.

A row of `_maintained` means done, bytes below 0 that it is being done. A writer of rows of a finished session removes
the row in its own transaction; the advisory lock lets `maintain` begin only between such transactions. A writer may
not delete (see postgres_roles): the function `_late` does this with the owner's rights, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.stores.postgres_link import Link, lock_key

_DOING = -1
_BEGIN = """insert into _maintained (relation, bytes) values ($1, $2)
on conflict (relation) do update set bytes = excluded.bytes, at = now()"""

LATE = "_late(text[], bigint[])"
MAKE_LATE = """do $make$ begin execute format($format$
create function _late(marks text[], keys bigint[]) returns void
language plpgsql security definer set search_path = %I, pg_temp as $late$
begin
    perform pg_advisory_xact_lock_shared(key) from unnest(keys) key;
    delete from _maintained where relation = any(marks);
end $late$;
revoke execute on function _late(text[], bigint[]) from public
$format$, current_schema()); end $make$"""


def is_done(link: Link, mark: str) -> bool:
    """Whether nothing came since this was maintained."""
    row = link.execute("select bytes from _maintained where relation = $1", [mark]).fetchone()
    return row is not None and int(row[0]) >= 0


def begin(link: Link, mark: str) -> None:
    """Say that this is being maintained; waits for writers of late rows that have not committed."""
    with link.transaction():
        link.execute("select pg_advisory_xact_lock($1)", [lock_key("maintain", mark)])
        link.execute(_BEGIN, [mark, _DOING])


def end(link: Link, mark: str, size_bytes: int) -> None:
    """Say that it is done, unless late rows came meanwhile."""
    link.execute(
        "update _maintained set bytes = $2, at = now() where relation = $1 and bytes = $3", [mark, size_bytes, _DOING]
    )


def touch(link: Link, marks: Sequence[str]) -> None:
    """Have these maintained again: the caller's transaction adds rows to them."""
    keys = [lock_key("maintain", mark) for mark in marks]
    link.execute("select _late($1::text[], $2::bigint[])", [list(marks), sorted(keys)])
