"""Our symbols in Alpha Vantage's spelling and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.vendors.alphavantage.symbols import ABROAD, from_vendor, to_vendor

PAIRS = [
    ("IBM", "IBM"),
    ("BRK.B", "BRK-B"),
    ("AAC.U", "AAC-U"),
    ("AAC.WS", "AAC-WS"),
    ("NE.WS.A", "NE-WS-A"),
    ("BAC.PRM", "BAC-P-M"),
    ("BAC.PRY.CL", "BAC-P-Y-CL"),
    ("ACP.R.W", "ACP-R-W"),
    ("BC/PA", "BC/PA"),
    ("NXT(EXP20091224)", "NXT(EXP20091224)"),
    ("NEE 6.219", "NEE 6.219"),
    ("SO 6.75 08-01-22", "SO 6.75 08-01-22"),
    ("TSCO.LON", "TSCO.LON"),
    ("600104.SHH", "600104.SHH"),
    *[(s, s) for s in ("NA", "NAN", "TRUE", "ON", "INF", "ZVZZT")],
]

names = st.one_of(
    st.text(),
    st.text("ABPRMa.-", min_size=1, max_size=12),
    st.builds("{}{}{}".format, st.text("AB", min_size=1), st.sampled_from(".-"), st.sampled_from(ABROAD)),
)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_quirk_19_class_shares_have_a_dot_here_and_a_dash_there(ours: str, theirs: str) -> None:
    assert to_vendor(ours) == theirs
    assert from_vendor(theirs) == ours


@given(names)
def test_each_way_undoes_the_other(name: str) -> None:
    assert from_vendor(to_vendor(name)) == name
    assert to_vendor(from_vendor(name)) == name


@given(st.sets(names))
def test_different_symbols_stay_different(found: set[str]) -> None:
    assert len({to_vendor(n) for n in found}) == len(found)


def test_case_is_kept() -> None:
    assert to_vendor("brk.B") == "brk-B"
    assert from_vendor("AAp") == "AAp"
