"""A lake on S3: writers side by side, answers that get lost, owners that die, reads of what is needed only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support import s3
from tests.support.holes import market, write_log
from tests.support.plant import ask, log_records, store_tally, wait_for
from tests.support.rows import rows
from tickerplant.bucket_lease import BucketLease
from tickerplant.errors import Busy, Retryable
from tickerplant.jobs.load import load as load_log
from tickerplant.logs import open_log
from tickerplant.logs.line import encode
from tickerplant.logs.verify import verify
from tickerplant.model import Batch, Counters, Position, Selection
from tickerplant.stores import in_bucket, open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_history import commits_between, pack, state_at
from tickerplant.stores.lake_maintain import sort_session
from tickerplant.tables import GAPS, QUOTES
from tickerplant.vendors import vendor

ONE = Counters(1, 1, 0, 0)


def lake(url: str, at: str | None = None) -> LakeStore:
    return LakeStore(in_bucket(url, s3.settings(Path(), at)))


def quote(symbol: str, second: int = 0) -> Batch:
    at = datetime(2013, 10, 7, 13, 30, tzinfo=UTC) + timedelta(seconds=second)
    return rows(QUOTES, {"symbol": symbol, "ts": at})


def write(store: LakeStore, partition: str, i: int, *batches: Batch) -> None:
    store.write(partition, Position(i), Position(i + 1), batches, ONE)


def at_once(*todo: Callable[[], object]) -> list[BaseException]:
    failed: list[BaseException] = []

    def guarded(what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:  # the assertion of the test tells
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(what,)) for what in todo]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed


def test_writers_of_several_partitions_lose_and_double_nothing() -> None:
    url, count = s3.new_url("lake"), 12

    def load(partition: str) -> None:
        with closing(lake(url)) as store:
            for i in range(count):
                symbols = rows(GAPS, {"channel": f"S{i}", "evidence": partition})
                write(store, partition, i, quote(f"{partition}{i}"), symbols)

    names = ["a", "b", "c"]
    assert at_once(*(lambda n=n: load(n) for n in names)) == []
    with closing(lake(url)) as store:
        found = Counter(store.query("select symbol from quotes").column("symbol").to_pylist())
        assert found == Counter(f"{n}{i}" for n in names for i in range(count))
        keys = Counter(store.query("select channel from gaps").column("channel").to_pylist())
        assert keys == Counter(f"S{i}" for i in range(count))
        assert {n: store.progress(n).position for n in names} == dict.fromkeys(names, count)


def test_two_writers_of_one_partition_write_each_stretch_once() -> None:
    url, refused = s3.new_url("lake"), Counter[str]()

    def load(who: str) -> None:
        with closing(lake(url)) as store:
            while (at := store.progress("p").position) < 15:
                try:
                    write(store, "p", at, quote(f"{at}"))
                except Busy:
                    refused[who] += 1

    assert at_once(lambda: load("one"), lambda: load("two")) == []
    with closing(lake(url)) as store:
        found = Counter(store.query("select symbol from quotes").column("symbol").to_pylist())
        assert found == Counter(str(i) for i in range(15))


def test_a_commit_whose_answer_is_lost_counts_once() -> None:
    url = s3.new_url("lake")
    with s3.gate() as gate, closing(lake(url, gate.url)) as store:
        write(store, "p", 0, quote("A"))
        for i, name in ((1, b"quotes/_delta_log/"), (2, b"positions/_delta_log/"), (3, b"quotes/session")):
            gate.lose = b"PUT /" + url.removeprefix("s3://").encode() + b"/" + name
            write(store, "p", i, quote(f"{i}"))
            assert gate.lose == b""
        found = store.query("select symbol from quotes order by symbol").column("symbol").to_pylist()
        assert found == ["1", "2", "3", "A"]
        assert store.progress("p").position == 4
        assert store.table_log("quotes").state.version == 4


def test_rows_stay_when_the_answer_to_a_rewrite_is_lost_for_good() -> None:
    url = s3.new_url("lake")
    with s3.gate() as gate, closing(lake(url, gate.url)) as store:
        for i in range(3):
            write(store, "p", i, quote(f"{i}"))
        gate.lose, gate.lose_all = b"PUT /" + url.removeprefix("s3://").encode() + b"/quotes/_delta_log/", True
        with pytest.raises(Retryable):
            sort_session(store.table_log("quotes"), "2013-10-07")
        assert not gate.is_open
    with closing(lake(url)) as store:
        (file,) = store.table_log("quotes").files()
        assert file.is_sorted
        assert store.query("select symbol from quotes").column("symbol").to_pylist() == ["0", "1", "2"]


def test_an_owner_is_waited_for_and_one_that_died_here_is_not(tmp_path: Path) -> None:
    url = s3.new_url("lake")
    code = (
        "import sys, time; from tickerplant.stores import open_store\n"
        "with open_store(sys.argv[1]).loading('p'):\n    print('mine', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, **s3.variables()}
    with subprocess.Popen(
        [sys.executable, "-c", code, url], stdout=subprocess.PIPE, env=environment, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with closing(lake(url)) as store:
            with (
                pytest.raises(Busy, match=r"loading p into s3://.*: expected to be the only owner, was owned by proc"),
                store.loading("p", 0),
            ):
                raise AssertionError
            other.kill()
            other.wait()
            with store.loading("p", 0), pytest.raises(Busy), store.loading("p", 0):
                raise AssertionError


def test_an_owner_elsewhere_is_followed_when_its_time_is_over() -> None:
    place, now = s3.bucket(s3.new_url("lease")), [1_000_000_000_000]
    one, two = (BucketLease(place, "x.lock", name, 30, clock_ns=lambda: now[0]) for name in ("one", "two"))
    assert one.take() is None
    now[0] += 20_000_000_000
    assert one.renew()
    now[0] += 20_000_000_000
    owner = two.take()
    assert owner is not None
    assert owner.holder == "one"
    now[0] += 11_000_000_000
    assert two.take() is None
    assert not one.renew()
    one.release()
    assert two.renew()
    two.release()
    assert one.take() is None


def random_quotes(symbols: int, each: int) -> Batch:
    """Quotes that do not compress."""
    count, chance = symbols * each, np.random.default_rng(1)
    one = quote("A").rows
    made = one.take(pa.array(np.zeros(count, np.int64)))
    names = pa.array([f"S{i:03d}" for i in range(symbols)]).take(pa.array(np.arange(count) % symbols))
    columns = {**{n: made.column(n) for n in made.schema.names}, "symbol": names}
    columns |= {n: pa.array(chance.random(count)) for n in ("bid_price", "ask_price")}
    return Batch(QUOTES, pa.RecordBatch.from_arrays(list(columns.values()), schema=QUOTES.schema))


def test_a_query_reads_the_ranges_it_needs() -> None:
    url, many = s3.new_url("lake"), random_quotes(200, 2_000)
    with closing(lake(url)) as store:
        write(store, "p", 0, many)
        list(store.maintain(datetime(2026, 1, 1, tzinfo=UTC).date(), timedelta(0)))
        (file,) = store.table_log("quotes").files()
    with s3.gate() as gate, closing(lake(url, gate.url)) as store:
        before = gate.answered
        found = store.query("select count(*) as n, max(bid_price) as top from quotes where symbol = 'S007'").to_pylist()
        mine = many.rows.filter(pc.equal(many.rows.column("symbol"), "S007"))
        assert found == [{"n": 2_000, "top": pc.max(mine.column("bid_price")).as_py()}]
        assert gate.answered - before < file.size / 3
        scanned = list(store.scan(QUOTES, Selection(("quotes",), ("S007",))))
        assert sum(b.num_rows for b in scanned) == 2_000
        asked = gate.answered
        assert store.query("select count(*) as n from quotes where symbol = 'ZZZ'").to_pylist() == [{"n": 0}]
        assert gate.answered - asked < 5_000


def test_packed_commits_stay_for_a_day_and_every_version_is_there() -> None:
    with closing(lake(s3.new_url("lake"))) as store:
        log = store.table_log("quotes")
        log.create()
        for i in range(310):
            log.commit((), (), ("p", i, i + 1))
        pack(log)
        assert len(list((log.folder / "_history").glob("*"))) == 1
        assert len(list(log.log_folder.glob("*.json"))) == 311
        again = LakeStore(store.root).table_log("quotes")
        assert again.refresh().transactions == {"p": 310}
        for version in (0, 1, 150, 200, 201, 310):
            assert state_at(again, version).transactions.get("p", 0) == version
        for first, last in ((0, 310), (150, 290), (199, 201), (250, 310), (310, 310)):
            commits = commits_between(again, first, last)
            assert commits is not None
            assert [c.version for c in commits] == list(range(first + 1, last + 1))
        assert commits_between(again, 300, 311) is None


def test_log_and_lake_in_a_bucket_hold_what_those_on_disk_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **s3.variables(),
        "TICKERPLANT_DATA": str(tmp_path),
        "TICKERPLANT_SEGMENT_BYTES": "50000",
    }.items():
        monkeypatch.setenv(name, value)
    source, there = market(symbols=4, minutes=1, rate=30.0), s3.new_url("plant")
    for url in (str(tmp_path / "log"), f"{there}/log"):
        write_log(url, source)
    with closing(open_store(str(tmp_path / "lake"))) as local:
        load_log(open_log(str(tmp_path / "log")), local, vendor)
    with closing(open_store(f"{there}/lake")) as far:
        load_log(open_log(f"{there}/log"), far, vendor)
    assert store_tally(f"{there}/lake") == store_tally(tmp_path / "lake")
    assert [check.damaged for check in verify(open_log(f"{there}/log"))] == [0]
    lines = ask("log", "cat", "--log", f"{there}/log").splitlines()
    assert lines == [encode(record).decode().rstrip() for record in log_records(tmp_path / "log")]
    (segment,) = open_log(f"{there}/log").segments("alpaca.sip")
    assert (segment.number, segment.sealed) == (0, True)


_LOADER = """
import pyarrow as pa, structlog, sys
from tickerplant.model import Batch, Counters, Position
from tickerplant.stores import open_store
from tickerplant.tables import QUOTES
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
row = pa.ipc.open_file(sys.argv[2]).get_batch(0)
store = open_store(sys.argv[1])
at = store.progress("p").position
print("begun", flush=True)
while True:
    named = row.set_column(row.schema.get_field_index("symbol"), row.schema.field("symbol"), pa.array([str(at)]))
    store.write("p", Position(at), Position(at + 1), [Batch(QUOTES, named)], Counters(1, 1, 0, 0))
    at += 1
"""


def test_a_loader_killed_between_two_commits_goes_on_without_a_double(tmp_path: Path) -> None:
    url = s3.new_url("lake")
    with pa.OSFile(str(tmp_path / "row"), "wb") as file, pa.ipc.new_file(file, QUOTES.schema) as writer:
        writer.write_batch(quote("x").rows)
    environment = {**os.environ, **s3.variables()}
    reached = [0]
    for pause in (0.05, 0.15):
        with subprocess.Popen(
            [sys.executable, "-c", _LOADER, url, str(tmp_path / "row")], stdout=subprocess.PIPE, env=environment
        ) as loader:
            assert loader.stdout is not None
            loader.stdout.readline()
            with closing(lake(url)) as store:
                wait_for(lambda: store.progress("p").position > reached[-1], 30, "a loader at work")
            time.sleep(pause)
            loader.kill()
        with closing(lake(url)) as store:
            reached.append(store.progress("p").position)
    with closing(lake(url)) as store:
        for cut in store.progress("p").cuts:
            write(store, "p", cut - 1, quote(str(cut - 1)))
        found = Counter(store.query("select symbol from quotes").column("symbol").to_pylist())
        assert found == Counter(str(i) for i in range(store.progress("p").position))
