"""A transform over the lake."""

from __future__ import annotations

from threading import Lock

from tickerplant.stores.lake import LakeStore
from tickerplant.transform.facts import Facts
from tickerplant.transform.lake_run import LakeRun, running
from tickerplant.transform.project import parsed, prepare, signature, work_folder
from tickerplant.transform.request import Built, Progress, Report, Request
from tickerplant.transform.runner import run

_lock = Lock()
_DATABASE, _SCHEMA = "memory", "main"


def transform_lake(store: LakeStore, request: Request, on_progress: Progress) -> Report:
    """Build the marts of a lake, one commit each. Raises as `runner.run` does."""
    with store.transforming(), _lock:
        work, built = work_folder("lake"), Built()
        lake = LakeRun(store.table_logs(), store.marts, built, work / "spill")
        prepare(work, _target(request.threads), _SCHEMA, request.user)
        facts = Facts(signature(request), {} if request.full else lake.plan())
        with running(lake), parsed(work, "lake", request.cache):
            return Report(tuple(run(work, request, facts, built, on_progress, {})), facts.touched)


def _target(threads: int) -> dict[str, object]:
    return {
        "type": "duckdb",
        "path": ":memory:",
        "database": _DATABASE,
        "schema": _SCHEMA,
        "threads": threads,
        "plugins": [{"module": "tickerplant.transform.plugin", "alias": "tickerplant"}],
        "config_options": {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
        "settings": {"TimeZone": "UTC", "enable_progress_bar": "false"},
    }
