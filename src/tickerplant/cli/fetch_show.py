"""What `tickerplant fetch` says of its plan and of what it did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tickerplant.cli import console
from tickerplant.clock import utc_now

if TYPE_CHECKING:
    from tickerplant.jobs.fetch_table import FetchPlan, FetchSummary


def plan_json(plan: FetchPlan, table: str) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "table": table,
        "endpoint": plan.plan.endpoint.name if plan.plan else None,
        "requests": plan.requests,
        "resumed": plan.resumed,
        "cost": asdict(plan.cost),
        "others": dict(plan.others),
        "before": plan.before.counts() if plan.before else None,
    }


def done_json(summary: FetchSummary) -> dict[str, Any]:
    """What a run did, for programs."""
    fetched = summary.fetched
    return {
        "outcome": fetched.outcome,
        "requests": fetched.chains,
        "answers": fetched.landed,
        "calls": summary.calls,
        "bytes": summary.bytes,
        "rows": summary.rows,
        "failures": [asdict(f) for f in fetched.failures],
        "retry_after_s": fetched.retry_after_s,
    }


def show_plan(plan: FetchPlan, vendor: str, table: str, symbols: int) -> None:
    """Say on stderr what a run will ask for."""
    if plan.before is not None:
        there = plan.before.counts()
        cells = sum(there.values())
        console.err.print(
            f"{table} of {vendor}: {symbols:,} symbols x {len(plan.before.sessions):,} sessions = "
            f"{cells:,}; {there['present']:,} there, {there['not_fetched']:,} to fetch"
        )
    endpoint = f" through {plan.plan.endpoint.name}" if plan.plan and plan.todos else ""
    days = f", {plan.cost.quota_days:.1f} days of quota" if plan.cost.quota_days else ""
    console.err.print(f"about {plan.cost.calls:,} calls{endpoint}, {plan.cost.minutes:.1f} minutes{days}")
    for name, calls in plan.others:
        console.err.print(f"  (through {name}: {calls:,} calls)")


def show_done(summary: FetchSummary) -> None:
    """Say what a run did."""
    f = summary.fetched
    console.out.print(
        f"{f.outcome}: {f.chains:,} requests, {summary.calls:,} calls, {console.size(summary.bytes)}, "
        f"{summary.rows:,} rows"
    )
    for failure in f.failures[:10]:
        console.out.print(f"[red]failed[/] {', '.join(failure.symbols[:5])}: {console.plain(failure.reason)}")
    if f.outcome == "quota" and f.retry_after_s:
        again = utc_now() + timedelta(seconds=f.retry_after_s)
        console.out.print(f"the allowance is spent; again from {console.clock(again)} UTC")
