"""A packed day file in pieces: every line in exactly one, from wherever one goes on."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickerplant.errors import BadData
from tickerplant.jobs.flat import cuts

HEADER = b"ticker,price\n"


def packed(folder: Path, text: bytes, members: int = 1) -> Path:
    path = folder / "file.gz"
    size = len(text) // members + 1
    path.write_bytes(b"".join(gzip.compress(text[i * size : (i + 1) * size]) for i in range(members)))
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text("ab,1", max_size=9), max_size=30),
    st.integers(1, 60),
    st.integers(1, 3),
    st.booleans(),
)
def test_pieces_are_whole_lines_and_together_the_file(
    tmp_path: Path, lines: list[str], size: int, members: int, ends: bool
) -> None:
    body = "\n".join(lines).encode() + (b"\n" if ends and lines else b"")
    path = packed(tmp_path, HEADER + body, members)
    found = list(cuts(path, size))
    assert b"".join(c.text.removeprefix(HEADER) for c in found) == body
    assert all(c.text.startswith(HEADER) for c in found)
    assert all(c.text.endswith(b"\n") for c in found[:-1])
    assert [c.is_last for c in found] == [False] * (len(found) - 1) + [True]
    for number, cut in enumerate(found[:-1]):
        assert list(cuts(path, size, cut.end)) == found[number + 1 :]


def test_a_large_file_comes_in_pieces_of_bounded_size(tmp_path: Path) -> None:
    chance = random.Random(3)
    text = HEADER + b"".join(b"A,%d\n" % chance.randrange(10**9) for _ in range(150_000))
    sizes = [len(c.text) for c in cuts(packed(tmp_path, text), 1 << 17)]
    assert sum(sizes) - len(sizes) * len(HEADER) + len(HEADER) == len(text)
    assert max(sizes) < (1 << 17) + 100
    assert len(sizes) == -(-len(text) // (1 << 17))


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:50] + b"\0\0\0" + b[53:], lambda b: b"\x1f\x8bno"])
def test_a_damaged_file_is_told(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = packed(tmp_path, HEADER + b"".join(b"A,%d\n" % i for i in range(5000)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadData, match="expected gzip"):
        list(cuts(path, 1000))
