"""The embedded server: shared by processes, stopped after the last, back after a kill, for root and for others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.ordinary import run_as_ordinary
from tests.support.plant import wait_for
from tests.support.postgres import short_folder
from tests.support.rows import rows
from tickerplant.errors import Retryable, UsageError
from tickerplant.model import Counters, Position
from tickerplant.stores import AnyStore, open_store
from tickerplant.stores.postgres_embedded import EmbeddedServer, wait_stopped
from tickerplant.tables import QUOTES

_STORE = "postgresql+embedded://"
_QUERY = ("-m", "tickerplant", "query", "--json", "select count(*) as n from quotes")
_HOLD = """
import sys
from pathlib import Path
from tickerplant.stores.postgres_embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.pid(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder with blanks and quotes in its name; a server that a test leaves behind is waited for."""
    outer = short_folder()
    yield outer / "my 'best' \"data\" é"
    for data in outer.rglob("PG_VERSION"):
        if data.parent.name == "data":
            wait_stopped(data.parent.parent)
    shutil.rmtree(outer)


def _hold(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that uses the server until its stdin ends, and the server's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def _let_go(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


def _rows(store: AnyStore) -> int | None:
    """Rows of quotes; None while the server dies, which a caller may try again."""
    try:
        return store.query("select 1 from quotes").num_rows
    except Retryable:
        return None


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_processes_share_one_server_and_the_last_one_gone_stops_it(folder: Path) -> None:
    first, pid = _hold(folder)
    second, same = _hold(folder)
    with closing(EmbeddedServer(folder)) as third:
        assert third.pid() == same == pid
        with psycopg.connect(third.url) as link:
            assert link.execute("show listen_addresses").fetchone() == ("",)
        assert (folder / "socket").stat().st_mode & 0o077 == 0
        first.kill()
        _let_go(first)
        _let_go(second)
        assert third.is_running()
    wait_stopped(folder)
    wait_for(lambda: not _runs(pid), 30, "the end of the server")

    again, other = _hold(folder)
    assert other != pid
    _let_go(again)


def test_a_killed_server_is_back_for_writing_and_reading_with_all_that_was_committed(folder: Path) -> None:
    one = [rows(QUOTES, {"symbol": "A"})]
    with closing(open_store(f"{_STORE}{folder}")) as store, closing(EmbeddedServer(folder)) as server:
        store.write("p", Position(0), Position(1), one, Counters(1, 1, 0, 0))
        assert store.query("select count(*) as n from quotes").to_pylist() == [{"n": 1}]

        os.kill(server.pid(), signal.SIGKILL)
        wait_for(lambda: _rows(store) == 1, 30, "an answer of the same store")

        os.kill(server.pid(), signal.SIGKILL)
        wait_for(lambda: not server.is_running(), 30, "the end of the server")
        with closing(open_store(f"{_STORE}{folder}")) as other:
            other.write("p", Position(1), Position(2), one, Counters(2, 2, 0, 0))
            assert other.query("select symbol, session from quotes").num_rows == 2
            assert other.progress("p").position == 2


def test_a_pid_file_of_another_program_is_no_obstacle(folder: Path) -> None:
    with closing(EmbeddedServer(folder)) as server:
        file = folder / "data" / "postmaster.pid"
        lines = file.read_text().splitlines()
    wait_stopped(folder)
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, **server._account)
    try:
        file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        with closing(EmbeddedServer(folder)) as server:
            assert server.is_running()
            assert server.pid() != stranger.pid
        wait_stopped(folder)
    finally:
        stranger.communicate(b"")


def test_a_path_too_long_for_a_socket_works_and_is_shared(folder: Path) -> None:
    long = folder / ("long" * 20) / ("longer" * 20)
    with closing(open_store(f"{_STORE}{long}")) as store:
        assert store.query("select count(*) as n from quotes").to_pylist() == [{"n": 0}]
        process, pid = _hold(long)
        assert pid == int((long / "data" / "postmaster.pid").read_text().split()[0])
        _let_go(process)
    wait_stopped(long)


def test_the_folder_of_somebody_else_is_refused(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    folder.mkdir()
    (folder / "data").mkdir()
    os.chown(folder / "data", 12345, 12345)
    with pytest.raises(UsageError, match=r"expected .*data to be a folder of user 0, was drwx.* of user 12345; do run"):
        EmbeddedServer(folder)
    (folder / "data").rmdir()
    (folder / "data").symlink_to("/etc")
    with pytest.raises(UsageError, match=r"was l.* of user 0"):
        EmbeddedServer(folder)
    assert Path("/etc").stat().st_uid == 0


def test_an_ordinary_user_starts_uses_and_stops_it(folder: Path) -> None:
    folder.mkdir()
    probe = run_as_ordinary("-c", "import os; print(os.geteuid())")
    user = int(probe.stdout)
    assert user != 0
    os.chown(folder, user, -1)
    env = {"TICKERPLANT_STORE": f"{_STORE}{folder}/pg"}
    for command in (("-m", "tickerplant", "init", "--roles"), _QUERY):
        done = run_as_ordinary(*command, env=env)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"n": 0}]
    wait_stopped(folder / "pg")
    assert {path.stat().st_uid for path in (folder / "pg").rglob("*")} == {user}


def test_an_ordinary_user_is_told_whose_folder_it_is(folder: Path) -> None:
    with closing(EmbeddedServer(folder)):
        pass
    wait_stopped(folder)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 12345, 12345)
    else:
        folder.chmod(0o500)
    for place in (folder, folder.parent / "new") if os.geteuid() == 0 else (folder / "new",):
        done = run_as_ordinary(*_QUERY, env={"TICKERPLANT_STORE": f"{_STORE}{place}"})
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert str(place) in done.stderr
        assert "choose another folder" in done.stderr
    folder.chmod(0o755)
