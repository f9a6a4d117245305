"""Before any test: the processes that tests start keep what they compile, whatever this machine's habit is.

Hundreds of them import the same modules; compiling those each time is a tenth of the whole run.
"""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
