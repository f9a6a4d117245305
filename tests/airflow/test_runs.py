"""A real Airflow runs all DAGs against simulated vendors, from trigger to marts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.airflow_database import database
from tests.support.airflow_plant import airflow
from tests.support.airflow_story import play, scene


@pytest.mark.timeout(900)
def test_all_dags_from_trigger_to_marts(tmp_path: Path) -> None:
    with (
        scene(tmp_path / "plant") as on,
        database() as url,
        airflow(tmp_path / "home", on.environment(), database=url) as found,
    ):
        play(found, on)
        assert found.cli("dags", "list-import-errors", "--output", "json").strip().splitlines()[-1] in (
            "[]",
            "No data found",
        )
