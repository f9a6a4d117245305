"""TLS options reach libpq, and what they refuse is refused for good, with words a person can act on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_no_secret import command_lines, contents
from tests.support.plant import answer, ask, simulator, stop, tickerplant, wait_for
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
    ask("init")
    assert json.loads(ask("query", "--json", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")) == [
        {"ssl": True}
    ]
    found = {c["name"]: c for c in json.loads(ask("config", "--json"))["checks"]}
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
    done = answer("query", "--store", wrong, "select 1")
    assert done.returncode == 1, done.stderr
    assert "certificate verify failed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "UnMiStAkAbLe" not in done.stdout + done.stderr


def test_a_capture_that_loads_leaves_the_password_nowhere(
    tls: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESCALE_LIVE_CONN_STRING", _url(tls, password=""))
    monkeypatch.setenv("POSTGRES_PASSWORD", PASSWORD)
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("TICKERPLANT_SCHEMA", "by_run")
    oracle = tmp_path / "oracle.json"
    market = ("--seed", "7", "--symbols", "5", "--minutes", "2", "--speed", "60", "--linger", "60", "--oracle", oracle)
    ask("init")
    with simulator(*market) as (feed, _), (tmp_path / "said").open("w") as said:
        arguments = ("--url", feed, "--symbols", "*", "--log", tmp_path / "log", "--always-open", "--json")
        plant = tickerplant("run", *arguments, stdout=said, stderr=said)
        try:
            with connect(_url(tls), "here") as link:
                wait_for(lambda: link.execute("select 1 from by_run.quotes limit 1").fetchone(), 60, "rows")
            lines = command_lines(plant.pid)
        finally:
            assert stop(plant) == 0, (tmp_path / "said").read_text()

    assert lines.count(b"tickerplant") >= 2
    shown = dict(contents(tmp_path))
    assert b"caught up" in shown[str(tmp_path / "said")] or b"loading" in shown[str(tmp_path / "said")]
    assert [name for name, data in {"command lines": lines, **shown}.items() if b"UnMiStAkAbLe" in data] == []
