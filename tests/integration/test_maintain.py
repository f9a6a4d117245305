"""Maintenance of the lake: sorting, verification, vacuum, and loaders that go on meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.test_lake import numbers, quote, write
from tests.support.days import today
from tests.support.plant import answer, ask
from tests.support.rows import NINE_THIRTY
from tickerplant.errors import Busy, Fatal, UsageError
from tickerplant.jobs.maintain import maintain
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_files import read_groups, write_file
from tickerplant.stores.lake_log import Moved
from tickerplant.stores.lake_maintain import sort_session, vacuum
from tickerplant.tables import QUOTES

DAY = "2013-10-07"


def parquet_files(store: LakeStore) -> set[str]:
    folder = Path(str(store.table_log("quotes").folder))
    return {p.relative_to(folder).as_posix() for p in folder.glob("session=*/*.parquet")}


def test_rows_are_sorted_and_encoded(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        for i in range(9):
            write(store, i, quote(i, ts=NINE_THIRTY + timedelta(seconds=9 - i)))
        [done] = maintain(store, timedelta(days=7))
        assert (done.rows, done.files_before, done.files_after) == (9, 9, 1)
        [file] = store.table_log("quotes").files()
        found = pq.ParquetFile(tmp_path / "quotes" / file.path)
        keys = [(r["symbol"], r["ts"], r["ns"]) for r in found.read().to_pylist()]
        assert keys == sorted(keys)
        encodings = {c["path_in_schema"]: c["encodings"] for c in columns(found)}
        assert "DELTA_BINARY_PACKED" in encodings["ts"]
        assert "RLE_DICTIONARY" in encodings["symbol"]
        assert store.progress("p").position == 9


def columns(found: pq.ParquetFile) -> list[dict[str, Any]]:
    group = found.metadata.row_group(0)
    return [group.column(i).to_dict() for i in range(group.num_columns)]


def test_row_that_arrives_meanwhile_stays_and_is_sorted_next(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store, closing(LakeStore(tmp_path)) as loader:
        write(store, 0, quote(0))
        log = store.table_log("quotes")
        old = log.files()
        sort_session(log, DAY)
        write(loader, 1, quote(1))
        assert numbers(store) == [0, 1]
        assert [f.is_sorted for f in store.table_log("quotes").files()] == [True, False]
        assert store.pending(date(2026, 1, 1)) == [("quotes", DAY)]
        with pytest.raises(Moved):
            log.commit([], old)
        assert [d.rows for d in maintain(store, timedelta(days=7))] == [2]


def test_rows_that_do_not_add_up_abort(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0))
        log = store.table_log("quotes")
        [true] = log.files()
        groups = list(read_groups(log.folder, QUOTES, [true]))
        log.commit([write_file(log.folder, QUOTES, DAY, groups)])
        [extra] = [f for f in log.files() if f != true]
        Path(f"{log.folder}/{extra.path}").write_bytes((log.folder / true.path).read_bytes()[:-8])
        before, files = log.files(), parquet_files(store)
        with pytest.raises(Exception, match=r"parquet|Parquet"):
            sort_session(log, DAY)
        assert (log.files(), parquet_files(store)) == (before, files)


def test_a_checksum_that_differs_is_fatal(tmp_path: Path) -> None:
    from tickerplant.stores.lake_maintain import _equal_rows

    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0))
        write(store, 1, quote(1))
        log = store.table_log("quotes")
        one, two = log.files()
        with pytest.raises(Fatal, match=r"maintain quotes 2013-10-07: expected .* after sorting, was .*left as it was"):
            _equal_rows(QUOTES, log.folder, DAY, [one], [two])
        assert _equal_rows(QUOTES, log.folder, DAY, [one, two], [two, one]) == 2


def test_vacuum_keeps_what_kept_versions_need(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0))
        write(store, 1, quote(1))
        moment, before = datetime.now(UTC), parquet_files(store)
        time.sleep(0.002)
        maintain(store, timedelta(days=7))
        assert parquet_files(store) > before
        assert numbers(store, as_of=moment) == [0, 1]
        log = store.table_log("quotes")
        orphan, old_orphan = (Path(f"{log.folder}/session={DAY}/{n}") for n in ("part-x.parquet", "part-y.parquet"))
        orphan.write_bytes(b"being written")
        old_orphan.write_bytes(b"left by a kill")
        os.utime(old_orphan, (0, 0))
        assert vacuum(log, timedelta(0)) == 3
        assert parquet_files(store) == {f.path for f in log.files()} | {f"session={DAY}/part-x.parquet"}
        assert numbers(store) == [0, 1]


def test_only_one_maintains_and_today_is_never_touched(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store, closing(LakeStore(tmp_path)) as other:
        write(store, 0, quote(0, ts=datetime.now(UTC)), quote(1))
        with pytest.raises(UsageError, match="expected a day up to"):
            maintain(store, timedelta(0), today() + timedelta(days=1))
        running = store.maintain(date(2026, 1, 1))
        assert next(running).table == "quotes"
        with pytest.raises(Busy, match="maintaining"):
            list(other.maintain(date(2026, 1, 1)))
        assert list(running) == []
        assert [str(d.session) for d in maintain(store, timedelta(0))] == []
        assert len(store.pending(date(9999, 1, 1))) == 1


def test_loader_process_goes_on_while_sessions_are_sorted(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.integration.test_lake import *\n"
        "store = LakeStore(Path(sys.argv[1]), merging=SMALL)\n"
        "for i in range(40): write(store, i, quote(i))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as loader, closing(LakeStore(tmp_path)) as store:
        sorted_rows = []
        while loader.poll() is None:
            sorted_rows += [d.rows for d in maintain(store, timedelta(days=7))]
        assert loader.returncode == 0
        sorted_rows += [d.rows for d in maintain(store, timedelta(days=7))]
        assert sorted_rows[-1] <= 40
        assert numbers(store) == list(range(40))
        assert store.pending(date(2026, 1, 1)) == []


def test_command_prints_what_it_did(tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path)) as store:
        write(store, 0, quote(0), quote(1))
    command = ("maintain", "--store", tmp_path, "--json")
    [item] = json.loads(ask(*command))
    assert (item["table"], item["session"], item["rows"]) == ("quotes", DAY, 2)
    assert json.loads(ask(*command)) == []
    wrong = answer(*command, "--before", "soon")
    assert (wrong.returncode, "expected a day" in wrong.stderr) == (2, True)
