"""The venues' and tapes' letters as the vendor's numbers, for its own side. Source: /v3/reference/exchanges and
/v3/reference/conditions of massive-com/client-python@481e5c27."""

from __future__ import annotations

EXCHANGES = {
    **{"A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "I": 6, "J": 7, "K": 8, "M": 9, "N": 10, "P": 11, "T": 12, "Q": 12},
    **{"S": 13, "L": 14, "V": 15, "W": 16, "X": 17, "Y": 18, "Z": 19, "H": 20, "U": 21},
}
TAPES = {"A": 1, "B": 2, "C": 3}
CONDITIONS = {"A": 1, "B": 2, "W": 2, "E": 3, "G": 5, "C": 7, "X": 9, "4": 10, "T": 12, "F": 14, "I": 37}


def number(letter: str | None, numbers: dict[str, int]) -> int | None:
    """The number of a letter; a number stays one, a blank or unknown letter is 0."""
    if letter is None:
        return None
    return int(letter) if letter.isascii() and letter.isdigit() else numbers.get(letter, 0)
