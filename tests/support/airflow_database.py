"""A PostgreSQL for Airflow's metadata: with SQLite the api-server has answered 500 to a trigger (seen once)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.support.postgres import short_folder
from tickerplant.stores.postgres_embedded import EmbeddedServer, wait_stopped


@contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL of our own for Airflow's metadata; gives SQLAlchemy's URL."""
    folder = short_folder()
    server = EmbeddedServer(folder)
    try:
        yield _sqlalchemy(server.url)
    finally:
        server.close()
        wait_stopped(folder)
        shutil.rmtree(folder)


def _sqlalchemy(url: str) -> str:
    parts = urlsplit(url)
    host = (parse_qs(parts.query).get("host") or [parts.hostname or ""])[0]
    who = (parts.username or "postgres") + (f":{parts.password}" if parts.password else "")
    at = f"{parts.port}" if parts.port else ""
    where = f"@/{parts.path.lstrip('/')}?host={host}" if host.startswith("/") else f"@{host}:{at}{parts.path}"
    return f"postgresql+psycopg2://{who}{where}"
