"""The lake against `deltalake`, other processes, kills and time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.support.plant import wait_for
from tests.support.rows import NINE_THIRTY, rows
from tickerplant.errors import Busy, Fatal, UsageError
from tickerplant.model import Batch, Counters, Position, Selection, Store
from tickerplant.stores import open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_actions import File, Stats
from tickerplant.stores.lake_history import state_at
from tickerplant.stores.lake_log import Moved, TableLog
from tickerplant.stores.lake_rewrite import Merging
from tickerplant.tables import QUOTES, TABLES

SMALL = Merging(tiny_count=5)


def write(store: Store, number: int, *found: Batch, partition: str = "p") -> None:
    counters = Counters(number + 1, number + 1)
    store.write(partition, Position(number), Position(number + 1), found, counters)


def quote(number: int, **values: Any) -> Batch:
    return rows(QUOTES, {"symbol": f"S{number % 3}", "ns": number % 1000, "seq": number, **values})


def numbers(store: LakeStore, as_of: datetime | int | None = None) -> list[int]:
    found = store.query("select seq from quotes order by seq", as_of=as_of)
    return list(found.column("seq").to_pylist())


def test_other_readers_of_delta_see_the_same(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path, merging=SMALL)) as store:
        for i in range(23):
            write(store, i, quote(i), rows("gaps", {"channel": str(i % 2)}))
        list(store.maintain(date(2026, 1, 1), timedelta(days=7)))
        for name in ("quotes", "gaps", "positions"):
            table = DeltaTable(str(tmp_path / name))
            assert table.count() == store.query(f"select * from {name}").num_rows
            assert {Path(u).name for u in table.file_uris()} == {
                Path(f.path).name for f in store.table_log(name).files()
            }
        quotes = DeltaTable(str(tmp_path / "quotes"))
        assert quotes.transaction_version("p") == 23
        assert sorted(quotes.to_pyarrow_table().column("seq").to_pylist()) == list(range(23))
        pruned = quotes.file_uris(file_pruning_predicate="session = '2013-10-08'")
        assert pruned == []


def test_commits_of_deltalake_are_understood(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0))
        write(store, 1, quote(1))
        DeltaTable(str(tmp_path / "quotes")).optimize.compact()
        write(store, 2, quote(2))
        assert numbers(store) == [0, 1, 2]
        assert len(store.table_log("quotes").files()) == 2
        with closing(LakeStore(tmp_path)) as other:
            assert numbers(other) == [0, 1, 2]


def test_small_files_are_merged_in_order_of_arrival(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path, merging=SMALL)) as store:
        for i in range(31):
            write(store, i, quote(i))
            assert len(store.table_log("quotes").files()) <= 5
        found = [r for b in store.scan(QUOTES, Selection(("quotes",))) for r in b.column("seq").to_pylist()]
        assert sorted(found) == list(range(31))


def test_merging_bounds_the_files_it_takes(tmp_path: Path) -> None:
    files = [File(f"session=2013-10-07/part-{i:03d}.parquet", 6, "2013-10-07", Stats()) for i in range(9)]
    merging = Merging(tiny_bytes=5, small_bytes=10, small_count=9, target_bytes=20)
    assert merging.choose(files[:8]) == []
    assert merging.choose(files[::-1]) == files[:3]
    sorted_file = File("session=2013-10-07/sorted-1.parquet", 1, "2013-10-07", Stats())
    assert sorted_file not in merging.choose([*files, sorted_file])


def test_log_folder_stays_small_and_every_version_can_be_asked_for(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        moments = []
        for i in range(510):
            write(store, i, partition="p")
            moments.append(datetime.now(UTC))
        log = store.table_log("positions")
        assert len(list(log.log_folder.glob("*"))) < 330
        assert len(list((log.folder / "_history").glob("*"))) == 2
        for version in (0, 1, 150, 200, 201, 399, 400, 401, 499, log.state.version):
            at = state_at(log, version)
            assert at.version == version
            assert len(at.files) == min(version, 1)
        for i in (0, 137, 400, 509):
            found = store.query("select position from positions", as_of=moments[i]).to_pylist()
            assert found[0]["position"] in (i + 1, i + 2)
        with closing(LakeStore(tmp_path)) as other:
            assert other.progress("p").position == 510
        assert DeltaTable(str(log.folder)).transaction_version("p") == 510


def test_handle_that_slept_catches_up(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store, closing(LakeStore(tmp_path)) as sleeper:
        write(store, 0)
        assert sleeper.progress("p").position == 1
        for i in range(1, 310):
            write(store, i)
        write(sleeper, 0, quote(1), partition="other")
        for i in range(310, 420):
            write(store, i)
        with closing(LakeStore(tmp_path)) as fresh:
            assert fresh.table_log("positions").refresh().transactions == {"p": 420, "other": 1}
            write(fresh, 0, quote(1), partition="other")
            assert numbers(fresh) == [1]
        assert (sleeper.progress("p").position, store.progress("other").position) == (420, 1)


def test_commit_refuses_what_another_changed(tmp_path: Path) -> None:
    first, second = TableLog(tmp_path, QUOTES), TableLog(tmp_path, QUOTES)
    first.create()
    second.create()
    file = File("session=2013-10-07/part-1.parquet", 1, "2013-10-07", Stats(1))
    first.commit([file], (), ("p", 0, 5))
    with pytest.raises(Moved, match="p is at 5, not at 0"):
        second.commit([file], (), ("p", 0, 7))
    first.commit([], [file])
    with pytest.raises(Moved, match="1 files were replaced meanwhile"):
        second.commit([], [file])
    assert second.refresh().version == 2


def test_table_of_another_definition_is_refused(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0))
    path = tmp_path / "quotes" / "_delta_log" / f"{0:020d}.json"
    path.write_text(path.read_text().replace('"tickerplant.version":"1"', '"tickerplant.version":"9"'))
    with closing(LakeStore(tmp_path)) as store, pytest.raises(Fatal, match="expected definition version 1, was 9"):
        store.query("select * from quotes")


def test_read_only_store_writes_nothing(tmp_path: Path) -> None:
    with closing(open_store(str(tmp_path / "lake"), read_only=True)) as store:
        assert store.query("select * from quotes").num_rows == 0
        assert store.progress("p").position == 0
        with pytest.raises(UsageError, match="was read-only"):
            write(store, 0)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("url", ["mysql://u@h/db", "gs://bucket/x", " "])
def test_unknown_store_says_what_is_supported(url: str) -> None:
    with pytest.raises(UsageError, match="store: expected a folder"):
        open_store(url)


def test_file_url_is_a_folder(tmp_path: Path) -> None:
    with closing(open_store(f"file://{tmp_path}/a%20b")) as store:
        write(store, 0, quote(0))
    assert (tmp_path / "a b" / "quotes").is_dir()


_LOADER = """
import sys
from tests.integration.test_lake import quote, write, SMALL
from tickerplant.stores.lake import LakeStore
from pathlib import Path
store = LakeStore(Path(sys.argv[1]), merging=SMALL)
print("ready", flush=True)
for i in range(store.progress("p").position, 100000):
    write(store, i, quote(i), quote(i, symbol="T"))
"""


def _loader(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _LOADER, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_kills_neither_lose_nor_double(tmp_path: Path) -> None:
    reached = 0
    for kill in range(3):
        enough = reached + 15 + kill
        with _loader(tmp_path) as process, closing(LakeStore(tmp_path, read_only=True)) as store:
            wait_for(lambda s=store, n=enough: s.progress("p").position >= n, 20, "a loader at work", 0.01)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        with closing(LakeStore(tmp_path)) as store:
            progress = store.progress("p")
            reached = progress.position
            assert len(progress.cuts) <= 1
            held = progress.cuts[0] if progress.cuts else reached
            assert numbers(store) == sorted([*range(held), *range(held)])


def test_two_loaders_at_once_change_nothing(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as one, closing(LakeStore(tmp_path)) as two:
        refused: list[int] = []

        def load(store: LakeStore) -> None:
            while (at := store.progress("p").position) < 40:
                try:
                    write(store, at, quote(at))
                except (Busy, ValueError):
                    refused.append(at)

        threads = [threading.Thread(target=load, args=(s,)) for s in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert numbers(one) == list(range(40))


def test_lease_ends_with_its_owner(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tickerplant.stores.lake import LakeStore\n"
        "with LakeStore(Path(sys.argv[1])).loading('p'):\n    print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as owner, closing(LakeStore(tmp_path)) as store:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(Busy, match=f"was owned by process {owner.pid}"), store.loading("p", 0):
            pass
        owner.kill()
        with store.loading("p", 20):
            assert (tmp_path / "_leases" / "p.lock").read_text() == f"{os.getpid()} on {socket.gethostname()}\n"


def test_names_that_need_quoting_in_paths(tmp_path: Path) -> None:
    root = tmp_path / "it's a lake"
    with closing(LakeStore(root)) as store:
        store.write("a/b c", Position(0), Position(1), [quote(0)], Counters(1, 1))
        with store.loading("a/b c"):
            assert numbers(store) == [0]
        list(store.maintain(date(2026, 1, 1), timedelta(0)))
        assert numbers(store) == [0]
        assert store.tables() == ["quotes", "positions"]
        assert store.sessions(TABLES["quotes"]) == [NINE_THIRTY.date()]
