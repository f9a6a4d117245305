"""Symbol lists as files: fund holdings, index members, one's own. Files take the place of a vendor's answers."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Decoded, Entry, Vendor


def _decode(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.answers import decode_answers
    from tickerplant.vendors.universe.lists import read

    return decode_answers(entries, read)


VENDOR = Vendor(name="universe", decode=_decode)
"""Its records are landed by `tickerplant universe import`."""
