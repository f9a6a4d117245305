from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tickerplant.clock import VARIABLE, now_ns, set_clock, utc_now

_ASK = "from tickerplant.clock import now_ns, utc_now; input(); print(now_ns(), utc_now().isoformat(), flush=True)"


def test_without_a_clock_of_its_own_it_is_the_machines() -> None:
    assert abs(utc_now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(now_ns() / 1e9 - datetime.now(UTC).timestamp()) < 5


def test_every_process_follows_a_clock_that_is_set_while_it_runs(tmp_path: Path) -> None:
    file, wanted = tmp_path / "clock", datetime(2024, 11, 29, 8, 59, tzinfo=UTC)
    set_clock(file, datetime(2020, 1, 1, tzinfo=UTC))
    command = [sys.executable, "-c", _ASK.replace("input();", "input(); now_ns(); input();")]
    environment = {**os.environ, VARIABLE: str(file)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        set_clock(file, wanted)
        told, _ = process.communicate("\n", timeout=30)
    nanoseconds, text = told.split()
    assert timedelta(0) <= datetime.fromisoformat(text) - wanted < timedelta(seconds=20)
    assert 0 <= int(nanoseconds) / 1e9 - wanted.timestamp() < 20


@pytest.mark.parametrize("content", [None, b"", b"abc"])
def test_a_clock_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "clock"
    if content is not None:
        file.write_bytes(content)
    environment = {**os.environ, VARIABLE: str(file)}
    ended = subprocess.run(
        [sys.executable, "-m", "tickerplant", "calendar"], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 2
    assert VARIABLE in ended.stderr
    assert str(file) in ended.stderr.replace("\n", "")
