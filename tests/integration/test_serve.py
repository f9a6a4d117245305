"""`tickerplant serve --metrics` as a process, asked over real HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.exposition import read
from tests.support.holes import Cut, market, write_log
from tests.support.plant import answer, stop, tickerplant
from tickerplant.jobs.joblog import job
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.stores import open_store
from tickerplant.vendors import vendor


@contextmanager
def served(**settings: str) -> Iterator[dict[str, str]]:
    """The addresses of a running `serve --metrics`; it ends with exit code 0 on SIGTERM."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TICKERPLANT", "POSTGRES", "ALPACA"))}
    process = tickerplant("serve", "--metrics", "--port", "0", env={**clean, **settings})
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        code = stop(process)
    assert code == 0


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    write_log(tmp_path / "log", market(symbols=3, minutes=1, rate=20), [Cut(20.0, 30.0)])
    with closing(open_store(str(tmp_path / "lake"))) as store:
        load(open_log(str(tmp_path / "log")), store, vendor)
        with job(store, "fetch", {}) as run:
            run.rows = 7
    return tmp_path


def test_a_plant_is_scraped_and_asked_for_its_health(plant: Path) -> None:
    with closing(open_store(str(plant / "lake"), read_only=True)) as store:
        rows = store.query("select count(*) as n from quotes").to_pylist()[0]["n"]
        gaps = store.query("select count(*) as n from gaps where state = 'closed'").to_pylist()[0]["n"]
        progress = store.progress("alpaca.sip")
    with served(TICKERPLANT_DATA=str(plant)) as address, httpx2.Client() as client:
        page = client.get(address["metrics"])
        health = client.get(address["health"])
        missing, wrong = client.get(address["health"] + "y"), client.post(address["metrics"])
        head = client.head(address["metrics"])
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {name: family.samples for name, family in read(page.text).items()}
    assert rows > 0
    assert found["tickerplant_table_rows"][(("table", "quotes"),)] == rows
    assert found["tickerplant_gaps"][("feed", "alpaca.sip"), ("state", "closed")] == gaps > 0
    assert found["tickerplant_lag_bytes"] == {(("partition", "alpaca.sip"),): 0}
    assert found["tickerplant_received_messages_total"] == {(("partition", "alpaca.sip"),): progress.counters.received}
    assert found["tickerplant_job_last_rows"] == {(("what", "fetch"),): 7}
    assert found["tickerplant_store_up"] == {(): 1}
    told = health.json()
    assert (health.status_code, told["outcome"]) == (503 if told["outcome"] == "fail" else 200, told["outcome"])
    assert {c["name"] for c in told["checks"]} >= {"store", "clock", "lag alpaca.sip", "disk of the log", "job fetch"}
    assert (missing.status_code, wrong.status_code, wrong.headers["allow"]) == (404, 405, "GET, HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_a_store_that_is_away_is_503_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("T0K3N\n")
    settings = {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "1",
        "POSTGRES_USER": "nobody",
        "POSTGRES_PASSWORD_FILE": str(tmp_path / "password"),
        "TICKERPLANT_DATA": str(tmp_path),
    }
    with served(**settings) as address, httpx2.Client() as client:
        health, page = client.get(address["health"]), client.get(address["metrics"])
    assert (health.status_code, health.json()["outcome"]) == (503, "fail")
    found = read(page.text)
    assert (page.status_code, found["tickerplant_store_up"].samples) == (200, {(): 0})
    assert "tickerplant_table_rows" not in found
    assert "T0K3N" not in health.text + page.text


def test_a_port_that_is_taken_and_nothing_to_serve_are_usage_errors(tmp_path: Path) -> None:
    with served(TICKERPLANT_DATA=str(tmp_path)) as address:
        port = address["metrics"].rsplit(":", 1)[1].partition("/")[0]
        for words, expected in (
            (("--metrics", "--port", port), "Address already in use"),
            ((), "expected either --feed or --metrics"),
        ):
            done = answer("serve", *words)
            assert done.returncode == 2
            assert expected in done.stderr
