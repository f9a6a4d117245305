"""What the DAGs share. Only `work` and `tasks` need Airflow; the rest is plain and decides things."""
