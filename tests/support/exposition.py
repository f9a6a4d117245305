"""A strict reader of Prometheus' text format 0.0.4: whatever the page of that format does not allow is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ([^ ]+)")
_PLAIN = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


@dataclass
class Family:
    """One metric as read."""

    kind: str
    help: str
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def read(page: str) -> dict[str, Family]:
    """Every metric of a page by name; raises ValueError with the line that is wrong."""
    if page and not page.endswith("\n"):
        raise ValueError("no newline at the end")
    found: dict[str, Family] = {}
    lines = page.split("\n")[:-1]
    at = 0
    while at < len(lines):
        name, family, at = _family(lines, at)
        if name in found:
            raise ValueError(f"{name} twice")
        found[name] = family
    return found


def _family(lines: list[str], at: int) -> tuple[str, Family, int]:
    told = re.fullmatch(rf"# HELP ({_NAME}) ((?:[^\\]|\\\\|\\n)+)", lines[at])
    kind = re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge)", lines[at + 1])
    if told is None or kind is None or told[1] != kind[1]:
        raise ValueError(f"expected HELP and TYPE, was {lines[at : at + 2]}")
    name, family = told[1], Family(kind[2], told[2])
    if (kind[2] == "counter") is not name.endswith("_total"):
        raise ValueError(f"{name} is no name of a {kind[2]}")
    at += 2
    while at < len(lines) and not lines[at].startswith("#"):
        labels, value = _sample(name, lines[at])
        if labels in family.samples:
            raise ValueError(f"twice: {lines[at]}")
        family.samples[labels] = value
        at += 1
    if not family.samples:
        raise ValueError(f"{name} has no samples")
    return name, family, at


def _sample(name: str, line: str) -> tuple[tuple[tuple[str, str], ...], float]:
    found = _SAMPLE.fullmatch(line)
    if found is None or found[1] != name:
        raise ValueError(f"expected a sample of {name}, was {line!r}")
    pairs = re.findall(_LABEL, found[2] or "")
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError(f"a label twice: {line}")
    if not re.fullmatch(r"[-+]?(Inf|NaN|\d+(\.\d+)?(e[-+]?\d+)?)", found[found.re.groups]):
        raise ValueError(f"no number: {line}")
    return tuple((k, re.sub(r"\\.", lambda m: _PLAIN[m[0]], v)) for k, v in pairs), float(found[found.re.groups])
