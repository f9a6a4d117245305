"""Run every benchmark, one after the other, and print its figures: `python -m benchmarks [name ...]`.

Each `bench_<name>.py` has `run() -> dict[str, float]`. Compare figures of one run only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = (
    "log",
    "decode",
    "pipeline",
    "usual",
    "postgres",
    "capture",
    "wire",
    "simulator",
    "query",
    "quality",
    "session",
    "bytes",
    "latency",
    "feed",
    "fetch",
    "transform",
    "kinesis",
    "memory",
    "s3",
    "logs",
)


def main() -> None:
    """Run the benchmarks named, or all of them, each in a process of its own."""
    names = sys.argv[1:] or [n for n in ORDER if Path(__file__).with_name(f"bench_{n}.py").exists()]
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        code = f"from benchmarks import bench_{name} as b; b.run()"
        if subprocess.run([sys.executable, "-c", code]).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
