"""Findings and counts become exactly the metrics that dashboards and alert rules name."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.exposition import read
from tickerplant.errors import Retryable
from tickerplant.jobs.finding import Check
from tickerplant.jobs.status import PartitionStatus, Status, TableStatus
from tickerplant.serve.exposition import Metric, Sample, counter, gauge, render
from tickerplant.serve.metrics import Counts, metrics
from tickerplant.serve.observe import Observer

NOW = datetime(2025, 11, 20, 20, tzinfo=UTC)
PARTITION = PartitionStatus("alpaca.sip", 3, 9000, 2000, 77, 512, 100, 90, 4, 6)
STATUS = Status(
    partitions=(PARTITION,),
    tables=(
        TableStatus("quotes", 80, 5, NOW - timedelta(hours=1), NOW - timedelta(seconds=2), 4096, 12),
        TableStatus("trades", 0, 0, None, None),
    ),
    gaps=(),
    quarantine=(),
    received=100,
    stored=90,
    quarantined=4,
    control=6,
    balanced=True,
    missing_rows=0,
    layout="hypertables",
    version='17.6 "x"\n\\',
    sizes={},
)
COUNTS = Counts(
    STATUS,
    gaps=({"feed": "alpaca.sip", "state": "healed", "n": 3}, {"feed": "alpaca.sip", "state": "open", "n": 1}),
    jobs=(
        {
            "what": "fetch",
            "outcome": "done",
            "rows": 7,
            "start": NOW - timedelta(minutes=5),
            "end": NOW - timedelta(minutes=4),
        },
        {"what": "repair", "outcome": "running", "rows": None, "start": NOW - timedelta(seconds=9), "end": None},
    ),
    at=NOW - timedelta(seconds=30),
    took_s=0.25,
)
CHECKS = (
    Check("feed alpaca.sip", "ok", "written to 2 s ago", value=2.5),
    Check("lag alpaca.sip", "warn", "61 s behind", "tickerplant load --follow", 61.0),
    Check("disk of the log", "ok", "9 GiB free", value=9e9),
    Check("quota alphavantage", "ok", "3 of 25 calls today", value=3),
    Check("store", "ok", "answers"),
    Check("store TLS", "ok", "not used"),
    Check("quarantine", "warn", "4 messages set aside", "", 4),
    Check("clock", "fail", "not synchronised"),
)


def test_every_finding_and_count_is_a_metric_with_its_labels() -> None:
    found = read(render(metrics(CHECKS, COUNTS, NOW, "0.1.0")))
    partition = (("partition", "alpaca.sip"),)
    expected = {
        "tickerplant_build_info": {(("version", "0.1.0"),): 1},
        "tickerplant_healthy": {(): 0},
        "tickerplant_checks": {
            (("outcome", "ok"),): 5,
            (("outcome", "warn"),): 2,
            (("outcome", "fail"),): 1,
        },
        "tickerplant_check_state": {(("check", c.name),): {"ok": 0, "warn": 1, "fail": 2}[c.outcome] for c in CHECKS},
        "tickerplant_store_up": {(): 1},
        "tickerplant_feed_silence_seconds": {partition: 2.5},
        "tickerplant_lag_seconds": {partition: 61},
        "tickerplant_disk_free_bytes": {(("disk", "log"),): 9e9},
        "tickerplant_quota_used_calls": {(("vendor", "alphavantage"),): 3},
        "tickerplant_quarantine_open_messages": {(): 4},
        "tickerplant_store_info": {(("layout", "hypertables"), ("version", '17.6 "x"\n\\')): 1},
        "tickerplant_balanced": {(): 1},
        "tickerplant_missing_rows": {(): 0},
        "tickerplant_counts_age_seconds": {(): 30},
        "tickerplant_counts_duration_seconds": {(): 0.25},
        "tickerplant_lag_bytes": {partition: 512},
        "tickerplant_log_bytes": {partition: 9000},
        "tickerplant_log_stored_bytes": {partition: 2000},
        "tickerplant_log_segments": {partition: 3},
        "tickerplant_received_messages_total": {partition: 100},
        "tickerplant_stored_messages_total": {partition: 90},
        "tickerplant_control_messages_total": {partition: 6},
        "tickerplant_quarantined_messages": {partition: 4},
        "tickerplant_table_rows": {(("table", "quotes"),): 80, (("table", "trades"),): 0},
        "tickerplant_table_symbols": {(("table", "quotes"),): 5, (("table", "trades"),): 0},
        "tickerplant_table_bytes": {(("table", "quotes"),): 4096, (("table", "trades"),): 0},
        "tickerplant_table_dropped_rows_total": {(("table", "quotes"),): 12, (("table", "trades"),): 0},
        "tickerplant_table_last_event_timestamp_seconds": {(("table", "quotes"),): NOW.timestamp() - 2},
        "tickerplant_gaps": {
            (("feed", "alpaca.sip"), ("state", "healed")): 3,
            (("feed", "alpaca.sip"), ("state", "open")): 1,
        },
        "tickerplant_job_last_age_seconds": {
            (("what", "fetch"), ("outcome", "done")): 300,
            (("what", "repair"), ("outcome", "running")): 9,
        },
        "tickerplant_job_last_duration_seconds": {(("what", "fetch"),): 60},
        "tickerplant_job_last_rows": {(("what", "fetch"),): 7, (("what", "repair"),): 0},
    }
    assert {name: family.samples for name, family in found.items()} == expected


def test_a_store_that_is_away_leaves_its_findings() -> None:
    away = [Check("store", "fail", "expected an answer"), replace(CHECKS[2], outcome="ok")]
    found = read(render(metrics(away, None, NOW, "0.1.0")))
    assert found["tickerplant_store_up"].samples == {(): 0}
    assert found["tickerplant_healthy"].samples == {(): 0}
    assert "tickerplant_table_rows" not in found


LABELS = st.dictionaries(st.from_regex("[a-z][a-z_]{0,8}", fullmatch=True), st.text(max_size=20), max_size=3)


@given(st.text(min_size=1, max_size=30), LABELS, st.floats(allow_nan=False) | st.integers(-(2**60), 2**60))
def test_whatever_the_text_it_is_read_back(meaning: str, labels: dict[str, str], value: float) -> None:
    page = render([gauge("x_bytes", meaning, [(value, labels)]), counter("y_total", "y", [(None, {})])])
    found = read(page)
    assert list(found) == ["x_bytes"]
    assert found["x_bytes"].samples == {tuple(labels.items()): float(value)}


def test_numbers_that_are_none() -> None:
    page = render([Metric("x", "gauge", "x", (Sample(math.nan, {"n": "nan"}), Sample(-math.inf, {})))])
    assert page == '# HELP x x\n# TYPE x gauge\nx{n="nan"} NaN\nx -Inf\n'


@pytest.mark.parametrize(
    "page",
    [
        "x 1\n",
        "# HELP x a\n# TYPE x gauge\nx 1",
        "# HELP x a\n# TYPE x gauge\n",
        "# HELP x a\n# TYPE x gauge\nx 1\nx 2\n",
        "# HELP x a\n# TYPE x counter\nx 1\n",
        '# HELP x a\n# TYPE x gauge\nx{a="\\t"} 1\n',
        "# HELP x a\n# TYPE x gauge\ny 1\n",
        "# HELP x a\n# TYPE x gauge\nx one\n",
    ],
)
def test_the_reader_of_these_tests_is_strict(page: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        read(page)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_findings_are_shared_for_seconds_and_counting_rests_as_it_costs() -> None:
    clock, looks, counted = Clock(), [], []

    def count() -> Counts:
        counted.append(clock.at)
        clock.at += 2.0
        if len(counted) == 2:
            raise Retryable("store: expected an answer, was none")
        return replace(COUNTS, took_s=float(len(counted)))

    async def ask() -> None:
        observer = Observer(lambda: looks.append(clock.at) or list(CHECKS), count, clock)  # type: ignore[func-returns-value]
        both = await asyncio.gather(observer.checks(), observer.checks())
        assert both[0] == list(CHECKS)
        assert len(looks) == 1
        first = await observer.counts()
        assert first is not None
        assert first.took_s == 1
        clock.at += 39.9
        assert await observer.counts() is first
        assert len(counted) == 1
        clock.at += 0.2
        assert await observer.counts() is first
        while observer._counting is not None:
            await asyncio.sleep(0)
        assert await observer.counts() is first
        clock.at += 60
        await observer.counts()
        while observer._counting is not None:
            await asyncio.sleep(0)
        again = await observer.counts()
        assert again is not None
        assert (again.took_s, len(counted)) == (3, 3)
        await observer.checks()
        assert len(looks) == 2

    asyncio.run(ask())
