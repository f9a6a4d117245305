"""Airflow DAGs: each file holds a schedule, retries and one command line a task; `parts` holds what they share.

Set `AIRFLOW__CORE__DAGS_FOLDER` to this folder (docs/airflow.md). Nothing here is imported by the rest of the package.
"""
