"""The client of a bucket, made by several threads that are the first ones of their process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PACKAGE = """
import threading
from . import store
threading.started.set()
threading.Event().wait(0.3)
def get(): ...
"""
_STORE = """
import obstore
from obstore.exceptions import BaseError
class S3Store:
    def __init__(self, *args, **settings):
        self.is_whole = hasattr(obstore, "get")
"""
_EXCEPTIONS = """
class BaseError(Exception): ...
class PermissionDeniedError(BaseError): ...
class UnauthenticatedError(BaseError): ...
"""
_THREADS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from tickerplant.bucket import Access, Bucket

threading.started = threading.Event()
with ThreadPoolExecutor(1) as pool:
    first = pool.submit(__import__, "obstore.exceptions")
    assert threading.started.wait(10)
    print(Bucket("s3://bucket/p", Access("http://127.0.0.1:9", "us-east-1")).store.is_whole)
    first.result()
"""


def test_a_thread_waits_for_the_import_that_another_is_in_the_midst_of(tmp_path: Path) -> None:
    """obstore and obstore.store import each other, so the second is whole before the first."""
    package = tmp_path / "obstore"
    package.mkdir()
    (package / "__init__.py").write_text(_PACKAGE)
    (package / "store.py").write_text(_STORE)
    (package / "exceptions.py").write_text(_EXCEPTIONS)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.stdout.split() == ["True"], done.stderr
