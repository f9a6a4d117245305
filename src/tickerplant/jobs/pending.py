"""Answers that are landed and not loaded: what they say of coverage, read from the log instead of the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from tickerplant.errors import BadData
from tickerplant.jobs.fetch import Todo
from tickerplant.jobs.load_decode import feed_of
from tickerplant.jobs.load_repair import REPAIR, REST
from tickerplant.model import Entry, Kind, Log, Record, Store, Vendor
from tickerplant.rest import ALL, Asked, Call, decode_asked
from tickerplant.tables import COVERAGE

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Chain:
    """How far a request got: its last landed page. `next_call` is None when it is complete."""

    call: Call
    next_call: Call | None
    received_at: datetime


@dataclass(frozen=True)
class Pending:
    """Chains with pages in the log that the store has not seen."""

    chains: dict[str, Chain] = field(default_factory=dict)

    def since(self, oldest: datetime) -> Pending:
        """Without incomplete chains older than that: their page tokens are not trusted."""
        kept = {n: c for n, c in self.chains.items() if c.next_call is None or c.received_at >= oldest}
        return Pending(kept)

    def calls(self) -> list[Call]:
        """What the chains ask for."""
        return [chain.call for chain in self.chains.values()]

    def begun(self, stored: Sequence[Todo]) -> list[Todo]:
        """Chains to go on with: those the store knows of, as far as the log is not ahead of it, and the log's own."""
        older = [todo for todo in stored if todo.chain not in self.chains]
        return older + [Todo(c.next_call, chain=n) for n, c in self.chains.items() if c.next_call is not None]

    def fresh(self, since: datetime) -> set[tuple[str, str]]:
        """Endpoint and symbol of the complete chains answered since."""
        done = (c for c in self.chains.values() if c.next_call is None and c.received_at >= since)
        return {(c.call.endpoint, symbol) for c in done for symbol in c.call.symbols}


def mine(todos: Sequence[Todo], symbols: Sequence[str]) -> list[Todo]:
    """Those that fetches of other symbols leave to this one: chains whose first symbol is among its own."""
    names = set(symbols) or set(ALL)
    return [todo for todo in todos if todo.call.symbols[0] in names]


def pending(log: Log, store: Store, vendor: Vendor, table: str, symbols: Sequence[str] = ()) -> Pending:
    """Read what the log holds beyond the store, of one table; with `symbols` only what concerns one of them.

    Ask this before the store: what a loader commits in between is then seen twice, and not missed.
    """
    wanted, found = {*symbols, *ALL} if symbols else set[str](), dict[str, Chain]()
    for partition in log.partitions():
        if feed_of(partition) in ((vendor.name, REST), (vendor.name, REPAIR)):
            for entry, asked in _answers(log, store, partition, table, wanted):
                chain = _chain(vendor, entry, asked)
                known = found.get(asked.chain)
                if chain is not None and (known is None or asked.call.page >= known.call.page):
                    found[asked.chain] = chain
    return Pending(found)


def _answers(
    log: Log, store: Store, partition: str, table: str, wanted: Collection[str]
) -> Iterator[tuple[Entry, Asked]]:
    """Landed answers of a table with what they answer; of other tables and symbols only the request is read."""
    reader = log.reader(partition, store.progress(partition).position)
    try:
        while entries := reader.read(_READ_BYTES):
            for entry in entries:
                asked = _asked(entry)
                if asked is None or asked.call.table != table or asked.chain.startswith("repair-"):
                    continue
                if not wanted or any(s in wanted for s in asked.call.symbols):
                    yield entry, asked
    finally:
        reader.close()


def _asked(entry: Entry) -> Asked | None:
    if not isinstance(entry.item, Record) or entry.item.kind is not Kind.RESPONSE:
        return None
    try:
        return decode_asked(entry.item.request)
    except BadData:
        return None


def _chain(vendor: Vendor, entry: Entry, asked: Asked) -> Chain | None:
    """What `coverage` will say of an answer; None when it cannot be read and so will be asked for again."""
    rows = [b.rows for b in vendor.decode([entry]).batches if b.table is COVERAGE]
    if not rows or not rows[0].num_rows or not isinstance(entry.item, Record):
        return None
    said = rows[0].slice(0, 1).to_pylist()[0]
    following = None if said["is_last"] else msgspec.json.decode(said["next_call"], type=Call)
    at = datetime.fromtimestamp(entry.item.received_at / 1e9, UTC)
    return Chain(asked.call, following, at)
