"""Repair: every hole is filled out of the vendor's history to what the market really was, and nothing else changes."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.holes import CHANNELS, LATEST, Cut, latest, market, past, places, write_log
from tests.support.plant import log_records, wait_for
from tests.support.postgres import fresh_schema, server
from tests.support.rest import Plant, plant
from tickerplant.fingerprint import Tally
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.rest import Account
from tickerplant.simulator.rest import RestOptions
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.tables import LIVE_TABLES
from tickerplant.vendors import vendor

SOURCE = market(rate=30.0)
KNOWN = past(SOURCE)
CUTS = (Cut(20.0, 31.5), Cut(70.25, 71.0, "mute"), Cut(118.0, 150.0, "killed"))
QUICK = {"TICKERPLANT_REPAIR_SETTLING_SECONDS": "0.2"}
ALPACA = RestOptions(("alpaca",), account=Account(page_rows=200))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The latest state of everything that the market said, without a hole."""
    folder = tmp_path_factory.mktemp("whole")
    write_log(folder / "log", SOURCE)
    with closing(open_store(str(folder / "lake"))) as store:
        load(open_log(str(folder / "log")), store, vendor)
        return {table: latest(store, table) for table in LATEST}


@contextmanager
def opened(found: Plant) -> Iterator[AnyStore]:
    """The plant's store."""
    where = found.extra.get("TICKERPLANT_STORE", str(found.store))
    options = StoreOptions(schema=found.extra.get("TICKERPLANT_SCHEMA", "tickerplant"))
    with closing(open_store(where, options=options)) as store:
        yield store


@pytest.fixture(params=["lake", "postgres"])
def holed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """A plant whose log has holes, loaded, with a vendor that knows better."""
    if request.param == "lake":
        with plant(tmp_path, KNOWN, ALPACA, **QUICK) as found:
            _prepare(found)
            yield found
        return
    with fresh_schema() as options:
        extra = {"TICKERPLANT_STORE": server().url, "TICKERPLANT_SCHEMA": options.schema}
        with plant(tmp_path, KNOWN, ALPACA, **extra, **QUICK) as found:
            _prepare(found)
            yield found


def _prepare(found: Plant) -> None:
    write_log(found.log, SOURCE, CUTS)
    with opened(found) as store:
        load(open_log(str(found.log)), store, vendor)


def repair(found: Plant, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run `repair --json`; a dictionary for each hole."""
    return [json.loads(line) for line in found.run("repair", "--json", *words, code=code).splitlines()]


def test_holes_are_filled_to_what_the_market_was(holed: Plant, truth: dict[str, list[tuple[Any, ...]]]) -> None:
    with opened(holed) as store:
        before = {table: places(store, table) for table in ("quotes", "trades", "bars")}
        assert all(latest(store, table) != truth[table] for table in LATEST)
    done = repair(holed)
    with opened(holed) as store:
        for table in LATEST:
            assert latest(store, table) == truth[table], table
        for table, rows in before.items():
            assert rows <= places(store, table), f"rows of {table} were taken away"
        _check_gaps(store, done)
        counters = store.query("select received, stored, quarantined, control from positions").to_pylist()
        assert all(c["received"] == c["stored"] + c["quarantined"] + c["control"] for c in counters)
        known = store.query("select count(*) as n from coverage").to_pylist()[0]["n"]
        rows = sum(store.query(f"select count(*) as n from {t.name}").to_pylist()[0]["n"] for t in LIVE_TABLES)
        tickers = store.query("select count(*) as n from tickers").to_pylist()[0]["n"]
        assert sum(c["stored"] for c in counters) == rows + known + tickers
    assert repair(holed) == [], "healed is healed"


def _check_gaps(store: AnyStore, done: list[dict[str, Any]]) -> None:
    gaps = store.query("select channel, state, reason, evidence from gaps").to_pylist()
    assert sorted(g["channel"] for g in gaps) == sorted(CHANNELS * len(CUTS))
    assert {g["reason"] for g in gaps} == {c.reason for c in CUTS}
    for gap in gaps:
        found = json.loads(gap["evidence"])["repair"]
        assert gap["state"] == "healed"
        assert found["vendor_rows"] >= found["rows_after"] >= found["rows_before"]
    assert [d["healed"] for d in done] == [True] * len(CUTS)
    for answer in done:
        assert answer["added"] > 0
        for name, table in answer["tables"].items():
            assert table["after"] == table["vendor"] or name == "trades", "trades: voided versions are not rows here"


def test_a_store_made_anew_from_the_log_is_the_same_and_no_key_is_anywhere(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, ALPACA, **QUICK) as found:
        _prepare(found)
        found.run("repair")
        _check_no_key(found)
        with opened(found) as first, closing(open_store(str(tmp_path / "again"))) as second:
            load(open_log(str(found.log)), second, vendor)
            assert Tally.of_store(second, LIVE_TABLES) == Tally.of_store(first, LIVE_TABLES)
            states = "select channel, start, state, evidence from gaps order by channel, start"
            assert second.query(states).to_pylist() == first.query(states).to_pylist()


def _check_no_key(found: Plant) -> None:
    secrets = [v.encode() for k, v in found.environment.items() if k in ("ALPACA_API_KEY", "ALPACA_SECRET_KEY")]
    for path in found.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret in data for secret in secrets), path
    for record in log_records(found.log):
        assert not any(secret in record.payload for secret in secrets)


def test_killed_anywhere_and_run_again_the_end_is_the_same(
    tmp_path: Path, truth: dict[str, list[tuple[Any, ...]]]
) -> None:
    chance = random.Random(5)
    slow = RestOptions(("alpaca",), latency_s=0.03, account=Account(page_rows=200))
    with plant(tmp_path, KNOWN, slow, **QUICK) as found:
        _prepare(found)
        for _ in range(3):
            process = found.start("repair", "--json")
            at = sum(found.servers.sides["alpaca"].calls.values()) + chance.randint(2, 25)
            wait_for(lambda: sum(found.servers.sides["alpaca"].calls.values()) >= at or process.poll() is not None)  # noqa: B023
            process.send_signal(signal.SIGKILL)
            process.communicate()
        repair(found)
        with opened(found) as store:
            for table in LATEST:
                assert latest(store, table) == truth[table], table
            states = store.query("select distinct state from gaps").to_pylist()
            assert states == [{"state": "healed"}]


def test_only_what_was_subscribed_is_asked_for(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, ALPACA, **QUICK) as found:
        names = ("AAPL", "SPY")
        write_log(found.log, SOURCE, CUTS[:1], names)
        with opened(found) as store:
            load(open_log(str(found.log)), store, vendor)
        repair(found)
        assert {s for asked in found.landed() for s in asked.call.symbols} == set(names)


def test_a_vendor_that_does_not_give_it_leaves_the_hole_with_its_reason(tmp_path: Path) -> None:
    refusing = RestOptions(("alpaca",), account=Account(tables=frozenset({"tickers", "bars"})))
    with plant(tmp_path, KNOWN, refusing, **QUICK) as found:
        _prepare(found)
        [first, *_] = repair(found, code=75)
        assert not first["healed"]
        assert "subscription does not permit" in first["problem"]
        with opened(found) as store:
            [gap] = store.query("select state, evidence from gaps where channel = 'quotes' limit 1").to_pylist()
            assert gap["state"] == "closed"
            tried = json.loads(gap["evidence"])["repair"]
            assert (tried["is_too_early"], tried["tries"]) == (True, 1)
            assert "subscription does not permit" in tried["problem"]
        assert repair(found) == [], "it waits before it asks again"
    with plant(tmp_path, KNOWN, ALPACA, **QUICK) as found:
        assert [r["healed"] for r in repair(found, "--again")] == [True] * len(CUTS)
