"""Flat files as a user fetches them: the store has what the vendor has, once, whenever the run was killed."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.plant import log_records, query, wait_for
from tests.support.rest import FIRST, LAST, Plant, history, plant
from tickerplant.calendar import session, sessions
from tickerplant.credentials import Secret
from tickerplant.errors import Fatal, UsageError
from tickerplant.jobs.accounts import client, files_account
from tickerplant.jobs.coverage import Dataset
from tickerplant.jobs.fetch_table import FetchPlan, FetchSummary, plan_sessions, run_plan
from tickerplant.jobs.flat import FlatOptions, FlatSource, flat_source, is_cheaper, plan_flat, run_flat
from tickerplant.logs import open_log
from tickerplant.model import Batch, Kind, Log, Store
from tickerplant.net.backoff import Curve
from tickerplant.rest import Account, Asked
from tickerplant.settings import read_settings
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.rest import RestOptions
from tickerplant.stores import open_store
from tickerplant.tables import TRADES
from tickerplant.vendors import vendor

DAY = date(2025, 11, 19)
SPAN = ("--start", DAY.isoformat(), "--end", LAST.isoformat())
KEYS = {"MASSIVE_S3_ACCESS_KEY": "AKIA-UNMISTAKABLE", "MASSIVE_S3_SECRET_KEY": "fLaT-unmistakable-1234"}
FLAT = ("--vendor", "polygon", "--flat", "--table")
FAR = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
DAILY = ("symbol", "session", "open", "high", "low", "close", "volume")
TICK = ("symbol", "ts", "ns", "trade_id", "price", "size")


def trades(count: int) -> MarketHistory:
    """Trades of one day that do not pack well."""
    hours, chance = session(DAY), random.Random(5)
    assert hours is not None
    step = (hours.close - hours.open) / count
    names = [("SPY", "NA", "BRK.B", "TRUE")[i % 4] for i in range(count)]
    columns: dict[str, Any] = {
        "symbol": names,
        "ts": [hours.open + step * i for i in range(count)],
        "ns": [i % 1000 for i in range(count)],
        "trade_id": [str(chance.randrange(10**12)) for _ in range(count)],
        "price": [round(chance.uniform(1, 900), 4) for _ in range(count)],
        "size": [float(chance.randrange(1, 10**6)) for _ in range(count)],
    }
    envelope = {"vendor": "v", "feed": "sip", "exchange": "V", "conditions": "@", "tape": "A"}
    columns |= {name: [value] * count for name, value in envelope.items()}
    columns |= {"received_at": [hours.close] * count, "seq": list(range(count))}
    arrays = [pa.array(columns.get(c.name, [None] * count), c.type) for c in TRADES.columns]
    return MarketHistory([Batch(TRADES, pa.RecordBatch.from_arrays(arrays, schema=TRADES.schema))])


def truth(known: MarketHistory, table: str, content: Sequence[str], start: date = DAY) -> list[tuple[Any, ...]]:
    rows = known.rows(table, None, *FAR).to_pylist()
    return sorted(tuple(r[c] for c in content) for r in rows if table == "trades" or r["session"] >= start)


def stored(found: Plant, table: str, content: Sequence[str]) -> list[tuple[Any, ...]]:
    return sorted(tuple(r[c] for c in content) for r in query(found.store, f"select * from {table}"))


def pieces(found: Plant) -> list[Asked]:
    return [a for a in found.landed() if a.piece]


def test_day_files_into_the_store_and_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    known = history(60)
    account = Account(secret=Secret(KEYS["MASSIVE_S3_SECRET_KEY"]), key=KEYS["MASSIVE_S3_ACCESS_KEY"])
    with plant(tmp_path, known, RestOptions(("polygon",), account=account), **KEYS) as found:
        span = ("--start", "2025-11-17", "--end", LAST.isoformat())
        done = found.fetch(*FLAT, "daily_bars", *span)
        assert done["plan"]["endpoint"] == "flat_day_aggs"
        assert (done["done"]["requests"], done["done"]["failures"]) == (3, [])
        assert stored(found, "daily_bars", DAILY) == truth(known, "daily_bars", DAILY, date(2025, 11, 17))
        assert not list((tmp_path / "spool").rglob("*.gz*@*"))
        with here(found) as at:
            assert [at.plan("daily_bars", d).todos for d in (date(2025, 11, 17), DAY)] == [(), ()]
        rows = query(found.store, "select symbol, is_last, outcome, endpoint from coverage")
        assert {tuple(r.values()) for r in rows} == {("*", True, "rows", "flat_day_aggs")}
    written = b"".join(p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file())
    assert not [w for w in KEYS.values() if w.encode() in written]


def test_files_are_chosen_where_they_take_less_time(tmp_path: Path) -> None:
    with plant(tmp_path, MarketHistory(), RestOptions(("polygon",)), **KEYS) as found:
        words = ("--vendor", "polygon", "--dry-run", "--start", FIRST.isoformat(), "--end", LAST.isoformat())
        many = ",".join(f"S{i}" for i in range(30))
        assert found.fetch(many, *words)["plan"]["endpoint"] == "flat_day_aggs", "30 calls at 5 a minute"
        with here(found) as at:
            days, dataset = sessions(FIRST, LAST), Dataset("polygon", "daily_bars")
            asking = client(read_settings(found.environment, None), vendor("polygon"))
            requests = plan_sessions(at.store, asking, dataset, ["SPY", "NA"], days)
            asking.limiter.close()
            files = plan_flat(at.store, at.source, dataset, ["SPY", "NA"], days)
            assert (requests.requests, files.requests, is_cheaper(requests, files)) == (2, 36, False)


@dataclass
class Here:
    """Flat files fetched in this process."""

    plant: Plant
    log: Log
    store: Store
    source: FlatSource

    def plan(self, table: str, day: date) -> FetchPlan:
        days = sessions(day, day + timedelta(days=1))
        return plan_flat(self.store, self.source, Dataset("polygon", table), (), days)

    def fetch(self, table: str, day: date) -> FetchSummary:
        return run_flat(self.log, self.store, self.source, vendor, self.plan(table, day))


@contextmanager
def here(found: Plant) -> Iterator[Here]:
    settings = read_settings(found.environment, None)
    who, rest = files_account(settings, vendor("polygon")), vendor("polygon").rest
    assert who is not None
    assert rest is not None
    store = open_store(settings.store)
    try:
        yield Here(found, open_log(settings.log), store, flat_source(settings, "polygon", rest, who))
    finally:
        store.close()


def test_what_the_plan_lacks_is_a_state_and_a_day_without_a_file_is_remembered(tmp_path: Path) -> None:
    account = Account(tables=frozenset({"trades"}))
    with plant(tmp_path, trades(10), RestOptions(("polygon",), account=account), **KEYS) as found, here(found) as at:
        done = at.fetch("quotes", DAY).fetched
        assert [(f.outcome, done.outcome) for f in done.failures] == [("not_entitled", "failed")]
        assert at.plan("quotes", DAY).todos == at.plan("quotes", date(2025, 11, 18)).todos == ()
        asking = client(read_settings(found.environment, None), vendor("polygon"))
        days = sessions(DAY, DAY + timedelta(days=1))
        assert len(plan_sessions(at.store, asking, Dataset("polygon", "quotes"), ["SPY"], days).todos) == 1
        asking.limiter.close()
        assert at.fetch("trades", date(2025, 11, 12)).fetched.is_complete
        after = at.plan("trades", date(2025, 11, 12))
        assert after.before is not None
        assert (after.todos, after.before.counts()["vendor_has_none"]) == ((), 1)
        with pytest.raises(UsageError, match="expected a table of polygon's flat files, was tickers"):
            at.plan("tickers", DAY)


def test_a_file_that_should_have_come_lately_is_asked_for_again(tmp_path: Path) -> None:
    with plant(tmp_path, MarketHistory(), RestOptions(("polygon",)), **KEYS) as found, here(found) as at:
        soon = int(datetime(2025, 11, 20, 18, tzinfo=UTC).timestamp() * 1e9)
        options = FlatOptions(clock=lambda: soon)
        done = run_flat(at.log, at.store, at.source, vendor, at.plan("trades", DAY), options=options)
        assert ["not published yet" in f.reason for f in done.fetched.failures] == [True]
        assert len(at.plan("trades", DAY).todos) == 1


def test_a_wrong_secret_ends_the_run(tmp_path: Path) -> None:
    account = Account(key=KEYS["MASSIVE_S3_ACCESS_KEY"], secret=Secret("another"))
    with plant(tmp_path, trades(10), RestOptions(("polygon",), account=account), **KEYS) as found, here(found) as at:
        with pytest.raises(Fatal, match="expected to be let in, was HTTP 403: SignatureDoesNotMatch"):
            at.fetch("trades", DAY)
        assert found.landed() == []


def test_a_host_that_fails_now_and_then_costs_repeats(tmp_path: Path) -> None:
    with plant(tmp_path, trades(50), RestOptions(("polygon",), faults=0.6, seed=2), **KEYS) as found:
        with here(found) as at:
            at.source.client.backoff, at.source.client.tries = Curve(0.001, 0.001), 50
            done = at.fetch("trades", DAY)
        assert (done.fetched.failures, done.rows) == ([], 50 + 1), "with one of coverage"
        assert found.servers.sides["polygon"].calls["failed"] > 0
        assert stored(found, "trades", TICK) == truth(trades(50), "trades", TICK)


def test_quotes_and_trades_of_a_day_that_has_some_are_not_doubled(tmp_path: Path) -> None:
    with plant(tmp_path, trades(40), RestOptions(("polygon",)), **KEYS) as found, here(found) as at:
        asking = client(read_settings(found.environment, None), vendor("polygon"))
        days = sessions(DAY, DAY + timedelta(days=1))
        plan = plan_sessions(at.store, asking, Dataset("polygon", "trades"), ["SPY"], days)
        assert run_plan(at.log, at.store, asking, vendor, plan.todos).rows == 10 + 1, "with one of coverage"
        asking.limiter.close()
        with pytest.raises(UsageError, match="was 1 symbols, which would stand twice"):
            at.plan("trades", DAY)


def test_killed_in_the_middle_of_a_file_the_end_state_is_equal_and_no_byte_is_asked_for_twice(tmp_path: Path) -> None:
    known = trades(12_000)
    options = RestOptions(("polygon",), bytes_per_s=1e6)
    with plant(tmp_path, known, options, **KEYS, TICKERPLANT_FLAT_PIECE_BYTES="5000") as found:
        words = ("fetch", *FLAT, "trades", *SPAN)
        spool = tmp_path / "spool"
        _killed(found, words, lambda: _size(spool, "*.part") > 100_000)
        kept = _size(spool, "*.part")
        assert kept > 0, "killed while it downloaded"
        for _ in range(2):
            before = _size(found.log, "*")
            _killed(found, words, lambda: _size(found.log, "*") > before + 200_000)  # noqa: B023
        calls = found.servers.sides["polygon"].calls.copy()
        done = found.fetch(*words[1:])
        assert done["plan"]["resumed"] == 1, "killed while it landed"
        path = "/flatfiles/us_stocks_sip/trades_v1/2025/11/2025-11-19.csv.gz"
        assert found.servers.sides["polygon"].calls[path] == calls[path] == 2, "one GET, one for what was missing"
        assert stored(found, "trades", TICK) == truth(known, "trades", TICK)
        _whole(pieces(found))
        assert max(Counter(r.request for r in log_records(found.log) if r.kind is Kind.RESPONSE).values()) == 1
        jobs = Counter(j["outcome"] for j in query(found.store, "select outcome from jobs"))
        assert jobs == {"running": 3, "done": 1}


def _whole(landed: list[Asked]) -> None:
    """Pieces of one version, one after the other without a gap, in one chain."""
    places = [(a.piece.start, a.piece.end, a.piece.is_last) for a in landed if a.piece]
    assert [p[0] for p in places[1:]] == [p[1] for p in places[:-1]]
    assert [p[2] for p in places] == [False] * (len(places) - 1) + [True]
    assert len({(a.chain, a.piece.etag) for a in landed if a.piece}) == 1
    assert [a.call.page for a in landed] == list(range(len(landed)))


def _size(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.rglob(pattern):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _killed(found: Plant, words: Sequence[str], condition: Callable[[], bool]) -> None:
    process: subprocess.Popen[str] = found.start(*words)
    wait_for(lambda: condition() or process.poll() is not None, 60, "the middle", pause=0.001)
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"{out}{err}"
