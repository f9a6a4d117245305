"""Loaders whose connections were lost: a partition that another took meanwhile is its own, the others go on."""

from __future__ import annotations

from contextlib import ExitStack, closing

import psycopg
import pytest

from tests.support.plant import wait_for
from tests.support.postgres import fresh_schema, server
from tickerplant.errors import Busy, Retryable
from tickerplant.model import Counters, Position
from tickerplant.stores.postgres import PostgresStore

_END = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null
"""


def end_connections() -> None:
    """What a restart of the server does to whoever is connected."""
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute(_END)


def test_a_partition_that_another_took_during_an_outage_is_its_own_and_the_rest_goes_on() -> None:
    with fresh_schema() as options, ExitStack() as opened:
        one, two = (opened.enter_context(closing(PostgresStore(server().url, options))) for _ in range(2))
        held = {name: store.loading(name, 0) for name, store in (("p.a", one), ("p.b", one), ("p.c", two))}
        for lease in held.values():
            lease.__enter__()
        for store, name in ((one, "p.a"), (one, "p.b"), (two, "p.c")):
            store.write(name, Position(0), Position(10), [], Counters())
        end_connections()
        with two.loading("p.b", 5):
            wait_for(lambda: _written(two, "p.b"), 20, "an answer")
            with pytest.raises(Busy, match=r"expected to own the loading of p\.b again"):
                wait_for(lambda: _written(one, "p.b"), 20, "an answer")
            assert _written(one, "p.a")
        for lease in held.values():
            lease.__exit__(None, None, None)
        assert [one.progress(name).position for name in ("p.a", "p.b", "p.c")] == [20, 20, 10]


def _written(store: PostgresStore, name: str) -> bool:
    try:
        store.write(name, Position(10), Position(20), [], Counters())
    except Retryable:
        return False
    return True
