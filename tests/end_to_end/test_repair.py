"""`run` against a market that drops the line: every hole is filled by itself soon after it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.healing import heal

pytestmark = pytest.mark.campaign


def test_disconnects_of_a_live_market_are_healed_by_themselves(tmp_path: Path) -> None:
    faults = ("disconnect@1.5s:0.5s", "disconnect@4s:0.3s")
    found = heal(tmp_path, symbols=15, minutes=1, speed=8, rate=150, faults=faults, settling_s=0.5)
    assert found.lost == found.doubled == 0
    assert found.holes >= len(faults)
    assert found.open == 0
    assert found.was_missing > 0, "the line was down while the market spoke"
    assert found.slowest_s < 120
