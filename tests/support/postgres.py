"""An embedded PostgreSQL for tests, one a test process, with a schema of its own for each test."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import TupleRow

from tickerplant.stores import StoreOptions
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_embedded import EmbeddedServer, wait_stopped

_numbers = count(1)


def short_folder() -> Path:
    """A folder that every user may enter (root's server runs as another user), with a short name (sockets)."""
    folder = Path(tempfile.mkdtemp(prefix="tp-"))
    folder.chmod(0o755)
    return folder


@cache
def server() -> EmbeddedServer:
    """This process's server; it is stopped and deleted when the process ends."""
    folder = short_folder()
    started = EmbeddedServer(folder)

    def remove() -> None:
        started.close()
        wait_stopped(folder)
        shutil.rmtree(folder)

    atexit.register(remove)
    return started


def timescale_url() -> str | None:
    """A server with TimescaleDB that tests may use, when one is named."""
    return os.environ.get("TICKERPLANT_TEST_TIMESCALE_URL") or None


@contextmanager
def fresh_schema(options: StoreOptions = StoreOptions(), url: str | None = None) -> Iterator[StoreOptions]:  # noqa: B008
    """A schema with our tables that is dropped afterwards, on the embedded server or the one at `url`."""
    chosen = replace(options, schema=f"test_{os.getpid()}_{next(_numbers)}")
    where = url or server().url
    store = PostgresStore(where, chosen)
    store.init()
    store.close()
    try:
        with psycopg.connect(where, autocommit=True) as link:
            quiet(link, chosen.schema)
        yield chosen
    finally:
        with psycopg.connect(where, autocommit=True) as link:
            link.execute("set client_min_messages to warning")
            drop(link, chosen.schema)


def quiet(link: psycopg.Connection[TupleRow], schema: str) -> None:
    """Stop TimescaleDB's jobs of a schema, so that a test alone decides what happens when."""
    found = link.execute("select to_regclass('timescaledb_information.jobs')").fetchone()
    if found and found[0]:
        link.execute(
            "select alter_job(job_id, scheduled => false) from timescaledb_information.jobs "
            "where hypertable_schema = %s or proc_schema = %s",
            [schema, schema],
        )


def drop(link: psycopg.Connection[TupleRow], schema: str) -> None:
    """Drop a schema; again when a job of the server was in the way."""
    for left in reversed(range(5)):
        try:
            link.execute(f"drop schema if exists {schema} cascade".encode())
            return
        except psycopg.errors.DeadlockDetected:
            if not left:
                raise


class OwnServer:
    """An embedded PostgreSQL of one test alone, which can be killed, stopped and started again. Close it."""

    def __init__(self) -> None:
        self.folder = short_folder()
        self._server = EmbeddedServer(self.folder)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def data(self) -> Path:
        """The data directory, for `pg_hba.conf` and the like."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """The socket it listens on."""
        return self.folder / "socket" / ".s.PGSQL.5432"

    def processes(self) -> list[psutil.Process]:
        """The postmaster and everything it started."""
        postmaster = psutil.Process(self._server.pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self) -> None:
        """SIGKILL to every process of the server at once."""
        self._end(signal.SIGKILL, self.processes())

    def kill_postmaster(self) -> None:
        """SIGKILL to the postmaster alone; the backends end by themselves when they notice."""
        self._end(signal.SIGKILL, self.processes()[:1])

    def stop(self) -> None:
        """An orderly stop that cuts connections (`pg_ctl stop -m fast`)."""
        self._end(signal.SIGINT, self.processes()[:1])

    @staticmethod
    def _end(number: signal.Signals, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive, f"expected the end of {alive}"

    def launch(self) -> None:
        """Start it without waiting until it accepts connections (a standby may refuse them)."""
        server = self._server
        words = ("start", "-W", "-D", ".", "-l", "../server.log", "-o", server._flags)
        server._run([server._bin / "pg_ctl", *words], self.data)

    def promote(self) -> None:
        """End the standby: it can be written to afterwards."""
        self._server._run([self._server._bin / "pg_ctl", "promote", "-w", "-D", "."], self.data)

    def start(self) -> None:
        """Start it again, crash recovery included."""
        self._server.start()

    def close(self) -> None:
        """Stop it and delete its folder."""
        if not self._server.is_running():
            self._server.start()
        self._server.close()
        wait_stopped(self.folder)
        shutil.rmtree(self.folder)
