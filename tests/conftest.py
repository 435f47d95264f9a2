"""What every test runs under."""

import os

from hypothesis import settings

# Read when verl is first imported, here and in every process that a test starts.
os.environ.setdefault("VERL_PLATFORM", "cpu")
# The tensors are small: a second thread costs more than it does, and the suite runs on several processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine, and no limit on their time: a busy machine is no failure.
# `--hypothesis-profile=default` looks for new ones.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
