"""The command lines that tasks run: the same that a person types. Pure; no secret ever stands in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from tickerplant.calendar import NEW_YORK, sessions
from tickerplant.dags.parts.batches import MOST, batches
from tickerplant.errors import UsageError

LISTED = (
    "select distinct symbol from tickers_latest where vendor = 'polygon' and is_active and feed <> 'details' "
    "order by symbol"
)
MEMBERS = (
    "select distinct symbol from universe_latest where universe = '{0}' and as_of = "
    "(select max(as_of) from universe_latest where universe = '{0}') order by symbol"
)
TICKERS = ("fetch", "--table", "tickers", "--vendor", "polygon", "--json")
LOAD = ("load", "--json")
LOAD_FOLLOW = ("load", "--follow", "--json")
TRANSFORM = ("transform", "--no-quality", "--json")
REPAIR = ("repair", "--json")
MAINTAIN = ("maintain", "--json")
HEALTH = ("health", "--alert", "--json")


@dataclass(frozen=True)
class Ingest:
    """What a run of the ingest is to bring: of the Variable `tickerplant_ingest`, and over it of the run's own conf.

    Without `start` the last `sessions` that have ended; `symbols` or a `universe`, else every listed ticker.
    """

    table: str = "daily_bars"
    interval: str = ""
    start: str = ""
    end: str = ""
    sessions: int = 5
    symbols: str = ""
    universe: str = ""
    endpoint: str = ""
    """Empty: the cheapest for whole days, the one of the table's name for batches."""
    most: int = MOST

    @classmethod
    def of(cls, variable: Mapping[str, Any], conf: Mapping[str, Any]) -> Ingest:
        """Merge. Raises UsageError for a name that is not known."""
        known = {f.name for f in fields(cls)}
        given = {k: v for source in (variable, conf) for k, v in source.items() if v not in (None, "")}
        if unknown := sorted(set(given) - known):
            raise UsageError(f"tickerplant_ingest: expected {', '.join(sorted(known))}, was {', '.join(unknown)}")
        return cls(**given)

    def first_day(self, today: date) -> date:
        """The first day asked for."""
        if self.start:
            return date.fromisoformat(self.start)
        return sessions(today - timedelta(days=2 * self.sessions + 7), today)[-self.sessions].day

    def last_day(self, today: date) -> date:
        """The day after the last one asked for."""
        return date.fromisoformat(self.end) if self.end else today


def symbols_query(wanted: Ingest) -> list[str]:
    """The query for the symbols of an ingest. Raises UsageError for a universe's name that is none."""
    if not wanted.universe:
        return ["query", LISTED, "--json"]
    if not wanted.universe.replace("_", "").replace("-", "").isalnum():
        raise UsageError(f"universe: expected letters, digits, _ and -, was {wanted.universe!r}")
    return ["query", MEMBERS.format(wanted.universe), "--json"]


def ingest(wanted: Ingest, symbols: Sequence[str], today: date) -> list[list[str]]:
    """Command lines that land what is missing and may run side by side: one when whole days are cheaper, else batches.

    A vendor's whole day is one call, a ticker's whole span is another.
    """
    first, last = wanted.first_day(today), wanted.last_day(today)
    span = ["--start", first.isoformat(), "--end", last.isoformat()]
    base = ["fetch", "--vendor", "polygon", "--table", wanted.table, *span, "--no-load", "--json"]
    base += ["--interval", wanted.interval] if wanted.interval else []
    is_whole = wanted.table == "daily_bars" and not wanted.endpoint and not wanted.symbols
    if is_whole and len(sessions(first, last)) < len(symbols):
        return [[*base, *(["--universe", wanted.universe] if wanted.universe else ["--all"])]]
    base += ["--endpoint", wanted.endpoint or wanted.table]
    return [[*base, ",".join(batch)] for batch in batches(symbols, wanted.most)]


def capture(until: str = "", seconds: str = "", is_always_open: bool = False) -> list[str]:
    """A capture until a moment (ISO), or for a time such as 30s."""
    span = ["--for", seconds] if seconds else ["--until", until]
    return ["capture", *span, *(["--always-open"] if is_always_open else []), "--json"]


def snapshots(symbols: Sequence[str], fresh: str) -> list[str]:
    """Alpha Vantage's snapshots of symbols; those answered within `fresh` are not asked for again."""
    return ["fetch", *symbols, "--table", "snapshots", "--vendor", "alphavantage", "--fresh", fresh, "--json"]


def snapshot_rows(symbols: Sequence[str]) -> list[str]:
    """The query for the newest snapshot of each symbol. Raises UsageError for what is no symbol."""
    for symbol in symbols:
        if not symbol.replace(".", "").replace("-", "").isalnum():
            raise UsageError(f"tickerplant_snapshots: expected symbols, was {symbol!r}")
    names = ", ".join(f"'{s}'" for s in symbols)
    return ["query", f"select * from snapshots_latest where vendor = 'alphavantage' and symbol in ({names})", "--json"]


def snapshot_symbols(variable: Mapping[str, Any]) -> list[str]:
    """The symbols of the Variable `tickerplant_snapshots`. Raises UsageError when it names none."""
    found = [s for s in str(variable.get("symbols", "")).split(",") if s]
    if not found:
        raise UsageError('Variable tickerplant_snapshots: expected symbols, was none; do set {"symbols": "SPY,QQQ"}')
    return found


def quality(session: str) -> list[str]:
    """The rules over one session."""
    return ["quality", "--session", session, "--json"]


def today() -> date:
    """The day in New York."""
    return datetime.now(NEW_YORK).date()
