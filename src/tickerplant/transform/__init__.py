"""Transform: the dbt project run over a store, and what it needs from each kind of store."""

from __future__ import annotations

from tickerplant.stores import AnyStore
from tickerplant.transform.request import ModelResult, Progress, Report, Request

__all__ = ["ModelResult", "Progress", "Report", "Request", "transform"]


def transform(store: AnyStore, request: Request, on_progress: Progress) -> Report:
    """Build the marts of a store. `on_progress` gets a model's name when it starts and its result when it ends.

    Raises UsageError for a project or selection that cannot be read, Busy while another transform runs.
    """
    from tickerplant.transform.runner import require_dbt

    require_dbt()
    from tickerplant.stores.lake import LakeStore

    if isinstance(store, LakeStore):
        from tickerplant.transform.lake import transform_lake

        return transform_lake(store, request, on_progress)
    from tickerplant.transform.postgres import transform_postgres

    return transform_postgres(store, request, on_progress)
