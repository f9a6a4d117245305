"""The services of compose.yaml's profile `core`, and `metrics`, as processes: their words, variables and secret files.

The server is the embedded PostgreSQL; host and port are the only variables that are not those of the file.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg
import pytest
from psycopg import sql

from tests.support.compose import ROOT, Service, services
from tests.support.exposition import read
from tests.support.holes import market, write_log
from tests.support.plant import stop, tickerplant, tickerplant_command
from tests.support.postgres import server
from tickerplant import postgres_url
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.settings import read_settings
from tickerplant.stores import StoreOptions, open_store
from tickerplant.vendors import vendor


@dataclass(frozen=True)
class Machine:
    """Where the services run: a folder instead of the volume and the secrets, a server instead of `db`."""

    folder: Path
    host: str
    port: str

    def environment(self, service: Service) -> dict[str, str]:
        """The service's variables, here."""
        place = {"TICKERPLANT_DATA": str(self.folder / "data"), "POSTGRES_HOST": self.host, "POSTGRES_PORT": self.port}
        own = service.here(self.folder / "secrets", **place)
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return kept | own

    def run(self, service: Service, words: list[str]) -> subprocess.CompletedProcess[str]:
        """The entry point with these words, to its end."""
        return subprocess.run(
            tickerplant_command(*words),
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A database and a role as the image of `db` makes them, its password in the secret file alone."""
    subprocess.run([ROOT / "deploy" / "make-secrets", tmp_path / "secrets"], check=True, timeout=30)
    (tmp_path / "data").mkdir()
    password = (tmp_path / "secrets" / "postgres_password").read_text()
    parts = postgres_url.parse(server().url, "server")
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute(sql.SQL("create role tickerplant login password {}").format(sql.Literal(password)))
        link.execute("create database tickerplant owner tickerplant")
        try:
            yield Machine(tmp_path, parts["host"], parts.get("port", "5432"))
        finally:
            link.execute("drop database tickerplant with (force)")
            link.execute("drop role tickerplant")


def test_the_core_profile_runs(machine: Machine) -> None:
    found = services()
    init, run, metrics = found["init"], found["run"], found["metrics"]

    before = machine.run(run, run.healthcheck[2:])
    assert before.returncode == 1

    made = machine.run(init, init.command)
    assert (made.returncode, made.stdout.strip().endswith("steps run")) == (0, True)

    settings = read_settings(machine.environment(run), None)
    write_log(Path(settings.log), market(symbols=3, minutes=1, rate=20))
    with closing(open_store(settings.store, options=StoreOptions(schema=settings.schema))) as store:
        load(open_log(settings.log), store, vendor)
        rows = store.query("select count(*) as n from quotes").to_pylist()[0]["n"]

    after = machine.run(run, [*run.healthcheck[2:], "--json"])
    checks = {c["name"]: c["outcome"] for c in json.loads(after.stdout)["checks"]}
    assert (checks["store"], checks["lag alpaca.sip"]) == ("ok", "ok")

    words = ["0" if word == "9464" else "127.0.0.1" if word == "0.0.0.0" else word for word in metrics.command]
    process = tickerplant(*words, env=machine.environment(metrics), cwd=machine.folder)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())
        page = httpx2.get(address["metrics"])
    finally:
        code = stop(process)
    assert code == 0
    shown = {name: family.samples for name, family in read(page.text).items()}
    assert shown["tickerplant_table_rows"][(("table", "quotes"),)] == rows > 0
    assert shown["tickerplant_store_up"] == {(): 1}
    [info] = shown["tickerplant_store_info"]
    assert dict(info)["layout"] in ("partitions", "hypertables")
    password = (machine.folder / "secrets" / "postgres_password").read_text()
    assert password not in page.text + after.stdout + before.stdout + before.stderr
