from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.plant import answer
from tickerplant.cli import exit_code
from tickerplant.cli.console import stop_on_signals
from tickerplant.errors import BadData, Busy, Fatal, Retryable, SlowRetry, TickerplantError, UsageError
from tickerplant.jobs.check import Check, check
from tickerplant.jobs.supervise import Follower, next_wait
from tickerplant.model import Secret
from tickerplant.settings import read_settings

_HUSH = "hush-hush-secret"


def _run(*args: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ALPACA", "TICKERPLANT", "APCA"))}
    return answer(*args, environment={**clean, **env}, folder=cwd)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (Busy("x"), 75),
        (Retryable("x"), 75),
        (SlowRetry("x"), 75),
        (Fatal("x"), 1),
        (BadData("x"), 1),
    ],
)
def test_exit_codes_answer_whether_to_try_again(error: TickerplantError, code: int) -> None:
    assert exit_code(error) == code


def test_config_checks_a_plant_and_prints_no_secret(tmp_path: Path) -> None:
    keys = {"ALPACA_API_KEY": "AKPUBLIC", "ALPACA_SECRET_KEY": _HUSH}
    done = _run("config", "--json", env=keys, cwd=tmp_path)

    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["ok"]
    assert found["settings"]["alpaca_secret"] == "set"
    assert {c["name"]: c["outcome"] for c in found["checks"]}["ALPACA_SECRET_KEY"] == "ok"
    assert _HUSH not in done.stdout + done.stderr + _run("config", env=keys, cwd=tmp_path).stdout


def test_config_fails_on_a_url_that_would_send_keys_in_the_clear(tmp_path: Path) -> None:
    done = _run("config", env={"ALPACA_WEBSOCKET_URL": "ws://stream.example.com/v2/sip"}, cwd=tmp_path)

    assert done.returncode == 1
    assert "wss" in done.stdout


def test_a_wrong_setting_is_a_usage_error_that_names_the_variable(tmp_path: Path) -> None:
    done = _run("status", env={"BATCH_SIZE": "none"}, cwd=tmp_path)

    assert done.returncode == 2
    assert "BATCH_SIZE" in done.stderr
    assert "Traceback" not in done.stderr


def test_capture_without_keys_says_which_to_set(tmp_path: Path) -> None:
    done = _run("capture", "--for", "1s", env={}, cwd=tmp_path)

    assert done.returncode == 2
    assert "ALPACA_API_KEY" in done.stderr


def _named(checks: list[Check]) -> dict[str, Check]:
    return {c.name: c for c in checks}


def test_checks_say_what_to_do(tmp_path: Path) -> None:
    settings = read_settings({"TICKERPLANT_DATA": str(tmp_path), "ALPACA_WEBSOCKET_URL": "wss://u:pw@h/v2/sip"}, None)

    found = _named(check(settings))

    assert found["websocket"].outcome == "fail"
    assert "pw" not in found["websocket"].found
    assert found["ALPACA_API_KEY"].outcome == "warn"
    assert found["log"].outcome in ("ok", "warn")
    assert found["disk sync"].outcome in ("ok", "warn")
    assert "New York" in found["session"].found
    assert all(c.do for c in found.values() if c.outcome != "ok")
    assert _named(check(replace(settings, alpaca_secret=Secret("x"))))["ALPACA_SECRET_KEY"].outcome == "ok"


def test_a_follower_that_ends_early_is_started_again_and_its_last_words_are_kept(tmp_path: Path) -> None:
    with Follower(["log", "ls", "--log", str(tmp_path), "--json"]) as follower:
        for _ in range(600):
            if follower.restarts:
                break
            follower._ending.wait(0.1)

    assert follower.restarts >= 1
    assert follower.returncode is not None


def test_a_follower_waits_longer_while_it_keeps_ending_and_begins_anew_after_a_healthy_run() -> None:
    waits = [0.0]
    for ran_s in (0.0, 1.0, 1.0, 59.0, 1.0, 1.0, 1.0, 1.0, 60.0, 1.0, 7200.0):
        waits.append(next_wait(waits[-1], ran_s))
    assert waits[1:] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 0.5, 1.0, 0.5]


def test_the_demo_never_clears_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()

    done = _run("demo", "--dir", "mine", env={}, cwd=tmp_path)

    assert done.returncode == 2
    assert (tmp_path / "mine" / "precious").exists()


@pytest.mark.timeout(20)
def test_a_signal_in_the_middle_of_a_wait_stops_the_wait() -> None:
    with stop_on_signals() as stop:
        with stop._cond:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGTERM)
        assert stop.wait(10)
