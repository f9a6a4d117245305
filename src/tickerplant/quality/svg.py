"""A few shapes of SVG as text, enough for plain charts. Colours and fonts are classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An element; `_` in attribute names is `-`, a trailing one is dropped (`class_`)."""
    given = "".join(f' {_name(k)}="{escape(_value(v))}"' for k, v in attributes.items() if v is not None)
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def picture(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """The whole drawing, as wide as its place at most; `label` is read out instead of it."""
    return tag(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def words(x: float, y: float, text: str, class_: str = "label", anchor: str = "start") -> str:
    """Text whose base line is at `y`."""
    return tag("text", escape(text), x=x, y=y, class_=class_, text_anchor=anchor)


def box(x: float, y: float, width: float, height: float, class_: str, hint: str = "", radius: float = 0) -> str:
    """A rectangle; `hint` is shown under the pointer."""
    title = tag("title", escape(hint)) if hint else ""
    return tag("rect", title, x=x, y=y, width=width, height=height, class_=class_, rx=radius or None)


def dot(x: float, y: float, radius: float, class_: str, hint: str = "") -> str:
    """A filled circle."""
    return tag("circle", tag("title", escape(hint)) if hint else "", cx=x, cy=y, r=radius, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "grid") -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def logarithmic(low: float, high: float, start: float, end: float, value: float) -> float:
    """Where `value` stands between `start` and `end` when `low` to `high` is drawn logarithmically."""
    if high <= low:
        return (start + end) / 2
    return start + (end - start) * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def decades(values: Sequence[float]) -> list[float]:
    """Powers of ten that enclose the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(low, max(high, low + 1) + 1)]


def short(value: float) -> str:
    """A number for an axis: 1.2k, 3M."""
    for unit, least in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= least:
            return f"{value / least:.3g}{unit}"
    return f"{value:.3g}"
