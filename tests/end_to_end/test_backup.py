"""A backup beside a running capture and a following loader, the loss of everything, and the way back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.plant import ask, log_end, log_tally, simulator, stop, store_tally, tickerplant, wait_for
from tests.support.postgres import fresh_schema, server
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.logs.verify import verify
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.vendors import vendor

PARTITION = "alpaca.sip"
MARKET = ("--seed", "7", "--symbols", "40", "--minutes", "60", "--speed", "60", "--port", "0")


@pytest.fixture(params=["lake", "postgres"])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str, StoreOptions]]:
    """The URL of the store, of the one to restore into, and their options. PostgreSQL's is replaced."""
    if request.param == "lake":
        yield str(tmp_path / "lake"), str(tmp_path / "new-lake"), StoreOptions()
        return
    with fresh_schema() as options:
        monkeypatch.setenv("TICKERPLANT_SCHEMA", options.schema)
        yield server().url, server().url, options


def _wait_beyond(position: int, store: AnyStore) -> int:
    return wait_for(lambda: max(store.progress(PARTITION).position - position, 0), what="rows loaded")


def test_backups_of_a_running_plant_restore_to_what_their_log_says(
    stores: tuple[str, str, StoreOptions], tmp_path: Path
) -> None:
    url, new_url, options = stores
    log, to, new_log = tmp_path / "log", tmp_path / "backups", tmp_path / "new-log"
    made, store = [], open_store(url, read_only=True, options=options)
    with simulator(*MARKET) as (ws, _):
        arguments = ("--url", ws, "--symbols", "*", "--channels", "quotes,trades,bars", "--log", log, "--always-open")
        capture = tickerplant("capture", *arguments, "--for", "1h", stderr=subprocess.DEVNULL)
        loader = tickerplant(
            *("load", "--log", log, "--store", url, "--follow", "--batch-seconds", "0.05"), stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(2):
                _wait_beyond(store.progress(PARTITION).position, store)
                made.append(json.loads(ask("backup", "--to", to, "--log", log, "--store", url, "--json")))
            _wait_beyond(made[-1]["positions"][PARTITION], store)
        finally:
            store.close()
            assert stop(capture) == 0
            assert stop(loader) == 0
    shutil.rmtree(log)
    shutil.rmtree(tmp_path / "lake", ignore_errors=True)

    positions = [m["positions"][PARTITION] for m in made]
    assert 0 < positions[0] < positions[1]
    assert all(m["verified"] and not m["beyond_log"] for m in made)
    backup = made[-1]
    found = json.loads(
        ask("restore", "--from", backup["folder"], "--store", new_url, "--log", new_log, "--replace", "--json")
    )
    assert found["ok"]
    assert {t["table"]: t["found"] for t in found["tables"]} == backup["tables"]
    with closing(open_store(new_url, options=options)) as restored:
        position = restored.progress(PARTITION).position
        assert 0 < position == backup["positions"][PARTITION] <= log_end(new_log)
        assert all(check.damaged == check.unfinished_bytes == 0 for check in verify(open_log(str(new_log))))
        load(open_log(str(new_log)), restored, vendor)
        expected, counters = log_tally(new_log)
        assert restored.progress(PARTITION).counters == counters
    assert store_tally(new_url, options).as_json() == expected.as_json()
    assert expected.total("quotes").count >= backup["tables"]["quotes"]["count"] > 0
