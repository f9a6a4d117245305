"""A real Airflow on loopback: database, pools, api-server, scheduler, dag-processor, workers; and its REST API."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tickerplant.dags
from tests.support.plant import wait_for

DAGS = Path(next(iter(tickerplant.dags.__path__)))
ALL_DAGS = sorted(path.stem for path in DAGS.glob("*.py") if path.stem != "__init__")
_OVER = ("success", "failed")


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Airflow:
    """A running Airflow."""

    home: Path
    port: int
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""

    @property
    def url(self) -> str:
        """Where its pages and its API are."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        headers |= {"authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read()[-1000:].decode(errors="replace")
            error.add_note(f"{method} {path}: {said}\n{self.log_tail('api')}")
            raise

    def cli(self, *words: str, timeout: float = 120) -> str:
        """Run `airflow <words>`; returns stdout."""
        command = [sys.executable, "-m", "airflow", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def start(self, name: str, *words: str) -> None:
        """Start a component."""
        with (self.home / f"{name}.log").open("wb") as out:
            command = [sys.executable, "-m", "airflow", *words]
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def stop(self) -> None:
        """End every component, the last started first, with all that it started."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()

    def log_tail(self, name: str) -> str:
        """The end of what a component said."""
        path = self.home / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; returns its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The runs of a DAG, oldest first."""
        return list(self.call("GET", f"/api/v2/dags/{dag}/dagRuns?order_by=run_after&limit=100")["dag_runs"])

    def run_over(self, dag: str, run: str, timeout: float = 240) -> dict[str, Any]:
        """Wait until a run is over; returns it."""

        def over() -> dict[str, Any] | None:
            found = self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")
            return found if found["state"] in _OVER else None

        return wait_for(over, timeout, f"{dag} {run}", pause=0.5) or {}

    def run_by_asset(self, dag: str, since: str, timeout: float = 240) -> dict[str, Any]:
        """Wait for the end of a run that assets triggered and that began at or after a moment. Airflow makes one run of
        several events that come while the run before is active."""

        def over() -> dict[str, Any] | None:
            for run in self.runs(dag):
                is_over = run["run_type"] == "asset_triggered" and run["state"] in _OVER
                if is_over and run["start_date"] >= since:
                    return run
            return None

        return wait_for(over, timeout, f"{dag} by an asset", pause=0.5) or {}

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return list(self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances?limit=500")["task_instances"])

    def task_log(self, dag: str, run: str, task: str, map_index: int = -1) -> str:
        """What the task log of the first try says, one line each event."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/1?map_index={map_index}"
        lines = self.call("GET", path)["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in lines)


def settings(home: Path, port: int, executor: str, database: str) -> dict[str, str]:
    """Airflow's own settings for a run that only this machine can reach."""
    core = {
        "CORE__DAGS_FOLDER": str(DAGS),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": executor,
        "CORE__PARALLELISM": "4",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__FERNET_KEY": "",
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "API__SECRET_KEY": secrets.token_hex(32),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    own = {f"AIRFLOW__{name}": value for name, value in core.items()}
    return {**os.environ, **own, "AIRFLOW_HOME": str(home), "TICKERPLANT_AIRFLOW_POOLS": "1"}


@contextmanager
def airflow(
    home: Path,
    extra: Mapping[str, str],
    executor: str = "LocalExecutor",
    database: str | None = None,
    workers: Sequence[str] = (),
) -> Iterator[Airflow]:
    """Set up and run Airflow until the block ends; the DAGs are read and paused."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = database or f"sqlite:///{home / 'airflow.db'}"
    found = Airflow(home, port, {**settings(home, port, executor, url), **extra})
    with ExitStack() as ending:
        found.cli("db", "migrate", timeout=240)
        found.cli("pools", "import", str(DAGS / "pools.json"))
        ending.callback(found.stop)
        found.start("api", "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        found.start("scheduler", "scheduler", "--skip-serve-logs")
        found.start("dags", "dag-processor")
        for name in workers:
            found.start(name, "celery", "worker", "--skip-serve-logs", "-H", f"{name}@%h", "--concurrency", "2")
        wait_for(lambda: _is_up(found), 120, "Airflow", pause=0.5)
        wait_for(lambda: _known(found) == ALL_DAGS, 120, "the DAGs", pause=0.5)
        yield found


def _is_up(found: Airflow) -> bool:
    for name, process in found.processes.items():
        assert process.poll() is None, f"{name} ended with {process.returncode}\n{found.log_tail(name)}"
    try:
        found.token = found.call("GET", "/auth/token")["access_token"]
        health = found.call("GET", "/api/v2/monitor/health")
    except (urllib.error.URLError, OSError, KeyError):
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def _known(found: Airflow) -> list[str]:
    errors = found.call("GET", "/api/v2/importErrors")["import_errors"]
    assert not errors, errors[0]["stack_trace"]
    return sorted(dag["dag_id"] for dag in found.call("GET", "/api/v2/dags?limit=100")["dags"])
