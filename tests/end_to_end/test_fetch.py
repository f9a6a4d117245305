"""Fetch as a user runs it: what the vendor knows is in the store, once, whatever happened on the way."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.support.plant import query, refusal
from tests.support.rest import FIRST, KEY, LAST, SECRET, VENDOR_KEYS, Plant, history, plant
from tickerplant.credentials import Credentials, Secret
from tickerplant.jobs.accounts import LIMITS_FILE
from tickerplant.net.limits import Limiter, account_name
from tickerplant.rest import Account, Outcome, RateLimit
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.rest import RestOptions

KNOWN = history()
SPAN = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())
FAR = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
CONTENT = ("symbol", "session", "open", "high", "low", "close", "volume")


def active(known: MarketHistory) -> list[str]:
    return [r["symbol"] for r in known.rows("tickers", None, *FAR).to_pylist() if r["is_active"]]


def truth(known: MarketHistory, symbols: Sequence[str] | None = None) -> list[tuple[Any, ...]]:
    return sorted(tuple(r[c] for c in CONTENT) for r in known.rows("daily_bars", symbols, *FAR).to_pylist())


def stored(found: Plant) -> list[tuple[Any, ...]]:
    return sorted(tuple(r[c] for c in CONTENT) for r in query(found.store, "select * from daily_bars"))


def test_all_daily_bars_of_all_tickers_and_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN) as found:
        done = found.fetch("--all", "--vendor", "alpaca", *SPAN)
        assert stored(found) == truth(KNOWN, active(KNOWN))
        assert done["done"]["failures"] == []
        again = found.fetch("--all", "--vendor", "alpaca", *SPAN)
        assert (again["done"]["calls"], again["plan"]["before"]["not_fetched"]) == (0, 0)
        assert again["plan"]["before"]["no_trade"] > 0
        jobs = query(found.store, "select what, outcome, calls, rows, ended_at from jobs order by started_at")
        assert [(j["what"], j["outcome"]) for j in jobs] == [("fetch", "done")] * 3
        assert all(j["ended_at"] for j in jobs)
        assert jobs[1]["calls"] == done["done"]["calls"]


def test_a_dry_run_says_what_it_would_take_and_asks_nobody(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN) as found:
        said = found.fetch("SPY", "NA", "--vendor", "alphavantage", "--dry-run", *SPAN)["plan"]
        assert (said["requests"], said["cost"]["calls"], said["cost"]["quota_days"]) == (2, 2, 2 / 25)
        assert sum(said["before"].values()) == 2 * 36 == said["before"]["not_fetched"]
        assert found.servers.sides["alphavantage"].calls == Counter()
        assert found.landed() == []


def test_quirk_17_killed_anywhere_no_landed_answer_is_asked_for_again(tmp_path: Path) -> None:
    chance = random.Random(11)
    options = RestOptions(("alpaca",), latency_s=0.02, account=Account(page_rows=60))
    names = active(KNOWN)
    with plant(tmp_path, KNOWN, options) as found:
        words = ("fetch", ",".join(names), "--vendor", "alpaca", *SPAN)
        for _ in range(4):
            process = found.start(*words)
            before = len(found.landed())
            _wait_for_answers(found, before + chance.randint(1, 6), process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        found.fetch(*words[1:])
        assert stored(found) == truth(KNOWN, names)
        asked = Counter((a.call.path, a.call.params) for a in found.landed())
        assert max(asked.values()) == 1
        assert len({a.chain for a in found.landed()}) == 1, "every run went on with the same request"
        outcomes = Counter(j["outcome"] for j in query(found.store, "select outcome from jobs"))
        assert outcomes == {"running": 4, "done": 1}


def _wait_for_answers(found: Plant, count: int, process: Any) -> None:
    from tests.support.plant import wait_for

    wait_for(lambda: len(found.landed()) >= count or process.poll() is not None, 60, "answers in the log", 0.02)


def test_faults_of_the_vendor_cost_repeats_and_nothing_else(tmp_path: Path) -> None:
    options = RestOptions(("alpaca",), faults=0.3, seed=5, account=Account(page_rows=400))
    with plant(tmp_path, KNOWN, options) as found:
        done = found.fetch("--all", "--vendor", "alpaca", *SPAN)["done"]
        assert done["failures"] == []
        assert found.servers.sides["alpaca"].calls["failed"] > 0
        assert stored(found) == truth(KNOWN, active(KNOWN))
        assert done["calls"] > done["answers"]


def test_quirk_14_one_bad_symbol_is_found_and_costs_nobody_else(tmp_path: Path) -> None:
    names = active(KNOWN)[:9]
    with plant(tmp_path, KNOWN) as found:
        done = found.fetch(*names[:4], "B!D", *names[4:], "--vendor", "alpaca", *SPAN, code=1)["done"]
        assert [(f["symbols"], "invalid symbol" in f["reason"]) for f in done["failures"]] == [(["B!D"], True)]
        assert stored(found) == truth(KNOWN, names)
        again = found.fetch(*names, "B!D", "--vendor", "alpaca", *SPAN)
        assert (again["done"]["calls"], again["plan"]["before"]["refused"]) == (0, 36)


def test_quirk_25_a_spent_day_ends_the_run_with_75_and_holds_over_restarts(tmp_path: Path) -> None:
    words = (*active(KNOWN)[:30], "--vendor", "alphavantage", "--start", "2025-11-03", "--end", "2025-11-20")
    limits = (RateLimit(3, 86_400.0),)
    with plant(tmp_path, KNOWN, RestOptions(("alphavantage",), limits=limits)) as found:
        _spend(found, 22)
        first = found.fetch(*words, code=75)
        second = found.fetch(*words, code=75)
        side = found.servers.sides["alphavantage"]
        assert (side.calls["/query"], side.calls["refused"]) == (3, 0)
        assert [done["done"]["outcome"] for done in (first, second)] == ["quota", "quota"]
        assert [done["done"]["calls"] for done in (first, second)] == [3, 0]
        assert second["done"]["retry_after_s"] > 80_000


def _spend(found: Plant, calls: int) -> None:
    """So many of the account's calls were made an hour ago."""
    name = account_name("alphavantage", Credentials("", Secret(VENDOR_KEYS["ALPHA_VANTAGE_API_KEY"])))
    limits = (RateLimit(25, 86_400.0),)
    limiter = Limiter(found.folder / LIMITS_FILE, name, limits, lambda: time.time() - 3600)
    assert [limiter.take() for _ in range(calls)] == [0.0] * calls
    limiter.close()


def test_an_account_that_is_refused_ends_the_run_at_once(tmp_path: Path) -> None:
    options = RestOptions(("alpaca",), account=Account(key="other", secret=Secret("other")))
    with plant(tmp_path, KNOWN, options) as found:
        process = found.start("fetch", "SPY", "--vendor", "alpaca", *SPAN)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "expected to be let in, was HTTP 401" in err
        assert found.landed() == []
        assert query(found.store, "select outcome from jobs") == [{"outcome": "failed"}]


def test_what_the_plan_does_not_include_is_a_state_and_not_asked_again(tmp_path: Path) -> None:
    options = RestOptions(("alpaca",), account=Account(tables=frozenset({"bars"})))
    with plant(tmp_path, KNOWN, options) as found:
        found.fetch("SPY", "--vendor", "alpaca", *SPAN, code=1)
        again = found.fetch("SPY", "--vendor", "alpaca", *SPAN)
        assert (again["done"]["calls"], again["plan"]["before"]["not_entitled"]) == (0, 36)
        assert [a.outcome for a in found.landed()] == [Outcome.NOT_ENTITLED.value]


def test_reference_data_and_two_fetches_at_once(tmp_path: Path) -> None:
    with plant(tmp_path, KNOWN) as found:
        running = [
            found.start("fetch", "--table", table, "--vendor", "alpaca", *SPAN)
            for table in ("tickers", "splits", "dividends", "market_days")
        ]
        for process in running:
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, f"{out}{err}"
        for table in ("tickers", "splits", "dividends", "market_days"):
            (row,) = query(found.store, f"select count(*) as n from {table}")
            assert row["n"] == KNOWN.rows(table, None, *FAR).num_rows, table
        assert query(found.store, "select count(*) as n from jobs where outcome = 'done'") == [{"n": 4}]


def test_no_key_in_anything_that_a_run_wrote(tmp_path: Path) -> None:
    words = [(v, *SPAN) for v in ("alpaca", "alphavantage")]
    with plant(tmp_path, KNOWN, RestOptions(faults=0.1, seed=3), LOG_LEVEL="debug", ALPHA_VANTAGE_PLAN="1200") as found:
        for vendor, *span in words:
            out = found.run("fetch", "SPY", "NA", "--vendor", vendor, *span)
            assert SECRET not in out
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as stream:
                data += stream.read()
        assert SECRET.encode() not in data, path
        assert KEY.encode() not in data, path


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant(tmp_path_factory.mktemp("idle"), MarketHistory()) as found:
        yield found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected symbols, --universe NAME or --all"),
        (("SPY", "--all"), "expected symbols, --universe or --all, was more than one"),
        (("SPY", "--table", "nope"), "--table: expected one of"),
        (("SPY", "--start", "2025-13-01"), "--start: expected a day such as"),
        (("SPY", "--start", "2025-11-20", "--end", "2025-11-20"), "expected a day before --end"),
        (("--universe", "nobody"), "expected a list of"),
        (("SPY", "--endpoint", "nope", "--vendor", "alpaca"), "through nope"),
    ],
)
def test_a_wrong_wish_is_told(idle: Plant, words: tuple[str, ...], said: str) -> None:
    code, text = refusal("fetch", *words, environment=idle.environment, folder=idle.folder)
    assert code == 2
    assert said in text


def test_a_universe_on_a_day(tmp_path: Path) -> None:
    names = active(KNOWN)[:5]
    (tmp_path / "mine.csv").write_text("symbol\n" + "\n".join(names) + "\n")
    with plant(tmp_path, KNOWN) as found:
        found.run("universe", "import", "mine", str(tmp_path / "mine.csv"), "--on", "2025-10-01")
        found.fetch("--universe", "mine", "--on", date(2025, 11, 1).isoformat(), "--vendor", "alpaca", *SPAN)
        assert stored(found) == truth(KNOWN, names)
