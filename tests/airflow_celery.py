"""`python -m tests.airflow_celery`: all DAGs under CeleryExecutor, two workers, a real Redis, an embedded PostgreSQL.

Needs Airflow's environment (`make setup-airflow`) and `redis-server`. With `--screenshot FILE` the finished runs are
taken as a picture by Chromium (`pip install playwright`). With `--local` it is the LocalExecutor on SQLite.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.airflow_database import database
from tests.support.airflow_plant import ALL_DAGS, Airflow, airflow, free_port
from tests.support.airflow_story import play, scene
from tests.support.plant import wait_for

_WORKERS = ("one", "two")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis on loopback, nothing kept on disk; gives its URL."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), 20, "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def who_ran_what(found: Airflow) -> dict[str, int]:
    """Task instances that succeeded, by worker."""
    ran: Counter[str] = Counter()
    for dag in ALL_DAGS:
        for run in found.runs(dag):
            ran.update(str(t["hostname"]) for t in found.tasks(dag, run["dag_run_id"]) if t["state"] == "success")
    return dict(ran)


def worker_tasks(found: Airflow) -> dict[str, int]:
    """Tasks that each Celery worker says it received."""
    texts = {name: (found.home / f"{name}.log").read_text(errors="replace") for name in _WORKERS}
    return {name: text.count(" received") for name, text in texts.items()}


def take_picture(found: Airflow, path: Path) -> None:
    """The list of runs, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(f"{found.url}/dag_runs?limit=25", wait_until="load")
        page.get_by_text("stocks_dbt_transform").first.wait_for(timeout=90_000)
        page.screenshot(path=str(path))
        browser.close()


def main() -> int:
    """Run it and print what came of it as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("bench-out/airflow"))
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--local", action="store_true")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.folder, ignore_errors=True)
    folder = chosen.folder.resolve()
    folder.mkdir(parents=True)
    began = time.monotonic()
    with ExitStack() as stack:
        on = stack.enter_context(scene(folder / "plant"))
        extra, executor, url = on.environment(), "LocalExecutor", None
        if not chosen.local:
            executor, url = "CeleryExecutor", stack.enter_context(database())
            extra |= {"AIRFLOW__CELERY__BROKER_URL": stack.enter_context(redis(folder))}
            extra |= {"AIRFLOW__CELERY__RESULT_BACKEND": "db+" + url.replace("+psycopg2", "")}
        workers = () if chosen.local else _WORKERS
        found = stack.enter_context(airflow(folder / "home", extra, executor, url, workers))
        up = time.monotonic() - began
        rows = play(found, on)
        told = {"executor": executor, "rows": rows, "up_s": round(up), "all_s": round(time.monotonic() - began)}
        told |= {"tasks": sum(who_ran_what(found).values())}
        told |= {} if chosen.local else {"by_worker": worker_tasks(found)}
        sys.stdout.write(json.dumps(told) + "\n")
        if chosen.screenshot:
            take_picture(found, chosen.screenshot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
