"""`tickerplant config` over PostgreSQL: every finding against a real server, or one that never answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.plant import answer, tickerplant_command
from tests.support.postgres import fresh_schema, server
from tickerplant.jobs.check import Check, check
from tickerplant.postgres_url import parse, url
from tickerplant.settings import read_settings


def _checks(store: str, schema: str, **env: str) -> dict[str, Check]:
    found = read_settings({"TICKERPLANT_STORE": store, "TICKERPLANT_SCHEMA": schema, **env}, dotenv=None)
    return {c.name: c for c in check(found)}


@pytest.fixture
def schema() -> Iterator[str]:
    with fresh_schema() as options:
        yield options.schema


def test_a_store_that_is_well(schema: str) -> None:
    found = _checks(server().url, schema)

    assert [found[n].outcome for n in ("store", "store schema", "store rights", "store TLS", "TimescaleDB")] == [
        "ok"
    ] * 5
    assert "database postgres as postgres" in found["store"].found
    assert found["store rights"].found == "reads and loads, and can delete"
    assert found["store TLS"].found == "not used, the server is on this machine"
    assert found["TimescaleDB"].found.startswith("not there")
    assert found["log"].outcome in ("ok", "warn")


def test_a_schema_that_is_not_made_or_old_needs_init(schema: str) -> None:
    missing = _checks(server().url, "nobody_made_this")["store schema"]
    assert (missing.outcome, missing.found, missing.do) == ("fail", "nobody_made_this is not there", "tickerplant init")
    with psycopg.connect(server().url, autocommit=True) as link:
        last = link.execute(f"select max(number) from {schema}._migrations".encode()).fetchone()
        link.execute(
            f"delete from {schema}._migrations where number = (select max(number) from {schema}._migrations)".encode()
        )
    assert last is not None
    old = _checks(server().url, schema)["store schema"]
    assert (old.outcome, old.found) == ("fail", f"{schema} is at version {last[0] - 1} of {last[0]}")


def test_what_a_user_may_not_is_told_with_the_remedy(schema: str) -> None:
    user = f"login_{os.getpid()}"
    as_user = url({**parse(server().url, ""), "user": user})
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute(f"create role {user} login".encode())
        try:
            closed = _checks(as_user, schema)
            link.execute(f"grant usage on schema {schema} to {user}".encode())
            link.execute(f"grant select on all tables in schema {schema} to {user}".encode())
            reads = _checks(as_user, schema)
        finally:
            link.execute(f"drop owned by {user}; drop role {user}".encode())

    assert closed["store schema"].found == f"{schema} is closed to {user}"
    assert closed["store rights"].found == f"{user} cannot read {schema}"
    assert closed["store rights"].do.endswith(f"then `grant tickerplant_reader to {user}`")
    assert reads["store schema"].outcome == "ok"
    assert (reads["store rights"].outcome, reads["store rights"].found) == ("warn", "reads, cannot load")


def test_a_server_that_takes_a_connection_and_never_answers_is_a_finding_in_seconds(schema: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        began = time.monotonic()
        found = _checks(f"postgresql://u:hush@127.0.0.1:{mute.getsockname()[1]}/d?connect_timeout=2", schema)["store"]
        assert time.monotonic() - began < 20

    assert found.outcome == "fail"
    assert "timeout" in found.found
    assert "start the server" in found.do
    assert "hush" not in f"{found}"


def test_a_wrong_option_is_a_finding(schema: str) -> None:
    found = _checks("postgresql://u:hush@127.0.0.1/d?colour=red", schema)["store"]
    assert (found.outcome, "options that libpq knows" in found.found) == ("fail", True)


def test_an_embedded_server_is_not_started_by_a_look(tmp_path: Path) -> None:
    found = _checks(f"postgresql+embedded://{tmp_path}/pg", "tickerplant")

    assert found["store"].found == "an embedded server, started when it is used"
    assert str(tmp_path) in found["store disk"].found
    assert not (tmp_path / "pg").exists()


def test_config_prints_no_password_and_names_what_disagrees(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TICKERPLANT", "POSTGRES", "TIMESCALE", "PG"))}
    env |= {
        "TICKERPLANT_STORE": "postgresql://u:hush%40@127.0.0.1:1/d",
        "TIMESCALE_LIVE_CONN_STRING": "postgresql+psycopg2://u:hush%40@127.0.0.1:1/d",
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "1",
        "POSTGRES_PASSWORD": "hush@",
        "LOG_LEVEL": "debug",
    }

    def checked(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 1
        assert "hush" not in done.stdout + done.stderr
        return done.stdout

    found = json.loads(checked(answer("config", "--json", environment=env, folder=tmp_path)))
    (store,) = [c for c in found["checks"] if c["name"] == "store"]
    assert store["found"].startswith("postgresql://u@127.0.0.1:1/d: expected a server that answers")
    assert found["settings"]["store"] == "postgresql://u@127.0.0.1:1/d"
    assert found["settings"]["postgres_password"] == "set"
    wide = {**env, "POSTGRES_PASSWORD": "hush!", "COLUMNS": "300"}
    words = tickerplant_command("config")
    text = checked(subprocess.run(words, capture_output=True, text=True, timeout=60, env=wide, cwd=tmp_path))
    assert "TICKERPLANT_STORE and TIMESCALE" not in text
    assert "TICKERPLANT_STORE and POSTGRES_PASSWORD: expected one server, database and user" in text
    assert "unclear, see the checks" in text


def test_an_explicit_store_wins_over_settings_that_disagree(tmp_path: Path) -> None:
    env = {**os.environ, "TICKERPLANT_STORE": "postgresql://a/x", "POSTGRES_HOST": "b", "POSTGRES_PASSWORD": "hush"}
    query = ("query", "--json", "select count(*) as n from positions")
    chosen = answer(*query, "--store", tmp_path / "lake", environment=env)
    unclear = answer(*query, environment=env)

    assert "TICKERPLANT_STORE" not in chosen.stderr
    assert unclear.returncode == 2
    assert (
        "TICKERPLANT_STORE and POSTGRES_HOST: expected one server, database and user, was host a and b"
        in unclear.stderr
    )
