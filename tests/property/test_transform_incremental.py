"""What is built step by step is what is built in one go, whatever came late, changed or came twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.transform import KINDS
from tests.support.transform_random import check

pytestmark = pytest.mark.campaign


@pytest.mark.parametrize("kind", KINDS)
def test_incremental_equals_full_after_random_late_corrected_and_repeated_rows(kind: str, tmp_path: Path) -> None:
    modes = check(kind, tmp_path, seed=11, steps=3, every=3)
    assert {"by_session: sessions", "moved: symbols", "near: symbols", "breadth: sessions", "loose: whole"} <= modes
