"""A market with corrections, cancels and updated bars through capture and load: the views say what the oracle says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.plant import ask, log_tally, stop, tickerplant, wait_for
from tests.support.postgres import fresh_schema, server
from tickerplant.fingerprint import Fingerprint, Tally
from tickerplant.model import Batch
from tickerplant.simulator.process import running
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.tables import TABLES

MARKET = ("--seed", "11", "--symbols", "40", "--minutes", "5", "--rate", "300", "--corrected", "0.02", "--speed", "0")
FAULTS = ("duplicate@20000m", "disconnect@40000m:0.2s", "duplicate@60000m", "mute@70000m:0.3s")
VIEWS = ("trades", "bars", "daily_bars")


@dataclass(frozen=True)
class Played:
    """A log, and what the simulator says it sent."""

    log: Path
    oracle: dict[str, Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The market with messages that came twice, and corrections of trades missed while the connection was down."""
    folder = tmp_path_factory.mktemp("market")
    arguments = [*MARKET, "--linger", "0.2", *(f"--fault={fault}" for fault in FAULTS)]
    with running(arguments, folder / "oracle.json", stderr=subprocess.DEVNULL) as simulator:
        channels = ("--symbols", "*", "--channels", "trades,bars,updated_bars,daily_bars")
        capture = tickerplant(
            "capture", "--url", simulator.ws, *channels, "--log", folder / "log", "--for", "1h",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(lambda: simulator.oracle()["complete"], 60, "the end of the market")
            sent = Tally.from_json(simulator.oracle()["tables"]).tables
            wait_for(lambda: log_tally(folder / "log")[0].tables == sent, 60, "a log that holds everything", pause=0.2)
        finally:
            code = stop(capture)
        assert code == 0
        oracle = simulator.oracle()
    return Played(folder / "log", oracle)


@pytest.fixture(scope="module", params=["lake", "postgres"])
def store(request: pytest.FixtureRequest, played: Played) -> Iterator[AnyStore]:
    if request.param == "lake":
        folder = played.log.with_name("lake")
        ask("load", "--log", played.log, "--store", folder)
        with closing(open_store(str(folder), read_only=True)) as lake:
            yield lake
        return
    with fresh_schema() as options, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKERPLANT_SCHEMA", options.schema)
        ask("load", "--log", played.log, "--store", server().url)
        with closing(open_store(server().url, read_only=True, options=StoreOptions(schema=options.schema))) as postgres:
            yield postgres


def view(store: AnyStore, table: str, moment: datetime | None = None) -> Tally:
    """The tally of a latest view, or of the state known at a moment."""
    columns = ", ".join(f'"{name}"' for name in TABLES[table].schema.names)
    if moment is None:
        found = store.query(f"select {columns} from {table}_latest")
    else:
        found = store.query(f"select {columns} from {table}_known_at(?::timestamptz)", [moment.isoformat()])
    return Tally.of(Batch(TABLES[table], b) for b in found.cast(TABLES[table].schema).to_batches())


def test_the_latest_view_is_the_oracles(played: Played, store: AnyStore) -> None:
    expected = Tally.from_json(played.oracle["latest"]["sip"]["tables"])
    assert expected.total("trades").count < Tally.from_json(played.oracle["tables"]).total("trades").count
    for table in VIEWS:
        assert view(store, table).tables[table] == expected.tables[table], table
    kinds = store.query("select kind, count(*) as n from trade_corrections group by kind").to_pylist()
    assert {row["kind"] for row in kinds} == {"correction", "cancel", "error"}
    again = "select count(*) as n from trade_corrections a join trade_corrections b on a.corrected_id = b.original_id"
    assert store.query(again).to_pylist()[0]["n"] > 10
    assert store.query("select count(*) as n from trade_corrections_unmatched").to_pylist()[0]["n"] > 3
    assert store.query("select count(*) as n from bars where revision = 1").to_pylist()[0]["n"] > 0


def test_what_was_known_is_what_the_oracle_had_sent_by_then(played: Played, store: AnyStore) -> None:
    known = {k["rows"]: k["tables"] for k in played.oracle["latest"]["sip"]["known"]}
    cuts = dict(list(_cuts(store, set(known)))[:: 3 if store.dialect == "duckdb" else 5])
    assert len(cuts) >= 3
    for rows, moment in cuts.items():
        for table in VIEWS:
            expected = known[rows].get(table, Fingerprint().as_json())
            assert view(store, table, moment).total(table).as_json() == expected, (rows, table)


def _cuts(store: AnyStore, wanted: set[int]) -> Iterator[tuple[int, datetime]]:
    """For numbers of rows received, the receipt of the last; not where the next row came in the same microsecond."""
    tables = [t for t in TABLES if "seq" in TABLES[t].schema.names]
    union = " union all ".join(f"select received_at, count(*) as n from {t} group by received_at" for t in tables)
    sql = f"select received_at, sum(n)::bigint as n from ({union}) u group by received_at order by received_at"
    total = 0
    for row in store.query(sql).to_pylist():
        total += row["n"]
        if total in wanted:
            yield total, row["received_at"]
