"""Every known problem of the feeds has a test that names it, and a line in docs/quirks.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ROOT.parent / "shared" / "vendor-facts" / "quirks.md"
PAGE = ROOT / "docs" / "quirks.md"
NUMBERS = set(range(1, 35))


def named() -> dict[str, set[int]]:
    """Numbers by the name of the test."""
    names = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M)
    }
    return {name: numbers for name in names if (numbers := {int(n) for n in re.findall(r"quirk_(\d+)", name)})}


def rows(page: Path) -> dict[int, str]:
    """The lines of a page's table by number."""
    return {int(line.split("|")[1]): line for line in page.read_text().splitlines() if re.match(r"\| \d+ \|", line)}


@pytest.mark.skipif(not KNOWN.exists(), reason="the list of problems is not at hand")
def test_the_numbers_are_those_of_the_list() -> None:
    assert set(rows(KNOWN)) == NUMBERS


def test_every_number_has_a_test_that_names_it() -> None:
    assert set().union(*named().values()) == NUMBERS


def test_the_page_names_every_number_and_exactly_the_tests_there_are() -> None:
    told = {n: set(re.findall(r"`(test_\w+)`", line)) for n, line in rows(PAGE).items()}
    there = {n: {name for name, numbers in named().items() if n in numbers} for n in NUMBERS}
    assert told == there
