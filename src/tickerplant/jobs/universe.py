"""Symbol lists with dates: who belongs to a universe on a day."""

from __future__ import annotations

from datetime import date

from tickerplant.errors import UsageError
from tickerplant.model import Store

_MEMBERS = """
select distinct symbol from universe_latest where universe = ?
and as_of = (select max(as_of) from universe_latest where universe = ? and as_of <= ?) order by symbol
"""


def members(store: Store, name: str, on: date) -> list[str]:
    """Symbols of the newest list of that name that speaks of `on` or a day before. Raises UsageError without one."""
    found = [r["symbol"] for r in store.query(_MEMBERS, [name, name, on]).to_pylist()]
    if not found:
        rows = store.query("select universe, min(as_of) as first from universe group by universe order by universe")
        known = ", ".join(f"{r['universe']} (from {r['first']})" for r in rows.to_pylist()) or "none"
        raise UsageError(f"universe {name}: expected a list of {on} or before, was {known}; do `universe import`")
    return found


def listed(store: Store, vendor: str) -> list[str]:
    """Active tickers that a vendor lists, by its last answer."""
    sql = "select distinct symbol from tickers_latest where vendor = ? and is_active order by symbol"
    return [r["symbol"] for r in store.query(sql, [vendor]).to_pylist()]
