"""Inside a task: exit codes become what Airflow should do, Connections reach the command, lines reach the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECRET = "sEcReT-unmistakable-4711"
_RUN = """
import json, logging, sys
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s", force=True)
from tickerplant.dags.parts.work import command
try:
    told = command(json.loads(sys.argv[1]))
except Exception as error:
    told = f"{type(error).__name__}: {error}"
sys.stdout.write("\\nTOLD " + json.dumps(told))
"""


def perform(home: Path, *words: str, **given: Any) -> tuple[str, str]:
    """Run a command as a task would, in a process of its own; what it returned or raised, and its log."""
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    env |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    line = [sys.executable, "-W", "ignore", "-c", _RUN, json.dumps(words)]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    log, _, told = done.stdout.rpartition("\nTOLD ")
    return str(json.loads(told)), log


def test_connections_and_variables_are_the_commands_settings(tmp_path: Path) -> None:
    told, log = perform(
        tmp_path,
        "config",
        "--json",
        AIRFLOW_CONN_TICKERPLANT_POLYGON={
            "conn_type": "generic",
            "password": SECRET,
            "extra": {"POLYGON_PLAN": "starter"},
        },
        AIRFLOW_VAR_TICKERPLANT_SETTINGS={"TICKERPLANT_DATA": str(tmp_path / "plant")},
    )
    assert str(tmp_path / "plant") in told
    assert "starter" in told
    assert SECRET not in told + log


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "A", "--table", "nonsense"], "AirflowFailException: tickerplant fetch: expected exit code 0, was 2"),
        (["status", "--nonsense"], "AirflowFailException"),
        (["query", "select nonsense", "--json"], "Airflow"),
    ],
)
def test_ends_become_exceptions_and_lines_become_the_log(tmp_path: Path, words: list[str], said: str) -> None:
    told, log = perform(
        tmp_path, *words, AIRFLOW_VAR_TICKERPLANT_SETTINGS={"TICKERPLANT_DATA": str(tmp_path / "plant")}
    )
    assert told.startswith(said)
    assert "exit code" in log


def test_a_variable_that_is_wrong_fails_at_once(tmp_path: Path) -> None:
    told, _ = perform(tmp_path, "config", AIRFLOW_VAR_TICKERPLANT_SETTINGS={"TICKERPLANT_DATTA": "x"})
    assert told.startswith("AirflowFailException: Variable tickerplant_settings: expected names of settings")
