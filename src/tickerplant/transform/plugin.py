"""The plugin of dbt-duckdb: hands the run's database and each computed model to `LakeRun`."""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from tickerplant.transform.lake_run import LakeRun, current


class Plugin(BasePlugin):
    """Made by dbt-duckdb, for the run going on."""

    _run: LakeRun

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Find the run."""
        self._run = current()

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Make the snapshot's views."""
        self._run.open(conn)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Show a model's own connection what is not in the database: dbt opens one for each model and test."""
        self._run.attach(cursor)

    def store(self, target_config: Any) -> None:
        """Write one model."""
        self._run.store(target_config.config)
