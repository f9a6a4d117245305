"""Backup and restore: one moment of store and log, read back, and every way in which a backup can be wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.support.plant import answer, ask, log_tally, tickerplant, tickerplant_command, wait_for
from tests.support.postgres import fresh_schema, server
from tests.support.rows import rows
from tickerplant.errors import BadData, Busy, Fatal, UsageError
from tickerplant.fingerprint import Tally
from tickerplant.jobs.backup import Backup, backup
from tickerplant.jobs.backup_manifest import finished, read_manifest, unfinished
from tickerplant.jobs.load import LoadOptions, load
from tickerplant.jobs.restore import check, restore
from tickerplant.logs import open_log
from tickerplant.logs.backup import parts
from tickerplant.logs.files import FilesLog
from tickerplant.logs.verify import verify
from tickerplant.model import Counters, Kind, Position, Store, position
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.stores.lake_backup import snapshot
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_tools import program
from tickerplant.tables import QUOTES, VENDOR_TABLES
from tickerplant.vendors import vendor

PARTITION = "alpaca.sip"
_T0 = 1_763_649_000_000_000_000
_DAY0 = datetime(2025, 10, 1, 14, 30, tzinfo=UTC)
Opener = Callable[[], AnyStore]


def _frame(n: int) -> bytes:
    at = (_DAY0 + timedelta(days=n % 5, seconds=n)).isoformat().replace("+00:00", "Z")
    quote = {"T": "q", "S": f"S{n % 7}", "bx": "N", "bp": n / 8, "bs": 1, "ax": "Q", "ap": n / 8 + 1, "as": 2, "t": at}
    trade = {"T": "t", "S": "MSFT", "i": n, "x": "N", "p": 5.25, "s": n, "t": at}
    return json.dumps([quote, trade, {"T": "zz", "n": n}] if n % 50 == 0 else [quote, trade]).encode()


def _append(log: Path, first: int, count: int, segment_bytes: int = 6000) -> None:
    """Frames in segments of about 20, the last one sealed too."""
    with open_log(str(log), segment_bytes=segment_bytes).writer(PARTITION) as writer:
        for n in range(first, first + count):
            writer.append(Kind.DATA, _T0 + n * 1_000_000, _frame(n))


def _load(log: Path, store: Store) -> None:
    load(open_log(str(log)), store, vendor, LoadOptions(batch_messages=100))


def _tally(store: Store) -> Tally:
    return Tally.of_store(store, VENDOR_TABLES)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    _append(tmp_path / "log", 0, 120)
    return tmp_path / "log"


@pytest.fixture(params=["lake", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Opener, Callable[[], None], Opener]]:
    """How to open the store, how to lose it, and how to open the one to restore into."""
    if request.param == "lake":
        first = tmp_path / "lake"
        yield lambda: open_store(str(first)), lambda: shutil.rmtree(first), lambda: open_store(str(tmp_path / "new"))
        return
    with fresh_schema() as options:

        def opened() -> AnyStore:
            return open_store(server().url, options=options)

        def lose() -> None:
            with psycopg.connect(server().url, autocommit=True) as link:
                link.execute(f"drop schema {options.schema} cascade".encode())

        yield opened, lose, opened


def test_a_plant_that_is_lost_comes_back_and_loading_goes_on(
    places: tuple[Opener, Callable[[], None], Opener], log: Path, tmp_path: Path
) -> None:
    opened, lose, opened_new = places
    with closing(opened()) as store:
        _load(log, store)
        held, loaded = _tally(store), store.progress(PARTITION)
        done = backup(open_log(str(log)), store, tmp_path / "backups")
        _append(log, 120, 30)
        _load(log, store)
    lose()
    assert done.manifest.tables["quotes"].count == 120
    assert done.manifest.tables["quarantine"].count == 3
    assert done.manifest.positions == {PARTITION: loaded.position}
    assert done.manifest.beyond_log == ()

    with closing(opened_new()) as store:
        restored = restore(tmp_path / "backups", open_log(str(tmp_path / "new-log")), store)
        assert restored.ok
        assert {t.table: t.found.count for t in restored.tables}["trades"] == 120
        assert [s.kept for s in restored.segments] == [False] * len(restored.segments)
        assert _tally(store).as_json() == held.as_json()
        assert store.progress(PARTITION) == loaded
        assert all(c.damaged == 0 for c in verify(open_log(str(tmp_path / "new-log"))))
        with open_log(str(tmp_path / "new-log")).writer(PARTITION) as writer:
            writer.append(Kind.DATA, _T0 + 200 * 1_000_000, _frame(200))
        _load(tmp_path / "new-log", store)
        expected, counters = log_tally(tmp_path / "new-log")
        assert _tally(store).as_json() == expected.as_json()
        assert store.progress(PARTITION).counters == counters


def test_only_the_store_is_lost_and_the_log_that_went_on_is_kept(
    places: tuple[Opener, Callable[[], None], Opener], log: Path, tmp_path: Path
) -> None:
    opened, lose, opened_new = places
    with closing(opened()) as store:
        _load(log, store)
        backup(open_log(str(log)), store, tmp_path / "backups")
    lose()
    _append(log, 120, 30)
    with closing(opened_new()) as store:
        restored = restore(tmp_path / "backups", open_log(str(log)), store)
        assert restored.ok
        assert all(s.kept for s in restored.segments)
        _load(log, store)
        assert _tally(store).as_json() == log_tally(log)[0].as_json()


def test_a_store_that_has_rows_is_replaced_only_when_told(
    places: tuple[Opener, Callable[[], None], Opener], log: Path, tmp_path: Path
) -> None:
    opened, _, _ = places
    with closing(opened()) as store:
        _load(log, store)
        held = _tally(store).as_json()
        backup(open_log(str(log)), store, tmp_path / "backups")
        _append(log, 120, 30)
        _load(log, store)
    with closing(opened()) as store:
        with pytest.raises(UsageError, match="expected a store without rows"):
            restore(tmp_path / "backups", None, store)
        assert _tally(store).as_json() != held
    with closing(opened()) as store, closing(opened()) as loader:
        with loader.loading(PARTITION), pytest.raises(Busy, match="only owner"):
            restore(tmp_path / "backups", None, store, replace=True)
        maintaining = loader.maintain(_DAY0.date() + timedelta(days=2))
        assert next(maintaining)
        with pytest.raises(Busy, match="only owner"):
            restore(tmp_path / "backups", None, store, replace=True)
        assert list(maintaining)
        done = restore(tmp_path / "backups", None, store, replace=True)
        assert (done.ok, done.kept_aside) == (True, ())
    with closing(opened()) as store:
        assert _tally(store).as_json() == held
        _load(log, store)
        assert _tally(store).as_json() == log_tally(log)[0].as_json()


def _lake_backup(log: Path, tmp_path: Path) -> Backup:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
        return backup(open_log(str(log)), store, tmp_path / "backups")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(
    "pattern", ["log/*/0000000001.jsonl.zst", "lake/quotes/*/*.parquet", "lake/trades/_delta_log/*1.json"]
)
def test_a_damaged_file_is_named_and_nothing_is_restored(log: Path, tmp_path: Path, pattern: str) -> None:
    folder = Path(_lake_backup(log, tmp_path).folder)
    victim = min(folder.glob(pattern))
    _flip(victim)
    name = str(victim.relative_to(folder))
    assert list(check(folder).problems) == [name]
    with closing(LakeStore(tmp_path / "new")) as store:
        found = restore(folder, open_log(str(tmp_path / "new-log")), store)
    assert list(found.problems) == [name]
    assert not found.ok
    assert not (tmp_path / "new" / "quotes").exists()
    assert not (tmp_path / "new-log").exists()


def test_a_damaged_dump_a_missing_file_and_a_damaged_manifest_are_named(log: Path, tmp_path: Path) -> None:
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
        _load(log, store)
        folder = Path(backup(open_log(str(log)), store, tmp_path / "backups").folder)
    assert check(folder).ok
    _flip(folder / "postgres.dump")
    (folder / "log" / PARTITION / "0000000000.jsonl.zst").unlink()
    assert set(check(folder).problems) == {"postgres.dump", f"log/{PARTITION}/0000000000.jsonl.zst"}
    shown = answer("restore", "--from", folder, "--verify-only")
    assert shown.returncode == 1
    assert "damaged: postgres.dump: expected sha256" in shown.stdout
    (folder / "manifest.json").write_bytes(b'{"format": 1, "tick')
    with pytest.raises(BadData, match="damaged"):
        check(folder)


def test_unchanged_files_are_linked_and_a_rotten_one_is_copied_again(log: Path, tmp_path: Path) -> None:
    first = Path(_lake_backup(log, tmp_path).folder)
    _append(log, 120, 30)
    rotten = min((first / "lake" / "quotes").glob("*/*.parquet"))
    times = rotten.stat()
    _flip(rotten)
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = _lake_backup(log, tmp_path)
    folder = Path(second.folder)
    assert second.linked_bytes > 0
    assert check(folder).ok
    assert not check(first).ok
    segment = Path("log") / PARTITION / "0000000000.jsonl.zst"
    assert (folder / segment).stat().st_ino == (first / segment).stat().st_ino
    assert (log / PARTITION / segment.name).stat().st_ino != (folder / segment).stat().st_ino
    assert second.manifest.tables["quotes"].count == 150
    shutil.rmtree(first)
    assert check(folder).ok


def test_another_log_of_the_same_names_is_not_taken_for_the_one_before(log: Path, tmp_path: Path) -> None:
    _lake_backup(log, tmp_path)
    shutil.rmtree(log)
    _append(log, 40, 120)
    with closing(LakeStore(tmp_path / "lake")) as store:
        second = backup(open_log(str(log)), store, tmp_path / "backups")
    name = f"log/{PARTITION}/0000000000.jsonl.zst"
    assert (Path(second.folder) / name).read_bytes() == (log / PARTITION / "0000000000.jsonl.zst").read_bytes()


def test_only_the_newest_backups_are_kept_and_the_newest_is_restored(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
        made = [backup(open_log(str(log)), store, tmp_path / "backups", keep=2) for _ in range(4)]
    assert [p.name for p in finished(tmp_path / "backups")] == [Path(b.folder).name for b in made[2:]]
    assert made[3].removed == (Path(made[1].folder).name,)
    assert check(tmp_path / "backups").folder == made[3].folder
    assert check(Path(made[2].folder)).ok


def test_a_killed_backup_is_no_backup_and_the_next_one_removes_it(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
    to, stuck = tmp_path / "backups", log / PARTITION / "0000000099.jsonl.zst"
    os.mkfifo(stuck)  # opening it waits for a writer: the backup stands in the middle of the log
    command = ("backup", "--to", to, "--log", log, "--store", tmp_path / "lake")
    process = tickerplant(*command, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(to.glob("*.unfinished/log/*/0000000000.jsonl.zst")), what="a segment copied")
    second = answer(*command)
    assert second.returncode == 75
    assert "only owner" in second.stderr
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert finished(to) == []
    [left] = unfinished(to)
    assert not (left / "manifest.json").exists()
    for place in (to, left):
        with pytest.raises(UsageError, match="finished backup"):
            check(place)
    stuck.unlink()
    ask(*command, "--json")
    assert unfinished(to) == []
    assert check(to).ok


def test_a_file_that_maintain_deletes_meanwhile_starts_the_copy_again(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store, closing(LakeStore(tmp_path / "lake")) as other:
        _load(log, store)
        told: list[str] = []

        def disturb(text: str) -> None:
            told.append(text)
            if text.startswith("copying quotes") and len([t for t in told if t.startswith("copying quotes")]) == 1:
                assert list(other.maintain(datetime.now(UTC).date(), timedelta(0)))

        done = backup(open_log(str(log)), store, tmp_path / "backups", say=disturb)
        assert len([t for t in told if t.startswith("copying quotes")]) == 2
        copy = LakeStore(Path(done.folder) / "lake", read_only=True)
        assert _tally(copy).as_json() == _tally(store).as_json()
        assert check(Path(done.folder)).ok
        named = {f.path for f in done.manifest.files_of("lake/quotes") if f.path.endswith(".parquet")}
        assert named == {str(p.relative_to(done.folder)) for p in Path(done.folder).glob("lake/quotes/*/*.parquet")}


def test_a_lake_whose_loader_died_between_two_tables_loads_on_from_its_copy(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
    # The last commit of `positions` never happened: the other tables are ahead of it.
    commits = sorted((tmp_path / "lake" / "positions" / "_delta_log").glob("*.json"))
    commits[-1].unlink()
    with closing(LakeStore(tmp_path / "lake")) as store:
        before = store.progress(PARTITION)
        assert before.cuts
        assert snapshot(store, 0)[0].table.name == "positions"
        backup(open_log(str(log)), store, tmp_path / "backups")
    with closing(LakeStore(tmp_path / "new")) as store:
        assert restore(tmp_path / "backups", open_log(str(tmp_path / "new-log")), store).ok
        assert store.progress(PARTITION) == before
        _load(tmp_path / "new-log", store)
        assert _tally(store).as_json() == log_tally(log)[0].as_json()


def test_a_copied_lake_is_a_working_delta_table_with_its_version(log: Path, tmp_path: Path) -> None:
    from deltalake import DeltaTable

    done = _lake_backup(log, tmp_path)
    found = DeltaTable(str(Path(done.folder) / "lake" / "quotes"))
    assert found.to_pyarrow_table().num_rows == 120
    assert found.transaction_version(PARTITION) == done.manifest.positions[PARTITION]
    assert not (Path(done.folder) / "lake" / "_leases").exists()


def test_of_a_segment_being_written_whole_lines_and_what_is_loaded_are_copied(tmp_path: Path) -> None:
    with open_log(str(tmp_path)).writer(PARTITION) as writer:
        writer.append(Kind.DATA, _T0, _frame(1))
        writer.sync()
        path = tmp_path / PARTITION / "0000000000.jsonl"
        whole = path.stat().st_size
        with path.open("ab") as file:
            file.write(b'{"crc":"0000')
        assert [p.size_bytes for p in parts(FilesLog(tmp_path), PARTITION, Position(0))] == [whole]
        assert [p.size_bytes for p in parts(FilesLog(tmp_path), PARTITION, position(0, whole + 5))] == [whole + 5]
        path.write_bytes(path.read_bytes()[:whole])


def test_a_torn_end_that_nobody_writes_any_more_is_copied_too(tmp_path: Path) -> None:
    _append(tmp_path, 0, 1)
    path = tmp_path / PARTITION / "0000000001.jsonl"
    path.write_bytes(b'{"crc":"0000')
    assert [(p.name, p.size_bytes) for p in parts(FilesLog(tmp_path), PARTITION, Position(0))][-1] == (path.name, 12)


def test_a_store_beyond_the_log_is_said(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
        done = backup(open_log(str(tmp_path / "elsewhere")), store, tmp_path / "backups")
    assert done.manifest.beyond_log == (PARTITION,)


def test_another_kind_of_store_is_refused_and_the_log_alone_can_be_loaded(log: Path, tmp_path: Path) -> None:
    _lake_backup(log, tmp_path)
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
        with pytest.raises(UsageError, match=r"kind, lake, was postgres; do restore the log with --only log.*load"):
            restore(tmp_path / "backups", open_log(str(tmp_path / "new-log")), store)
        assert restore(tmp_path / "backups", open_log(str(tmp_path / "new-log")), None).ok
        _load(tmp_path / "new-log", store)
        assert _tally(store).as_json() == log_tally(log)[0].as_json()


def test_a_log_that_holds_other_bytes_is_refused_or_set_aside(log: Path, tmp_path: Path) -> None:
    _lake_backup(log, tmp_path)
    other = tmp_path / "other"
    _append(other, 500, 20)
    mine = (other / PARTITION / "0000000000.jsonl.zst").read_bytes()
    with pytest.raises(UsageError, match=r"alpaca.sip/0 \(its bytes differ\)"):
        restore(tmp_path / "backups", open_log(str(other)), None)
    assert (other / PARTITION / "0000000000.jsonl.zst").read_bytes() == mine
    with FilesLog(other).writer(PARTITION), pytest.raises(Busy):
        restore(tmp_path / "backups", open_log(str(other)), None, replace=True)
    done = restore(tmp_path / "backups", open_log(str(other)), None, replace=True)
    assert done.ok
    assert (Path(done.kept_aside[0]) / PARTITION / "0000000000.jsonl.zst").read_bytes() == mine
    assert open_log(str(other)).partitions() == [PARTITION]
    assert log_tally(other)[0].as_json() == log_tally(log)[0].as_json()


def test_a_raw_copy_and_the_same_segment_sealed_are_the_same(tmp_path: Path) -> None:
    with open_log(str(tmp_path / "log")).writer(PARTITION) as writer, closing(LakeStore(tmp_path / "lake")) as store:
        for n in range(50):
            writer.append(Kind.DATA, _T0 + n * 1_000_000, _frame(n))
        writer.sync()
        _load(tmp_path / "log", store)
        done = backup(open_log(str(tmp_path / "log")), store, tmp_path / "backups")
        assert [f.path for f in done.manifest.files_of("log")] == [f"log/{PARTITION}/0000000000.jsonl"]
        writer.append(Kind.DATA, _T0 + 50 * 1_000_000, _frame(50))
    [segment] = restore(tmp_path / "backups", open_log(str(tmp_path / "log")), None).segments
    assert (segment.kept, segment.ok) == (True, True)


def test_rows_that_differ_after_a_restore_are_named_and_the_old_ones_kept(log: Path, tmp_path: Path) -> None:
    folder = Path(_lake_backup(log, tmp_path).folder)
    text = (folder / "manifest.json").read_text()
    manifest = read_manifest(folder)
    (folder / "manifest.json").write_text(text.replace(manifest.tables["quotes"].checksum, "0" * 16))
    done = answer("restore", "--from", folder, "--store", tmp_path / "lake", "--log", log, "--replace", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [t["table"] for t in found["tables"] if not t["ok"]] == ["quotes"]
    assert (Path(found["kept_aside"][0]) / "quotes").is_dir()


def test_another_schema_and_an_old_pg_dump_are_said(log: Path, tmp_path: Path) -> None:
    with fresh_schema() as options:
        with closing(open_store(server().url, options=options)) as store:
            _load(log, store)
            backup(open_log(str(log)), store, tmp_path / "backups")
        other = open_store(server().url, options=StoreOptions(schema="elsewhere"))
        with closing(other), pytest.raises(UsageError, match=f"TICKERPLANT_SCHEMA={options.schema}"):
            restore(tmp_path / "backups", None, other)
    with pytest.raises(UsageError, match=r"pg_dump: expected version 99 or newer, was \d+"):
        program("pg_dump", 99)


def test_what_is_committed_during_the_dump_is_not_in_it(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pg_dump that waits until a loader has committed new rows and partitions; its arguments are kept too."""
    real, arguments, go = program("pg_dump", 16).path, tmp_path / "arguments", tmp_path / "go"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n'
        f'echo "$@" > {arguments}\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexec {real} "$@"\n'
    )
    (tools / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    secret = "sEcReT-4711"
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
        _load(log, store)
        held = _tally(store).as_json()
        url = server().url.replace("postgres@", f"postgres:{secret}@")
        monkeypatch.setenv("TICKERPLANT_STORE", url)
        monkeypatch.setenv("TICKERPLANT_SCHEMA", options.schema)
        process = tickerplant("backup", "--to", tmp_path / "backups", "--log", log, "--json")
        wait_for(arguments.exists, what="pg_dump at work")
        _append(log, 120, 30)
        late = rows(QUOTES, {"symbol": "LATE", "ts": datetime(2030, 1, 1, tzinfo=UTC)})
        assert isinstance(store, PostgresStore)
        store.write("late", Position(0), Position(9), [late], Counters(1, 1, 0, 0))
        _load(log, store)
        go.touch()
        said, _ = process.communicate(timeout=60)
        assert json.loads(said)["tables"]["quotes"]["count"] == 120
        restored = restore(tmp_path / "backups", None, store, replace=True)
        assert restored.ok
        assert _tally(store).as_json() == held
        _load(log, store)
        assert _tally(store).as_json() == log_tally(log)[0].as_json()
    assert secret not in arguments.read_text()
    assert b"--snapshot=" in arguments.read_bytes()
    assert not [p for p in (tmp_path / "backups").rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def test_a_pg_dump_that_fails_is_said_with_its_words(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pg_dump").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 16.1" && exit\necho no room >&2\nexit 1\n'
    )
    (tmp_path / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with (
        fresh_schema() as options,
        closing(open_store(server().url, options=options)) as store,
        pytest.raises(Fatal, match="pg_dump: expected to succeed, was: no room"),
    ):
        backup(open_log(str(log)), store, tmp_path / "backups")
    assert finished(tmp_path / "backups") == []


def test_a_full_disk_is_said_and_nothing_is_left(log: Path, tmp_path: Path) -> None:
    with closing(LakeStore(tmp_path / "lake")) as store:
        _load(log, store)
    command = tickerplant_command("backup", "--to", tmp_path / "backups", "--log", log, "--store", tmp_path / "lake")
    limited = ["prlimit", "--fsize=2000", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "expected to read and write files" in done.stderr
    assert [p.name for p in (tmp_path / "backups").iterdir()] == [".lock"]


def test_a_terminated_backup_ends_pg_dump_and_leaves_nothing(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 16.1" && exit\n'
        f"echo $$ > {tmp_path}/pid.new\nmv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 300\n"
    )
    (tmp_path / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with fresh_schema() as options:
        monkeypatch.setenv("TICKERPLANT_SCHEMA", options.schema)
        command = ("backup", "--to", tmp_path / "backups", "--log", log, "--store", server().url)
        process = tickerplant(*command, stderr=subprocess.DEVNULL)
        wait_for((tmp_path / "pid").exists, what="pg_dump at work")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 130
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert [p.name for p in (tmp_path / "backups").iterdir()] == [".lock"]
