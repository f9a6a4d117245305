from __future__ import annotations

import os
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_day import SECOND, Temper, counts, faulty, play, times, whole_day
from tickerplant.calendar import NEW_YORK, session
from tickerplant.net.watchdog import Watchdog

LONG = bool(os.environ.get("TICKERPLANT_LONG"))
ORDINARY, HALF, HOLIDAY, SUNDAY = date(2026, 11, 20), date(2026, 11, 27), date(2026, 11, 26), date(2026, 11, 22)
few = settings(max_examples=60 if LONG else 3, deadline=None, suppress_health_check=list(HealthCheck))

tempers = st.builds(
    Temper,
    rate=st.floats(np.log(1 / 300), np.log(5000)).map(lambda x: float(np.exp(x))),
    together=st.sampled_from([1, 1, 3, 20]),
    bursts=st.booleans(),
    per_minute=st.sampled_from([False, False, False, True]),
)


@few
@given(st.integers(0, 2**32), st.lists(tempers, min_size=1, max_size=3), st.sampled_from([ORDINARY, ORDINARY, HALF]))
def test_a_sound_day_never_alarms(seed: int, day_of: list[Temper], day: date) -> None:
    chance = np.random.default_rng(seed)
    at, hours = whole_day(day)
    channels = {f"c{i}": counts(t, at, hours, chance) for i, t in enumerate(day_of)}
    assert list(play(Watchdog(channels), at, channels, hours)) == []


@pytest.mark.parametrize("rate", [1 / 300, 0.3, 2.0, 2.5, 3.0, 5.0, 20.0])
def test_quirk_4_sparse_poisson_traffic_never_alarms(rate: float) -> None:
    for seed in range(20 if LONG else 1):
        at, hours = whole_day(ORDINARY)
        channels = {"quotes": counts(Temper(rate), at, hours, np.random.default_rng(seed))}
        assert list(play(Watchdog(channels), at, channels, hours)) == []


@few
@given(
    st.integers(0, 2**32), st.floats(20, 5000), st.booleans(), st.floats(0.05, 0.99), st.sampled_from([ORDINARY, HALF])
)
def test_a_mute_channel_is_noticed_in_10_seconds(seed: int, rate: float, bursts: bool, place: float, day: date) -> None:
    chance = np.random.default_rng(seed)
    hours = session(day)
    assert hours is not None
    fault = int((hours.open + place * (hours.close - hours.open)).timestamp() * SECOND)
    at = times(hours.open - timedelta(minutes=1), hours.close)
    at = at[(at > fault - 900 * SECOND) & (at < fault + 30 * SECOND)]
    busy = faulty(counts(Temper(rate, bursts=bursts), at, hours, chance), at, fault, 0.0, chance)
    quiet = counts(Temper(0.5), at, hours, chance)
    found = list(play(Watchdog(["quotes", "trades"]), at, {"quotes": busy, "trades": quiet}, hours, until_alarm=True))
    assert len(found) == 1
    now, alarm = found[0]
    last = int(at[np.nonzero(busy)[0][-1]])
    assert (alarm.reason, alarm.channel) == ("mute", "quotes")
    assert now - fault <= 10 * SECOND
    assert last - SECOND <= alarm.start <= fault
    assert alarm.starts["quotes"] == alarm.start
    assert alarm.found_per_s == 0.0


@few
@given(st.integers(0, 2**32), st.floats(60, 5000), st.booleans(), st.floats(0.05, 0.97))
def test_two_percent_of_a_channel_is_noticed_in_60_seconds(seed: int, rate: float, bursts: bool, place: float) -> None:
    chance = np.random.default_rng(seed)
    hours = session(ORDINARY)
    assert hours is not None
    fault = int((hours.open + place * (hours.close - hours.open)).timestamp() * SECOND)
    at = times(hours.open - timedelta(minutes=1), hours.close)
    at = at[(at > fault - 900 * SECOND) & (at < fault + 90 * SECOND)]
    busy = faulty(counts(Temper(rate, bursts=bursts), at, hours, chance), at, fault, 0.02, chance)
    found = list(play(Watchdog(["quotes"]), at, {"quotes": busy}, hours, until_alarm=True))
    assert len(found) == 1
    now, alarm = found[0]
    assert alarm.reason in ("half_dead", "mute")
    assert now - fault <= 60 * SECOND
    assert fault - 12 * SECOND <= alarm.start <= fault
    assert alarm.found_per_s <= 0.1 * alarm.expected_per_s


@pytest.mark.parametrize("day", [HOLIDAY, SUNDAY])
def test_closed_days_never_alarm(day: date) -> None:
    at, hours = whole_day(day)
    assert hours is None
    channels = {"quotes": np.where(np.arange(len(at)) < 9000, 500, 0)}
    assert list(play(Watchdog(channels, firehose=["quotes"]), at, channels, hours)) == []


@pytest.mark.parametrize(("day", "clock"), [(ORDINARY, "16:00"), (HALF, "13:00")])
def test_silence_after_the_close_never_alarms_and_before_it_does(day: date, clock: str) -> None:
    hours = session(day)
    assert hours is not None
    at, _ = whole_day(day)
    close = int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK).timestamp() * SECOND)
    channels = {"quotes": np.where(at <= close, 400, 0)}
    assert list(play(Watchdog(channels, firehose=["quotes"]), at, channels, hours)) == []
    early = {"quotes": np.where(at <= close - 12 * SECOND, 400, 0)}
    found = list(play(Watchdog(early), at, early, hours))
    assert [(now <= close, a.reason) for now, a in found] == [(True, "mute")]
