"""Triggers are hints: a handful of random schedules leave what the plain order leaves (`--triggers 1000` is the long
form)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.triggers import trigger_campaign

pytestmark = pytest.mark.campaign


def test_dropped_doubled_and_reordered_triggers_change_nothing(tmp_path: Path) -> None:
    report = trigger_campaign(2, 2, tmp_path)
    assert (report.different, report.asked_twice) == ([], [])
    assert report.schedules == 2
    assert report.triggers >= 4
    assert report.side_by_side > 0
