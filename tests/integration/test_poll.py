"""Polls of a running session against a vendor whose bars are still forming: every bar once, none half."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from tests.support.plant import log_records, query, wait_for
from tests.support.rest import VENDOR_KEYS, history, plant
from tickerplant.calendar import sessions
from tickerplant.jobs.accounts import client
from tickerplant.jobs.coverage import Dataset
from tickerplant.jobs.fetch_table import plan_lists, plan_sessions, run_plan
from tickerplant.jobs.load import load
from tickerplant.jobs.poll import Clock, Rhythm, poll
from tickerplant.logs import open_log
from tickerplant.model import Batch, Kind, Log, Store
from tickerplant.rest import decode_asked
from tickerplant.settings import Settings, read_settings
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.rest import RestOptions, RestServers, serving
from tickerplant.simulator.unfolding import Unfolding
from tickerplant.stores import open_store
from tickerplant.tables import BARS
from tickerplant.vendors import vendor

DAY = date(2025, 11, 19)
SYMBOLS = ("SPY", "NA", "BRK.B")
CONTENT = ("symbol", "ts", "open", "high", "low", "close", "volume")


def ny(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


def bars() -> MarketHistory:
    """A bar every seven minutes from pre-market to after-hours, none of BRK.B after 14:00."""
    first, rows = ny(f"{DAY} 04:00"), []
    for number, symbol in enumerate(SYMBOLS):
        for minute in range(number, 960, 7):
            if symbol == "BRK.B" and minute > 600:
                break
            low = 10.0 + number + minute / 100
            rows.append(
                {"symbol": symbol, "ts": first + timedelta(minutes=minute), "ns": 0, "interval": "1m"}
                | {"open": low + 0.5, "high": low + 2, "low": low, "close": low + 1, "volume": 100.0 + minute}
                | {"trade_count": 3, "vwap": low + 0.75, "revision": 0, "vendor": "v", "feed": "sip"}
                | {"received_at": first, "seq": 0}
            )
    return MarketHistory([Batch(BARS, pa.RecordBatch.from_pylist(rows, BARS.schema))])


@dataclass
class Day:
    """A plant whose time is a clock of its own."""

    at: datetime
    until: datetime
    settings: Settings
    log: Log
    store: Store
    servers: RestServers
    stop: Event
    step: timedelta

    def wait(self, seconds: float) -> bool:
        self.at += max(self.step, timedelta(seconds=seconds))
        if self.at >= self.until:
            self.stop.set()
        return self.stop.is_set()

    def once(self, at: datetime) -> bool:
        asking = client(self.settings, vendor("alpaca"))
        dataset = Dataset("alpaca", "bars", "1m")
        known = sessions(DAY, DAY + timedelta(days=1))
        plan = plan_sessions(self.store, asking, dataset, SYMBOLS, known, feed="sip", now=at, is_poll=True)
        clock = lambda: int(self.at.timestamp() * 1e9)  # noqa: E731
        try:
            done = run_plan(self.log, self.store, asking, vendor, plan.todos, polls=plan.polls, clock=clock)
        finally:
            asking.limiter.close()
        return done.fetched.is_complete

    def poll(self, start: str, until: str, every: timedelta = timedelta(hours=1), *, extended: bool = False) -> Any:
        self.at, self.until = ny(start), ny(until)
        self.stop.clear()
        return poll(self.once, Rhythm(every, extended), self.stop, Clock(lambda: self.at, self.wait))

    def rows(self, table: str = "bars") -> list[dict[str, Any]]:
        return self.store.query(f"select * from {table} order by symbol, ts, received_at").to_pylist()

    def missing(self, at: str) -> int:
        """Cells that a plain fetch would ask for."""
        asking = client(self.settings, vendor("alpaca"))
        known = sessions(DAY, DAY + timedelta(days=1))
        plan = plan_sessions(self.store, asking, Dataset("alpaca", "bars", "1m"), SYMBOLS, known, now=ny(at))
        asking.limiter.close()
        assert plan.before is not None
        return int(plan.before.missing().sum())

    def asked(self, folder: Path) -> list[tuple[datetime | None, datetime | None]]:
        made = [decode_asked(r.request).call for r in log_records(folder / "log") if r.kind is Kind.RESPONSE]
        return [(c.start, c.end) for c in made]


@contextmanager
def day(folder: Path, faults: float = 0.0) -> Iterator[Day]:
    known, times = bars(), [ny(f"{DAY} 00:00")]
    with serving(Unfolding(known, lambda: times[0]), RestOptions(("alpaca",), faults=faults)) as servers:
        found = _day(folder, servers, times)
        side = servers.sides["alpaca"]
        side.history, side.clock = Unfolding(known, lambda: found.at), lambda: found.at.timestamp()
        try:
            yield found
        finally:
            found.store.close()


def _day(folder: Path, servers: RestServers, times: Sequence[datetime]) -> Day:
    url = servers.urls["alpaca"]
    env = {**VENDOR_KEYS, "ALPACA_DATA_URL": url, "ALPACA_TRADING_URL": url, "TICKERPLANT_DATA": str(folder)}
    settings = read_settings(env, None)
    store = open_store(settings.store)
    return Day(times[0], times[0], settings, open_log(settings.log), store, servers, Event(), timedelta(minutes=5))


def truth(known: MarketHistory) -> list[tuple[Any, ...]]:
    far = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    return sorted(tuple(r[c] for c in CONTENT) for r in known.rows("bars", None, *far).to_pylist())


def contents(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(r[c] for c in CONTENT) for r in rows)


def test_a_polled_session_ends_as_the_vendor_has_it_and_no_row_is_doubled(tmp_path: Path) -> None:
    with day(tmp_path) as found:
        done = found.poll(f"{DAY} 10:00:30", f"{DAY} 21:00")
        assert (done.polls, done.failed) == (7, 0)
        assert contents(found.rows("bars_latest")) == truth(bars())
        rows = found.rows()
        versions = Counter((r["symbol"], r["ts"]) for r in rows)
        twice = {ts.minute for (_, ts), n in versions.items() if n > 1}
        assert twice == {0}, "the polls fell into the first minute of each hour"
        assert len(set(contents(rows))) == len(rows), "a second version differs from the first"
        assert found.missing(f"{DAY} 21:00") == 0


def test_the_forming_bar_comes_again_and_a_half_run_session_is_not_complete(tmp_path: Path) -> None:
    with day(tmp_path) as found:
        found.step = timedelta(seconds=1)
        found.poll(f"{DAY} 10:04:30", f"{DAY} 10:05:00")
        (forming,) = [r for r in found.rows() if r["ts"] == ny(f"{DAY} 10:04")]
        (whole,) = [r for r in truth(bars()) if r[:2] == (forming["symbol"], forming["ts"])]
        assert forming["volume"] < whole[-1], "a part of its minute"
        assert found.missing(f"{DAY} 21:00") == 3
        found.poll(f"{DAY} 11:04:30", f"{DAY} 11:05:00")
        before, after = (r for r in found.rows() if r["ts"] == ny(f"{DAY} 10:04"))
        assert (before["volume"], after["volume"]) == (forming["volume"], whole[-1])
        assert found.asked(tmp_path) == [
            (ny(f"{DAY} 04:00"), ny(f"{DAY} 10:04:30")),
            (ny(f"{DAY} 10:04"), ny(f"{DAY} 11:04:30")),
        ]
        assert found.missing(f"{DAY} 21:00") == 3
        assert found.once(ny(f"{DAY} 11:04:30"))
        found.at = ny(f"{DAY} 20:30")
        assert found.once(found.at)
        assert found.asked(tmp_path)[-1] == (ny(f"{DAY} 04:00"), ny(f"{DAY} 20:00"))
        assert contents(found.rows("bars_latest")) == truth(bars())
        assert found.missing(f"{DAY} 21:00") == 0


def test_loaded_again_from_the_log_the_bars_are_the_same(tmp_path: Path) -> None:
    with day(tmp_path) as found:
        found.poll(f"{DAY} 12:00:30", f"{DAY} 21:00", timedelta(hours=3), extended=True)
        before = found.rows()
        other = open_store(str(tmp_path / "other"))
        try:
            load(found.log, other, vendor)
            assert other.query("select * from bars order by symbol, ts, received_at").to_pylist() == before
        finally:
            other.close()


def test_snapshots_are_asked_for_at_each_poll(tmp_path: Path) -> None:
    with day(tmp_path) as found:
        settings = read_settings({**VENDOR_KEYS, "TICKERPLANT_DATA": str(tmp_path)}, None)
        asking = client(settings, vendor("polygon"))
        span = (ny(f"{DAY} 00:00"), ny("2025-11-20 00:00"))
        plan = plan_lists(found.store, asking, "snapshots", SYMBOLS, span, is_poll=True)
        asking.limiter.close()
        assert [t.call.symbols for t in plan.todos] == [SYMBOLS]


def test_sigterm_ends_polling_with_0_and_a_summary(tmp_path: Path) -> None:
    with plant(tmp_path, history(5), RestOptions(("alpaca",))) as found:
        words = ("fetch", "SPY", "--vendor", "alpaca", "--poll", "1h", "--json")
        with (tmp_path / "err").open("w") as err:
            process = found.start(*words, stderr=err)
            wait_for(lambda: (tmp_path / "lake").exists() and _ended(found.store), 60, "a poll")
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, (tmp_path / "err").read_text()
        said = json.loads(out.splitlines()[-1])["polled"]
        assert (said["polls"], said["failed"]) == (1, 0)


def _ended(store: Path) -> bool:
    try:
        return bool(query(store, "select 1 from jobs where ended_at is not null"))
    except Exception:
        return False
