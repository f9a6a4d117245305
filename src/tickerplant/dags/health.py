"""Airflow DAG: look at the plant every half hour; `health --alert` itself tells what began and what is over."""

from airflow.sdk import DAG

from tickerplant.dags.parts import lines
from tickerplant.dags.parts.tasks import new_york, run

with DAG("health", schedule=new_york("*/30 * * * *"), catchup=False, max_active_runs=1, tags=["tickerplant"]):
    run("health", lines.HEALTH, retries=0)
