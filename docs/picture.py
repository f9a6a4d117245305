"""Run the demo and keep what it prints (docs/demo.svg) and draws (docs/demo-chart.png): `python docs/picture.py`."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
_WIDTH = 100


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)}
        command = [sys.executable, "-m", "tickerplant", "demo"]
        said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
        shutil.copy(Path(folder) / "demo" / "chart.png", DOCS / "demo-chart.png")
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ make demo\n" + said))
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="make demo"), flags=re.DOTALL)
    (DOCS / "demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
