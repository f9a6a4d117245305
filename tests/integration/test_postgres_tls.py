"""TLS options reach libpq, and what they refuse is refused for good, with words a person can act on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.plant import run, tickerplant_command
from tests.support.postgres_tls import PASSWORD, TlsServer, system_binaries, tls_server
from tickerplant.errors import Fatal
from tickerplant.jobs.check import Check, check
from tickerplant.postgres_url import url
from tickerplant.settings import read_settings
from tickerplant.stores.postgres_link import connect

_BINARIES = system_binaries()
pytestmark = pytest.mark.skipif(
    _BINARIES is None, reason="the system has no PostgreSQL with TLS (Debian: postgresql), the wheel's has none"
)


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsServer]:
    assert _BINARIES is not None
    with tls_server(_BINARIES) as started:
        with psycopg.connect(f"host={started.folder} port={started.port} user=postgres dbname=postgres") as link:
            link.execute("create role by_certificate login superuser")
        yield started


def _url(tls: TlsServer, **parts: str) -> str:
    common = {"host": "127.0.0.1", "port": str(tls.port), "dbname": "postgres", "sslmode": "verify-full"}
    return url({**common, "user": "postgres", "password": PASSWORD, "sslrootcert": tls.file("ca.crt"), **parts})


def _checked(store: str) -> dict[str, Check]:
    return {c.name: c for c in check(read_settings({"TICKERPLANT_STORE": store}, dotenv=None))}


def test_a_verified_server_is_used_by_every_command(tls: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESCALE_LIVE_CONN_STRING", _url(tls).replace("postgresql://", "postgresql+psycopg2://"))
    monkeypatch.setenv("TICKERPLANT_SCHEMA", "over_tls")
    run("init")
    assert json.loads(run("query", "--json", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")) == [
        {"ssl": True}
    ]
    found = {c["name"]: c for c in json.loads(run("config", "--json"))["checks"]}
    assert (found["store TLS"]["outcome"], found["store TLS"]["found"]) == ("ok", "TLSv1.3")
    assert found["store schema"]["outcome"] == "ok"


def test_a_client_certificate_is_enough(tls: TlsServer) -> None:
    given = {
        "user": "by_certificate",
        "password": "",
        "sslcert": tls.file("client.crt"),
        "sslkey": tls.file("client.key"),
    }
    with connect(_url(tls, **given), "here") as link:
        assert link.execute("select current_user::text").fetchone() == ("by_certificate",)


def test_libpq_s_own_variables_pass_through(tls: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", tls.file("other_ca.crt"))
    with pytest.raises(Fatal, match="certificate verify failed"):
        connect(_url(tls, sslmode="", sslrootcert=""), "here")
    monkeypatch.setenv("PGSSLROOTCERT", tls.file("ca.crt"))
    assert _checked(_url(tls, sslmode="", sslrootcert=""))["store TLS"].found == "TLSv1.3"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"sslrootcert": "other_ca.crt"}, "certificate verify failed"),
        ({"sslrootcert": "no_such.crt"}, "root certificate file"),
        ({"host": "db.example", "hostaddr": "127.0.0.1"}, 'does not match host name "db.example"'),
        ({"sslmode": "disable"}, "no pg_hba.conf entry"),
        ({"user": "by_certificate"}, "certificate"),
        ({"password": "hush"}, "password authentication failed"),
    ],
)
def test_what_is_refused_says_why_and_is_not_tried_again(tls: TlsServer, parts: dict[str, str], said: str) -> None:
    given = {k: tls.file(v) if k == "sslrootcert" else v for k, v in parts.items()}
    with pytest.raises(Fatal) as caught:
        connect(_url(tls, **given), "here")
    assert "here: expected to be let in, was " in str(caught.value)
    assert said in str(caught.value)
    found = _checked(_url(tls, **given))["store"]
    assert (found.outcome, said in found.found) == ("fail", True)
    assert PASSWORD not in f"{caught.value} {found}"
    assert "hush" not in f"{caught.value} {found}"


def test_a_command_ends_at_once_with_1_and_shows_no_password(tls: TlsServer) -> None:
    wrong = _url(tls, sslrootcert=tls.file("other_ca.crt"))
    done = subprocess.run(
        tickerplant_command("query", "--store", wrong, "select 1"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert "certificate verify failed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "4711" not in done.stdout + done.stderr
