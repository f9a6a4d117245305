"""Symbols shared out among captures: each to exactly one, the same one every time."""

from __future__ import annotations

import pytest

from tickerplant.errors import UsageError
from tickerplant.jobs.capture import partition_of
from tickerplant.jobs.capture_shards import Shard
from tickerplant.vendors import vendor

NAMES = (*(f"S{k}" for k in range(1000)), "BRK.B", "NA", "TRUE", "NULL")


@pytest.mark.parametrize("of", [1, 2, 4, 7])
def test_every_symbol_is_in_exactly_one_shard_in_its_order(of: int) -> None:
    shares = [Shard(number, of).share(NAMES) for number in range(1, of + 1)]
    assert sorted(s for share in shares for s in share) == sorted(NAMES)
    for share in shares:
        assert list(share) == [name for name in NAMES if name in set(share)]
        assert len(share) == pytest.approx(len(NAMES) / of, rel=0.2)


def test_who_has_a_symbol_does_not_change_from_release_to_release() -> None:
    found = {name: next(n for n in (1, 2, 3, 4) if name in Shard(n, 4).share(NAMES)) for name in NAMES[-4:]}
    assert found == {"BRK.B": 1, "NA": 3, "TRUE": 2, "NULL": 4}


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "1/4/2", "-1/4"])
def test_a_wrong_shard_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="such as 2/4"):
        Shard.parse(text)


def test_what_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(UsageError, match="by name, was"):
        Shard(1, 2).share(("*",))
    with pytest.raises(UsageError, match="a symbol at least"):
        [Shard(n, 4).share(("AAPL",)) for n in (1, 2, 3, 4)]


def test_each_shard_owns_a_partition() -> None:
    url = "wss://stream.data.alpaca.markets/v2/sip"
    assert partition_of(vendor("alpaca"), url, Shard.parse(" 2/4 ")) == "alpaca.sip.2of4"
    assert partition_of(vendor("alpaca"), url) == "alpaca.sip"
