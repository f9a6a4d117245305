"""PostgreSQL through the command line: init, loads that are killed, and the same rows as in the lake."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.campaigns import TICKS
from tests.contract.test_store_contract import TIMESCALE
from tests.support import lean
from tests.support.plant import answer, ask, store_tally, tickerplant, wait_for
from tests.support.postgres import drop, server, timescale_url
from tickerplant.fingerprint import Tally
from tickerplant.logs import open_log
from tickerplant.model import Batch, Kind
from tickerplant.vendors.alpaca.render import render

_AT = 1_763_649_000_000_000_000
_MOST = 20_000
"""So many quotes and trades of the day are written; `tests.campaigns --real-ticks --store postgres` takes all."""


@pytest.fixture(params=["postgres", TIMESCALE])
def schema(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A schema that the command line uses and that nobody has made yet."""
    name = f"cli_{os.getpid()}_{random.randrange(10**6)}"
    url = timescale_url() if request.param == "timescale" else None
    monkeypatch.setenv("TICKERPLANT_SCHEMA", name)
    monkeypatch.setenv("TICKERPLANT_STORE", url or server().url)
    yield name
    with psycopg.connect(_url(), autocommit=True) as link:
        drop(link, name)


def _url() -> str:
    return os.environ["TICKERPLANT_STORE"]


def _quotes(link: psycopg.Connection[Any], schema: str) -> int:
    row = link.execute(f"select count(*) from {schema}.quotes".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _write_ticks(log: Path) -> Tally:
    """IBM's first quotes and trades of one recorded day as frames of 20, and their tally."""
    tally = Tally()
    with open_log(str(log)).writer("alpaca.sip") as writer:
        frame = 0
        for day in lean.read_day(TICKS, lean.days(TICKS)[0], ["IBM"]):
            batch = Batch(day.table, day.rows.slice(0, _MOST))
            tally.add(batch)
            messages = render(batch).messages
            for first in range(0, len(messages), 20):
                payload = b"[" + b",".join(messages[first : first + 20]) + b"]"
                writer.append(Kind.DATA, _AT + frame * 10_000, payload)
                frame += 1
    return tally


def test_init_plans_runs_once_and_is_safe_from_two_processes(schema: str) -> None:
    assert ask("init", "--plan").strip()
    both = [tickerplant("init", stderr=subprocess.DEVNULL) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)

    assert [p.returncode for p in both] == [0, 0]
    with psycopg.connect(_url()) as link:
        assert _quotes(link, schema) == 0
    ask("init")


@pytest.mark.skipif(not TICKS.is_dir(), reason="the recorded ticks are not beside this checkout")
def test_recorded_ticks_come_out_equal_although_the_loader_is_killed(schema: str, tmp_path: Path) -> None:
    expected = _write_ticks(tmp_path / "log")
    ask("init")
    load = ("load", "--log", tmp_path / "log", "--batch-size", "1000")
    chance, kills = random.Random(3), 0
    with psycopg.connect(_url(), autocommit=True) as link:
        while kills < 5:
            before = _quotes(link, schema)
            loader = tickerplant(*load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            grown = before + chance.randrange(1, 4_000)
            wait_for(lambda: _quotes(link, schema) >= grown or loader.poll() is not None, 60, "rows", 0.02)  # noqa: B023
            loader.kill()
            loader.wait()
            kills += 1
    ask(*load)
    again = json.loads(ask("load", "--log", tmp_path / "log", "--json"))
    ask("load", "--log", tmp_path / "log", "--store", tmp_path / "lake")

    rows = json.loads(
        ask("query", "--json", "select count(*) as n, count(distinct (received_at, seq)) as d from quotes")
    )
    assert again["counters"]["received"] == 0
    assert rows == [{"n": _MOST, "d": _MOST}]
    assert _tally_of(schema) == expected.tables == store_tally(tmp_path / "lake").tables
    assert json.loads(ask("status", "--log", tmp_path / "log", "--json"))["balanced"]


def _tally_of(schema: str) -> object:
    from tickerplant.stores import StoreOptions, open_store
    from tickerplant.tables import VENDOR_TABLES

    store = open_store(_url(), read_only=True, options=StoreOptions(schema=schema))
    tally = Tally.of_store(store, VENDOR_TABLES)
    store.close()
    return tally.tables


def test_a_store_that_is_not_made_yet_says_what_to_do(schema: str, tmp_path: Path) -> None:
    with open_log(str(tmp_path / "log")).writer("alpaca.sip") as writer:
        writer.append(Kind.CONTROL, _AT, b'[{"T":"success","msg":"connected"}]')

    done = answer("load", "--log", tmp_path / "log")

    assert done.returncode != 0
    assert "tickerplant init" in done.stderr
