"""An embedded PostgreSQL for tests, one a test process, with a schema of its own for each test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

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
