"""Where the server is: every spelling people have leads to one URL, and a disagreement is told without a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tickerplant.errors import UsageError
from tickerplant.postgres_url import masked, parse, url
from tickerplant.settings import Settings, read_settings

_PASSWORD = "p@s/s:w?o#r%d &'\\\"=+ é"
_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "user": _TEXT,
        "password": _TEXT,
        "dbname": _TEXT,
        "host": st.sampled_from(["db", "db.example.com", "127.0.0.1", "::1", "/var/run/a b", "a,b"]),
        "port": st.integers(1, 65535).map(str),
        "sslmode": st.just("verify-full"),
        "sslrootcert": _TEXT,
    },
)


def _read(**env: str) -> Settings:
    return read_settings(env, dotenv=None)


@given(_PARTS)
def test_any_parts_come_out_of_the_url_as_they_went_in_and_libpq_reads_the_same(parts: dict[str, str]) -> None:
    assert parse(url(parts), "x") == parts
    assert conninfo_to_dict(url(parts)) == parts
    assert parse(make_conninfo("", **parts), "x") == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p%40w@h:5433/d", "postgresql://u:p%40w@h:5433/d"),
        ("postgresql+psycopg2://u:pw@h/d?sslmode=require", "postgresql://u:pw@h/d?sslmode=require"),
        ("postgres://h/d?ssl=true", "postgresql://h/d?sslmode=require"),
        ("host=h port=5433 dbname=d user=u password='it''s'", None),
        (r"host=h dbname = 'my db' password='a\'b c'", "postgresql://:a%27b%20c@h/my%20db"),
        ("postgresql://u@[2001:db8::1]:5433/d", "postgresql://u@[2001:db8::1]:5433/d"),
        ("postgresql://u@a:1,b:2/d", "postgresql://u@/d?host=a%2Cb&port=1%2C2"),
        ("postgresql://u:pa@ss@h/d", None),
        ("postgresql://u:pa/ss@h/d", None),
        ("postgresql://u:pa%ss@h/d", None),
        ("postgresql://u:pass@h:many/d", None),
        ("postgresql://u:pass@h/d?sslmode", None),
        ("just a pass", None),
    ],
)
def test_the_text_an_existing_plant_has_is_understood_or_refused_without_showing_it(
    text: str, expected: str | None
) -> None:
    if expected is not None:
        assert _read(TIMESCALE_LIVE_CONN_STRING=text).store == expected
        return
    with pytest.raises(UsageError, match="TIMESCALE_LIVE_CONN_STRING: expected postgresql://") as caught:
        _ = _read(TIMESCALE_LIVE_CONN_STRING=text).store
    assert "pa" not in str(caught.value).replace("password", "").replace("special", "")
    assert masked(text) == "postgresql://***"


def test_postgres_host_alone_is_enough_and_a_password_is_quoted() -> None:
    assert _read(POSTGRES_HOST="db").store == "postgresql://db/"
    full = _read(
        POSTGRES_HOST="db", POSTGRES_PORT="5433", POSTGRES_DB="ticks", POSTGRES_USER="me", POSTGRES_PASSWORD=_PASSWORD
    )
    assert conninfo_to_dict(full.store) == {
        "host": "db",
        "port": "5433",
        "dbname": "ticks",
        "user": "me",
        "password": _PASSWORD,
    }


def test_ways_that_agree_complete_each_other() -> None:
    found = _read(
        TICKERPLANT_STORE="postgresql://me@DB.example/ticks?sslmode=verify-full",
        TIMESCALE_LIVE_CONN_STRING="postgresql+psycopg2://me@db.example:5432/ticks",
        POSTGRES_HOST="db.example",
        POSTGRES_PASSWORD="a/b",
    )
    assert parse(found.store, "x") == {
        "user": "me",
        "password": "a/b",
        "host": "DB.example",
        "port": "5432",
        "dbname": "ticks",
        "sslmode": "verify-full",
    }
    assert _read(TICKERPLANT_STORE="postgresql://h/d", POSTGRES_PASSWORD="x").store == "postgresql://:x@h/d"
    assert _read(TICKERPLANT_STORE="./elsewhere").store == "./elsewhere"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"TICKERPLANT_STORE": "postgresql://u:hush@a/d", "TIMESCALE_LIVE_CONN_STRING": "postgresql://u:hush@b/e"},
            "TICKERPLANT_STORE and TIMESCALE_LIVE_CONN_STRING: expected one server, database and user, "
            "was host a and b, dbname d and e; do unset what is not meant, or pass --store",
        ),
        (
            {"TIMESCALE_LIVE_CONN_STRING": "host=a user=u", "POSTGRES_HOST": "a", "POSTGRES_USER": "v"},
            "TIMESCALE_LIVE_CONN_STRING and POSTGRES_USER: expected one server, database and user, was user u and v",
        ),
        (
            {"TICKERPLANT_STORE": "postgresql://h/d", "POSTGRES_HOST": "h", "POSTGRES_PORT": "5433"},
            "TICKERPLANT_STORE and POSTGRES_PORT: expected one server, database and user, was port 5432 and 5433",
        ),
        (
            {"TICKERPLANT_STORE": "postgresql:///d", "POSTGRES_HOST": "h"},
            "TICKERPLANT_STORE and POSTGRES_HOST: expected one server, database and user, was host this machine and h",
        ),
        (
            {"TICKERPLANT_STORE": "postgresql://u:hush1@h/d", "POSTGRES_PASSWORD": "hush2"},
            "TICKERPLANT_STORE and POSTGRES_PASSWORD: expected one server, database and user, "
            "was password with two values (not shown)",
        ),
        (
            {"TICKERPLANT_STORE": "./lake", "POSTGRES_HOST": "h", "POSTGRES_PASSWORD": "hush"},
            "TICKERPLANT_STORE and POSTGRES_HOST, POSTGRES_PASSWORD: expected one store, was ./lake and a PostgreSQL",
        ),
        (
            {"POSTGRES_PASSWORD": "hush", "POSTGRES_DB": "d"},
            "POSTGRES_DB, POSTGRES_PASSWORD: expected POSTGRES_HOST too, or a PostgreSQL URL in TICKERPLANT_STORE",
        ),
    ],
)
def test_a_disagreement_names_the_variables_and_the_parts_but_no_password(env: dict[str, str], said: str) -> None:
    settings = _read(**env)
    with pytest.raises(UsageError) as caught:
        _ = settings.store
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_no_password_is_in_the_settings_as_text() -> None:
    found = _read(
        TICKERPLANT_STORE="postgresql://u:hush@h/d",
        TIMESCALE_LIVE_CONN_STRING="host=h password=hush",
        POSTGRES_PASSWORD="hush",
    )
    assert "hush" not in f"{found} {found!r}"
    assert masked(found.store) == "postgresql://u@h/d"


@pytest.mark.parametrize("port", ["many", "0", "70000", "-1"])
def test_a_port_is_a_port(port: str) -> None:
    with pytest.raises(UsageError, match=r"POSTGRES_PORT: expected a port from 1 to 65535, was "):
        _read(POSTGRES_HOST="h", POSTGRES_PORT=port)
