"""Building blocks of the DAG files: assets, default arguments, a task that runs one command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, task

from tickerplant.dags.parts.alarm import on_failure
from tickerplant.dags.parts.work import brief, command

NEW_YORK = "America/New_York"
LANDED = Asset("tickerplant_landed", uri="tickerplant://log/polygon.rest")
LOADED = Asset("tickerplant_loaded", uri="tickerplant://store/loaded")
TRANSFORMED = Asset("tickerplant_transformed", uri="tickerplant://store/marts")
PATIENT = {"retries": 3, "retry_delay": timedelta(minutes=5), "on_failure_callback": on_failure}


def new_york(cron: str) -> CronTriggerTimetable:
    """A time of day in New York, through changes of the clock."""
    return CronTriggerTimetable(cron, timezone=NEW_YORK)


def pool(name: str) -> str:
    """The pool `tickerplant_<name>` where `TICKERPLANT_AIRFLOW_POOLS` is set, else Airflow's default one.

    A task in a pool that was never made waits for ever.
    """
    return f"tickerplant_{name}" if os.environ.get("TICKERPLANT_AIRFLOW_POOLS") else "default_pool"


@task
def _run(arguments: list[str]) -> str:
    return brief(command(arguments))


def run(task_id: str, arguments: Sequence[str], **options: Any) -> Any:
    """A task that runs one command; `options` are Airflow's (outlets, pool, retries, ...)."""
    return _run.override(task_id=task_id, **options)(list(arguments))


def run_each(task_id: str, lines: Any, **options: Any) -> Any:
    """A task instance for each command line that another task gives."""
    return _run.override(task_id=task_id, **options).expand(arguments=lines)
