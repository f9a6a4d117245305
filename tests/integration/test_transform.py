"""Transform on both stores, with dbt as it is: prices, what is built again, who sees what when."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.support.plant import answer, tickerplant_command
from tests.support.transform import (
    KINDS,
    NOON,
    USER_MODELS,
    Place,
    bars,
    cancels,
    contents,
    day,
    dividends,
    place,
    splits,
    trades,
)
from tickerplant.calendar import UTC
from tickerplant.errors import Busy, UsageError
from tickerplant.query import Plant
from tickerplant.stores import open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_history import commits_between
from tickerplant.transform.project import parsed, work_folder

_PRICES = ("+prices_daily",)


@pytest.fixture(params=KINDS)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as found:
        yield found


def _closes(found: Place) -> dict[tuple[str, int], tuple[float, float, float]]:
    sql = "select symbol, session - date '2024-01-02' as n, close, split_close, adjusted_close from prices_daily"
    return {
        (r["symbol"], r["n"]): (r["close"], round(r["split_close"], 9), round(r["adjusted_close"], 9))
        for r in found.select(sql)
    }


def test_prices_follow_splits_dividends_and_late_rows(plant: Place) -> None:
    plant.write(
        bars(("A", 0, 100.0), ("A", 1, 104.0), ("A", 2, 50.0), ("B", 1, 7.0)),
        bars(("A", 0, 99.0), vendor="polygon"),
        splits(("A", 2, 2.0)),
        splits(("A", 3, 2.0), vendor="polygon"),
        dividends(("A", 1, 5.0)),
    )
    first = plant.transform(tests=True)
    assert {r.mode for r in first.values() if r.mode} == {"full"}
    assert _closes(plant) == {
        ("A", 0): (100.0, 50.0, 47.5),
        ("A", 1): (104.0, 52.0, 52.0),
        ("A", 2): (50.0, 50.0, 50.0),
        ("B", 1): (7.0, 7.0, 7.0),
    }
    idle = plant.transform()
    assert {r.mode for r in idle.values() if r.mode} == {"none"}

    plant.write(bars(("A", 0, 110.0), ("B", 2, 8.0)), dividends(("B", 2, 0.7), ("B", 9, 1.0)))
    late = plant.transform(select=_PRICES)
    assert (late["stg_daily_bars"].mode, late["stg_daily_bars"].rows) == ("sessions", 2)
    assert (late["stg_splits"].mode, late["stg_dividends"].mode) == ("none", "whole")
    assert _closes(plant) == {
        ("A", 0): (110.0, 55.0, 52.5),
        ("A", 1): (104.0, 52.0, 52.0),
        ("A", 2): (50.0, 50.0, 50.0),
        ("B", 1): (7.0, 7.0, 6.3),
        ("B", 2): (8.0, 8.0, 8.0),
    }
    rebuilt = sum(r.rows or 0 for r in late.values())
    assert rebuilt > 4
    [job] = plant.select("select * from jobs where what = 'transform' order by started_at desc limit 1")
    assert (job["outcome"], job["rows"], json.loads(job["selection"])["full"]) == ("done", rebuilt, False)


def test_known_at_builds_what_was_known_then_beside_the_present(plant: Place) -> None:
    plant.write(bars(("A", 0, 100.0), ("A", 1, 50.0)))
    before = plant.select("select max(received_at) as at from daily_bars")[0]["at"]
    plant.write(bars(("A", 0, 101.0)), splits(("A", 1, 2.0)))
    plant.transform(select=_PRICES)
    with plant.other("then") as store:
        plant.transform(store, select=_PRICES, known_at=before.astimezone(UTC))
        sql = "select session, split_close from prices_daily order by session"
        assert [r["split_close"] for r in store.query(sql).to_pylist()] == [100.0, 50.0]
    assert [r["split_close"] for r in plant.select(sql)] == [50.5, 50.0]


def test_only_touched_sessions_of_trades_are_built_again(plant: Place) -> None:
    plant.model("by_session", USER_MODELS["by_session"])
    plant.write(trades(*[("A", n, str(i), 10.0) for n in range(4) for i in range(3)]))
    plant.transform(select=("+by_session",))
    list(plant.store.maintain(day(40), timedelta(0)))
    assert plant.transform(select=("+by_session",))["by_session"].mode == "none"
    plant.write(
        trades(("A", 1, "0", 10.0), ("A", 2, "9", 10.0)),
        trades(("A", 3, "1", 10.0), feed="iex"),
        cancels(("A", 0, "2")),
    )
    result = plant.transform(select=("+by_session",))["by_session"]
    assert (result.mode, result.rows) == ("sessions", 2)
    found = plant.select("select session, trades, volume from by_session order by session")
    assert [(r["session"], r["trades"], r["volume"]) for r in found] == [
        (day(0), 2, 20.0),
        (day(1), 3, 30.0),
        (day(2), 4, 40.0),
        (day(3), 3, 30.0),
    ]


def test_a_reader_sees_a_mart_before_or_after_and_never_between(plant: Place) -> None:
    names, days = [f"S{i}" for i in range(40)], range(60)
    plant.write(bars(*[(s, n, 1.0) for s in names for n in days]))
    plant.transform(select=_PRICES)
    seen: set[tuple[int, float, float]] = set()
    stop, failed = Event(), list[BaseException]()

    def read() -> None:
        try:
            with plant.other("marts") as store:
                while not stop.is_set():
                    sql = "select count(*) as n, min(close) as low, max(split_close) as high from prices_daily"
                    [row] = store.query(sql).to_pylist()
                    seen.add((row["n"], row["low"], row["high"]))
        except BaseException as error:
            failed.append(error)

    reader = Thread(target=read)
    reader.start()
    try:
        plant.write(bars(*[(s, n, 2.0) for s in names for n in days]))
        assert plant.transform(select=_PRICES)["stg_daily_bars"].mode == "sessions"
        plant.transform(select=_PRICES, full=True)
    finally:
        stop.set()
        reader.join(60)
    assert not failed
    assert seen == {(2400, 1.0, 1.0), (2400, 2.0, 2.0)}


def test_a_model_that_breaks_its_grain_fails_and_leaves_the_mart_as_it_was(plant: Place) -> None:
    sql = "{{{{ config(grain=['symbol']) }}}} select symbol, session from {{{{ ref('stg_daily_bars') }}}} {}"
    plant.model("once", sql.format("where session = date '2024-01-02'"))
    plant.write(bars(("A", 0, 1.0), ("A", 1, 1.0)))
    plant.transform(select=("+once",))
    plant.model("once", sql.format(""))
    report = plant.report(select=("+once",))
    assert not report.ok
    [failure] = [r for r in report.results if r.status == "failed"]
    assert failure.name == "once"
    assert "symbol" in (failure.message or "")
    assert plant.select("select session from once") == [{"session": day(0)}]
    [job] = plant.select("select outcome, error from jobs order by started_at desc limit 1")
    assert job == {"outcome": "failed", "error": "transform: expected every model and test to pass, was once"}


def test_a_mart_whose_sql_changed_is_built_in_full_with_its_new_columns(plant: Place) -> None:
    plant.model("own", "select symbol from {{ ref('stg_daily_bars') }}")
    plant.model("upon", "{{ config(materialized='view') }} select count(*) as n from {{ ref('own') }}")
    plant.write(bars(("A", 0, 1.0)))
    plant.transform(select=("+upon",))
    plant.model("own", "select symbol, session as day from {{ ref('stg_daily_bars') }}")
    results = plant.transform(select=("+upon",))
    assert (results["own"].mode, results["stg_daily_bars"].mode) == ("full", "none")
    assert plant.select("select * from own") == [{"symbol": "A", "day": day(0)}]
    assert plant.select("select n from upon") == [{"n": 1}]


def test_two_transforms_at_once_are_refused(plant: Place) -> None:
    with plant.other("marts") as store, store.transforming(), pytest.raises(Busy, match="transforming"):
        plant.transform()


def test_a_project_that_cannot_be_read_is_a_usage_error(plant: Place) -> None:
    plant.model("wrong", "select * from {{ ref('nothing') }}")
    with pytest.raises(UsageError, match="nothing"):
        plant.transform()


@pytest.mark.parametrize("name", ["trades", "Mine", "two words"])
def test_a_model_of_a_users_own_has_a_name_that_can_be_queried(name: str, tmp_path: Path) -> None:
    with place("lake", tmp_path) as found:
        found.model(name, "select 1 as n")
        with pytest.raises(UsageError, match=f"was {name}.sql"):
            found.transform()


def test_no_file_of_a_run_holds_the_password(tmp_path: Path) -> None:
    secret = "hunter2-and-more"
    with place("postgres", tmp_path) as found:
        url = found.url.replace("postgres@", f"postgres:{secret}@")
        with closing(open_store(url, options=found.options)) as store:
            found.transform(store, select=("stg_splits",))
        files = [path for path in work_folder("postgres").rglob("*") if path.is_file()]
        assert any(path.name == "profiles.yml" for path in files)
        assert [path.name for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in str(dict(os.environ))


def test_marts_of_a_lake_whose_history_was_packed_away_are_built_in_full(tmp_path: Path) -> None:
    with place("lake", tmp_path) as found:
        found.write(bars(("A", 0, 1.0)))
        found.transform(select=("stg_daily_bars",))
        log = LakeStore(Path(found.url)).table_log("daily_bars")
        held = log.refresh().version
        for n in range(1, 4):
            found.write(bars(("A", n, 1.0)))
        assert [c.version for c in commits_between(log, held, log.refresh().version) or []] == [2, 3, 4]
        (log.log_folder / f"{held + 1:020d}.json").unlink()
        assert commits_between(log, held, log.state.version) is None
        result = found.transform(select=("stg_daily_bars",))["stg_daily_bars"]
        assert (result.mode, result.rows) == ("full", 4)


def test_the_command_line_prints_json_alone_ends_with_1_on_failure_and_keeps_what_dbt_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place("lake", tmp_path) as found:
        found.write(bars(("A", 0, 1.0)))
        found.model("mine", "select symbol from {{ ref('prices_daily') }}")
        found.model("wrong", "select 1 / 0 from missing")
        monkeypatch.setenv("TICKERPLANT_MODELS", str(found.models))
        monkeypatch.setenv("TICKERPLANT_STORE", found.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        words = ("transform", "--json", "--no-tests", "--select", "+mine", "--select", "wrong")
        done = answer(*words)
        assert done.returncode == 1, done.stderr
        told = json.loads(done.stdout)
        results = {r["name"]: r for r in told["results"]}
        assert told["ok"] is False
        assert (results["mine"]["status"], results["mine"]["mode"], results["mine"]["rows"]) == ("done", "full", 1)
        assert (results["wrong"]["status"], "missing" in results["wrong"]["message"]) == ("failed", True)
        assert "failed model wrong" in done.stderr
        assert found.select("select * from mine") == [{"symbol": "A"}]
        assert (tmp_path / "cache" / "tickerplant" / "dbt-lake.msgpack").stat().st_size > 1000

        found.model("mine", "select symbol, close from {{ ref('prices_daily') }}")
        found.model("wrong", "select close * 2 as double from {{ ref('mine') }}")
        again = subprocess.run(tickerplant_command(*words), capture_output=True, text=True, timeout=100, check=False)
        assert again.returncode == 0, again.stderr
        assert found.select("select * from mine, wrong") == [{"symbol": "A", "close": 1.0, "double": 2.0}]


def test_what_dbt_parsed_is_handed_on_and_an_unwritable_folder_is_no_failure(tmp_path: Path) -> None:
    first, second, cache = tmp_path / "first", tmp_path / "second", tmp_path / "cache"
    for work in (first, second):
        (work / "target").mkdir(parents=True)
    with parsed(first, "lake", cache):
        (first / "target" / "partial_parse.msgpack").write_bytes(b"parsed")
    with parsed(second, "lake", cache):
        assert (second / "target" / "partial_parse.msgpack").read_bytes() == b"parsed"
        (second / "target" / "partial_parse.msgpack").write_bytes(b"parsed again")
    assert [(path.name, path.read_bytes()) for path in cache.iterdir()] == [("dbt-lake.msgpack", b"parsed again")]
    (tmp_path / "a file").write_text("")
    with parsed(second, "lake", tmp_path / "a file" / "cache"):
        assert (second / "target" / "partial_parse.msgpack").read_bytes() == b"parsed again"


def test_a_lake_of_another_reader_has_the_marts_as_delta_tables(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    with place("lake", tmp_path) as found:
        found.write(bars(("A", 0, 1.0), ("B", 400, 2.0)))
        found.transform(select=_PRICES)
        found.write(bars(("A", 1, 3.0)))
        found.transform(select=_PRICES)
        assert isinstance(found.store, LakeStore)
        table = DeltaTable(str(found.store.root / "marts" / "stg_daily_bars"))
        closes = sorted((r["session"], r["close"]) for r in table.to_pyarrow_table().to_pylist())
        assert closes == [(day(0), 1.0), (day(1), 3.0), (day(400), 2.0)]
        assert len(table.file_uris()) == 3
        assert contents(found.store, ["stg_splits"]) == {"stg_splits": []}
        assert table.to_pyarrow_table().column("received_at")[0].as_py() > NOON


def test_the_python_api_reads_marts_by_name_symbol_and_session(plant: Place) -> None:
    plant.write(bars(("A", 0, 1.0), ("A", 1, 2.0), ("A", 2, 3.0), ("B", 1, 9.0)))
    plant.transform(select=_PRICES)
    api = Plant(plant.store)
    assert {"prices_daily", "stg_daily_bars", "adjustment_factors"} <= set(api.marts())
    found = api.table("prices_daily", "A", day(1), day(3)).arrow()
    assert found.column("adjusted_close").to_pylist() == [2.0, 3.0]
    with pytest.raises(UsageError, match="was 'nothing'"):
        api.table("nothing")
