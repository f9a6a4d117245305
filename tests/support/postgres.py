"""An embedded PostgreSQL for tests, one a test process, with a schema of its own for each test.

Making a schema takes longer than most tests. One that a test has left is emptied, and given to the next test when
nothing but its rows and partitions had changed.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import count
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import TupleRow

from tests.support.days import today
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
    _without_fsync(started.url)

    def remove() -> None:
        started.close()
        wait_stopped(folder)
        shutil.rmtree(folder)

    atexit.register(remove)
    return started


def _without_fsync(url: str) -> None:
    """The kernel keeps what a killed server wrote: fsync is for power cuts, and makes each recovery a second longer."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("alter system set fsync = off")
        link.execute("select pg_reload_conf()")


def timescale_url() -> str | None:
    """A server with TimescaleDB that tests may use, when one is named."""
    return os.environ.get("TICKERPLANT_TEST_TIMESCALE_URL") or None


@dataclass(frozen=True)
class _Made:
    """A schema that `init` made, and what its catalog held then."""

    name: str
    day: date
    catalog: frozenset[tuple[object, ...]]


_left: list[_Made] = []
"""Schemas of this process's server that no test uses now, empty."""

_CATALOG = """
select 'relation', relname::text, relkind::text, relacl::text, relowner::text, relnatts::int, relispartition
from pg_class where relnamespace = %(schema)s::regnamespace
union all select 'check', conname::text, conrelid::text, pg_get_constraintdef(oid), '', 0, convalidated
from pg_constraint where connamespace = %(schema)s::regnamespace and contype <> 'n'
union all select 'function', proname::text, md5(prosrc), proacl::text, proowner::text, pronargs, prosecdef
from pg_proc where pronamespace = %(schema)s::regnamespace
union all select 'schema', nspname::text, '', nspacl::text, nspowner::text, 0, false
from pg_namespace where oid = %(schema)s::regnamespace"""
_WITH_ROWS = """select quote_ident(relname) from pg_class
where relnamespace = %s::regnamespace and relkind = 'r' and relname <> '_migrations' and pg_relation_size(oid) > 0"""


@contextmanager
def fresh_schema(options: StoreOptions = StoreOptions(), url: str | None = None) -> Iterator[StoreOptions]:  # noqa: B008
    """A schema with our tables, empty, on the embedded server or the one at `url`."""
    if url is None:
        _left[:] = [made for made in _left if made.day == today()]  # the partitions ahead are those of the day
        made = _left.pop() if _left else _make(server().url, options)
    else:
        made = _make(url, options)
    try:
        yield replace(options, schema=made.name)
    finally:
        with psycopg.connect(url or server().url, autocommit=True) as link:
            link.execute("set client_min_messages to warning")
            if url is None and _is_emptied(link, made):
                _left.append(made)
            else:
                drop(link, made.name)


def _make(where: str, options: StoreOptions) -> _Made:
    name, day = f"test_{os.getpid()}_{next(_numbers)}", today()
    with closing(PostgresStore(where, replace(options, schema=name))) as store:
        store.init()
    with psycopg.connect(where, autocommit=True) as link:
        quiet(link, name)
        return _Made(name, day, _catalog(link, name))


def _catalog(link: psycopg.Connection[TupleRow], schema: str) -> frozenset[tuple[object, ...]]:
    steps = link.execute(f"select 'step', number from {schema}._migrations".encode()).fetchall()
    return frozenset(link.execute(_CATALOG, {"schema": schema}).fetchall() + steps)


def _is_emptied(link: psycopg.Connection[TupleRow], made: _Made) -> bool:
    """Take out rows and the partitions that were added; False when anything else has changed."""
    link.execute("select set_config('search_path', %s, false), set_config('lock_timeout', '5s', false)", [made.name])
    try:
        known = {str(entry[1]) for entry in made.catalog if entry[0] == "relation"}
        added = [str(e[1]) for e in _catalog(link, made.name) if e[0] == "relation" and e[2] == "r" and e[6]]
        for name in sorted(set(added) - known):
            link.execute(f"drop table {name}".encode())
        written = [name for (name,) in link.execute(_WITH_ROWS, [made.name]).fetchall()]
        if written:
            link.execute(f"truncate {', '.join(written)}".encode())
        return _catalog(link, made.name) == made.catalog
    except psycopg.Error:
        return False


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
    """An embedded PostgreSQL of one test alone, which can be killed, stopped and started again. Close it.

    `fsync` is for those that measure: a SIGKILL loses nothing that was written.
    """

    def __init__(self, fsync: bool = False) -> None:
        self.folder = short_folder()
        self._server = EmbeddedServer(self.folder)
        if not fsync:
            _without_fsync(self.url)

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
