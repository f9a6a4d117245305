"""Airflow DAG: load what is landed, when something says so and every night in any case."""

from airflow.sdk import DAG, AssetOrTimeSchedule

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import LANDED, LOADED, PATIENT, new_york, pool, run

with DAG(
    "stocks_polygon_load",
    schedule=AssetOrTimeSchedule(timetable=new_york("30 22 * * *"), assets=[LANDED]),
    catchup=False,
    max_active_runs=1,
    default_args=PATIENT,
    tags=["tickerplant"],
):
    run("load", lines.LOAD, outlets=[LOADED], pool=pool("store"))
