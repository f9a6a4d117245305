from pathlib import Path

import pytest

from tests.campaigns import TICKS, ticks_campaign

pytestmark = pytest.mark.campaign


@pytest.mark.skipif(not TICKS.is_dir(), reason="the recorded ticks are not beside this checkout")
def test_recorded_ticks_go_through_the_wire_and_come_out_equal(tmp_path: Path) -> None:
    report = ticks_campaign("tests.support.ticks:ibm_monday", TICKS, tmp_path)

    assert report.messages == 109_067 + 24_293
    assert report.is_equal
    assert report.days_equal
    assert report.is_equal_after_maintain
    assert report.bytes_per_quote <= 7
