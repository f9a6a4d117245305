"""Symbol lists with dates: who belongs to a universe on a day."""

from __future__ import annotations

import secrets
from datetime import date
from pathlib import Path

from tickerplant.clock import now_ns
from tickerplant.errors import UsageError
from tickerplant.jobs.load import VendorOf, load
from tickerplant.model import Kind, Log, Store
from tickerplant.rest import Asked, Call, encode_asked

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
    """Active tickers that a vendor lists, by its last list; details of single tickers do not count."""
    sql = (
        "select distinct symbol from tickers_latest where vendor = ? and is_active and feed <> 'details' "
        "order by symbol"
    )
    return [r["symbol"] for r in store.query(sql, [vendor]).to_pylist()]


def import_file(log: Log, store: Store, vendor_of: VendorOf, name: str, file: Path, on: date | None) -> dict[str, int]:
    """Land a file of symbols and load it; returns rows, lists and lines set aside. Raises UsageError without a file."""
    from tickerplant.jobs.fetch_table import free_writer

    try:
        body = file.read_bytes()
    except OSError as error:
        raise UsageError(f"universe {name}: expected a file, was {error}") from None
    params = (("universe", name), *((("as_of", on.isoformat()),) if on else ()))
    call = Call(endpoint="file", table="universe", path=file.name, params=params, feed="file")
    with free_writer(log, "universe") as writer:
        writer.append(Kind.RESPONSE, now_ns(), body, encode_asked(Asked(call=call, chain=secrets.token_hex(8))))
        writer.sync()
    partitions = [p for p in log.partitions() if p.startswith("universe.rest")]
    gained = load(log, store, vendor_of, partitions=partitions).counters
    lists = store.query("select count(distinct as_of) as n from universe where universe = ?", [name]).to_pylist()
    return {"rows": max(0, gained.stored - 1), "lists": int(lists[0]["n"]), "aside": gained.quarantined}
