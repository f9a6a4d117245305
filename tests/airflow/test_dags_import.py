"""Airflow reads every DAG file without an error and in no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_plant import ALL_DAGS, DAGS

_READ = """
import json, sys
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
heavy = ("pyarrow", "duckdb", "polars", "deltalake", "exchange_calendars", "httpx2", "pandas")
before = set(sys.modules)
bag = DagBag(sys.argv[1])
json.dump({
    "errors": bag.import_errors,
    "seconds": {s.file: s.duration.total_seconds() for s in bag.dagbag_stats},
    "dags": {d.dag_id: {
        "schedule": type(d.timetable).__name__, "retries": [t.retries for t in d.tasks], "catchup": d.catchup,
        "max_active_runs": d.max_active_runs, "pause_s": [t.retry_delay.total_seconds() for t in d.tasks],
        "alarmed": [bool(t.has_on_failure_callback) for t in d.tasks],
    } for d in bag.dags.values()},
    "heavy": [m for m in heavy if m in set(sys.modules) - before],
}, sys.stderr)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow finds, in a process of its own."""
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    env |= {"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _READ, str(DAGS)], env=env, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stderr[done.stderr.index('{"errors"') :])


def test_there_are_no_import_errors_and_all_dags(read: dict[str, Any]) -> None:
    assert read["errors"] == {}
    assert sorted(read["dags"]) == ALL_DAGS
    assert len(ALL_DAGS) == 7


def test_each_file_is_imported_in_under_two_seconds(read: dict[str, Any]) -> None:
    assert {Path(name).stem for name in read["seconds"]} >= set(ALL_DAGS)
    assert {name: s for name, s in read["seconds"].items() if s >= 2.0} == {}


def test_no_driver_is_loaded_by_an_import(read: dict[str, Any]) -> None:
    assert read["heavy"] == []


def test_schedules_retries_and_alarms_are_as_promised(read: dict[str, Any]) -> None:
    dags = read["dags"]
    assert all(not d["catchup"] and d["max_active_runs"] == 1 for d in dags.values())
    assert {n for n, d in dags.items() if "Asset" in d["schedule"]} == {"stocks_polygon_load", "stocks_dbt_transform"}
    assert set(dags["stream_quotes_bars"]["retries"]) == {1}
    assert set(dags["daily_snapshots"]["retries"]) == {3}
    assert set(dags["daily_snapshots"]["pause_s"] + dags["stream_quotes_bars"]["pause_s"]) == {300.0}
    assert all(all(d["alarmed"]) for name, d in dags.items() if name != "health")
