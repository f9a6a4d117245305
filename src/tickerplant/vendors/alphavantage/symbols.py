"""Our symbols in the vendor's spelling and back: BRK.B is BRK-B, BAC.PRM is BAC-P-M, AAC.WS is AAC-WS.

Each way undoes the other for every text. Names with a digit, space, slash or bracket and the listings abroad (TSCO.LON)
are the same in both. Source: LISTING_STATUS files of 2022 to 2025; https://www.alphavantage.co/documentation/ read
2026-04-30 (suffixes of exchanges abroad).
"""

from __future__ import annotations

import re

ABROAD = ("LON", "TRT", "TRV", "DEX", "BSE", "SHH", "SHZ")
"""Suffixes of exchanges outside of the United States."""

_PARTED = re.compile(r"[A-Za-z]+(?:[.-][A-Za-z]+)+")
_FOREIGN = re.compile(rf".*[.-](?:{'|'.join(ABROAD)})", re.DOTALL)
_PREFERRED = re.compile(r"\A([A-Za-z]+)\.(?:P\.([A-Z])|PR([A-Z]))(?=\.|$)")
_SWAP = str.maketrans(".-", "-.")


def to_vendor(symbol: str) -> str:
    """The vendor's spelling of our symbol."""
    return _PREFERRED.sub(_other_form, symbol).translate(_SWAP) if _is_parted(symbol) else symbol


def from_vendor(vendor_symbol: str) -> str:
    """Our symbol for the vendor's spelling."""
    if not _is_parted(vendor_symbol):
        return vendor_symbol
    return _PREFERRED.sub(_other_form, vendor_symbol.translate(_SWAP))


def _is_parted(name: str) -> bool:
    return _PARTED.fullmatch(name) is not None and _FOREIGN.fullmatch(name) is None


def _other_form(found: re.Match[str]) -> str:
    """`.P.M` for `.PRM` and the other way."""
    root, spaced, joined = found.groups()
    return f"{root}.PR{spaced}" if spaced else f"{root}.P.{joined}"
