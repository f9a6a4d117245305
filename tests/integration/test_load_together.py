"""Several batch loads at once over several partitions: none waits for one that waits for it."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from tests.support.plant import wait_for
from tickerplant.errors import Busy
from tickerplant.jobs.load import LoadSummary, load
from tickerplant.logs import open_log
from tickerplant.model import Kind
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

QUOTE = b'[{"T":"q","S":"A","bp":1.0,"t":"2025-11-20T15:00:00Z"}]'


def test_a_load_that_waits_for_another_partition_gives_up_those_it_has_loaded(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log"))
    for partition in ("alpaca.iex", "alpaca.sip"):
        with log.writer(partition) as writer:
            writer.append(Kind.DATA, 1_763_650_800_000_000_000, QUOTE)
    made: list[LoadSummary] = []
    with closing(open_store(str(tmp_path / "lake"))) as mine, closing(open_store(str(tmp_path / "lake"))) as other:
        with other.loading("alpaca.sip"):
            loading = threading.Thread(target=lambda: made.append(load(log, mine, vendor)))
            loading.start()
            wait_for(lambda: other.progress("alpaca.iex").position > 0, 30, "the free partition is loaded")
            wait_for(lambda: _is_free(tmp_path, "alpaca.iex"), 30, "its lease is given up")
            assert loading.is_alive()
        loading.join(30)
        assert not loading.is_alive()
        assert other.query("select symbol from quotes").num_rows == 2
    (summary,) = made
    assert {s.partition for s in summary.partitions} == {"alpaca.iex", "alpaca.sip"}
    assert summary.counters.stored == 2


def _is_free(folder: Path, partition: str) -> bool:
    with closing(open_store(str(folder / "lake"))) as store:
        try:
            with store.loading(partition, 0):
                return True
        except Busy:
            return False
