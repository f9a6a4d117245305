"""What the pool of the driver says by itself: structured, for debugging only, and without a password."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import psycopg_pool
import pytest
from structlog.testing import capture_logs

from tickerplant.cli.driver_logs import route_driver_logs
from tickerplant.errors import Retryable
from tickerplant.stores.postgres_query import Reader


@pytest.fixture
def routed() -> Iterator[None]:
    logger = logging.getLogger("psycopg")
    before = logger.handlers, logger.propagate
    route_driver_logs()
    yield
    logger.handlers, logger.propagate = before


@pytest.mark.usefixtures("routed")
def test_the_pool_s_tries_are_debug_lines(capfd: pytest.CaptureFixture[str]) -> None:
    where = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "hush"}
    with capture_logs() as said:
        pool = psycopg_pool.ConnectionPool("", kwargs=where, min_size=1, reconnect_timeout=0.5, open=False)
        with closing(pool):
            pool.open()
            with pytest.raises(psycopg_pool.PoolTimeout):
                pool.wait(1)

    lines = [line for line in said if line["event"] == "driver"]
    assert {line["log_level"] for line in lines} == {"debug"}
    assert any("Connection refused" in line["said"] for line in lines)
    assert "hush" not in repr(said)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("routed")
def test_a_store_that_is_away_is_told_once_and_at_once_with_the_reason() -> None:
    reader = Reader("postgresql://u:hush@127.0.0.1:1/d", "here", "s", 1)
    with (
        capture_logs() as said,
        pytest.raises(Retryable, match=r"here: .* answers, was .*Connection refused") as caught,
    ):
        reader.query("select 1", [])
    reader.close()
    assert said == []
    assert "hush" not in str(caught.value)
