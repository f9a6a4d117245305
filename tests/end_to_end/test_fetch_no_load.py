"""`fetch --no-load`: many land side by side, one loads; what is landed is not asked for again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.end_to_end.test_fetch import SPAN, active, stored, truth
from tests.support.plant import query, wait_for
from tests.support.rest import history, plant
from tickerplant.rest import Account
from tickerplant.simulator.rest import RestOptions

KNOWN = history(16)
NAMES = active(KNOWN)
LAND = ("--vendor", "polygon", "--endpoint", "daily_bars", *SPAN, "--no-load")
OPTIONS = RestOptions(("polygon",))


def test_landed_answers_are_not_asked_for_again_before_they_are_loaded(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, OPTIONS, POLYGON_PLAN="advanced") as found:
        first = found.fetch(*NAMES, *LAND)["done"]
        assert (first["requests"], first["rows"], first["failures"]) == (len(NAMES), 0, [])
        assert not found.store.exists()
        assert found.fetch(*NAMES, *LAND)["done"]["calls"] == 0
        found.run("load")
        assert found.fetch(*NAMES, *LAND)["done"]["calls"] == 0
        assert stored(found) == truth(KNOWN, NAMES)
        assert len(found.landed()) == len(NAMES)


def test_batches_of_one_vendor_land_at_once_one_of_them_doubled_and_load_to_the_truth(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, OPTIONS, POLYGON_PLAN="advanced") as found:
        running = [found.start("fetch", *NAMES[i % 3 :: 3], *LAND, "--json") for i in range(4)]
        told = [process.communicate(timeout=100) for process in running]
        assert [process.returncode for process in running] == [0] * 4, told
        assert sum(json.loads(out)["done"]["requests"] for out, _ in told) == len(NAMES)
        found.run("load")
        assert stored(found) == truth(KNOWN, NAMES)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_batch_that_was_killed_goes_on_where_it_stopped_and_leaves_the_others_alone(
    tmp_path: Path, is_loaded: bool
) -> None:
    slow = RestOptions(("polygon",), latency_s=0.05, account=Account(page_rows=7))
    span = ("--start", "2025-11-19", "--end", "2025-11-20")
    minutes = ("--table", "bars", "--interval", "30m", "--vendor", "polygon", *span, "--no-load")
    with plant(tmp_path, KNOWN, slow, POLYGON_PLAN="advanced", TICKERPLANT_FETCH_PARALLEL="2") as found:
        process = found.start("fetch", *NAMES[:4], *minutes)
        wait_for(lambda: any(a.call.page == 0 for a in found.landed()), what="a first page")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = [(a.chain, a.call.page) for a in found.landed()]
        if is_loaded:
            found.run("load")
        assert found.fetch(*NAMES[4:6], *minutes)["plan"]["resumed"] == 0
        found.fetch(*NAMES[:4], *minutes)
        pages = [(a.chain, a.call.page) for a in found.landed()]
        assert pages[: len(before)] == before or set(before) <= set(pages)
        assert len(pages) == len(set(pages))
        assert found.fetch(*NAMES[:6], *minutes)["done"]["calls"] == 0
        found.run("load")
        rows = query(found.store, "select symbol, ts, count(*) as n from bars group by symbol, ts having count(*) > 1")
        assert rows == []
        chains = query(found.store, "select symbol, count(distinct chain) as n from coverage group by symbol")
        assert {r["symbol"]: r["n"] for r in chains} == dict.fromkeys(NAMES[:6], 1)


def test_lists_are_landed_once_and_are_fresh_for_as_long_as_said(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, OPTIONS, POLYGON_PLAN="advanced") as found:
        words = ("--table", "splits", "--vendor", "polygon", "--no-load")
        assert found.fetch(*words)["done"]["calls"] == 1
        assert found.fetch(*words)["done"]["calls"] == 0
        assert found.fetch(*words, "--fresh", "0.001s")["done"]["calls"] == 1


def test_ways_that_load_by_themselves_are_refused(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN, OPTIONS) as found:
        found.run("fetch", "--table", "bars", "--flat", "--vendor", "polygon", "--no-load", code=2)
        found.run("fetch", "AAPL", "--table", "bars", "--poll", "5m", "--vendor", "polygon", "--no-load", code=2)
