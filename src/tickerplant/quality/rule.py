"""Rules: one SQL file each, with a head of comments that says what the rule means.

The head is lines `-- key: value`; a line `--   more` continues the value before it. The SQL is one select that both
DuckDB and PostgreSQL run, over the inputs of `inputs.py`, and gives *every* row that it looked at, with `is_bad`.
`:name` stands for a threshold, `bucket(ts, 60)` for the number of the minute, `finite(x)` for whether x is a number,
`off_market(conditions, vendor)` for whether a trade's conditions allow any price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias, cast, get_args

Severity: TypeAlias = Literal["error", "warning", "info"]
Grain: TypeAlias = Literal["row", "day", "window", "session"]
"""What a row of the answer is: a row with an event time, a daily bar, a window of a session, a symbol's session."""

KEYS: dict[str, tuple[str, ...]] = {
    "row": ("vendor", "feed", "ts", "ns", "received_at", "seq"),
    "day": ("vendor", "feed", "received_at", "seq"),
    "window": ("ts",),
    "session": (),
}
"""The columns beyond symbol and session that a rule of a grain gives."""

KEEP = 10_000
"""How many flagged rows of a symbol and session are kept, when the rule does not say."""

GRADES = "ABCDF"
_SEVERITY_GRADES = {"error": "0=D 0.001=F", "warning": "0=B 0.001=C 0.05=D", "info": ""}
_HEAD = re.compile(r"--\s(?P<key>[a-z]+):\s+(?P<value>.*)|--\s+(?P<more>\S.*)")
_KEYS = frozenset(("severity", "grain", "tables", "value", "meaning", "thresholds", "grades", "keep"))
_FOLDER = "rules"
THRESHOLD = re.compile(r"(?<![:\w]):([a-z_]+)")
"""A threshold in the SQL."""


@dataclass(frozen=True)
class Rule:
    """One rule. `tables` are looked at, the first is the one whose rows are flagged; `value` says what the number is.

    `grades` are (share of flagged rows, grade that more than this share gives), growing; empty for information.
    """

    name: str
    severity: Severity
    grain: Grain
    tables: tuple[str, ...]
    value: str
    meaning: str
    thresholds: Mapping[str, float]
    grades: tuple[tuple[float, str], ...]
    keep: int
    sql: str

    @property
    def is_daily(self) -> bool:
        """Whether it looks at days only, so that many sessions are one question."""
        return "daily_bars" in self.tables

    def grade(self, checked: int, flagged: int) -> str:
        """The grade that this rule alone gives a symbol and session."""
        reached = [letter for share, letter in self.grades if flagged > share * checked]
        return reached[-1] if reached else "A"


@cache
def rules() -> tuple[Rule, ...]:
    """All rules: by table, then errors first."""
    folder = resources.files("tickerplant.quality") / _FOLDER
    found = [parse(f.name.removesuffix(".sql"), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")]
    order = get_args(Severity)
    return tuple(sorted(found, key=lambda r: (order.index(r.severity), r.name)))


def rule(name: str) -> Rule:
    """The rule of a name. Raises KeyError for another one."""
    return {r.name: r for r in rules()}[name]


def parse(name: str, text: str) -> Rule:
    """A rule from its file. Raises ValueError when the head lacks something or the SQL uses an unknown threshold."""
    head = _head(name, text)
    missing = {"severity", "grain", "tables", "value", "meaning"} - set(head)
    if missing or set(head) - _KEYS:
        raise ValueError(f"rule {name}: expected the keys {sorted(_KEYS)}, was {sorted(head)}")
    if head["severity"] not in get_args(Severity) or head["grain"] not in KEYS:
        raise ValueError(f"rule {name}: expected a known severity and grain, was {head['severity']}, {head['grain']}")
    thresholds = {k: float(v) for k, v in _pairs(head.get("thresholds", ""))}
    sql = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
    for used in THRESHOLD.findall(sql):
        if used not in thresholds:
            raise ValueError(f"rule {name}: expected a threshold of the head, was :{used}")
    grades = _pairs(head.get("grades", _SEVERITY_GRADES[head["severity"]]))
    return Rule(
        name=name,
        severity=cast(Severity, head["severity"]),
        grain=cast(Grain, head["grain"]),
        tables=tuple(head["tables"].split()),
        value=head["value"],
        meaning=head["meaning"],
        thresholds=thresholds,
        grades=tuple((float(share), letter) for share, letter in grades),
        keep=int(head.get("keep", KEEP)),
        sql=sql,
    )


def _head(name: str, text: str) -> dict[str, str]:
    head, last = dict[str, str](), ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        found = _HEAD.fullmatch(line)
        if found is None or (found["key"] is None and not last):
            raise ValueError(f"rule {name}: expected `-- key: value`, was {line!r}")
        last = found["key"] or last
        head[last] = f"{head[last]} {found['more']}" if found["key"] is None else found["value"]
    return head


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(k, v) for k, _, v in (word.partition("=") for word in text.split())]
