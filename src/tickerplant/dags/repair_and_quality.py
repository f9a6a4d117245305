"""Airflow DAG: after each session fill the holes of the capture out of the vendor's history, then judge the day."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LOADED, PATIENT, new_york, pool, run

with DAG(
    "repair_and_quality",
    schedule=new_york("30 20 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=PATIENT,
    tags=["tickerplant"],
):

    @task.short_circuit
    def is_session(dag_run=None) -> bool:
        """Whether the exchange was open that day; a run by hand is not asked."""
        from tickerplant.dags.parts.market import is_session_day

        return dag_run.run_type == "manual" or is_session_day(dag_run.logical_date)

    @task(pool=pool("store"), retries=0)
    def quality(dag_run=None) -> str:
        """The rules over the newest session, or the one that conf names; a broken rule fails the task."""
        from tickerplant.calendar import last_session
        from tickerplant.dags.parts.work import brief, command

        asked = (dag_run.conf or {}).get("session")
        return brief(command(lines.quality(asked or last_session(datetime.now(UTC)).day.isoformat())))

    repair = run("repair", lines.REPAIR, outlets=[LOADED], pool=pool("alpaca"), retry_delay=timedelta(minutes=20))
    is_session() >> repair >> quality()
