"""Before any test: the processes that tests start keep what they compile, whatever this machine's habit is.

Hundreds of them import the same modules; compiling those each time is a tenth of the whole run. Looking for garbage at
every 700 new objects, with all that the tests have imported, is another part of it. And a machine that has other things
to do is no reason for a property to fail.
"""

import gc
import os
from importlib.util import find_spec

from tests.support import in_memory

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.set_threshold(50_000, 20, 20)
in_memory.move_temporary_folders()


def pytest_sessionfinish(exitstatus: int) -> None:
    """Keep what a run wrote in which a test failed, for a look at it, until the next run."""
    if exitstatus not in (0, 5):
        in_memory.kept.append(f"exit status {exitstatus}")


if find_spec("hypothesis"):  # the environment of Airflow's tests is without
    from hypothesis import HealthCheck, settings

    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
