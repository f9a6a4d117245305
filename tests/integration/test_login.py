"""`config --connect`: a login at a real server with the right key, the wrong key, and nobody there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.plant import answer, simulator

_SECRET = "right-secret-1"


def _login(url: str, secret: str, cwd: Path) -> tuple[int, dict[str, str], str]:
    env = {**os.environ, "ALPACA_API_KEY": "AK1", "ALPACA_SECRET_KEY": secret, "ALPACA_WEBSOCKET_URL": url}
    done = answer("config", "--connect", "--json", environment=env, folder=cwd)
    checks = {c["name"]: c for c in json.loads(done.stdout)["checks"]}
    return done.returncode, checks["login"], done.stdout + done.stderr


def test_config_logs_in_subscribes_and_leaves(tmp_path: Path) -> None:
    os.environ["SIMULATE_SECRET"] = _SECRET
    try:
        with simulator("--key", "AK1", "--connections", "1", "--linger", "60") as (url, _):
            for _ in range(2):
                code, login, said = _login(url, _SECRET, tmp_path)
                assert (code, login["outcome"]) == (0, "ok")
                assert "quotes, trades, bars" in login["found"]
            code, login, said = _login(url, "wrong-secret-2", tmp_path)
    finally:
        del os.environ["SIMULATE_SECRET"]

    assert (code, login["outcome"]) == (1, "fail")
    assert "402" in login["found"]
    assert "wrong-secret-2" not in said


def test_config_says_when_nobody_answers(tmp_path: Path) -> None:
    code, login, _ = _login("ws://127.0.0.1:9/v2/sip", "x", tmp_path)

    assert (code, login["outcome"]) == (1, "fail")
    assert "expected a connection" in login["found"]
