"""pyarrow as commands use it: without pandas, whose import takes longer than most commands."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from typing import Any


class _Refusal:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas: expected no import by pyarrow before a DataFrame is wanted", name=name)
        return None


def defer_pandas() -> None:
    """Import pyarrow, and let it find no pandas when it looks whether a list might be a Series.

    It looks once, at the first list it converts (`_PandasAPIShim` in its pandas-shim.pxi), and again when somebody asks
    for a DataFrame, which works as ever.
    """
    if "pyarrow" in sys.modules or "pandas" in sys.modules:
        return
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(refusal)
