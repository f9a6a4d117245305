"""Short forms of the PostgreSQL campaigns."""

from pathlib import Path

import pytest

from tests.support.postgres_kills import postgres_kill_campaign
from tests.support.postgres_outage import Outage, outage_campaign


@pytest.mark.timeout(180)
def test_killed_loaders_and_servers_lose_and_double_nothing(tmp_path: Path) -> None:
    report = postgres_kill_campaign(3, seed=5, folder=tmp_path, rows_a_day=3_000)

    assert (report.lost, report.doubled, report.again) == (0, 0, 0)
    assert report.is_equal
    assert report.is_balanced
    assert report.messages > 10_000
    assert report.sessions > 3
    assert sum(report.moments.values()) == 6


@pytest.mark.timeout(180)
def test_a_server_away_costs_delay_alone_and_the_rate_of_catching_up_is_told(tmp_path: Path) -> None:
    outage = Outage(messages=60_000, symbols=200, minutes=1, rate=2_500, speed=8.0)
    report = outage_campaign(tmp_path, outage)

    assert report.piled_up > 10_000
    assert (report.lost, report.doubled) == (0, 0)
    assert report.is_equal
    assert report.is_balanced
    assert report.caught_up_messages > report.piled_up / 2
    assert report.caught_up_rate > 1_000
    assert report.caught_up_rate == pytest.approx(report.caught_up_messages / report.caught_up_s, rel=0.01)
    assert report.loader_away_spread_mb < 100
