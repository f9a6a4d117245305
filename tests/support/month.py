"""`tickerplant run` through weeks of a simulated market on a clock that is set, killed and left off now and then."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tests.support import month_market as market
from tests.support.plant import kill, stop, tickerplant, wait_for
from tickerplant.calendar import NEW_YORK, UTC, Session, session
from tickerplant.clock import VARIABLE, set_clock
from tickerplant.logs import open_log
from tickerplant.model import Kind, Record
from tickerplant.simulator.process import running
from tickerplant.stores import open_store
from tickerplant.tables import BARS, DAILY_BARS, QUOTES, TRADES

Mishap = Literal["kill live", "kill evening", "kill night", "missed evening", "missed session"]

PARTITION = "alpaca.sip"
_TRUTH = {QUOTES: "quotes", TRADES: "trades", BARS: "bars_latest", DAILY_BARS: "daily_bars_latest"}
_ENVELOPE = ("vendor", "feed", "received_at", "seq", "revision")


@dataclass(frozen=True)
class Window:
    """When a session was captured: from the first connection to the last orderly end, None when there was none."""

    session: Session
    began: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class MonthReport:
    """What weeks of `run` came to. `differing` are tables that are not the market's; `strays` connections on days
    without a session."""

    sessions: int
    rows: int
    differing: tuple[str, ...]
    windows: tuple[Window, ...]
    strays: tuple[datetime, ...]
    unhealed: int
    healed: int
    evenings: tuple[str, ...]
    rechecks: tuple[str, ...]
    mart_rows: int


class Month:
    """A plant, its vendor and its clock."""

    def __init__(self, folder: Path, start: date, end: date) -> None:
        self.market, self.log, self.lake = folder / "market", folder / "log", folder / "lake"
        self._folder, self._clock, self._alerts = folder, folder / "clock", folder / "data" / "alerts.json"
        market.prepare(self.market, start, end)
        self._at(session_before(start))
        self._told = 0
        self._run: subprocess.Popen[str] | None = None

    @contextmanager
    def vendor(self) -> Iterator[None]:
        """The simulator, for as long as the block lasts."""
        words = ["--source", "tests.support.month_market:read", "--path", str(self.market), "--speed", "1000000000"]
        words += ["--rest", "--history", str(self.market / "history"), "--linger", "100000"]
        with (self._folder / "vendor.err").open("w") as said, running(words, stderr=said) as found:
            self._ws, self._rest = found.ws, found.rest["alpaca"]
            try:
                yield
            finally:
                self.off()
                market.end(self.market)

    def on(self) -> None:
        """Start the plant."""
        keys = {"ALPACA_API_KEY": "key", "ALPACA_SECRET_KEY": "secret", "ALPACA_PLAN": "plus"}
        keys |= {"ALPACA_DATA_URL": self._rest, "ALPACA_TRADING_URL": self._rest, VARIABLE: str(self._clock)}
        keys |= {"TICKERPLANT_DATA": str(self._folder / "data"), "STOCK_SYMBOLS": ",".join(market.SYMBOLS)}
        keys |= {"TICKERPLANT_REPAIR_SETTLING_SECONDS": "0.3", "TICKERPLANT_RUN_FETCH": "daily_bars"}
        arguments = ("run", "--calendar", "--url", self._ws, "--log", self.log, "--store", self.lake)
        with (self._folder / "run.err").open("a") as said:
            self._run = tickerplant(
                *(*arguments, "--batch-seconds", "0.2"),
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, **keys},
            )

    def off(self) -> None:
        """Stop the plant in order."""
        if self._run is not None:
            stop(self._run, timeout=60)
            self._run = None

    def kill(self) -> None:
        """SIGKILL; the children notice by themselves."""
        assert self._run is not None
        kill(self._run)
        self._run = None

    def day(self, day: Session, mishap: Mishap | None) -> None:
        """One session and its evening."""
        if mishap != "missed session":
            self._morning(day)
        for portion in range(market.PORTIONS - 1):
            self._play(day, portion)
        if mishap == "kill live":
            self.kill()
        elif mishap == "missed evening":
            self.off()
        self._play(day, market.PORTIONS - 1)
        if mishap == "kill live":
            self._at(day.post_close - timedelta(minutes=30))
            self.on()
            self._wait(
                lambda: self._connected_after(day.post_close - timedelta(minutes=31)), "the capture after a kill"
            )
        self._at(day.post_close - timedelta(seconds=1))
        if mishap == "kill evening":
            self._wait(lambda: ("maintain", str(day.day)) in self.done(), "the evening to begin")
            self.kill()
            self.on()
        if mishap not in ("missed evening", "missed session"):
            self.evening(day)
        if mishap == "kill night":
            self._at(day.post_close + timedelta(hours=5))
            self.kill()
            self.on()

    def evening(self, day: Session) -> None:
        """Wait until the errands of an evening are done."""
        wanted = {(what, str(day.day)) for what in ("maintain", "fetch daily_bars", "transform", "retention")}
        self._wait(lambda: wanted <= self.done(), f"the evening of {day.day}", 120)

    def holiday(self, day: date) -> None:
        """Noon of a day without a session: the plant looks, and does nothing."""
        since = self._alerts.stat().st_mtime_ns if self._alerts.exists() else 0
        self._at(datetime.combine(day, time(12), NEW_YORK).astimezone(UTC))
        if self._run is not None:
            self._wait(lambda: self._alerts.exists() and self._alerts.stat().st_mtime_ns > since, f"health on {day}")

    def done(self) -> set[tuple[str, str]]:
        """The ledger."""
        rows = self.query("select selection from jobs where what = 'run' and outcome = 'done'")
        return {(about["errand"], about["key"]) for about in (json.loads(r["selection"]) for r in rows)}

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the lake."""
        with closing(open_store(str(self.lake), read_only=True)) as store:
            found: list[dict[str, Any]] = store.query(sql).to_pylist()
            return found

    def connections(self) -> list[Record]:
        """The connection records of the capture."""
        log = open_log(str(self.log))
        if PARTITION not in log.partitions():
            return []
        found, reader = [], log.reader(PARTITION)
        while entries := reader.read(1 << 20):
            items = [e.item for e in entries if isinstance(e.item, Record)]
            found += [r for r in items if r.kind in (Kind.CONNECTED, Kind.DISCONNECTED)]
        reader.close()
        return found

    def differing(self) -> tuple[tuple[str, ...], int]:
        """Tables that are not what the market was, and the rows of the market."""
        whole = [*market.truth(self.market), market.daily(self.market)]
        told, count = [], 0
        for table, view in _TRUTH.items():
            names = [c.name for c in table.columns if c.name not in _ENVELOPE]
            batches = [b.rows for stretch in whole for b in stretch if b.table is table]
            expected = _sorted(pa.Table.from_batches(batches).select(names).to_pylist())
            quoted = ", ".join(f'"{n}"' for n in names)
            found = _sorted(self.query(f"select {quoted} from {view}"))
            count += len(expected)
            if found != expected:
                told.append(f"{view}: {len(found)} rows for {len(expected)}")
        return tuple(told), count

    def _morning(self, day: Session) -> None:
        begins = day.pre_open - timedelta(seconds=62)
        self._at(begins)
        if self._run is None:
            self.on()
        self._wait(lambda: self._connected_after(begins), f"the capture of {day.day}")

    def _play(self, day: Session, portion: int) -> None:
        """Move on to a portion of the session and let the market play it."""
        self._at(day.pre_open + (day.post_close - day.pre_open) / market.PORTIONS * portion + timedelta(minutes=5))
        self._told += 1
        market.tell(self.market, self._told)
        if self._run is not None:
            size = market.QUOTES_EACH
            self._wait(lambda: self._has(day, portion, size), f"portion {portion} of {day.day}")

    def _has(self, day: Session, portion: int, size: int) -> bool:
        span = (day.post_close - day.pre_open) / market.PORTIONS
        start, end = day.pre_open + span * portion, day.pre_open + span * (portion + 1)
        sql = f"select count(*) as n from quotes where ts >= '{start.isoformat()}' and ts < '{end.isoformat()}'"
        return self.lake.exists() and bool(self.query(sql)[0]["n"] == size)

    def _connected_after(self, at: datetime) -> bool:
        since = at.timestamp() * 1e9
        return any(r.kind is Kind.CONNECTED and r.received_at >= since for r in self.connections())

    def _at(self, at: datetime) -> None:
        set_clock(self._clock, at)

    def _wait(self, condition: Callable[[], bool], what: str, timeout: float = 90) -> None:
        wait_for(condition, timeout, what, 0.1)


MISHAPS: Mapping[date, Mishap] = {
    date(2024, 11, 6): "kill live",
    date(2024, 11, 12): "kill evening",
    date(2024, 11, 14): "kill night",
    date(2024, 11, 19): "missed evening",
    date(2024, 12, 10): "missed session",
}
"""Three kills, a missed evening and a missed session between 1 November and 26 December 2024."""

_ENDS = {date(2024, 11, 29): 17, date(2024, 12, 24): 17}
_DST_ENDS = date(2024, 11, 3)


def troubles(report: MonthReport, mishaps: Mapping[date, Mishap]) -> list[str]:
    """What is not as it should be, in words; hours are this file's own, not the calendar's."""
    found = [f"differs: {text}" for text in report.differing]
    found += [f"connected on a day without a session: {at}" for at in report.strays]
    found += [f"{report.unhealed} gaps not healed"] if report.unhealed else []
    for window in report.windows:
        day = window.session.day
        if mishaps.get(day) == "missed session":
            found += [f"{day}: captured"] if window.began else []
            continue
        offset = 4 if day < _DST_ENDS else 5
        opens = datetime.combine(day, time(3 + offset, 59), UTC)
        closes = datetime.combine(day, time(0), UTC) + timedelta(hours=_ENDS.get(day, 20) + offset)
        if window.began is None or not opens <= window.began < opens + timedelta(minutes=1):
            found.append(f"{day}: capture began at {window.began}")
        is_whole = mishaps.get(day) != "missed evening"
        if is_whole and (window.ended is None or not closes <= window.ended < closes + timedelta(seconds=10)):
            found.append(f"{day}: capture ended at {window.ended}")
        if is_whole and str(day) not in report.evenings:
            found.append(f"{day}: no evening")
    if report.mart_rows != report.sessions * len(market.SYMBOLS):
        found.append(f"prices_daily: {report.mart_rows} rows for {report.sessions} sessions")
    return found


def session_before(day: date) -> datetime:
    """The night before a day."""
    return datetime.combine(day, time(1), NEW_YORK).astimezone(UTC)


def through(folder: Path, start: date, end: date, mishaps: Mapping[date, Mishap]) -> MonthReport:
    """Run a plant from `start` to `end`; what happens on which session is in `mishaps`."""
    folder.mkdir(parents=True, exist_ok=True)
    month = Month(folder, start, end)
    with ExitStack() as opened:
        opened.enter_context(month.vendor())
        for day in (start + timedelta(days=i) for i in range((end - start).days)):
            found = session(day)
            if found is None:
                month.holiday(day)
                continue
            if mishaps.get(day) == "missed session":
                month.off()
            month.day(found, mishaps.get(day))
        wait_for(lambda: not _open_gaps(month), 120, "every gap to be healed", 0.3)
        return _report(month)


def _open_gaps(month: Month) -> list[dict[str, Any]]:
    return month.query("select * from gaps where state <> 'healed'")


def _report(month: Month) -> MonthReport:
    records = month.connections()
    differing, rows = month.differing()
    done = month.done()
    gaps = month.query("select state, count(*) as n from gaps group by state")
    return MonthReport(
        len(market.days(month.market)),
        rows,
        differing,
        tuple(_window(s, records) for s in market.days(month.market)),
        tuple(_moment(r) for r in records if _is_stray(_moment(r))),
        sum(g["n"] for g in gaps if g["state"] != "healed"),
        sum(g["n"] for g in gaps if g["state"] == "healed"),
        tuple(sorted(key for what, key in done if what == "retention")),
        tuple(sorted(key for what, key in done if what == "recheck daily_bars")),
        month.query("select count(*) as n from prices_daily")[0]["n"],
    )


def _moment(record: Record) -> datetime:
    return datetime.fromtimestamp(record.received_at / 1e9, UTC)


def _window(day: Session, records: Sequence[Record]) -> Window:
    here = [r for r in records if _moment(r).astimezone(NEW_YORK).date() == day.day]
    began = [_moment(r) for r in here if r.kind is Kind.CONNECTED]
    ended = [_moment(r) for r in here if r.kind is Kind.DISCONNECTED and json.loads(r.payload)["reason"] == "ended"]
    return Window(day, min(began, default=None), max(ended, default=None))


def _is_stray(at: datetime) -> bool:
    return session(at.astimezone(NEW_YORK).date()) is None


def _sorted(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((tuple(r.values()) for r in rows), key=repr)
