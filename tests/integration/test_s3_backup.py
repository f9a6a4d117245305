"""Backups of a log and a lake on S3, and restores to there and to a disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import s3
from tests.support.holes import market, write_log
from tests.support.plant import log_records, store_tally
from tickerplant.errors import Fatal, UsageError
from tickerplant.jobs.backup import backup
from tickerplant.jobs.load import load
from tickerplant.jobs.restore import Restored, restore
from tickerplant.logs import open_log
from tickerplant.logs.line import encode
from tickerplant.model import Kind
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

PARTITION = "alpaca.sip"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    given = {**s3.variables(), "TICKERPLANT_DATA": str(tmp_path / "data"), "TICKERPLANT_SEGMENT_BYTES": "50000"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def lines(url: str | Path) -> list[bytes]:
    return [encode(record) for record in log_records(url)]  # type: ignore[arg-type]


def loaded(log: str | Path, store: str | Path) -> None:
    with closing(open_store(str(store))) as found:
        load(open_log(str(log)), found, vendor)


def back(backups: Path, log: str | Path, store: str | Path) -> Restored:
    with closing(open_store(str(store))) as found:
        return restore(backups, open_log(str(log)), found)


def test_what_was_in_a_bucket_comes_back_there_and_on_a_disk(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there, backups = s3.new_url("plant"), tmp_path / "backups"
    write_log(f"{there}/log", market(symbols=4, minutes=1, rate=30.0))
    with open_log(f"{there}/log", segment_bytes=50_000).writer(PARTITION) as writer:
        # Not shipped yet: it is in the spool of this machine only.
        writer.append(Kind.DATA, 2_000_000_000_000_000_000, b'[{"T":"q","S":"TAIL"}]')
        writer.sync()
        loaded(f"{there}/log", f"{there}/lake")
        with closing(open_store(f"{there}/lake", read_only=True)) as store:
            first = backup(open_log(f"{there}/log"), store, backups)
            second = backup(open_log(f"{there}/log"), store, backups)
    tally, written = store_tally(f"{there}/lake"), lines(f"{there}/log")
    assert b'"TAIL"' in written[-1]
    assert first.manifest.beyond_log == ()
    assert [f.path for f in first.manifest.files_of("log")][-1].endswith(".jsonl")
    assert second.manifest.tables == first.manifest.tables
    assert second.linked_bytes > first.copied_bytes / 2

    new = s3.new_url("plant")
    for log, lake in ((tmp_path / "log", tmp_path / "lake"), (f"{new}/log", f"{new}/lake")):
        here.setenv("TICKERPLANT_DATA", str(tmp_path / "another machine"))
        done = back(backups, log, lake)
        assert done.ok
        assert {t.table: t.found for t in done.tables} == first.manifest.tables
        assert lines(log) == written
        loaded(log, lake)
        assert store_tally(lake) == tally
    here.setenv("TICKERPLANT_DATA", str(tmp_path / "a third machine"))
    assert lines(f"{new}/log") == written
    with pytest.raises(UsageError, match=r"expected a place without tables, was one with \w+; do choose another"):
        back(backups, f"{new}/log", f"{new}/lake")


def test_a_log_in_a_bucket_that_holds_other_bytes_is_refused(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there, other = s3.new_url("plant"), s3.new_url("plant")
    write_log(f"{there}/log", market(symbols=1, minutes=1, rate=5.0))
    write_log(f"{other}/log", market(symbols=2, minutes=1, rate=5.0))
    loaded(f"{there}/log", f"{there}/lake")
    with closing(open_store(f"{there}/lake", read_only=True)) as store:
        backup(open_log(f"{there}/log"), store, tmp_path)
    with pytest.raises(UsageError, match=r"was another alpaca.sip/0 \(its bytes differ\)"):
        restore(tmp_path, open_log(f"{other}/log"), None, replace=True)
    again = restore(tmp_path, open_log(f"{there}/log"), None)
    assert again.ok
    assert all(segment.kept for segment in again.segments)


def test_a_data_file_with_other_rows_than_the_lake_says_is_named(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = s3.new_url("plant")
    write_log(f"{there}/log", market(symbols=1, minutes=1, rate=5.0))
    loaded(f"{there}/log", f"{there}/lake")
    bucket = s3.bucket(f"{there}/lake")
    key = next(o.key for o in bucket.objects("quotes") if o.key.endswith(".parquet"))
    found = bucket.get(key)
    assert found is not None
    pq.write_table(pq.read_table(pa.BufferReader(found.data)).slice(1), tmp_path / "one less")
    bucket.put(key, tmp_path / "one less")
    with (
        closing(open_store(f"{there}/lake", read_only=True)) as store,
        pytest.raises(Fatal, match=r"expected \d+ rows as the lake's log says, was \d+"),
    ):
        backup(open_log(f"{there}/log"), store, tmp_path / "backups")
    assert list((tmp_path / "backups").glob("2*")) == []
