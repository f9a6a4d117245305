"""The Python API gives the same answers on every kind of store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.test_store_contract import TIMESCALE
from tests.support.postgres import fresh_schema, server, timescale_url
from tests.unit.test_query_api import FOUND
from tickerplant.model import Counters, Position
from tickerplant.query import Plant
from tickerplant.stores import AnyStore, open_store


def answers(store: AnyStore) -> list[object]:
    store.write("p", Position(0), Position(1), FOUND, Counters(len(FOUND), len(FOUND)))
    plant = Plant(store)
    found = [
        plant.quotes().arrow(),
        plant.trades("A", "2013-10-07", "2013-10-08").arrow(),
        plant.last_quotes().arrow(),
        plant.last_quotes(["A"], "2013-10-08").arrow(),
        plant.bars("A", "5m").arrow(),
        plant.bars("A", "1h", source="bars").arrow(),
        plant.asof_join("A").arrow(),
    ]
    tables = [(t.column_names, t.to_pylist()) for t in found]
    return [*tables, plant.fingerprints("quotes"), plant.sessions()]


@pytest.mark.parametrize("kind", ["postgres", TIMESCALE])
def test_answers_are_equal(tmp_path: Path, kind: str) -> None:
    url = timescale_url() if kind == "timescale" else None
    with fresh_schema(url=url) as options, closing(open_store(str(tmp_path / "lake"))) as lake:
        ours = answers(lake)
        with closing(open_store(url or server().url, options=options)) as postgres:
            theirs = answers(postgres)
    assert ours == theirs
