"""Transform a store: marts built or brought up to date by dbt, a row of `jobs` for the run."""

from __future__ import annotations

from tickerplant.jobs.joblog import job
from tickerplant.stores import AnyStore
from tickerplant.transform import Progress, Report, Request, transform


def run_transform(store: AnyStore, request: Request, on_progress: Progress = lambda item: None) -> Report:
    """Build the marts of a store in one dbt run. Raises as `transform` does; failed models are in the report."""
    with job(store, "transform", _selection(request)) as run:
        report = transform(store, request, on_progress)
        run.rows = sum(r.rows or 0 for r in report.results)
        if not report.ok:
            failed = [r.name for r in report.results if r.status == "failed"]
            run.outcome, run.error = (
                "failed",
                f"transform: expected every model and test to pass, was {', '.join(failed)}",
            )
    return report


def _selection(request: Request) -> dict[str, object]:
    return {
        "select": list(request.select),
        "full": request.full,
        "known_at": request.known_at.isoformat() if request.known_at else None,
        "tests": request.tests,
    }
