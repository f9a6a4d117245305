"""Airflow DAG: land what the store lacks of Polygon's stocks, in batches side by side; loading is another DAG's."""

import json

from airflow.sdk import DAG, task

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LANDED, PATIENT, new_york, pool, run, run_each

with DAG(
    "stocks_polygon_ingest",
    schedule=new_york("0 21 * * 1-5"),
    catchup=False,
    max_active_runs=1,
    default_args=PATIENT,
    tags=["tickerplant"],
):

    @task
    def batches(dag_run=None) -> list[list[str]]:
        """The command lines of the batches, after the symbols that the store lists."""
        from tickerplant.dags.parts.work import command, settled, variable

        with settled():
            wanted = lines.Ingest.of(variable("tickerplant_ingest"), dag_run.conf or {})
            asked = [s for s in wanted.symbols.split(",") if s]
            names = asked or [row["symbol"] for row in json.loads(command(lines.symbols_query(wanted)))]
            return lines.ingest(wanted, names, lines.today())

    @task(outlets=[LANDED], trigger_rule="all_done_min_one_success")
    def landed() -> None:
        """Say that there is something to load, also when a batch failed."""

    @task
    def complete() -> None:
        """Fail the run when a batch failed."""

    tickers = run("tickers", lines.TICKERS, pool=pool("polygon"))
    planned = batches()
    land = run_each("land", planned, pool=pool("polygon"), max_active_tis_per_dag=16)
    tickers >> planned
    land >> [landed(), complete()]
