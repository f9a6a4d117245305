import json
from pathlib import Path

import pytest

from tests.support.plant import run


@pytest.mark.timeout(150)
def test_a_short_demo_accounts_for_everything_and_draws(tmp_path: Path) -> None:
    folder = tmp_path / "demo"

    said = run("demo", "--dir", folder, "--symbols", "40", "--seconds", "5", "--rate", "4", timeout=120)

    oracle = json.loads((folder / "oracle.json").read_text())
    sent = oracle["sent"]["messages"] + oracle["garbled"]
    assert f"{sent:,} sent = {sent:,} received = {sent - 1:,} stored + 1 quarantined" in said
    assert "disconnected" in said
    assert "gap in quotes" in said
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
