from __future__ import annotations

import io
import re
from datetime import date
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tickerplant.errors import UsageError
from tickerplant.model import Retention, Secret
from tickerplant.settings import SETTINGS, STORE_VARIABLES, Setting, example, read_settings


def test_defaults_are_safe_offline() -> None:
    found = read_settings({}, dotenv=None)

    assert (found.log, found.store) == ("./data/log", "./data/lake")
    assert found.channels == ("quotes", "trades", "bars")
    assert not found.alpaca_secret


def test_the_variables_in_use_today_work_as_they_are() -> None:
    found = read_settings(
        {
            "ALPACA_API_KEY": "AK1",
            "ALPACA_SECRET_KEY": "hush",
            "ALPACA_WEBSOCKET_URL": "wss://stream.data.alpaca.markets/v2/sip",
            "STOCK_SYMBOLS": "AAPL, MSFT,BRK.B,NA,",
            "LOCAL_OUTPUT_PATH": "/tmp/out/",
            "BATCH_SIZE": "1000",
            "BATCH_TIMEOUT_SECONDS": "2.5",
            "LOG_LEVEL": "DEBUG",
        },
        dotenv=None,
    )

    assert found.alpaca_key == "AK1"
    assert found.alpaca_secret == Secret("hush")
    assert found.symbols == ("AAPL", "MSFT", "BRK.B", "NA")
    assert (found.log, found.store) == ("/tmp/out/log", "/tmp/out/lake")
    assert (found.batch_size, found.batch_timeout_s, found.log_level) == (1000, 2.5, "debug")


def test_local_mode_decides_between_a_folder_and_a_stream() -> None:
    stream = {"KINESIS_STREAM_NAME": "quotes", "AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "hush"}
    assert read_settings(stream, None).log == "./data/log"
    assert read_settings(stream | {"LOCAL_MODE": "True"}, None).log == "./data/log"
    found = read_settings(stream | {"LOCAL_MODE": "false", "MAX_RECONNECT_ATTEMPTS": "7"}, None)
    assert (found.log, found.aws_region, found.max_attempts) == ("kinesis://quotes", "eu-west-1", 7)
    assert "hush" not in repr(found)
    assert read_settings({"LOCAL_MODE": "false", "TICKERPLANT_LOG": "/log"}, None).log == "/log"
    with pytest.raises(UsageError, match="LOCAL_MODE: expected KINESIS_STREAM_NAME beside false"):
        read_settings({"LOCAL_MODE": "false"}, None)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("BATCH_SIZE=7\nTICKERPLANT_LOG=/elsewhere\n")

    found = read_settings({"BATCH_SIZE": "9"}, dotenv=env_file)

    assert (found.batch_size, found.log) == (9, "/elsewhere")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BATCH_SIZE", "many", "BATCH_SIZE: "),
        ("BATCH_SIZE", "0", "expected a whole number above 0, was '0'"),
        ("BATCH_TIMEOUT_SECONDS", "-1", "expected a number above 0"),
        ("LOCAL_MODE", "maybe", "expected true or false, was 'maybe'"),
        ("MAX_RECONNECT_ATTEMPTS", "-1", "expected a whole number from 0 on, was '-1'"),
        ("LOG_LEVEL", "loud", "expected debug, info, warning or error, was 'loud'"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        read_settings({name: value}, dotenv=None)
    assert expected in str(caught.value)


def test_a_secret_never_shows() -> None:
    found = read_settings({"ALPACA_SECRET_KEY": "hush"}, dotenv=None)

    assert "hush" not in f"{found} {found!r} {found.alpaca_secret}"
    assert found.alpaca_secret.reveal() == "hush"


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("", ()),
        ("90", (("*", 90),)),
        ("quotes=30, trades=90", (("quotes", 30), ("trades", 90))),
        ("90,quotes=30", (("*", 90), ("quotes", 30))),
    ],
)
def test_retention_by_table(text: str, days: tuple[tuple[str, int], ...]) -> None:
    found = read_settings({"DATA_RETENTION_DAYS": text}, None).retention
    assert found.days == days
    assert str(found) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["0", "-1", "ninety", "quotes=", "quotes=1,quotes=2", "1,2", "quotes=x", "9999999"])
def test_retention_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="DATA_RETENTION_DAYS: expected days"):
        read_settings({"DATA_RETENTION_DAYS": text}, None)


def test_retention_counts_from_the_running_session() -> None:
    found = Retention((("*", 90), ("quotes", 30)))
    assert found.oldest("quotes", date(2026, 1, 31)) == date(2026, 1, 1)
    assert found.oldest("trades", date(2026, 1, 31)) == date(2025, 11, 2)
    assert Retention((("quotes", 30),)).oldest("trades", date(2026, 1, 31)) is None


def filed(folder: Path, name: str, content: bytes | str) -> dict[str, str]:
    path = folder / name.lower()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {f"{name}_FILE": str(path)}


@pytest.mark.parametrize(
    ("content", "value"),
    [("hush\n", "hush"), ("hush", "hush"), ("hush\r\n", "hush"), ("two\nlines\n\n", "two\nlines\n"), (" h ", " h ")],
)
def test_a_secret_comes_from_a_file_without_its_last_newline(tmp_path: Path, content: str, value: str) -> None:
    found = read_settings(filed(tmp_path, "ALPACA_SECRET_KEY", content), None)
    assert found.alpaca_secret == Secret(value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_every_variable_can_be_a_file(tmp_path: Path, setting: Setting) -> None:
    defaults = read_settings({}, None)
    for name in setting.env:
        with pytest.raises(UsageError, match=f"^{name}_FILE: expected a file that can be read, was /nowhere"):
            read_settings({f"{name}_FILE": "/nowhere"}, None)
        assert read_settings(filed(tmp_path, name, "\n"), None) == defaults


def test_a_file_is_parsed_like_the_variable(tmp_path: Path) -> None:
    env = {**filed(tmp_path, "BATCH_SIZE", "1000\n"), **filed(tmp_path, "MASSIVE_API_KEY", "pk\n")}
    found = read_settings(env, None)
    assert (found.batch_size, found.polygon_key) == (1000, Secret("pk"))
    with pytest.raises(UsageError, match="BATCH_SIZE: expected a whole number above 0, was '0'"):
        read_settings(filed(tmp_path, "BATCH_SIZE", "0"), None)


def test_variable_and_file_must_agree_and_no_value_shows(tmp_path: Path) -> None:
    one = filed(tmp_path, "POSTGRES_PASSWORD", "hush\n")
    assert read_settings({**one, "POSTGRES_PASSWORD": "hush"}, None).postgres_password == Secret("hush")
    assert read_settings({**one, "POSTGRES_PASSWORD": ""}, None).postgres_password == Secret("hush")
    with pytest.raises(UsageError, match="POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE: expected one") as caught:
        read_settings({**one, "POSTGRES_PASSWORD": "other"}, None)
    assert not re.search("hush|other", str(caught.value).replace("both", ""))


def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ALPACA_SECRET_KEY_FILE: .*\(Is a directory\)"):
        read_settings({"ALPACA_SECRET_KEY_FILE": str(tmp_path)}, None)
    with pytest.raises(UsageError, match="of UTF-8 text, was") as caught:
        read_settings(filed(tmp_path, "ALPACA_SECRET_KEY", b"hush\xff"), None)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_environment_wins_over_the_dotenv_file_whichever_way_it_says_it(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("ALPACA_SECRET_KEY=old\nBATCH_SIZE_FILE=/nowhere\n")
    found = read_settings({**filed(tmp_path, "ALPACA_SECRET_KEY", "new"), "BATCH_SIZE": "7"}, dotenv)
    assert (found.alpaca_secret, found.batch_size) == (Secret("new"), 7)


def test_a_process_told_of_one_store_hears_of_no_other(tmp_path: Path) -> None:
    outside = {"POSTGRES_HOST": "db", **filed(tmp_path, "POSTGRES_PASSWORD", "hush")}
    inside = {**outside, **dict.fromkeys(STORE_VARIABLES, ""), "TICKERPLANT_STORE": "/lake"}
    assert read_settings(inside, None).store == "/lake"


def test_the_example_holds_every_setting_and_is_the_defaults() -> None:
    lines = [line[1:] for line in example().splitlines() if re.match("#[A-Z0-9_]+=", line)]
    values = {k: v or "" for k, v in dotenv_values(stream=io.StringIO("\n".join(lines))).items()}
    assert list(values) == [s.env[0] for s in SETTINGS]
    assert values == {s.env[0]: s.default for s in SETTINGS}
    assert read_settings(values, None) == read_settings({}, None)
    assert all(s.doc in example() and all(name in example() for name in s.env) for s in SETTINGS)
    assert dotenv_values(stream=io.StringIO(example())) == {}
