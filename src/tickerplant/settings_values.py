"""How the text of a setting is read. Each raises ValueError that says what was expected."""

from __future__ import annotations

import re
from datetime import date

from tickerplant.model import Retention


def names(text: str) -> tuple[str, ...]:
    """The words of a list separated by commas, each once, in their order."""
    return tuple(dict.fromkeys(s.strip() for s in text.split(",") if s.strip()))


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if value <= 0:
        raise ValueError("expected a number above 0")
    return value


def count(text: str) -> int:
    """A whole number above 0."""
    value = int(text)
    if value <= 0:
        raise ValueError("expected a whole number above 0")
    return value


def whole(text: str) -> int:
    """A whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise ValueError("expected a whole number from 0 on")
    return value


def truth(text: str) -> bool:
    """True or false in any of the usual words."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in words:
        raise ValueError("expected true or false")
    return words[text.lower()]


def seconds(text: str) -> float:
    """Seconds up to 2,000,000; 0 is no limit."""
    value = float(text)
    if not 0 <= value <= 2_000_000:
        raise ValueError("expected seconds up to 2000000, or 0 for no limit")
    return value


def retention(text: str) -> Retention:
    """`90`, or by table `quotes=30,trades=90`, or both; empty keeps everything."""
    found: dict[str, int] = {}
    for word in names(text):
        table, _, days = word.rpartition("=")
        if not days.strip().isdecimal() or not 1 <= int(days) <= 100_000 or (table.strip() or "*") in found:
            raise ValueError("expected days such as 90, or by table such as quotes=30,trades=90, each table once")
        found[table.strip() or "*"] = int(days)
    return Retention(tuple(found.items()))


def count_if_any(text: str) -> int | None:
    """A whole number above 0; None for nothing."""
    return count(text) if text else None


def level(text: str) -> str:
    """A level of logging."""
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("expected debug, info, warning or error")
    return text.lower()


def outcome(text: str) -> str:
    """Fail or warn."""
    if text not in ("fail", "warn"):
        raise ValueError("expected fail or warn")
    return text


def identifier(text: str) -> str:
    """A name that PostgreSQL takes without quotes."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,30}", text):
        raise ValueError("expected a name of small letters, digits and _")
    return text


def intervals(text: str) -> tuple[str, ...]:
    """Lengths of bars such as 30s or 5m, each once."""
    found, units = names(text), {"s": 1, "m": 60, "h": 3600}
    for word in found:
        count, unit = word[:-1], units.get(word[-1:], 0)
        if not (count.isdecimal() and unit and int(count) and 86_400 % (int(count) * unit) == 0):
            raise ValueError("expected lengths such as 30s, 5m or 1h that divide a day, joined by commas")
    if not found:
        raise ValueError("expected at least one length such as 1m")
    return found


def polls(text: str) -> tuple[tuple[str, str], ...]:
    """`snapshots=15m,bars=5m` as pairs."""
    found = names(text)
    if not all(re.fullmatch("[a-z_]+=[1-9][0-9]*[smh]", word) for word in found):
        raise ValueError("expected tables with a distance such as snapshots=15m,bars=5m")
    return tuple((table, every) for table, _, every in (word.partition("=") for word in found))


def day_if_any(text: str) -> date | None:
    """A day; None for nothing."""
    return date.fromisoformat(text) if text else None


def port(text: str) -> str:
    """A port, or nothing."""
    if text and not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError("expected a port from 1 to 65535")
    return text
