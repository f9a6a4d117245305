"""The allowance of one account over days of kills: `python -m tests.campaigns --quota-month` plays whole months."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.quota_month import Month, fullest, quota_month

pytestmark = pytest.mark.campaign


def test_quirk_27_three_processes_of_one_key_killed_for_days_break_no_limit_and_waste_nothing(tmp_path: Path) -> None:
    report = quota_month(Month(days=8, kills=0.01, seed=4), tmp_path)

    assert report.violations == 0
    assert report.most == {"in 86400 s": 25, "in 1 s": 1}
    assert 0.95 * 8 * 25 < report.calls <= 8 * 25
    assert report.kills > 3


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    assert fullest([0.0, 59.0, 60.0, 61.0, 118.9, 119.0], 60.0) == 4
    assert fullest([], 60.0) == 0
