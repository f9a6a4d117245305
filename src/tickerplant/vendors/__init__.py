"""The vendors: each folder in here is one, and exports `VENDOR`. There is no list to edit."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tickerplant.errors import UsageError
from tickerplant.model import Vendor


def _names() -> list[str]:
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def _load(name: str) -> Vendor:
    exported = getattr(import_module(f"{__name__}.{name}"), "VENDOR", None)
    if not isinstance(exported, Vendor) or exported.name != name:
        raise TypeError(f"{__name__}.{name}: expected VENDOR, a model.Vendor named {name!r}, was {exported!r}")
    return exported


def vendors() -> dict[str, Vendor]:
    """Every vendor by name, sorted. Imports each vendor's package, which is light."""
    return {name: _load(name) for name in _names()}


def vendor(name: str) -> Vendor:
    """The vendor of that name. Raises UsageError naming those there are."""
    names = _names()
    if name not in names:
        raise UsageError(f"vendor: expected one of {', '.join(names)}, was {name!r}")
    return _load(name)
