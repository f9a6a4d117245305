from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.plant import answer
from tickerplant.cli import app
from tickerplant.cli.capture import Request
from tickerplant.cli.run import _is_on_calendar
from tickerplant.errors import UsageError
from tickerplant.jobs.run_plan import check_shares, chosen, plan_of
from tickerplant.settings import Settings, read_settings
from tickerplant.simulator.tickers import tickers
from tickerplant.stores.lease import FileLease

KEYS = {"ALPACA_API_KEY": "key", "ALPACA_SECRET_KEY": "secret"}


def settings(**values: str) -> Settings:
    return read_settings(values, dotenv=None)


def capture(end: datetime) -> list[str]:
    return ["capture", "--until", end.isoformat()]


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({}, ("--all",)),
        ({"STOCK_SYMBOLS": "AAPL, NA"}, ("AAPL,NA",)),
        ({"STOCK_SYMBOLS": "AAPL", "TICKERPLANT_RUN_SYMBOLS": "all"}, ("--all",)),
        ({"TICKERPLANT_RUN_SYMBOLS": "universe:sp500"}, ("--universe", "sp500")),
    ],
)
def test_whose_rows_are_fetched(values: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert chosen(settings(**values)) == arguments


def test_a_universe_without_a_name_is_said() -> None:
    with pytest.raises(UsageError, match=r"TICKERPLANT_RUN_SYMBOLS: expected universe:NAME"):
        chosen(settings(TICKERPLANT_RUN_SYMBOLS="universe:"))


def test_a_plan_holds_what_the_keys_allow() -> None:
    how = {"TICKERPLANT_RUN_POLL": "bars=5m", "TICKERPLANT_RUN_HISTORY": "2024-01-02", "STOCK_SYMBOLS": "SPY"}
    whole = plan_of(
        settings(**KEYS, **how),
        capture,
        ("quotes", "updated_bars", "bars", "statuses"),
        repairs=True,
        fetches=True,
        log="L",
    )
    assert whole.work.tables == ("daily_bars", "splits", "dividends")
    assert whole.work.live_tables == ("quotes", "bars")
    assert whole.work.history == date(2024, 1, 2)
    assert (set(whole.captures), set(whole.loaders)) == ({"capture"}, {"loader"})
    assert set(whole.beside) == {"repair", "poll bars"}
    assert whole.beside["poll bars"][:6] == ("fetch", "SPY", "--table", "bars", "--poll", "5m")
    bare = plan_of(settings(**how), capture, ("quotes",), repairs=False, fetches=True, log="L", batch_seconds=0.5)
    assert (bare.work.tables, bare.work.live_tables) == ((), ())
    assert list(bare.loaders["loader"])[-2:] == ["--batch-seconds", "0.5"]
    assert not any("secret" in word for arguments in whole.beside.values() for word in arguments)


def test_symbols_are_shared_out_over_captures_and_partitions_over_loaders() -> None:
    how = {"TICKERPLANT_RUN_CAPTURES": "3", "TICKERPLANT_RUN_LOADERS": "2"}
    plan = plan_of(settings(**how), capture, ("quotes",), repairs=False, fetches=False, log="L")
    end = datetime(2026, 11, 23, 20, tzinfo=UTC)
    assert {name: arguments(end) for name, arguments in plan.captures.items()} == {
        f"capture {n}/3": ["capture", "--until", end.isoformat(), "--shard", f"{n}/3"] for n in (1, 2, 3)
    }
    assert dict(plan.loaders) == {
        name: ["load", "--log", "L", "--follow", "--json"] for name in ("loader 1/2", "loader 2/2")
    }
    check_shares(("AAPL", "MSFT", "IBM"), 1)
    check_shares(tickers(40, 7), 3)
    for symbols in (("*",), ("AAPL",)):
        with pytest.raises(UsageError, match="--shard"):
            check_shares(symbols, 3)


def test_several_captures_from_now_on_are_refused_in_words() -> None:
    environment = {"TICKERPLANT_RUN_CAPTURES": "2"}
    found = CliRunner().invoke(app, ["run", "--for", "1s", "--symbols", "A,B"], env=environment)
    assert isinstance(found.exception, UsageError)
    assert "TICKERPLANT_RUN_CAPTURES: expected 1" in str(found.exception)


@pytest.mark.parametrize(
    ("request_", "is_on"),
    [
        (Request(), True),
        (Request(url="wss://stream.data.alpaca.markets/v2/sip"), True),
        (Request(url="wss://stream.data.alpaca.markets/v2/test"), False),
        (Request(url="ws://127.0.0.1:4000/v2/sip"), False),
        (Request(duration="1m"), False),
        (Request(until="16:00"), False),
        (Request(always_open=True), False),
    ],
)
def test_the_market_has_a_clock_unless_the_feed_is_always_on_or_an_end_is_given(request_: Request, is_on: bool) -> None:
    assert _is_on_calendar(settings(), request_, None) is is_on
    assert _is_on_calendar(settings(), Request(), False) is False


def test_a_clock_and_an_end_are_too_much() -> None:
    with pytest.raises(UsageError, match="--calendar: expected no --for"):
        _is_on_calendar(settings(), Request(duration="1m"), True)


def test_a_file_of_settings_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["run", "--env", str(tmp_path / "none.env")])
    assert isinstance(found.exception, UsageError)
    assert "none.env" in str(found.exception)


@pytest.mark.parametrize("text", ["bars", "bars=5", "=5m", "bars=0m", "bars=5m;quotes=1m"])
def test_polls_that_cannot_be_read_are_said(text: str) -> None:
    with pytest.raises(UsageError, match="TICKERPLANT_RUN_POLL: expected tables with a distance"):
        settings(TICKERPLANT_RUN_POLL=text)


def test_a_plant_has_one_run_and_a_second_one_says_who_holds_it(tmp_path: Path) -> None:
    with FileLease(tmp_path / "run.lock", "run"):
        ended = answer("run", "--calendar", environment={**os.environ, "TICKERPLANT_DATA": str(tmp_path)})
    assert ended.returncode == 75
    assert f"owned by process {os.getpid()}" in ended.stderr.replace("\n", " ")
