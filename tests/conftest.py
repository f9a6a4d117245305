"""Before any test: the processes that tests start keep what they compile, whatever this machine's habit is.

Hundreds of them import the same modules; compiling those each time is a tenth of the whole run. And a machine that has
other things to do is no reason for a property to fail.
"""

import os
from importlib.util import find_spec

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if find_spec("hypothesis"):  # the environment of Airflow's tests is without
    from hypothesis import HealthCheck, settings

    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
