"""Several loads at once over several partitions: none waits for one that waits for it, and followers share."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread

from tests.support.plant import wait_for
from tickerplant.errors import Busy
from tickerplant.jobs.load import LoadOptions, LoadSummary, PartitionState, load
from tickerplant.logs import open_log
from tickerplant.logs.files import FilesLog
from tickerplant.logs.writer import Options
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


class Follower:
    """A loader that follows, in a thread; `has` are the partitions that it loads."""

    def __init__(self, folder: Path) -> None:
        self.has: set[str] = set()
        self.summary = LoadSummary()
        self._folder, self._stop = folder, Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        options = LoadOptions(batch_age_s=0.05, follow=True)
        with closing(open_store(str(self._folder / "lake"))) as store:
            log = open_log(str(self._folder / "log"))
            self.summary = load(log, store, vendor, options, stop=self._stop, report=self._told)

    def _told(self, states: tuple[PartitionState, ...]) -> None:
        self.has = {s.partition for s in states}

    def end(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_followers_share_the_partitions_and_one_that_ends_leaves_its_own_to_the_others(tmp_path: Path) -> None:
    names = [f"alpaca.sip.{n + 1}of6" for n in range(6)]
    log = FilesLog(tmp_path / "log", Options(sync_interval_s=0.01))
    with ExitStack() as opened:
        writers = [opened.enter_context(log.writer(name)) for name in names]
        followers: list[Follower] = []

        def land(second: int) -> None:
            for writer in writers:
                writer.append(Kind.DATA, (1_763_650_800 + second) * 10**9, QUOTE)

        def shares(*sizes: int) -> bool:
            held = [f.has for f in followers]
            return sorted(map(len, held)) == list(sizes) and set().union(*held) == set(names)

        for second, sizes in enumerate(((6,), (3, 3), (2, 2, 2))):
            followers.append(Follower(tmp_path))
            land(second)
            wait_for(lambda sizes=sizes: shares(*sizes), 30, f"shares of {sizes}")  # type: ignore[misc]
        gone = followers.pop(0)
        gone.end()
        land(3)
        wait_for(lambda: shares(3, 3), 30, "shares of two")
        for follower in followers:
            follower.end()
    with closing(open_store(str(tmp_path / "lake"))) as store:
        rows = store.query("select received_at from quotes").num_rows
        held = store.query("select partition, stored from positions").to_pylist()
    assert rows == 24
    assert {row["partition"]: row["stored"] for row in held} == dict.fromkeys(names, 4)
    assert sum((f.summary.counters.stored for f in (gone, *followers)), 0) == 24
