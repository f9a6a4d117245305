"""Airflow DAG: Alpha Vantage's snapshots, daily after the close or hourly (Variable), checked; retention at the end."""

import json
from datetime import UTC, datetime

from airflow.sdk import DAG, task

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LOADED, PATIENT, new_york, pool, run

with DAG(
    "daily_snapshots",
    schedule=new_york("5 9-20 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=PATIENT,
    tags=["tickerplant"],
):

    @task.short_circuit
    def is_due(dag_run=None) -> bool:
        """Whether the rhythm of the Variable falls on this hour of a session; a run by hand always does."""
        from tickerplant.dags.parts.market import snapshots_due
        from tickerplant.dags.parts.work import settled, variable

        rhythm = variable("tickerplant_snapshots").get("rhythm", "daily")
        with settled():
            return dag_run.run_type == "manual" or snapshots_due(dag_run.logical_date, rhythm)

    @task(outlets=[LOADED], pool=pool("alphavantage"))
    def fetch() -> str:
        """Ask for the symbols of the Variable and load the answers."""
        from tickerplant.dags.parts.market import freshness
        from tickerplant.dags.parts.work import brief, command, settled, variable

        said = variable("tickerplant_snapshots")
        with settled():
            line = lines.snapshots(lines.snapshot_symbols(said), freshness(said.get("rhythm", "daily")))
        return brief(command(line))

    @task
    def validate() -> None:
        """Fail when a snapshot is missing, old or contradicts itself."""
        from tickerplant.calendar import last_session
        from tickerplant.dags.parts.snapshots import problems
        from tickerplant.dags.parts.work import command, refuse, variable

        names = lines.snapshot_symbols(variable("tickerplant_snapshots"))
        rows = json.loads(command(lines.snapshot_rows(names)))
        refuse(problems(rows, names, last_session(datetime.now(UTC)).day.isoformat()))

    is_due() >> fetch() >> validate() >> run("maintain", lines.MAINTAIN, pool=pool("store"))
