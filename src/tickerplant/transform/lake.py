"""A transform over the lake."""

from __future__ import annotations

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

from tickerplant.stores.lake import LakeStore
from tickerplant.transform.lake_run import LakeRun, register, unregister
from tickerplant.transform.project import prepare, signature
from tickerplant.transform.request import Built, Progress, Report, Request
from tickerplant.transform.runner import run
from tickerplant.transform.variables import variables

_DATABASE, _SCHEMA = "memory", "main"


def transform_lake(store: LakeStore, request: Request, on_progress: Progress) -> Report:
    """Build the marts of a lake, one commit each. Raises as `runner.run` does."""
    with store.transforming(), TemporaryDirectory(prefix="tickerplant-") as folder:
        work, key, built = Path(folder), secrets.token_hex(8), Built()
        lake = LakeRun(store.root, store.table_logs(), store.marts, built)
        prepare(work, _target(work, key, request.threads), _SCHEMA, request.user)
        found = variables(request, {} if request.full else lake.plan(), signature(request))
        register(key, lake)
        try:
            return Report(tuple(run(work, request, found, built, on_progress, {})))
        finally:
            unregister(key)


def _target(work: Path, key: str, threads: int) -> dict[str, object]:
    return {
        "type": "duckdb",
        "path": ":memory:",
        "database": _DATABASE,
        "schema": _SCHEMA,
        "threads": threads,
        "plugins": [{"module": "tickerplant.transform.plugin", "alias": "tickerplant", "config": {"run": key}}],
        "config_options": {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(work / "spill"),
        },
        "settings": {"TimeZone": "UTC", "enable_progress_bar": "false"},
    }
