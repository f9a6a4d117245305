"""An embedded PostgreSQL for tests, one a test process, with a schema of its own for each test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

import psycopg

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


@contextmanager
def fresh_schema(options: StoreOptions = StoreOptions()) -> Iterator[StoreOptions]:  # noqa: B008
    """A schema with our tables that is dropped afterwards."""
    chosen = replace(options, schema=f"test_{next(_numbers)}")
    store = PostgresStore(server().url, chosen)
    store.init()
    store.close()
    try:
        yield chosen
    finally:
        with psycopg.connect(server().url, autocommit=True) as link:
            link.execute(f"drop schema {chosen.schema} cascade".encode())
