"""Four captures, three loaders, kills, a split and a merge: short for `python -m tests.campaigns --scale 30`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import kinesis_server
from tests.support.scale import run_scale

pytestmark = pytest.mark.campaign


@pytest.mark.timeout(300)
def test_tables_are_those_of_one_loader_on_one_log_on_files(tmp_path: Path) -> None:
    if reason := kinesis_server.why_not():
        pytest.skip(reason)
    with kinesis_server.serving() as server:
        report = run_scale(server, tmp_path, 6, seed=3, rate=300)
    assert report.is_well, report
    assert report.captures_killed + report.loaders_killed == 6
    assert report.rows > 500
    assert report.stream_shards == 7
