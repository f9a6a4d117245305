"""Airflow DAG: build the marts anew where something was loaded, when something says so and every night in any case."""

from airflow.sdk import DAG, AssetOrTimeSchedule

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LOADED, PATIENT, TRANSFORMED, new_york, pool, run

with DAG(
    "stocks_dbt_transform",
    schedule=AssetOrTimeSchedule(timetable=new_york("30 23 * * *"), assets=[LOADED]),
    catchup=False,
    max_active_runs=1,
    default_args=PATIENT,
    tags=["tickerplant"],
):
    run("transform", lines.TRANSFORM, outlets=[TRANSFORMED], pool=pool("store"))
