from pathlib import Path

import pytest

from tests.campaigns import kill_campaign

pytestmark = pytest.mark.campaign


@pytest.mark.timeout(180)
def test_random_kills_lose_and_double_nothing_and_each_gap_is_named(tmp_path: Path) -> None:
    report = kill_campaign(5, seed=11, folder=tmp_path, pause=(0.0, 1.0))

    assert report.messages > 5_000
    assert (report.lost, report.doubled) == (0, 0)
    assert report.is_equal
    assert report.captures_killed >= report.interrupted > 0
    assert report.gaps_named == report.interrupted
