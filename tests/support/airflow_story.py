"""All DAGs once, from trigger to marts, against the simulator; the store is asked what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.airflow_plant import ALL_DAGS, Airflow
from tests.support.plant import differences, log_tally, query, store_tally
from tickerplant.calendar import last_session
from tickerplant.simulator.process import Running, running

SYMBOLS, SEED = 60, 7
SECRET = "sEcReT-unmistakable-4711"
TABLES = ("daily_bars", "quotes", "trades", "snapshots", "prices_daily")


@dataclass(frozen=True)
class Scene:
    """What the tasks work on."""

    folder: Path
    live: Running
    rest: Running
    session: str

    @property
    def store(self) -> Path:
        """The lake."""
        return self.folder / "lake"

    def environment(self) -> dict[str, str]:
        """Connections and Variables, as a deployment's secrets backend would give them."""
        rest = self.rest.rest
        alpaca = {"ALPACA_WEBSOCKET_URL": self.live.ws, "ALPACA_DATA_URL": rest["alpaca"]}
        connections: dict[str, dict[str, Any]] = {
            "alpaca": {"login": "PK", "password": SECRET, "extra": {**alpaca, "ALPACA_TRADING_URL": rest["alpaca"]}},
            "polygon": {"password": SECRET, "extra": {"POLYGON_URL": rest["polygon"], "POLYGON_PLAN": "advanced"}},
            "alphavantage": {
                "password": SECRET,
                "extra": {"ALPHA_VANTAGE_URL": rest["alphavantage"], "ALPHA_VANTAGE_PLAN": "1200"},
            },
        }
        variables: dict[str, dict[str, Any]] = {
            "settings": {"TICKERPLANT_DATA": str(self.folder), "TICKERPLANT_STORE": str(self.store)},
            "ingest": {"endpoint": "daily_bars", "sessions": 5},
            "snapshots": {"symbols": "SPY,QQQ", "rhythm": "hourly"},
        }
        given: dict[str, dict[str, Any]] = {}
        given |= {
            f"AIRFLOW_CONN_TICKERPLANT_{n.upper()}": {"conn_type": "generic", **c} for n, c in connections.items()
        }
        given |= {f"AIRFLOW_VAR_TICKERPLANT_{n.upper()}": v for n, v in variables.items()}
        return {name: json.dumps(value) for name, value in given.items()}


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A simulated market and simulated vendors whose last session is the real last one."""
    folder.mkdir(parents=True, exist_ok=True)
    day = last_session(datetime.now(UTC)).day.isoformat()
    market = ["--session", day, "--seed", str(SEED), "--symbols", str(SYMBOLS), "--minutes", "2"]
    live = [*market, "--speed", "12", "--linger", "60"]
    with running(live, folder / "oracle.json") as feed, running([*market, "--rest-only", "--days", "8"]) as rest:
        yield Scene(folder, feed, rest, day)


def _succeeded(found: Airflow, dag: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    tasks = found.tasks(dag, run["dag_run_id"])
    bad = [t for t in tasks if t["state"] in ("failed", "up_for_retry", "upstream_failed")]
    said = [found.task_log(dag, run["dag_run_id"], t["task_id"], t["map_index"])[-3000:] for t in bad[:2]]
    assert run["state"] == "success", (dag, [(t["task_id"], t["state"]) for t in tasks], *said)
    return tasks


def _now() -> str:
    return datetime.now(UTC).isoformat()


def play(found: Airflow, on: Scene) -> dict[str, Any]:
    """Trigger everything and see that it ends well; returns what the store has."""
    for dag in ALL_DAGS:
        found.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
    began = _now()
    stream = found.trigger("stream_quotes_bars", {"for": "20s", "always_open": True})
    ingest = found.trigger("stocks_polygon_ingest", {"start": _start(on), "end": _end(on)})
    tasks = _succeeded(found, "stocks_polygon_ingest", found.run_over("stocks_polygon_ingest", ingest))
    assert sum(t["task_id"] == "land" for t in tasks) == 2
    _log_is_there_and_clean(found, "stocks_polygon_ingest", ingest, "land", 0)
    load = found.run_by_asset("stocks_polygon_load", began)
    _succeeded(found, "stocks_polygon_load", load)
    _succeeded(found, "stream_quotes_bars", found.run_over("stream_quotes_bars", stream))
    repaired = ""
    for dag in ("daily_snapshots", "repair_and_quality", "health"):
        run = found.run_over(dag, found.trigger(dag, {"session": on.session} if dag == "repair_and_quality" else {}))
        tasks = _succeeded(found, dag, run)
        repaired = next((str(t["end_date"]) for t in tasks if t["task_id"] == "repair"), repaired)
    _succeeded(found, "stocks_dbt_transform", found.run_by_asset("stocks_dbt_transform", repaired))
    return outcome(on)


def _log_is_there_and_clean(found: Airflow, dag: str, run: str, task: str, map_index: int) -> None:
    text = found.task_log(dag, run, task, map_index)
    assert "exit code 0" in text, text[-2000:]
    assert SECRET not in text


def _start(on: Scene) -> str:
    return (datetime.fromisoformat(on.session) - timedelta(days=7)).date().isoformat()


def _end(on: Scene) -> str:
    return (datetime.fromisoformat(on.session) + timedelta(days=1)).date().isoformat()


def outcome(on: Scene) -> dict[str, Any]:
    """What the store has, after seeing that nothing is lost or doubled and that the marts are of these rows."""
    log, store = on.folder / "log", on.store
    partitions = [p.name for p in log.iterdir() if p.is_dir() and ".repair" not in p.name]
    expected, _ = log_tally(log, partitions)
    assert differences(expected, store_tally(store)) == (0, 0)
    sent = on.live.oracle()["tables"]
    counts = {t: query(store, f'select count(*) as n from "{t}"')[0]["n"] for t in TABLES}
    for table in ("quotes", "trades"):
        assert counts[table] == sum(f["count"] for f in sent[table].values()), table
    days = query(store, "select count(*) as n from (select distinct symbol, session from daily_bars)")[0]["n"]
    assert counts["prices_daily"] == days == counts["daily_bars"] > 5 * SYMBOLS
    assert counts["snapshots"] == 2
    return counts
