"""Airflow DAG: capture the live feed from a minute before pre-market to the end of after-hours, loading beside it."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LOADED, PATIENT, new_york, pool

with DAG(
    "stream_quotes_bars",
    schedule=new_york("59 3 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args={**PATIENT, "retries": 1},
    tags=["tickerplant"],
):

    @task.short_circuit
    def is_session(dag_run=None) -> bool:
        """Whether there is something to capture now; a run that says for how long (conf `for`) is not asked."""
        from tickerplant.dags.parts.market import capture_end

        return bool((dag_run.conf or {}).get("for")) or capture_end(datetime.now(UTC)) is not None

    @task(outlets=[LOADED], pool=pool("live"), execution_timeout=timedelta(hours=17))
    def capture(dag_run=None) -> str:
        """Capture and load until the end of after-hours, or for the time in conf."""
        from tickerplant.dags.parts.market import capture_end
        from tickerplant.dags.parts.work import brief, command

        conf, end = dag_run.conf or {}, capture_end(datetime.now(UTC))
        until = end.isoformat() if end else ""
        if not until and not conf.get("for"):
            return "after-hours are over"
        line = lines.capture(until, conf.get("for", ""), bool(conf.get("always_open")))
        return brief(command(line, beside=[lines.LOAD_FOLLOW]))

    is_session() >> capture()
