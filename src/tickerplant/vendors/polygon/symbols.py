"""Our symbols in the vendor's spelling and back: KIM.PRL is KIMpL, AA.PR is AAp, C.PRL.CL is CpL.CL.

Each way undoes the other for every text. Classes, warrants and units have a dot on both sides (BRK.B, AAM.WS, AAM.U).
Indices carry `I:` at the vendor. Case counts: AAp is not AAP. Source: grouped daily bars recorded 2025-11-28 and
https://massive.com/docs/rest/stocks/overview, mirror of 2026-01-28.
"""

from __future__ import annotations

import re

INDEX = "I:"
"""Before the name of an index."""

_PREFERRED = re.compile(r"\A([A-Z]+)(?:(p)|\.PR)([A-Z]?)(?=\.|\Z)")


def to_vendor(symbol: str) -> str:
    """The vendor's spelling of our symbol."""
    return _PREFERRED.sub(_other_form, symbol)


def from_vendor(ticker: str) -> str:
    """Our symbol for the vendor's spelling."""
    return _PREFERRED.sub(_other_form, ticker)


def index_of(ticker: str) -> str:
    """Our name of an index."""
    return ticker.removeprefix(INDEX)


def _other_form(found: re.Match[str]) -> str:
    """`p` for `.PR` and the other way."""
    return found[1] + (".PR" if found[2] else "p") + found[3]
