from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.support.month import through, troubles

pytestmark = pytest.mark.campaign


@pytest.mark.timeout(240)
def test_a_holiday_and_a_half_day_with_a_kill_come_out_as_the_market_was(tmp_path: Path) -> None:
    """The short form of `python -m tests.campaigns --month`."""
    report = through(tmp_path, date(2024, 11, 28), date(2024, 11, 30), {date(2024, 11, 29): "kill live"})

    assert troubles(report, {}) == []
    assert report.rows > 400
    assert report.healed > 0
