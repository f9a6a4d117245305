"""Asking again for history that is there: what the vendor changed comes as a later version, nothing comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.rest import VENDOR_KEYS
from tickerplant.calendar import sessions
from tickerplant.errors import UsageError
from tickerplant.jobs.accounts import client
from tickerplant.jobs.coverage import Dataset
from tickerplant.jobs.fetch_table import FetchPlan, FetchSummary, plan_sessions, run_plan
from tickerplant.jobs.revisions import revisions
from tickerplant.logs import open_log
from tickerplant.model import Batch, Log, Store
from tickerplant.settings import Settings, read_settings
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.rest import RestOptions, RestServers, serving
from tickerplant.stores import open_store
from tickerplant.tables import DAILY_BARS
from tickerplant.vendors import vendor

SESSIONS = sessions(date(2025, 11, 3), date(2025, 11, 15))
NOW = datetime(2025, 11, 22, 15, tzinfo=UTC)
SATURDAY = datetime(2025, 11, 15, 15, tzinfo=UTC)
SYMBOLS = tuple(f"S{i:03d}" for i in range(120))
CONTENT = ("symbol", "session", "open", "high", "low", "close", "volume")


def market(changed: dict[tuple[str, date], float] | None = None) -> MarketHistory:
    """A bar of each symbol in each session; S007 has none on the first day. `changed` are other closes."""
    rows = [
        {"symbol": symbol, "session": s.day, "vendor": "v", "feed": "sip", "received_at": s.post_close, "seq": 0}
        | {"open": 10.0 + i, "high": 12.0 + i, "low": 9.0 + i, "volume": 100.0 + j, "trade_count": 3, "vwap": 10.5}
        | {"close": (changed or {}).get((symbol, s.day), 11.0 + i)}
        for i, symbol in enumerate(SYMBOLS)
        for j, s in enumerate(SESSIONS)
        if (symbol, j) != ("S007", 0)
    ]
    return MarketHistory([Batch(DAILY_BARS, pa.RecordBatch.from_pylist(rows, DAILY_BARS.schema))])


@dataclass
class Desk:
    """A plant beside a vendor whose history changes."""

    settings: Settings
    log: Log
    store: Store
    servers: RestServers
    at: datetime = SATURDAY

    def say(self, known: MarketHistory) -> None:
        self.servers.sides["alpaca"].history = known

    def fetch(
        self, table: str = "daily_bars", *, most: int | None = None, **how: Any
    ) -> tuple[FetchPlan, FetchSummary]:
        asking = client(self.settings, vendor("alpaca"))
        try:
            dataset = Dataset("alpaca", table)
            plan = plan_sessions(self.store, asking, dataset, SYMBOLS, SESSIONS, feed="sip", now=self.at, **how)
            clock = lambda: int(self.at.timestamp() * 1e9)  # noqa: E731
            polls = plan.polls[:most]
            return plan, run_plan(self.log, self.store, asking, vendor, plan.todos, polls=polls, clock=clock)
        finally:
            asking.limiter.close()

    def rows(self, view: str = "daily_bars_latest") -> list[tuple[Any, ...]]:
        found = self.store.query(f"select {', '.join(CONTENT)} from {view}").to_pylist()
        return sorted(tuple(r[c] for c in CONTENT) for r in found)


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    with serving(market(), RestOptions(("alpaca",))) as servers:
        url = servers.urls["alpaca"]
        env = {**VENDOR_KEYS, "ALPACA_DATA_URL": url, "ALPACA_TRADING_URL": url, "TICKERPLANT_DATA": str(folder)}
        settings = read_settings(env, None)
        found = Desk(settings, open_log(settings.log), open_store(settings.store), servers)
        servers.sides["alpaca"].clock = lambda: found.at.timestamp()
        try:
            yield found
        finally:
            found.store.close()


def truth(known: MarketHistory) -> list[tuple[Any, ...]]:
    far = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    return sorted(tuple(r[c] for c in CONTENT) for r in known.rows("daily_bars", None, *far).to_pylist())


def test_a_changed_bar_comes_as_a_later_version_and_an_unchanged_one_not_at_all(tmp_path: Path) -> None:
    with desk(tmp_path) as found:
        found.fetch()
        held = found.rows("daily_bars")
        assert held == truth(market())
        found.at = NOW
        assert found.fetch()[0].requests == 0
        assert found.fetch(recheck=NOW - timedelta(minutes=5))[1].rows > 0
        assert found.rows("daily_bars") == held, "the vendor says the same"
        changed = {("S003", SESSIONS[2].day): 11.25, ("S119", SESSIONS[-1].day): 130.5}
        found.say(market(changed))
        found.at = NOW + timedelta(hours=1)
        found.fetch(recheck=found.at - timedelta(minutes=5))
        assert found.rows() == truth(market(changed))
        assert len(found.rows("daily_bars")) == len(held) + 2
        seen = {(r.key["symbol"], r.key["session"]): (r.column, r.now) for r in revisions(found.store, "daily_bars")}
        assert seen == {key: ("close", value) for key, value in changed.items()}


def test_a_recheck_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with desk(tmp_path) as found:
        found.fetch()
        changed = {(symbol, SESSIONS[4].day): 5.5 for symbol in SYMBOLS}
        found.say(market(changed))
        found.at = NOW
        first, _ = found.fetch(recheck=NOW, most=1)
        found.at = NOW + timedelta(minutes=1)
        second, _ = found.fetch(recheck=NOW)
        assert len(second.polls) == len(first.polls) - 1 > 0
        assert found.rows() == truth(market(changed))
        assert found.fetch(recheck=NOW)[0].requests == 0


def test_a_hole_is_asked_for_as_ever_and_quotes_are_refused(tmp_path: Path) -> None:
    with desk(tmp_path) as found:
        found.fetch()
        found.at = NOW
        assert found.fetch()[0].requests == 0, "S007 has no bar of the first day, the vendor said so"
        plan, _ = found.fetch(recheck=NOW)
        assert [(t.call.symbols, len(plan.polls) > 0) for t in plan.todos] == [(("S007",), True)]
        with pytest.raises(UsageError, match="--recheck: expected one of daily_bars, index_bars, bars, was quotes"):
            found.fetch("quotes", recheck=NOW)
