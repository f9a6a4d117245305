"""dbt, run once in this process: quietly, without network, with an event for each model and test that ends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from tickerplant.errors import Fatal, UsageError
from tickerplant.transform.facts import Facts, variables
from tickerplant.transform.request import Built, ModelResult, Request

_one_at_a_time = Lock()
"""dbt keeps its state in the process."""

_FACTS = "TICKERPLANT_TRANSFORM"
_STATUS = {"success": "done", "pass": "done", "warn": "warned", "skipped": "skipped"}
_PASSWORD = "DBT_ENV_SECRET_TICKERPLANT"  # noqa: S105
_UNREADABLE = {"CompilationError", "DbtProjectError", "DbtUsageException", "ParsingError", "YamlParseListError"}
PASSWORD_IN_PROFILE = "{{ env_var('" + _PASSWORD + "') }}"
"""What stands in the profile for the password: dbt takes it from the environment and masks it in its texts."""


def require_dbt() -> None:
    """Raise UsageError when dbt is not installed."""
    missing = [name for name in ("dbt.cli", "dbt.adapters.duckdb", "dbt.adapters.postgres") if not _is_there(name)]
    if missing:
        raise UsageError(
            f"transform: expected the extra `transform`, was without {', '.join(missing)}; "
            "do pip install 'tickerplant[transform]'"
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def run(
    work: Path,
    request: Request,
    facts: Facts,
    built: Built,
    on_done: Callable[[ModelResult | str], None],
    environment: Mapping[str, str],
) -> list[ModelResult]:
    """Run the project in `work`. Raises UsageError when the project cannot be read, Fatal when dbt fails as a whole."""
    found: list[ModelResult] = []

    def take(event: Any) -> None:
        result = _result(event, built)
        if isinstance(result, ModelResult):
            found.append(result)
        if result is not None:
            on_done(result)

    told = {_FACTS: msgspec.json.encode(facts.as_told()).decode()}
    with _one_at_a_time, _surroundings({**environment, **told}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dbt.cli.main import dbtRunner

        outcome = dbtRunner(callbacks=[take]).invoke(_words(work, request))
    _check(outcome)
    return found


def _words(work: Path, request: Request) -> list[str]:
    quiet = ["--quiet", "--no-print", "--log-level", "none", "--log-level-file", "none", "--no-use-colors"]
    still = ["--no-send-anonymous-usage-stats", "--no-version-check", "--partial-parse", "--no-write-json"]
    folders = ["--project-dir", str(work), "--profiles-dir", str(work), "--target-path", str(work / "target")]
    words = [*quiet, *still, "--log-path", str(work / "logs"), "build" if request.tests else "run", *folders]
    words += ["--threads", str(request.threads), "--vars", msgspec.json.encode(variables(request)).decode()]
    return [*words, "--select", *request.select] if request.select else words


def _result(event: Any, built: Built) -> ModelResult | str | None:
    name, data = event.info.name, event.data
    if name == "NodeStart" and data.node_info.resource_type == "model":
        return str(data.node_info.node_name)
    if name != "NodeFinished" or data.node_info.resource_type not in ("model", "test"):
        return None
    node, result = data.node_info, data.run_result
    status = _STATUS.get(str(node.node_status), "failed")
    mode, rows = built.modes.get(node.node_name) or _told(result.message)
    message = None if status == "done" else _first_lines(result.message)
    return ModelResult(node.node_name, node.resource_type, status, round(result.execution_time, 3), mode, rows, message)  # type: ignore[arg-type]


def _told(message: str) -> tuple[str | None, int | None]:
    """Mode and rows as the materialization of PostgreSQL tells them."""
    words = message.split()
    return (words[1], int(words[2])) if words[:1] == ["mart"] and len(words) == 3 else (None, None)


def _first_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines()[:6])


def _check(outcome: Any) -> None:
    error = outcome.exception
    if error is None:
        return
    text = _first_lines(str(error))
    if _UNREADABLE & {kind.__name__ for kind in type(error).__mro__}:
        raise UsageError(f"transform: expected a project that dbt can read, was {text}")
    raise Fatal(f"transform: expected dbt to run to its end, was {type(error).__name__}: {text}")


@contextmanager
def _surroundings(given: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment for the time of the run."""
    words = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **given}
    before = {name: os.environ.get(name) for name in words}
    os.environ.update(words)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def password_environment(password: str) -> dict[str, str]:
    """The variable that holds the password while dbt runs."""
    return {_PASSWORD: password}


__all__: Sequence[str] = ("PASSWORD_IN_PROFILE", "password_environment", "require_dbt", "run")
