"""Chains that a killed fetch left in the middle: their next page, out of `coverage`."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from tickerplant.jobs.fetch import Todo
from tickerplant.model import Store
from tickerplant.rest import Call

KEPT = timedelta(hours=24)
"""How long a page token is trusted; an older chain is asked for from its start. A file's place never ends."""

_SQL = """
with mine as (select * from coverage where vendor = ? and table_name = ?
    and (received_at >= ? or endpoint like 'flat_%') and chain not like 'repair-%' and chain not like 'poll-%'),
newest as (select chain, max(page) as page, bool_or(is_last) as is_done from mine group by chain)
select distinct m.chain, m.next_call from mine m join newest n on n.chain = m.chain and n.page = m.page
where not n.is_done and m.next_call is not null
order by m.chain
"""


def unfinished(store: Store, vendor: str, table: str, now: datetime) -> list[Todo]:
    """What to go on with, of the last day."""
    rows = store.query(_SQL, [vendor, table, now - KEPT]).to_pylist()
    return [Todo(msgspec.json.decode(r["next_call"], type=Call), chain=r["chain"]) for r in rows]
