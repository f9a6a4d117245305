"""The commands that scripts rely on, as they are spelled in the design, on one small market."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.plant import (
    answer,
    ask,
    log_tally,
    query,
    run,
    simulator,
    stop,
    store_tally,
    tickerplant,
    tickerplant_command,
    wait_for,
)
from tickerplant.fingerprint import Tally

_MARKET = ("--seed", "7", "--symbols", "50", "--minutes", "5", "--speed", "60")
_QUICKLY = (*_MARKET[:-1], "150")


@dataclass(frozen=True)
class Captured:
    """A market of five minutes that went into a log, and what the simulator says of it."""

    log: Path
    oracle: dict[str, Any]
    summary: dict[str, Any]

    @property
    def sent(self) -> Tally:
        return Tally.from_json(self.oracle["tables"])


def _complete(oracle: Path) -> bool:
    return oracle.exists() and bool(json.loads(oracle.read_text())["complete"])


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    folder = tmp_path_factory.mktemp("captured")
    oracle = folder / "oracle.json"
    with simulator(*_QUICKLY, "--oracle", oracle, "--fault", "garbled@0.5s", "--fault", "unknown@1s") as (url, _):
        capture = tickerplant(
            "capture",
            "--url",
            url,
            "--symbols",
            "*",
            "--channels",
            "quotes,trades,bars",
            "--log",
            folder / "log",
            "--json",
        )
        wait_for(lambda: _complete(oracle), 60, "the end of the market")
        capture.send_signal(signal.SIGTERM)
        output, _ = capture.communicate(timeout=30)
    assert capture.returncode == 0
    return Captured(folder / "log", json.loads(oracle.read_text()), json.loads(output))


@pytest.fixture(scope="module")
def loaded(captured: Captured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the market, to be read; a test that writes takes a copy."""
    store = tmp_path_factory.mktemp("loaded") / "lake"
    run("load", "--log", captured.log, "--store", store)
    return store


def test_capture_prints_its_counters_as_one_json_line(captured: Captured) -> None:
    quotes = captured.sent.total("quotes").count

    assert captured.summary["connections"] == 1
    assert captured.summary["messages"]["quotes"] == quotes > 1_000


def test_load_twice_and_in_two_processes_at_once_changes_nothing(captured: Captured, tmp_path: Path) -> None:
    store = tmp_path / "lake"
    both = [tickerplant("load", "--log", captured.log, "--store", store, "--json") for _ in range(2)]
    outputs = [json.loads(p.communicate(timeout=60)[0]) for p in both]
    assert [p.returncode for p in both] == [0, 0]
    stored = [o["counters"]["stored"] for o in outputs]

    again = json.loads(ask("load", "--log", captured.log, "--store", store, "--json"))

    total = sum(captured.sent.total(t).count for t in captured.sent.tables)
    assert sorted(stored) == [0, total]
    assert again["counters"] == {"received": 0, "stored": 0, "quarantined": 0, "control": 0}
    assert store_tally(store).tables == captured.sent.tables


def test_dropping_the_lake_and_loading_again_gives_equal_checksums(
    captured: Captured, loaded: Path, tmp_path: Path
) -> None:
    store = tmp_path / "lake"
    shutil.copytree(loaded, store)
    first = store_tally(store)
    shutil.rmtree(store)
    ask("load", "--log", captured.log, "--store", store, "--batch-size", "1000")

    assert store_tally(store).tables == first.tables == log_tally(captured.log)[0].tables


def test_status_balances_and_names_what_was_set_aside(captured: Captured, loaded: Path) -> None:
    found = json.loads(run("status", "--store", loaded, "--log", captured.log, "--json"))

    assert found["balanced"]
    assert found["missing_rows"] == 0
    assert found["received"] == found["stored"] + found["quarantined"] + found["control"]
    assert found["quarantined"] == captured.oracle["garbled"] + captured.oracle["unknown"] == 2
    assert found["partitions"][0]["lag_bytes"] == 0
    assert any("'zz'" in q["reason"] for q in found["quarantine"])


def test_query_prints_one_json_array_of_objects(captured: Captured, loaded: Path) -> None:
    rows = json.loads(run("query", "--store", loaded, "--json", "select count(*) as n, max(ts) as last from quotes"))

    assert rows[0]["n"] == captured.sent.total("quotes").count
    assert rows[0]["last"].endswith("Z")


def test_a_replayed_log_gives_the_same_rows_again(captured: Captured, tmp_path: Path) -> None:
    oracle = tmp_path / "oracle.json"
    with simulator("--log", captured.log, "--speed", "0", "--oracle", oracle) as (url, _):
        plant = tickerplant(
            "run", "--url", url, "--symbols", "*", "--log", tmp_path / "log", "--store", tmp_path / "lake", "--json"
        )
        wait_for(lambda: _complete(oracle), 60, "the end of the replay")
        plant.send_signal(signal.SIGTERM)
        output, _ = plant.communicate(timeout=60)

    assert plant.returncode == 0
    assert json.loads(output)["load"]["counters"]["stored"] == sum(
        captured.sent.total(t).count for t in captured.sent.tables
    )
    assert store_tally(tmp_path / "lake").tables == captured.sent.tables


def test_a_following_load_sees_rows_while_the_capture_runs(tmp_path: Path) -> None:
    store = tmp_path / "lake"
    with simulator(*_MARKET) as (url, _):
        plant = tickerplant(
            "run", "--url", url, "--symbols", "*", "--log", tmp_path / "log", "--store", store, "--for", "1h"
        )
        count = "select coalesce(max(received), 0) as n from positions"
        wait_for(lambda: query(store, count)[0]["n"] > 100, 60, "rows while capturing", pause=0.1)
        assert plant.poll() is None
        assert stop(plant) == 0


def test_maintain_keeps_every_row_and_export_writes_them(captured: Captured, loaded: Path, tmp_path: Path) -> None:
    store, to = tmp_path / "lake", tmp_path / "quotes.parquet"
    shutil.copytree(loaded, store)

    done = json.loads(run("maintain", "--store", store, "--json"))
    symbol = max(captured.sent.tables["quotes"], key=lambda s: captured.sent.tables["quotes"][s].count)
    run("export", "quotes", "--store", store, "--symbols", symbol, "--to", to)

    import pyarrow.parquet as pq

    assert done
    assert store_tally(store).tables == captured.sent.tables
    assert pq.read_metadata(to).num_rows == captured.sent.tables["quotes"][symbol].count


def test_log_commands_list_print_and_verify(captured: Captured) -> None:
    listed = json.loads(run("log", "ls", "--log", captured.log, "--json"))
    lines = ask("log", "cat", "--log", captured.log, "--limit", "3").splitlines()

    assert listed
    assert [json.loads(line)["v"] for line in lines] == ["alpaca"] * 3
    assert ask("log", "verify", "--log", captured.log)


def test_a_second_capture_of_the_same_feed_is_refused(tmp_path: Path) -> None:
    with simulator(*_MARKET) as (url, _):
        arguments = ("capture", "--url", url, "--symbols", "*", "--log", tmp_path / "log")
        first = tickerplant(*arguments, "--for", "1h", stdout=subprocess.DEVNULL)
        wait_for(lambda: list((tmp_path / "log").glob("*/*.jsonl")), 30, "a log")
        second = subprocess.run(first.args, capture_output=True, text=True, timeout=30)
        assert stop(first) == 0

    assert second.returncode == 75
    assert str(first.pid) in second.stderr


def test_a_wrong_option_is_a_usage_error() -> None:
    nonsense = tickerplant_command("load", "--nonsense")
    for done in (
        subprocess.run(nonsense, capture_output=True, text=True, timeout=30),
        answer("query", "--store", "kafka://x", "select 1"),
        answer("capture", "--for", "soon"),
    ):
        assert done.returncode == 2, done.stderr
        assert "rror" in done.stderr


def _says(process: subprocess.Popen[str], words: str) -> bool:
    """Whether a process says so, now or later; waits until it does or ends."""
    assert process.stderr is not None
    return any(words in line for line in process.stderr)


def test_a_second_follower_stands_by_takes_over_and_can_be_stopped_meanwhile(
    captured: Captured, tmp_path: Path
) -> None:
    follow = ("load", "--log", captured.log, "--store", tmp_path / "lake", "--follow", "--json")
    count = "select coalesce(max(received), 0) as n from positions"
    first = tickerplant(*follow)
    wait_for(lambda: query(tmp_path / "lake", count)[0]["n"] > 0, 30, "the first loader at work")
    second, third = (tickerplant(*follow, stderr=subprocess.PIPE) for _ in range(2))
    for process in (second, third):
        assert _says(process, "waiting for the present loader")

    third.send_signal(signal.SIGTERM)
    assert third.wait(20) == 0
    first.kill()
    assert _says(second, "] loading ")
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0

    for process in (first, second, third):
        process.communicate()
    assert store_tally(tmp_path / "lake").tables == captured.sent.tables
