"""Tell the webhook and the e-mail addresses of the settings that a task has failed for good."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tickerplant.jobs.alerts import Alert, channels
from tickerplant.settings import Settings

log = logging.getLogger(__name__)


def alert_of(context: Mapping[str, Any], now: datetime | None = None) -> Alert:
    """An alert about a task instance, from what Airflow gives its callbacks."""
    ti, error = context["ti"], context.get("exception")
    place = f"{ti.dag_id}.{ti.task_id}" + (f"[{ti.map_index}]" if getattr(ti, "map_index", -1) >= 0 else "")
    said = f"{type(error).__name__}: {str(error)[:300]}" if error is not None else "no reason given"
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    key = f"{place} {ti.run_id} {ti.try_number}"
    do = f"see the task's log; clear the task in Airflow, or wait for the next run of {ti.dag_id}"
    found = f"{said} (run {ti.run_id}, try {ti.try_number})"
    return Alert(key, f"airflow {place}", "firing", "fail", found, do, at)


def tell(alert: Alert, settings: Settings) -> list[str]:
    """Send an alert by every channel that is set; returns those that took it. Raises nothing: the task has failed."""
    taken = []
    for name, send in channels(settings).items():
        try:
            send(alert)
            taken.append(name)
        except Exception as error:
            log.warning("alert not sent by %s: %s", name, error)
    return taken


def on_failure(context: Mapping[str, Any]) -> None:
    """Airflow's `on_failure_callback`."""
    import os

    from tickerplant.dags.parts.work import surroundings
    from tickerplant.settings import read_settings

    taken = tell(alert_of(context), read_settings({**os.environ, **surroundings()}))
    log.info("alert sent by %s", ", ".join(taken) or "nobody: no channel is set")
